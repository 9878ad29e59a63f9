"""The two parties of Cascade: Alice answers, Bob asks and corrects; neither sees the other's key.

`e91.distillation.cascade.reconciler` says what they do and what a listener learns from it.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from e91.distillation.cascade import wire_format as wire
from e91.distillation.cascade.block_states import Book, open_book, open_table
from e91.distillation.cascade.kernels import Route, route_for
from e91.distillation.cascade.schedule import (
    CHECK_BITS,
    MOST_PASSES,
    Places,
    Plan,
    Questions,
    Words,
    check_masks,
    from_lanes,
    make_plan,
    shuffle,
    to_lanes,
)
from e91.distillation.cascade.wire_format import SEED_BYTES
from e91.model.errors import AuthenticationFailed
from e91.model.messages import Message, Party

_T = TypeVar("_T")
_NO_QUESTIONS: Questions = np.empty(0, np.uint32)


@dataclass(frozen=True, eq=False)
class AliceReady:
    """Alice offers to answer a stretch of questions at one go: her own parities."""

    table: Words = field(repr=False)
    places: int


@dataclass(frozen=True, eq=False)
class BobReady:
    """Bob's book, whose questions may be answered until none is left."""

    book: Book = field(repr=False)
    passes: int
    limit: int


@dataclass(frozen=True)
class Resumed:
    """All questions were answered; the last message of it, which Bob need not say again."""

    message: Message


Said = Message | AliceReady | BobReady
Heard = Message | AliceReady | Resumed | None

# One party's half: yields what it says, is sent what it hears (None: nothing more comes).
Talk = Generator[Said, Heard, _T]


def respond(
    words: Words,
    opening: Message,
    *,
    bits: int,
    route: Route | None = None,
    stretches: bool = False,
) -> Talk[None]:
    """Play Alice: yield parities of her key, be sent Bob's comparison bits and questions.

    Args:
        words: Alice's packed key, as for `reconcile_packed`.
        opening: Bob's first message as it arrived: seed and error rate.
        bits: Length of the key.
        route: Implementation of the inner loops; what pays for one key by default.
        stretches: Whether to offer `AliceReady` where only questions and answers follow; else
            every answer is yielded as a message.

    Raises:
        ValueError: The key does not have the words that so many bits need.
        AuthenticationFailed: A message of Bob is missing or malformed.
    """
    seed, error_rate = wire.read_opening(opening)
    _check_words(words, bits)
    desk = _Desk(make_plan(bits, error_rate), seed, route or route_for(bits))
    lanes = to_lanes(words, desk.plan)
    for number, batch in enumerate(desk.plan.batches):
        yield from _answer_batch(desk, lanes[batch], number, stretches=stretches)


def correct(
    words: Words,
    *,
    bits: int,
    error_rate: float,
    permutation_seed: bytes,
    route: Route | None = None,
) -> Talk[Words]:
    """Play Bob: yield seed and error rate, then comparison bits (1: differs) and questions.

    He is sent Alice's parities, and None after the last.  For the arguments see `reconcile_packed`.

    Returns:
        His key after correction, packed.

    Raises:
        ValueError: An argument leaves its range.
        AuthenticationFailed: A message of Alice is missing, malformed or one too many, or her
            parities contradict each other.
    """
    if not 0 <= error_rate <= 0.5:
        raise ValueError(f"`error_rate` must lie in [0, 0.5], but is {error_rate}.")
    if len(permutation_seed) != SEED_BYTES:
        raise ValueError(
            f"`permutation_seed` must have {SEED_BYTES} bytes, but has {len(permutation_seed)}."
        )
    _check_words(words, bits)
    desk = _Desk(make_plan(bits, error_rate), permutation_seed, route or route_for(bits))
    lanes = to_lanes(words, desk.plan)
    said = wire.write_opening(permutation_seed, error_rate)
    for number, batch in enumerate(desk.plan.batches):
        with open_book(lanes[batch], desk.plan) as book:
            said = yield from _mend_batch(desk, book, number, said)
            lanes[batch] = book.words
    if (yield said) is not None:
        raise AuthenticationFailed("Cascade had ended, but another message came.")
    return _without_padding(from_lanes(lanes, desk.plan), bits)


