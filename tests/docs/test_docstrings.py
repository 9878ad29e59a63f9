"""Every public name says what it takes, gives and refuses, and shows it by an example that runs.

That the examples run, and print what they show, is tested by pytest's doctests.
"""

import ast
import dataclasses
import inspect
import re
import textwrap

from public_names import public_names


def described(name, doc):
    """Return whether a docstring has an entry for a name, or says it in the text."""
    return (
        bool(re.search(rf"^\s+\**{name}\s*(\(.*\))?:", doc, re.MULTILINE)) or f"``{name}``" in doc
    )


def refuses(function):
    """Return whether a function has a statement of its own that raises an error for its caller."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    raised = (node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise))
    calls = [ast.unparse(each.func) for each in raised if isinstance(each, ast.Call)]
    return bool(set(calls) - {"AssertionError"})


def lacks_of_function(function, *, method):
    """Yield what the docstring of a function or a method does not say."""
    doc, signature = inspect.getdoc(function) or "", inspect.signature(function)
    if not doc:
        yield "docstring"
    for name, parameter in signature.parameters.items():
        if name not in ("self", "cls") and not name.startswith("_") and not described(name, doc):
            yield f"argument {parameter}"
    gives = signature.return_annotation not in (None, "None", "NoReturn", inspect.Signature.empty)
    # The first line of a method may say it all.
    says = r"^\s*(Returns|Yields):" + (r"|\b([Rr]eturn|[Yy]ield)\b" if method else "")
    if gives and not re.search(says, doc, re.MULTILINE):
        yield "result"
    if refuses(inspect.unwrap(function)) and not re.search(
        r"^\s*Raises:|\braise\b", doc, re.MULTILINE
    ):
        yield "errors"


def methods(thing):
    """Yield the public methods and properties that a class defines, with their names."""
    for name, value in vars(thing).items():
        value = getattr(value, "__func__", value)
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
            yield name, value


def lacks_of_class(thing):
    """Yield what the docstrings of a class and of its methods do not say."""
    doc, fields = inspect.getdoc(thing) or "", []
    if dataclasses.is_dataclass(thing):
        own = vars(thing).get("__annotations__", {})
        fields = [field.name for field in dataclasses.fields(thing) if field.name in own]
        for name in fields:
            if not name.startswith("_") and not described(name, doc):
                yield f"field {name}"
    for name, method in methods(thing):
        if name in fields:
            continue  # its default is a function
        if isinstance(method, property):
            if not method.__doc__:
                yield f"{name}: docstring"
        else:
            yield from (f"{name}: {lack}" for lack in lacks_of_function(method, method=True))


def lacks(thing):
    """Return what the docstring of a public name, and those of its methods, do not say."""
    doc = inspect.getdoc(thing) or ""
    found = [] if doc else ["docstring"]
    if ">>>" not in doc:
        found.append("example")
    if inspect.isclass(thing):
        return found + list(lacks_of_class(thing))
    return found + list(lacks_of_function(thing, method=False))


def test_docstrings_of_public_names_are_whole():
    found = {path: lacks(thing) for path, thing in public_names().items()}
    assert len(found) > 500
    assert {path: lack for path, lack in found.items() if lack} == {}


class Undocumented:
    """A class that lacks what the test must find."""

    @property
    def width(self):
        return 1

    def cut(self, length):
        """Cut it."""


def undocumented(length: int, *, width: int) -> int:
    """Return an area.

    Args:
        length: One side.
    """
    if length < 0:
        raise ValueError("`length` must not be negative.")
    return length * width


def test_what_is_missing_is_found():
    assert lacks(undocumented) == ["example", "argument width: int", "result", "errors"]
    assert lacks(Undocumented) == ["example", "width: docstring", "cut: argument length"]
