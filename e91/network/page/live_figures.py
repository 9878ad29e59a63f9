"""What every link of a running network shows: its state, and its figures block by block."""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from e91.model.trust import SecurityModel
from e91.network.link_events import Simulation
from e91.network.link_life import Condition, LinkLife

STATES = ("up", "low", "alarm", "proving", "down", "idle")
"""In service, store low, alarm, on trial, down, no new key; the page has a symbol for each."""

UP, LOW, ALARM, PROVING, DOWN, IDLE = range(len(STATES))

LOW_SHARE = 0.12
"""A store is low below this part of what it can hold, until it is a quarter above that."""

_MOST_ROWS = 360  # of a link
_MOST_IN_ALL = 400_000
_BLOCKS_OF_A_RATE = 9


class Row(NamedTuple):
    """A link when a block of it was over, or when it was seen to make none.

    Attributes:
        time_s: Simulated.
        chsh: S as estimated from the block; None without a block, or without a Bell test.
        bound: Lower bound on S; None if its premises are refuted.
        qber: Error rate of the revealed key bits.
        stored: Key bits at both ends.
        rate: Key bits a second that it makes.
        evidence: Logarithm of the odds against its promise, nats; None without a Bell test.
    """

    time_s: float
    chsh: float | None
    bound: float | None
    qber: float | None
    stored: int
    rate: int
    evidence: float | None


