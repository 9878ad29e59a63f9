"""Which method a request calls: tables 2, 3, 5 and 7 of ETSI GS QKD 014 V1.1.1.

The path is split before it is decoded, so that an encoded slash stays inside an ID.  HEAD is no
method of the interface: a HEAD that worked like GET would take a key and deliver it to nobody.
"""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote_to_bytes

from e91.delivery.etsi014.refusals014 import Refused, bad_request
from e91.delivery.tls.identity import decoded_id

BEGINNING = "/api/v1/keys/"
"""Of every path of the interface."""

Operation = Literal["status", "enc_keys", "dec_keys"]

_METHODS: dict[str, tuple[Operation, tuple[str, ...]]] = {
    "status": ("status", ("GET",)),
    "enc_keys": ("enc_keys", ("GET", "POST")),
    "dec_keys": ("dec_keys", ("GET", "POST")),
}
_QUERY_NAMES = {"status": (), "enc_keys": ("number", "size"), "dec_keys": ("key_ID",)}
_BROKEN_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True)
class MethodCall:
    """A method of the interface, called for a peer.

    Attributes:
        operation: Which one.
        is_post: Whether the arguments are in the body.
        encoded_peer: The other SAE as it stands in the path; for ``dec_keys`` the master.
        query: As sent, without the question mark.
    """

    operation: Operation
    is_post: bool
    encoded_peer: str
    query: str

    @property
    def peer(self) -> str:
        """The ID of the other SAE.

        Raises:
            Refused: It is none.
        """
        try:
            return decoded_id(self.encoded_peer)
        except ValueError:
            raise bad_request("the SAE ID in the path is not valid") from None

    @property
    def arguments(self) -> dict[str, str]:
        """What the query gives, by name.

        Raises:
            Refused: A name is repeated or is none of this method's, or POST has a query.
        """
        found: dict[str, str] = {}
        names = () if self.is_post else _QUERY_NAMES[self.operation]
        for part in self.query.split("&") if self.query else ():
            encoded, equals, value = part.partition("=")
            name = _decoded(encoded)
            if self.is_post:
                raise bad_request("with POST the parameters must be in the body")
            if name not in names or not equals:
                allowed = " and ".join(names) or "no parameters"
                raise bad_request(f"with GET the query may have {allowed}; use POST for others")
            if name in found:
                raise bad_request("a parameter of the query is repeated")
            found[name] = _decoded(value)
        return found


def _decoded(text: str) -> str:
    if text.isalnum() and text.isascii():
        return text
    if _BROKEN_PERCENT.search(text) or not text.isascii():
        raise bad_request("the query is not percent-encoded UTF-8")
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode()
    except UnicodeDecodeError:
        raise bad_request("the query is not percent-encoded UTF-8") from None


def called(method: str, target: str) -> MethodCall:
    """Return what a request calls.

    Args:
        method: Of HTTP.
        target: Path and query as sent.

    Raises:
        Refused: There is nothing at the path (404), or not with this method (405).

    Examples:
        >>> called("GET", "/api/v1/keys/bob-app/enc_keys?number=3").arguments
        {'number': '3'}
    """
    path, _, query = target.partition("?")
    segments = path.removeprefix(BEGINNING).split("/")
    known = path.startswith(BEGINNING) and len(segments) == 2 and segments[1] in _METHODS
    if not known or segments[0] in ("", ".", ".."):
        raise Refused(404, "no such resource")
    operation, methods = _METHODS[segments[1]]
    if method not in methods:
        allowed = ", ".join(methods)
        raise Refused(405, f"the method must be {allowed}", headers=(("Allow", allowed),))
    return MethodCall(operation, method == "POST", segments[0], query)
