"""The command line: ``e91 run``, ``encrypt``, ``rate``, ``attack``, ``experiment``, ``study``, ...

Exit status: 0 a key was made or the command did its work; 3 the protocol aborted; 2 the command
line or an input file is wrong; 1 anything else.  Heavy packages load inside the commands.
"""

import errno
import json
import re
import shlex
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, suppress
from types import FrameType, UnionType
from typing import NoReturn

import click

from e91.cli.commands import Commands
from e91.cli.encodings import on_one_line, print_what_can_be_printed
from e91.cli.outcome import STANDARD_OUTPUT, flush_output, noted_output
from e91.model.errors import KeyUnavailable, ProtocolAborted
from e91.system.durable import WriteFailed, reason
from e91.system.memory_limit import ask_for_room
from e91.system.refusals import is_refusal

ABORTED = 3
BAD_INPUT = 2
FAILED = 1

_SHOWS_HELP = getattr(click.exceptions, "NoArgsIsHelpError", ())
"""What click raises for a group without a word; before 8.2 it prints the help itself."""

_TOO_LITTLE = (
    "A command must fit in memory, but there is too little: use fewer rounds, threads or processes."
)
_OUT_OF_MEMORY = re.compile(
    "bad_alloc|start new thread|failed to map segment|annot allocate memory|nsufficient memory"
)
"""What C++, Python, the loader, the system and Aer say of it."""

_SCARCE = {
    errno.EAGAIN, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOLCK, errno.ENOMEM,
    errno.ENOSPC, errno.EROFS, errno.ESTALE,
}  # fmt: skip
"""What no program can help: a disk or a memory that is full or fails, too many open files."""

_LONGEST_NAME = 80  # characters of a file's name that a sentence repeats

_NO_NAMES = {errno.ENAMETOOLONG, errno.ELOOP}
"""What the system says of a name that no file can have."""


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="e91")
def commands() -> None:
    """Entanglement-based quantum key distribution, from photons to an encrypted file."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its status.

    What was to be expected (a wrong input, an aborted session, a full disk) is one sentence, and
    with ``--json`` an object on standard output beside it, unless one is there.  All else is a bug
    of this package and shows itself: a traceback, and a line that says how to report it.
    """
    line = sys.argv[1:] if arguments is None else arguments
    print_what_can_be_printed()
    ask_for_room()
    with noted_output() as is_used:
        try:
            with _tidy_stop(), _warnings_in_our_voice():
                commands.main(args=line, prog_name="e91", standalone_mode=False)
                flush_output()
        except _SHOWS_HELP as error:
            click.echo(error.message)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last who can say it
            expected = _expected_end(error, line)
            if expected is None:
                traceback.print_exception(error)
            sentence, status = expected or (_bug(line), FAILED)
            sentence = on_one_line(sentence)
            click.echo(f"e91: {sentence}", err=True)
            if not is_used():
                _say_as_json(sentence, status, line)
            _exit(status)


def _say_as_json(sentence: str, status: int, line: list[str]) -> None:
    """Print the end of a command for programs that asked for JSON and got none."""
    # Standard output itself may be what failed, and a module that Ctrl-C met may not load again.
    with suppress(OSError, ImportError, MemoryError):
        from e91.cli.sentences import wants_json

        if wants_json(commands, line):
            click.echo(json.dumps({"error": sentence, "exit_status": status}))


def _expected_end(error: BaseException, line: list[str]) -> tuple[str, int] | None:
    """Return the sentence and the exit status of what ended a command, or None for a bug."""
    if _is_in_chain(error, KeyboardInterrupt | click.Abort):
        return "Interrupted; nothing was written but what is reported above.", FAILED
    if _is_of_memory(error):
        return _TOO_LITTLE, FAILED

    from e91.cli.sentences import sentence_of

    match error:
        case ProtocolAborted():
            return str(error), ABORTED
        case click.ClickException() | KeyUnavailable():
            return sentence_of(error, commands, line), BAD_INPUT
        case ValueError() if is_refusal(error):
            return sentence_of(error, commands, line), BAD_INPUT
        case BrokenExecutor():
            return "Worker processes must live, but one was killed: use fewer `--threads`.", FAILED
        case OSError(errno=number, filename=name) if number in _NO_NAMES:
            shown = str(name)[:_LONGEST_NAME]
            return (
                f"`{shown}` must be a name that a file can have, but is none: {reason(error)}.",
                BAD_INPUT,
            )
        case WriteFailed(filename=name):
            return f"{name} must be writable to its end, but {reason(error)}.", FAILED
        case OSError() if _is_of_printing(error):
            return f"{STANDARD_OUTPUT} must be writable to its end, but {reason(error)}.", FAILED
        case OSError(errno=number) if number in _SCARCE:
            where = f" (`{error.filename}`)" if error.filename is not None else ""
            return f"The machine must have what it takes, but {reason(error)}{where}.", FAILED
    return None


def _is_of_memory(error: BaseException) -> bool:
    """Return whether memory, or a thread's part of it, was refused; not all say MemoryError."""
    link: BaseException | None = error
    while link is not None:
        foreign = isinstance(link, RuntimeError | ImportError | OSError)
        said = foreign or type(link).__module__.partition(".")[0] in ("qiskit", "qiskit_aer")
        if isinstance(link, MemoryError) or (said and _OUT_OF_MEMORY.search(str(link))):
            return True
        link = link.__cause__ or link.__context__
    return False


def _is_in_chain(error: BaseException, kind: type[BaseException] | UnionType) -> bool:
    """Return whether an exception is of a kind, or came of one: an import may hide Ctrl-C."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, kind):
            return True
        link = link.__cause__ or link.__context__
    return False


def _is_of_printing(error: OSError) -> bool:
    """Return whether `click.echo` met the error: standard output takes nothing more."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals.get("__name__") in ("click.utils", "e91.cli.outcome")


def _bug(line: list[str]) -> str:
    """Return how to report a bug, without what is in files and keys."""
    from importlib.metadata import version

    return (
        "This is a bug: please report it in the project's issue tracker, with the lines above, the "
        f"version, e91 {version('e91')}, and the command: {shlex.join(['e91', *line])}"
    )


@contextmanager
def _tidy_stop() -> Iterator[None]:
    """Let whoever ends this process (a service manager, a closed terminal) end it like Ctrl-C.

    Otherwise it would leave hidden folders behind and not say which blocks are valid.  A signal
    that is ignored, as under ``nohup``, stays ignored.
    """

    def stop(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {}
    try:
        for kind in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(kind) is signal.SIG_DFL:
                before[kind] = signal.signal(kind, stop)
    except ValueError:
        pass  # only the main thread may ask for signals
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


@contextmanager
def _warnings_in_our_voice() -> Iterator[None]:
    """Print a warning as one sentence, without the line of code that gave it."""

    def sentence(message: Warning | str, *_: object) -> str:
        """Return what is printed."""
        return f"e91: {on_one_line(str(message))}\n"

    before = warnings.formatwarning
    warnings.formatwarning = sentence  # type: ignore[assignment]
    try:
        yield
    finally:
        warnings.formatwarning = before


def _exit(status: int) -> NoReturn:
    try:
        flush_output()
    except WriteFailed:
        sys.stdout = None  # the interpreter would complain at exit
    # CPython remembers that Ctrl-C ended the code of a text, as of every dataclass, and would end
    # the process by that signal whatever its status; to run a text clears this (bpo-1054041).
    exec("")
    sys.exit(status)