@dataclass(eq=False)
class Figures:
    """The rows and states of all links of one running network.

    Attributes:
        simulation: The network.
        rows: Of every link, the newest last.
        rang: Of links that are stopped: when their alarm rang, and what it says it saw.
        touched: Links whose present test has seen an attack.
        false_alarms: Alarms of links that nobody had touched.
    """

    simulation: Simulation
    rows: list[deque[Row]] = field(init=False)
    rang: dict[int, tuple[float, str]] = field(default_factory=dict)
    touched: set[int] = field(default_factory=set)
    false_alarms: int = 0

    def __post_init__(self) -> None:
        lives = self.simulation.lives
        most = max(32, min(_MOST_ROWS, _MOST_IN_ALL // len(lives)))
        self.rows = [deque(maxlen=most) for _ in lives]
        self._made: list[deque[tuple[float, int]]] = [
            deque(maxlen=_BLOCKS_OF_A_RATE) for _ in lives
        ]
        self._most = [1] * len(lives)
        self._low = [False] * len(lives)
        self._alarms = self._read = 0
        self.simulation.watch = self.block_is_over

    def block_is_over(self, life: LinkLife) -> None:
        """Add a row for a link whose block, or second of a published rate, is over."""
        link, now_s = life.index, self.simulation.now_s
        if life.eve is not None:
            self.touched.add(link)
        self._read_events()
        last = life.last
        kept = last.bits if last is not None and life.condition is Condition.UP else 0
        self._made[link].append((now_s, kept))
        watched = last.watched if last is not None else None
        self._add(
            life,
            chsh=_rounded(last.chsh_value if last else None, 4),
            bound=_rounded(last.lower_bound if last else None, 4),
            qber=_rounded(last.error_rate if last else _tested(life), 5),
            evidence=_rounded(watched.log_evidence if watched else None, 3),
        )

    def look(self) -> None:
        """Add a row for every link that makes no blocks, so that its time goes on."""
        for life in self.simulation.lives:
            if life.light is None or self.shines(life):
                continue
            rows = self.rows[life.index]
            if not rows or self.simulation.now_s - rows[-1].time_s >= 1.0:
                evidence = rows[-1].evidence if rows else None
                self._add(life, chsh=None, bound=None, qber=None, evidence=evidence)

    def last(self, life: LinkLife) -> Row:
        """Return a link's last row, or what there is before the first block."""
        if self.rows[life.index]:
            return self.rows[life.index][-1]
        stored = self.simulation.ledger.stored[life.index]
        return Row(self.simulation.now_s, None, None, None, stored, 0, None)

    def _add(
        self,
        life: LinkLife,
        *,
        chsh: float | None,
        bound: float | None,
        qber: float | None,
        evidence: float | None,
    ) -> None:
        now_s, stored = self.simulation.now_s, self.simulation.ledger.stored[life.index]
        row = Row(round(now_s, 2), chsh, bound, qber, stored, self.rate(life), evidence)
        self.rows[life.index].append(row)

    def _read_events(self) -> None:
        """Take from the history which links somebody touched, and which alarms were false."""
        history, number = self.simulation.history, self.simulation.graph.link_number
        for event in history.events[self._read :]:
            if event.kind == "attack":
                self.touched.add(number[event.place])
            elif event.kind == "alarm":
                link, alarm = number[event.place], history.alarms[self._alarms]
                self._alarms += 1
                self.false_alarms += alarm.attacked_s is None and link not in self.touched
                self.touched.discard(link)
                self.rang[link] = (event.time_s, _seen_by(self.simulation.lives[link]))
        self._read = len(history.events)

    # What a link is like now.

    def shines(self, life: LinkLife) -> bool:
        """Whether light comes on a link, or its published rate flows."""
        if life.dark or life.condition is Condition.CUT:
            return False
        if life.light is None:
            return life.bits_per_second > 0
        return life.quality is not None and life.quality.per_second > 0

    def capacity(self, life: LinkLife) -> int:
        """Bits at which its store is full; the most it has held where nothing limits it."""
        link = life.index
        if math.isfinite(life.store_limit):
            return max(1, round(life.store_limit))
        self._most[link] = max(self._most[link], self.simulation.ledger.stored[link])
        return self._most[link]

    def rate(self, life: LinkLife) -> int:
        """Key bits a second that a link makes, over its last blocks; a full store makes none."""
        if life.condition is not Condition.UP or not self.shines(life):
            return 0
        if life.light is None:
            return round(life.bits_per_second)
        made, now_s = self._made[life.index], self.simulation.now_s
        if len(made) < 2:
            return 0
        first, last = made[0][0], made[-1][0]
        usual = (last - first) / (len(made) - 1)
        span = max(last, now_s - usual) - first
        bits = sum(bits for _, bits in list(made)[1:])
        return round(bits / span) if span > 0 else 0

    def state(self, life: LinkLife) -> int:
        """A link's state, by its number in `STATES`."""
        link = life.index
        if life.condition is Condition.RANG:
            return PROVING if life.good else ALARM
        self.rang.pop(link, None)
        if not self.simulation.router.up[link]:
            return DOWN
        if not self.shines(life):
            return IDLE
        return LOW if self._is_low(life) else UP

    def _is_low(self, life: LinkLife) -> bool:
        link, simulation = life.index, self.simulation
        spare = simulation.ledger.stored[link] - simulation.graph.least_stores[link]
        share = spare / self.capacity(life)
        self._low[link] = simulation.now_s > 0 and share < LOW_SHARE * (1 + self._low[link] / 4)
        return self._low[link]

    def short(self, life: LinkLife) -> list[float]:
        """A link as the map draws it: number, state, store (%), kbit/s, whether Eve is on it."""
        share = self.simulation.ledger.stored[life.index] / self.capacity(life)
        return [
            life.index,
            self.state(life),
            min(100, 2 * round(50 * share)),
            float(f"{self.rate(life) / 1000:.3g}"),
            int(life.eve is not None),
        ]


def model_of(life: LinkLife) -> SecurityModel | None:
    """Return what a link's key claims of the equipment; None where rates are published ones."""
    return None if life.practice is None else life.practice.policy.proof.security


def _seen_by(life: LinkLife) -> str:
    """What the alarm says that it saw, in short; empty if it cannot tell."""
    watched = life.last.watched if life.last is not None else None
    if watched is None:
        return "More of the tested bits are wrong than its published error rate explains."
    cause = watched.cause
    if cause is None:
        return ""
    seen = cause.value.partition(", as when")[0].partition(":")[0]
    return f"Named {cause.name.lower().replace('_', ' ')}: {seen}."


def _tested(life: LinkLife) -> float | None:
    """The error rate of the bits that a published rate tested in its last second."""
    tested = round(life.bits_per_second)
    return life.tested / tested if tested and not life.dark else None


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, digits)
