"""Cisco's Secure Key Integration Protocol (SKIP) on the same stores: keys for encryptors.

Paths, members and status codes are those of draft-cisco-skip-02 (2025-09-03, an individual draft
that has expired; its successor draft-singh-skip-00 was not read).  An encryptor asks its own key
provider, which is a KME here; a system ID names a key provider, so every remote system ID stands
for one SAE there.  Who the encryptor is, only its certificate says.

A ``keyId`` is the key's UUID in 32 hexadecimal digits: a key is one key by either interface, and is
delivered once in all.  Where the draft has no status code, as for too little key, it is 503.
Entropy is the operating system's, never key of a pool.
"""

import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote_to_bytes
from uuid import UUID

from e91.delivery.etsi014.answering import DeliveryRecord
from e91.delivery.etsi014.site import KeySite
from e91.delivery.http.exchange import HttpReply, HttpRequest, error_reply, json_reply
from e91.delivery.http.listening import parse_address
from e91.keys.key_blocks import HeldKey
from e91.model.errors import (
    ForeignKey,
    LinkAlarmed,
    NotDelivered,
    NotEnoughKey,
    StoreFailed,
    UnknownKey,
    UnknownSae,
)

KEY_BITS = 256
"""Size of a key if none is asked for (draft, section on keys)."""

ENTROPY_BITS = 256
"""Entropy if no amount is asked for."""

MOST_ENTROPY_BITS = 65_536
"""Entropy in one request at most."""

LONGEST_ALGORITHM = 16
"""Bytes of ``algorithm`` that every encryptor supports."""

_GLOB = re.compile(r"[*?\[\]]")
_HEX = re.compile("[0-9a-fA-F]{32}")
_PARTS = {"capabilities": (), "key": ("remoteSystemID", "size"), "entropy": ("minentropy",)}


class SkipGiver(Protocol):
    """Gives keys to masters and slaves, each once."""

    async def give(
        self, master: str, slaves: Sequence[str], *, number: int = ..., size: int = ...
    ) -> list[HeldKey]:
        """Give new keys."""

    async def fetch(self, slave: str, master: str, *, key_ids: Sequence[UUID]) -> list[HeldKey]:
        """Give the keys with these IDs."""


@dataclass(frozen=True)
class SkipFace:
    """A KME as a key provider.

    Attributes:
        site: The KME, its limits, and where every SAE is.
        local_system: Its own system ID.
        remote_systems: The SAE that every remote system ID stands for.
        sae: The only encryptor; None: whoever's certificate names an SAE of the KME.
        is_plain: Whether there is no TLS, as a tunnel of this computer stands before it; then
            every caller is `sae`.
        algorithm: What the capabilities say.
    """

    site: KeySite
    local_system: str
    remote_systems: Mapping[str, str]
    sae: str | None = None
    is_plain: bool = False
    algorithm: str = "E91"

    def __post_init__(self) -> None:
        if self.is_plain and self.sae is None:
            raise ValueError("`sae` must be given where `plain` is true, but is not.")
        if self.sae is not None and not self.site.serves(self.sae):
            raise ValueError(f"`sae` must be an SAE of {self.site.kme}, but is `{self.sae}`.")
        if not 0 < len(self.algorithm.encode()) <= LONGEST_ALGORITHM:
            raise ValueError(
                f"`algorithm` must have 1 to {LONGEST_ALGORITHM} bytes, but is `{self.algorithm}`."
            )
        if not self.remote_systems:
            raise ValueError("`remote_systems` must name at least one system, but is empty.")
        for system, sae in self.remote_systems.items():
            if _GLOB.search(system) or not system:
                raise ValueError(
                    f"`remote_systems` must be IDs without wildcards, but has `{system}`."
                )
            if sae not in self.site.sae_kmes:
                raise ValueError(f"`remote_systems` must lead to SAEs, but `{sae}` is none.")


def check_plain_address(listen: str) -> None:
    """Refuse to serve without TLS to other computers.

    Raises:
        ValueError: It is not an address of this computer alone.

    Examples:
        >>> check_plain_address("0.0.0.0:80")
        Traceback (most recent call last):
        ValueError: `listen` must be a loopback address where `plain` is true, but is `0.0.0.0:80`.
    """
    host = parse_address(listen).host
    try:
        is_local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = False
    if not is_local:
        raise ValueError(
            f"`listen` must be a loopback address where `plain` is true, but is `{listen}`."
        )


