"""A session at IBM's that can be left: plan it, submit its job, find it again, read its outcomes.

The settings of every round are on the disk before the job is submitted, and the job's id right
afterwards.  So whatever happens in between, the job is found again, and none is submitted twice.
"""

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from qiskit.providers import BackendV2

from e91.devices.ibm import job_files, machine
from e91.devices.ibm.job_files import PlannedSession
from e91.devices.ibm.machine import ASSUMPTION, JobPlan
from e91.devices.ibm.service_errors import one_sentence
from e91.devices.samplers.outcomes import outcome_bits
from e91.devices.samplers.sampler_device import rounds_by_pair
from e91.model.bits import Bits
from e91.model.device import DeviceInfo
from e91.security.policy import PreparedSession


@dataclass(frozen=True, eq=False)
class PlannedJob:
    """A session with the job that would measure it; nothing is submitted or written yet.

    Attributes:
        session: The session.
        plan: What its job takes and what the machine's calibration promises.
        backend: The machine.
    """

    session: PlannedSession
    plan: JobPlan
    backend: BackendV2 = field(repr=False)


@dataclass(frozen=True, eq=False)
class LeftJob:
    """A submitted job with the session whose rounds it measures.

    Attributes:
        session: The session.
        id: The job's id, by which `find_session` finds it again.
        job: The runtime package's job.
        folder: Where the session's files are.
    """

    session: PlannedSession
    id: str
    job: Any = field(repr=False)
    folder: Path

    @property
    def prepared(self) -> PreparedSession:
        """What `e91.session.session.conclude_session` wants, besides the outcomes."""
        return self.session.prepared

    @property
    def info(self) -> DeviceInfo:
        """What measures the rounds."""
        return DeviceInfo(self.prepared.settings, self.session.description, ASSUMPTION)

    def status(self) -> str:
        """Return INITIALIZING, QUEUED, RUNNING, DONE, CANCELLED or ERROR, without waiting.

        Raises:
            ValueError: IBM cannot be asked.
        """
        with one_sentence():
            status = self.job.status()
        return str(getattr(status, "name", status))

    def outcomes(self) -> tuple[Bits, Bits]:
        """Wait for the job and return both parties' outcomes (a, b); uint8, shape (n,) each.

        Raises:
            ValueError: The job was cancelled or failed, IBM cannot be reached, or the result has
                not the registers and shots that were asked for.
        """
        x, y = self.prepared.x, self.prepared.y
        chosen = rounds_by_pair(x, y, settings=self.prepared.settings)
        shots = max(map(len, chosen.values()))
        with one_sentence():
            result = self.job.result()
        if not result:
            raise ValueError(
                "A finished job must have a result, but this one has none: IBM may have deleted "
                "it; start again with `e91 run`."
            )
        alice, bob = outcome_bits(result[0].data, pairs=len(chosen), shots=shots)
        a, b = np.empty_like(x), np.empty_like(y)
        for row, rounds in enumerate(chosen.values()):
            a[rounds], b[rounds] = alice[row, : len(rounds)], bob[row, : len(rounds)]
        return a, b

    def mark_concluded(self, out: str | Path) -> None:
        """Write down that the session's keys are in ``out``: it is not found again.

        Raises:
            ValueError: It was written down before.
        """
        job_files.save_concluded(self.session, Path(out), self.folder)


def plan_session(
    name: str, prepared: PreparedSession, *, service: Any = None, to_leave: bool = True
) -> PlannedJob:
    """Return a session with the job that would measure it, without submitting anything.

    Args:
        name: The machine, such as ``ibm_marrakesh``.
        prepared: What `e91.session.session.prepare_session` returned.
        service: A `QiskitRuntimeService`; by default the one that IBM's own tools find.
        to_leave: Whether the job shall outlive this process, which local testing mode refuses.

    Raises:
        ValueError: There is no account or no such machine, it is down or too small, the rounds do
            not fit in one job, or it cannot be left.
    """
    service = machine.open_service() if service is None else service
    if to_leave:
        _check_keeps_jobs(service)
    backend = machine.machine_of(service, name)
    plan = machine.plan_job(backend, prepared.x, prepared.y, settings=prepared.settings)
    session = PlannedSession(uuid.uuid4().hex, name, plan.description, prepared)
    return PlannedJob(session, plan, backend)


def submit_session(planned: PlannedJob, *, folder: Path | None = None) -> LeftJob:
    """Write the session down, submit its job, write the job's id down, and return it.

    Args:
        planned: What `plan_session` returned.
        folder: For the session's files; by default `e91.devices.ibm.job_files.jobs_folder`.

    Raises:
        ValueError: A file cannot be written, or IBM does not take the job.  It may have arrived all
            the same if the connection broke: `find_session` with the session's name, which the
            error says, finds it.
        OSError: The disk is full or fails.
    """
    folder = folder or job_files.jobs_folder()
    session = planned.session
    job_files.save_planned(session, folder)
    try:
        job = machine.submit(planned.plan, planned.backend, tag=session.tag)
    except ValueError as error:
        raise ValueError(
            f"{error} If the job arrived all the same, `e91 run --resume {session.session}` finds "
            "it and submits nothing again."
        ) from None
    left = LeftJob(session, str(job.job_id()), job, folder)
    try:
        job_files.save_job_id(session, left.id, folder)
    except OSError as error:
        raise OSError(
            error.errno,
            f"{error.strerror} (job {left.id} was submitted: `e91 run --resume {session.session}` "
            "finds it)",
        ) from None
    return left


def find_session(name: str, *, service: Any = None, folder: Path | None = None) -> LeftJob:
    """Return a job that was left, by its own id or by its session's name; submit nothing.

    Args:
        name: The job's id, or the session's name.
        service: As for `plan_session`.
        folder: As for `submit_session`.

    Raises:
        ValueError: There is none, its keys were saved, its files are damaged, IBM cannot be
            reached, or never took the job.
    """
    folder = folder or job_files.jobs_folder()
    session, job_id = job_files.load_planned(name, folder)
    job_files.check_not_concluded(session, folder)
    service = machine.open_service() if service is None else service
    _check_keeps_jobs(service)
    with one_sentence():
        if job_id is not None:
            return LeftJob(session, job_id, service.job(job_id), folder)
        job = next(iter(service.jobs(limit=1, job_tags=[session.tag])), None)
    if job is None:
        raise ValueError(
            "A session must have a job to go on, but IBM never took this one: nothing was "
            "submitted; start again with `e91 run`."
        )
    left = LeftJob(session, str(job.job_id()), job, folder)
    job_files.save_job_id(session, left.id, folder)
    return left


def _check_keeps_jobs(service: Any) -> None:
    """Check that a job can be left: local testing mode keeps none."""
    if not hasattr(service, "job"):
        raise ValueError(
            "A job in local testing mode must be waited for, but was to be left: it ends with the "
            "process that submitted it.  Run it again without `--leave`."
        )
