"""Time a piece of work beside its peers, in one run: medians and spread."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from statistics import median

from e91.system.processes import worker_processes

Work = Callable[[], int]
"""Does the work once and returns how much it did, in the stage's unit."""


@dataclass(frozen=True)
class Timing:
    """Repeated calls of one piece of work, the first one not counted.

    Attributes:
        seconds: Of every call.
        rates: Work a second of every call, in the stage's unit.
    """

    seconds: tuple[float, ...]
    rates: tuple[float, ...]


@dataclass(frozen=True)
class Peer:
    """Another program that does the work of a stage.

    Attributes:
        name: What the table calls it.
        prepare: Returns its work; raises ModuleNotFoundError where it is not installed.
        published: A rate from the literature, where nothing is run; None otherwise.
    """

    name: str
    prepare: Callable[[], Work] | None = None
    published: float | None = None

    def __post_init__(self) -> None:
        if (self.prepare is None) == (self.published is None):
            raise ValueError(
                f"A peer must have either work or a published rate, but `{self.name}` has "
                f"{'neither' if self.prepare is None else 'both'}."
            )


@dataclass(frozen=True)
class Stage:
    """A piece of work to time.

    Attributes:
        name: What the table calls it.
        size: Of the work, in words.
        unit: What `Work` counts, in the singular, e.g. "round".
        prepare: Returns the work; what it does itself is not timed.
        peers: Timed in the same run, if they are installed.
        repeats: Calls that count.
    """

    name: str
    size: str
    unit: str
    prepare: Callable[[], Work]
    peers: tuple[Peer, ...] = ()
    repeats: int = 5


@dataclass(frozen=True)
class Row:
    """A stage beside one peer, or beside none: one line of the table.

    Attributes:
        stage: Name of the stage.
        size: Of the work, in words.
        unit: Unit of the work done; rates are in this unit per second.
        own: Timing of this project.
        peer: Name of the peer, or None.
        peers: Its timing, or None where it was not timed.
        published: Its published rate, or None.
        remark: Why a peer was not timed; empty otherwise.
    """

    stage: str
    size: str
    unit: str
    own: Timing
    peer: str | None = None
    peers: Timing | None = None
    published: float | None = None
    remark: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times faster than the peer we are, by the medians; None without a figure."""
        other = median(self.peers.rates) if self.peers else self.published
        return median(self.own.rates) / other if other else None

    def to_dict(self) -> dict[str, object]:
        """Return the row for ``--json``: our medians, the peer's, the ratio, and the spreads."""
        other = median(self.peers.rates) if self.peers else self.published
        return {
            "stage": self.stage,
            "size": self.size,
            "seconds": median(self.own.seconds),
            "rate": median(self.own.rates),
            "unit": f"{self.unit}/s",
            "peer": self.peer,
            "ratio": self.ratio,
            "rates": sorted(self.own.rates),
            "peer_rate": other,
            "peer_rates": sorted(self.peers.rates) if self.peers else None,
            "remark": self.remark or None,
        }


def timed(work: Work, *, repeats: int) -> Timing:
    """Call ``work`` once unmeasured and then ``repeats`` times.

    Args:
        work: What to time; what it returns counts as the work done.
        repeats: Calls that count, at least 1.

    Raises:
        ValueError: ``repeats`` is below 1, or no work was done.

    Examples:
        >>> found = timed(lambda: 10, repeats=3)
        >>> len(found.seconds), min(found.rates) > 1000
        (3, True)
    """
    if repeats < 1:
        raise ValueError(f"`repeats` must be at least 1, but is {repeats}.")
    work()
    seconds, rates = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        done = work()
        seconds.append(time.perf_counter() - start)
        if done <= 0:
            raise ValueError(f"The work of a stage must be above 0, but is {done}.")
        rates.append(done / seconds[-1])
    return Timing(tuple(seconds), tuple(rates))


def rows_of(stage: Stage) -> list[Row]:
    """Time a stage and its peers, one after the other, and return a row for each peer.

    A peer that is not installed has a row too, which says so.

    Examples:
        >>> def missing() -> Work:
        ...     raise ModuleNotFoundError("No module named 'rival'", name="rival")
        >>> rival = Peer("rival", missing)
        >>> stage = Stage("count", "10 beans", "bean", lambda: lambda: 10, (rival,))
        >>> [(row.peer, row.ratio, row.remark) for row in rows_of(stage)]
        [('rival', None, '`rival` is not installed')]
    """
    own = timed(stage.prepare(), repeats=stage.repeats)
    shared = (stage.name, stage.size, stage.unit, own)
    if not stage.peers:
        return [Row(*shared)]
    rows = []
    for peer in stage.peers:
        if peer.prepare is None:
            rows.append(Row(*shared, peer.name, None, peer.published, "published, not run here"))
            continue
        try:
            other = timed(peer.prepare(), repeats=stage.repeats)
        except ModuleNotFoundError as error:
            remark = f"`{error.name or peer.name}` is not installed"
            rows.append(Row(*shared, peer.name, remark=remark))
            continue
        rows.append(Row(*shared, peer.name, other))
    return rows


def shared_out(work: Callable[[int], int], *, threads: int) -> Work:
    """Return a work that calls ``work`` once on each of ``threads`` threads, with its number.

    Examples:
        >>> shared_out(lambda number: 10 + number, threads=3)()
        33
    """

    def on_threads() -> int:
        with ThreadPoolExecutor(threads) as pool:
            return sum(pool.map(work, range(threads)))

    return on_threads


def over_processes(work: Callable[[int], int], *, processes: int) -> Work:
    """Return a work that calls ``work`` once in each of ``processes`` processes, with its number.

    Args:
        work: Can be pickled.
        processes: How many; a single one is this process.

    Examples:
        >>> over_processes(abs, processes=1)()
        0
    """
    if processes == 1:
        return partial(work, 0)
    pool = worker_processes(processes)
    return lambda: sum(pool.map(work, range(processes)))
