"""Key stores fed by a network that lives beside them: what is taken out is asked for again."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any, Protocol

import click

from e91.cli.options import COUNT, seed_option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e91.delivery.configuration import ServiceFile
    from e91.delivery.serving import KeyDelivery
    from e91.keys.key_blocks import KeyBlock
    from e91.network import Incident, NetworkPlan
    from e91.network.key_supply import News
    from e91.network.living import LivingNetwork

_LOG = logging.getLogger("e91.delivery")
_LOOK_S = 0.2
_AGAIN_S = 0.5  # after a store has failed
_MOST_PAIRS = 1_000
LOW_BITS = 2**16
"""Key bits of a pair below which the network is asked for more."""


@dataclass(frozen=True)
class FeedPlan:
    """A network that feeds stores.

    Attributes:
        network: Its plan; sites have the names of KMEs.
        speed: Simulated seconds for a second of the wall clock.
        minutes: Simulated time after which it ends; None for never.
        seed: Root of all randomness; None takes the operating system's.
        workers: Processes that make blocks; None for one a core.
        disjoint: Shares of a key, on ways without a common relay.
        doubt_s: Seconds before the moment that an alarm states which are in doubt, too.
        low_bits: Key bits of a pair below which more is asked for, up to twice as many.
    """

    network: NetworkPlan
    speed: float = 1.0
    minutes: float | None = None
    seed: int | None = None
    workers: int | None = None
    disjoint: int = 1
    doubt_s: float = 0.0
    low_bits: int = LOW_BITS


class FedStores(Protocol):
    """What a network feeds."""

    async def deposit(self, ends: Mapping[str, KeyBlock]) -> None:
        """Take in a block of key at two KMEs."""

    async def ring(self, one: str, other: str, *, since: float, reason: str) -> int:
        """Stop a link."""

    async def clear(self, one: str, other: str) -> None:
        """End the alarm of a link."""

    def free_bits(self, one: str, other: str) -> int:
        """Return the key bits that two KMEs can give now."""


def fed_pairs(file: ServiceFile, plan: NetworkPlan) -> list[tuple[str, str]]:
    """Return the pairs of KMEs that a network is asked keys for.

    These are the KMEs of SAEs that may share keys, and every KME with those at a border.

    Raises:
        ValueError: A KME is no site of the network, there is no pair, or there are too many.
    """
    from e91.network.key_supply import check_pair

    tables, sae_kmes = file.tables, file.sae_kmes
    kmes = [kme.id for kme in tables.kmes]
    check_pair(plan, *kmes)
    if tables.pairs:
        named = [(sae_kmes.get(pair.master), sae_kmes.get(pair.slave)) for pair in tables.pairs]
        wanted = {frozenset((one, other)) for one, other in named if one and other and one != other}
    else:
        wanted = {frozenset(pair) for pair in combinations(kmes, 2)}
    for entry in tables.peer_networks:
        wanted |= {frozenset((entry.kme, kme)) for kme in kmes if kme != entry.kme}
    pairs = sorted((min(pair), max(pair)) for pair in wanted)
    if not 0 < len(pairs) <= _MOST_PAIRS:
        raise ValueError(
            f"A network must feed 1 to {_MOST_PAIRS:,} pairs of KMEs, but `{file.path}` has "
            f"{len(pairs):,}: name those that need keys as `[[pair]]`."
        )
    return pairs


async def feed(stores: FedStores, pairs: Sequence[tuple[str, str]], plan: FeedPlan) -> None:
    """Let a network live, and put its keys and alarms into the stores, until its time is over.

    Args:
        stores: What is fed.
        pairs: Of KMEs.
        plan: The network.

    Raises:
        ValueError: The network cannot be run so.
    """
    loop, news = asyncio.get_running_loop(), asyncio.Queue[Any]()

    def tell(item: News) -> None:
        loop.call_soon_threadsafe(news.put_nowait, item)

    async with _living(plan, tell) as network:
        feeder = _Feeder(stores, network, pairs, plan.low_bits)
        works = [
            asyncio.ensure_future(work)
            for work in (
                asyncio.wrap_future(network.ended),
                feeder.refill(),
                feeder.take_in(news),
            )
        ]
        try:
            done, _ = await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
            for work in done:
                work.result()
        finally:
            for work in works:
                work.cancel()
            await asyncio.gather(*works, return_exceptions=True)
    _LOG.info("the network's time is over", extra={"source": plan.network.name})


@asynccontextmanager
async def _living(plan: FeedPlan, tell: Callable[[News], None]) -> AsyncIterator[LivingNetwork]:
    """Give a network that lives; it takes seconds to plan one, so another thread does."""
    from e91.network.living import LivingNetwork

    planning = asyncio.ensure_future(
        asyncio.to_thread(
            LivingNetwork, plan.network, tell=tell, speed=plan.speed, minutes=plan.minutes,
            seed=plan.seed, workers=plan.workers, disjoint=plan.disjoint, doubt_s=plan.doubt_s,
        )
    )  # fmt: skip
    try:
        network = await asyncio.shield(planning)
    except asyncio.CancelledError:
        (await planning).__exit__(None, None, None)
        raise
    network.__enter__()
    _LOG.info("a network feeds the stores", extra={"source": plan.network.name})
    try:
        yield network
    finally:
        await asyncio.to_thread(network.__exit__, None, None, None)


@dataclass(frozen=True)
class _FedDelivery:
    """A server as what a network feeds: its alarms are logged, counted and sent to a web hook."""

    delivery: KeyDelivery

    async def deposit(self, ends: Mapping[str, KeyBlock]) -> None:
        """Take in a block of key at two KMEs."""
        await self.delivery.service.deposit(ends)

    async def ring(self, one: str, other: str, *, since: float, reason: str) -> int:
        """Stop a link."""
        return await self.delivery.ring(one, other, since=since, reason=reason)

    async def clear(self, one: str, other: str) -> None:
        """End the alarm of a link."""
        await self.delivery.clear(one, other)

    def free_bits(self, one: str, other: str) -> int:
        """Return the key bits that two KMEs can give now."""
        from e91.delivery.between_networks.carrying import border_sae

        return self.delivery.service.stock(border_sae(one), border_sae(other)).bits


async def feed_delivery(
    delivery: KeyDelivery, pairs: Sequence[tuple[str, str]], plan: FeedPlan
) -> None:
    """Let a network live beside a server, and feed it, until its time is over; see `feed`."""
    await feed(_FedDelivery(delivery), pairs, plan)


class _Feeder:
    """What goes from a network into stores."""

    def __init__(
        self,
        stores: FedStores,
        network: LivingNetwork,
        pairs: Sequence[tuple[str, str]],
        low_bits: int,
    ) -> None:
        self._stores, self._network = stores, network
        self._pairs, self._low_bits = pairs, low_bits
        self._coming: Counter[tuple[str, str]] = Counter()
        self._ringing: Counter[frozenset[str]] = Counter()

    async def refill(self) -> None:
        """Ask the network for more key of every pair that has little, again and again."""
        while True:
            for pair in self._pairs:
                there = self._stores.free_bits(*pair) + self._coming[pair]
                if there < self._low_bits:
                    wanted = (2 * self._low_bits - there) // 8 * 8
                    self._coming[pair] += wanted
                    await asyncio.wrap_future(self._network.ask(*pair, wanted))
            await asyncio.sleep(_LOOK_S)

    async def take_in(self, news: asyncio.Queue[Any]) -> None:
        """Put the network's news into the stores, in the order in which they happened."""
        while True:
            await self._take(await news.get())

    async def _take(self, item: News) -> None:
        from e91.network.key_supply import LinkRang, LinkReturned, SuppliedKey, UnequalKey

        match item:
            case SuppliedKey():
                self._coming[item.ends] -= 8 * len(item.contents[0])
                await self._deposit(item)
            case UnequalKey():
                self._coming[item.ends] -= item.bits
                _LOG.error(
                    "a key differed at its two ends and is thrown away",
                    extra={
                        "link": " - ".join(item.ends),
                        "reason": f"relays: {', '.join(item.relays)}",
                    },
                )
            case LinkRang():
                self._ringing[frozenset(item.ends)] += 1
                ring = partial(self._stores.ring, since=item.since, reason=item.reason)
                await _surely(partial(ring, *item.ends))
            case LinkReturned():
                # Two links may join the same sites: the last one that rings keeps both out.
                self._ringing[frozenset(item.ends)] -= 1
                if not self._ringing[frozenset(item.ends)]:
                    await _surely(partial(self._stores.clear, *item.ends))

    async def _deposit(self, key: Any) -> None:
        from e91.keys.key_blocks import KeyBlock
        from e91.model.errors import NotDelivered

        block_id, (here, there) = uuid.uuid4(), key.contents
        ends = {
            key.ends[0]: KeyBlock(block_id, here, key.provenance),
            key.ends[1]: KeyBlock(block_id, there, key.provenance),
        }
        try:
            await self._stores.deposit(ends)
        except NotDelivered as refusal:  # an alarm of an earlier life, or a store that failed
            _LOG.warning("a key is thrown away", extra={"reason": str(refusal)})


