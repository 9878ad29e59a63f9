"""Who somebody is: the one name that a certificate carries, as a URI.

GS QKD 014 asks for a unique SAE ID and KME ID in the certificate and leaves open where.  Here it is
a URI among the subject's alternative names, ``urn:e91:sae:NAME`` or ``urn:e91:kme:NAME``, the name
percent-encoded.  The common name says nothing about who somebody is.
"""

import re
from collections.abc import Iterable
from enum import Enum
from urllib.parse import quote, unquote

LONGEST_NAME = 64
"""Characters of a name at most, as in GS QKD 020."""

_ENCODED = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+")  # RFC 3986, segment


class CertifiedRole(Enum):
    """What a certificate is for: an application that uses keys, or an entity that holds them."""

    SAE = "sae"
    KME = "kme"


def check_name(name: str, *, what: str) -> None:
    """Refuse what cannot be the name of an SAE or a KME.

    Raises:
        ValueError: It has no or too many characters, some that cannot be printed, or blanks at an
            end.

    Examples:
        >>> check_name("", what="sae")
        Traceback (most recent call last):
        ValueError: `sae` must be a name of 1 to 64 printable characters, but is ''.
    """
    if not (0 < len(name) <= LONGEST_NAME and name.isprintable() and name == name.strip()):
        shown = name[:LONGEST_NAME]
        raise ValueError(
            f"`{what}` must be a name of 1 to {LONGEST_NAME} printable characters, but is "
            f"{shown!r}."
        )


def uri_of(role: CertifiedRole, name: str) -> str:
    """Return the URI that says in a certificate who its subject is.

    Raises:
        ValueError: It is no name.

    Examples:
        >>> uri_of(CertifiedRole.SAE, "SAE/ü 1")
        'urn:e91:sae:SAE%2F%C3%BC%201'
    """
    check_name(name, what="name")
    return f"urn:e91:{role.value}:{quote(name, safe='')}"


def name_of(uri: str, role: CertifiedRole) -> str | None:
    """Return the name in a URI, or None if it is not of that role, or malformed.

    Examples:
        >>> name_of("urn:e91:sae:SAE%2F%C3%BC%201", CertifiedRole.SAE)
        'SAE/ü 1'
        >>> name_of("urn:e91:kme:alice", CertifiedRole.SAE) is None
        True
        >>> name_of("urn:e91:sae:100%", CertifiedRole.SAE) is None
        True
    """
    prefix = f"urn:e91:{role.value}:"
    if not uri.startswith(prefix) or not _ENCODED.fullmatch(encoded := uri[len(prefix) :]):
        return None
    try:
        name = unquote(encoded, errors="strict")
        check_name(name, what="name")
    except ValueError:  # UnicodeDecodeError is one
        return None
    return name


def identity(uris: Iterable[str], role: CertifiedRole) -> str:
    """Return the one name of that role which a certificate's URIs give.

    Args:
        uris: The URIs among the subject's alternative names; only those of E91 count.
        role: What the subject has to be.

    Raises:
        ValueError: There is not exactly one URI with our prefix, or it is malformed.

    Examples:
        >>> identity(["https://example.org", "urn:e91:sae:alice-app"], CertifiedRole.SAE)
        'alice-app'
    """
    e91_uris = [uri for uri in uris if uri.startswith("urn:e91:")]
    names = [name_of(uri, role) for uri in e91_uris]
    if len(names) != 1 or names[0] is None:
        raise ValueError(
            f"A certificate must name exactly one {role.value.upper()} as "
            f"urn:e91:{role.value}:NAME, but has {len(e91_uris)} names of that kind"
            f"{', none of them valid' if e91_uris and not any(names) else ''}."
        )
    return names[0]
