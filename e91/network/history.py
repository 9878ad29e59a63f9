"""What happened in a network: events in words, and levels in time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

MOST_NUMBERS = 2**20
"""Numbers of a column that are kept: when there are more, every second row is dropped."""

MOST_WAYS = 2**16
"""Changes of ways that are kept."""


class Event(NamedTuple):
    """Something that happened.

    Attributes:
        time_s: Simulated time.
        kind: ``"attack"``, ``"alarm"``, ``"abort"``, ``"cut"``, ``"back"``, ``"route"``, ...
        place: Name of a link or site; empty for the whole network.
        words: What happened, a sentence.
        value: A number that belongs to it, by kind: bits lost at an alarm.
        truth: Whether only the simulator knows it: that Eve began to listen.
    """

    time_s: float
    kind: str
    place: str
    words: str
    value: float = 0.0
    truth: bool = False


class Alarmed(NamedTuple):
    """An alarm of a link.

    Attributes:
        link: Its name.
        time_s: When it rang.
        attacked_s: When the attack began that was on the link, if there was one.
        reason: The cause that the sequential test names, or the verdict that failed.
        bits_lost: Key that was thrown away for it.
        bits_released: Key of blocks that ended after the attack began and were released all the
            same: their verdict bounds what Eve knows of them.
    """

    link: str
    time_s: float
    attacked_s: float | None
    reason: str
    bits_lost: int
    bits_released: int = 0

    @property
    def delay_s(self) -> float | None:
        """Time from the beginning of the attack; None for a false alarm."""
        return None if self.attacked_s is None else self.time_s - self.attacked_s

    def to_dict(self) -> dict[str, float | int | str | None]:
        """Return it as plain values, ready for JSON."""
        return {
            "link": self.link,
            "time_s": self.time_s,
            "delay_s": self.delay_s,
            "reason": self.reason,
            "bits_lost": self.bits_lost,
            "bits_released": self.bits_released,
        }


class Way(NamedTuple):
    """That keys between two sites take another way from a time on.

    Attributes:
        time_s: The time.
        source: One site.
        target: The other.
        before: Links of the way that they took; None if there was none, or nobody had asked.
        links: Links of the way that they take now; None if no way holds their key.
        of_relays: Whether the sites are two relays whose users' keys go so; else they call, or are
            encryptors.
    """

    time_s: float
    source: str
    target: str
    before: tuple[str, ...] | None
    links: tuple[str, ...] | None
    of_relays: bool


class Refill(NamedTuple):
    """Keys that encryptors fetched for their store.

    Attributes:
        asked_s: When they asked.
        came_s: When the keys came.
        keys: How many.
        before: Keys in the store just before they came.
    """

    asked_s: float
    came_s: float
    keys: int
    before: int


@dataclass(eq=False)
class Delivered:
    """Keys that were asked for, and what became of them.

    Attributes:
        served: Keys delivered to both ends.
        late: Those of them that had to wait.
        missed: Requests that waited in vain, or whose key became void on its way.
        waiting: Requests that wait still.
        deliveries: Keys that went over links: those of requests, but for the ones that encryptors
            had in store, and the refills of these stores, each a key.
        bits: Key bits delivered to both ends.
        hops: Links that delivered keys used, in sum.
        most_hops: Of one key.
        unequal: Keys that differed at the two ends.
        betrayed: Keys that dishonest relays passed on to Eve.
    """

    served: int = 0
    late: int = 0
    missed: int = 0
    waiting: int = 0
    deliveries: int = 0
    bits: int = 0
    hops: int = 0
    most_hops: int = 0
    unequal: int = 0
    betrayed: int = 0


@dataclass(eq=False)
class Samples:
    """Numbers of every link in time, at even steps; memory does not grow with the time.

    Attributes:
        names: Of the columns: every one has a number for each link, or one for the network.
        step_s: Between two rows.
        times_s: Of the rows.
        rows: One list of arrays a row, in the order of the names.
    """

    names: tuple[str, ...]
    step_s: float = 1.0
    times_s: list[float] = field(default_factory=list, repr=False)
    rows: list[tuple[np.ndarray, ...]] = field(default_factory=list, repr=False)

    @property
    def stored_at_start(self) -> np.ndarray:
        """Bits in every store at time zero."""
        return self.rows[0][self.names.index("stored")]

    def is_due(self, now_s: float) -> bool:
        """Return whether a row is wanted now."""
        return not self.times_s or now_s >= self.times_s[-1] + self.step_s - 1e-9

    def add(self, now_s: float, values: Sequence[Sequence[float]]) -> None:
        """Add a row, and thin all of them if there are too many."""
        self.times_s.append(now_s)
        self.rows.append(tuple(np.asarray(value, np.float64) for value in values))
        most = max(len(value) for value in values)
        if len(self.rows) * most > MOST_NUMBERS and len(self.rows) > 64:
            self.times_s, self.rows = self.times_s[::2], self.rows[::2]
            self.step_s *= 2

    def column(self, name: str) -> np.ndarray:
        """Return one column: float64, shape (rows, links) or (rows,)."""
        place = self.names.index(name)
        return np.array([row[place] for row in self.rows])


@dataclass(eq=False)
class History:
    """Events and levels of a run.

    Attributes:
        events: In the order of time; of blocks without a key only the first of a row.
        alarms: All alarms.
        samples: Levels in time.
        delivered: What became of the requests.
        aborts: Blocks without a key, by reason.
        blocks: All blocks.
        rounds: Coincidences of all blocks.
        routes_changed: Pairs of relays whose keys took another way, summed over all changes.
        ways: The changes one by one, of calls and encryptors and between relays; the first
            `MOST_WAYS` of them.
        refills: Of encryptors' stores.
        dishonest: Relays that tell Eve what they pass on.
    """

    events: list[Event] = field(default_factory=list, repr=False)
    alarms: list[Alarmed] = field(default_factory=list)
    samples: Samples = field(
        default_factory=lambda: Samples(
            ("stored", "made", "spent", "age_s", "served", "late", "missed")
        )
    )
    delivered: Delivered = field(default_factory=Delivered)
    aborts: dict[str, int] = field(default_factory=dict)
    blocks: int = 0
    rounds: int = 0
    routes_changed: int = 0
    ways: list[Way] = field(default_factory=list, repr=False)
    refills: list[Refill] = field(default_factory=list, repr=False)
    dishonest: set[str] = field(default_factory=set)

    def note(
        self,
        time_s: float,
        kind: str,
        place: str,
        words: str,
        *,
        value: float = 0.0,
        truth: bool = False,
    ) -> None:
        """Add an event."""
        self.events.append(Event(time_s, kind, place, words, value, truth))

    def note_way(self, way: Way) -> None:
        """Add a change of a way."""
        if len(self.ways) < MOST_WAYS:
            self.ways.append(way)
