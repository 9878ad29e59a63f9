"""A session at IBM's that can be left: plan it, submit its job, find it again, read its outcomes.

The settings of every round are on the disk before the job is submitted, and the job's id right
afterwards.  So whatever happens in between, the job is found again, and none is submitted twice.

Three small files with the session's name, for their owner only, are written once: what was planned,
the job's id once there is one, and where the keys went once there are some.  None holds an account,
a token or a key bit.
"""

import base64
import binascii
import json
import os
import uuid
import warnings
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import numpy as np
from qiskit.providers import BackendV2

from e91.devices.ibm import machine
from e91.devices.ibm.machine import ASSUMPTION, JobPlan, one_sentence
from e91.devices.samplers.sampler_device import outcome_bits, rounds_by_pair
from e91.model.bits import Bits
from e91.model.device import DeviceInfo
from e91.model.settings import SETTINGS, Settings
from e91.model.trust import SecurityModel
from e91.security.policy import Policy, PreparedSession
from e91.system.digests import PLACE, is_whole, sealed
from e91.system.documents import Document, Text, parse_json
from e91.system.durable import PRIVATE, WriteFailed, new_file, read_file

VERSION = 1

MOST_BYTES = 100_000_000
"""Largest file of a session: the choices of all rounds that a job can take, and room."""


_MOST_PAIRS = 256
"""Pairs of angles: a round's choices are one byte."""


class _LeftFile(Document, frozen=True, kw_only=True):
    """What every file of a session has: a digest of itself, which those of version 0.1 lack."""

    sha256: str | None = None


class _SessionFile(_LeftFile, frozen=True, kw_only=True):
    """What `save_planned` writes."""

    version: Literal[1]
    session: Text
    machine: Text
    description: Text
    settings: Text
    own_settings: Settings | None = None
    alice_probabilities: tuple[float, ...]
    bob_probabilities: tuple[float, ...]
    policy: dict[str, Any]
    seed: int | None
    choices: Text


class _JobFile(_LeftFile, frozen=True, kw_only=True):
    """What `save_job_id` writes."""

    job_id: Text


class _ConcludedFile(_LeftFile, frozen=True, kw_only=True):
    """What `save_concluded` writes."""

    out: Text


@dataclass(frozen=True, eq=False)
class PlannedSession:
    """A session whose rounds are measured by a job.

    Attributes:
        session: 32 hexadecimal digits: its name, and the tag of its job.
        machine: Name of the backend.
        description: One sentence for the report.
        prepared: Its settings, policy, seed, and the choices of every round.
    """

    session: str
    machine: str
    description: str
    prepared: PreparedSession

    @property
    def tag(self) -> str:
        """The tag by which the job is found at IBM's."""
        return f"e91-{self.session}"


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
        return replace(self.session.prepared, is_kept=True)

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
        save_concluded(self.session, Path(out), self.folder)


