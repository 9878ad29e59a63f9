"""A study cut into chunks: what one worker does in about a second, and the journal keeps."""

from collections.abc import Iterator
from dataclasses import dataclass

from e91.studies.plan import Study
from e91.studies.points import Point

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
