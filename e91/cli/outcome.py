"""How a session on the command line ends: a report, keys in a folder, or the reason for none."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import click

from e91.model.errors import ProtocolAborted
from e91.system.durable import WriteFailed
from e91.system.report_layout import WIDTH

STANDARD_OUTPUT = "Standard output"
"""The name by which `WriteFailed` calls it."""


class NotedOutput:
    """Standard output that knows whether a text was written to it; all else is its stream's."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.is_used = False

    def write(self, text: str) -> int:
        """Write a text and note it."""
        self.is_used = self.is_used or bool(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def noted_output() -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether the block has written to standard output."""
    before = sys.stdout
    if before is None:
        yield lambda: False
        return
    noted = NotedOutput(before)
    sys.stdout = noted
    try:
        yield lambda: noted.is_used
    finally:
        if sys.stdout is noted:  # and not None, as of an output that has failed
            sys.stdout = before


@dataclass(frozen=True)
class FigureFile:
    """Where a figure goes, if one is wanted.

    Attributes:
        figure: A new file, or None.
        figure_style: Size of letters and lines.
    """

    figure: Path | None = None
    figure_style: str = "notebook"

    def check(self) -> None:
        """Refuse what cannot be written, before the work that it shows.

        Raises:
            ValueError: Matplotlib is missing, the file exists, its folder cannot be written, or
                its ending is unknown.
        """
        if self.figure is None:
            return
        os.environ.setdefault("MPLBACKEND", "agg")  # a command opens no window
        from e91.plots import check_figure_file

        check_figure_file(self.figure)

    def save(self, draw: Callable[[], Any]) -> None:
        """Write the figure that ``draw`` draws, if one is wanted.

        Args:
            draw: As for `e91.plots.save_figure`.
        """
        if self.figure is None:
            return
        from e91.plots import save_figure
        from e91.system.progress import waiting

        with waiting(f"Drawing {self.figure}"):
            save_figure(draw, self.figure, style=self.figure_style)


@dataclass(frozen=True)
class Files:
    """What becomes of a key.

    Attributes:
        plain: A file to encrypt with it, or None.
        out: New folder for keys, report and ciphertext, or None.
        picture: Where the session is drawn.
    """

    plain: Path | None
    out: Path | None
    picture: FigureFile = field(default_factory=FigureFile)


def files_of(*, plain: Path | None, out: Path | None, **figure: Any) -> Files:
    """Return what becomes of a key from the options of the command line."""
    return Files(plain, out, FigureFile(**figure))


def show_and_save(
    report: Any,
    files: Files,
    *,
    as_json: bool,
    sealed: Callable[[], object] | None = None,
) -> None:
    """Print the report of a session, draw it and save its keys, or raise why there are none.

    Args:
        report: A finished session.
        files: What to write and to encrypt.
        as_json: Print one JSON object.
        sealed: Called when everything is in the folder, just before it gets its name.

    Raises:
        ProtocolAborted: The session has no key.
        WriteFailed: Nobody can read what is printed.
    """
    if report.abort is not None:
        show(report, as_json=as_json)
        draw_session(report, files.picture)
        raise ProtocolAborted(report.abort)
    saved = _save(report, files.out, files.plain, sealed) if files.out is not None else None
    try:
        show(report, as_json=as_json, written=saved or {})
        flush_output()
    except OSError as error:
        kept = f"the session was saved in `{files.out}`" if saved else "nothing was saved"
        raise WriteFailed(error.errno, f"{error.strerror}; {kept}", STANDARD_OUTPUT) from None
    draw_session(report, files.picture)


def draw_session(report: Any, picture: FigureFile) -> None:
    """Draw a session, or the blocks of a run, if a figure is wanted."""

    def draw() -> Any:
        """Draw S and the key budget."""
        from e91.plots import session_figure

        return session_figure(report)

    picture.save(draw)


def show(report: Any, *, as_json: bool, written: dict[str, Any] | None = None) -> None:
    """Print a report, and what was written where, as text or as one JSON object."""
    written = written or {}
    if as_json:
        click.echo(json.dumps(report.to_dict() | written))
        return
    click.echo(as_text(report))
    if written:
        click.echo("\n" + "\n".join(f"  {name:<22}{value}" for name, value in written.items()))


def as_text(report: Any) -> str:
    """Return a report as text that fits standard output."""
    return str(report.text(width=columns(WIDTH + 2) - 2))


def columns(otherwise: int) -> int:
    """Return how many columns a text may have: a terminal's, from 60 to 100.

    Args:
        otherwise: Where standard output is no terminal: a text in a file has one width.
    """
    if sys.stdout is None or not sys.stdout.isatty():
        return otherwise
    return min(max(60, shutil.get_terminal_size().columns), 100)


def refuse_terminal(what: str) -> None:
    """Refuse bytes that are no text where a terminal would show them.

    Raises:
        click.UsageError: Standard output is a terminal.
    """
    if sys.stdout is not None and sys.stdout.isatty():
        raise click.UsageError(f"{what} must go to a file or a pipe, not to a terminal.")


def write_output(content: bytes) -> None:
    """Write bytes to standard output, and return when they have left this process.

    Raises:
        WriteFailed: It takes nothing more.
    """
    try:
        click.echo(content, nl=False)
        flush_output()
    except OSError as error:
        raise WriteFailed(error.errno, error.strerror, STANDARD_OUTPUT) from None


def flush_output() -> None:
    """Write out what was printed.

    Raises:
        WriteFailed: Standard output is a file on a full disk, or its reader is gone.
    """
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError as error:
        raise WriteFailed(error.errno, error.strerror, STANDARD_OUTPUT) from None


def check_files(files: Files) -> None:
    """Refuse bad files before the photons fly, not after."""
    files.picture.check()
    if files.plain is not None:
        from e91.system.durable import read_file

        read_file(files.plain)
    if files.out is not None:
        from e91.system.durable import new_folder, sweep

        sweep(files.out.parent, inside=True)
        try:
            with new_folder(files.out):
                raise _Rehearsed
        except _Rehearsed:
            pass


class _Rehearsed(Exception):
    """The output folder could be made; it was removed again."""


def _save(
    report: Any, out: Path, plain: Path | None, sealed: Callable[[], object] | None
) -> dict[str, Any]:
    from e91.session.folder import save_session
    from e91.system.durable import new_folder

    with new_folder(out) as folder:
        use = save_session(report, folder, plain=plain)
        if sealed is not None:
            sealed()
    written: dict[str, Any] = {"folder": str(out)}
    if plain is not None and use is not None:
        written |= {"ciphertext": str(out / f"{plain.name}.e91"), "cipher": use.cipher}
        written |= {"key_bytes_used": use.key_bytes_used, "key_bytes_left": use.key_bytes_left}
    return written
