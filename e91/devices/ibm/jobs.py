"""Jobs at IBM's: find one again, and read the outcome of every round from it."""

from __future__ import annotations

from typing import Any

import numpy as np

from e91.devices.ibm.service_errors import one_sentence
from e91.devices.samplers.outcomes import outcome_bits
from e91.devices.samplers.sampler_device import rounds_by_pair
from e91.model.bits import Bits
from e91.model.settings import Settings


def check_keeps_jobs(service: Any) -> None:
    """Check that a job can be left: local testing mode keeps none.

    Raises:
        ValueError: It cannot.
    """
    if not hasattr(service, "job"):
        raise ValueError(
            "A job in local testing mode must be waited for, but was to be left: it ends with the "
            "process that submitted it.  Run it again without `--leave`."
        )


def find_job(service: Any, job_id: str) -> Any:
    """Return a job by its id.

    Raises:
        ValueError: There is none, or the service keeps none.
    """
    check_keeps_jobs(service)
    with one_sentence():
        return service.job(job_id)


def tagged_job(service: Any, tag: str) -> Any | None:
    """Return the job with a tag, or None: then nothing was submitted.

    Raises:
        ValueError: The service cannot be asked, or keeps no jobs.
    """
    check_keeps_jobs(service)
    with one_sentence():
        found = service.jobs(limit=1, job_tags=[tag])
    return found[0] if found else None


def job_status(job: Any) -> str:
    """Return INITIALIZING, QUEUED, RUNNING, DONE, CANCELLED or ERROR."""
    with one_sentence():
        status = job.status()
    return str(getattr(status, "name", status))


def job_outcomes(job: Any, x: Bits, y: Bits, *, settings: Settings) -> tuple[Bits, Bits]:
    """Wait for a job and return both parties' outcome in every round.

    Args:
        job: A submitted job.
        x: Alice's setting index in each round, as it was planned; shape (n,).
        y: Bob's.
        settings: The angles of both parties.

    Returns:
        Outcomes (a, b); uint8, shape (n,) each.

    Raises:
        ValueError: The job was cancelled or failed, IBM cannot be reached, or the result has not
            the registers and shots that were asked for.
    """
    chosen = rounds_by_pair(x, y, settings=settings)
    shots = max(map(len, chosen.values()))
    with one_sentence():
        result = job.result()
    if not result:
        raise ValueError(
            "A finished job must have a result, but this one has none: IBM may have deleted it; "
            "start again with `e91 run`."
        )
    alice, bob = outcome_bits(result[0].data, pairs=len(chosen), shots=shots)
    a, b = np.empty_like(x), np.empty_like(y)
    for row, rounds in enumerate(chosen.values()):
        a[rounds], b[rounds] = alice[row, : len(rounds)], bob[row, : len(rounds)]
    return a, b
