"""Keys over a satellite's passes, both ways side by side, as text and as plain data."""

import math
from dataclasses import dataclass
from datetime import date
from typing import Any

from e91.distillation.authentication import AUTHENTICATION_BITS
from e91.network.layout import NetworkPlan
from e91.network.passes import (
    THEOREM,
    KeyOverPasses,
    NightPass,
    entangled_key,
    relayed_between,
    relayed_key,
)
from e91.system.report_layout import WIDTH, Layout


@dataclass(frozen=True, eq=False)
class PassReport:
    """What a satellite's passes give two stations, or one.

    Attributes:
        plan: The network.
        days: For how long.
        clear: Chance that a night is clear at a station.
        seed: Of the weather; None if none was drawn.
        entangled: Key of two stations that share pairs; None for one station.
        relayed: Key of each station with the satellite as a trusted relay.

    Examples:
        >>> from e91.network.plan_files import load
        >>> report = report_passes(load("micius"), ("Delingha", "Nanshan"), days=3)
        >>> report.stations, len(report.relayed), report.seed
        (('Delingha', 'Nanshan'), 2, None)
    """

    plan: NetworkPlan
    days: float
    clear: float
    seed: int | None
    entangled: KeyOverPasses | None
    relayed: tuple[KeyOverPasses, ...]

    @property
    def stations(self) -> tuple[str, ...]:
        """Whose keys they are."""
        return tuple(name for found in self.relayed for name in found.stations)

    @property
    def relayed_between(self) -> tuple[date | None, int] | None:
        """What `e91.network.passes.relayed_between` says of two stations; None for one."""
        return relayed_between(*self.relayed) if len(self.relayed) == 2 else None

    def text(self, *, width: int = WIDTH) -> str:
        """Return it in lines; a table of the passes stands first.

        Args:
            width: Columns of the text.
        """
        page = _PassPage(self, Layout(width))
        shown = self.entangled or self.relayed[0]
        parts = {
            f"Passes over {' and '.join(shown.stations)}": page.passes(shown),
            "Pairs to both stations: the satellite need not be trusted": page.entangled(),
            "Relay: the satellite is trusted": page.relay(),
        }
        return "\n\n".join(
            "\n".join([page.layout.title(title), *lines]) for title, lines in parts.items() if lines
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, times in UTC."""
        joined = self.relayed_between
        return {
            "network": self.plan.name,
            "stations": list(self.stations),
            "days": self.days,
            "clear": self.clear,
            "seed": self.seed,
            "theorem": THEOREM.value,
            "entangled": None if self.entangled is None else _data(self.entangled),
            "relayed": {found.stations[0]: _data(found) for found in self.relayed},
            "relayed_between": None
            if joined is None
            else {"first_evening": _day(joined[0]), "secret_bits": joined[1]},
        }


def report_passes(
    plan: NetworkPlan,
    stations: tuple[str, ...],
    *,
    days: float = 30.0,
    clear: float | None = None,
    seed: int = 0,
    lowest_deg: float | None = None,
) -> PassReport:
    """Return what passes give two stations both ways, or one station by a trusted relay.

    Args:
        plan: The network, with a satellite.
        stations: Names of two stations, or of one.
        days: For how long, days.
        clear: Chance that a night is clear at a station; None takes the plan's.
        seed: Of the weather.
        lowest_deg: Height above the horizon from which on passes count; None takes the plan's.

    Returns:
        Key bits after each pass: of shared pairs, and of a trusted relay on the satellite.

    Raises:
        ValueError: There are not one or two stations, or as `e91.network.passes.entangled_key`.

    Examples:
        >>> from e91.network.plan_files import load
        >>> report = report_passes(load("micius"), ("Delingha", "Nanshan"), days=3)
        >>> report.entangled.secret_bits, report.relayed_between[1] > 10_000
        (0, True)
    """
    if len(stations) not in (1, 2):
        raise ValueError(f"`stations` must be one or two, but are {len(stations)}.")
    chosen: dict[str, Any] = {"days": days, "clear": clear, "seed": seed}
    entangled = None
    if len(stations) == 2:
        pair = (stations[0], stations[1])
        entangled = entangled_key(plan, pair, **chosen, lowest_deg=lowest_deg)
    relayed = tuple(relayed_key(plan, station, **chosen) for station in stations)
    assert plan.satellite is not None  # or `relayed_key` had refused it
    chance = plan.satellite.clear_fraction if clear is None else clear
    return PassReport(plan, days, chance, seed if 0 < chance < 1 else None, entangled, relayed)


class _PassPage:
    """A report set in lines."""

    def __init__(self, report: PassReport, layout: Layout) -> None:
        self.report, self.layout = report, layout

    def passes(self, found: KeyOverPasses) -> list[str]:
        """Return the table, and what it rests on."""
        two = len(found.stations) == 2
        start = f"{self.report.plan.name}, {self.report.days:g} days from "
        craft = self.report.plan.satellite
        assert craft is not None  # it has passed
        start += (
            f"{craft.orbit.start:%Y-%m-%d %H:%M} UTC, above {found.lowest_deg:g} degrees"
            f"{' at both' if two else ''}, the Sun below {craft.sun_below_deg:g}; {self._sky()}"
        )
        head = f"  {'evening':<12}{'from, UTC':<11}{'height':>6}{'arms' if two else 'range':>10}"
        head += f"{'seconds':>9}  {'sky':<7}{'coincidences':>13}{'QBER':>7}{'key so far':>12}"
        rows = zip(found.passes, found.key_bits, strict=True)
        return [*self.layout.text(start), "", head, *(_row(one, bits) for one, bits in rows)]

    def _sky(self) -> str:
        if self.report.seed is None:
            return "every night clear" if self.report.clear else "no night clear"
        return (
            f"a night is clear with chance {self.report.clear:g} at each station by itself, "
            f"seed {self.report.seed}"
        )

    def entangled(self) -> list[str]:
        """Return what pairs shared by two stations give."""
        found = self.report.entangled
        if found is None:
            return []
        first, second = found.stations
        return [
            *self._counts(found),
            self.layout.row("first key", _first_words(found)),
            self.layout.row("key", _key_words(found)),
            self.layout.row(
                "to be trusted",
                f"the analysers of {first} and {second} alone: source and satellite may be Eve's",
            ),
            self.layout.row(
                "it costs", "both stations in sight of it at once, both clear, light lost twice"
            ),
        ]

    def _counts(self, found: KeyOverPasses) -> list[str]:
        seconds = math.fsum(one.seen.duration_s for one in found.clear)
        rate = found.coincidences / seconds if seconds else 0.0
        clear = "" if self.report.seed is None else f"; {len(found.clear)} clear, {seconds:,.0f} s"
        longest = max((one.seen.duration_s for one in found.passes), default=0.0)
        return [
            self.layout.row(
                "passes",
                f"{len(found.passes)}, {found.duration_s:,.0f} s, the longest {longest:.0f} s"
                f"{clear}",
            ),
            self.layout.row(
                "coincidences",
                f"{found.coincidences:,.0f}, {rate:,.3g} a second, QBER {found.error_rate:.1%}",
            ),
        ]

    def relay(self) -> list[str]:
        """Return what a trusted satellite gives, and what was published of another protocol."""
        report, row = self.report, self.layout.row
        lines: list[str] = []
        for found in report.relayed:
            lines += [row("with", found.stations[0]), *self._counts(found)]
            seconds = math.fsum(one.seen.duration_s for one in found.clear)
            rate = found.secret_bits / seconds if seconds else 0.0
            lines.append(
                row("key", f"{found.secret_bits:,} bits, {rate:,.3g} a second; {_blocks(found)}")
            )
        if report.relayed_between is not None:
            evening, bits = report.relayed_between
            when = f"the first on the night of {evening}" if evening else "none at one station"
            lines.append(row("between both", f"{bits:,} bits; {when}"))
        lines.append(row("to be trusted", "the satellite too: it knows every key that it joins"))
        lines.append(row("it costs", "one station in sight at a time, a receiver on the satellite"))
        return lines + self._published()

    def _published(self) -> list[str]:
        facts = {
            name: fact
            for name, fact in self.report.plan.facts.items()
            if name.startswith("relayed_")
        }
        return [
            self.layout.row(
                "published",
                f"{fact}{', another protocol' * ('prepared' in fact.qualifier)}; {fact.source}",
            )
            for fact in facts.values()
        ]


def _row(one: NightPass, bits: int) -> str:
    counted = f"{one.coincidences:>13,.0f}{one.error_rate:>7.1%}" if one.is_clear else " " * 20
    return (
        f"  {one.evening!s:<12}{one.begin:%d %H:%M:%S}{one.highest_deg:>5.0f}°"
        f"{one.nearest_km:>7,.0f} km{one.seen.duration_s:>9.0f}  "
        f"{'clear' if one.is_clear else 'clouds':<7}{counted}{bits:>12,}"
    )


def _first_words(found: KeyOverPasses) -> str:
    if found.first is not None:
        place = found.passes.index(found.first)
        clear = sum(one.is_clear for one in found.passes[: place + 1])
        return (
            f"on the night of {found.first.evening}, after {clear} clear "
            f"passes: {found.key_bits[place]:,} bits"
        )
    needed = found.coincidences_for_key
    if not found.coincidences:
        return "none, as no coincidence was counted"
    if needed is None:
        return "none, and at this error rate no number of coincidences gives key"
    times = needed / found.coincidences
    rounded = float(f"{needed:.3g}")
    return f"none; it takes about {rounded:,.0f} coincidences of that kind, {times:.2g} times these"


def _key_words(found: KeyOverPasses) -> str:
    return (
        f"{found.secret_bits:,} bits, all passes as one block, {found.epsilon:g} by "
        f"`{THEOREM.value}`, from mean counts, which half of all months miss; a session's "
        f"authentication spends {AUTHENTICATION_BITS} of them"
    )


def _blocks(found: KeyOverPasses) -> str:
    return (
        f"every clear pass a block, {found.epsilon:g} each, from mean counts; authentication "
        f"spends {AUTHENTICATION_BITS} of each"
    )


def _data(found: KeyOverPasses) -> dict[str, Any]:
    rows = zip(found.passes, found.key_bits, strict=True)
    longest = max((one.seen.duration_s for one in found.passes), default=0.0)
    return {
        "lowest_elevation_deg": found.lowest_deg,
        "epsilon": found.epsilon,
        "passes": [_pass_data(one) | {"key_bits": bits} for one, bits in rows],
        "seconds": found.duration_s,
        "longest_seconds": longest,
        "clear_passes": len(found.clear),
        "coincidences": found.coincidences,
        "qber": found.error_rate,
        "first_evening": _day(found.first.evening) if found.first else None,
        "secret_bits": found.secret_bits,
    }


def _pass_data(one: NightPass) -> dict[str, Any]:
    return {
        "evening": one.evening.isoformat(),
        "begin": one.begin.isoformat(),
        "highest_elevation_deg": one.highest_deg,
        "nearest_km": one.nearest_km,
        "seconds": one.seen.duration_s,
        "is_clear": one.is_clear,
        "coincidences": one.coincidences,
        "qber": one.error_rate if one.is_clear else None,
    }


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
