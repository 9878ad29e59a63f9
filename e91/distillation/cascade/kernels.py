"""The inner loops of Cascade, once as machine code and once in NumPy: both give the same bits.

NumPy corrects a key of some 10^5 bits, that of a short session, in less time than numba takes to
load compiled code, let alone to compile it for the first time; it also serves where numba is
missing or switched off.  `e91.system.compiled` holds the rule that decides.
"""

from collections.abc import Callable
from dataclasses import dataclass

from e91.distillation.cascade.block_states import BlockStates
from e91.distillation.cascade.schedule import Edges, Places, Questions, Words, rank
from e91.system.workspace import Workspace


@dataclass(frozen=True)
class Kernels:
    """The inner loops, by either implementation; the parties may differ in it.

    Attributes:
        turn_bytes: Put the bits of every byte of words into the other order, in place.
        prefix_parities: From the words (groups, places) of a key, the order of an iteration
            (places,) and edges (edges,) write the parities before the edges (groups, edges), and
            those before every place as bitmaps of each frame (frames, words).
        look_up: From such bitmaps of all iterations, the numbers of iterations and places, and
            questions write the answers, 64 to a word.  False: a question makes no sense.
        subset_parities: From words, masks and a number c return c parities of subsets as one
            integer; see `e91.distillation.cascade.schedule.check_masks`.
        begin_iteration: Enter the edges of an iteration, and the parities of the errors before
            them, in block states.
        begin_searches: Begin the searches that each frame may; takes states, iterations and limit;
            gives the number of searches, whose questions stand in the states.
        use_answers: Turn Alice's answers to all searches into comparison bits, enter them, correct,
            and begin the next searches; takes states, iterations, limit and bits; gives the number
            of searches, or -1 for a contradiction.
        rank: Sort keys; see `e91.distillation.cascade.schedule.rank`.
    """

    turn_bytes: Callable[[Words], None]
    prefix_parities: Callable[[Words, Places, Edges, Words, Words], None]
    look_up: Callable[[Words, int, int, Questions, Words], bool]
    subset_parities: Callable[[Words, Words, int], int]
    begin_iteration: Callable[[BlockStates, int, Edges, Words], None]
    begin_searches: Callable[[BlockStates, int, int], int]
    use_answers: Callable[[BlockStates, int, int, Words], int]
    rank: Callable[[Places, Places, Places], None]


def kernels_of(workspace: Workspace) -> Kernels:
    """Return the inner loops that a run uses."""
    return compiled_kernels() if workspace.compiled else numpy_kernels()


def numpy_kernels() -> Kernels:
    """Return the inner loops in NumPy."""
    from e91.distillation.cascade import numpy_kernels as loops

    return Kernels(
        loops.turn_bytes,
        loops.prefix_parities,
        loops.look_up,
        loops.subset_parities,
        loops.begin_iteration,
        loops.begin_searches,
        loops.use_answers,
        rank,
    )


def compiled_kernels() -> Kernels:
    """Return the inner loops that numba compiles; only where compiled code may run."""
    from e91.distillation.cascade import parity_kernels as parities
    from e91.distillation.cascade import search_kernels as searches

    return Kernels(
        parities.turn_bytes,
        parities.prefix_parities,
        parities.look_up,
        parities.subset_parities,
        searches.begin_iteration,
        searches.begin_searches,
        searches.use_answers,
        parities.rank,
    )
