"""Handing keys over between our network and another one: what is sent, taken, retried, erased.

Every step is written to the ledger before it is seen outside: an intent before the call, a key that
came before its 202, an acknowledgement before it is said.  A key is handed out here only when the
far end has acknowledged it.
"""

import asyncio
import hashlib
import json
import logging
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol, TypeVar
from uuid import UUID

from e91.delivery.between_networks import incoming, outgoing
from e91.delivery.between_networks.incoming import Incoming, IncomingState
from e91.delivery.between_networks.outgoing import (
    AckStatus,
    Extension,
    Outgoing,
    OutgoingState,
)
from e91.delivery.between_networks.peer_calls import PeerCalls
from e91.delivery.between_networks.peer_messages import (
    ACKS,
    KEYS,
    MOST_ENTRIES,
    VOIDS,
    Acknowledgement,
    KeysRequest,
    PeerRefused,
    SentKey,
    VoidRequest,
    as_acknowledgements,
    as_keys_request,
    as_void_request,
)
from e91.delivery.between_networks.retrying import USUAL_LIMITS, RetryLimits
from e91.delivery.between_networks.transfer_ledger import Transfer, TransferLedger
from e91.model.errors import NotDelivered, StoreFailed

_LOG = logging.getLogger("e91.delivery")
_KEYS_A_CALL = 128
T = TypeVar("T")


class Carrier(Protocol):
    """What happens to transfers inside our network."""

    async def carry(self, key: Incoming) -> Extension:
        """Bring a key to the KME of its applications, durably; return what is said of it.

        A key that is there already, from an attempt that was interrupted, is brought.

        Raises:
            NotDelivered: Not now.
        """

    async def void_far(self, key: Incoming | UUID, targets: Sequence[str]) -> bool:
        """Make a key void that was or would be carried; return whether somebody has it already."""

    async def void_near(self, key: Outgoing) -> None:
        """Make the copy void that waits for the initiator."""


