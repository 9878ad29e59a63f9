"""What changes with time on links by the plan: day and night, wind, drift, failures, satellites."""

from dataclasses import dataclass, field, replace

import numpy as np

from e91.network.layout import NetworkPlan, Variation, Varied
from e91.network.light import LinkState
from e91.network.overhead import Overhead

STEP_S = 60.0
"""A varying link is looked at so often; between two looks its light is steady."""


def value_at(variation: Variation, time_s: float) -> float:
    """Return the varied property at a time: linear between the points of the plan.

    Examples:
        >>> night = Variation(("A-B",), Varied.VISIBILITY, (0.0, 43200.0), (1.0, 0.98), 86400.0)
        >>> value_at(night, 21600.0), value_at(night, 86400.0 + 43200.0)
        (0.99, 0.98)
    """
    if variation.period_s is not None:
        times = (*variation.times_s, variation.period_s)
        values = (*variation.values, variation.values[0])
        return float(np.interp(time_s % variation.period_s, times, values))
    return float(np.interp(time_s, variation.times_s, variation.values))


@dataclass(frozen=True, eq=False)
class Weather:
    """The variations of a plan.

    Attributes:
        plan: The network.
        of_link: The variations of every link that has some, by its name.  Links by satellite change
            without.
    """

    plan: NetworkPlan
    of_link: dict[str, tuple[Variation, ...]] = field(init=False)
    _overhead: Overhead = field(init=False, repr=False)

    def __post_init__(self) -> None:
        found: dict[str, tuple[Variation, ...]] = {}
        for variation in self.plan.variations:
            for link in variation.links:
                found[link] = (*found.get(link, ()), variation)
        object.__setattr__(self, "of_link", found)
        object.__setattr__(self, "_overhead", Overhead(self.plan))

    def changes(self, link: str) -> bool:
        """Return whether the light of a link ever changes by the plan."""
        return link in self.of_link or self._is_by_satellite(link)

    def next_look_s(self, link: str, time_s: float) -> float:
        """Return when a link that changes is to be looked at again."""
        if not self._is_by_satellite(link):
            return time_s + STEP_S
        passing_s = self._overhead.next_change_s(link, time_s)
        return min(passing_s, time_s + STEP_S) if link in self.of_link else passing_s

    def _is_by_satellite(self, link: str) -> bool:
        return self.plan.link[link].medium == "satellite" and self.plan.satellite is not None

    def state(self, link: str, time_s: float) -> LinkState:
        """Return what is not as planned on a link at a time, but for adversaries."""
        by_satellite = self._is_by_satellite(link)
        sky = self._overhead.sky(link, max(0.0, time_s)) if by_satellite else None
        state = LinkState(sky=sky)
        for variation in self.of_link.get(link, ()):
            value = value_at(variation, max(0.0, time_s))
            if variation.varied in (Varied.VISIBILITY, Varied.EFFICIENCY):
                value *= getattr(state, variation.varied.value)
            else:
                value += getattr(state, variation.varied.value)
            state = replace(state, **{variation.varied.value: round(value, 6)})
        return state

    def extremes(self, link: str) -> tuple[LinkState, ...]:
        """Return the states of a link at all points of its variations, and the plain one.

        Of a link by satellite: those of its first passes.
        """
        if self._is_by_satellite(link):
            return tuple(LinkState(sky=sky) for sky in self._overhead.skies(link))
        times = {0.0}
        for variation in self.of_link.get(link, ()):
            times.update(variation.times_s)
        return tuple({self.state(link, time) for time in sorted(times)} | {LinkState()})
