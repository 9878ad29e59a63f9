"""Carry the messages of Cascade between its parties, one by one or a stretch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TypeVar, cast

from e91.distillation.cascade import wire_format as wire
from e91.distillation.cascade.block_states import Log, open_log
from e91.distillation.cascade.kernels import Ferry
from e91.distillation.cascade.parties import AliceReady, BobReady, Resumed, Said, Talk
from e91.model.messages import Channel, Message

_T = TypeVar("_T")
_U = TypeVar("_U")


def converse(alice: Talk[_T], bob: Talk[_U], channel: Channel, ferry: Ferry | None) -> _U:
    """Ferry messages between the two halves until both have finished; return Bob's result.

    Every message goes through ``channel``.  Where a party says that only questions and answers
    follow, and there is a ``ferry`` for them, they are carried in one go and recorded after.

    Raises:
        AuthenticationFailed: A message arrived that no honest party would have sent.
    """
    answer = resume(alice, None)
    while isinstance(answer, Message | AliceReady):
        if isinstance(answer, AliceReady):
            assert ferry is not None  # else Alice had not offered it
            answer = resume(alice, _carry_stretch(answer, bob, channel, ferry))
        else:
            comparison = cast(Message, bob.send(channel.send(answer)))
            answer = resume(alice, channel.send(comparison))
    return cast(_U, resume(bob, None))


def resume(talk: Talk[_T], heard: Message | AliceReady | Resumed | None) -> Said | _T:
    """Return what the party says next, or its result if it has finished."""
    try:
        return talk.send(heard)
    except StopIteration as stop:
        return cast(_T, stop.value)


def _carry_stretch(alice: AliceReady, bob: Talk[_U], channel: Channel, ferry: Ferry) -> Resumed:
    ready = bob.send(alice)
    assert isinstance(ready, BobReady)
    with open_log(ready.book) as log:
        while not (done := _go_on(alice, ready, ferry, log)):
            log = log.doubled()
        if done < 0:
            raise wire.malformed()
        told = _by_frames(log) if channel.listener else _by_rounds(log, ferry)
        for ours, theirs in told:
            channel.send(ours)
            last = channel.send(theirs)
    bob.send(Resumed(last))
    return Resumed(last)


def _go_on(alice: AliceReady, bob: BobReady, ferry: Ferry, log: Log) -> int:
    return ferry.carry(alice.table, alice.places, bob.book, bob.passes, bob.limit, log)


def _by_frames(log: Log) -> Iterator[tuple[Message, Message]]:
    """Write a stretch as one message of each party: each frame's rounds, one behind the other.

    For channels whose listener takes messages away: the bits are the same, and how they divide
    into rounds follows from them.  The questions open before are said again.
    """
    asked = int(log.ends[2])
    wide = (asked + 7) >> 3
    comparison = log.comparison.view("u1").data[:wide]
    questions = log.questions[:asked].view("u1").data
    answers = log.answers.view("u1").data[:wide]
    yield wire.from_log(bytes(answers), b"".join((comparison, questions)), asked)


def _by_rounds(log: Log, ferry: Ferry) -> Iterator[tuple[Message, Message]]:
    """Write the messages of a stretch as if each round of all frames had been waited for."""
    merged = log.merged()
    ferry.by_rounds(log, merged)
    counts = merged.counts[: merged.ends[1]].tolist()
    answers, comparison = merged.answers.view("u1").data, merged.comparison.view("u1").data
    questions = merged.questions.view("u1").data
    start, asked = 0, 4 * counts[0]
    for number, following in pairwise(counts):
        end, after = start + ((number + 7) >> 3), asked + 4 * following
        yield wire.from_log(
            bytes(answers[start:end]),
            bytes(comparison[start:end]) + bytes(questions[asked:after]),
            number,
        )
        start, asked = start + 8 * ((number + 63) >> 6), after
