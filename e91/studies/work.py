"""What workers do: an order of plain values goes in, plain numbers come back."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from e91.session.streaming import Run, session_of_block
from e91.studies.chunks import Chunk, Job
from e91.studies.sessions import tally_of_blocks
from e91.studies.tallies import joined, tally_of, to_numbers
from e91.system.compiled import compiled_code_may_run
from e91.system.refusals import refusals_named
from e91.system.workspace import Workspace

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
        compiled: Whether the study is long enough for compiled code to pay.
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


def tally_run(run: Run, numbers: Sequence[int], needed: tuple[tuple[str, str], ...]) -> Numbers:
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