async def _surely(work: Callable[[], Awaitable[object]]) -> None:
    """Do what must be done with the stores, as soon as they are open: till then, nothing is given.

    An alarm may be put in twice: the second time changes nothing.
    """
    from e91.model.errors import StoreFailed

    while True:
        try:
            await work()
        except StoreFailed:
            await asyncio.sleep(_AGAIN_S)
        else:
            return


def _named(relays: Sequence[str]) -> str:
    return f"a relay altered it, or a link's key had an error: {', '.join(relays) or 'no relay'}"


def fed_network(
    name: str, *, variant: str | None, attacks: Sequence[str], cuts: Sequence[str]
) -> NetworkPlan:
    """Return a network that shall feed stores, with what shall happen to it.

    Raises:
        ValueError: There is no such network, or it cannot be so.
    """
    from dataclasses import replace

    from e91.cli.network_live import attack_of, cut_of
    from e91.network import check_plan, load

    plan = load(name, variant=variant)
    added: list[Incident] = [attack_of(text) for text in attacks] + [cut_of(text) for text in cuts]
    plan = replace(plan, incidents=(*plan.incidents, *added))
    check_plan(plan)
    return plan


FEED_OPTIONS = (
    click.option("--network", "network", metavar="NAME",
                 help="Feed the stores from this network, which lives beside them; its sites have "
                 "the names of the KMEs."),
    click.option("--variant", help="Of the network's file."),
    click.option("--speed", type=float, default=1.0, show_default=True,
                 help="Simulated seconds for a second of the clock."),
    click.option("--minutes", type=float,
                 help="Simulated time after which the network ends; the server goes on."),
    click.option("--workers", type=COUNT, help="Processes that make blocks; one for each core."),
    click.option("--disjoint", type=COUNT, default=1, show_default=True,
                 help="Shares of a key, on ways without a common relay."),
    click.option("--low-bits", type=COUNT, default=LOW_BITS, show_default=True,
                 help="Key bits of a pair of KMEs below which more is asked for."),
    click.option("--doubt", "doubt_s", type=float, default=0.0, show_default=True,
                 help="Erase keys of this number of seconds before the moment that an alarm "
                 "states, too."),
    click.option("--attack", "attacks", multiple=True, metavar="LINK=NAME:STRENGTH@SECONDS",
                 help="Put an adversary on a link, as of `e91 network run`."),
    click.option("--cut", "cuts", multiple=True, metavar="LINK@SECONDS[-SECONDS]",
                 help="Cut a link, for a time or for good."),
    seed_option("Root of the network's randomness; keys are then not secret.  From the system by "
                "default."),
)  # fmt: skip


def feed_plan(how: dict[str, Any]) -> FeedPlan | None:
    """Return what `FEED_OPTIONS` ask for; None if that is no network.

    Raises:
        ValueError: An option makes no sense, or one is given without ``--network``.
    """
    from e91.model.numbers import check_not_negative, check_positive

    given, name = dict(how), how["network"]
    plain = {"variant": None, "minutes": None, "seed": None, "attacks": (), "cuts": ()}
    if name is None:
        if any(given[option] != unset for option, unset in plain.items()):
            raise click.UsageError("A network must be named by `--network` to be changed.")
        return None
    check_positive(speed=given["speed"])
    check_not_negative(doubt_s=given["doubt_s"])
    if given["minutes"] is not None:
        check_positive(minutes=given["minutes"])
    plan = fed_network(name, variant=given["variant"], attacks=given["attacks"], cuts=given["cuts"])
    options = ("speed", "minutes", "seed", "workers", "disjoint", "doubt_s", "low_bits")
    return FeedPlan(plan, **{option: given[option] for option in options})
