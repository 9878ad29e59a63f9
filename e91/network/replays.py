"""Published incidents, replayed: what a run gave, beside what was printed of the network.

A plan carries what was printed (`PrintedOutcome`); each kind of outcome is read off a report by one
function here.  That a row agrees shows no more than the plan's limits leave: whoever prints rows
prints those too.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from e91.network.history import Alarmed, Refill, Samples, Way
from e91.network.layout import (
    Call,
    Measure,
    NetworkPlan,
    Origin,
    PrintedOutcome,
    Quantity,
    Rotation,
    Transfer,
)
from e91.network.plan_format import size_of

_SLACK = 1e-9  # of rounding, relative to what is compared

NO_WAY, NO_RELAY = "none", "direct"


class ReportedRun(Protocol):
    """What a replay takes from the report of a run; each as in `NetworkReport`."""

    @property
    def plan(self) -> NetworkPlan:
        """The network."""

    @property
    def simulated_s(self) -> float:
        """Time that passed."""

    @property
    def ways(self) -> tuple[Way, ...]:
        """Ways that keys took."""

    @property
    def refills(self) -> tuple[Refill, ...]:
        """Of the stores of encryptors."""

    @property
    def alarms(self) -> tuple[Alarmed, ...]:
        """All alarms."""

    @property
    def samples(self) -> Samples:
        """Levels in time."""

    @property
    def late(self) -> int:
        """Requests that had to wait."""

    @property
    def missed(self) -> int:
        """Requests that waited in vain."""

    @property
    def bits_per_hop(self) -> float | None:
        """Bits that a link spends for a delivery."""


@dataclass(frozen=True)
class Replayed:
    """An outcome of a run beside what was printed.

    Attributes:
        quantity: What it is.
        printed: As printed, with its unit.
        simulated: What the run gave, in words.
        band: How near it must come, in words.
        agrees: Whether it does.
        origin: ``"paper"``, ``"derived"`` from what is printed, or ``"fitted"``: then agreement
            shows nothing.
        note: What agreement does or does not show.
        printed_value: The printed number in ``unit``; None of ways.
        simulated_value: The run's; None of ways, and of what did not happen.
        unit: Of both.
        source: Where it was printed.

    Examples:
        >>> row = Replayed("requests that failed", "none (0)", "0", "0", True, "paper", "")
        >>> row.verdict
        'yes'
    """

    quantity: str
    printed: str
    simulated: str
    band: str
    agrees: bool
    origin: str
    note: str
    printed_value: float | None = None
    simulated_value: float | None = None
    unit: str = ""
    source: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)

    @property
    def verdict(self) -> str:
        """Whether it agrees, in a word or two."""
        if not self.agrees:
            return "no"
        return "by construction" if self.origin == Origin.FITTED.value else "yes"


def replayed(report: ReportedRun) -> tuple[Replayed, ...]:
    """Return what a run gave beside what was printed of its network.

    Args:
        report: Of a plan with printed outcomes.

    Returns:
        A row for each, in the order of the plan; none if the run is shorter than
        `NetworkPlan.minutes`, as the story was not over.

    Examples:
        >>> from e91.network import load
        >>> plan = load("cambridge-2019")
        >>> row = replayed(plan.run(minutes=plan.minutes, seed=1))[0]
        >>> row.quantity, row.printed, row.simulated, row.agrees
        ('requests that failed', 'none (0)', '0', True)
    """
    if report.simulated_s < 60 * report.plan.minutes:
        return ()
    return tuple(_row(report, outcome) for outcome in report.plan.printed)


def _row(report: ReportedRun, outcome: PrintedOutcome) -> Replayed:
    found = _MEASURES[outcome.measure](report, outcome)
    words, origin, number = outcome.words, outcome.origin.value, outcome.number
    if number is None:
        same = found == words
        return Replayed(outcome.quantity, words, str(found), "the same", same, origin, outcome.note)
    assert number.value is not None
    unit, value = outcome.shown_in, None
    if found is not None:
        value = float(found) / size_of(unit)[1]
    printed = number.value * size_of(number.unit)[1] / size_of(unit)[1]
    return Replayed(
        outcome.quantity,
        _printed(outcome, number),
        _said(value, unit),
        outcome.limit or f"± {_said(outcome.within, unit)}",
        value is not None and _is_near(value, printed, outcome),
        origin,
        outcome.note,
        printed_value=printed,
        simulated_value=value,
        unit=unit,
        source=number.source,
    )


def _printed(outcome: PrintedOutcome, number: Quantity) -> str:
    """Return what was printed in its own words or digits, or what is derived from it."""
    read = str(replace(number, assumed=False))
    if outcome.words:
        return f"{outcome.words} ({read})"
    return f"{read} (derived)" if outcome.origin is Origin.DERIVED else str(number)


def _is_near(value: float, printed: float, outcome: PrintedOutcome) -> bool:
    slack = _SLACK * max(abs(value), abs(printed))
    if outcome.limit:
        return value >= printed - slack if outcome.limit == "at least" else value <= printed + slack
    assert outcome.within is not None
    return abs(value - printed) <= outcome.within + slack


def _said(value: float | None, unit: str) -> str:
    if value is None:
        return "did not happen"
    digits = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return digits if unit == "1" else f"{digits} {unit}"


# Ways.


def sites_passed(plan: NetworkPlan, way: Way) -> tuple[tuple[str, ...], ...]:
    """Return the sites of a way from its source to its target, of each of its strands.

    Args:
        plan: The network.
        way: Of `NetworkReport.ways`, with links.
    """
    strands, sites = [], [way.source]
    for name in way.links or ():
        one, other = plan.link[name].ends
        sites.append(other if sites[-1] == one else one)
        if sites[-1] == way.target:
            strands.append(tuple(sites))
            sites = [way.source]
    return tuple(strands)


def _relays(plan: NetworkPlan, way: Way) -> str:
    if way.links is None:
        return NO_WAY
    between = ["-".join(sites[1:-1]) or NO_RELAY for sites in sites_passed(plan, way)]
    return " and ".join(between)


def _ways(report: ReportedRun) -> list[tuple[float, str]]:
    """Return when the keys of the plan's first call or encryptor took which way."""
    pairs = [
        (wanted.source, wanted.target)
        for wanted in report.plan.demand
        if isinstance(wanted, Call | Transfer | Rotation)
    ]
    return [
        (way.time_s, _relays(report.plan, way))
        for way in report.ways
        if not way.of_relays and (way.source, way.target) in pairs[:1]
    ]


