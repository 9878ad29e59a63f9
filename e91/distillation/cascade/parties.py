"""The two parties of Cascade: Alice answers, Bob asks and corrects; neither sees the other's key.

`e91.distillation.cascade.reconciler` says what they do and what a listener learns from it.  Each is
a machine that takes one message and returns one:

    opening = bob.start()
    parities = alice.answer(opening)
    comparison = bob.answer(parities)
    ...                                 until alice.answer(...) is None
    key = bob.finish()
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from e91.distillation.cascade import wire_format as wire
from e91.distillation.cascade.block_states import BlockStates, begin_states
from e91.distillation.cascade.schedule import (
    CHECK_BITS,
    MOST_ITERATIONS,
    Edges,
    Places,
    Questions,
    Schedule,
    Step,
    Words,
    check_masks,
    from_lanes,
    make_schedule,
    rank,
    shuffle,
    to_lanes,
)
from e91.distillation.cascade.wire_format import SEED_BYTES
from e91.model.errors import AuthenticationFailed
from e91.model.messages import Message, Party
from e91.model.numbers import check_within
from e91.system.compiled import compiled_code_pays
from e91.system.workspace import Workspace

NO_QUESTIONS: Questions = np.empty(0, np.uint32)


@dataclass(frozen=True)
class Kernels:
    """The inner loops, as machine code or in NumPy: the same bits, so that the parties may differ.

    NumPy corrects a key of some 10^5 bits, that of a short session, in less time than numba takes
    to load compiled code, let alone to compile it for the first time; it also serves where numba is
    missing or switched off.  `e91.system.compiled` holds the rule that decides.

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

    return _kernels(vars(loops) | {"rank": rank})


def compiled_kernels() -> Kernels:
    """Return the inner loops that numba compiles; only where compiled code may run."""
    from e91.distillation.cascade import parity_kernels, search_kernels

    return _kernels(vars(parity_kernels) | vars(search_kernels))


def compiled_kernels_are_loaded() -> bool:
    """Return whether this process has loaded the compiled loops, so that they cost nothing more."""
    return f"{__package__}.search_kernels" in sys.modules


def _kernels(loops: dict[str, Any]) -> Kernels:
    return Kernels(**{each.name: loops[each.name] for each in fields(Kernels)})


@dataclass(frozen=True)
class Common:
    """What either party computes alike from public values, the same for all batches."""

    schedule: Schedule
    seed: bytes
    kernels: Kernels

    def check(self, words: Words, *, batch: int, iterations: int) -> int:
        """Return the parities of random subsets of a batch."""
        key = from_lanes(words, self.schedule)
        masks = check_masks(self.seed, batch=batch, iterations=iterations, words=key.size)
        return self.kernels.subset_parities(key, masks, CHECK_BITS)

    def shuffle(self, iteration: int) -> tuple[Places, Places]:
        """Return the order of an iteration and its inverse."""
        return shuffle(self.seed, iteration, self.schedule.places, rank=self.kernels.rank)

    def parities(self, words: Words, iteration: int, edges: Edges, table: Words) -> Words:
        """Return the parities before the edges; enter those before every place in a table."""
        before = np.empty((len(words), len(edges)), np.uint64)
        order, _ = self.shuffle(iteration)
        self.kernels.prefix_parities(words, order, edges, before, table[iteration])
        return before


