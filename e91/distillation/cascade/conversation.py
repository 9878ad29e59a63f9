"""Let both parties of Cascade talk on one machine, message by message or a search at a time."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from e91.distillation.cascade import wire_format as wire
from e91.distillation.cascade.parties import Alice, Bob
from e91.distillation.cascade.schedule import Words
from e91.distillation.cascade.transcript import Transcript, begin_transcript
from e91.model.messages import Channel, Message, honest_transmission
from e91.system.workspace import Workspace


def run_locally(alice: Alice, bob: Bob, channel: Channel, workspace: Workspace) -> Words:
    """Carry messages between both parties until Alice has no more to say; return Bob's key.

    Every message goes through ``channel``.  Where compiled code may run and nobody alters messages,
    a binary search runs to its end in one go, and its messages are recorded after it: they are the
    same.

    Raises:
        AuthenticationFailed: A message arrived that no honest party would have sent.
    """
    # Who alters messages must see one before the next is written.
    at_once = workspace.compiled and channel.transmission is honest_transmission
    message = bob.start()
    while True:
        alice.hear(channel.send(message))
        if at_once and alice.questions.size:
            _search(alice, bob, channel, workspace)
        parities = alice.say()
        if parities is None:
            return bob.finish()
        message = bob.answer(channel.send(parities))


def _search(alice: Alice, bob: Bob, channel: Channel, workspace: Workspace) -> None:
    """Run a binary search to its end, and send what was said in it."""
    from e91.distillation.cascade import conversation_kernels as kernels

    schedule, states = bob.common.schedule, bob.states
    transcript = begin_transcript(len(states.searched), workspace)
    room = workspace.array("cascade round", (states.searches.shape[1] // 64 + 1,), np.uint64)
    while not (
        done := kernels.search(
            alice.parities,
            schedule.places,
            states,
            bob.iterations,
            schedule.searches_at_once,
            transcript,
            room,
        )
    ):
        transcript = transcript.doubled()
    if done < 0:
        raise wire.malformed()
    if channel.listener:
        said = _by_frames(transcript)
    else:
        merged = transcript.merged()
        kernels.merge_rounds(transcript, merged)
        said = _by_rounds(merged)
    for parities, comparison in said:
        channel.send(parities)
        channel.send(comparison)
    alice.all_answered()
    bob.all_answered()


def _by_frames(transcript: Transcript) -> Iterator[tuple[Message, Message]]:
    """Write a search as one message of each party: each frame's rounds, one behind the other.

    For channels whose listener takes messages away: the bits are the same, and how they divide
    into rounds follows from them.  The questions that were open before are repeated.
    """
    asked = int(transcript.used[2])
    size = (asked + 7) >> 3
    answers = transcript.answers.view("u1").data[:size]
    comparison = transcript.comparison.view("u1").data[:size]
    questions = transcript.questions[:asked].view("u1").data
    yield wire.from_transcript(bytes(answers), b"".join((comparison, questions)), asked)


def _by_rounds(merged: Transcript) -> Iterator[tuple[Message, Message]]:
    """Write the messages of a search as if each round of all frames had been waited for."""
    counts = merged.counts[: merged.used[1]].tolist()
    answers, comparison = merged.answers.view("u1").data, merged.comparison.view("u1").data
    questions = merged.questions.view("u1").data
    start, asked = 0, 4 * counts[0]
    for count, following in pairwise(counts):
        end, after = start + ((count + 7) >> 3), asked + 4 * following
        yield wire.from_transcript(
            bytes(answers[start:end]),
            bytes(comparison[start:end]) + bytes(questions[asked:after]),
            count,
        )
        start, asked = start + 8 * ((count + 63) >> 6), after
