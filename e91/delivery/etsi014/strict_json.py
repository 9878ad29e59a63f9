"""JSON as a key server takes it: RFC 8259 without anything that two readers could read in two ways.

Refused beside what is no JSON: members of one name in an object, text after the value, NaN and
Infinity, other encodings than UTF-8, a byte order mark, numbers beyond a double, halves of
surrogate pairs, and what is nested more deeply than the decoder follows.
"""

import re
from typing import Any

import msgspec

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"')


def object_in(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a body; an empty body is an empty object.

    Raises:
        ValueError: The body is something else; the sentence repeats nothing of it.

    Examples:
        >>> object_in(b'{"number": 2}'), object_in(b"")
        ({'number': 2}, {})
        >>> object_in(b'{"number": 2, "number": 3}')
        Traceback (most recent call last):
        ValueError: the body has two members of one name
    """
    if not body:
        return {}
    found = value_in(body)
    if not isinstance(found, dict):
        raise ValueError("the body must be a JSON object")
    return found


def value_in(body: bytes) -> Any:
    """Return the JSON value in a body.

    Raises:
        ValueError: The body is something else; the sentence repeats nothing of it.

    Examples:
        >>> value_in(b"[1, 2]")
        [1, 2]
    """
    try:
        found = msgspec.json.decode(body)
    except (ValueError, RecursionError):  # msgspec's own errors are of the first kind
        raise ValueError("the body is no JSON in UTF-8, or is nested too deeply") from None
    # Outside of strings a colon stands after the name of a member and nowhere else.
    if _STRING.sub(b"", body).count(b":") != _members_in(found):
        raise ValueError("the body has two members of one name")
    return found


def _members_in(content: Any) -> int:
    """Return how many members all objects of a value have together."""
    number, rest = 0, [content]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            number += len(value)
            rest += value.values()
        elif isinstance(value, list):
            rest += value
    return number
