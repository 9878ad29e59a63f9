"""Which implementation of the inner loops runs: compiled where numba works, NumPy elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from e91.distillation.cascade.block_states import Book, Log
from e91.distillation.cascade.schedule import Edges, Places, Questions, Words, rank
from e91.system.compiled import compiled_code_may_run

_WORTH_COMPILING = 500_000  # bits of a key, which NumPy corrects in half a second
_WORTH_LOADING = 400_000  # bits of several keys, which take NumPy as long as loading takes


@dataclass(frozen=True)
class Ferry:
    """Carries messages between honest parties without a stop; compiled only.

    Attributes:
        carry: Goes on until no question is open; takes Alice's bitmaps, the number of places, Bob's
            book, passes, limit and a log; gives 1 if all is done, 0 if it must go on in a log with
            more room, or -1 for a contradiction.
        by_rounds: Writes a log into another, round by round instead of frame by frame.
    """

    carry: Callable[[Words, int, Book, int, int, Log], int]
    by_rounds: Callable[[Log, Log], None]


@dataclass(frozen=True)
class Route:
    """The inner loops of Cascade; both routes give the same bits, so parties may differ in it.

    Attributes:
        turn_bytes: Put the bits of every byte of words into the other order, in place.
        prefix_parities: From the words (groups, places) of a key, the order of a pass (places,)
            and edges (edges,) write the parities before the edges (groups, edges), and those
            before every place as bitmaps of each frame (frames, words).
        look_up: From such bitmaps of all passes, the numbers of passes and places, and questions
            write the answers, 64 to a word.  False: a question makes no sense.
        subset_parities: From words, masks and a number c return c parities of subsets as one
            integer; see `e91.distillation.cascade.schedule.check_masks`.
        open_pass: Enter the edges of a pass, and the parities of the errors before them, in a book.
        advance: Turn Alice's answers to all searches into comparison bits, enter them, correct, and
            begin the next searches; takes book, passes, limit and bits; gives the number of
            searches, whose questions stand in the book, or -1 for a contradiction.
        rank: Sort keys; see `e91.distillation.cascade.schedule.rank`.
        ferry: Carries a stretch of messages in one go, or None.
    """

    turn_bytes: Callable[[Words], None]
    prefix_parities: Callable[[Words, Places, Edges, Words, Words], None]
    look_up: Callable[[Words, int, int, Questions, Words], bool]
    subset_parities: Callable[[Words, Words, int], int]
    open_pass: Callable[[Book, int, Edges, Words], None]
    advance: Callable[[Book, int, int, Words], int]
    rank: Callable[[Places, Places, Places], None]
    ferry: Ferry | None


@cache
def fastest_route() -> Route:
    """Return the compiled route if numba is there and may compile, else the one in NumPy.

    Compiling takes a few seconds once; the result is kept on disk.
    """
    return compiled_route() if compiled_code_may_run() else numpy_route()


def route_for(bits: int) -> Route:
    """Return the route that corrects a key soonest, waiting for the compiled one included.

    Where the kernels have not been compiled yet, that takes longer than a key of a small session by
    NumPy, and so does loading them.  But short keys add up: as soon as loading would have been
    worth it for those of this process, the next one loads.

    Args:
        bits: Length of the key.
    """
    if fastest_route.cache_info().currsize or bits >= _WORTH_COMPILING:
        return fastest_route()
    if _SHORT_KEYS.bits + bits >= _WORTH_LOADING and _compiled():
        return fastest_route()
    _SHORT_KEYS.bits += bits
    return numpy_route()


class _Tally:
    """Counts the bits of the keys that NumPy corrected; a lost count does no harm."""

    bits = 0


_SHORT_KEYS = _Tally()


def _compiled() -> bool:
    """Return whether the kernels lie beside their source; numba may keep them elsewhere."""
    return any((Path(__file__).parent / "__pycache__").glob("cascade_search_kernels*.nbi"))


def numpy_route() -> Route:
    """Return the route that needs nothing but NumPy."""
    from e91.distillation.cascade import numpy_kernels as route

    return Route(
        route.turn_bytes,
        route.prefix_parities,
        route.look_up,
        route.subset_parities,
        route.open_pass,
        route.advance,
        rank,
        ferry=None,
    )


def compiled_route() -> Route:
    """Return the route that numba compiles.

    Raises:
        ImportError: numba is not installed.
    """
    from e91.distillation.cascade import conversation_kernels as wire
    from e91.distillation.cascade import parity_kernels as parities
    from e91.distillation.cascade import round_kernels as rounds
    from e91.distillation.cascade import search_kernels as searches

    return Route(
        parities.turn_bytes,
        parities.prefix_parities,
        parities.look_up,
        parities.subset_parities,
        searches.open_pass,
        rounds.advance,
        parities.rank,
        Ferry(wire.carry, wire.by_rounds),
    )
