"""Who is at the other end of a connection: an SAE or a KME, by its verified certificate alone.

ETSI GS QKD 014 V1.1.1, clause 4, asks for a unique SAE ID per request and leaves open where in the
certificate it stands.  Here it is the only URI that begins with ``urn:e91:`` (`identities`); the
common name never counts, and nothing that a client sends later does.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from e91.delivery.identities import LONGEST_NAME, CertifiedRole, check_name, identity

_PLAIN = re.compile(rf"[A-Za-z0-9._-]{{1,{LONGEST_NAME}}}")
_BROKEN_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class PeerIdentity:
    """Who a certificate names; at most one of the two.

    Attributes:
        sae: ID of an SAE, or None.
        kme: ID of a KME, or None.
    """

    sae: str | None = None
    kme: str | None = None


NOBODY = PeerIdentity()
"""Whom a certificate names that has no such URI, several, or a malformed one."""


def identity_of(certificate: Mapping[str, Any] | None) -> PeerIdentity:
    """Return whom a verified certificate names.

    Args:
        certificate: As `ssl.SSLSocket.getpeercert` gives it, or None.

    Returns:
        `NOBODY` unless exactly one URI begins with ``urn:e91:`` and is well formed.

    Examples:
        >>> identity_of({"subjectAltName": (("URI", "urn:e91:sae:alice-app"),)})
        PeerIdentity(sae='alice-app', kme=None)
        >>> two = (("URI", "urn:e91:sae:alice-app"), ("URI", "urn:e91:sae:eve"))
        >>> identity_of({"subjectAltName": two}) == NOBODY
        True
    """
    names = (certificate or {}).get("subjectAltName", ())
    uris = [value for kind, value in names if kind == "URI"]
    for role in CertifiedRole:
        try:
            name = identity(uris, role)
        except ValueError:
            continue
        return PeerIdentity(**{role.value: name})
    return NOBODY


def decoded_id(encoded: str) -> str:
    """Return the ID in one segment of a path.

    Args:
        encoded: ASCII, percent-encoded UTF-8; a plus sign is itself.

    Raises:
        ValueError: The encoding is broken, or it is no ID.

    Examples:
        >>> decoded_id("SAE%2F%c3%bc%201"), decoded_id("a+b")
        ('SAE/ü 1', 'a+b')
    """
    if _PLAIN.fullmatch(encoded):
        return encoded
    if not encoded.isascii() or _BROKEN_PERCENT.search(encoded):
        raise ValueError("An ID must be percent-encoded UTF-8, but is not.")
    try:
        name = unquote_to_bytes(encoded).decode()
    except UnicodeDecodeError:
        raise ValueError("An ID must be percent-encoded UTF-8, but is not.") from None
    check_name(name, what="SAE ID")
    return name
