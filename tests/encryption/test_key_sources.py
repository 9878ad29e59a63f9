"""Key files as a source of named keys: each byte once, by the sender's mask, and in the ledger."""

import io
from uuid import UUID

import numpy as np
import pytest

from e91.encryption.chapters import decrypt_chapters, encrypt_chapters
from e91.encryption.key_sources import EnteredKeys, KeyReference, key_file_source
from e91.encryption.pad_segments import decrypt_segments, encrypt_segments
from e91.encryption.stream_headers import StreamHeader
from e91.keys.files import read_key_file, save_new
from e91.keys.store import KeyStore
from e91.keys.usage import UsageLedger
from e91.model.errors import AuthenticationFailed, KeyUnavailable
from e91.model.messages import Party
from e91.model.records import SecretKey
from e91.model.trust import SecurityModel

KEYS = {
    "a": "0f0e0d0c-0b0a-4908-8706-050403020100",
    "b": "1f0e0d0c-0b0a-4908-8706-050403020100",
}
CONTENT = {name: np.random.default_rng(i).bytes(400) for i, name in enumerate(KEYS)}


@pytest.fixture
def files(tmp_path):
    """Two keys of 400 bytes, 168 to send, at both ends: folders `alice` and `bob`."""
    for party in Party:
        (tmp_path / party.value).mkdir()
        for name, key_id in KEYS.items():
            bits = np.unpackbits(np.frombuffer(CONTENT[name], np.uint8))
            key = SecretKey(bits, key_id, SecurityModel.TRUSTED_ANALYSERS, 1e-10, False)
            save_new(KeyStore(key, party), tmp_path / party.value / f"{name}.key")
    return {party: tmp_path / party.value for party in Party}


def masked(content: bytes, mask: bytes) -> bytes:
    first = bytes(a ^ b for a, b in zip(content[:32], mask, strict=True))
    return first + content[32:]


def test_the_other_end_finds_the_same_bytes_by_their_reference(files):
    with key_file_source([files[Party.ALICE]]) as alice, key_file_source([files[Party.BOB]]) as bob:
        first, second = alice.fresh(40), alice.fresh(33)
        assert first.reference == KeyReference(UUID(KEYS["a"]), 0)
        assert second.reference == KeyReference(UUID(KEYS["a"]), 40)
        assert first.content == masked(CONTENT["a"][:40], CONTENT["a"][168:200])
        assert bob.named(second.reference, 33).content == second.content
        assert bob.named(first.reference, 40).content == first.content
        with pytest.raises(KeyUnavailable, match="used once, but some were used already"):
            bob.named(first.reference, 40)


def test_fresh_key_comes_from_one_file_after_the_other(files):
    with key_file_source([files[Party.ALICE]]) as alice:
        taken = [alice.fresh(100).reference for _ in range(2)]
        assert [str(one.key_id) for one in taken] == [KEYS["a"], KEYS["b"]]
        assert alice.left().to_send == 2 * 68
        assert len(alice.fresh(500, least=60).content) == 68
        with pytest.raises(KeyUnavailable, match="69 key bytes must be left to alice in one of"):
            alice.fresh(69)


def test_what_was_handed_out_is_used_on_the_disk_after_keep_and_what_was_claimed_only_then(files):
    path = files[Party.ALICE] / "a.key"
    with key_file_source([files[Party.ALICE]]) as alice:
        alice.fresh(40)
        assert read_key_file(path).spent == ()
        alice.keep()
        assert read_key_file(path).spent == ((0, 40),)
    bob_path = files[Party.BOB] / "a.key"
    with pytest.raises(KeyUnavailable), key_file_source([files[Party.BOB]]) as bob:
        assert [bob.named(KeyReference(UUID(KEYS["a"]), 0), 40) for _ in range(2)]
    assert read_key_file(bob_path).spent == ()


def test_what_is_expected_is_written_down_once(files, monkeypatch):
    written = []
    monkeypatch.setattr("e91.keys.files.encode_key", _noting(written))
    with key_file_source([files[Party.ALICE] / "a.key"]) as alice:
        alice.expect(160)
        for _ in range(4):
            alice.fresh(40)
            alice.keep()
    assert len(written) == 1


def _noting(written):
    from e91.keys.files import encode_key

    def encode(state):
        written.append(state.spent)
        return encode_key(state)

    return encode


@pytest.mark.parametrize("cipher", ["aes-256-gcm", "one-time-pad"])
def test_a_ciphertext_under_several_key_files_is_read_with_those_of_the_peer(files, cipher):
    data = np.random.default_rng(5).bytes(230)
    is_pad = cipher == "one-time-pad"
    header = StreamHeader.new(cipher, segment_size=4096, bytes_per_key=0 if is_pad else 60)
    sealed, opened = io.BytesIO(), io.BytesIO()
    write, read = (
        (encrypt_segments, decrypt_segments) if is_pad else (encrypt_chapters, decrypt_chapters)
    )
    with key_file_source([files[Party.BOB]]) as bob:
        found = write(io.BytesIO(data), sealed, bob, header=header)
    assert found.is_complete
    with key_file_source([files[Party.ALICE]]) as alice:
        read(io.BytesIO(sealed.getvalue()[32:]), opened, alice, header=header)
        alice.keep()
    assert opened.getvalue() == data
    states = [read_key_file(files[party] / "a.key") for party in Party]
    assert states[0].spent == states[1].spent != ()


