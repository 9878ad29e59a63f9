"""What the searches of Cascade write: Bob's blocks, and what both parties said in one search."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from e91.distillation.cascade.schedule import (
    MOST_ITERATIONS,
    Counts,
    Places,
    Questions,
    Schedule,
    Words,
)
from e91.system.workspace import Workspace

_QUESTIONS = 2**14  # of a frame, for a start: a transcript grows when it is full

EDGE, PARITY, CORRECTED, ODD = 0, 1, 2, 3
"""Bitmaps of `BlockStates.bitmaps`: edges; the parity of the errors before an edge; corrections
since then; beginnings of the odd blocks that wait.  They lie side by side, as they are used
together."""


class BlockStates(NamedTuple):
    """Bob's blocks in the frames of one batch.

    An *edge* is a place before which the parity of the errors was announced, as they were when its
    iteration began; neighbouring edges bound a *block*.  A block is odd if it holds an odd number
    of errors now, and *waits* unless it is being searched.  A frame searches the earliest iteration
    that has an odd block: all of them in the first iteration, `Schedule.searches_at_once` in a
    later one, in the order of their places and going round.  Blocks of the first iteration that a
    correction makes odd are begun beside them.  Frames know nothing of each other.

    Attributes:
        bitmaps: Four bitmaps of each frame in each iteration; uint64, (iterations, frames, words,
            4).
        waiting: Number of odd blocks that wait; int32, (frames, iterations).
        searched: Number of blocks under search; int32, (frames, iterations).
        cursor: Where the last search of a later iteration began; int32, (frames, iterations).
        orders: Bit of the frame at each place of each iteration; uint16, (iterations, places).
        places: Place of each bit in each iteration; uint16, (iterations, places).
        key: Bob's key with the corrections so far; uint64, (groups, places).
        parities: Its parity before each place, when each iteration began, as bitmaps of each frame;
            uint64, (iterations, frames, words).
        searches: The blocks of each frame under search, in the order of their questions, as many
            as ``searched`` says; uint64, (frames, room).
        found: Searches of one frame that ended at one place; uint64, (room,).
        touched: Blocks of its first iteration that became odd; uint64, (room,).
        questions: Iteration, frame and place that Bob asks about next, packed, frame by frame;
            uint32.
    """

    bitmaps: Words
    waiting: Counts
    searched: Counts
    cursor: Counts
    orders: Places
    places: Places
    key: Words
    parities: Words
    searches: Words
    found: Words
    touched: Words
    questions: Questions


def begin_states(key: Words, schedule: Schedule, workspace: Workspace) -> BlockStates:
    """Return states in which no iteration has begun.

    Args:
        key: Bob's key in the frames of a batch; uint64, (groups, places), copied.
        schedule: The schedule of the whole key.
        workspace: Lends the arrays until the next call.
    """
    # Arrays are as long as they could ever have to be: the system gives only what is used.
    frames, row, places = len(key) * schedule.lanes, schedule.row, schedule.places
    # Every block under search has two places or more; later iterations search few at a time.
    room = places // 2 + MOST_ITERATIONS * schedule.searches_at_once
    array, each = workspace.array, (frames, MOST_ITERATIONS)
    states = BlockStates(
        bitmaps=array("cascade bitmaps", (MOST_ITERATIONS, frames, row, 4), np.uint64),
        waiting=array("cascade waiting", each, np.int32),
        searched=array("cascade searched", each, np.int32),
        cursor=array("cascade cursor", each, np.int32),
        orders=array("cascade orders", (MOST_ITERATIONS, places), np.uint16),
        places=array("cascade places", (MOST_ITERATIONS, places), np.uint16),
        key=array("cascade key", key.shape, np.uint64),
        parities=array("cascade Bob's parities", (MOST_ITERATIONS, frames, row), np.uint64),
        searches=array("cascade searches", (frames, room), np.uint64),
        found=array("cascade found", (room,), np.uint64),
        touched=array("cascade touched", (room,), np.uint64),
        questions=array("cascade questions", (frames * room,), np.uint32),
    )
    states.key[:] = key
    return states


class Transcript(NamedTuple):
    """The rounds of a binary search, those of one frame behind those of the other.

    Attributes:
        counts: Questions of each round of a frame, and 0 after its last; int32.
        questions: What Bob asked; uint32.
        answers: Alice's parities, one bit for each question; uint64.
        comparison: Bob's comparison bits, in the same form; uint64.
        used: How many frames are done, and how many of ``counts`` and ``questions`` are used;
            int64, shape (3,).
    """

    counts: Counts
    questions: Questions
    answers: Words
    comparison: Words
    used: NDArray[np.int64]

    def merged(self) -> Transcript:
        """Return an empty transcript of the same room, with each round on whole words of bits."""
        _, rounds, asked = self.used.tolist()
        answers, comparison = (np.empty(rounds + asked // 64 + 2, np.uint64) for _ in range(2))
        return Transcript(
            np.empty(rounds, np.int32),
            np.empty(asked, np.uint32),
            answers,
            comparison,
            np.zeros_like(self.used),
        )

    def doubled(self) -> Transcript:
        """Return a transcript with the same content and twice the room."""
        return Transcript(
            counts=np.concatenate([self.counts, np.empty_like(self.counts)]),
            questions=np.concatenate([self.questions, np.empty_like(self.questions)]),
            answers=np.concatenate([self.answers, np.empty_like(self.answers)]),
            comparison=np.concatenate([self.comparison, np.empty_like(self.comparison)]),
            used=self.used,
        )


def begin_transcript(frames: int, workspace: Workspace) -> Transcript:
    """Return an empty transcript; the workspace lends its arrays until the next call."""
    array, room = workspace.array, frames * _QUESTIONS
    transcript = Transcript(
        counts=array("cascade counts", (room,), np.int32),
        questions=array("cascade transcript", (room,), np.uint32),
        answers=array("cascade answers", (room // 64 + 2,), np.uint64),
        comparison=array("cascade comparison", (room // 64 + 2,), np.uint64),
        used=array("cascade used", (3,), np.int64),
    )
    transcript.used[:] = 0
    return transcript
