"""What became of a network: keys, requests, alarms, and where every bit is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from e91.model.drawn import Drawn
from e91.network.bound import Bound
from e91.network.fluid import FALSE_ALARM_PER_SECOND
from e91.network.history import Alarmed, Event, Refill, Samples, Way
from e91.network.layout import NetworkPlan, RateMode, Requests
from e91.network.replays import Replayed, replayed
from e91.system.folding_layout import FoldingLayout, folding_page
from e91.system.report_layout import WIDTH, Layout

_MOST_EVENTS = 12  # in the text


@dataclass(frozen=True)
class LinkBits:
    """Key bits of a link, exactly: made = spent + lost + stored.

    Attributes:
        made: By its blocks.
        spent: As pads of keys that were delivered.
        lost: Thrown away.
        stored: Left at both ends.
    """

    made: int
    spent: int
    lost: int
    stored: int


@dataclass(frozen=True, eq=False)
class NetworkReport(Drawn):
    """What happened in a network in a time.

    Attributes:
        plan: The network.
        depth: ``"bits"``: every round drawn, real key at both ends; ``"counts"``: every block's
            public counts drawn, no key; ``"published"``: published rates flowed.
        seed: Root of all randomness, or None for the operating system's; keys of a seeded run are
            not secret.
        rule: Name of the routing rule.
        simulated_s: Time that passed in the network, from zero.
        seconds: Time that it took here, set-up and the filling of the stores included.
        served: Requests whose key was delivered to both ends.
        late: Those of them that had to wait.
        missed: Requests that waited in vain, or whose key became void on its way.
        waiting: Requests that wait still.
        deliveries: Keys that went over links: those of requests, but for the ones that encryptors
            had in store, and the refills of these stores, each a key.
        delivered_bits: Key bits delivered to both ends.
        hops: Links that delivered keys used, in sum.
        most_hops: Of one key.
        unequal: Keys that differed at their two ends; 0 unless error correction failed unseen.
        betrayed: Delivered keys that dishonest relays passed on to Eve.
        links: Bits of every link, in the order of the plan.
        lost_by: Bits lost, by reason.
        blocks: Blocks of all links, the filling of the stores included.
        rounds: Their coincidences.
        aborts: Blocks without a key, by reason.
        alarms: All alarms.
        routes_changed: Pairs of relays, calls and encryptors whose keys took another way, summed.
        events: What happened, in words.
        ways: Of these, that keys of calls, encryptors and relays took another way.
        refills: Of the stores of encryptors.
        samples: Levels in time.
        is_conserved: Whether every bit is accounted for on every link.
        false_alarm: Promised probability that the alarm of a link ever rings while it keeps its
            promise, for every start of its test: it begins anew after each alarm.
        expected_bits_per_second: Key rate of every link while its receiver serves it in turn.
        bound: What the best routing could have served of the random demand; None without.
        shortages: Which calls and encryptors ask for more than any routing brings, in words.

    Examples:
        >>> from e91.network import load
        >>> report = load("tokyo-2010").run(seed=1)
        >>> report.depth, report.is_conserved, len(report.alarms), report.unequal
        ('published', True, 1, 0)
    """

    plan: NetworkPlan
    depth: str
    seed: int | None
    rule: str
    simulated_s: float
    seconds: float
    served: int
    late: int
    missed: int
    waiting: int
    deliveries: int
    delivered_bits: int
    hops: int
    most_hops: int
    unequal: int
    betrayed: int
    links: tuple[LinkBits, ...]
    lost_by: dict[str, int]
    blocks: int
    rounds: int
    aborts: dict[str, int]
    alarms: tuple[Alarmed, ...]
    routes_changed: int
    events: tuple[Event, ...] = field(repr=False)
    ways: tuple[Way, ...] = field(repr=False)
    refills: tuple[Refill, ...] = field(repr=False)
    samples: Samples = field(repr=False)
    is_conserved: bool
    false_alarm: float
    expected_bits_per_second: tuple[float, ...] = field(repr=False)
    bound: Bound | None = None
    shortages: tuple[str, ...] = ()

    @property
    def keys_per_second(self) -> float:
        """Delivered keys a second of simulated time."""
        return self.served / self.simulated_s if self.simulated_s else 0.0

    @property
    def key_bits(self) -> int | None:
        """Bits of a key, if all are asked for at random and of one size."""
        sizes = {
            wanted.key_bits if isinstance(wanted, Requests) else None for wanted in self.plan.demand
        }
        return sizes.pop() if len(sizes) == 1 else None

    @property
    def total(self) -> LinkBits:
        """The bits of all links together."""
        parts = zip(*((b.made, b.spent, b.lost, b.stored) for b in self.links), strict=True)
        return LinkBits(*map(sum, parts))

    @property
    def bits_per_hop(self) -> float | None:
        """Bits that a link spends for a delivery, on average; None without any."""
        return self.total.spent / self.hops if self.hops else None

    @cached_property
    def replay(self) -> tuple[Replayed, ...]:
        """What the run gave beside what was printed of the network, if its story is over."""
        return replayed(self)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, ready for JSON; no key bits."""
        return {
            "network": self.plan.name,
            "depth": self.depth,
            "rate": self.plan.rate.value,
            "seed": self.seed,
            "reproducible": self.seed is not None,
            "rule": self.rule,
            "users": len(self.plan.users),
            "links": len(self.plan.links),
            "simulated_seconds": self.simulated_s,
            "seconds": round(self.seconds, 3),
            **self._traffic(),
            "link_bits": vars(self.total),
            "lost_by": self.lost_by,
            "conserved": self.is_conserved,
            "blocks": self.blocks,
            "coincidences": self.rounds,
            "aborts": self.aborts,
            "alarms": [alarm.to_dict() for alarm in self.alarms],
            "false_alarm_per_link": self.false_alarm,
            "routes_changed": self.routes_changed,
            "best_routing": None if self.bound is None else _best_routing(self.bound),
            "shortages": list(self.shortages),
            "replay": [row.to_dict() for row in self.replay],
            "link_table": [
                {"link": link.name, **vars(bits)}
                for link, bits in zip(self.plan.links, self.links, strict=True)
            ],
        }

    def _traffic(self) -> dict[str, Any]:
        """Return what became of keys and requests, ready for JSON."""
        return {
            "keys": {
                "delivered": self.served,
                "bits_each": self.key_bits,
                "bits": self.delivered_bits,
                "per_second": self.keys_per_second,
                "unequal": self.unequal,
                "known_to_dishonest_relays": self.betrayed,
            },
            "requests": {
                "served": self.served,
                "late": self.late,
                "missed": self.missed,
                "waiting": self.waiting,
            },
            "hops": {
                "mean": self.hops / self.deliveries if self.deliveries else None,
                "most": self.most_hops,
            },
        }

    def levels(self) -> Any:
        """Return stores, bits made and spent, and requests in time, as an `xarray.Dataset`.

        Needs ``pip install 'e91[study]'``.

        Returns:
            Stored, made and spent bits and the age of the oldest stored key (s) of every link over
            ``time_s`` and ``link``; served, late and missed requests over ``time_s``.
        """
        from e91.system.extras import extra

        xarray = extra("xarray", what="A network's levels")
        names = [link.name for link in self.plan.links]
        columns: dict[str, Any] = {}
        for name in self.samples.names:
            values = self.samples.column(name)
            if values.shape[-1:] == (len(names),) and name not in ("served", "late", "missed"):
                columns[name] = (("time_s", "link"), values)
            else:
                columns[name] = ("time_s", values.reshape(len(values)))
        coordinates = {"time_s": np.array(self.samples.times_s), "link": names}
        return xarray.Dataset(columns, coords=coordinates)

    def __str__(self) -> str:
        return self.text()

    def text(self, *, width: int = WIDTH) -> str:
        """Return the report in lines of some columns.

        Args:
            width: How many.
        """
        page = Layout(width)
        parts = (_what, _keys, _bits, _alarms, _replay, _limits)
        sections = [part(self, page) for part in parts]
        shown = filter(None, sections)
        return "\n".join(line for section in shown for line in [*section, ""]).rstrip()

    @property
    def headline(self) -> str:
        """What became of the requests and the alarms, in a sentence."""
        rang = f"{len(self.alarms)} alarm{'' if len(self.alarms) == 1 else 's'}"
        return (
            f"{self.served:,} keys delivered in {duration(self.simulated_s)}, "
            f"{self.missed:,} requests missed, {rang if self.alarms else 'no alarm'}."
        )

    def _repr_html_(self) -> str:
        page = FoldingLayout()
        parts = (_keys, _alarms, _replay, _bits, _what, _limits)
        return folding_page(self.headline, [part(self, page) for part in parts], opened=3)


