"""What workers do: an order of plain values goes in, plain numbers come back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from e91.session.streaming import Run, session_of_block
from e91.studies.chunks import Chunk, Job
from e91.studies.points import point_of
from e91.studies.sessions import tally_of_blocks
from e91.studies.tallies import joined, tally_of, to_numbers
from e91.system.refusals import refusals_named

_ENOUGH_FOR_A_KEY = 200_000  # rounds of perfect pairs
_PACKAGES = ("e91", "numpy", "numba", "scipy", "qiskit", "qiskit-aer")

Numbers = dict[str, Any]
"""A tally as `e91.studies.tallies.to_numbers` writes it."""


@dataclass(frozen=True)
class Order:
    """A chunk of a study, as it travels to a worker.

    Attributes:
        number: Of the chunk.
        jobs: What is to be done.
        root: Root of the study: a worker can make every key of it.
        versions: What results must be made with.
        compiled: Whether the study is long enough for kernels to be compiled first.
    """

    number: int
    jobs: tuple[Job, ...]
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
    if order.compiled:
        compile_kernels()
    return [_done(job, root=order.root) for job in order.jobs]


def _done(job: Job, *, root: int) -> Numbers:
    with refusals_named(f"In session {job.session}: "):
        found = tally_of_blocks(
            job.point, root=root, session=job.session, first=job.first, blocks=job.blocks
        )
    return to_numbers(found)


def tally_run(run: Run, numbers: Sequence[int], needed: tuple[tuple[str, str], ...]) -> Numbers:
    """Return the tally of some blocks of a run.

    Raises:
        ValueError: Other versions are installed here than are ``needed``.
    """
    check_versions(needed)
    return to_numbers(joined(tally_of(session_of_block(run, number)) for number in numbers))


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


@cache
def compile_kernels() -> None:
    """Load and compile all kernels, for which a single short key is not worth the wait.

    NumPy gives the same bits, three to ten times more slowly.  Compiling takes some seconds once a
    machine; the result is kept on disk.
    """
    from e91.distillation.amplification.hashing import load_kernels
    from e91.distillation.cascade.kernels import fastest_route

    fastest_route()
    load_kernels()
    # A session that makes a key takes every step there is.
    tally_of_blocks(point_of({"rounds": _ENOUGH_FOR_A_KEY}), root=0, session=0)
