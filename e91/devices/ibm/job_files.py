"""What a session needs to go on after its job was left: files that are written once.

Three small files with the session's name, for their owner only: what was planned (with the settings
of every round, which must be fixed before anything is measured), the job's id once there is one,
and where the keys went once there are some.  None holds an account, a token or a key bit.
"""

import base64
import binascii
import json
import os
import zlib
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import numpy as np

from e91.model.settings import SETTINGS
from e91.model.trust import SecurityModel
from e91.security.policy import Policy, PreparedSession
from e91.system.documents import Document, Text, read_json
from e91.system.durable import PRIVATE, new_file

VERSION = 1

MOST_BYTES = 100_000_000
"""Largest file of a session: the choices of all rounds that a job can take, and room."""


class _SessionFile(Document, frozen=True):
    """What `save_planned` writes."""

    version: Literal[1]
    session: Text
    machine: Text
    description: Text
    settings: Text
    alice_probabilities: tuple[float, ...]
    bob_probabilities: tuple[float, ...]
    policy: dict[str, Any]
    seed: int | None
    choices: Text


class _JobFile(Document, frozen=True):
    """What `save_job_id` writes."""

    job_id: Text


class _ConcludedFile(Document, frozen=True):
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
        "alice_probabilities": made.settings.alice_probabilities,
        "bob_probabilities": made.settings.bob_probabilities,
        "policy": _policy_values(made.policy),
        "seed": made.seed,
        "choices": base64.b64encode(zlib.compress(codes.tobytes())).decode(),
    }
    return _write(folder / f"{planned.session}.json", content)


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
        out = read_json(done, _ConcludedFile).out
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
        planned = _planned(read_json(path, _SessionFile, most_bytes=MOST_BYTES))
        return planned, read_json(job, _JobFile).job_id if job.is_file() else None
    except (KeyError, TypeError, binascii.Error, zlib.error) as error:
        raise ValueError(
            f"`{path}` must be a session that `e91 run` left, but is damaged "
            f"({type(error).__name__})."
        ) from None


def _session_of(job_id: str, folder: Path) -> str:
    for job in sorted(folder.glob("*.job")):
        if read_json(job, _JobFile).job_id == job_id:
            return job.stem
    known = sorted(path.stem for path in folder.glob("*.json")) if folder.is_dir() else []
    there = f"are only: {', '.join(known)}" if known else "is none"
    raise ValueError(
        f"`--resume` must name a job or a session that `e91 run` left in `{folder}`, but is "
        f"`{job_id}`, and there {there}."
    )


def _planned(content: _SessionFile) -> PlannedSession:
    settings = SETTINGS[content.settings].biased(
        content.alice_probabilities, content.bob_probabilities
    )
    codes = np.frombuffer(zlib.decompress(base64.b64decode(content.choices)), np.uint8)
    x, y = np.divmod(codes, np.uint8(len(settings.bob_angles)))
    prepared = PreparedSession(settings, _policy_of(content.policy), content.seed, x, y)
    return PlannedSession(content.session, content.machine, content.description, prepared)


def _policy_values(policy: Policy) -> dict[str, Any]:
    return {
        name: value.value if isinstance(value, Enum) else value
        for name, value in asdict(policy).items()
    }


def _policy_of(values: dict[str, Any]) -> Policy:
    return Policy(**(values | {"security": SecurityModel(values["security"])}))


def _write(path: Path, content: dict[str, Any]) -> Path:
    with new_file(path, mode=PRIVATE) as write:
        write(json.dumps(content).encode() + b"\n")
    return path
