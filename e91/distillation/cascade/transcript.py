"""What two parties said in one binary search, as the compiled conversation writes it down."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from e91.distillation.cascade.schedule import Counts, Questions, Words
from e91.system.workspace import Workspace

_QUESTIONS = 2**14  # of a frame, for a start: a transcript grows when it is full


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