def _best_routing(bound: Bound) -> dict[str, Any]:
    return {"served_share": bound.served_share, "limited_by": dict(bound.prices)}


def _what(report: NetworkReport, page: Layout) -> list[str]:
    plan = report.plan
    depths = {
        "bits": "every round drawn, every key distilled, real bytes at both ends",
        "counts": "the counts of every block drawn and judged; no key bytes",
        "published": "published rates flow; no photon is simulated",
    }
    rows = [
        page.title(f"{plan.title} ({plan.name})"),
        page.row("users, links", f"{len(plan.users):,} users, {len(plan.links):,} links"),
        page.row("depth", f"{report.depth}: {depths[report.depth]}"),
        page.row(
            "time",
            f"{duration(report.simulated_s)} in {report.seconds:.1f} s"
            f" ({report.simulated_s / max(report.seconds, 1e-9):.3g} times real time)",
        ),
    ]
    if plan.rate is RateMode.SIMULATED:
        words = f"{report.blocks:,} with {report.rounds:,} coincidences; {_aborted(report)}"
        rows.append(page.row("blocks", words))
    return rows


def _aborted(report: NetworkReport) -> str:
    reasons = [
        f"{number:,} ({name.lower().replace('_', ' ')})"
        for name, number in sorted(report.aborts.items())
    ]
    return f"without key: {', '.join(reasons)}" if reasons else "none without key"


