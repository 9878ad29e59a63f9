"""Keys that a running network makes for others, with where they come from, and its alarms.

What is said here of a key is what the protocol knows.  Who listens, and which relay tells what it
passes on, only the simulator knows, and no `News` is about that.
"""

import math
import secrets
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from e91.keys.provenance import Provenance, all_theorems, attacks_covered_by_all
from e91.model.numbers import check_not_negative
from e91.network.comparing import HASH_KEY_BYTES, PAD_BYTES, compare
from e91.network.graph import Route
from e91.network.layout import NetworkPlan, RateMode, SiteKind
from e91.network.link_events import Simulation
from e91.network.link_life import LinkLife
from e91.network.traffic import Asked, DeliveredKey, Traffic
from e91.system.documents import did_you_mean

MOST_BITS_AT_ONCE = 2**13
"""Bits of a key that are asked of a network at once, the hash's pad included."""

_KEPT_BLOCKS = 64  # that are used up: a key may still be under way for some of them
_MOST_NOTED = 1024  # keys that a link remembers for the case that its alarm rings


@dataclass(frozen=True, eq=False)
class SuppliedKey:
    """A key that two sites have: equal at both, as far as a comparison of hashes shows.

    Attributes:
        ends: The two sites.
        contents: The key at each.
        provenance: Where it comes from.

    Examples:
        >>> from e91.model.trust import SecurityModel
        >>> origin = Provenance(SecurityModel.TRUSTED_ANALYSERS, theorem=None, attacks=None,
        ...     epsilon=1e-9, bell_test=True, chsh=None, chsh_lower_bound=None,
        ...     route=("A", "R", "B"), relays=("R",), disjoint_paths=1, reproducible=True,
        ...     made_at=1.8e9, source="example")
        >>> key = SuppliedKey(("A", "B"), (bytes(32), bytes(32)), origin)
        >>> key.provenance.relays, len(key.contents[0])
        (('R',), 32)
    """

    ends: tuple[str, str]
    contents: tuple[bytes, bytes] = field(repr=False)
    provenance: Provenance


@dataclass(frozen=True)
class UnequalKey:
    """A key that differed at its two ends, and was thrown away.

    Attributes:
        ends: The two sites.
        relays: Who passed it on: one of them altered it, or an error was left in a link's key.
        bits: Its length.

    Examples:
        >>> UnequalKey(("A", "B"), relays=("R",), bits=256)
        UnequalKey(ends=('A', 'B'), relays=('R',), bits=256)
    """

    ends: tuple[str, str]
    relays: tuple[str, ...]
    bits: int


@dataclass(frozen=True)
class LinkRang:
    """A link's alarm.

    Attributes:
        link: Its name.
        ends: Its two sites.
        since: Keys whose oldest bits were made before this moment have none of the link that are
            in doubt; seconds since 1970.
        reason: What the link's test says, a clause.

    Examples:
        >>> LinkRang("A-R", ("A", "R"), since=1.8e9, reason="S fell").link
        'A-R'
    """

    link: str
    ends: tuple[str, str]
    since: float
    reason: str


@dataclass(frozen=True)
class LinkReturned:
    """A link is in service again after its alarm.

    Attributes:
        link: Its name.
        ends: Its two sites.

    Examples:
        >>> LinkReturned("A-R", ("A", "R"))
        LinkReturned(link='A-R', ends=('A', 'R'))
    """

    link: str
    ends: tuple[str, str]


News = SuppliedKey | UnequalKey | LinkRang | LinkReturned
"""What a supply tells, in the order in which it happened."""


@dataclass(frozen=True)
class _Block:
    """What the protocol knows of a block of a link: when it ended, and its Bell test."""

    ended_at: float
    chsh: float | None
    lower_bound: float | None


@dataclass(eq=False)
class _Watch:
    """What is remembered of a link while it is watched.

    Attributes:
        blocks: Those whose key may still be in its store, by number.
        least_evidence: The lowest evidence against its promise since its test began.
        least_at: When the block began after which it was so low: before, nothing is in doubt.
        ended_at: When the last block ended.
        newer: Of keys that were supplied: when their youngest block of this link ended, and when
            the oldest block of any of their links did.
        rang: Whether its alarm rang and it is not back.
    """

    least_at: float
    ended_at: float
    blocks: dict[int, _Block] = field(default_factory=dict)
    least_evidence: float = math.inf
    newer: deque[tuple[float, float]] = field(default_factory=deque)
    rang: bool = False

    def note_key(self, youngest: float, oldest: float) -> None:
        """Note a key that was supplied; of very many, two old ones become one, in doubt earlier."""
        self.newer.append((youngest, oldest))
        if len(self.newer) > _MOST_NOTED:
            one, other = self.newer.popleft(), self.newer.popleft()
            self.newer.appendleft((max(one[0], other[0]), min(one[1], other[1])))