@dataclass(eq=False)
class Handover:
    """The keys between us and one peer.

    Attributes:
        ledger: Where they are durably.
        calls: How the peer is called.
        carrier: What happens inside our network.
        callback: The URL at which we want acknowledgements.
        clock: Seconds since 1970.
        random: Uniform numbers from 0 to 1, for the times of retries.
        limits: Of the times.
        peer: Its name, for the log.
        is_reachable: Whether the last call was answered.
        claimed: Keys that a request of our network waits for.
    """

    ledger: TransferLedger
    calls: PeerCalls
    carrier: Carrier
    callback: str
    clock: Callable[[], float]
    random: Callable[[], float]
    limits: RetryLimits = USUAL_LIMITS
    peer: str = ""
    is_reachable: bool = True
    claimed: set[UUID] = field(default_factory=set)
    _out: dict[UUID, Outgoing] = field(default_factory=dict, init=False, repr=False)
    _in: dict[UUID, Incoming] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="transfers")
        self._lock = asyncio.Lock()
        self._woken, self._changed = asyncio.Event(), asyncio.Condition()
        self._forgot_at = -math.inf

    async def start(self) -> None:
        """Read what was under way.

        Raises:
            StoreFailed: The ledger cannot be opened.
        """
        await self._on_disk(self.ledger.open)
        now = self.clock()
        sent = await self._on_disk(self.ledger.active, Outgoing)
        taken = await self._on_disk(self.ledger.active, Incoming)
        async with self._lock:
            self._in = {key.key_id: replace(key, due_at=_soon(key, now)) for key in taken}
            await self._write(*(outgoing.restarted(key, now=now) for key in sent))

    async def close(self) -> None:
        """Let go of the ledger; what is under way goes on at the next start."""
        await self._on_disk(self.ledger.close)
        self._disk.shutdown()

    # For our own network.

    async def send(self, keys: Sequence[Outgoing]) -> None:
        """Hand keys over; it returns when that they shall be is durable.

        Raises:
            StoreFailed: That could not be written.
        """
        async with self._lock:
            await self._write(*keys)

    def find_outgoing(self, key_id: UUID) -> Outgoing | None:
        """Return a key that we handed over, unless it has ended."""
        return self._out.get(key_id)

    def relayed(self, pair: tuple[str, tuple[str, ...]]) -> list[Outgoing]:
        """Return the keys of a pair that the far end has and that nobody got here yet."""
        return [key for key in self._of_pair(pair) if key.state is OutgoingState.RELAYED]

    def unacknowledged(self, pair: tuple[str, tuple[str, ...]]) -> list[Outgoing]:
        """Return the keys of a pair that are on their way."""
        return [key for key in self._of_pair(pair) if key.state in outgoing.UNACKNOWLEDGED]

    def _of_pair(self, pair: tuple[str, tuple[str, ...]]) -> list[Outgoing]:
        return [key for key in self._out.values() if key.pair == pair]

    async def hand_out(self, key_ids: Sequence[UUID]) -> None:
        """Note that the initiator gets keys now: from here on they are delivered.

        Raises:
            ValueError: One is not relayed, or is void by now; nothing is noted then.
        """
        async with self._lock:
            known = [self._out.get(key_id) for key_id in key_ids]
            if None in known:
                raise ValueError("A key must be relayed to be given out, but one is not.")
            now = self.clock()
            await self._write(*(outgoing.handed_out(key, now=now) for key in known if key))

    async def make_void(self, key_ids: Iterable[UUID]) -> None:
        """Make keys void that nobody got here, at the peer, too."""
        async with self._lock:
            known = [self._out[key_id] for key_id in key_ids if key_id in self._out]
            await self._write(*(outgoing.made_void(key, now=self.clock()) for key in known))

    async def settled(self, holds: Callable[[], bool], *, within_s: float) -> bool:
        """Return whether something holds, once it does or after some time."""

        async def wait() -> None:
            async with self._changed:
                await self._changed.wait_for(holds)

        with suppress(TimeoutError):
            await asyncio.wait_for(wait(), within_s)
        return holds()

    # For the peer.

    async def take_keys(self, asked: KeysRequest) -> None:
        """Take keys that the peer passes on: all of them, durably, or none.

        Raises:
            PeerRefused: One has an identifier of a key that was sent otherwise.
            StoreFailed: They could not be written.
        """
        now, coming = self.clock(), [self._coming(key, asked) for key in asked.keys]
        async with self._lock:
            known = await self._found(Incoming, [key.key_id for key in asked.keys])
            kept: list[Incoming] = []
            for key in coming:
                before = known.get(key.key_id)
                now_kept = key if before is None else incoming.repeated(before, key, now=now)
                if now_kept is None:
                    # 400 would say that no key of this request is here, and one is.
                    words = "a key_id belongs to another key, which stands"
                    raise PeerRefused(503, words, key_id_conflict=words)
                kept.append(now_kept)
            await self._write(*kept)

    def _coming(self, key: SentKey, asked: KeysRequest) -> Incoming:
        now = self.clock()
        return Incoming(
            key.key_id, asked.initiator, asked.targets, key.value, self._fingerprint(key, asked),
            key.extension, asked.mandatory, asked.optional, now, now,
        )  # fmt: skip

    def _fingerprint(self, key: SentKey, asked: KeysRequest) -> bytes:
        """Return a hash of all that was sent of a key, keyed: it says nothing of the key."""
        digest = hashlib.blake2b(key=self.ledger.secret, digest_size=32)
        said = [key.extension, asked.mandatory, asked.optional, asked.initiator, *asked.targets]
        for part in (json.dumps(said).encode(), key.value):
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.digest()

    async def take_acknowledgements(self, said: Sequence[Acknowledgement]) -> None:
        """Take what the peer says of keys that were handed over to it.

        Raises:
            PeerRefused: One is no key of that pair; then nothing is taken.
            StoreFailed: It could not be written.
        """
        now = self.clock()
        async with self._lock:
            known = await self._found(Outgoing, [one for ack in said for one in ack.key_ids])
            changed: dict[UUID, Outgoing] = {}
            for ack in said:
                for key_id, extension in ack.key_ids.items():
                    key = changed.get(key_id) or known.get(key_id)
                    if key is None or key.pair != (ack.initiator, ack.targets):
                        words = "a key_id is of no key that was handed over for this pair"
                        raise PeerRefused(400, words, unknown_key_id=words)
                    changed[key_id] = outgoing.after_acknowledgement(
                        key, ack.said, now=now, extension=extension
                    )
            await self._write(*changed.values())

    async def take_voids(self, asked: VoidRequest) -> None:
        """Make keys void that the peer names: ones it sent, and ones we sent to it.

        Raises:
            PeerRefused: One is of another pair; then nothing changes.
            StoreFailed: It could not be written.
        """
        pair = asked.initiator, asked.targets
        async with self._lock:
            named = asked.key_ids or await self._all_of(pair)
            received = await self._found(Incoming, named)
            sent = await self._found(Outgoing, named)
            known = [*(key.pair for key in received.values()), *(key.pair for key in sent.values())]
            if any(found != pair for found in known):
                words = "a key_id is of another pair"
                raise PeerRefused(400, words, unknown_key_id=words)
            traces = [await self._trace(one, pair, received, sent) for one in named]
            await self._write(*(key for trace in traces for key in trace))

    async def _trace(
        self,
        key_id: UUID,
        pair: tuple[str, tuple[str, ...]],
        received: dict[UUID, Incoming],
        sent: dict[UUID, Outgoing],
    ) -> list[Outgoing | Incoming]:
        """Return what is left of a key that becomes void: a tombstone, and what is said of it."""
        now = self.clock()
        if key_id in sent:
            key, said = outgoing.voided_by_peer(sent[key_id], now=now)
            if said is AckStatus.VOIDED:
                await self.carrier.void_near(key)
            return [key, incoming.tombstone(key_id, pair, now=now, said=said)]
        known = received.get(key_id)
        is_delivered = await self.carrier.void_far(known or key_id, pair[1])
        if known is None:
            return [incoming.tombstone(key_id, pair, now=now, said=AckStatus.NOT_PRESENT)]
        return [incoming.voided(known, now=now, is_delivered=is_delivered)]

    async def _all_of(self, pair: tuple[str, tuple[str, ...]]) -> list[UUID]:
        """Return the keys of a pair that are not void."""
        found = await self._on_disk(self.ledger.of_pair, Incoming, pair)
        return [key.key_id for key in found if key.state is not IncomingState.VOID]

    # What is due.

    async def run(self) -> None:
        """Do what is due, until cancelled."""
        while True:
            self._woken.clear()
            try:
                due_at = await self.step()
            except StoreFailed as error:  # nothing was written, so nothing is lost
                _LOG.error("transfers cannot be written", extra={"reason": str(error)})
                due_at = self.clock() + 1.0
            wait_s = min(60.0, max(0.0, due_at - self.clock()))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), wait_s)

    async def step(self) -> float:
        """Do what is due now, and return when the next thing is; infinite if nothing is."""
        now = self.clock()
        async with self._lock:
            late = [key for key in self._out.values() if key.due_at <= now]
            checked = [outgoing.when_due(key, now=now, limits=self.limits) for key in late]
            await self._write(*(new for old, new in zip(late, checked, strict=True) if new != old))
        await self._carry(now)
        await self._call_about(now)
        await self._forget(now)
        times = [key.due_at for key in self._out.values()]
        times += [min(key.due_at, key.owed_at) for key in self._in.values()]
        return min(times, default=math.inf)

    async def _carry(self, now: float) -> None:
        """Bring keys that came to the KMEs of their applications."""
        due = [key for key in self._in.values() if key.due_at <= now]
        for begin in range(0, len(due), _KEYS_A_CALL):
            keys = due[begin : begin + _KEYS_A_CALL]
            attempts = await asyncio.gather(*map(self._attempt, keys))
            async with self._lock:  # what became void meanwhile stays so
                present = [(self._in.get(key.key_id, key), change) for key, change in attempts]
                await self._write(*(change(key) for key, change in present))

    async def _attempt(self, key: Incoming) -> tuple[Incoming, Callable[[Incoming], Incoming]]:
        """Try to bring a key on, and return how it changes by that."""
        try:
            said = await self.carrier.carry(key)
        except NotDelivered as refusal:
            wait_s = self.limits.wait_s(key.failures + 1, self.random)
            return key, partial(
                incoming.not_carried,
                message=str(refusal),
                now=self.clock(),
                wait_s=wait_s,
                limits=self.limits,
            )
        return key, partial(incoming.carried, now=self.clock(), own_extension=said)

    async def _call_about(self, now: float) -> None:
        """Call the peer about what is due: keys, voids, acknowledgements."""
        due = [key for key in self._out.values() if key.due_at <= now]
        voids = [key for key in due if key.state is OutgoingState.VOIDING]
        for group in _grouped(voids, lambda key: key.pair):
            await self._make_void_there(group)
        keys = [key for key in due if key.state in outgoing.UNACKNOWLEDGED]
        for group in _grouped(keys, _alike):
            await self._hand_over(group)
        owed = [key for key in self._in.values() if key.owed_at <= now]
        for begin in range(0, len(owed), MOST_ENTRIES):
            await self._acknowledge(owed[begin : begin + MOST_ENTRIES])

    async def _hand_over(self, keys: list[Outgoing]) -> None:
        status = await self._post(KEYS, as_keys_request(keys, callback=self.callback))
        after = partial(outgoing.after_sending, status=status)
        await self._after_call(keys, after)

    async def _make_void_there(self, keys: list[Outgoing]) -> None:
        for key in keys:
            await self.carrier.void_near(key)
        status = await self._post(VOIDS, as_void_request(keys, callback=self.callback))
        after = partial(outgoing.after_voiding, status=status)
        await self._after_call(keys, after)

    async def _after_call(self, keys: list[Outgoing], after: Callable[..., Outgoing]) -> None:
        """Change keys after a call, as they are by now: an acknowledgement may have been faster."""
        async with self._lock:
            now = self.clock()
            present = [self._out[key.key_id] for key in keys if key.key_id in self._out]
            await self._write(
                *(
                    after(
                        key,
                        now=now,
                        wait_s=self.limits.wait_s(key.failures + 1, self.random),
                        limits=self.limits,
                    )
                    for key in present
                )
            )

    async def _acknowledge(self, keys: list[Incoming]) -> None:
        groups = _grouped(keys, lambda key: (key.pair, key.owed, key.message))
        status = await self._post(ACKS, as_acknowledgements(groups))
        if status == 400 and len(keys) > 1:  # one of them spoils the others
            for key in keys:
                await self._acknowledge([key])
            return
        if status == 400:  # the sender knows no such key, and will not however often it hears it
            await self.carrier.void_far(keys[0], keys[0].targets)
        async with self._lock:
            present = [(self._in.get(key.key_id), key.owed) for key in keys]
            await self._write(
                *(
                    incoming.after_owed(
                        key,
                        said,
                        is_heard=status in (200, 400),
                        retry_at=self.clock() + self.limits.wait_s(key.failures + 1, self.random),
                    )
                    for key, said in present
                    if key is not None and said is not None
                )
            )

    async def _post(self, path: str, body: bytes) -> int | None:
        status = await self.calls.post(path, body)
        if self.is_reachable != (status is not None):
            self.is_reachable = status is not None
            word = "answers again" if self.is_reachable else "does not answer"
            level = logging.INFO if self.is_reachable else logging.WARNING
            _LOG.log(level, "the KME of the other network %s", word, extra={"peer": self.peer})
        return status

    async def _forget(self, now: float) -> None:
        if now >= self._forgot_at + 3600:
            self._forgot_at = now
            await self._on_disk(partial(self.ledger.forget, before=now - self.limits.keep_s))

    # The ledger.

    async def _on_disk(self, call: Callable[..., T], *given: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, call, *given)

    async def _found(self, kind: type[Transfer], key_ids: Sequence[UUID]) -> dict[UUID, Transfer]:
        return await self._on_disk(self.ledger.find, kind, list(key_ids))

    async def _write(self, *keys: Outgoing | Incoming) -> None:
        """Write keys to the ledger, then have them so in memory; those that ended leave it."""
        if not keys:
            return
        await self._on_disk(self.ledger.write, *keys)
        for key in keys:
            if isinstance(key, Outgoing):
                _put(self._out, key)
            else:
                _put(self._in, key)
        self._woken.set()
        async with self._changed:
            self._changed.notify_all()


def _put(active: dict[UUID, Transfer], key: Transfer) -> None:
    if key.is_ended:
        active.pop(key.key_id, None)
    else:
        active[key.key_id] = key


def _soon(key: Incoming, now: float) -> float:
    return now if key.state is IncomingState.HELD else key.due_at


def _alike(key: Outgoing) -> tuple[Any, ...]:
    """What keys of one call have in common."""
    return key.pair, json.dumps(key.mandatory), json.dumps(key.optional)


def _grouped(keys: Iterable[Transfer], mark: Callable[[Transfer], Any]) -> list[list[Transfer]]:
    """Return keys in groups of the same mark, none larger than a call takes."""
    groups: dict[Any, list[Transfer]] = defaultdict(list)
    for key in keys:
        groups[mark(key)].append(key)
    return [
        group[begin : begin + _KEYS_A_CALL]
        for group in groups.values()
        for begin in range(0, len(group), _KEYS_A_CALL)
    ]