def test_a_ciphertext_cannot_be_reflected_to_its_sender(files):
    header, sealed = (
        StreamHeader.new("aes-256-gcm", segment_size=4096, bytes_per_key=99),
        io.BytesIO(),
    )
    with key_file_source([files[Party.ALICE]]) as alice:
        encrypt_chapters(io.BytesIO(b"attack"), sealed, alice, header=header)
    body = sealed.getvalue()[32:]
    with (
        key_file_source([files[Party.ALICE]]) as alice,
        pytest.raises(KeyUnavailable, match="which is for messages of bob"),
    ):
        decrypt_chapters(io.BytesIO(body), io.BytesIO(), alice, header=header)


def test_who_knows_a_pad_cannot_make_a_chapter_of_it(files):
    """Eve holds back a padded message that she knows, and names its pad as an AES key."""
    pad_header = StreamHeader.new("one-time-pad", segment_size=4096)
    aes_header = StreamHeader.new("aes-256-gcm", segment_size=4096, bytes_per_key=99)
    sealed = io.BytesIO()
    with key_file_source([files[Party.ALICE] / "a.key"]) as alice:
        encrypt_segments(io.BytesIO(bytes(100)), sealed, alice, header=pad_header)
    pad = sealed.getvalue()[32 + 29 : 32 + 29 + 100]
    assert pad == CONTENT["a"][32:132]

    class Eve:
        def fresh(self, size, *, least=None):
            from e91.encryption.key_sources import NamedKey

            return NamedKey(KeyReference(UUID(KEYS["a"]), 32), pad[:32], "", None, False)

        def keep(self):
            pass

        def protected(self, key, size):
            pass

    forged = io.BytesIO()
    encrypt_chapters(io.BytesIO(b"retreat"), forged, Eve(), header=aes_header)
    with key_file_source([files[Party.BOB] / "a.key"]) as bob, pytest.raises(AuthenticationFailed):
        decrypt_chapters(io.BytesIO(forged.getvalue()[32:]), io.BytesIO(), bob, header=aes_header)


def test_key_files_of_two_owners_or_given_twice_are_refused(files, tmp_path):
    alice, bob = (files[party] / "a.key" for party in Party)
    for paths, sentence in (
        ([alice, bob], "Key files must have one owner, but have two"),
        ([alice, alice], "must be given once, but "),
        ([files[Party.ALICE], alice], "must be given once, but "),
        ([tmp_path], "must be a key file or a folder of key files, but has none"),
        ([], "At least one key file must be given, but there is none"),
    ):
        with pytest.raises(ValueError, match=sentence), key_file_source(paths):
            pass


def test_a_pattern_names_the_key_files_of_a_run_of_blocks(files, tmp_path):
    with key_file_source([tmp_path / "al*" / "*.key"]) as alice:
        assert (alice.owner, alice.left().to_send) == (Party.ALICE, 336)
    with (
        pytest.raises(
            ValueError, match="must be a key file or a folder of key files, but has none"
        ),
        key_file_source([tmp_path / "carol" / "*.key"]),
    ):
        pass


def test_a_key_that_no_file_has_is_named(files):
    with (
        key_file_source([files[Party.BOB]]) as bob,
        pytest.raises(KeyUnavailable, match="The key 00000000-0000-0000-0000-000000000007, which"),
    ):
        bob.named(KeyReference(UUID(int=7)), 32)


def test_uses_are_in_the_ledger_before_anything_leaves_and_their_sizes_after(files, tmp_path):
    header = StreamHeader.new("aes-256-gcm", segment_size=4096, bytes_per_key=60)
    with UsageLedger(tmp_path / "ledger") as ledger, key_file_source([files[Party.ALICE]]) as alice:
        keys = EnteredKeys(alice, ledger, cipher="aes-256-gcm", name="it", clock=lambda: 7.0)

        class Watched(io.BytesIO):
            def write(self, part):
                assert len(list(ledger.usages())) >= 1
                return super().write(part)

        encrypt_chapters(io.BytesIO(bytes(100)), Watched(), keys, header=header)
        found = list(ledger.usages())
    assert [(one.start, one.stop, one.protected_bytes) for one in found] == [
        (0, 32, 60),
        (32, 64, 40),
    ]
    assert {(one.role, one.name, one.used_at, one.security) for one in found} == {
        ("sent", "it", 7.0, "trusted-analysers")
    }


def test_a_key_file_that_was_restored_from_a_backup_sends_nothing_twice(files, tmp_path):
    path = files[Party.ALICE] / "a.key"
    backup = path.read_bytes()
    header = StreamHeader.new("one-time-pad", segment_size=4096)

    def send(target):
        with UsageLedger(tmp_path / "ledger") as ledger, key_file_source([path]) as alice:
            keys = EnteredKeys(alice, ledger, cipher="one-time-pad", name="letter")
            encrypt_segments(io.BytesIO(b"attack"), target, keys, header=header)

    send(io.BytesIO())
    path.write_bytes(backup)
    target = io.BytesIO()
    with pytest.raises(KeyUnavailable, match=r"bytes 0 to 38 of key 0f0e.* were sent before, for"):
        send(target)
    assert target.getvalue() == b""