def _in_use(report: ReportedRun, way: str) -> tuple[float, float] | None:
    """Return when a way was first used and when that ended: another way, the call, or the run."""
    ends = [wanted.end_s for wanted in report.plan.demand if isinstance(wanted, Call)]
    over_s = min([report.simulated_s, *ends[:1]])
    ways = [*_ways(report), (over_s, "")]
    for (begin_s, now), (end_s, _) in pairwise(ways):
        if now == way:
            return begin_s, min(end_s, over_s)
    return None


def _order(report: ReportedRun, _: PrintedOutcome) -> str:
    return ", ".join(dict.fromkeys(way for _, way in _ways(report)))


def _all_ways(report: ReportedRun, _: PrintedOutcome) -> str:
    return ", ".join(way for _, way in _ways(report))


def _first_use(report: ReportedRun, outcome: PrintedOutcome) -> float | None:
    used = _in_use(report, outcome.way)
    return None if used is None else used[0]


def _length(report: ReportedRun, outcome: PrintedOutcome) -> float | None:
    used = _in_use(report, outcome.way)
    return None if used is None else used[1] - used[0]


def _returns(report: ReportedRun, _: PrintedOutcome) -> float:
    """Count returns to the first way, up to the first time without any."""
    ways = [way for _, way in _ways(report)]
    last = ways.index(NO_WAY) if NO_WAY in ways else len(ways)
    return ways[1:last].count(ways[0]) if ways else 0


# Stores.


def _column(report: ReportedRun, name: str, link: str) -> np.ndarray:
    number = [one.name for one in report.plan.links].index(link)
    return report.samples.column(name)[:, number]


