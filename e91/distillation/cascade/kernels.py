"""Which implementation of the inner loops runs: compiled where numba works, NumPy elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from e91.distillation.cascade.block_states import Book, Log
from e91.distillation.cascade.schedule import Edges, Places, Questions, Words, rank
from e91.system.compiled import compiled_code_pays
from e91.system.workspace import Workspace


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


def route_for(bits: int, workspace: Workspace | None = None) -> Route:
    """Return the route that a workspace names; without one, what pays for a key of ``bits``."""
    compiled = compiled_code_pays(bits) if workspace is None else workspace.compiled
    return compiled_route() if compiled else numpy_route()


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
