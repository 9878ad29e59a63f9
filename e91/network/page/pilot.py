"""The thread that lets a network's time pass by the wall clock, and answers between its steps.

It alone touches the simulation.  Whoever wants something of it passes it a function, which is
called between two steps, and waits for the answer.
"""

import math
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache
from threading import Thread
from typing import Any, TypeVar

from e91.network.history import Event
from e91.network.layout import NetworkPlan, RateMode
from e91.network.link_events import Simulation
from e91.network.network_run import Depth, begin, report_of
from e91.network.pacing import Questions, Stepper
from e91.network.page.live_figures import STATES, Figures
from e91.network.page.network_view import map_of
from e91.network.page.recording import Recording
from e91.network.plan_files import load, names, variants
from e91.network.replays import replayed

T = TypeVar("T")

SPEEDS = (1, 10, 60)
"""Simulated seconds for a second of the wall clock."""

TICK_S = 0.2
"""Wall time between two looks that go to the pages."""

_MANY_LINKS = 1_000
_RECENT_S = 5  # simulated, over which keys a second are counted

LEVELS = {
    "alarm": "alarm",
    "cut": "down",
    "relay-dies": "down",
    "source-fails": "low",
    "back": "good",
    "mended": "good",
}
"""How the log marks an event, by its kind; all others are plain."""


@dataclass(eq=False)
class Running:
    """A network on the page, with its clock.

    Attributes:
        simulation: The network.
        depth: How deep it is simulated.
        figures: Of its links.
        layout: What of it does not change.
        end_s: When it stops by itself; infinite if it does not.
        counts: Served, late and missed requests in past seconds, over the last minute.
        recording: What there was to see of it.
    """

    simulation: Simulation
    depth: Depth
    figures: Figures
    layout: dict[str, Any]
    end_s: float = math.inf
    counts: deque[tuple[int, int, int, int]] = field(default_factory=deque)
    recording: Recording = field(default_factory=Recording)

    @classmethod
    def of(
        cls, plan: NetworkPlan, *, depth: Depth, seed: int | None, workers: int | None, ends: bool
    ) -> "Running":
        """Return a network before its first second.

        Args:
            plan: The network.
            depth: As of `begin`.
            seed: The same.
            workers: The same.
            ends: Whether it stops when the story of its plan is over.

        Raises:
            ValueError: As of `begin`.
        """
        simulation = begin(plan, depth=depth, seed=seed, workers=workers)
        figures = Figures(simulation)
        simulation.history.note(simulation.now_s, "begins", "", _first_words(simulation))
        end_s = 60.0 * plan.minutes if ends else math.inf
        layout = map_of(simulation, figures, depth) | {"end": end_s if ends else None}
        return cls(simulation, depth, figures, layout, end_s)

    def headline(self) -> dict[str, Any]:
        """Return the numbers of the whole network."""
        simulation, done = self.simulation, self.simulation.history.delivered
        counts, second = self.counts, math.floor(simulation.now_s)
        served, late, missed = done.served, done.late, done.missed
        if not counts or second > counts[-1][0]:  # a second's requests may be served at its start
            counts.append((second, served, late, missed))
        while len(counts) > 2 and counts[1][0] <= second - 60:
            counts.popleft()
        minute, last = counts[0], counts[-1]
        recent = next((each for each in reversed(counts) if each[0] <= last[0] - _RECENT_S), minute)
        span = last[0] - recent[0]
        ledger = simulation.ledger
        return {
            "keys": (last[1] - recent[1]) / span if span > 0 else 0.0,
            "minute": [
                served - minute[1] - (late - minute[2]),
                late - minute[2],
                missed - minute[3],
            ],
            "total": {"served": served, "late": late, "missed": missed, "bits": done.bits},
            "unequal": done.unequal,
            "false": self.figures.false_alarms,
            "alarms": len(simulation.history.alarms),
            "lost": ledger.reasons.get("alarm", 0) + ledger.reasons.get("void", 0),
            "stored": sum(ledger.stored),
            "conserved": ledger.is_conserved,
        }

    @property
    def is_over(self) -> bool:
        """Whether an incident with printed outcomes has come to its end."""
        plan = self.simulation.plan
        return bool(plan.printed) and self.simulation.now_s >= 60 * plan.minutes

    def outcomes(self) -> list[dict[str, Any]]:
        """Return what came of the network beside what was printed; nothing before its end."""
        report = report_of(self.simulation, depth=self.depth, seconds=0.0)
        return [row.to_dict() | {"verdict": row.verdict} for row in replayed(report)]

    def log(self, first: int) -> list[dict[str, Any]]:
        """Return the events from a number on, as the page's log has them."""
        events = self.simulation.history.events
        numbered = enumerate(events[first:], start=first)
        return [self._entry(number, event) for number, event in numbered]

    def events_until(self, time_s: float) -> int:
        """Return how many events there were up to a time."""
        return bisect_right(self.simulation.history.events, time_s, key=lambda event: event.time_s)

    def _entry(self, number: int, event: Event) -> dict[str, Any]:
        known = event.place in self.simulation.graph.link_number
        return {
            "id": number + 1,
            "t": round(event.time_s, 2),
            "kind": event.kind,
            "level": "truth" if event.truth else LEVELS.get(event.kind, "info"),
            "link": event.place if known else None,
            "text": event.words,
        }


@dataclass(frozen=True)
class Look:
    """What there was to see of a network at a moment.

    Attributes:
        number: Of the network: it changes when another one is on the page.
        tick: News for every page.
        rows: Every link in short, as `Figures.short` has it.
        log: The events since the last look.
    """

    number: int
    tick: dict[str, Any]
    rows: list[list[float]] = field(repr=False)
    log: list[dict[str, Any]] = field(repr=False)


