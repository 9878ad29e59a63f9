"""The text of a key file, from and to a `KeyState`.

It is one JSON object in UTF-8 with exactly these fields; files of version 0.1 lack two of them:

=============  ====================================================================================
format         ``"e91-key"``
version        1
warning        What a human reader should know; not interpreted
key_id         UUID of the key, the same at both ends
owner          ``"alice"`` or ``"bob"``: whose stock it is
security       The security model by name, e.g. ``"trusted-analysers"``
epsilon        Composable failure probability of the key; null if no theorem gives one
reproducible   Whether whoever knows the session's seed can make the key again
size           Bytes of the whole key, used ones included
alice_share    How many of them, from the front, are for Alice's messages
theorem        Name of the theorem that gave the key's length; null or absent if not known
attacks        Which attacks it covers, e.g. ``"coherent attacks"``; null or absent if not known
spent          The used bytes: increasing, disjoint ``[start, stop]`` with stop excluded
remaining      All other bytes in order, base64 (RFC 4648)
=============  ====================================================================================
"""

import base64
import json
from dataclasses import fields
from typing import Annotated, Literal

from msgspec import Meta, structs, to_builtins

from e91.keys.state import Interval, KeyLabel, KeyState
from e91.model.messages import Party
from e91.model.trust import SecurityModel
from e91.system.documents import Document, parse_json

SIMULATED = "SIMULATED: made by a simulator; secret only within the simulation"
REPRODUCIBLE = "; whoever knows the seed can make it again"
NOT_PROVED = "; no epsilon is proved for it"

_MOST_BYTES = 2**32 - 1  # so that a damaged file cannot ask for all memory


class _KeyFile(Document, frozen=True):
    """The object of a key file; its fields are described above."""

    format: Literal["e91-key"]
    version: Literal[1]
    warning: str
    key_id: str
    owner: Party
    security: SecurityModel
    epsilon: float | None
    reproducible: bool
    size: Annotated[int, Meta(ge=1, le=_MOST_BYTES)]
    alice_share: int
    spent: tuple[Interval, ...]
    remaining: str
    theorem: str | None = None
    attacks: str | None = None


def encode_key(state: KeyState) -> bytes:
    """Return the content of a key file.  It holds the key."""
    label = state.label
    document = _KeyFile(
        format="e91-key",
        version=1,
        warning=SIMULATED
        + REPRODUCIBLE * label.reproducible
        + NOT_PROVED * (label.epsilon is None),
        key_id=label.key_id,
        owner=label.owner,
        security=label.security,
        epsilon=None if label.epsilon is None else float(label.epsilon),
        reproducible=label.reproducible,
        size=label.size,
        alice_share=label.alice_share,
        spent=state.spent,
        remaining=base64.b64encode(state.remaining).decode("ascii"),
        theorem=label.theorem,
        attacks=label.attacks,
    )
    return json.dumps(to_builtins(document), indent=1).encode() + b"\n"


def decode_key(content: bytes) -> KeyState:
    """Return the state in the content of a key file.

    Raises:
        ValueError: It is not of this format.  The sentence repeats no text of the content, and
            the exception leads to none.
    """
    document = parse_json(content, _KeyFile, where="", secret=True)
    known = structs.asdict(document)
    label = KeyLabel(**{field.name: known[field.name] for field in fields(KeyLabel)})
    return KeyState(label, document.spent, _unarmoured(document.remaining))


# It does not raise inside `except`: the exception of the parser carries the text that it could not
# read, and that text may be key.
def _unarmoured(text: str) -> bytes:
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError:
        content = None
    if content is None:
        raise ValueError("`remaining` must be base64, but is not.")
    return content
