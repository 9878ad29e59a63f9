"""The alarms of a network over months and years, by the hour, without its keys.

What an hour's blocks announce in sum is a multinomial variable; the test of a link may be updated
with any interval.  Longer intervals ring later, never more often without cause.
"""

import math
from dataclasses import dataclass

import numpy as np

from e91.alarm.link import werner_link
from e91.model.numbers import Floats, check_positive, check_within
from e91.network.layout import LONGEST_DAYS, NetworkPlan, RateMode
from e91.network.light import Practice, quality_of
from e91.network.link_alarms import LinkAlarms
from e91.network.link_life import LinkLife
from e91.network.network_run import FALSE_ALARM, lives_of, turn_seconds
from e91.network.weather import Weather

HOUR_S = 3600.0


@dataclass(frozen=True)
class AlarmLife:
    """What the alarms of a network did while nobody attacked it.

    Attributes:
        network: Its name.
        hours: Intervals that were simulated.
        links: Links that were watched.
        rounds: Announced rounds that were tallied, of all links.
        false_alarm: Promised probability that an honest link's alarm ever rings.
        rang: Names of the links that rang, in the order of time, each with its hour.
        at_promise: Whether every link was exactly as good as it promises, the worst honest one.

    Examples:
        >>> life = AlarmLife("three", 48, 3, 10**9, false_alarm=1e-3, rang=(), at_promise=False)
        >>> life.promised
        0.003
    """

    network: str
    hours: int
    links: int
    rounds: int
    false_alarm: float
    rang: tuple[tuple[str, int], ...]
    at_promise: bool

    @property
    def promised(self) -> float:
        """The most false alarms that are promised on average, of all links together."""
        return self.links * self.false_alarm

    def to_dict(self) -> dict[str, object]:
        """Return it as plain values, ready for JSON."""
        return {
            "network": self.network,
            "hours": self.hours,
            "links": self.links,
            "rounds": self.rounds,
            "false_alarm_per_link": self.false_alarm,
            "false_alarms": len(self.rang),
            "promised_at_most_on_average": self.promised,
            "rang": [{"link": link, "hour": hour} for link, hour in self.rang],
            "at_promise": self.at_promise,
        }

    def __str__(self) -> str:
        worst = ", each exactly at its promise" if self.at_promise else ""
        return (
            f"{self.network}: {len(self.rang)} false alarms of {self.links} links{worst} in "
            f"{self.hours / 24:g} days and {self.rounds:.3g} announced rounds; promised are at "
            f"most {self.promised:.3g} on average, however long the links live."
        )


def alarm_life(
    plan: NetworkPlan,
    *,
    days: float,
    seed: int | None = None,
    false_alarm: float = FALSE_ALARM,
    at_promise: bool = False,
) -> AlarmLife:
    """Watch all links of a network by the hour, with nobody on them.

    Args:
        plan: The network; its variations act, its incidents do not.
        days: Simulated time.
        seed: Root of all randomness; None takes the operating system's.
        false_alarm: Probability that the alarm of a link ever rings while it keeps its promise.
        at_promise: Let every link be exactly as good as it promises.

    Returns:
        How many hours and rounds were watched, and which links rang when.

    Raises:
        ValueError: ``days`` is not positive, or the plan's rates are published ones, whose links
            make no Bell test.

    Examples:
        >>> from e91.network import load
        >>> life = alarm_life(load("jinan-2012"), days=2, seed=1)
        >>> life.hours, life.links, life.rang
        (48, 53, ())
    """
    check_positive(days=days)
    check_within(0, LONGEST_DAYS, days=days)
    if plan.rate is RateMode.PUBLISHED:
        raise ValueError("Links must be simulated to be watched, but their rates are published.")
    lives = [life for life in lives_of(plan, seed=seed) if life.practice is not None]
    alarms = LinkAlarms.of(
        {life.index: life.practice for life in lives if life.practice is not None},
        false_alarm=false_alarm,
    )
    hours, rounds = math.ceil(24 * days), 0
    rang: dict[str, int] = {}
    weather, turns = Weather(plan), turn_seconds(plan, lives)
    for group in _groups(lives, alarms):
        steady = not any(life.plan.name in weather.of_link for life in group)
        table = _hourly(group, weather, turns, hour=0, at_promise=at_promise)
        for hour in range(hours):
            if not steady and hour:
                table = _hourly(group, weather, turns, hour=hour, at_promise=at_promise)
            counts = np.stack(
                [life.rng.multinomial(*of_link) for life, of_link in zip(group, table, strict=True)]
            )
            rounds += int(counts.sum())
            watched = alarms.after([life.index for life in group], counts)
            for life, now in zip(group, watched, strict=True):
                if now.rang:
                    rang.setdefault(life.plan.name, hour)
    ringing = tuple(sorted(rang.items(), key=lambda item: item[1]))
    return AlarmLife(plan.name, hours, len(lives), rounds, false_alarm, ringing, at_promise)


def _groups(lives: list[LinkLife], alarms: LinkAlarms) -> list[list[LinkLife]]:
    """Return the links that are run alike, group by group."""
    return [
        [life for life in lives if alarms.places[life.index][0] == practice]
        for practice in alarms.groups
    ]


def _hourly(
    group: list[LinkLife],
    weather: Weather,
    turns: dict[int, float],
    *,
    hour: int,
    at_promise: bool,
) -> list[tuple[int, Floats]]:
    """Return how many rounds each link tallies in an hour, and the chances of the ten outcomes."""
    found = []
    for life in group:
        assert life.light is not None
        assert life.practice is not None
        state = weather.state(life.plan.name, hour * HOUR_S)
        quality = quality_of(life.plan, life.light, state, settings=life.practice.settings)
        chances, share = _outcomes(life.practice, quality.table, at_promise=at_promise)
        blocks = HOUR_S / turns[life.index] if quality.per_second > 0 else 0.0
        found.append((round(blocks * life.light.block_rounds * share), chances))
    return found


def _outcomes(practice: Practice, table: Floats, *, at_promise: bool) -> tuple[Floats, float]:
    """Return the chances of the ten outcomes of a tallied round, and the share of such rounds."""
    settings, revealed = practice.settings, practice.policy.revealed_fraction
    share = settings.chsh_probability + settings.key_probability * revealed
    if at_promise:
        promised = werner_link(settings, visibility=practice.visibility, revealed_fraction=revealed)
        return promised.probabilities, share
    equal = table[..., 0, 0] + table[..., 1, 1]
    wins, losses = [], []
    for pair, sign in settings.chsh_pairs:
        chosen = settings.pair_probability(pair) / share
        won = equal[pair] if sign > 0 else 1 - equal[pair]
        wins.append(chosen * won)
        losses.append(chosen * (1 - won))
    errors = [
        settings.pair_probability(pair) * ((1 - equal[pair]) if sign > 0 else equal[pair])
        for pair, sign in settings.signed_key_pairs
    ]
    wrong = math.fsum(errors) * revealed / share
    right = settings.key_probability * revealed / share - wrong
    chances = np.clip([*wins, *losses, right, wrong], 0, 1)
    return chances / chances.sum(), share