class Alice:
    """Alice, who has the reference key: she announces parities and answers Bob's questions.

    Args:
        words: Her packed key, as for `e91.distillation.cascade.reconciler.reconcile_packed`.
        bits: Its length.
        workspace: Lends memory, to one Alice at a time; one of her own by default.

    Attributes:
        common: What she and Bob compute alike, from his opening message on.
        iterations: How many iterations of the present batch have begun.
        parities: Parities of her key before every place, in each iteration, as bitmaps of each
            frame; uint64, (iterations, frames, words).
        questions: Bob's open questions.

    Raises:
        ValueError: The key does not have the words that its length needs.

    Examples:
        >>> from e91.model.bits import pack
        >>> key = np.random.default_rng(1).integers(2, size=640, dtype=np.uint8)
        >>> words = np.frombuffer(pack(key), np.uint64)
        >>> alice = Alice(words, bits=640)
        >>> bob = Bob(words, bits=640, error_rate=0.02, permutation_seed=bytes(32))
        >>> alice.answer(bob.start()).subject
        'cascade-parities'
    """

    common: Common
    parities: Words

    def __init__(self, words: Words, *, bits: int, workspace: Workspace | None = None) -> None:
        _check_words(words, bits)
        self._words, self._bits = words, bits
        self._workspace = workspace or Workspace(compiled=compiled_code_pays(bits))
        self.questions, self.iterations = NO_QUESTIONS, 0
        self._opened = self._ended = False

    def answer(self, message: Message) -> Message | None:
        """Return her answer to a message of Bob, or None if it was his last.

        Args:
            message: As she heard it.

        Raises:
            AuthenticationFailed: The message is malformed, as a lost one is, or one too many.
        """
        self.hear(message)
        return self.say()

    def hear(self, message: Message) -> None:
        """Take a message of Bob: his opening, his verdict on a check, or questions.

        Args:
            message: As she heard it.

        Raises:
            AuthenticationFailed: As for `answer`.
        """
        if self._ended:
            raise AuthenticationFailed("Cascade had ended, but another message came.")
        if not self._opened:
            self._open(message)
        elif self._step is Step.CHECK:
            self._hear_verdict(differs=wire.read_verdict(message))
        else:
            self._hear_questions(wire.read_questions(message, self._announced_bytes))

    def say(self) -> Message | None:
        """Return what she says next, or None if every batch is done."""
        if self._ended:
            return None
        if self._step is Step.CHECK:
            check = self.common.check(self._frames, batch=self._batch, iterations=self.iterations)
            return wire.write_check(check)
        said = self._begin_iteration() if self._step is Step.SHUFFLE else self._answers()
        self._announced_bytes = len(said.body)
        return said

    def all_answered(self) -> None:
        """Go on after a binary search that `reconciler` has brought to its end."""
        self.questions = NO_QUESTIONS
        self._step = self.common.schedule.next_step(self.iterations, questions=0)

    def _open(self, message: Message) -> None:
        seed, error_rate = wire.read_opening(message)
        schedule = make_schedule(self._bits, error_rate)
        self.common = Common(schedule, seed, kernels_of(self._workspace))
        self._lanes = to_lanes(self._words, schedule)
        self._opened = True
        self._begin_batch(0)

    def _begin_batch(self, batch: int) -> None:
        schedule = self.common.schedule
        self._batch, self._ended = batch, batch == len(schedule.batches)
        self.iterations, self._asked, self.questions = 0, 0, NO_QUESTIONS
        self._step = schedule.next_step(0, questions=0)
        if self._ended:
            return
        self._frames = self._lanes[schedule.batches[batch]]
        self.parities = self._workspace.array(
            "cascade Alice's parities",
            (MOST_ITERATIONS, len(self._frames) * schedule.lanes, schedule.row),
            np.uint64,
        )

    def _begin_iteration(self) -> Message:
        edges = self.common.schedule.announced_edges(self.iterations)
        before = self.common.parities(self._frames, self.iterations, edges, self.parities)
        self.iterations += 1
        return wire.write_block_parities(Party.ALICE, before, schedule=self.common.schedule)

    def _answers(self) -> Message:
        count, common = len(self.questions), self.common
        answers = np.empty((count + 63) >> 6, np.uint64)
        if not common.kernels.look_up(
            self.parities, self.iterations, common.schedule.places, self.questions, answers
        ):
            raise wire.malformed()
        return wire.write_answers(Party.ALICE, answers, count)

    def _hear_questions(self, questions: Questions) -> None:
        self.questions = questions
        self._asked += len(questions)
        if self._asked > self.iterations * self._frames.size * self.common.schedule.lanes:
            raise wire.malformed()  # more questions than there are places
        self._step = self.common.schedule.next_step(self.iterations, questions=len(questions))

    def _hear_verdict(self, *, differs: bool) -> None:
        if differs and self.iterations < MOST_ITERATIONS:
            self._step = Step.SHUFFLE
        else:
            self._begin_batch(self._batch + 1)


