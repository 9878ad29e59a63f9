"""Blocks made bit by bit on Dask workers; each keeps the key of the links that it serves.

A link belongs to one worker for the whole run.  Orders go there: to make a block, to put its key
into the link's store or to throw it away, to take bits for the key with a number.  What comes back
are counts, verdicts and lengths, and of a key how its pads differ between the two ends of a link:
all zeros, unless an error was left.  No key bit leaves the worker that drew it, so that delivered
keys are compared, not had: the key arrives as it was sent plus all these differences, as every
relay adds what it holds and takes it off again (`relaying.relay`).  With a seed, which then travels
with the orders, everything is as it is on one machine, to the last bit.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from itertools import count
from typing import Any, NamedTuple

from e91.network.blocks import BlockOrder, BlockOutcome, make_block
from e91.network.key_ledger import Pool
from e91.network.link_alarms import LinkAlarms

_MOST_UNDER_WAY = 32  # seconds whose orders may be unanswered

_LOST = (
    "The workers of a network must stay until its run ends, as they hold the key of its links, but "
    "one was lost."
)


class StoreStep(IntEnum):
    """What a worker is to do with the store of a link."""

    KEEP = 0
    FORGET = 1
    EMPTY = 2
    TAKE = 3


class StoreOrder(NamedTuple):
    """One step of a worker.

    Attributes:
        step: What is to be done.
        link: Number of the link.
        number: Of the block, to be kept or forgotten, or of the key that the bits are taken for.
        bits: To be kept, or taken.
    """

    step: int
    link: int
    number: int = 0
    bits: int = 0


@dataclass(eq=False)
class LinkStores:
    """The key of some links, at both their ends, in the process of the worker that made it.

    Attributes:
        pools: The stores, by the link's number.
        made: Key of blocks that are neither kept nor forgotten yet, by the block's number here;
            None of blocks without one.

    Examples:
        >>> stores = LinkStores()
        >>> stores.made[7] = (bytes([12, 5]), bytes([12, 4]))      # an error was left
        >>> keep = StoreOrder(StoreStep.KEEP, link=3, number=7, bits=16)
        >>> take = StoreOrder(StoreStep.TAKE, link=3, number=1, bits=8)
        >>> stores.carry_out(0, [keep, take])
        {}
        >>> stores.carry_out(1, [take._replace(number=2)])         # of key 2 the last bit differs
        {2: 1}
    """

    pools: dict[int, Pool] = field(default_factory=dict, repr=False)
    made: dict[int, tuple[bytes, bytes] | None] = field(default_factory=dict, repr=False)
    _unwanted: set[int] = field(default_factory=set, repr=False)
    _early: dict[int, Sequence[StoreOrder]] = field(default_factory=dict, repr=False)
    _next: int = 0

    def make(self, number: int, wanted: BlockOrder) -> BlockOutcome:
        """Make a block, keep its key back, and return the rest."""
        outcome = make_block(wanted)
        if number in self._unwanted:
            self._unwanted.discard(number)
        else:
            self.made[number] = outcome.key
        return replace(outcome, key=None)

    def carry_out(self, batch: int, orders: Sequence[StoreOrder]) -> dict[int, int]:
        """Carry out a batch of orders after all before it, however they come.

        Returns:
            Of keys that bits were taken for: the bitwise difference of the link's two ends, where
            there is one; also of earlier batches that came too early.
        """
        self._early[batch] = orders
        differences: dict[int, int] = {}
        while self._next in self._early:
            for order in self._early.pop(self._next):
                self._do(StoreOrder(*order), differences)
            self._next += 1
        return {key: difference for key, difference in differences.items() if difference}

    def _do(self, order: StoreOrder, differences: dict[int, int]) -> None:
        pool = self.pools.setdefault(order.link, Pool())
        match order.step:
            case StoreStep.KEEP:
                key = self.made.pop(order.number)
                pool.put(order.bits, now_s=0.0, number=order.number, key=key)
            case StoreStep.FORGET:
                self._forget(order.number)
            case StoreStep.EMPTY:
                pool.drop()
            case StoreStep.TAKE:
                difference = _taken(pool, order.bits)
                differences[order.number] = differences.get(order.number, 0) ^ difference

    def _forget(self, block: int) -> None:
        """Throw a block's key away, now or when it is made."""
        if block in self.made:
            del self.made[block]
        else:
            self._unwanted.add(block)


def _taken(pool: Pool, bits: int) -> int:
    """Take bits from a store, and return how its two ends differ there."""
    assert pool.filled - pool.taken >= bits, "the ledger and a store disagree"
    near, far = pool.take(bits)
    pool.forget_used()
    return near ^ far