@dataclass(eq=False)
class _Order:
    """A key that was asked for."""

    ends: tuple[str, str]
    bits: int
    is_void: bool = False


class KeySupply:
    """The keys that a running network makes for others, besides its own demand.

    All its methods belong to the thread that owns the simulation.

    Attributes:
        simulation: The network, at depth ``"bits"``.
        source: What the provenance of its keys calls it.
        outstanding: Bits that were asked for and have not come, by the two sites.

    Args:
        simulation: The network before its first second.
        source: As above.
        clock: Returns the time; seconds since 1970.
        tell: Is given the news.
        doubt_s: Seconds before the moment that an alarm states which are in doubt, too.

    Raises:
        ValueError: The simulation draws no key bits, or ``doubt_s`` is negative.

    Examples:
        >>> from e91.network import begin, generate
        >>> simulation = begin(generate(users=4, relays=2, seed=1), seed=1)
        >>> news = deque()
        >>> supply = KeySupply(simulation, source="example", clock=lambda: 1.8e9, tell=news.append)
        >>> supply.ask("U001", "U002", 256)    # comes as the simulation advances
        >>> dict(supply.outstanding)
        {('U001', 'U002'): 256}
        >>> simulation.close()
    """

    def __init__(
        self,
        simulation: Simulation,
        *,
        source: str,
        clock: Callable[[], float],
        tell: Callable[[News], None],
        doubt_s: float = 0.0,
    ) -> None:
        check_not_negative(doubt_s=doubt_s)
        users = simulation.users
        if not isinstance(users, Traffic) or not users.real:
            raise ValueError(
                "`simulation` must draw key bits to supply keys, but its rates are published or "
                "its depth is 'counts'."
            )
        self.simulation, self.source = simulation, source
        self.outstanding: Counter[tuple[str, str]] = Counter()
        self._traffic, self._clock, self._tell, self._doubt_s = users, clock, tell, doubt_s
        now = clock()
        self._watches = [_Watch(now, now) for _ in simulation.lives]
        self._also, simulation.watch = simulation.watch, self._watched

    def ask(self, source: str, target: str, bits: int) -> None:
        """Ask the network for a key; it comes as news, however long that takes.

        Args:
            source: Name of the site that sends it.
            target: Name of the site that gets it.
            bits: Its length: a multiple of 8, more than 0; several keys if it is large.

        Raises:
            ValueError: A site is none, or the length is.
        """
        check_pair(self.simulation.plan, source, target)
        if bits <= 0 or bits % 8:
            raise ValueError(f"`bits` must be a positive multiple of 8, but is {bits}.")
        most = MOST_BITS_AT_ONCE - 8 * PAD_BYTES
        for begin in range(0, bits, most):
            order = _Order((source, target), min(most, bits - begin))
            self.outstanding[order.ends] += order.bits
            self._order(self.simulation.now_s, order)

    def _order(self, now_s: float, order: _Order) -> None:
        """Ask for an order's key, and for another one should it become void on its way."""
        simulation = self.simulation
        order.is_void = False

        def received(key: DeliveredKey) -> None:
            simulation.at(key.acknowledged_s, self._release, (order, key))

        def done(time_s: float, served: bool) -> None:
            if not served:
                order.is_void = True
                simulation.at(time_s, self._order, replace(order))

        source, target = (simulation.graph.site_number[end] for end in order.ends)
        bits = order.bits + 8 * PAD_BYTES
        asked = Asked(source, target, bits, math.inf, done, received, counts=False)
        self._traffic.ask(asked, now_s=now_s)

    def _release(self, _: float, acknowledged: tuple[_Order, DeliveredKey]) -> None:
        """Compare a key at its two ends, now that the far one has it, and give it out."""
        order, key = acknowledged
        if order.is_void:
            return
        self.outstanding[order.ends] -= order.bits
        assert key.at_source is not None
        assert key.at_target is not None
        size, hash_key = key.bits // 8, secrets.token_bytes(HASH_KEY_BYTES)
        here, there = (
            compare(end.to_bytes(size, "big"), hash_key=hash_key)
            for end in (key.at_source, key.at_target)
        )
        if not here.agrees(there.message):
            self._tell(UnequalKey(order.ends, _relays(key), order.bits))
            return
        provenance = self._provenance(key)
        for link, block in key.rests_on:
            youngest = self._watches[link].blocks[block.number].ended_at
            self._watches[link].note_key(youngest, provenance.made_at)
        self._tell(SuppliedKey(order.ends, (here.kept, there.kept), provenance))

    def _provenance(self, key: DeliveredKey) -> Provenance:
        """Return where a key comes from."""
        route, lives = key.route, self.simulation.lives
        blocks = [self._watches[link].blocks[block.number] for link, block in key.rests_on]
        weakest = min(blocks, key=lambda block: block.lower_bound or 0.0)
        proofs = [
            practice.policy.proof.entry
            for link, _ in key.rests_on
            if (practice := lives[link].practice) is not None
        ]
        assert route.weakest is not None
        return Provenance(
            security=route.weakest,
            theorem=all_theorems(entry.name for entry in proofs),
            attacks=attacks_covered_by_all({entry.attacks.value for entry in proofs}),
            epsilon=route.epsilon,
            bell_test=True,
            chsh=weakest.chsh,
            chsh_lower_bound=weakest.lower_bound,
            route=walk(route),
            relays=_relays(key),
            disjoint_paths=len(route.trusts),
            reproducible=self.simulation.seed is not None,
            made_at=min(block.ended_at for block in blocks),
            source=self.source,
        )

    # What the links' tests say.

    def _watched(self, life: LinkLife) -> None:
        """A block of a link is over: note it, and tell of its alarm."""
        self._also(life)
        watch, now = self._watches[life.index], self._clock()
        self._note_block(life, watch, now)
        if life.rang and not watch.rang:
            watch.rang = True
            self._tell(self._rang(life, watch))
        elif watch.rang and not life.rang:
            watch.rang = False
            self._tell(LinkReturned(life.plan.name, life.plan.ends))
        if life.rang or watch.rang:
            watch.least_evidence, watch.least_at = math.inf, now
        watch.ended_at = now

    def _note_block(self, life: LinkLife, watch: _Watch, now: float) -> None:
        """Note a block, and when the evidence against the link's promise was lowest."""
        outcome, pool = life.last, self.simulation.pools[life.index]
        assert outcome is not None
        assert outcome.watched is not None
        watch.blocks[life.number - 1] = _Block(now, outcome.chsh_value, outcome.lower_bound)
        kept = pool.blocks[0].number if pool.blocks else life.number - 1
        for number in [number for number in watch.blocks if number < kept - _KEPT_BLOCKS]:
            del watch.blocks[number]
        if not outcome.watched.rang and outcome.watched.log_evidence <= watch.least_evidence:
            watch.least_evidence, watch.least_at = outcome.watched.log_evidence, watch.ended_at
            while watch.newer and watch.newer[0][0] <= watch.least_at - self._doubt_s:
                watch.newer.popleft()

    def _rang(self, life: LinkLife, watch: _Watch) -> LinkRang:
        """Return a link's alarm, and from when on keys are in doubt.

        What the link made before the evidence against it was lowest is not in doubt: an estimate,
        as a weak attack needs some time until the evidence rises.  A key that has bits from after
        that may have older ones of other links, which date it.
        """
        since = watch.least_at - self._doubt_s
        dated = [made_at for youngest, made_at in watch.newer if youngest > since]
        cause = self.simulation.history.alarms[-1].reason
        return LinkRang(
            life.plan.name,
            life.plan.ends,
            min([since, *dated]),
            f"the alarm of link {life.plan.name} rang ({cause})",
        )