def _keys(report: NetworkReport, page: Layout) -> list[str]:
    asked = report.served + report.missed + report.waiting
    size = f" of {report.key_bits} bits" if report.key_bits else ""
    each = f"{_per_time(report.keys_per_second)}, delivered to both ends"
    rows = [
        page.title("Keys"),
        page.row("delivered", f"{report.served:,} keys{size}: {each}"),
        page.row("late, missed", _not_at_once(report, asked)),
    ]
    if report.deliveries:
        mean = report.hops / report.deliveries
        rows.append(page.row("hops", f"{mean:.2f} on average, {report.most_hops} at most"))
    if report.bound is not None and asked:
        share = math.floor(1e4 * report.served / asked) / 1e4
        words = f"{share:.4f} of all requests served; the best routing, with the best turns of "
        words += "receivers and every link in service,"
        rows.append(page.row("routing", f"{words} {report.bound.served_share:.4f} on average"))
        if report.bound.prices:
            dear = ", ".join(name for name, _ in report.bound.prices[:4])
            rows.append(page.row("limited by", dear))
    rows += [page.row("short of key", f"{words}.") for words in report.shortages]
    if report.depth == "bits":
        same = "equal at both ends" if not report.unequal else f"{report.unequal} UNEQUAL"
        rows.append(page.row("check", same))
    if report.betrayed:
        rows.append(page.row("dishonest relays", f"know {report.betrayed:,} of the delivered keys"))
    return rows


def _not_at_once(report: NetworkReport, asked: int) -> str:
    waiting = f", {report.waiting:,} waiting still" if report.waiting else ""
    return f"{report.late:,} late, {report.missed:,} missed{waiting} of {asked:,}"


def _per_time(per_second: float) -> str:
    """Return a rate in a unit in which it is at least 1, if there is one.

    Examples:
        >>> _per_time(4001.4), _per_time(0.05), _per_time(0.0001)
        ('4,001 a second', '3 a minute', '0.36 an hour')
    """
    for unit, seconds in (("a second", 1), ("a minute", 60)):
        if per_second * seconds >= 1:
            digits = f"{per_second * seconds:,.0f}"
            return f"{digits} {unit}"
    return f"{3600 * per_second:.3g} an hour"


