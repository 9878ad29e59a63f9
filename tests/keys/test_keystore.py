"""Key stores: every byte once, each direction its own bytes, nothing printed."""

import base64
import copy
import pickle
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from e91.keys.store import MASK_SIZE, KeyLabel, KeyState, KeyStore
from e91.model.errors import KeyUnavailable
from e91.model.messages import Party
from e91.model.records import SecretKey
from e91.model.trust import SecurityModel

KEY_ID = "0f0e0d0c-0b0a-4908-8706-050403020100"
ALICE, BOB = Party.ALICE, Party.BOB


def content(size: int, *, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def secret_key(data: bytes, *, extra_bits: int = 0) -> SecretKey:
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    bits = np.concatenate((bits, np.ones(extra_bits, np.uint8)))
    return SecretKey(bits, KEY_ID, SecurityModel.TRUSTED_ANALYSERS, 1e-10, True)


def store(owner: Party, *, size: int = 200, alice_share: int | None = None) -> KeyStore:
    return KeyStore(secret_key(content(size)), owner, alice_share=alice_share)


def shows_key(text: str, key: bytes) -> bool:
    """Whether eight bytes in a row of ``key`` stand in ``text``: hexadecimal, base64 or repr."""
    pieces = [key[i : i + 9] for i in range(len(key) - 8)]
    forms = [f(p) for p in pieces for f in (bytes.hex, lambda p: base64.b64encode(p).decode())]
    forms += [repr(p)[2:-1] for p in pieces] + [str(list(p))[1:-1] for p in pieces]
    return any(form in text for form in forms)


def test_the_search_for_key_bytes_finds_them():
    key = content(40)
    for text in (key.hex(), base64.b64encode(b"xy" + key).decode(), repr(key), str(list(key))):
        assert shows_key(f"the key is {text}.", key)
    assert not shows_key("an honest sentence", key)


def test_both_ends_get_the_same_bytes_of_the_key_first_bit_most_significant():
    alice, bob = store(ALICE), store(BOB)
    offset, taken = alice.take(10)
    assert (offset, taken) == (0, content(200)[:10])
    assert bob.claim(offset, 10) == taken
    offset, taken = bob.take(5)
    assert (offset, taken) == (100, content(200)[100:105])
    assert alice.claim(offset, 5) == taken


def test_bytes_are_taken_from_the_front_one_after_the_other():
    alice = store(ALICE)
    assert [alice.take(n)[0] for n in (3, 1, 40)] == [0, 3, 4]
    assert alice.left == 100 - MASK_SIZE - 44


def test_bits_that_fill_no_byte_are_dropped():
    assert KeyStore(secret_key(content(9), extra_bits=7), ALICE).label.size == 9


@pytest.mark.parametrize(
    ("key", "owner", "sentence"),
    [
        (b"bytes of a key", Party.ALICE, "`key` must be a SecretKey, but is a bytes"),
        (np.ones(800, np.uint8), Party.ALICE, "`key` must be a SecretKey, but is a ndarray"),
        (None, "alice", "`owner` must be a Party, but is a str"),
    ],
)
def test_what_is_no_key_of_a_party_is_refused(key, owner, sentence):
    with pytest.raises(TypeError, match=sentence):
        KeyStore(secret_key(content(200)) if key is None else key, owner)


def test_a_key_shorter_than_a_byte_is_refused():
    with pytest.raises(ValueError, match=r"must hold at least 8 bits, but holds 7"):
        KeyStore(secret_key(b"", extra_bits=7), ALICE)


@pytest.mark.parametrize("share", [-1, 201])
def test_a_share_outside_the_key_is_refused(share):
    with pytest.raises(ValueError, match=r"`alice_share` must lie in \[0, 200\]"):
        store(ALICE, alice_share=share)


def test_a_key_id_that_is_no_uuid_is_refused_and_not_repeated():
    key = replace(secret_key(content(9)), key_id="deadbeef")
    with pytest.raises(ValueError, match="`key_id` must be a UUID") as caught:
        KeyStore(key, ALICE)
    assert "deadbeef" not in str(caught.value)


@pytest.mark.parametrize("epsilon", [-1e-9, 1.1, float("nan")])
def test_an_epsilon_that_is_no_probability_is_refused(epsilon):
    with pytest.raises(ValueError, match=r"`epsilon` must lie in \[0, 1\]"):
        KeyStore(replace(secret_key(content(9)), epsilon=epsilon), ALICE)


def test_more_than_is_left_is_refused_and_nothing_is_lost():
    alice = store(ALICE)
    alice.take(8)
    with pytest.raises(KeyUnavailable, match="61 key bytes must be left to alice, but 60 are"):
        alice.take(61)
    assert alice.take(60) == (8, content(200)[8:68])
    assert alice.left == 0


@pytest.mark.parametrize("size", [0, -3])
def test_no_bytes_cannot_be_taken(size):
    for method in (store(ALICE).take, lambda n: store(ALICE).claim(100, n)):
        with pytest.raises(ValueError, match="`size` must be at least 1"):
            method(size)


@pytest.mark.parametrize(
    ("offset", "size"),
    [(0, 5), (99, 2), (167, 2), (168, 1), (195, 10), (10**30, 1), (-100, 1), (-5, 110)],
)
def test_bytes_outside_the_share_of_the_peer_cannot_be_claimed(offset, size):
    alice = store(ALICE)
    for method in (alice.claim, alice.peek):
        with pytest.raises(KeyUnavailable, match=r"must lie in \[100, 168\)"):
            method(offset, size)
    assert alice.snapshot().spent == ()


def test_claimed_bytes_cannot_be_claimed_again_in_any_part():
    alice = store(ALICE)
    alice.claim(110, 10)
    for offset, size in ((110, 10), (119, 5), (105, 6), (114, 1), (100, 68)):
        with pytest.raises(KeyUnavailable, match="used once"):
            alice.claim(offset, size)
    assert (
        alice.claim(100, 10) + alice.claim(120, 5) == content(200)[100:110] + content(200)[120:125]
    )


def test_looking_at_bytes_uses_none():
    alice = store(ALICE)
    assert alice.peek(100, 7) == alice.peek(100, 7) == alice.claim(100, 7)


def test_used_bytes_are_overwritten_with_zeros():
    alice = store(ALICE)
    alice.take(20)
    alice.claim(120, 20)
    held = alice._content.tobytes()
    assert held[:20] == held[120:140] == bytes(20)
    assert held[20:120] == content(200)[20:120]


def test_the_masks_are_the_ends_of_the_shares():
    for party in Party:
        assert store(party).mask(ALICE) == content(200)[68:100]
        assert store(party).mask(BOB) == content(200)[168:]


@pytest.mark.parametrize("share", [0, 1, 31, 32, 33, 169, 200])
def test_a_share_without_room_beside_its_mask_has_nothing_to_send(share):
    alice, bob = (store(party, alice_share=share) for party in Party)
    assert alice.left == bob.peer_left == max(0, share - 32)
    assert bob.left == alice.peer_left == max(0, 200 - share - 32)


@given(
    st.integers(0, 120),
    st.lists(st.tuples(st.sampled_from(Party), st.integers(1, 30)), max_size=30),
)
def test_whatever_both_take_no_byte_is_taken_twice_and_no_mask_ever(share, demands):
    stores = {party: store(party, size=120, alice_share=share) for party in Party}
    seen = [*range(max(0, share - 32), share), *range(max(share, 120 - 32), 120)]
    for party, size in demands:
        if size <= stores[party].left:
            offset, taken = stores[party].take(size)
            assert taken == content(120)[offset : offset + size]
            assert stores[party.peer].claim(offset, size) == taken
            seen += range(offset, offset + size)
    assert len(set(seen)) == len(seen)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 67), st.integers(1, 20)), max_size=12))
