"""The command line: ``e91 run``, ``encrypt``, ``rate``, ``attack``, ``experiment``, ``study``, ...

Exit status: 0 a key was made or the command did its work; 3 the protocol aborted; 2 the command
line or an input file is wrong; 1 anything else.  Heavy packages load inside the commands.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from types import FrameType

import click

from e91.cli.analyse import analyse
from e91.cli.attack import attack
from e91.cli.bell import bell
from e91.cli.conformance import conformance
from e91.cli.encrypt import decrypt, encrypt
from e91.cli.experiment import experiment
from e91.cli.machines import snapshots
from e91.cli.rate import rate
from e91.cli.run import run
from e91.cli.study import study
from e91.model.errors import KeyUnavailable, ProtocolAborted

ABORTED = 3
BAD_INPUT = 2
FAILED = 1


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="e91")
def commands() -> None:
    """Entanglement-based quantum key distribution, from photons to an encrypted file."""


for _command in (
    run,
    analyse,
    encrypt,
    decrypt,
    bell,
    rate,
    attack,
    study,
    experiment,
    snapshots,
    conformance,
):
    commands.add_command(_command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its status; every failure is one sentence."""
    try:
        with _tidy_stop():
            commands.main(args=arguments, prog_name="e91", standalone_mode=False)
            if sys.stdout is not None:
                sys.stdout.flush()
    except click.ClickException as error:
        _fail(error.format_message(), BAD_INPUT)
    except ProtocolAborted as error:
        _fail(str(error), ABORTED)
    except (ValueError, KeyUnavailable) as error:
        _fail(str(error), BAD_INPUT)
    except (KeyboardInterrupt, click.Abort):
        _fail("Interrupted; nothing was written but what is reported above.", FAILED)
    except BrokenExecutor:
        _fail("Worker processes must live, but one was killed: use fewer `--threads`.", FAILED)
    except MemoryError:
        _fail("The session must fit in memory, but there is too little: send fewer rounds.", FAILED)
    except OSError as error:
        _fail(f"A file must be writable to its end, but: {error.strerror}.", FAILED)


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


def _fail(sentence: str, status: int) -> None:
    click.echo(f"e91: {sentence}", err=True)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        sys.stdout = None  # the interpreter would complain at exit
    sys.exit(status)