class Begun(NamedTuple):
    """A block that a worker makes.

    Attributes:
        link: Number of the link.
        number: Of the block among all that workers make.
        work: What becomes of it.
    """

    link: int
    number: int
    work: Any


class ResidentStores:
    """Blocks made by Dask workers, and the stores of link key there.

    Attributes:
        alarms: The sequential tests of the links.

    Args:
        alarms: As above.
        client: A `distributed.Client` that is not asynchronous; its present workers are used.

    Raises:
        ValueError: The cluster has no workers.
    """

    def __init__(self, alarms: LinkAlarms, client: Any) -> None:
        self.alarms, self._client = alarms, client
        addresses = sorted(client.nthreads())
        if not addresses:
            raise ValueError("`client` must have workers, but has none: start some and try again.")
        self._held = [
            client.submit(LinkStores, actor=True, pure=False, workers=[address])
            for address in addresses
        ]
        actors = [future.result() for future in self._held]
        with client.as_current():  # else an actor finds only the default client of this process
            self._workers = [(actor.make, actor.carry_out) for actor in actors]
        self._orders: list[list[StoreOrder]] = [[] for _ in addresses]
        self._blocks, self._keys, self._batches = count(), count(), count()
        self._under_way: deque[list[Any]] = deque()
        self._differences: dict[int, int] = {}
        self._void: set[int] = set()

    # Blocks.

    def begin(self, wanted: BlockOrder) -> Begun:
        """Hand out the order for a block to the worker of its link."""
        number, (make, _) = next(self._blocks), self._workers[self._place(wanted.link)]
        return Begun(wanted.link, number, make(number, wanted))

    def outcome(self, begun: Begun) -> BlockOutcome:
        """Return what became of it, when that is known."""
        made: BlockOutcome = _answer(begun.work)
        (watched,) = self.alarms.after([begun.link], made.counts[None])
        return replace(made, watched=watched)

    def keep(self, begun: Begun, bits: int) -> None:
        """Let the key of a block go into its link's store: whole bytes."""
        self._order(StoreOrder(StoreStep.KEEP, begun.link, begun.number, bits))

    def drop(self, begun: Begun) -> None:
        """Give a block up, with its key if there is one."""
        self._order(StoreOrder(StoreStep.FORGET, begun.link, begun.number))

    def empty(self, link: int) -> None:
        """Throw away all that a link has stored."""
        self._order(StoreOrder(StoreStep.EMPTY, link))

    def restart(self, link: int) -> None:
        """Begin a link's alarm anew."""
        self.alarms.restart(link)

    def close(self) -> None:
        """Let the workers forget the stores."""
        self._workers.clear()
        if self._held:
            self._client.cancel(self._held, force=True)
            self._held.clear()

    # Keys.

    def take(self, links: Iterable[int], bits: int) -> int:
        """Take the pads of a key from every link of its way; return the number of the key."""
        number = next(self._keys)
        for link in links:
            self._order(StoreOrder(StoreStep.TAKE, link, number, bits))
        return number

    def void(self, key: int) -> None:
        """Note that a key is void: whether its ends differ does not count."""
        self._void.add(key)

    @property
    def unequal(self) -> int:
        """Keys that differ at their two ends, of those whose pads were compared up to now."""
        return sum(
            bool(difference) and key not in self._void
            for key, difference in self._differences.items()
        )

    def send(self) -> None:
        """Send the orders that have come together, and take in what is answered."""
        batch = next(self._batches)
        self._under_way.append(
            [
                carry_out(batch, orders)
                for (_, carry_out), orders in zip(self._workers, self._orders, strict=True)
            ]
        )
        self._orders = [[] for _ in self._workers]
        while self._under_way and (
            len(self._under_way) > _MOST_UNDER_WAY or all(x.done() for x in self._under_way[0])
        ):
            self._take_in(self._under_way.popleft())

    def settle(self) -> None:
        """Wait until everything is carried out; nothing once the stores are closed."""
        if not self._workers:
            return
        self.send()
        while self._under_way:
            self._take_in(self._under_way.popleft())

    def _take_in(self, answers: list[Any]) -> None:
        for answer in answers:
            for key, difference in _answer(answer).items():
                self._differences[key] = self._differences.get(key, 0) ^ difference

    def _order(self, order: StoreOrder) -> None:
        self._orders[self._place(order.link)].append(order)

    def _place(self, link: int) -> int:
        """Which worker a link belongs to."""
        return link % len(self._orders)


def _answer(work: Any) -> Any:
    """Return what a worker answers.

    Raises:
        ValueError: The worker is lost.
    """
    try:
        return work.result()
    except OSError:  # what Dask makes of a worker that does not answer
        raise ValueError(_LOST) from None
