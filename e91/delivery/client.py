"""A client of servers of keys by ETSI GS QKD 014 V1.1.1: status, new keys, and keys by their IDs.

Clause numbers are of that text.  It works with any server of the standard; what this package's own
servers add comes in the extensions.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from e91.delivery.https_client import Answer, ClientFiles, HttpsClient, client_context, place_of
from e91.delivery.identities import CertifiedRole, identity
from e91.model.errors import DeliveryFailed, DeliveryRefused

Extension = Mapping[str, Any]
"""An extension of a request: names and values."""

_LONGEST_MESSAGE = 500  # characters of a server's message that a sentence repeats


@dataclass(frozen=True, eq=False, repr=False)
class FetchedKey:
    """A key as a server delivered it.

    Attributes:
        key_id: Its ID, as the server writes it.
        content: The bytes of the key.
        extension: The key's extension (clause 6.3); None without one.  This package's servers say
            in its ``e91_provenance`` where the key comes from.

    Source:
        ETSI GS QKD 014 V1.1.1, clause 6.3.

    Examples:
        >>> FetchedKey("00000000-0000-0000-0000-000000000007", bytes(32), None)
        FetchedKey('00000000-0000-0000-0000-000000000007', 256 bits)
    """

    key_id: str
    content: bytes
    extension: dict[str, Any] | None

    def __repr__(self) -> str:
        """Return all but the bits."""
        return f"FetchedKey({self.key_id!r}, {8 * len(self.content)} bits)"


class KeyClient:
    """An application (SAE) that asks its key management entity (KME) for keys.

    One connection is kept between calls, and a request is never sent twice: a key whose answer was
    lost is used up.  Not for several threads at once.

    Examples:
        >>> from pathlib import Path
        >>> KeyClient("http://kme.example", certificate=Path("a.crt"), ca=Path("ca.crt"))
        Traceback (most recent call last):
        ValueError: `url` must be https://HOST:PORT, but is `http://kme.example`.
    """

    def __init__(
        self,
        url: str,
        *,
        certificate: Path,
        private_key: Path | None = None,
        ca: Path,
        crl: Path | None = None,
        kme: str | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        """Prepare a client; nothing is sent yet.

        Args:
            url: Of the KME: ``https://HOST:PORT``; what the standard's paths come after.
            certificate: The SAE's, PEM.
            private_key: Of the certificate, PEM; by default in the same file.
            ca: The authorities that sign the certificates of KMEs, PEM.
            crl: What they have revoked, PEM; nothing is looked up by default.
            kme: The KME ID that the server's certificate must name as ``urn:e91:kme:ID``, before
                anything is sent (clause 5.1); any by default.
            timeout_s: For every wait, seconds.

        Raises:
            ValueError: The URL is none, or a file is not what it should be.
        """
        place = place_of(url)
        context = client_context(ClientFiles(certificate, private_key, ca, crl))
        self._kme = kme
        self._https = HttpsClient(place, context, timeout_s, self._check_kme)

    def __repr__(self) -> str:
        """Return where the server is."""
        return f"KeyClient({self._https.place.authority})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; the next call makes a new one."""
        self._https.close()

    def status(self, peer: str) -> dict[str, Any]:
        """Return how the KME stands with keys for this SAE and ``peer`` (clause 5.2).

        Args:
            peer: SAE ID of the other application.

        Returns:
            The fields of the standard's Status (clause 6.1), by their names there; sizes in bits.

        Raises:
            DeliveryRefused: The KME refuses.
            DeliveryFailed: It cannot be asked, or its answer is none of the standard's.
        """
        answer = self._https.ask("GET", f"{_path(peer)}/status")
        return self._document(answer)

    def get_keys(
        self,
        peer: str,
        *,
        number: int = 1,
        size: int | None = None,
        additional: Sequence[str] = (),
        mandatory: Sequence[Extension] = (),
        optional: Sequence[Extension] = (),
    ) -> list[FetchedKey]:
        """Return new keys that ``peer`` gets by their IDs at its own KME (clause 5.3).

        Args:
            peer: The slave SAE.
            number: How many keys.
            size: Bits of each; the KME's own choice by default.
            additional: Other SAEs that get the same keys.
            mandatory: Extensions that must be met.
            optional: Extensions that may be.

        Raises:
            DeliveryRefused: The KME refuses.
            DeliveryFailed: It cannot be asked, or its answer is none of the standard's; keys that
                it may have delivered are lost.
        """
        asked: dict[str, Any] = {"number": number}
        if size is not None:
            asked["size"] = size
        lists: dict[str, list[Any]] = {
            "additional_slave_SAE_IDs": list(additional),
            "extension_mandatory": [dict(one) for one in mandatory],
            "extension_optional": [dict(one) for one in optional],
        }
        asked |= {name: value for name, value in lists.items() if value}
        keys = self._keys(f"{_path(peer)}/enc_keys", asked)
        if len(keys) != number or (size and any(8 * len(key.content) != size for key in keys)):
            raise self._nonsense("must deliver the keys that were asked for, but delivered others")
        return keys

    def get_keys_by_id(self, peer: str, key_ids: Sequence[str]) -> list[FetchedKey]:
        """Return the keys with these IDs, in their order (clause 5.4).

        Args:
            peer: The master SAE, which asked for them first.
            key_ids: What it said.

        Raises:
            DeliveryRefused: The KME refuses.
            DeliveryFailed: As for `get_keys`.
        """
        asked = {"key_IDs": [{"key_ID": key_id} for key_id in key_ids]}
        keys = self._keys(f"{_path(peer)}/dec_keys", asked)
        by_id = {key.key_id.lower(): key for key in keys}
        if len(keys) != len(key_ids) or by_id.keys() != {one.lower() for one in key_ids}:
            raise self._nonsense("must deliver the keys that were asked for, but delivered others")
        return [by_id[key_id.lower()] for key_id in key_ids]

    def _check_kme(self, certificate: Mapping[str, Any]) -> None:
        """Refuse a server that is not the KME that is wanted."""
        names = certificate.get("subjectAltName", ())
        if self._kme is None:
            return
        try:
            found = identity([value for kind, value in names if kind == "URI"], CertifiedRole.KME)
        except ValueError:
            found = "nobody"
        if found != self._kme:
            raise DeliveryFailed(
                f"{self._https.place.authority} must be KME `{self._kme}`, but its certificate "
                f"names {found}."
            )

    def _keys(self, path: str, asked: Mapping[str, Any]) -> list[FetchedKey]:
        """Return the keys of a container (clause 6.3)."""
        body = json.dumps(asked, allow_nan=False).encode()
        document = self._document(self._https.ask("POST", path, body=body))
        keys = _keys_of(document)
        if keys is None:
            raise self._nonsense("must answer with a key container, but does not")
        return keys

    def _document(self, answer: Answer) -> dict[str, Any]:
        """Return the JSON object of an answer, or raise what the KME says instead.

        An exception of the JSON reader has the text that it could not read: none leads there.
        """
        document = _json_object(answer.body)
        if answer.status != 200:
            raise _refusal(self._https.place.authority, answer, document or {})
        if document is None:
            raise self._nonsense("must answer with a JSON object, but does not")
        return document

    def _nonsense(self, demand: str) -> DeliveryFailed:
        return DeliveryFailed(f"{self._https.place.authority} {demand}.")


