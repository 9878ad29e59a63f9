"""A progress bar for people who wait."""

from __future__ import annotations

from typing import NoReturn

from tqdm import tqdm


def rounds_bar(rounds: int) -> tqdm[NoReturn]:
    """Return a progress bar over ``rounds`` pairs, whose ``update`` takes how many more are done.

    It is drawn on standard error, only on a terminal, and only if it takes longer than 2 s.
    """
    return tqdm(total=rounds, unit=" pairs", unit_scale=True, delay=2, disable=None)