def plan_session(
    name: str, prepared: PreparedSession, *, service: Any = None, to_leave: bool = True
) -> PlannedJob:
    """Return a session with the job that would measure it, without submitting anything.

    Args:
        name: The machine, such as ``ibm_marrakesh``.
        prepared: What `e91.session.session.prepare_session` returned.
        service: A `QiskitRuntimeService`; by default the one that IBM's own tools find.
        to_leave: Whether the job shall outlive this process, which local testing mode refuses.

    Returns:
        The job as it would be submitted: circuits, shots, qubits and their reported errors.

    Raises:
        ValueError: There is no account or no such machine, it is down or too small, the rounds do
            not fit in one job, the settings have too many angles, or it cannot be left.

    Examples:
        >>> from qiskit_ibm_runtime import QiskitRuntimeService
        >>> from e91.session.session import prepare_session
        >>> service = QiskitRuntimeService(channel="local")  # simulated machines, no account
        >>> planned = plan_session(
        ...     "fake_manila", prepare_session(60_000), service=service, to_leave=False
        ... )
        >>> planned.plan.rounds
        60000
    """
    pairs = len(prepared.settings.alice_angles) * len(prepared.settings.bob_angles)
    if pairs > _MOST_PAIRS:
        raise ValueError(
            f"A job's settings must have at most {_MOST_PAIRS} pairs of angles, but have {pairs}."
        )
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
        folder: For the session's files; by default `jobs_folder`.

    Returns:
        The job, whose id and session's name find it again from any process.

    Raises:
        ValueError: A file cannot be written, or IBM does not take the job.  It may have arrived all
            the same if the connection broke: `find_session` with the session's name, which the
            error says, finds it.
        OSError: The disk is full or fails.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> from qiskit_ibm_runtime import QiskitRuntimeService
        >>> from e91.session.session import prepare_session
        >>> service = QiskitRuntimeService(channel="local")  # simulated machines, no account
        >>> planned = plan_session(
        ...     "fake_manila", prepare_session(60_000), service=service, to_leave=False
        ... )
        >>> with TemporaryDirectory() as folder:
        ...     left = submit_session(planned, folder=Path(folder))
        ...     a, b = left.outcomes()
        >>> a.shape, b.shape
        ((60000,), (60000,))
    """
    folder = folder or jobs_folder()
    session = planned.session
    save_planned(session, folder)
    try:
        job = machine.submit(planned.plan, planned.backend, tag=session.tag)
    except ValueError as error:
        raise ValueError(
            f"{error} If the job arrived all the same, `e91 run --resume {session.session}` finds "
            "it and submits nothing again."
        ) from None
    left = LeftJob(session, str(job.job_id()), job, folder)
    try:
        save_job_id(session, left.id, folder)
    except OSError as error:
        words = f"job {left.id} was submitted: `e91 run --resume {session.session}` finds it"
        raise WriteFailed(error.errno, f"{error.strerror} ({words})", error.filename) from None
    return left


def find_session(name: str, *, service: Any = None, folder: Path | None = None) -> LeftJob:
    """Return a job that was left, by its own id or by its session's name; submit nothing.

    Args:
        name: The job's id, or the session's name.
        service: As for `plan_session`.
        folder: As for `submit_session`.

    Returns:
        The job with its session, ready to wait for or to conclude.

    Raises:
        ValueError: There is none, its keys were saved, its files are damaged, IBM cannot be
            reached, or never took the job.

    Examples:
        >>> find_session("d4x7", folder=Path("/empty"))
        Traceback (most recent call last):
        ValueError: `--resume` must name a job or a session that `e91 run` left in `/empty`, but \
is `d4x7`, and there is none.
    """
    folder = folder or jobs_folder()
    session, job_id = load_planned(name, folder)
    check_not_concluded(session, folder)
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
    save_job_id(session, left.id, folder)
    return left


def _check_keeps_jobs(service: Any) -> None:
    """Check that a job can be left: local testing mode keeps none."""
    if not hasattr(service, "job"):
        raise ValueError(
            "A job in local testing mode must be waited for, but was to be left: it ends with the "
            "process that submitted it.  Run it again without `--leave`."
        )


def jobs_folder() -> Path:
    """Return where the files are: ``e91/jobs`` in XDG_STATE_HOME, else in ``~/.local/state``."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "e91" / "jobs"


