"""A network that lives by the wall clock in a thread of its own, and supplies keys.

``e91 kme serve --network`` is fed by one.  Its thread alone touches the simulation; others ask it
between two steps, and get its news from that thread.
"""

import math
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Self, TypeVar

from e91.network.key_supply import KeySupply, News
from e91.network.layout import NetworkPlan
from e91.network.link_events import Simulation
from e91.network.network_run import begin
from e91.network.pacing import Questions, Stepper

T = TypeVar("T")


class LivingNetwork:
    """A network that makes keys for others while its time passes by the wall clock.

    Attributes:
        plan: The network.
        ended: Done when its time is over, or with the exception with which its thread failed.

    Args:
        plan: As above.
        tell: Is given the news, in order, by the network's thread.
        speed: Simulated seconds for a second of the wall clock.
        minutes: Simulated time after which it ends; None for never.
        seed: Root of all randomness; None takes the operating system's.
        workers: Processes that make blocks; one a core by default.
        rule: Name of a routing rule; the plan's by default.
        disjoint: Into how many shares keys are divided, which take ways without a common relay.
        doubt_s: Seconds before the moment that an alarm states which are in doubt, too.

    Raises:
        ValueError: An argument leaves its range, or the network draws no key bits.

    Examples:
        >>> import queue
        >>> from e91.network import load
        >>> news = queue.SimpleQueue()
        >>> with LivingNetwork(load("jinan-2012"), tell=news.put, seed=1, workers=1) as network:
        ...     network.ask("U001", "U004", 1024).result()
        ...     key = news.get(timeout=60)
        >>> key.ends, len(key.contents[0]), key.contents[0] == key.contents[1]
        (('U001', 'U004'), 128, True)
        >>> key.provenance.relays, key.provenance.reproducible
        (('R1',), True)
    """

    def __init__(
        self,
        plan: NetworkPlan,
        *,
        tell: Callable[[News], None],
        speed: float = 1.0,
        minutes: float | None = None,
        seed: int | None = None,
        workers: int | None = None,
        rule: str | None = None,
        disjoint: int = 1,
        doubt_s: float = 0.0,
    ) -> None:
        end_s = math.inf if minutes is None else 60.0 * minutes
        self.plan = plan
        self._simulation = begin(plan, seed=seed, workers=workers, rule=rule, disjoint=disjoint)
        try:
            self._stepper = Stepper(self._simulation, speed=speed, end_s=end_s)
            self._supply = KeySupply(
                self._simulation, source=_named(plan, seed), clock=time.time, tell=tell,
                doubt_s=doubt_s,
            )  # fmt: skip
        except ValueError:
            self._simulation.close()
            raise
        self._questions, self._stop = Questions(), False
        self.ended: Future[None] = Future()
        self.ended.set_running_or_notify_cancel()  # who waits for it cannot cancel it
        self._thread = Thread(target=self._run, name="living network", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True
        if self._thread.is_alive():
            self._thread.join()
        self._simulation.close()

    def ask(self, source: str, target: str, bits: int) -> "Future[None]":
        """Ask for a key of two sites, which comes as news; return when that is done.

        Args:
            source: Name of the site that asks.
            target: Name of the other site.
            bits: Length of the key.
        """
        return self._questions.ask(lambda: self._supply.ask(source, target, bits))

    def outstanding(self) -> "Future[Counter[tuple[str, str]]]":
        """Return the bits that were asked for and have not come, by the two sites."""
        return self._questions.ask(lambda: Counter(self._supply.outstanding))

    def look(self, question: Callable[[Simulation], T]) -> "Future[T]":
        """Return the answer of a function of the simulation, called between two steps.

        Args:
            question: Called once with the simulation, which it must not change.
        """
        return self._questions.ask(lambda: question(self._simulation))

    def _run(self) -> None:
        try:
            while not self._stop and self._simulation.now_s < self._stepper.end_s:
                self._questions.answer(wait_s=self._stepper.step())
        except BaseException as error:  # noqa: BLE001 - it belongs to who waits for the end
            self.ended.set_exception(error)
        else:
            self.ended.set_result(None)


def _named(plan: NetworkPlan, seed: int | None) -> str:
    variant = f" ({plan.variant})" if plan.variant else ""
    return f"network {plan.name}{variant}" + (f", seed {seed}" if seed is not None else "")
