"""Tell a refusal, by which our code turns down a wrong input, from a bug.

Wrong arguments raise the built-in `ValueError` here, as they do in Python and NumPy, so the type of
an exception does not say which of both it is.  Where it comes from does: a refusal ends at a
``raise`` statement of this package.  A bug ends in somebody else's code, or here at a statement
that raises nothing by itself: ``int("x")``, unpacking, the truth value of an array.  A class for
refusals would need five hundred places to use it, and a forgotten one would greet a user's typing
error with a traceback.

A bug that calls a function of this package with a wrong argument is not seen as one.
"""

import dis
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

_OWN = ("e91", "e91_circuits")
_RAISE = dis.opmap["RAISE_VARARGS"]

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class Refusal(ValueError):
    """A refusal from another process, where the traceback stayed that would show what it is."""


def is_refusal(error: BaseException) -> bool:
    """Return whether an exception is a refusal: a `ValueError` that this package raised on purpose.

    Examples:
        >>> from e91.model.numbers import check_positive
        >>> try:
        ...     check_positive(width=-1)
        ... except ValueError as error:
        ...     is_refusal(error)
        True
        >>> try:
        ...     int("x")
        ... except ValueError as error:
        ...     is_refusal(error)
        False
    """
    if isinstance(error, Refusal):
        return True
    place = error.__traceback__
    if place is None or not isinstance(error, ValueError):
        return False
    while place.tb_next is not None:
        place = place.tb_next
    module = str(place.tb_frame.f_globals.get("__name__"))
    raised = place.tb_frame.f_code.co_code[place.tb_lasti] == _RAISE
    return raised and module.partition(".")[0] in _OWN


@contextmanager
def refusals_named(where: str) -> Iterator[None]:
    """Put ``where`` before the sentence of a refusal inside the block; leave bugs as they are.

    Raises:
        ValueError: The refusal, with the place named.

    Examples:
        >>> from e91.model.numbers import check_positive
        >>> with refusals_named("In line 3: "):
        ...     check_positive(width=-1)
        Traceback (most recent call last):
        ValueError: In line 3: `width` must be finite and positive, but is -1.
    """
    try:
        yield
    except ValueError as error:
        if not is_refusal(error):
            raise
        raise ValueError(f"{where}{error}") from None


def refusals_marked(
    work: Callable[_Arguments, _Result], *arguments: _Arguments.args, **options: _Arguments.kwargs
) -> _Result:
    """Do some work for another process, which gets the result or the refusal.

    Raises:
        Refusal: The work was refused.
    """
    try:
        return work(*arguments, **options)
    except ValueError as error:
        if is_refusal(error):
            raise Refusal(str(error)) from None
        raise