def _between(report: ReportedRun, begin_s: float, end_s: float) -> tuple[int, int]:
    """Return the first and the last sample of a time."""
    times = np.array(report.samples.times_s)
    return int(np.searchsorted(times, begin_s)), int(np.searchsorted(times, end_s, "right")) - 1


def _least_store(report: ReportedRun, outcome: PrintedOutcome) -> float:
    return float(_column(report, "stored", outcome.link).min())


def _store_then(report: ReportedRun, outcome: PrintedOutcome) -> float | None:
    ways = _ways(report)
    if len(ways) < 2:
        return None
    _, last = _between(report, 0.0, ways[1][0])
    return float(_column(report, "stored", outcome.link)[last])


def _slope(report: ReportedRun, name: str, link: str, used: tuple[float, float]) -> float | None:
    first, last = _between(report, *used)
    if last <= first:
        return None
    values, times = _column(report, name, link), report.samples.times_s
    return float(values[last] - values[first]) / (times[last] - times[first])


def _spent(report: ReportedRun, outcome: PrintedOutcome) -> float | None:
    """Return the bits a second that a link spends until no way is left."""
    over = _in_use(report, NO_WAY)
    end_s = report.simulated_s if over is None else over[0]
    return _slope(report, "spent", outcome.link, (0.0, end_s))


def _net(report: ReportedRun, outcome: PrintedOutcome) -> float | None:
    """Return how fast a store grows while a way is first used; negative where it falls."""
    used = _in_use(report, outcome.way)
    return None if used is None else _slope(report, "stored", outcome.link, used)


# Alarms, requests, refills.


def _alarm_delay(report: ReportedRun, _: PrintedOutcome) -> float | None:
    return next((alarm.delay_s for alarm in report.alarms), None)


def _discarded(report: ReportedRun, _: PrintedOutcome) -> float | None:
    """Return the bits thrown away at the first alarm, a second since the attack began."""
    for alarm in report.alarms:
        if alarm.delay_s:
            return alarm.bits_lost / alarm.delay_s
    return None


def _without_key(report: ReportedRun, _: PrintedOutcome) -> float:
    """Return the seconds of a call whose key was not there when it was due."""
    chunks = [wanted.chunk_s for wanted in report.plan.demand if isinstance(wanted, Call)]
    return (report.late + report.missed) * math.fsum(chunks[:1])


def _failed(report: ReportedRun, _: PrintedOutcome) -> float:
    return report.missed


def _refill_every(report: ReportedRun, _: PrintedOutcome) -> float | None:
    """Return the longest time between two refills."""
    times = [refill.asked_s for refill in report.refills]
    return max((later - earlier for earlier, later in pairwise(times)), default=None)


def _fewest_keys(report: ReportedRun, _: PrintedOutcome) -> float | None:
    return min((refill.before for refill in report.refills), default=None)


def _most_keys(report: ReportedRun, _: PrintedOutcome) -> float | None:
    return max((refill.before + refill.keys for refill in report.refills), default=None)


def _per_hop(report: ReportedRun, _: PrintedOutcome) -> float | None:
    return report.bits_per_hop


_Measured = Callable[[ReportedRun, PrintedOutcome], float | str | None]

_MEASURES: Mapping[Measure, _Measured] = MappingProxyType(
    {
        Measure.ORDER: _order,
        Measure.WAYS: _all_ways,
        Measure.FIRST_USE: _first_use,
        Measure.LENGTH: _length,
        Measure.RETURNS: _returns,
        Measure.LEAST_STORE: _least_store,
        Measure.STORE_THEN: _store_then,
        Measure.SPENT: _spent,
        Measure.NET: _net,
        Measure.ALARM_DELAY: _alarm_delay,
        Measure.DISCARDED: _discarded,
        Measure.WITHOUT_KEY: _without_key,
        Measure.FAILED: _failed,
        Measure.REFILL_EVERY: _refill_every,
        Measure.FEWEST_KEYS: _fewest_keys,
        Measure.MOST_KEYS: _most_keys,
        Measure.PER_HOP: _per_hop,
    }
)
