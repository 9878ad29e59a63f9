"""The messages of ETSI GS QKD 020 V1.1.1: what goes over the wire, checked, and written.

Own words of the standard's rules stand beside what checks them.  A request is refused whole, before
anything of it is kept: a refusal with 400 or 401 says that no key was taken.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from e91.delivery.between_networks.incoming import Incoming
from e91.delivery.between_networks.outgoing import AckStatus, Extension, Outgoing
from e91.delivery.etsi014.strict_json import value_in
from e91.delivery.http.exchange import HttpReply

VERSIONS = "/kmapi/versions"
KEYS = "/kmapi/v1/ext_keys"
ACKS = "/kmapi/v1/ext_keys/ack"
VOIDS = "/kmapi/v1/ext_keys/void"

MOST_ENTRIES = 1_024
"""Entries of a list at most; for keys in one call the standard has no number."""

MOST_KEY_BYTES = 4_096

_SAE = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]{1,64}")  # the characters of a URI
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_EXTENSION_NAME = re.compile(r"E[0-9]{1,10}_\S{1,200}")
_LONGEST_URL = 1_024
_LONGEST_MESSAGE = 4_096


class PeerRefused(Exception):
    """A request that is answered with an error.

    Attributes:
        status: Of HTTP.
        title: What is wrong, for people.
        details: What is wrong, by name.
    """

    def __init__(self, status: int, title: str, **details: str) -> None:
        super().__init__(title)
        self.status, self.title, self.details = status, title, details


@dataclass(frozen=True, eq=False)
class SentKey:
    """A key of a request.

    Attributes:
        key_id: Of the key.
        value: The key.
        extension: What is said of it.
    """

    key_id: UUID
    value: bytes = field(repr=False)
    extension: Extension


@dataclass(frozen=True, eq=False)
class KeysRequest:
    """Keys from a peer.

    Attributes:
        keys: At least one, all different.
        initiator: The SAE that asked for them.
        targets: The SAEs that they are for.
        callback: Where to acknowledge.
        mandatory: What must be heeded.
        optional: What may be.
    """

    keys: tuple[SentKey, ...]
    initiator: str
    targets: tuple[str, ...]
    callback: str
    mandatory: Extension
    optional: Extension


@dataclass(frozen=True, eq=False)
class VoidRequest:
    """Keys that a peer makes void.

    Attributes:
        key_ids: Which; empty for all of the pair.
        initiator: The SAE that asked for them.
        targets: The SAEs that they are for.
        callback: Where to acknowledge.
    """

    key_ids: tuple[UUID, ...]
    initiator: str
    targets: tuple[str, ...]
    callback: str


@dataclass(frozen=True, eq=False)
class Acknowledgement:
    """What became of some keys of one pair.

    Attributes:
        key_ids: Which, each with what is said of it.
        said: What became of them.
        initiator: The SAE that asked for them.
        targets: The SAEs that they are for.
        message: For people.
    """

    key_ids: Mapping[UUID, Extension]
    said: AckStatus
    initiator: str
    targets: tuple[str, ...]
    message: str = ""


# Reading.


def keys_request(body: bytes) -> KeysRequest:
    """Return the keys in a body of `KEYS`.

    Raises:
        PeerRefused: With 400: something in it is not as it must be.
    """
    table = _Table.of(_json(body), "keys initiator_sae_id target_sae_ids ack_callback_url "
                      "extension_mandatory extension_optional")  # fmt: skip
    keys = tuple(map(_sent_key, table.list_of("keys", least=1)))
    _check_distinct([key.key_id for key in keys])
    return KeysRequest(
        keys,
        table.sae("initiator_sae_id"),
        table.saes("target_sae_ids"),
        table.callback(),
        table.extension("extension_mandatory"),
        table.extension("extension_optional"),
    )


def void_request(body: bytes) -> VoidRequest:
    """Return the key IDs in a body of `VOIDS`.

    No key ID means all keys of the pair, which must be confirmed.  The standard's prose and its
    example name the detail of the refusal differently: both are given.

    Raises:
        PeerRefused: With 400: something in it is not as it must be.
    """
    table = _Table.of(_json(body), "key_ids initiator_sae_id target_sae_ids ack_callback_url "
                      "extension all_confirmation")  # fmt: skip
    key_ids = tuple(map(_key_id, table.list_of("key_ids")))
    _check_distinct(key_ids)
    confirmed = table.content.get("all_confirmation", False)
    if not isinstance(confirmed, bool):
        raise _wrong("all_confirmation must be a boolean")
    if not key_ids and not confirmed:
        words = "all keys of the pair are made void only with all_confirmation: true"
        raise PeerRefused(400, words, no_all_confirmation=words, no_key_ids_or_confirmation=words)
    table.extension("extension")
    saes = table.sae("initiator_sae_id"), table.saes("target_sae_ids")
    return VoidRequest(key_ids, *saes, table.callback())


def acknowledgements(body: bytes) -> tuple[Acknowledgement, ...]:
    """Return what a body of `ACKS` says.

    Raises:
        PeerRefused: With 400: something in it is not as it must be.
    """
    content = _json(body)
    if not isinstance(content, list) or not 1 <= len(content) <= MOST_ENTRIES:
        raise _wrong(f"the body must be an array of 1 to {MOST_ENTRIES} acknowledgements")
    return tuple(map(_acknowledgement, content))


def _acknowledgement(content: object) -> Acknowledgement:
    table = _Table.of(content, "key_id_container ack_status initiator_sae_id target_sae_ids "
                      "message extension")  # fmt: skip
    entries = [
        _Table.of(entry, "key_id extension") for entry in table.list_of("key_id_container", least=1)
    ]
    key_ids = [_key_id(entry.content.get("key_id")) for entry in entries]
    _check_distinct(key_ids)
    said, message = table.content.get("ack_status"), table.content.get("message", "")
    if said not in [status.value for status in AckStatus]:
        raise _wrong("ack_status must be one of the standard's five words")
    if not isinstance(message, str) or len(message) > _LONGEST_MESSAGE:
        raise _wrong(f"message must be a text of at most {_LONGEST_MESSAGE} characters")
    table.extension("extension")
    extensions = [entry.extension("extension") for entry in entries]
    saes = table.sae("initiator_sae_id"), table.saes("target_sae_ids")
    return Acknowledgement(
        dict(zip(key_ids, extensions, strict=True)), AckStatus(said), *saes, message
    )


@dataclass(frozen=True)
class _Table:
    """A JSON object whose members are known."""

    content: dict[str, Any]

    @classmethod
    def of(cls, content: object, members: str) -> "_Table":
        if not isinstance(content, dict):
            raise _wrong("an object is expected where another value stands")
        if unknown := content.keys() - set(members.split()):
            raise _wrong(f"{len(unknown)} members are none of this interface")
        if any(value is None for value in content.values()):
            raise _wrong("no member may be null")
        return cls(content)

    def list_of(self, name: str, *, least: int = 0) -> list[Any]:
        found = self.content.get(name)
        if not isinstance(found, list) or not least <= len(found) <= MOST_ENTRIES:
            raise _wrong(f"{name} must be an array of {least} to {MOST_ENTRIES} entries")
        return found

    def sae(self, name: str) -> str:
        return _sae(self.content.get(name), name)

    def saes(self, name: str) -> tuple[str, ...]:
        found = tuple(_sae(entry, name) for entry in self.list_of(name, least=1))
        if len(set(found)) < len(found):
            raise _wrong(f"{name} must name every SAE once")
        return found

    def callback(self) -> str:
        """Return where to acknowledge; without it a request is a synchronous one."""
        if "ack_callback_url" not in self.content:
            raise PeerRefused(
                400, "the synchronous mode is not offered", synchronous_mode="not offered"
            )
        found = self.content["ack_callback_url"]
        if not isinstance(found, str) or len(found) > _LONGEST_URL:
            raise _wrong(f"ack_callback_url must be a text of at most {_LONGEST_URL} characters")
        return found

    def extension(self, name: str) -> Extension:
        found = self.content.get(name, {})
        if not isinstance(found, dict) or not all(map(_EXTENSION_NAME.fullmatch, found)):
            raise _wrong(f"{name} must be an object whose names begin with E and a number")
        return found


def _json(body: bytes) -> Any:
    try:
        return value_in(body)
    except ValueError as error:
        raise _wrong(str(error)) from None


def _wrong(words: str) -> PeerRefused:
    return PeerRefused(400, words, invalid_request=words)


def is_sae_id(name: str) -> bool:
    """Return whether the standard allows a name of an SAE."""
    return _SAE.fullmatch(name) is not None


def _sae(found: object, name: str) -> str:
    if not isinstance(found, str) or not is_sae_id(found):
        raise _wrong(f"{name} must have SAE IDs of 1 to 64 characters of a URI")
    return found


def _key_id(found: object) -> UUID:
    if not isinstance(found, str) or not _UUID.fullmatch(found):
        raise _wrong("a key_id must be a UUID")
    return UUID(found)


def _check_distinct(key_ids: Sequence[UUID]) -> None:
    if len(set(key_ids)) < len(key_ids):
        raise _wrong("every key_id may stand there once")


def _sent_key(content: object) -> SentKey:
    table = _Table.of(content, "key_id value extension")
    return SentKey(
        _key_id(table.content.get("key_id")),
        _value(table.content.get("value")),
        table.extension("extension"),
    )


def _value(found: object) -> bytes:
    """Return a key from base64 with padding and the standard alphabet (RFC 4648, section 4)."""
    try:
        value = base64.b64decode(found, validate=True) if isinstance(found, str) else b""
    except (binascii.Error, ValueError):
        value = b""
    if not value or len(value) > MOST_KEY_BYTES or base64.b64encode(value).decode() != found:
        raise _wrong("a value must be a key in base64 with padding, of at least one byte")
    return value


# Writing.


def as_keys_request(keys: Sequence[Outgoing], *, callback: str) -> bytes:
    """Return the body that carries keys, all of one pair and with the same extensions."""
    first = keys[0]
    return _body(
        {
            "keys": [
                {
                    "key_id": str(key.key_id),
                    "value": base64.b64encode(key.value or b"").decode(),
                    **_if_any("extension", key.extension),
                }
                for key in keys
            ],
            **_pair(first),
            "ack_callback_url": callback,
            **_if_any("extension_mandatory", first.mandatory),
            **_if_any("extension_optional", first.optional),
        }
    )


def as_void_request(keys: Sequence[Outgoing], *, callback: str) -> bytes:
    """Return the body that makes keys of one pair void."""
    key_ids = [str(key.key_id) for key in keys]
    return _body({"key_ids": key_ids, **_pair(keys[0]), "ack_callback_url": callback})


def as_acknowledgements(groups: Sequence[Sequence[Incoming]]) -> bytes:
    """Return the body that acknowledges keys, in groups of one pair and one word."""
    return _body([_as_acknowledgement(keys) for keys in groups])


def _as_acknowledgement(keys: Sequence[Incoming]) -> dict[str, Any]:
    first = keys[0]
    assert first.owed is not None
    container = [
        {"key_id": str(key.key_id), **_if_any("extension", key.own_extension or {})} for key in keys
    ]
    said = {"key_id_container": container, "ack_status": first.owed.value, **_pair(first)}
    return said | ({"message": first.message} if first.message else {})


def _pair(key: Outgoing | Incoming) -> dict[str, Any]:
    return {"initiator_sae_id": key.initiator, "target_sae_ids": list(key.targets)}


def _if_any(name: str, extension: Extension) -> dict[str, Extension]:
    return {name: extension} if extension else {}


def _body(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode("ascii")


def as_reply(status: int, content: Mapping[str, Any] | None = None) -> HttpReply:
    """Return a reply in the standard's content type."""
    body = b"" if content is None else _body(content)
    return HttpReply(status, body, (("Content-Type", "application/json; charset=UTF-8"),))


def as_refusal(refused: PeerRefused) -> HttpReply:
    """Return the reply to a request that is refused: the error object of the standard.

    It is like the one of RFC 9457, but its `details` is an object of texts.
    """
    return as_reply(
        refused.status,
        {
            "type": "about:blank",
            "title": refused.title,
            "status": refused.status,
            "details": refused.details,
        },
    )
