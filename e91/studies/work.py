"""What workers do: a study is cut into chunks of about a second, which its journal keeps.

An order of plain values goes in, plain numbers come back.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from e91.session.streaming import Run, session_of_block
from e91.studies.plan import Study
from e91.studies.points import Point
from e91.studies.sessions import joined, tally_of, tally_of_blocks, to_numbers
from e91.system.compiled import compiled_code_may_run
from e91.system.refusals import refusals_named
from e91.system.workspace import Workspace

CHUNK_ROUNDS = 2**24
"""Rounds of a chunk at most, if it has several blocks: about a second of work."""

CHUNK_JOBS = 16
"""Sessions of a chunk at most: short ones cost as much as a few hundred thousand rounds."""


@dataclass(frozen=True)
class Job:
    """Consecutive blocks of one session.

    Attributes:
        point: What the session is run with.
        session: Its number.
        first: First block.
        blocks: How many.
    """

    point: Point
    session: int
    first: int
    blocks: int

    @property
    def rounds(self) -> int:
        """Rounds of these blocks."""
        end = min(self.point.rounds, (self.first + self.blocks) * self.point.block_rounds)
        return end - self.first * self.point.block_rounds


@dataclass(frozen=True)
class Chunk:
    """Jobs that are done together.

    Attributes:
        number: From 0, in the order of sessions and blocks.
        jobs: The jobs.
    """

    number: int
    jobs: tuple[Job, ...]

    @property
    def rounds(self) -> int:
        """Rounds of all jobs."""
        return sum(job.rounds for job in self.jobs)


def chunks_of(study: Study) -> Iterator[Chunk]:
    """Yield the chunks of a study; the same study is always cut in the same way.

    Examples:
        >>> from e91.studies.plan import plan_study
        >>> cut = list(chunks_of(plan_study({"rounds": 10**6}, repeats=40)))
        >>> [len(chunk.jobs) for chunk in cut], cut[2].jobs[0].session
        ([16, 16, 8], 32)
        >>> [len(chunk.jobs) for chunk in chunks_of(plan_study({"rounds": 4 * 10**7}))]
        [1, 1, 1]
    """
    jobs: list[Job] = []
    number = rounds = 0
    for job in _jobs(study):
        if jobs and (rounds + job.rounds > CHUNK_ROUNDS or len(jobs) == CHUNK_JOBS):
            yield Chunk(number, tuple(jobs))
            number, rounds, jobs = number + 1, 0, []
        jobs.append(job)
        rounds += job.rounds
    yield Chunk(number, tuple(jobs))


def _jobs(study: Study) -> Iterator[Job]:
    for session in range(study.sessions):
        point = study.point_of_session(session)
        step = max(1, CHUNK_ROUNDS // point.block_rounds)
        for first in range(0, point.blocks, step):
            yield Job(point, session, first, min(step, point.blocks - first))


_PACKAGES = ("e91", "numpy", "numba", "scipy", "qiskit", "qiskit-aer")

Numbers = dict[str, Any]
"""A tally as `e91.studies.sessions.to_numbers` writes it."""


@dataclass(frozen=True)
class Order(Chunk):
    """A chunk of a study, as it travels to a worker.

    Attributes:
        root: Root of the study: a worker can make every key of it.
        versions: What results must be made with.
        compiled: Whether the study is long enough for compiled code to pay.
    """

    root: int
    versions: tuple[tuple[str, str], ...]
    compiled: bool


def order_of(chunk: Chunk, *, root: int, compiled: bool) -> Order:
    """Return the order for a chunk; it asks for this process's versions."""
    return Order(chunk.number, chunk.jobs, root, versions(), compiled)


def fulfil(order: Order) -> list[Numbers]:
    """Return the tally of every job of an order.

    Raises:
        ValueError: Other versions are installed here, or a session refuses its point.
    """
    check_versions(order.versions)
    workspace = Workspace(compiled=order.compiled and compiled_code_may_run())
    return [_done(job, root=order.root, workspace=workspace) for job in order.jobs]


def _done(job: Job, *, root: int, workspace: Workspace) -> Numbers:
    with refusals_named(f"In session {job.session}: "):
        found = tally_of_blocks(
            job.point,
            root=root,
            session=job.session,
            first=job.first,
            blocks=job.blocks,
            workspace=workspace,
        )
    return to_numbers(found)


def tally_run(numbers: Sequence[int], run: Run, needed: tuple[tuple[str, str], ...]) -> Numbers:
    """Return the tally of some blocks of a run.

    Raises:
        ValueError: Other versions are installed here than are ``needed``.
    """
    check_versions(needed)
    workspace = Workspace(compiled=compiled_code_may_run())
    reports = (session_of_block(run, number, workspace=workspace) for number in numbers)
    return to_numbers(joined(map(tally_of, reports)))


@cache
def versions() -> tuple[tuple[str, str], ...]:
    """Return the packages on which results depend, with their versions here."""
    return tuple((name, _version(name)) for name in _PACKAGES)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def check_versions(needed: tuple[tuple[str, str], ...]) -> None:
    """Check that the packages here are those with which a study was begun.

    Raises:
        ValueError: One has another version.
    """
    for (name, wanted), (_, found) in zip(needed, versions(), strict=True):
        if wanted != found:
            raise ValueError(
                f"Every worker of a study must have {name} {wanted}, with which it was begun, but "
                f"one has {found}."
            )
