"""Carry the messages of Cascade between its parties, one by one or a stretch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TypeVar, cast

from e91.distillation import cascade_messages as wire
from e91.distillation.cascade_book import Log
from e91.distillation.cascade_parties import AliceReady, BobReady, Resumed, Said, Talk
from e91.distillation.cascade_route import Route
from e91.model.messages import Channel, Message

_T = TypeVar("_T")
_U = TypeVar("_U")


def converse(alice: Talk[_T], bob: Talk[_U], channel: Channel, route: Route) -> _U:
    """Ferry messages between the two halves until both have finished; return Bob's result.

    Every message goes through ``channel``.  Where a party says that only questions and answers
    follow, and the route has a ferry for them, they are carried in one go and recorded after.

    Raises:
        AuthenticationFailed: A message arrived that no honest party would have sent.
    """
    answer = resume(alice, None)
    while isinstance(answer, Message | AliceReady):
        if isinstance(answer, AliceReady):
            answer = resume(alice, _carry_stretch(answer, bob, channel, route))
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


def _carry_stretch(alice: AliceReady, bob: Talk[_U], channel: Channel, route: Route) -> Resumed:
    ready = bob.send(alice)
    assert isinstance(ready, BobReady)
    assert route.ferry is not None  # else Alice had not offered it
    book = ready.book
    first, least, passes = ready.count, ready.least, ready.passes
    rounds, count = route.ferry(alice.table, alice.places, book, passes, ready.limit, first, least)
    if count < 0:
        raise wire.malformed()
    asked = int(book.log.counts[1:rounds].sum()) + count
    if channel.listener is None:
        for ours, theirs in _messages(book.log, rounds, count):
            channel.send(ours)
            last = channel.send(theirs)
    else:
        last = _send_at_once(book.log, rounds, count, channel)
    bob.send(Resumed(last, count, asked))
    return Resumed(last, int(book.log.counts[rounds - 1]), asked)


def _send_at_once(log: Log, rounds: int, count: int, channel: Channel) -> Message:
    """Send a stretch as one message of each party; return the last that Bob said of it.

    For channels whose listener takes messages away: the bits are the same, and how they divide
    into rounds follows from them.
    """
    counts = log.counts[:rounds]
    words, told = int(((counts + 63) >> 6).sum()), int(counts.sum())
    comparison = log.comparison[:words].tobytes()
    comparison += log.questions[: int(counts[1:].sum()) + count].tobytes()
    for message in wire.from_log(log.answers[:words].tobytes(), comparison, told):
        channel.send(message)
    number, first = int(counts[-1]), words - ((int(counts[-1]) + 63) >> 6)
    bits = log.comparison[first:words].tobytes()[: (number + 7) >> 3]
    asked = int(counts[1:].sum())
    return wire.from_log(b"", bits + log.questions[asked : asked + count].tobytes(), number)[1]


def _messages(log: Log, rounds: int, count: int) -> Iterator[tuple[Message, Message]]:
    """Write the messages of a stretch, after which ``count`` questions are open."""
    counts = [*log.counts[:rounds].tolist(), count]
    answers, comparison = log.answers.view("u1").data, log.comparison.view("u1").data
    questions = log.questions.view("u1").data
    start, asked = 0, 0
    for number, following in pairwise(counts):
        end, after = start + ((number + 7) >> 3), asked + 4 * following
        yield wire.from_log(
            bytes(answers[start:end]),
            bytes(comparison[start:end]) + bytes(questions[asked:after]),
            number,
        )
        start, asked = start + 8 * ((number + 63) >> 6), after
