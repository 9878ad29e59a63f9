"""A man in the middle of the classical channel: invisible without tags, caught with them."""

import os
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from statistical import assert_binomial

from e91.adversaries import Assumption, Conditions, run_attack, stage
from e91.adversaries.man_in_the_middle import PUBLIC_KEY, impersonating
from e91.devices.exact import exact_device
from e91.distillation.authentication import PublicKey
from e91.model.errors import Abort, ProtocolAborted
from e91.model.messages import Party
from e91.model.settings import BBM92
from e91.session.session import run

ROUNDS = 60_000


def leg(party, *, key, authentication_key, seed):
    """A session in which Eve plays ``party``."""
    device = exact_device(settings=BBM92, seed=seed)
    return run(
        device,
        rounds=ROUNDS,
        seed=seed,
        authentication_key=authentication_key,
        transmission=impersonating(party, key),
    )


def test_without_authentication_both_legs_are_perfect_sessions_and_eve_holds_both_keys():
    alice = leg(Party.BOB, key=PUBLIC_KEY, authentication_key=PublicKey(PUBLIC_KEY), seed=1)
    bob = leg(Party.ALICE, key=PUBLIC_KEY, authentication_key=PublicKey(PUBLIC_KEY), seed=2)
    for report in (alice, bob):
        assert report.abort is None
        assert report.chsh.lower_bound > 2
        assert report.qber.rate == 0
    # The half of each leg that the honest party does not hold is Eve's.
    eves = (alice.keys.bob.bits, bob.keys.alice.bits)
    assert np.array_equal(alice.keys.alice.bits, eves[0])
    assert np.array_equal(bob.keys.bob.bits, eves[1])
    assert len(eves[0]) > 1000
    # Alice's and Bob's keys have nothing in common, and neither can notice that.
    size = min(map(len, eves))
    assert_binomial(int(np.sum(eves[0][:size] == eves[1][:size])), size, 0.5, must_detect=0.65)


@pytest.mark.parametrize("party", Party)
def test_with_authentication_neither_leg_gives_a_key(party):
    for guess in (PUBLIC_KEY, os.urandom(64)):
        report = leg(party, key=guess, authentication_key=os.urandom(64), seed=3)
        assert report.abort is Abort.NOT_AUTHENTIC
        with pytest.raises(ProtocolAborted):
            _ = report.key


def test_eve_with_the_true_key_is_accepted_so_it_is_the_key_that_counts():
    secret = bytes(range(64))
    report = leg(Party.BOB, key=secret, authentication_key=secret, seed=3)
    assert report.abort is None


def test_table_runs_both_kinds():
    caught = run_attack("man-in-the-middle", rounds=ROUNDS, seed=1)
    assert caught.session.abort is Abort.NOT_AUTHENTIC
    assert caught.broken == ()
    missed = run_attack("man-in-the-middle", rounds=ROUNDS, seed=1, authenticated=False)
    assert missed.session.abort is None
    assert missed.eve.guess_rate == 1
    assert missed.broken == (Assumption.AUTHENTICATION,)
    assert missed.to_dict()["attack"] == {"name": "man-in-the-middle", "strength": None}


def test_other_attacks_leave_the_messages_alone():
    staged = stage("cloner", Conditions(0.1, seed=1))
    assert staged.line.authentication_key is None
    assert staged.line.transmission.__name__ == "honest_transmission"


def test_key_of_wrong_length_is_refused():
    with pytest.raises(ValueError, match="`key` must have 64 bytes, but has 10"):
        impersonating(Party.BOB, bytes(10))


# Every message of a session, one after the other ------------------------------------------------


def session(transmission):
    return run(
        exact_device(settings=BBM92, visibility=0.98, seed=5),
        rounds=20_000,
        seed=6,
        transmission=transmission,
    )


def spoken():
    messages = []

    def listen(message):
        messages.append(message)
        return message

    assert session(listen).abort is None
    return messages


MESSAGES = spoken()


def at(place, deliver):
    """Deliver the message at this place otherwise; ``deliver(past, message)`` says how."""
    past = []

    def transmit(message):
        past.append(message)
        return deliver(past[:-1], message) if len(past) == place + 1 else message

    return transmit


def altered(past, message):
    body = bytearray(message.body or b"\0")
    body[len(body) // 2] ^= 1
    return replace(message, body=bytes(body))


def dropped(past, message):
    return None


def replayed(past, message):
    """The latest earlier message that the same party sent, under the new one's subject."""
    earlier = [old for old in past if old.sender is message.sender]
    return replace(message, body=earlier[-1].body) if earlier else None


def reordered(place):
    """Two messages of one party change places: the later body comes first."""
    sender = MESSAGES[place].sender
    later = next((m for m in MESSAGES[place + 1 :] if m.sender is sender), None)

    def deliver(past, message):
        return None if later is None else replace(message, body=later.body)

    return deliver


def kinds():
    """The first, and for repeated subjects the last, message of every sender and subject."""
    places = {}
    for place, message in enumerate(MESSAGES):
        places.setdefault((message.sender, message.subject), [place, place])[1] = place
    return sorted({place for pair in places.values() for place in pair})


def changed_nothing(place, deliver):
    heard = deliver(MESSAGES[:place], MESSAGES[place])
    return heard is not None and heard.body == MESSAGES[place].body


MEDDLING = {
    "altered": lambda place: altered,
    "dropped": lambda place: dropped,
    "replayed": lambda place: replayed,
    "reordered": reordered,
}


def assert_ends_the_session(place, meddle):
    deliver = MEDDLING[meddle](place)
    report = session(at(place, deliver))
    if changed_nothing(place, deliver):  # an equal body in the same place is the same message
        assert report.abort is None
        return
    assert report.abort is not None
    with pytest.raises(ProtocolAborted):
        _ = report.key


@pytest.mark.parametrize("meddle", MEDDLING)
@pytest.mark.parametrize("place", kinds())
def test_meddling_with_any_kind_of_message_ends_the_session(place, meddle):
    assert_ends_the_session(place, meddle)


@pytest.mark.slow
@pytest.mark.parametrize("meddle", MEDDLING)
def test_meddling_with_any_single_message_ends_the_session(meddle):
    for place in range(len(MESSAGES)):
        assert_ends_the_session(place, meddle)


def test_meddling_changes_most_messages():
    """The tests above would be empty if not; Cascade's last parities are single bytes."""
    same = Counter(
        meddle
        for meddle in MEDDLING
        for place in range(len(MESSAGES))
        if changed_nothing(place, MEDDLING[meddle](place))
    )
    assert max(same.values()) < len(MESSAGES) / 3
