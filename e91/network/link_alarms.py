"""The sequential Bell tests of a network's links, in arrays of all links that are run alike."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from e91.alarm.bets import Bets, Cause
from e91.alarm.many import SILENT, Watches
from e91.alarm.promise import Promise
from e91.model.numbers import Floats
from e91.network.light import Practice


@dataclass(frozen=True, eq=False, slots=True)
class Watched:
    """A link's sequential test after a block.

    Attributes:
        bets: Its bets.
        rounds: Tallied rounds since it began.
        log_wealth: Logarithm of what each bet is worth.
        alarm_round: Tallied rounds when it rang, or `SILENT`.
    """

    bets: Bets = field(repr=False)
    rounds: int
    log_wealth: Floats = field(repr=False)
    alarm_round: int

    @property
    def rang(self) -> bool:
        """Whether the alarm has rung."""
        return self.alarm_round != SILENT

    @property
    def log_evidence(self) -> float:
        """Logarithm of the evidence against the promise, nats."""
        return float(self._alone.log_evidence[0])

    @property
    def threshold(self) -> float:
        """Logarithm of the evidence at which the alarm rings, nats."""
        return float(self.bets.threshold)

    @property
    def cause(self) -> Cause | None:
        """What the test says that has happened; None if nothing stands out."""
        return self._alone.cause(0)

    @property
    def _alone(self) -> Watches:
        return Watches(
            self.bets,
            np.array([self.rounds]),
            self.log_wealth[None],
            np.array([self.alarm_round]),
        )


@dataclass(eq=False)
class LinkAlarms:
    """The tests of all links of a network whose light is simulated.

    Attributes:
        groups: The watches of links that are run alike, by how that is.
        places: Group of every link, and its place there.
    """

    groups: dict[Practice, Watches]
    places: dict[int, tuple[Practice, int]]

    @classmethod
    def of(cls, practices: dict[int, Practice], *, false_alarm: float) -> "LinkAlarms":
        """Return the tests before the first block.

        Args:
            practices: How each link is run, which says what it promises.
            false_alarm: Probability that a link's alarm ever rings while it keeps its promise.
        """
        members: dict[Practice, list[int]] = defaultdict(list)
        for link, practice in practices.items():
            members[practice].append(link)
        groups = {}
        for practice, links in members.items():
            promise = Promise(practice.visibility, false_alarm)
            test = promise.sequential_test(settings=practice.settings, policy=practice.policy)
            groups[practice] = Watches.of(test.wealth.bets, links=len(links))
        places = {
            link: (practice, place)
            for practice, links in members.items()
            for place, link in enumerate(links)
        }
        return cls(groups, places)

    def after(self, links: Sequence[int], counts: NDArray[np.int64]) -> list[Watched]:
        """Return the tests of some links, all run alike, after one more block of each.

        Args:
            links: By number, each once.
            counts: The ten counts of each block; shape (k, 10).
        """
        practice = self.places[links[0]][0]
        rows = np.array([self.places[link][1] for link in links])
        watches = self.groups[practice] = self.groups[practice].after(counts, links=rows)
        wealth, rounds = watches.log_wealth[rows], watches.rounds[rows].tolist()
        alarms = watches.alarm_rounds[rows].tolist()
        return [
            Watched(watches.bets, *of_link) for of_link in zip(rounds, wealth, alarms, strict=True)
        ]

    def restart(self, link: int) -> None:
        """Begin a link's test anew: its alarm may ring again."""
        practice, row = self.places[link]
        self.groups[practice] = self.groups[practice].restarted([row])

    def take_back(self, link: int, watched: Watched) -> None:
        """Let a link's test be as it was after an earlier block."""
        practice, row = self.places[link]
        watches = self.groups[practice]
        wealth, rounds = watches.log_wealth.copy(), watches.rounds.copy()
        alarms = watches.alarm_rounds.copy()
        wealth[row], rounds[row], alarms[row] = (
            watched.log_wealth,
            watched.rounds,
            watched.alarm_round,
        )
        self.groups[practice] = replace(
            watches, log_wealth=wealth, rounds=rounds, alarm_rounds=alarms
        )

    def now(self, link: int) -> Watched:
        """Return a link's test as it is."""
        practice, row = self.places[link]
        watches = self.groups[practice]
        return Watched(
            watches.bets,
            int(watches.rounds[row]),
            watches.log_wealth[row].copy(),
            int(watches.alarm_rounds[row]),
        )