class Pilot:
    """The thread of the networks: the one that was asked for, and a replay beside it.

    Attributes:
        now: The network on the page.
        running: Whether its time passes.
        speed: Simulated seconds for a second of the wall clock that are wanted.
        number: Of the network on the page, counted up at every change.
    """

    def __init__(self, running: Running, tell: Callable[[Look], None]) -> None:
        self.now, self.running, self.speed, self.number = running, True, SPEEDS[0], 0
        self._tell = tell
        self._parked: tuple[Running, int] | None = None
        self._questions = Questions()
        self._stop = False
        self._events_seen = 0
        self._pace: deque[tuple[float, float]] = deque(maxlen=12)
        self.failed: BaseException | None = None
        self._thread = Thread(target=self._run, name="network", daemon=True)

    @property
    def replays(self) -> bool:
        """Whether the network on the page is a replay beside the one that was asked for."""
        return self._parked is not None

    def start(self) -> None:
        """Let time pass."""
        self._thread.start()

    def close(self) -> None:
        """Stop, and end what the networks hold."""
        self._stop = True
        if self._thread.is_alive():
            self._thread.join()
        for running in (self.now, *(self._parked or ())[:1]):
            running.simulation.close()

    def ask(self, question: Callable[[], T]) -> "Future[T]":
        """Return the answer of a function that is called between two steps."""
        return self._questions.ask(question)

    # To be called by questions only.

    def set_clock(self, *, running: bool, speed: int) -> None:
        """Let time pass or stand still, at a speed.

        Raises:
            ValueError: The speed is none of `SPEEDS`.
        """
        if speed not in SPEEDS:
            raise ValueError(f"A speed must be one of {', '.join(map(str, SPEEDS))}, not {speed}.")
        self.running, self.speed = running, speed
        self._start_clock()

    def show(self, running: Running, *, speed: int) -> None:
        """Put a replay on the page; the network that was asked for waits meanwhile."""
        if self._parked is None:
            self._parked = self.now, self.speed
        else:
            self.now.simulation.close()
        self._change(running, speed)

    def leave(self) -> None:
        """Go back from a replay."""
        if self._parked is not None:
            self.now.simulation.close()
            running, speed = self._parked
            self._parked = None
            self._change(running, speed)

    def _change(self, running: Running, speed: int) -> None:
        self.now, self.speed, self.running = running, speed, True
        self.number += 1
        self._events_seen = len(running.simulation.history.events)
        self._start_clock()

    # The thread.

    def _run(self) -> None:
        next_look = time.monotonic()
        self._start_clock()
        try:
            while not self._stop:
                self._questions.answer(wait_s=self._pass_time())
                if time.monotonic() >= next_look:
                    self._tell(self._look())
                    many = len(self.now.simulation.lives) > _MANY_LINKS
                    next_look = time.monotonic() + TICK_S * (5 if many else 1)
        except BaseException as error:  # noqa: BLE001 - `serve` raises it in the main thread
            self.failed = error
            self._tell(Look(-1, {}, [], []))

    def _start_clock(self) -> None:
        self._pace.clear()
        now = self.now
        self._stepper = Stepper(now.simulation, speed=self.speed, end_s=now.end_s)

    def _pass_time(self) -> float:
        """Let a step of time pass if one is due; return how long nothing will be due."""
        if not self.running:
            return TICK_S / 4
        wait_s = self._stepper.step()
        self.running = self.now.simulation.now_s < self.now.end_s
        return wait_s

    def _look(self) -> Look:
        now, simulation = self.now, self.now.simulation
        now.figures.look()
        self._pace.append((time.monotonic(), simulation.now_s))
        (wall, simulated), (wall_now, _) = self._pace[0], self._pace[-1]
        pace = (simulation.now_s - simulated) / (wall_now - wall) if wall_now > wall else None
        rows = [now.figures.short(life) for life in simulation.lives]
        states = [0] * len(STATES)
        for row in rows:
            states[int(row[1])] += 1
        log = now.log(self._events_seen)
        self._events_seen += len(log)
        time_s, head = round(simulation.now_s, 2), now.headline() | {"states": states}
        now.recording.add(time_s, rows, head)
        tick = {
            "t": time_s,
            "running": self.running,
            "speed": self.speed,
            "pace": None if pace is None else round(pace, 3),
            "over": now.is_over,
            "head": head,
        }
        return Look(self.number, tick, rows, log)


def _first_words(simulation: Simulation) -> str:
    plan = simulation.plan
    links = f"{plan.title} begins: {len(plan.links):,} links"
    if plan.rate is RateMode.PUBLISHED:
        return f"{links} with published rates; no photon is simulated, and there is no Bell test."
    filled = "; their stores are filled first" if plan.store_s else ""
    return f"{links}, each with a Bell test of its own{filled}."


def replay_of(plan: NetworkPlan, *, seed: int | None, workers: int | None) -> tuple[Running, int]:
    """Return a published network with its incidents, and the speed at which to watch it."""
    running = Running.of(plan, depth="counts", seed=seed, workers=workers, ends=True)
    return running, SPEEDS[2] if running.end_s > 3600 else SPEEDS[1]


@cache
def replays() -> tuple[NetworkPlan, ...]:
    """Return the networks whose incidents were published, in all variants with their own rates."""
    known = set(names())
    plans = (
        load(name, variant=variant)
        for name in ("secoqc-2008", "tokyo-2010", "cambridge-2019")
        if name in known
        for variant in variants(name)
    )
    return tuple(plan for plan in plans if plan.rate is RateMode.PUBLISHED)