@dataclass(frozen=True)
class _Desk:
    """What either party works with: public, and the same for all batches."""

    plan: Plan
    seed: bytes
    route: Route

    def check(self, words: Words, *, batch: int, passes: int) -> int:
        """Return the parities of random subsets of a batch."""
        key = from_lanes(words, self.plan)
        masks = check_masks(self.seed, batch=batch, passes=passes, words=key.size)
        return self.route.subset_parities(key, masks, CHECK_BITS)

    def shuffle(self, number: int) -> tuple[Places, Places]:
        """Return the order of a pass and its inverse."""
        return shuffle(self.seed, number, self.plan.places, rank=self.route.rank)

    def tell(self, words: Words, number: int, table: Words) -> Words:
        """Enter the parities of a pass in a table; return those before its inner edges and end."""
        edges = self.plan.edges(number)[1:]
        told = np.empty((len(words), len(edges)), np.uint64)
        order, _ = self.shuffle(number)
        self.route.prefix_parities(words, order, edges, told, table[number])
        return told


def _answer_batch(desk: _Desk, words: Words, batch: int, *, stretches: bool) -> Talk[None]:
    """Tell the parities that the plan and Bob ask for; uint64 words, (groups, places)."""
    plan, groups = desk.plan, len(words)
    passes, asked, questions = 0, 0, _NO_QUESTIONS
    with open_table(groups, plan) as table:
        while True:
            count, told = len(questions), _nothing(groups)
            checking = plan.checks(passes, questions=count)
            if checking:
                heard = yield wire.write_check(desk.check(words, batch=batch, passes=passes))
                if not wire.read_verdict(_message(heard)) or passes == MOST_PASSES:
                    return
            opening = checking or plan.opens(passes, questions=count)
            if stretches and not opening:
                heard = yield AliceReady(table, plan.places)
                assert isinstance(heard, Resumed)
                questions = _NO_QUESTIONS
                continue
            answers = np.empty((count + 63) >> 6, np.uint64)
            if not desk.route.look_up(table, passes, plan.places, questions, answers):
                raise wire.malformed()
            if opening:
                told = plan.untold(passes, desk.tell(words, passes, table))
                passes += 1
            heard = yield wire.write_parities(Party.ALICE, answers, count, told, plan=plan)
            skip = wire.parities_size(count, told.shape[1], plan=plan, groups=groups)
            questions = wire.read_questions(_message(heard), skip)
            asked += len(questions)
            if asked > passes * words.size * plan.lanes:
                raise wire.malformed()  # more questions than there are places


def _mend_batch(desk: _Desk, book: Book, batch: int, said: Message) -> Talk[Message]:
    """Correct the frames of a book; say ``said`` first, and return what is to be said last."""
    plan, groups = desk.plan, len(book.words)
    passes, count, alice_total = 0, 0, _nothing(groups)
    while True:
        checking = plan.checks(passes, questions=count)
        if checking:
            alice = wire.read_check(_message((yield said)))
            differs = alice != desk.check(book.words, batch=batch, passes=passes)
            said = wire.write_verdict(differs=differs)
            if not differs or passes == MOST_PASSES:
                return said
        opening = checking or plan.opens(passes, questions=count)
        edges = plan.told(passes) if opening else 0
        heard = yield said
        if isinstance(heard, AliceReady):
            after = yield BobReady(book, passes, plan.side_by_side)
            assert isinstance(after, Resumed)
            said, count = after.message, 0
            continue
        bits, told = wire.read_parities(_message(heard), count, edges, plan=plan, groups=groups)
        if opening:
            alice_total = told[:, -1:] if passes == 0 else alice_total
            told = _open_pass(desk, book, passes, told, alice_total)
            passes += 1
        told_count, count = count, desk.route.advance(book, passes, plan.side_by_side, bits)
        if count < 0:
            raise AuthenticationFailed("The parities of Cascade contradict each other.")
        said = wire.write_parities(Party.BOB, bits, told_count, told, plan=plan)
        said = wire.add_questions(said, book.questions[:count])


def _open_pass(desk: _Desk, book: Book, number: int, told: Words, alice_total: Words) -> Words:
    """Begin a pass with Alice's parities before its edges; return the comparison bits."""
    plan = desk.plan
    book.orders[number], book.places[number] = desk.shuffle(number)
    own = desk.tell(book.words, number, book.table)
    # Alice told the parity of her whole key once, in the first pass.
    differs = own ^ (told if number == 0 else np.hstack([told, alice_total]))
    before = np.hstack([np.zeros_like(alice_total), differs])
    desk.route.open_pass(book, number, plan.edges(number), before)
    return plan.untold(number, differs)


def _message(heard: Heard) -> Message | None:
    assert heard is None or isinstance(heard, Message)
    return heard


def _nothing(groups: int) -> Words:
    return np.empty((groups, 0), np.uint64)


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