def check_pair(plan: NetworkPlan, *names: str) -> None:
    """Refuse two sites between which a network makes no key.

    Raises:
        ValueError: The plan's rates are published ones, a site is none of the network or is an
            optical switch, or the two are one.
    """
    if plan.rate is RateMode.PUBLISHED:
        raise ValueError(
            f"The network `{plan.name}` must simulate its links to supply keys, but its rates are "
            "published ones."
        )
    ends = [site.name for site in plan.sites if site.kind is not SiteKind.SWITCH]
    for name in names:
        if name not in ends:
            hint = did_you_mean(name, ends)
            raise ValueError(
                f"Keys must be between sites of the network, but `{name}` is none of "
                f"`{plan.name}`{hint}"
            )
    if len(set(names)) < len(names):
        raise ValueError(f"Keys must be between two sites, but both are `{names[0]}`.")


def _relays(key: DeliveredKey) -> tuple[str, ...]:
    return tuple(dict.fromkeys(relay for relays in key.route.trusts for relay in relays))


def walk(route: Route) -> tuple[str, ...]:
    """Return all sites of a route in a row: out by its first way, back by its next one, and so on.

    Neighbours in the row are then exactly the ends of the links that the key went over.

    Examples:
        >>> ways = (("R1",), ("R2", "R3"))
        >>> links = (("A-R1", "R1-B"), ("A-R2", "R2-R3", "R3-B"))
        >>> walk(Route("A", "B", links, ways, None, 0.0, ""))
        ('A', 'R1', 'B', 'R3', 'R2', 'A')
    """
    sites, ends = [route.source], (route.target, route.source)
    for number, relays in enumerate(route.trusts):
        sites += [*(relays if number % 2 == 0 else reversed(relays)), ends[number % 2]]
    return tuple(sites)
