"""The text of a key file, from and to a `KeyState`.

It is one JSON object in UTF-8 with exactly these fields:

=============  ====================================================================================
format         ``"e91-key"``
version        1
warning        What a human reader should know; not interpreted
key_id         UUID of the key, the same at both ends
owner          ``"alice"`` or ``"bob"``: whose stock it is
security       The security model by name, e.g. ``"trusted-analysers"``
epsilon        Composable failure probability of the key
reproducible   Whether whoever knows the session's seed can make the key again
size           Bytes of the whole key, used ones included
alice_share    How many of them, from the front, are for Alice's messages
spent          The used bytes: increasing, disjoint ``[start, stop]`` with stop excluded
remaining      All other bytes in order, base64 (RFC 4648)
=============  ====================================================================================
"""

from __future__ import annotations

import base64
import json
from enum import Enum
from typing import TypeVar, cast

from e91.keys.state import Interval, KeyLabel, KeyState
from e91.model.messages import Party
from e91.model.policy import SecurityModel

SIMULATED = "SIMULATED: made by a simulator; secret only within the simulation"
REPRODUCIBLE = "; whoever knows the seed can make it again"

_FORMAT = "e91-key"
_VERSION = 1
_LARGEST = 2**32  # bytes; a bound, so that a damaged file cannot ask for all memory
_TYPES: dict[str, type] = {
    "format": str,
    "version": int,
    "warning": str,
    "key_id": str,
    "owner": str,
    "security": str,
    "epsilon": float,
    "reproducible": bool,
    "size": int,
    "alice_share": int,
    "spent": list,
    "remaining": str,
}

Named = TypeVar("Named", bound=Enum)


def encode_key(state: KeyState) -> bytes:
    """Return the content of a key file.  It holds the key."""
    label = state.label
    document = {
        "format": _FORMAT,
        "version": _VERSION,
        "warning": SIMULATED + (REPRODUCIBLE if label.reproducible else ""),
        "key_id": label.key_id,
        "owner": label.owner.value,
        "security": label.security.value,
        "epsilon": float(label.epsilon),
        "reproducible": label.reproducible,
        "size": label.size,
        "alice_share": label.alice_share,
        "spent": state.spent,
        "remaining": base64.b64encode(state.remaining).decode("ascii"),
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def decode_key(content: bytes) -> KeyState:
    """Return the state in the content of a key file.

    Raises:
        ValueError: It is not of this format.  The sentence repeats no text of the content, and
            the exception leads to none.
    """
    document = _parsed(content)
    if not isinstance(document, dict) or document.keys() != _TYPES.keys():
        raise ValueError("It must hold one JSON object with the fields of one, but does not.")
    for name, kind in _TYPES.items():
        if type(document[name]) is not kind:  # `isinstance` would take True for a number
            raise ValueError(f"`{name}` must be of type {kind.__name__}, but is not.")
    if (document["format"], document["version"]) != (_FORMAT, _VERSION):
        raise ValueError(f"`format` and `version` must be {_FORMAT} and {_VERSION}, but are not.")
    if not 0 < document["size"] < _LARGEST:
        raise ValueError(f"`size` must lie in [1, {_LARGEST}), but does not.")
    label = KeyLabel(
        key_id=document["key_id"],
        owner=_member(Party, "owner", document["owner"]),
        security=_member(SecurityModel, "security", document["security"]),
        epsilon=document["epsilon"],
        reproducible=document["reproducible"],
        size=document["size"],
        alice_share=document["alice_share"],
    )
    return KeyState(label, _intervals(document["spent"]), _unarmoured(document["remaining"]))


# Nothing below raises inside `except`: the exceptions of the parsers carry the text that they could
# not read, and that text may be key.
def _parsed(content: bytes) -> object:
    try:
        return cast(object, json.loads(content))
    except (ValueError, RecursionError):
        return None


def _member(kind: type[Named], name: str, value: str) -> Named:
    members = {member.value: member for member in kind}
    if value not in members:
        raise ValueError(f"`{name}` must be one of {', '.join(members)}, but is not.")
    return members[value]


def _intervals(pairs: list[object]) -> tuple[Interval, ...]:
    intervals = []
    for pair in pairs:
        match pair:
            case [int(start), int(stop)]:
                intervals.append((start, stop))
            case _:
                raise ValueError("`spent` must hold pairs of whole numbers, but does not.")
    return tuple(intervals)


def _unarmoured(text: str) -> bytes:
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError:
        content = None
    if content is None:
        raise ValueError("`remaining` must be base64, but is not.")
    return content
