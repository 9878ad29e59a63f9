"""A sign of life for people who wait: on a terminal and in a notebook, after two seconds.

Whoever does long work draws it, so that a command, a script and a notebook show the same.  One sign
is drawn at a time: what is done inside other work that is shown already, a user's own bar too,
draws none.  Nothing is drawn in threads and processes beside the main one.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from importlib.util import find_spec
from io import StringIO
from multiprocessing import parent_process
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from tqdm import tqdm

_PATIENCE_S = 2.0
_AGAIN_S = 1.0  # between two drawings of work that announces nothing
_ONLY_TIME = "{desc}: {elapsed_s:.0f} s"


def in_notebook() -> bool:
    """Return whether a Jupyter kernel runs this, which can draw bars without a terminal."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


def somebody_looks() -> bool:
    """Return whether a sign would be seen, and none is drawn already."""
    if threading.current_thread() is not threading.main_thread() or parent_process() is not None:
        return False
    drawn = sys.modules.get("tqdm")
    if drawn is not None and len(getattr(drawn.tqdm, "_instances", ())):
        return False
    return in_notebook() or (sys.stderr is not None and sys.stderr.isatty())


@contextmanager
def progress_bar(total: float, *, unit: str) -> Iterator[Callable[[float], object]]:
    """Give what takes how much more is done, and draw it as a bar if somebody looks.

    Args:
        total: All that is to be done.
        unit: What it is counted in, e.g. "pairs".
    """
    if not somebody_looks():
        yield _ignored
        return
    with _drawn(total=total, unit=f" {unit}", unit_scale=True) as bar:
        yield bar.update
        bar.update(total - bar.n)  # of work that does not announce itself


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Say what is being done and since when, where nothing can be counted, if somebody looks.

    Args:
        what: What is done, e.g. "Reading tags".
    """
    if not somebody_looks():
        yield
        return
    with _drawn(total=1, desc=what, bar_format=_ONLY_TIME) as bar:
        yield
        bar.update(1)


def _ignored(_: float) -> None:
    """Take what nobody looks at."""


@contextmanager
def _drawn(**look: Any) -> Iterator[tqdm[NoReturn]]:
    """Give a bar that moves on though nothing is announced, and is gone when the block ends."""
    from tqdm import tqdm

    is_done = threading.Event()
    in_cell = in_notebook() and find_spec("ipywidgets") is not None  # else as text, no warning
    place: dict[str, Any] = {"file": StringIO()} if in_cell else _terminal()
    with tqdm(leave=False, delay=_PATIENCE_S, disable=False, **place, **look) as bar:
        keep = partial(_keep_widget, look=look) if in_cell else _keep_drawn
        ticking = threading.Thread(
            target=copy_context().run, args=(keep, bar, is_done), daemon=True
        )
        ticking.start()
        try:
            yield bar
        finally:
            is_done.set()
            ticking.join()


def _terminal() -> dict[str, Any]:
    """Return where a terminal's bar goes; its size too if the terminal does not say it."""
    try:
        known = os.get_terminal_size(sys.stderr.fileno()).columns > 0
    except (OSError, ValueError, AttributeError):  # no descriptor: it is not the system's terminal
        known = True
    return {"file": sys.stderr} | ({} if known else {"ncols": 80, "nrows": 24})


def _keep_drawn(bar: tqdm[NoReturn], is_done: threading.Event) -> None:
    pause = _PATIENCE_S
    while not is_done.wait(pause):
        pause = _AGAIN_S
        bar.refresh()
        bar.last_print_t = time.time()  # or its end would leave the last drawing where it is


def _keep_widget(
    counted: tqdm[NoReturn], is_done: threading.Event, *, look: dict[str, Any]
) -> None:
    """Show in a cell what ``counted`` counts, in a widget that is made when it is needed.

    To make one takes twenty messages to the page: too many for each of a thousand short sessions.
    """
    if is_done.wait(_PATIENCE_S):
        return
    from tqdm.auto import tqdm as widget_bar

    with widget_bar(leave=False, disable=False, **look) as bar:
        over = False
        while not over:
            over = is_done.wait(_AGAIN_S)
            bar.n = counted.n
            bar.refresh()
