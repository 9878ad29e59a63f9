"""A progress bar for people who wait."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from tqdm import tqdm

_PATIENCE_S = 2.0


def in_notebook() -> bool:
    """Return whether a Jupyter kernel runs this, which can draw bars without a terminal."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


def rounds_bar(rounds: int) -> tqdm[NoReturn]:
    """Return a progress bar over ``rounds`` pairs, whose ``update`` takes how many more are done.

    It is drawn only on a terminal (on standard error) or in a notebook, and only if it takes longer
    than 2 s.
    """
    if in_notebook():
        return _bar_in_a_notebook(rounds, unit=" pairs")
    from tqdm import tqdm

    return tqdm(total=rounds, unit=" pairs", unit_scale=True, delay=_PATIENCE_S, disable=None)


@contextmanager
def notebook_bar(total: float, *, unit: str) -> Iterator[Callable[[float], object]]:
    """Give what takes how much more is done, and draw it as a bar in a notebook only.

    For work that a command draws by itself and a script does in silence.

    Args:
        total: All that is to be done.
        unit: What it is counted in, e.g. "pairs".
    """
    if not in_notebook():
        yield _ignored
        return
    with _bar_in_a_notebook(total, unit=f" {unit}") as bar:
        yield bar.update
        bar.update(total - bar.n)  # of work that does not announce itself


def _ignored(_: float) -> None:
    """Take what nobody looks at."""


def _bar_in_a_notebook(total: float, *, unit: str) -> tqdm[NoReturn]:
    look: dict[str, Any] = {"unit": unit, "unit_scale": True, "leave": False}
    if find_spec("ipywidgets") is None:  # as text, and without its warning
        from tqdm import tqdm

        return tqdm(total=total, delay=_PATIENCE_S, file=sys.stderr, disable=False, **look)
    from tqdm.auto import tqdm as widget_bar

    made: tqdm[NoReturn] = widget_bar(total=total, delay=_PATIENCE_S, disable=False, **look)
    return made


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Say on a terminal what is being done and since when, where nothing can be counted.

    As a bar it is drawn on standard error, only on a terminal, and only if the block takes longer
    than 2 s; it is gone when the block ends.

    Args:
        what: What is done, e.g. "Reading tags".
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    is_done = threading.Event()
    teller = threading.Thread(target=_tell, args=(what, is_done), daemon=True)
    teller.start()
    try:
        yield
    finally:
        is_done.set()
        teller.join()


def _tell(what: str, is_done: threading.Event) -> None:
    start = time.monotonic()
    pause, line = _PATIENCE_S, ""
    while not is_done.wait(pause):
        pause = 1.0
        line = f"{what}: {time.monotonic() - start:.0f} s"
        _draw(f"\r{line}")
    if line:
        _draw(f"\r{' ' * len(line)}\r")


def _draw(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
