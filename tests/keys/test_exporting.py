"""Exported bytes are spent before they are handed out, once, and are the same at both ends."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e91.encryption.cipher import decrypt_file, encrypt_file
from e91.keys.exporting import export_key
from e91.keys.files import decode_key, open_key_file, read_key_file, save_new
from e91.keys.store import MASK_SIZE, KeyState, KeyStore
from e91.model.errors import KeyUnavailable
from e91.model.messages import Party
from e91.model.records import SecretKey
from e91.model.trust import SecurityModel

KEY_ID = "0f0e0d0c-0b0a-4908-8706-050403020100"
CONTENT = np.random.default_rng(1).bytes(401)
ALICE, BOB = Party.ALICE, Party.BOB
EACH = 200 - MASK_SIZE, 201 - MASK_SIZE


def secret_key() -> SecretKey:
    bits = np.unpackbits(np.frombuffer(CONTENT, np.uint8))
    return SecretKey(bits, KEY_ID, SecurityModel.TRUSTED_ANALYSERS, 1e-10, False)


@pytest.fixture
def files(tmp_path):
    for party in Party:
        save_new(KeyStore(secret_key(), party), tmp_path / f"{party.value}.key")
    return [tmp_path / f"{party.value}.key" for party in Party]


@pytest.mark.parametrize("share", [None, *Party])
def test_both_ends_export_the_same_bytes_of_the_key(files, share):
    for size in (32, 33, 1):
        alice, bob = (export_key(file, size, share=share) for file in files)
        assert alice.content == bob.content
        assert alice.intervals == bob.intervals
        assert alice.content == b"".join(CONTENT[start:stop] for start, stop in alice.intervals)
        assert len(alice.content) == size


def test_everything_is_exported_once_and_the_masks_never(files):
    for file in files:
        first, rest = export_key(file, 50), export_key(file)
        places = np.zeros(401, int)
        for start, stop in (*first.intervals, *rest.intervals):
            places[start:stop] += 1
        masks = [*range(200 - MASK_SIZE, 200), *range(401 - MASK_SIZE, 401)]
        assert np.flatnonzero(places == 0).tolist() == masks
        assert places.max() == 1
        with pytest.raises(KeyUnavailable):
            export_key(file)


def test_exported_bytes_are_in_the_file_no_more(files):
    taken = export_key(files[0], 64)
    state = decode_key(files[0].read_bytes())
    assert state.spent == taken.intervals
    assert state.exported == (32, 32)
    for start, stop in taken.intervals:
        assert CONTENT[start:stop] not in state.remaining


def test_export_without_a_size_leaves_what_makes_no_whole_key(files):
    for file in files:
        assert len(export_key(file, unit=100).content) == 300
    assert {len(export_key(file).content) for file in files} == {sum(EACH) - 300}


def test_messages_go_on_beside_exports_until_they_meet(files, tmp_path):
    for file in files:
        export_key(file, 2 * 60)
    plain = tmp_path / "plain"
    plain.write_bytes(bytes(60))
    encrypt_file(plain, tmp_path / "cipher", files[0], cipher="one-time-pad")
    decrypt_file(tmp_path / "cipher", tmp_path / "again", files[1])
    assert (tmp_path / "again").read_bytes() == bytes(60)
    left = EACH[0] - 60 - 92
    with pytest.raises(KeyUnavailable, match=f"but {left} are"):
        export_key(files[0], 2 * left + 1)
    assert read_key_file(files[0]).exported == (60, 60)  # nothing was used
    assert export_key(files[0], 2 * left).content == export_key(files[1], 2 * left).content


def test_message_under_way_does_not_change_what_a_size_gives(files, tmp_path):
    plain = tmp_path / "plain"
    plain.write_bytes(bytes(20))
    encrypt_file(plain, tmp_path / "cipher", files[0])
    alice, bob = (export_key(file, 100) for file in files)
    assert alice.content == bob.content
    decrypt_file(tmp_path / "cipher", tmp_path / "again", files[1])


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from("msx"), st.integers(1, 90)), max_size=8))
def test_no_byte_is_handed_out_twice_in_any_order_of_uses(steps):
    store, seen = KeyStore(secret_key(), ALICE), []
    peer = store.label.message_bytes(BOB)
    for kind, size in steps:
        try:
            if kind == "m":
                seen.append(range(offset := store.take(size)[0], offset + size))
            elif kind == "s":
                store.claim(peer.start + size, size)
                seen.append(range(peer.start + size, peer.start + 2 * size))
            else:
                seen += [range(*interval) for interval in store.export(size, size // 2)[0]]
        except KeyUnavailable:
            continue
        store = KeyStore.restore(store.snapshot())
    places = [place for part in seen for place in part]
    assert len(places) == len(set(places))
    spent = {place for start, stop in store.snapshot().spent for place in range(start, stop)}
    assert spent == set(places)


@pytest.mark.parametrize("exported", [(1, 0), (0, 1), (-1, 0), (1000, 0)])
def test_state_that_misses_an_exported_byte_is_refused(exported):
    state = KeyStore(secret_key(), ALICE).snapshot()
    wrong = KeyState(state.label, state.spent, state.remaining, exported=exported)
    with pytest.raises(ValueError, match="must hold what was exported"):
        KeyStore.restore(wrong)


@pytest.mark.parametrize("sizes", [(0, 0), (-1, 2)])
def test_export_of_nothing_is_refused(sizes):
    with pytest.raises(ValueError, match="At least one byte"):
        KeyStore(secret_key(), ALICE).export(*sizes)


def test_bytes_of_the_peers_share_stay_spent_after_an_exception(files):
    def stopped():
        with open_key_file(files[0]) as opened:
            opened.store.export(0, 5)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert read_key_file(files[0]).exported == (0, 5)


def test_killed_export_has_spent_what_it_handed_out(files):
    child = os.fork()
    if not child:
        export_key(files[0], 40)
        os._exit(9)
    os.waitpid(child, 0)
    assert read_key_file(files[0]).exported == (20, 20)


def test_export_shows_no_key_bits(files):
    taken = export_key(files[0], 32)
    assert taken.content.hex() not in repr(taken)
    assert repr(taken.content) not in repr(taken)


def test_secret_key_gives_its_whole_bytes_and_shows_none():
    key = SecretKey(
        np.append(secret_key().bits, [1, 1]), KEY_ID, SecurityModel.TRUSTED_ANALYSERS, None, True
    )
    assert bytes(key) == CONTENT == bytes.fromhex(key.hex())
    assert repr(key) == "SecretKey(3210 bits)"
    store = KeyStore(key, ALICE)
    assert store.snapshot().remaining == bytes(key)


def test_file_that_only_is_looked_at_stays_as_it_is(files):
    before = files[0].read_bytes(), files[0].stat().st_mtime_ns
    assert read_key_file(files[0]).is_checked
    assert (files[0].read_bytes(), files[0].stat().st_mtime_ns) == before
    assert isinstance(files[0], Path)
