"""Blocks for key stores out of what sessions leave: their reports, their folders, long runs."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import msgspec

from e91.keys.block_files import take_blocks, take_end
from e91.keys.key_blocks import KeyBlock
from e91.keys.provenance import Provenance
from e91.model.errors import KeyUnavailable
from e91.model.messages import Party
from e91.session.report import SessionReport
from e91.system.documents import read_json

_log = logging.getLogger("e91")

_BLOCK = re.compile(r"block-\d{6,}")


class _StatedChsh(msgspec.Struct, frozen=True):
    value: float
    lower_bound: float


class _StatedReport(msgspec.Struct, frozen=True):
    """What a report file says of the Bell test and of an alarm; the rest of it is not read."""

    chsh: _StatedChsh | None = None
    alarm: dict[str, object] | None = None


def blocks_of_report(
    report: SessionReport, *, route: tuple[str, str], made_at: float
) -> tuple[KeyBlock, KeyBlock]:
    """Return the keys of a session as one block for each end; bits beyond a full byte are dropped.

    The keys in the report are not used up by this: to use them once is the caller's part.

    Args:
        report: A session that released a key.
        route: Names of the KMEs or sites at Alice's end and at Bob's.
        made_at: When the session made it; seconds since 1970, UTC.

    Returns:
        The block at Alice's end and the one at Bob's.

    Raises:
        ProtocolAborted: The session has no key.
        ValueError: The key is shorter than a byte.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> from e91.session.session import run
        >>> report = run(exact_device(visibility=0.97, seed=1), rounds=100_000, seed=2)
        >>> alice, bob = blocks_of_report(report, route=("A", "B"), made_at=1.8e9)
        >>> alice.provenance.route, alice.provenance.theorem, alice.provenance.reproducible
        (('A', 'B'), 'phase-errors', True)
    """
    key = report.keys.alice
    chsh = report.chsh if report.bell_test else None
    provenance = Provenance(
        security=key.security,
        theorem=key.theorem,
        attacks=key.attacks,
        epsilon=key.epsilon,
        bell_test=key.bell_test,
        chsh=None if chsh is None else chsh.value,
        chsh_lower_bound=None if chsh is None else chsh.lower_bound,
        route=route,
        relays=(),
        disjoint_paths=1,
        reproducible=key.reproducible,
        made_at=made_at,
        source=f"session {key.key_id}",
    )
    at_alice, at_bob = (
        KeyBlock(UUID(key.key_id), bytes(one), provenance)
        for one in (report.keys.alice, report.keys.bob)
    )
    return at_alice, at_bob


def session_folders(folder: Path | str) -> list[Path]:
    """Return the folders with key files that ``e91 run --out`` left: it itself, or its blocks'.

    Raises:
        ValueError: There are none.
    """
    folder = Path(folder)
    if any((folder / f"{party.value}.key").exists() for party in Party):
        return [folder]
    found = []
    if folder.is_dir():
        found = [one for one in sorted(folder.iterdir()) if _BLOCK.fullmatch(one.name)]
    if not found:
        raise ValueError(
            f"`{folder}` must be a folder that `e91 run --out` left, but holds no key files."
        )
    return found


def take_folder(
    folder: Path | str, *, route: tuple[str, str]
) -> Iterator[tuple[KeyBlock, KeyBlock]]:
    """Give the blocks of a session's folder, or of a long run's, which are used up by that.

    A block is taken out of its files when it is asked for, and they say so on the disk before it is
    given.  Used-up files are passed over, so that a folder may be named again; so
    are those of a session in which an alarm rang, which the log ``e91`` says.

    Args:
        folder: What ``e91 run --out`` left.
        route: Names of the KMEs or sites at Alice's end and at Bob's.

    Yields:
        Alice's block and Bob's.  They were made when the report was written.

    Raises:
        ValueError: There are no key files, or two of a session do not belong together.
        WriteFailed: The disk is full or fails; the bytes of one session may be lost.

    Examples:
        >>> import tempfile
        >>> from e91.devices.exact import exact_device
        >>> from e91.session.folder import save_session
        >>> from e91.session.session import run
        >>> report = run(exact_device(visibility=0.97, seed=1), rounds=100_000, seed=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = save_session(report, Path(folder))
        ...     first = len(list(take_folder(folder, route=("A", "B"))))
        ...     again = len(list(take_folder(folder, route=("A", "B"))))
        >>> first, again
        (1, 0)
    """
    for place in session_folders(folder):
        said = _said_of(place, place / "alice.key")
        if said is None:
            continue
        made_at, chsh = said
        try:
            yield take_blocks(
                place / "alice.key", place / "bob.key", route=route, made_at=made_at, chsh=chsh
            )
        except KeyUnavailable:
            continue


def take_folder_end(
    folder: Path | str, owner: Party, *, route: tuple[str, str]
) -> Iterator[KeyBlock]:
    """Give one party's blocks of a session's folder, or of a long run's, as `take_folder` does.

    The other party's key files are not needed, and not touched: they are on another machine.

    Args:
        folder: What ``e91 run --out`` left, or a copy of it without the other party's key files.
        owner: Whose key files are taken.
        route: Names of the KMEs or sites at Alice's end and at Bob's.

    Yields:
        This party's blocks.

    Raises:
        ValueError: There are no key files of this party, or one has protected messages.
        WriteFailed: The disk is full or fails; the bytes of one session may be lost.

    Examples:
        >>> import tempfile
        >>> from e91.devices.exact import exact_device
        >>> from e91.session.folder import save_session
        >>> from e91.session.session import run
        >>> report = run(exact_device(visibility=0.97, seed=1), rounds=100_000, seed=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = save_session(report, Path(folder))
        ...     [alice] = take_folder_end(folder, Party.ALICE, route=("A", "B"))
        ...     [bob] = take_folder_end(folder, Party.BOB, route=("A", "B"))
        >>> alice.block_id == bob.block_id, alice.content == bob.content
        (True, True)
    """
    for place in session_folders(folder):
        file = place / f"{owner.value}.key"
        said = _said_of(place, file)
        if said is None:
            continue
        made_at, chsh = said
        try:
            yield take_end(file, owner, route=route, made_at=made_at, chsh=chsh)
        except KeyUnavailable:
            continue


def _said_of(place: Path, key_file: Path) -> tuple[float, tuple[float, float] | None] | None:
    """Return when a session's key was made, and its S with the bound; None after an alarm."""
    file = place / "report.json"
    report = read_json(file, _StatedReport) if file.exists() else _StatedReport()
    if report.alarm is not None:
        _log.warning("The key in %s is left alone: an alarm rang in its session.", place)
        return None
    dated = file if file.exists() else key_file
    try:
        made_at = dated.stat().st_mtime
    except OSError:
        raise ValueError(f"`{key_file}` must be a key file, but is not there.") from None
    chsh = report.chsh
    return made_at, None if chsh is None else (chsh.value, chsh.lower_bound)