def test_a_restored_store_goes_on_where_the_first_one_stopped(steps):
    first = store(ALICE)
    for takes, offset, size in steps:
        if takes and size <= first.left:
            first.take(size)
        elif offset + size <= 68 and not first.was_used(100 + offset, size):
            first.claim(100 + offset, size)
    second = KeyStore.restore(first.snapshot())
    assert second._content.tobytes() == first._content.tobytes()
    assert second._used.tolist() == first._used.tolist()
    assert (second.left, second.peer_left, second.label) == (
        first.left,
        first.peer_left,
        first.label,
    )
    if first.left:
        assert second.take(1) == first.take(1)


def test_a_snapshot_holds_no_used_byte():
    alice = store(ALICE)
    alice.take(20)
    alice.claim(120, 20)
    state = alice.snapshot()
    assert state.spent == ((0, 20), (120, 140))
    assert state.remaining == content(200)[20:120] + content(200)[140:]


@pytest.mark.parametrize(
    ("spent", "remaining", "sentence"),
    [
        (((0, 5), (3, 6)), 194, "increasing intervals"),
        (((5, 5),), 200, "increasing intervals"),
        (((-5, 5),), 195, "increasing intervals"),
        (((190, 201),), 189, "increasing intervals"),
        (((0, 69),), 131, "masks alone"),
        (((199, 200),), 199, "masks alone"),
        (((1, 5),), 196, "no gap"),
        (((0, 2), (4, 5)), 197, "no gap"),
        (((0, 5),), 194, "`remaining` must hold 195 bytes, but holds 194"),
        (((0, 5),), 200, "`remaining` must hold 195 bytes, but holds 200"),
    ],
)
def test_a_state_that_no_store_can_be_in_is_refused(spent, remaining, sentence):
    state = KeyState(store(ALICE).label, spent, bytes(remaining))
    with pytest.raises(ValueError, match=sentence):
        KeyStore.restore(state)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_store_refuses_to_be_copied(duplicate):
    with pytest.raises(TypeError, match="must not be copied"):
        duplicate(store(ALICE))


def test_nothing_that_is_printed_shows_key_bytes():
    alice, key = store(ALICE), content(200)
    alice.take(9)
    assert repr(alice) == "KeyStore(alice, 59 of 68 bytes left to send, 68 of 68 to receive)"
    texts = [repr(alice), repr(alice.snapshot()), repr(alice.label), str(alice)]
    for fails in (lambda: alice.take(500), lambda: alice.claim(0, 5), lambda: copy.copy(alice)):
        with pytest.raises((KeyUnavailable, TypeError)) as caught:
            fails()
        texts.append("".join(traceback.format_exception(caught.value)))
    assert not any(shows_key(text, key) for text in texts)


def test_a_label_tells_the_promise_of_the_key():
    assert store(BOB).label == KeyLabel(
        KEY_ID, BOB, SecurityModel.TRUSTED_ANALYSERS, 1e-10, True, 200, 100
    )


def test_of_threads_that_want_the_same_last_bytes_one_gets_them(monkeypatch):
    alice = store(ALICE)
    alice.take(58)
    counted = KeyStore.left.fget

    def slowly(self: KeyStore) -> int:
        left = counted(self)
        time.sleep(0.02)  # every other thread has time to come this far
        return left

    monkeypatch.setattr(KeyStore, "left", property(slowly))
    got: list[tuple[int, bytes]] = []

    def take() -> None:
        with suppress(KeyUnavailable):
            got.append(alice.take(10))

    threads = [threading.Thread(target=take) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [(58, content(200)[58:68])]
