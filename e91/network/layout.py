"""What a network is made of, as frozen values: places, links, light, receivers, demand, incidents.

A plan says what stands where and who shares keys with whom; nothing in it happens.  Every number
that somebody published is a `Quantity` with its source; a number that nobody published is marked
as assumed, never guessed in silence.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

from e91.model.numbers import (
    check_finite,
    check_fractions,
    check_not_negative,
    check_positive,
    check_whole,
    check_within,
)
from e91.optics import ContinuousSource, Detector, Downlink
from e91.optics.satellites import Station
from e91.optics.two_line_orbits import TwoLineOrbit

KEY_BITS = 256
"""Bits of a key that an application asks for, where a plan says nothing else."""

LONGEST_DAYS = 365_000
"""Simulated time at most: in a thousand years a time in seconds still has its ten microseconds."""


_BEFORE = (
    ">", "~", "about", "almost equal to", "approx.", "approximately", "around", "at most",
    "more than", "nearly", "up to", "within",
)  # fmt: skip
"""Qualifiers that are read before a number; others stand behind it."""


class SiteKind(Enum):
    """What stands at a site; the value is its name in a file.

    Examples:
        >>> SiteKind("relay")
        <SiteKind.RELAY: 'relay'>
    """

    USER = "user"
    RELAY = "relay"
    SWITCH = "switch"
    STATION = "station"


class RateMode(Enum):
    """Where the rates of a plan's links come from; the two are never mixed under one label.

    Examples:
        >>> RateMode("published")
        <RateMode.PUBLISHED: 'published'>
    """

    SIMULATED = "simulated"
    PUBLISHED = "published"


class IncidentKind(Enum):
    """What can happen to a link or a relay; the value is its name in a file.

    Examples:
        >>> IncidentKind("relay-dies")
        <IncidentKind.RELAY_DIES: 'relay-dies'>
    """

    ATTACK = "attack"
    CUT = "cut"
    SOURCE_FAILS = "source-fails"
    RELAY_DIES = "relay-dies"
    RELAY_TURNS = "relay-dishonest"


class Varied(Enum):
    """Which property of a link a variation changes; the value is its name in a file.

    Examples:
        >>> Varied("extra_loss_db").name
        'LOSS_DB'
    """

    LOSS_DB = "extra_loss_db"
    VISIBILITY = "visibility"
    BACKGROUND = "background_photons_per_second"
    EFFICIENCY = "efficiency"


class Measure(Enum):
    """What of a run is put beside what was printed; the value is its name in a file.

    Ways are of the first call or encryptor of the plan, said by their relays.

    Examples:
        >>> Measure("alarm-delay")
        <Measure.ALARM_DELAY: 'alarm-delay'>
    """

    ORDER = "order-of-ways"
    WAYS = "ways"
    FIRST_USE = "first-use"
    LENGTH = "length-of-use"
    RETURNS = "returns-to-first-way"
    LEAST_STORE = "least-store"
    STORE_THEN = "store-at-first-change"
    SPENT = "bits-spent-per-second"
    NET = "net-bits-per-second"
    ALARM_DELAY = "alarm-delay"
    DISCARDED = "bits-discarded-per-second"
    WITHOUT_KEY = "seconds-without-key"
    FAILED = "failed-requests"
    REFILL_EVERY = "refill-interval"
    FEWEST_KEYS = "fewest-keys"
    MOST_KEYS = "most-keys"
    PER_HOP = "bits-per-hop"


class Origin(Enum):
    """Where a printed outcome's number comes from; the value is its name in a file.

    Examples:
        >>> Origin("derived")
        <Origin.DERIVED: 'derived'>
    """

    PAPER = "paper"
    DERIVED = "derived"
    FITTED = "fitted"


@dataclass(frozen=True)
class Quantity:
    """A number, its unit, and where it comes from.

    Attributes:
        value: The number; None if nobody states it, or only as words.
        unit: Its unit.
        printed: The digits as the source prints them, or None for what nobody printed.
        printed_unit: The unit of these digits where it is another: ``"kbit/s"``; or empty.
        qualifier: Words that the source puts beside it: ``"average"``, ``">"``; or empty.
        spread: The spread as printed, or None.
        source: Where it stands: paper, then section, table or figure.
        seen: How it was read: ``"text"``, ``"table"``, ``"figure"``, ``"press"``, ``"inferred"``...
        agrees: Whether an independent source agrees.
        assumed: Whether it was assumed here.

    Examples:
        >>> Quantity(4800.0, "bit/s", printed="4.8", printed_unit="kbit/s", source="Table 2").value
        4800.0
    """

    value: float | None
    unit: str
    printed: str | None = None
    printed_unit: str = ""
    qualifier: str = ""
    spread: str | None = None
    source: str = ""
    seen: str = ""
    agrees: bool = False
    assumed: bool = False

    def __str__(self) -> str:
        if self.printed is None and self.value is None:
            return "not stated"
        digits = self.printed if self.printed is not None else f"{self.value:,.10g}"
        unit = self.printed_unit or self.unit
        before = self.qualifier in _BEFORE
        beside = [self.qualifier if not before else "", "assumed" if self.assumed else ""]
        words = [
            self.qualifier if before else "",
            digits,
            f"+- {self.spread}" if self.spread is not None else "",
            unit if unit != "1" else "",
            f"({', '.join(filter(None, beside))})" if any(beside) else "",
        ]
        return " ".join(filter(None, words))


@dataclass(frozen=True)
class Claim:
    """A sentence of the press about a network, quoted as a press claim.

    Attributes:
        words: As printed.
        source: Who printed it, and when.
        reading: What it may mean here, or why it cannot be simulated.

    Examples:
        >>> Claim("unbreakable", source="a newspaper, 2017", reading="Not simulated.").words
        'unbreakable'
    """

    words: str
    source: str
    reading: str = ""


@dataclass(frozen=True)
class Site:
    """A place of the network.

    Attributes:
        name: Unique in the network.
        kind: User, trusted relay, optical switch or ground station.
        x_km: East of the middle of the map.
        y_km: North of it.
        sector: Of a user: government, military, ...; None without.
        assumed: Whether the place is drawn by this project (nobody prints coordinates).

    Examples:
        >>> Site("R1", SiteKind.RELAY, x_km=0.0, y_km=3.5).kind.value
        'relay'
    """

    name: str
    kind: SiteKind
    x_km: float
    y_km: float
    sector: str | None = None
    assumed: bool = True

    def __post_init__(self) -> None:
        check_finite(x_km=self.x_km, y_km=self.y_km)


@dataclass(frozen=True)
class Light:
    """Source, fibre and receivers of one kind of link; lengths are each link's own.

    Attributes:
        name: What links call it.
        source: The pairs.
        window_s: Coincidence window; not above a dead time, so that a detector clicks at most once
            in it.
        detectors: Alice's and Bob's, two of each: receivers are active.
        source_position: Part of the way from the first end at which the source stands: 0 at the
            first end, 1/2 in the middle.
        db_per_km: Loss of the fibre where a link states none.
        coupling_db: Loss of either arm before the fibre begins.
        receiver_db: Loss of either receiver's optics.
        switch_db: Loss of the optical switch on the second arm, 0 without.
        dispersion_ps_per_nm_km: Of the fibre.
        visibility: What polarisation control leaves on an arm that is longer than nothing.
        bit_error: Chance that a pair's outcomes differ when it leaves the source.
        block_rounds: Coincidences of a block, each a session of its own.
        revealed_fraction: Part of the key rounds that is revealed; None takes the best for a
            typical link of the kind, as do empty probabilities.
        alice_probabilities: Of the settings; empty for the best ones.
        bob_probabilities: The same.
        epsilon: Failure probability of a block's key.
        assumed: Whether nobody published these numbers.
        note: What they rest on.

    Examples:
        >>> source = ContinuousSource(1.7e7, coherence_time_s=4.4e-12, bandwidth_nm=0.8)
        >>> light = Light("access", source, 250e-12, detectors=(Detector(0.8), Detector(0.8)))
        >>> light.db_per_km, light.block_rounds, light.assumed
        (0.3, 1048576, True)
    """

    name: str
    source: ContinuousSource
    window_s: float
    detectors: tuple[Detector, Detector]
    source_position: float = 0.0
    db_per_km: float = 0.3
    coupling_db: float = 3.0
    receiver_db: float = 1.5
    switch_db: float = 0.0
    dispersion_ps_per_nm_km: float = 17.0
    visibility: float = 0.99
    bit_error: float = 0.005
    block_rounds: int = 2**20
    revealed_fraction: float | None = None
    alice_probabilities: tuple[float, ...] = ()
    bob_probabilities: tuple[float, ...] = ()
    epsilon: float = 1e-10
    assumed: bool = True
    note: str = ""

    def __post_init__(self) -> None:
        check_positive(window_s=self.window_s)
        for detector in self.detectors:
            if 0 < detector.dead_time_s < self.window_s:
                raise ValueError(
                    f"`window_s` must not be above a detector's dead time of "
                    f"{detector.dead_time_s:g} s, but is {self.window_s:g}."
                )
        check_fractions(
            source_position=self.source_position,
            visibility=self.visibility,
            bit_error=self.bit_error,
        )
        check_not_negative(
            db_per_km=self.db_per_km,
            coupling_db=self.coupling_db,
            receiver_db=self.receiver_db,
            switch_db=self.switch_db,
        )
        check_whole(least=1, block_rounds=self.block_rounds)


@dataclass(frozen=True)
class LinkPlan:
    """A link between two sites.

    Attributes:
        name: ``"A-B"`` unless a file names it otherwise; unique.
        ends: The two sites; Alice's is the first.
        light: Name of its `Light`; empty in a network whose rates are published ones.
        length_km: Of the fibre, or the free path.
        loss_db: Of the fibre; None takes the length times `Light.db_per_km`.
        medium: ``"fibre"``, ``"aerial-fibre"``, ``"free-space"``, ``"satellite"`` or ``"stored"``.
        receiver: Name of the receiver that it shares in time with other links; None has its own.
        protocol: What ran there, as published: ``"bbm92"``, ``"decoy-bb84"``, ...; empty if E91.
        bits_per_second: Key rate that it has in a plan of published rates; None makes nothing.  A
            plan of simulated rates carries it to be shown beside its own and never uses it.
        rated_bits_per_second: Published key rate where the plan's story has it run at another one,
            as when most devices were off; else None.
        qber: Published error rate, or None.
        delivery_bits: Key bits that a published rate brings at once; 0 for every second's worth.
        store_bits: Key bits in the store at the start; None takes the plan's `store_s`.
        least_store_bits: Below this store the link may not be used.

    Examples:
        >>> link = LinkPlan("U-R", ("U", "R"), "access", Quantity(5.0, "km", assumed=True))
        >>> link.medium, link.length_km.value, link.loss_db is None
        ('fibre', 5.0, True)
    """

    name: str
    ends: tuple[str, str]
    light: str
    length_km: Quantity
    loss_db: Quantity | None = None
    medium: str = "fibre"
    receiver: str | None = None
    protocol: str = ""
    bits_per_second: Quantity | None = None
    rated_bits_per_second: Quantity | None = None
    qber: Quantity | None = None
    delivery_bits: int = 0
    store_bits: int | None = None
    least_store_bits: int = 0


@dataclass(frozen=True)
class SharedReceiver:
    """A receiver, or source, that an optical switch gives to one link after the other.

    Attributes:
        name: What links call it.
        switch_s: Time that is lost at every turn of the switch.

    Examples:
        >>> SharedReceiver("R1 west", switch_s=0.1)
        SharedReceiver(name='R1 west', switch_s=0.1)
    """

    name: str
    switch_s: float = 0.05

    def __post_init__(self) -> None:
        check_not_negative(switch_s=self.switch_s)


@dataclass(frozen=True)
class Requests:
    """Keys asked for at random: a Poisson process over pairs of users.

    Attributes:
        keys_per_second: Of the whole network.
        key_bits: Bits of a key.
        within_sector: Part of them between users of one sector; the rest between any two.
        sectors: Only users of these sectors; empty for all.

    Examples:
        >>> asked = Requests(keys_per_second=5.0)
        >>> asked.key_bits, asked.within_sector
        (256, 0.7)
    """

    keys_per_second: float
    key_bits: int = KEY_BITS
    within_sector: float = 0.7
    sectors: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_not_negative(keys_per_second=self.keys_per_second)
        check_whole(least=1, key_bits=self.key_bits)
        check_fractions(within_sector=self.within_sector)


@dataclass(frozen=True)
class Call:
    """A call or a stream under one-time pad, which needs key bits at a steady rate for a time.

    Attributes:
        source: Who calls.
        target: Who is called.
        bits_per_second: Key bits that it spends, end to end.
        start_s: When it begins.
        end_s: When it ends.
        chunk_s: Seconds of it for which key is asked at once.
        carries: Name of the medium that needs so much both ways, in `e91.encryption.key_needs`;
            empty if only the rate is known.

    Examples:
        >>> call = Call("U1", "U2", bits_per_second=16_000.0, start_s=10.0, end_s=70.0)
        >>> call.bits_per_second * (call.end_s - call.start_s)    # key bits that it spends
        960000.0
    """

    source: str
    target: str
    bits_per_second: float
    start_s: float = 0.0
    end_s: float = float("inf")
    chunk_s: float = 1.0
    carries: str = ""

    def __post_init__(self) -> None:
        check_positive(bits_per_second=self.bits_per_second, chunk_s=self.chunk_s)
        check_not_negative(start_s=self.start_s)


@dataclass(frozen=True)
class Transfer:
    """A file under one-time pad, asked for at once.

    Attributes:
        source: Who sends.
        target: Who receives.
        bits: Size of the file.
        start_s: When it is asked for.

    Examples:
        >>> Transfer("U1", "U2", bits=8 * 10**6, start_s=30.0).bits
        8000000
    """

    source: str
    target: str
    bits: int
    start_s: float = 0.0


@dataclass(frozen=True)
class Rotation:
    """An encryptor that changes its key at fixed times, from a small store of keys of its own.

    Attributes:
        source: One end.
        target: The other.
        every_s: Time between two changes of the key.
        key_bits: Bits of a key.
        store_keys: Keys that the encryptors hold; 0 asks for each key when it is due.
        refill_at: The store is filled up when it is down to this number of keys.

    Examples:
        >>> encryptor = Rotation("U1", "U2", every_s=60.0, store_keys=10, refill_at=2)
        >>> encryptor.key_bits / encryptor.every_s    # key bits a second
        4.266666666666667
    """

    source: str
    target: str
    every_s: float
    key_bits: int = KEY_BITS
    store_keys: int = 0
    refill_at: int = 0

    def __post_init__(self) -> None:
        check_positive(every_s=self.every_s)
        check_whole(least=1, key_bits=self.key_bits)
        check_whole(store_keys=self.store_keys, refill_at=self.refill_at)


class ListedRequest(NamedTuple):
    """One key that is asked for.

    Attributes:
        time_s: When.
        source: Who asks.
        target: With whom.
        bits: Of the key.

    Examples:
        >>> ListedRequest(12.5, "U1", "U2", bits=256)
        ListedRequest(time_s=12.5, source='U1', target='U2', bits=256)
    """

    time_s: float
    source: str
    target: str
    bits: int


@dataclass(frozen=True)
class RequestList:
    """Keys asked for one by one, as a file lists them.

    Attributes:
        file: Name of the file.
        requests: In the order of time.

    Examples:
        >>> listed = RequestList("day.csv", (ListedRequest(12.5, "U1", "U2", 256),))
        >>> len(listed.requests), listed
        (1, RequestList(file='day.csv'))
    """

    file: str
    requests: tuple[ListedRequest, ...] = field(repr=False)


Demand = Requests | RequestList | Call | Transfer | Rotation

DEMAND_TABLES: Mapping[type[Demand], str] = MappingProxyType(
    {
        Requests: "requests",
        RequestList: "request_files",
        Call: "calls",
        Transfer: "transfers",
        Rotation: "rotations",
    }
)
"""What a file calls the list of each kind of demand."""


def pairs_of(demand: Demand) -> tuple[tuple[str, str], ...]:
    """Return the pairs of sites that a demand names, each once; none of what is drawn at random."""
    match demand:
        case Requests():
            return ()
        case RequestList():
            return tuple(dict.fromkeys((one.source, one.target) for one in demand.requests))
        case _:
            return ((demand.source, demand.target),)


@dataclass(frozen=True)
class Incident:
    """Something that happens to a link or a relay.

    Attributes:
        kind: What.
        target: Name of the link or the site.
        start_s: When it begins.
        end_s: When it ends; infinite if it does not.
        attack: Of an attack: the adversary's name in `e91.adversaries`.
        strength: Of an attack, as that adversary defines it.

    Examples:
        >>> cut = Incident(IncidentKind.CUT, "U-R", start_s=60.0, end_s=120.0)
        >>> cut.target, cut.end_s - cut.start_s
        ('U-R', 60.0)
    """

    kind: IncidentKind
    target: str
    start_s: float
    end_s: float = float("inf")
    attack: str = ""
    strength: float | None = None


@dataclass(frozen=True)
class PrintedOutcome:
    """An outcome that was printed of a network, and how near a run must come to it.

    Attributes:
        quantity: What it is, in words.
        measure: How it is read off a run.
        number: What was printed; None of ways, which are words.
        words: Ways as printed; of a number, what is printed where it is no digits, or empty.
        origin: Whether the paper prints it, whether it is derived from what is printed, or whether
            the plan was made or fitted for it, so that agreement shows nothing.
        within: How far a run may be off, in `shown_in`; None takes ``limit``.
        limit: ``"at least"`` or ``"at most"`` where the number is one; empty otherwise.
        shown_in: The unit of ``within`` and of what the run gives.
        way: The way that it is about, by its relays: ``"ERD-SIE"``, ``"direct"`` or ``"none"``;
            or empty.
        link: The link that it is about, or empty.
        note: What agreement does or does not show.

    Examples:
        >>> printed = Quantity(0.0, "1", printed="none")
        >>> PrintedOutcome("requests that failed", Measure.FAILED, printed, within=0.0).origin.value
        'paper'
    """

    quantity: str
    measure: Measure
    number: Quantity | None
    words: str = ""
    origin: Origin = Origin.PAPER
    within: float | None = None
    limit: str = ""
    shown_in: str = "1"
    way: str = ""
    link: str = ""
    note: str = ""


@dataclass(frozen=True)
class Variation:
    """How a property of some links changes with time: a polygon through points, perhaps periodic.

    Attributes:
        links: Names of the links.
        varied: Which property.
        times_s: Ascending, the first one 0; seconds.
        values: At these times, in the property's unit.
        period_s: After which it repeats; None keeps the last value.
        source: Where the numbers come from, or ``"assumed"``.

    Examples:
        >>> times_s, loss_db = (0.0, 43_200.0), (0.0, 1.5)
        >>> day = Variation(("U-R",), Varied.LOSS_DB, times_s, loss_db, period_s=86_400.0)
        >>> day.varied.value, day.values
        ('extra_loss_db', (0.0, 1.5))
    """

    links: tuple[str, ...]
    varied: Varied
    times_s: tuple[float, ...]
    values: tuple[float, ...]
    period_s: float | None = None
    source: str = "assumed"


@dataclass(frozen=True)
class Satellite:
    """A satellite whose passes give links of medium ``"satellite"`` their light.

    Attributes:
        name: What it is called.
        orbit: Its elements as published; they start when a simulation of it begins.
        sun_below_deg: Height of the Sun at a station from which on it is dark enough; negative.
        clear_fraction: Part of the nights with a clear sky, at each station for itself.
        aboard_loss_db: From the source to a receiver on the satellite, for a trusted relay.
        stations: The telescopes, each by the name of its site.
        downlinks: The beam to each of them, in the same order.
        lowest_elevation_deg: For each satellite link by name: below this height above the horizon
            of either station there is no link.
        assumed: Which of these are assumed, by name.

    Examples:
        >>> from e91.network import load
        >>> satellite = load("micius").satellite
        >>> satellite.name, [station.name for station in satellite.stations]
        ('Micius', ['Delingha', 'Nanshan', 'Lijiang', 'Xinglong'])
    """

    name: str
    orbit: TwoLineOrbit
    sun_below_deg: float
    clear_fraction: float
    aboard_loss_db: float
    stations: tuple[Station, ...]
    downlinks: tuple[Downlink, ...]
    lowest_elevation_deg: dict[str, float]
    assumed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_within(-90, 0, sun_below_deg=self.sun_below_deg)
        check_fractions(clear_fraction=self.clear_fraction)
        check_not_negative(aboard_loss_db=self.aboard_loss_db)
        for name, lowest in self.lowest_elevation_deg.items():
            check_within(0, 90, **{f"lowest_elevation_deg.{name}": lowest})

    @cached_property
    def downlink(self) -> dict[str, Downlink]:
        """The beams by station."""
        names = (station.name for station in self.stations)
        return dict(zip(names, self.downlinks, strict=True))


@dataclass(frozen=True)
class NetworkPlan:
    """A network before anything happens in it.

    Attributes:
        name: What users call it.
        title: Its full name.
        reference: Where it is described.
        summary: What it is, in a sentence.
        variant: Which variant of its file this is; empty for the only one.
        licence: Of what was taken from there.
        rate: Where its links' rates come from.
        sites: All places.
        links: All links.
        lights: The kinds of links.
        receivers: Those shared in time.
        demand: Who wants keys.
        incidents: What happens, in the file.
        variations: What changes with time.
        satellite: Whose passes its satellite links wait for; None without.
        claims: What the press said.
        facts: Published numbers about the network as a whole, by name.
        limits: What a simulation of it cannot claim, a sentence each.
        printed: Outcomes that were printed, to be put beside those of a run.
        minutes: Simulated time that a run takes where nobody says how long: of a network with a
            story, until it is over.
        rule: Name of the routing rule.
        store_s: Seconds of its own key rate with which every store begins.
        store_limit_s: Seconds of its own key rate at which a full store stops its link.
        patience_s: How long a request waits before it is missed.
        good_blocks: Blocks with key after which a link that rang is used again.
        keep_store_after_alarm: Whether key that was stored before an alarm may still be used.

    Examples:
        >>> places = ("A", SiteKind.USER), ("R", SiteKind.RELAY), ("B", SiteKind.USER)
        >>> km = Quantity(5.0, "km", assumed=True)
        >>> plan = NetworkPlan("three", "Three sites", "an example",
        ...     sites=tuple(Site(name, kind, 0, 0) for name, kind in places),
        ...     links=(LinkPlan("A-R", ("A", "R"), "", km), LinkPlan("R-B", ("R", "B"), "", km)))
        >>> [user.name for user in plan.users], plan.rule, plan.minutes
        (['A', 'B'], 'fewest-hops', 10.0)
    """

    name: str
    title: str
    reference: str
    sites: tuple[Site, ...]
    links: tuple[LinkPlan, ...]
    lights: tuple[Light, ...] = ()
    receivers: tuple[SharedReceiver, ...] = ()
    demand: tuple[Demand, ...] = ()
    incidents: tuple[Incident, ...] = ()
    variations: tuple[Variation, ...] = ()
    satellite: Satellite | None = None
    licence: str = ""
    summary: str = ""
    variant: str = ""
    rate: RateMode = RateMode.SIMULATED
    claims: tuple[Claim, ...] = ()
    facts: dict[str, Quantity] = field(default_factory=dict)
    limits: tuple[str, ...] = ()
    printed: tuple[PrintedOutcome, ...] = ()
    minutes: float = 10.0
    rule: str = "fewest-hops"
    store_s: float = 20.0
    store_limit_s: float = 60.0
    patience_s: float = 1.0
    good_blocks: int = 3
    keep_store_after_alarm: bool = False

    @cached_property
    def site(self) -> dict[str, Site]:
        """The sites by name."""
        return {site.name: site for site in self.sites}

    @cached_property
    def link(self) -> dict[str, LinkPlan]:
        """The links by name."""
        return {link.name: link for link in self.links}

    @cached_property
    def light(self) -> dict[str, Light]:
        """The kinds of light by name."""
        return {light.name: light for light in self.lights}

    @cached_property
    def users(self) -> tuple[Site, ...]:
        """The sites that ask for keys: those of users, or without one those that the demand names.

        In some networks every node is a trusted relay with applications of its own.
        """
        found = tuple(site for site in self.sites if site.kind is SiteKind.USER)
        named = {end for demand in self.demand for pair in pairs_of(demand) for end in pair}
        return found or tuple(site for site in self.sites if site.name in named)
