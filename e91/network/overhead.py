"""When the light of a satellite reaches both ends of a link, and how much of it is lost.

A run of a network asks for its light from moment to moment; passes are found some days at a time.
"""

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from datetime import timedelta

from e91.network.layout import NetworkPlan
from e91.network.light import Sky
from e91.network.passes import is_clear, lowest_for, stations_of
from e91.optics.satellites import Pass
from e91.optics.two_line_orbits import passes_over

_DAY_S = 86_400.0
_DAYS = 5  # for which passes are found at once
_PIECE_S = 10  # for which the light of a pass is taken as steady


@dataclass(eq=False)
class Overhead:
    """The passes of a plan's satellite over its links, in simulated time.

    The weather is that of seed 0: with fewer than all nights clear, every run has the same.

    Attributes:
        plan: A network with a satellite.
    """

    plan: NetworkPlan
    _changes: dict[str, list[tuple[float, Sky | None]]] = field(default_factory=dict, repr=False)
    _known_s: dict[str, float] = field(default_factory=dict, repr=False)

    def sky(self, link: str, time_s: float) -> Sky | None:
        """Return the light of a link at a time; None while the satellite is out of sight."""
        changes = self._until(link, time_s)
        place = bisect_right(changes, time_s, key=lambda change: change[0])
        return changes[place - 1][1] if place else None

    def next_change_s(self, link: str, time_s: float) -> float:
        """Return when that light changes, or when to ask again."""
        changes = self._until(link, time_s)
        place = bisect_right(changes, time_s, key=lambda change: change[0])
        return changes[place][0] if place < len(changes) else self._known_s[link]

    def skies(self, link: str) -> tuple[Sky, ...]:
        """Return the light of a link's first passes, in the order of time."""
        return tuple(sky for _, sky in self._until(link, 0.0) if sky is not None)

    def _until(self, link: str, time_s: float) -> list[tuple[float, Sky | None]]:
        """Return the changes of a link's light from time zero to beyond a time."""
        changes = self._changes.setdefault(link, [])
        while (known_s := self._known_s.get(link, 0.0)) <= time_s:
            for seen in self._passes(link, known_s):
                changes += self._pieces(link, seen, known_s)
            self._known_s[link] = known_s + _DAYS * _DAY_S
        return changes

    def _passes(self, link: str, from_s: float) -> list[Pass]:
        """Return the clear passes of some days; their times count from ``from_s``."""
        satellite, ends = self.plan.satellite, self.plan.link[link].ends
        assert satellite is not None  # or it had no such link
        orbit = satellite.orbit
        later = replace(orbit, start=orbit.start + timedelta(seconds=from_s))
        stations = stations_of(satellite, ends)
        found = passes_over(
            later,
            stations,
            duration_s=_DAYS * _DAY_S,
            lowest_elevation_deg=lowest_for(self.plan, satellite, ends),
            sun_below_deg=satellite.sun_below_deg,
        )
        chance = satellite.clear_fraction
        return [
            seen
            for seen in found
            if is_clear(
                satellite,
                stations,
                later.start + timedelta(seconds=float(seen.time_s[0])),
                clear=chance,
                seed=0,
            )
        ]

    def _pieces(self, link: str, seen: Pass, from_s: float) -> list[tuple[float, Sky | None]]:
        satellite, plan = self.plan.satellite, self.plan.link[link]
        assert satellite is not None
        alice_beam, bob_beam = (satellite.downlink[end] for end in plan.ends)
        beams = alice_beam, bob_beam
        losses = seen.loss_db(beams).round(2)
        stray = (
            alice_beam.background_photons_at_receiver_per_second,
            bob_beam.background_photons_at_receiver_per_second,
        )
        length = len(seen.time_s)
        pieces: list[tuple[float, Sky | None]] = []
        for first in range(0, length, _PIECE_S):
            middle = min(first + _PIECE_S // 2, length - 1)
            alice, bob = (float(loss) for loss in losses[:, middle])
            sky = Sky((alice, bob), stray)
            pieces.append((from_s + float(seen.time_s[first]), sky))
        end_s = from_s + float(seen.time_s[-1]) + seen.step_s
        return [*pieces, (end_s, None)]