def _path(peer: str) -> str:
    """Return the beginning of a path, with the other SAE's ID as one segment of it.

    Examples:
        >>> _path("SAE/ü 1")
        '/api/v1/keys/SAE%2F%C3%BC%201'
    """
    return f"/api/v1/keys/{quote(peer, safe='')}"


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def keys_in(container: bytes) -> list[FetchedKey] | None:
    """Return the keys of a container (clause 6.3) in JSON, or None if it is none.

    Examples:
        >>> keys_in(b'{"keys": [{"key_ID": "a", "key": "AAA="}]}')
        [FetchedKey('a', 16 bits)]
    """
    document = _json_object(container)
    return None if document is None else _keys_of(document)


def _keys_of(document: Mapping[str, Any]) -> list[FetchedKey] | None:
    entries = document.get("keys")
    found = [_key(entry) for entry in entries] if isinstance(entries, list) else [None]
    keys = [key for key in found if key is not None]
    return keys if len(keys) == len(found) else None


def _key(entry: object) -> FetchedKey | None:
    """Return the key in an entry of a container, or None if it is none."""
    if not isinstance(entry, dict):
        return None
    key_id, text, extension = (entry.get(name) for name in ("key_ID", "key", "key_extension"))
    if not isinstance(key_id, str) or not isinstance(text, str) or not key_id.isprintable():
        return None
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return FetchedKey(key_id, content, extension if isinstance(extension, dict) else None)


def _refusal(server: str, answer: Answer, document: Mapping[str, Any]) -> DeliveryRefused:
    """Return what a KME says instead of a key."""
    said = document.get("message")
    message = said[:_LONGEST_MESSAGE] if isinstance(said, str) and said.isprintable() else ""
    details = document.get("details")
    objects = details if isinstance(details, list) else []
    wait = answer.headers.get("retry-after", "")
    return DeliveryRefused(
        server,
        status=answer.status,
        message=message,
        details=[one for one in objects if isinstance(one, dict)],
        retry_after_s=float(wait) if wait.isascii() and wait.isdecimal() else None,
    )
