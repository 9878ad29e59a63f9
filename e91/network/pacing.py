"""Letting a network's time pass by the wall clock, and asking it something between two steps.

One thread owns a running network and alone touches it.  Whoever wants something of it passes it a
function, which that thread calls between two steps, and waits for the answer.
"""

import math
import queue
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from e91.model.numbers import check_positive
from e91.network.link_events import Simulation

T = TypeVar("T")

IDLE_S = 0.05
"""Wall time for which nothing is due when a network is ahead of the clock."""

_STEP_S = 0.05  # of wall time that a step should take, so that questions are answered soon
_BEHIND_S = 0.5  # of wall time: who is further behind gives up catching up


class Questions:
    """Functions that others want called by the thread of a network."""

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()

    def ask(self, question: Callable[[], T]) -> "Future[T]":
        """Return the answer of a function that is called between two steps; from any thread."""
        answer: Future[T] = Future()
        self._asked.put((question, answer))
        return answer

    def answer(self, *, wait_s: float) -> None:
        """Answer the questions that are there; wait for one if there is time."""
        while True:
            try:
                question, answer = (
                    self._asked.get(timeout=wait_s) if wait_s > 0 else self._asked.get_nowait()
                )
            except queue.Empty:
                return
            wait_s = 0.0
            if answer.set_running_or_notify_cancel():
                try:
                    answer.set_result(question())
                except Exception as error:  # noqa: BLE001 - it belongs to who asked
                    answer.set_exception(error)


@dataclass(eq=False)
class Stepper:
    """Lets the time of a network pass by the wall clock, in steps that are short to wait for.

    Before time zero, while the stores are filled, time passes as fast as it goes.  A network that
    cannot keep the pace gives up what it is behind.

    Attributes:
        simulation: The network.
        speed: Simulated seconds for a second of the wall clock.
        end_s: When its time ends; infinite if it does not.

    Raises:
        ValueError: ``speed`` is not positive.
    """

    simulation: Simulation
    speed: float
    end_s: float = math.inf
    _step_s: float = field(default=0.01, init=False, repr=False)

    def __post_init__(self) -> None:
        check_positive(speed=self.speed)
        self._start_clock()

    def step(self) -> float:
        """Let a step of time pass if one is due; return how long nothing will be due, seconds."""
        simulation, now = self.simulation, time.monotonic()
        due_s = self._simulated + (now - self._wall) * self.speed
        if simulation.now_s < 0:
            due_s = 0.0
        left_s = min(due_s, self.end_s) - simulation.now_s
        if left_s <= 0:
            return IDLE_S
        self._advance(min(left_s, self._step_s))
        if simulation.now_s < 0 or left_s > _BEHIND_S * self.speed + self._step_s:
            self._start_clock()
        return 0.0

    def _start_clock(self) -> None:
        self._wall, self._simulated = time.monotonic(), self.simulation.now_s

    def _advance(self, by_s: float) -> None:
        begun = time.monotonic()
        self.simulation.advance(self.simulation.now_s + by_s)
        took = time.monotonic() - begun
        best = by_s * _STEP_S / max(took, 1e-6)
        self._step_s = min(60.0, max(0.02, min(2 * self._step_s, best)))