def save_planned(planned: PlannedSession, folder: Path) -> Path:
    """Write the plan durably, before the job is submitted; return the file.

    Raises:
        ValueError: The folder cannot be made or written.
        OSError: The disk is full or fails.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ValueError(
            f"`{folder}` must be a folder that can be made, but: {error.strerror}."
        ) from None
    made = planned.prepared
    codes = made.x.astype(np.uint8) * np.uint8(len(made.settings.bob_angles)) + made.y
    content = {
        "version": VERSION,
        "session": planned.session,
        "machine": planned.machine,
        "description": planned.description,
        "settings": made.settings.name,
        "own_settings": None if _is_named(made.settings) else msgspec.to_builtins(made.settings),
        "alice_probabilities": made.settings.alice_probabilities,
        "bob_probabilities": made.settings.bob_probabilities,
        "policy": msgspec.to_builtins(made.policy),
        "seed": made.seed,
        "choices": base64.b64encode(zlib.compress(codes.tobytes())).decode(),
    }
    return _write(folder / f"{planned.session}.json", content)


def _is_named(settings: Settings) -> bool:
    """Return whether a name and probabilities say all of them."""
    known = SETTINGS.get(settings.name)
    chosen = settings.alice_probabilities, settings.bob_probabilities
    return known is not None and known.biased(*chosen) == settings


def save_job_id(planned: PlannedSession, job_id: str, folder: Path) -> Path:
    """Write down which job measures the session; return the file."""
    return _write(folder / f"{planned.session}.job", {"job_id": job_id})


def save_concluded(planned: PlannedSession, out: Path, folder: Path) -> Path:
    """Write down that the session's keys are in ``out``; return the file.

    Raises:
        ValueError: It was written down before: a second key from the same rounds would give away
            the first.
    """
    check_not_concluded(planned, folder)
    return _write(folder / f"{planned.session}.done", {"out": str(out.absolute())})


def check_not_concluded(planned: PlannedSession, folder: Path) -> None:
    """Check that no key was saved from the session's rounds.

    Raises:
        ValueError: One was.
    """
    done = folder / f"{planned.session}.done"
    if done.exists():
        out = _read(done, _ConcludedFile).out
        raise ValueError(
            f"A session must be concluded once, but the keys of this one are in `{out}`: a second "
            "key from the same rounds would give away the first."
        )


def load_planned(name: str, folder: Path) -> tuple[PlannedSession, str | None]:
    """Return the session of that name, or of that job, and its job's id, or None.

    Raises:
        ValueError: There is none, or its files are damaged.
    """
    session = name if (folder / f"{name}.json").is_file() else _session_of(name, folder)
    job = folder / f"{session}.job"
    path = folder / f"{session}.json"
    try:
        planned = _planned(_read(path, _SessionFile))
        return planned, _read(job, _JobFile).job_id if job.is_file() else None
    except (KeyError, TypeError, binascii.Error, zlib.error) as error:
        raise ValueError(
            f"`{path}` must be a session that `e91 run` left, but is damaged "
            f"({type(error).__name__})."
        ) from None


def _session_of(job_id: str, folder: Path) -> str:
    for job in sorted(folder.glob("*.job")):
        if _read(job, _JobFile).job_id == job_id:
            return job.stem
    known = sorted(path.stem for path in folder.glob("*.json")) if folder.is_dir() else []
    there = f"are only: {', '.join(known)}" if known else "is none"
    raise ValueError(
        f"`--resume` must name a job or a session that `e91 run` left in `{folder}`, but is "
        f"`{job_id}`, and there {there}."
    )


def _planned(content: _SessionFile) -> PlannedSession:
    named = content.own_settings or SETTINGS[content.settings]
    settings = named.biased(content.alice_probabilities, content.bob_probabilities)
    codes = np.frombuffer(_unpacked(base64.b64decode(content.choices, validate=True)), np.uint8)
    x, y = np.divmod(codes, np.uint8(len(settings.bob_angles)))
    prepared = PreparedSession(settings, _policy_of(content.policy), content.seed, x, y)
    return PlannedSession(content.session, content.machine, content.description, prepared)


def _unpacked(packed: bytes) -> bytes:
    """Return the choices of all rounds; a small file cannot ask for more than a job can take.

    Raises:
        zlib.error: They are damaged, or more.
    """
    opened = zlib.decompressobj()
    content = opened.decompress(packed, MOST_BYTES)
    if not opened.eof:
        raise zlib.error
    return content


_File = TypeVar("_File", bound=_LeftFile)


def _read(path: Path, shape: type[_File]) -> _File:
    """Return what a file of a session holds, compared with the digest that it states.

    Raises:
        ValueError: It is none, or damaged.

    Warns:
        UserWarning: It is of version 0.1, which stored no digest.
    """
    content = read_file(path, most_bytes=MOST_BYTES)
    found = parse_json(content, shape, where=str(path))
    if found.sha256 is None:
        words = f"`{path}` is of version 0.1, which stored no digest: damage in it is not seen."
        warnings.warn(words, UserWarning, stacklevel=2)
    elif not is_whole(content, stated=found.sha256):
        raise ValueError(f"`{path}` must have the digest that it states, but is damaged.")
    return found


def _policy_of(values: dict[str, Any]) -> Policy:
    return Policy(**(values | {"security": SecurityModel(values["security"])}))


def _write(path: Path, content: dict[str, Any]) -> Path:
    text = json.dumps({"sha256": PLACE, **content}).encode() + b"\n"
    with new_file(path, mode=PRIVATE) as write:
        write(sealed(text))
    return path