class SkipHandler:
    """Answers encryptors."""

    def __init__(self, face: SkipFace, keys: SkipGiver, *, record: DeliveryRecord) -> None:
        """Prepare the answers.

        Args:
            face: The key provider.
            keys: Where keys come from.
            record: Who got which key.
        """
        self._face = face
        self._keys = keys
        self._record = record

    async def __call__(self, request: HttpRequest) -> HttpReply:
        """Return the reply to a request."""
        try:
            return await self._answer(request)
        except SkipRefused as refused:
            return refused.reply
        except NotDelivered as error:
            return _reply_to(error)
        except OSError:
            # As in `answering`: a delivery that cannot be written down is none.
            return error_reply(503, "the delivery could not be recorded")

    async def _answer(self, request: HttpRequest) -> HttpReply:
        path, _, query = request.target.partition("?")
        name, *rest = path.removeprefix("/").split("/")
        if not path.startswith("/") or name not in _PARTS or len(rest) > (name == "key"):
            raise SkipRefused(404, "no such resource")
        if request.method != "GET":
            raise SkipRefused(405, "the method must be GET", ("Allow", "GET"))
        caller = self._caller(request)
        names = ("remoteSystemID",) if rest else _PARTS[name]
        asked = _arguments(query, names)
        match name:
            case "capabilities":
                return json_reply(200, self._capabilities())
            case "entropy":
                return _entropy(asked)
        system = self._remote(caller, asked)
        if rest:
            return await self._fetched(caller, system, key_id=rest[0])
        return await self._given(caller, system, size=_size(asked, self._face.site))

    def _caller(self, request: HttpRequest) -> str:
        """Return the SAE that the encryptor is.

        Raises:
            SkipRefused: It is none of this KME's, or not the one that this face is for.
        """
        face = self._face
        sae = face.sae if face.is_plain else request.peer.sae
        if sae is None or not face.site.serves(sae) or face.sae not in (None, sae):
            raise SkipRefused(401, "unauthorized")
        return sae

    def _capabilities(self) -> dict[str, object]:
        return {
            "entropy": True,
            "key": True,
            "algorithm": self._face.algorithm,
            "localSystemID": self._face.local_system,
            "remoteSystemID": list(self._face.remote_systems),
        }

    def _remote(self, caller: str, asked: Mapping[str, str]) -> str:
        """Return the SAE that the remote system stands for.

        Raises:
            SkipRefused: It is not said, or stands for none that may share keys with the caller.
        """
        sae = self._face.remote_systems.get(asked.get("remoteSystemID", ""))
        if sae is None or sae == caller:
            raise SkipRefused(400, "remoteSystemID must be one that the capabilities list")
        return sae

    async def _given(self, caller: str, slave: str, *, size: int) -> HttpReply:
        if not self._face.site.allows(caller, slave):
            raise SkipRefused(401, "unauthorized")
        (key,) = await self._keys.give(caller, [slave], number=1, size=size)
        self._note("given", caller, slave, key.key_id)
        return _key_reply(key)

    async def _fetched(self, caller: str, master: str, *, key_id: str) -> HttpReply:
        if not _HEX.fullmatch(key_id):
            raise SkipRefused(400, "key not found")
        (key,) = await self._keys.fetch(caller, master, key_ids=[UUID(key_id)])
        self._note("fetched", caller, master, key.key_id)
        return _key_reply(key)

    def _note(self, event: str, caller: str, peer: str, key_id: UUID) -> None:
        kme = self._face.site.kme
        self._record.note(event, kme=kme, caller=caller, peers=(peer,), key_ids=(str(key_id),))


class SkipRefused(Exception):
    """A request that gets an error; the draft gives it a status and no body."""

    def __init__(self, status: int, message: str, *headers: tuple[str, str]) -> None:
        super().__init__(message)
        self.reply = error_reply(status, message, *headers)


def _arguments(query: str, names: Sequence[str]) -> dict[str, str]:
    """Return the parameters of a query.

    Raises:
        SkipRefused: One is not of these, repeated, or badly encoded.
    """
    found: dict[str, str] = {}
    for part in query.split("&") if query else ():
        name, _, text = part.partition("=")
        try:
            value = unquote_to_bytes(text).decode()
        except UnicodeDecodeError:
            raise SkipRefused(400, "the query must be percent-encoded UTF-8") from None
        if name not in names or name in found:
            raise SkipRefused(400, f"the query may have {' and '.join(names) or 'no parameters'}")
        found[name] = value
    return found


def _whole(asked: Mapping[str, str], name: str, default: int) -> int:
    text = asked.get(name, str(default))
    if not re.fullmatch("[0-9]{1,9}", text):
        raise SkipRefused(400, f"{name} must be a whole number of bits")
    return int(text)


def _size(asked: Mapping[str, str], site: KeySite) -> int:
    """Return the size of the key that is asked for, bits."""
    size, limits = _whole(asked, "size", KEY_BITS), site.limits
    if size % 8 or not limits.min_key_size <= size <= limits.max_key_size:
        raise SkipRefused(
            400,
            f"size must be a multiple of 8 from {limits.min_key_size} to {limits.max_key_size}",
        )
    return size


def _entropy(asked: Mapping[str, str]) -> HttpReply:
    """Return random bytes of the operating system, at least as many bits as are asked for."""
    bits = _whole(asked, "minentropy", ENTROPY_BITS)
    if not 0 < bits <= MOST_ENTROPY_BITS:
        raise SkipRefused(400, f"minentropy must lie in [1, {MOST_ENTROPY_BITS}]")
    sample = os.urandom(-(-bits // 8))
    return json_reply(200, {"randomStr": sample.hex(), "minentropy": 8 * len(sample)})


def _key_reply(key: HeldKey) -> HttpReply:
    text = b'{"keyId":"%b","key":"%b"}'
    return HttpReply(200, text % (key.key_id.hex.encode(), key.content.hex().encode()))


def _reply_to(error: NotDelivered) -> HttpReply:
    """Return what the encryptor reads of what the store said."""
    match error:
        case UnknownKey() | ForeignKey():
            return error_reply(400, "key not found")
        case UnknownSae():
            return error_reply(400, "there is no link to that system")
        case NotEnoughKey():
            return error_reply(503, "too little key is left", ("Retry-After", "5"))
        case LinkAlarmed():
            return error_reply(503, str(error), ("Retry-After", "5"))
        case StoreFailed():
            return error_reply(500, "the key store has failed")
    return error_reply(500, "no key could be delivered")