class Bob:
    """Bob, who corrects his key: he compares Alice's parities with his own and asks for more.

    Args:
        words: His packed key, as for `e91.distillation.cascade.reconciler.reconcile_packed`.
        bits: Its length.
        error_rate: Expected share of errors, in [0, 0.5].
        permutation_seed: 32 public bytes.
        workspace: Lends memory, to one Bob at a time; one of his own by default.

    Attributes:
        common: What he and Alice compute alike.
        iterations: How many iterations of the present batch have begun.
        states: His blocks in the present batch.

    Raises:
        ValueError: An argument leaves its range.

    Examples:
        >>> from e91.model.bits import pack
        >>> key = np.random.default_rng(1).integers(2, size=640, dtype=np.uint8)
        >>> damaged = key.copy()
        >>> damaged[[3, 141, 592]] ^= 1
        >>> words, others = (np.frombuffer(pack(each), np.uint64) for each in (key, damaged))
        >>> alice = Alice(words, bits=640)
        >>> bob = Bob(others, bits=640, error_rate=0.02, permutation_seed=bytes(32))
        >>> said = alice.answer(bob.start())
        >>> while said:
        ...     said = alice.answer(bob.answer(said))
        >>> bool((bob.finish() == words).all())
        True
    """

    states: BlockStates

    def __init__(
        self,
        words: Words,
        *,
        bits: int,
        error_rate: float,
        permutation_seed: bytes,
        workspace: Workspace | None = None,
    ) -> None:
        check_within(0, 0.5, error_rate=error_rate)
        if len(permutation_seed) != SEED_BYTES:
            raise ValueError(
                f"`permutation_seed` must have {SEED_BYTES} bytes, but has {len(permutation_seed)}."
            )
        _check_words(words, bits)
        self._bits, self._error_rate = bits, error_rate
        self._workspace = workspace or Workspace(compiled=compiled_code_pays(bits))
        schedule = make_schedule(bits, error_rate)
        self.common = Common(schedule, permutation_seed, kernels_of(self._workspace))
        self._lanes = to_lanes(words, schedule)

    def start(self) -> Message:
        """Return his first message, seed and error rate, and begin the first batch."""
        self._begin_batch(0)
        return wire.write_opening(self.common.seed, self._error_rate)

    def answer(self, message: Message) -> Message:
        """Return his comparison (1: differs) of the parities that Alice announced, and questions.

        Args:
            message: Alice's, as he heard it.

        Raises:
            AuthenticationFailed: The message is malformed, as a lost one is, or one too many, or
                Alice's parities contradict each other.
        """
        if self._ended:
            raise AuthenticationFailed("Cascade had ended, but another message came.")
        if self._step is Step.CHECK:
            return self._check(wire.read_check(message))
        if self._step is Step.SHUFFLE:
            edges = len(self.common.schedule.announced_edges(self.iterations))
            shape = (len(self.states.key), edges)
            return self._begin_iteration(
                wire.read_block_parities(message, shape, schedule=self.common.schedule)
            )
        return self._search(wire.read_answers(message, self._asked))

    def finish(self) -> Words:
        """Return his packed key after correction.

        Raises:
            AuthenticationFailed: The conversation has not come to its end, or he would have
                corrected bits beyond the end of his key.
        """
        if not self._ended:
            raise wire.malformed()
        return _without_padding(from_lanes(self._lanes, self.common.schedule), self._bits)

    def all_answered(self) -> None:
        """Go on after a binary search that `reconciler` has brought to its end."""
        self._asked = 0
        self._step = self.common.schedule.next_step(self.iterations, questions=0)

    def _begin_batch(self, batch: int) -> None:
        schedule = self.common.schedule
        self._batch, self._ended = batch, batch == len(schedule.batches)
        self.iterations, self._asked = 0, 0
        self._step = schedule.next_step(0, questions=0)
        if not self._ended:
            frames = self._lanes[schedule.batches[batch]]
            self.states = begin_states(frames, schedule, self._workspace)

    def _begin_iteration(self, announced: Words) -> Message:
        """Compare the parities of all blocks, and begin to search the odd ones."""
        common, states, iteration = self.common, self.states, self.iterations
        edges = common.schedule.edges(iteration)
        states.orders[iteration], states.places[iteration] = common.shuffle(iteration)
        own = common.parities(states.key, iteration, edges[1:], states.parities)
        # Alice announced the parity of whole frames once, in the first iteration.
        if iteration == 0:
            self._alice_total = announced[:, -1:]
            differs = own ^ announced
        else:
            differs = own ^ np.hstack([announced, self._alice_total])
        before = np.hstack([np.zeros_like(self._alice_total), differs])
        common.kernels.begin_iteration(states, iteration, edges, before)
        self.iterations += 1
        comparison = wire.write_block_parities(
            Party.BOB, differs[:, : announced.shape[1]], schedule=common.schedule
        )
        asked = common.kernels.begin_searches(
            states, self.iterations, common.schedule.searches_at_once
        )
        return self._ask(comparison, asked)

    def _search(self, bits: Words) -> Message:
        """Halve the blocks under search, correct the errors found, and begin the next searches."""
        common, answered = self.common, self._asked
        asked = common.kernels.use_answers(
            self.states, self.iterations, common.schedule.searches_at_once, bits
        )
        return self._ask(wire.write_answers(Party.BOB, bits, answered), asked)

    def _ask(self, comparison: Message, asked: int) -> Message:
        if asked < 0:
            raise AuthenticationFailed("The parities of Cascade contradict each other.")
        self._asked = asked
        self._step = self.common.schedule.next_step(self.iterations, questions=asked)
        return wire.add_questions(comparison, self.states.questions[:asked])

    def _check(self, alice_check: int) -> Message:
        key, batch = self.states.key, self._batch
        own = self.common.check(key, batch=batch, iterations=self.iterations)
        if own != alice_check and self.iterations < MOST_ITERATIONS:
            self._step = Step.SHUFFLE
        else:
            self._lanes[self.common.schedule.batches[batch]] = key
            self._begin_batch(batch + 1)
        return wire.write_verdict(differs=own != alice_check)


def _check_words(words: Words, bits: int) -> None:
    if words.shape != (-(-bits // 64),):
        raise ValueError(
            f"A key of {bits} bits must have shape ({-(-bits // 64)},), but has {words.shape}."
        )


def _without_padding(words: Words, bits: int) -> Words:
    kept = words[: -(-bits // 64)]
    beyond = kept[-1] >> np.uint64(bits % 64) if bits % 64 else np.uint64(0)
    if beyond or words[len(kept) :].any():
        raise AuthenticationFailed("The parities of Cascade contradict each other.")
    return kept