def _bits(report: NetworkReport, page: Layout) -> list[str]:
    total = report.total
    lost = ", ".join(f"{bits:,} {reason}" for reason, bits in sorted(report.lost_by.items()))
    rows = [
        page.title("Key bits of all links"),
        page.row("made", f"{total.made:,}, the stores at the start included"),
        page.row("spent", f"{total.spent:,}"),
        page.row("lost", f"{total.lost:,}" + (f" ({lost})" if lost else "")),
        page.row("stored", f"{total.stored:,}"),
    ]
    if report.delivered_bits:
        rows.append(
            page.row("per delivered bit", f"{total.spent / report.delivered_bits:.2f} spent")
        )
    balance = "made = spent + lost + stored on every link"
    rows.append(page.row("balance", balance if report.is_conserved else f"BROKEN: not {balance}"))
    return rows


def _alarms(report: NetworkReport, page: Layout) -> list[str]:
    rows = [page.title("Alarms and routes")]
    if not report.alarms:
        rows.append(page.row("alarms", "none"))
    for alarm in report.alarms[:_MOST_EVENTS]:
        delay = "nobody attacked"
        if alarm.delay_s is not None:
            delay = f"{alarm.delay_s:.1f} s after the attack began"
        words = f"{alarm.link} ({alarm.reason}), {delay}; {alarm.bits_lost:,} bits thrown away"
        if alarm.bits_released:
            words += f", {alarm.bits_released:,} released since it began, as their verdict allowed"
        rows.append(page.row(clock(alarm.time_s), words))
    if len(report.alarms) > _MOST_EVENTS:
        rows.append(page.row("", f"and {len(report.alarms) - _MOST_EVENTS} more"))
    rows.append(page.row("routes changed", f"{report.routes_changed:,}"))
    return rows


def _replay(report: NetworkReport, page: Layout) -> list[str]:
    """Return what the run gave beside what was printed, a row each, and what that shows."""
    if not report.plan.printed:
        return []
    title = page.title("Printed, and replayed here")
    if not report.replay:
        story = f"The story takes {report.plan.minutes:g} minutes; nothing is compared before."
        return [title, *page.text(story)]
    cells = [["", "printed", "here", "allowed", "agrees"]]
    cells += [[r.quantity, r.printed, r.simulated, r.band, r.verdict] for r in report.replay]
    notes = [f"- {row.quantity}: {row.note}." for row in report.replay if row.note]
    return [title, *page.table(cells), *(line for note in notes for line in page.text(note))]


def _limits(report: NetworkReport, page: Layout) -> list[str]:
    plan = report.plan
    secret = "seeded: nothing here is secret" if report.seed is not None else "not seeded"
    rows = [
        page.title("What this claims"),
        page.row(
            "trust", "every relay on a key's way knows the key, unless shares take disjoint ways"
        ),
        page.row("randomness", secret),
    ]
    if plan.rate is RateMode.SIMULATED:
        epsilon = max((light.epsilon for light in plan.lights), default=0.0)
        rows += [
            page.row(
                "secrecy",
                f"with trusted analysers a block's key fails with probability at most {epsilon:g}, "
                f"some key of all blocks with {min(1.0, epsilon * report.blocks):.2g}",
            ),
            page.row(
                "false alarms",
                "a link that keeps its promise ever rings with probability at most "
                f"{report.false_alarm:g}, and again so after each start of its test",
            ),
        ]
    else:
        rows.append(
            page.row(
                "false alarms",
                f"a link with its published error rate rings with probability "
                f"{FALSE_ALARM_PER_SECOND:g} in a second",
            )
        )
    for limit in plan.limits:
        rows += page.text(limit)
    return rows


def clock(time_s: float) -> str:
    """Return simulated time as ``h:mm:ss``.

    Examples:
        >>> clock(3725.4)
        '1:02:05'
    """
    whole = int(time_s)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def duration(time_s: float) -> str:
    """Return a length of time in words.

    Examples:
        >>> duration(600.0), duration(90.0), duration(7200.0), duration(172800.0)
        ('10 minutes', '90 seconds', '2 hours', '2 days')
    """
    for unit, seconds in (("day", 86400.0), ("hour", 3600.0), ("minute", 60.0)):
        if time_s >= seconds and time_s % seconds == 0:
            number = time_s / seconds
            return f"{number:g} {unit}{'' if number == 1 else 's'}"
    return f"{time_s:g} seconds"
