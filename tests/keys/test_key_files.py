"""Key files: private, durable, locked; no crash and no race makes a key byte serve twice."""

import base64
import hashlib
import json
import multiprocessing
import os
import stat
import threading
import traceback
import tracemalloc
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from e91.encryption.cipher import (
    KeyUse,
    decrypt,
    decrypt_file,
    encrypt,
    encrypt_file,
    key_bytes_needed,
    read_header,
)
from e91.keys.files import decode_key, encode_key, open_key_file, read_key_file, save_new
from e91.keys.store import KeyState, KeyStore
from e91.model.errors import AuthenticationFailed, KeyUnavailable
from e91.model.messages import Party
from e91.model.records import SecretKey
from e91.model.trust import SecurityModel
from e91.system import durable
from e91.system.durable import WriteFailed

KEY_ID = "0f0e0d0c-0b0a-4908-8706-050403020100"
ALICE, BOB = Party.ALICE, Party.BOB
SIZE = 2000
DATA = b"the photons agree"


def content(size: int = SIZE) -> bytes:
    return np.random.default_rng(1).bytes(size)


def make_store(owner: Party, *, reproducible: bool = True) -> KeyStore:
    bits = np.unpackbits(np.frombuffer(content(), np.uint8))
    proof = ("phase-errors", "coherent attacks")
    key = SecretKey(bits, KEY_ID, SecurityModel.TRUSTED_ANALYSERS, 1e-10, reproducible, *proof)
    return KeyStore(key, owner)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with both key files and a plaintext."""
    for party in Party:
        save_new(make_store(party), tmp_path / f"{party.value}.key")
    (tmp_path / "plain").write_bytes(DATA)
    return tmp_path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


START = {"alice.key", "bob.key", "plain"}


def encrypt_here(folder: Path, target: str = "cipher", **options: object) -> KeyUse:
    return encrypt_file(folder / "plain", folder / target, folder / "alice.key", **options)


def decrypt_here(folder: Path, target: str = "again", source: str = "cipher") -> KeyUse:
    return decrypt_file(folder / source, folder / target, folder / "bob.key")


def state(path: Path) -> dict[str, object]:
    return json.loads(path.read_text())


# ---- the file itself


def test_a_new_key_file_holds_what_is_documented(tmp_path):
    store = make_store(ALICE)
    store.take(10)
    store.claim(1000, 5)
    save_new(store, tmp_path / "key")
    found = state(tmp_path / "key")
    blank = (tmp_path / "key").read_text().replace(str(found["sha256"]), "0" * 64)
    assert found == {
        "format": "e91-key",
        "version": 2,
        "sha256": hashlib.sha256(blank.encode()).hexdigest(),
        "warning": "SIMULATED: made by a simulator; secret only within the simulation"
        "; whoever knows the seed can make it again",
        "key_id": KEY_ID,
        "owner": "alice",
        "security": "trusted-analysers",
        "epsilon": 1e-10,
        "reproducible": True,
        "size": SIZE,
        "alice_share": 1000,
        "spent": [[0, 10], [1000, 1005]],
        "remaining": base64.b64encode(content()[10:1000] + content()[1005:]).decode(),
        "theorem": "phase-errors",
        "attacks": "coherent attacks",
        "bell_test": None,
    }


def test_a_key_file_of_the_version_before_names_no_theorem_and_opens(tmp_path):
    save_new(make_store(ALICE), tmp_path / "key")
    older = state(tmp_path / "key")
    del older["theorem"], older["attacks"], older["sha256"]
    (tmp_path / "key").write_text(json.dumps(older | {"version": 1}))
    with pytest.warns(UserWarning, match="no digest"), open_key_file(tmp_path / "key") as opened:
        assert (opened.store.label.theorem, opened.store.label.attacks) == (None, None)


def test_a_key_that_nobody_can_make_again_says_only_that_it_is_simulated(tmp_path):
    save_new(make_store(ALICE, reproducible=False), tmp_path / "key")
    assert state(tmp_path / "key")["reproducible"] is False
    assert str(state(tmp_path / "key")["warning"]).endswith("only within the simulation")


def test_key_files_are_private_from_the_first_instant(tmp_path, monkeypatch):
    seen = []
    write = os.write

    def watching(descriptor: int, data: bytes) -> int:
        seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", watching)
    old = os.umask(0)
    try:
        save_new(make_store(ALICE), tmp_path / "key")
        with open_key_file(tmp_path / "key") as key_file:
            key_file.store.take(1)
    finally:
        os.umask(old)
    assert len(seen) >= 2
    assert set(seen) == {0o600}
    assert mode(tmp_path / "key") == 0o600


def test_a_key_file_is_never_overwritten(folder):
    before = (folder / "alice.key").read_bytes()
    with pytest.raises(ValueError, match=r"alice\.key` must not exist yet, but does"):
        save_new(make_store(BOB), folder / "alice.key")
    (folder / "dangling").symlink_to(folder / "nowhere")
    with pytest.raises(ValueError, match="dangling` must not exist yet, but does"):
        save_new(make_store(BOB), folder / "dangling")
    assert (folder / "alice.key").read_bytes() == before
    assert not (folder / "nowhere").exists()


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match="missing` must be a folder that can be written, but no"):
        save_new(make_store(ALICE), tmp_path / "missing" / "key")


def test_a_full_disk_leaves_no_key_file(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", failing(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        save_new(make_store(ALICE), tmp_path / "key")
    assert names(tmp_path) == set()


def failing(error: BaseException):
    def fail(*_arguments: object, **_options: object) -> None:
        raise error

    return fail


def test_used_bytes_are_used_in_the_next_process_too(folder):
    with open_key_file(folder / "alice.key") as key_file:
        assert key_file.store.take(5) == (0, content()[:5])
        assert key_file.store.claim(1000, 2) == content()[1000:1002]
    with open_key_file(folder / "alice.key") as key_file:
        assert key_file.store.take(5) == (5, content()[5:10])
        with pytest.raises(KeyUnavailable):
            key_file.store.claim(1001, 2)
    assert names(folder) == START


def interrupted(path: Path, act) -> None:
    with suppress(KeyboardInterrupt), open_key_file(path) as key_file:
        act(key_file.store)
        raise KeyboardInterrupt


def test_bytes_taken_before_an_exception_are_lost_and_not_used_again(folder):
    interrupted(folder / "alice.key", lambda store: store.take(5))
    with open_key_file(folder / "alice.key") as key_file:
        assert key_file.store.take(1)[0] == 5


def test_bytes_claimed_before_an_exception_can_be_claimed_again(folder):
    interrupted(folder / "alice.key", lambda store: store.claim(1000, 5))
    with open_key_file(folder / "alice.key") as key_file:
        assert key_file.store.claim(1000, 5) == content()[1000:1005]


def test_looking_into_a_key_file_does_not_write_it(folder):
    before = (folder / "alice.key").stat()
    with open_key_file(folder / "alice.key") as key_file:
        assert key_file.store.left == 968
    assert (folder / "alice.key").stat().st_ino == before.st_ino


def test_after_commit_the_file_on_the_disk_knows(folder):
    with open_key_file(folder / "alice.key") as key_file:
        key_file.store.take(7)
        assert state(folder / "alice.key")["spent"] == []
        key_file.commit()
        assert state(folder / "alice.key")["spent"] == [[0, 7]]
        assert names(folder) == START


def test_a_key_file_is_not_written_after_its_block(folder):
    with open_key_file(folder / "alice.key") as key_file:
        pass
    key_file.store.take(1)
    before = (folder / "alice.key").read_bytes()
    with (folder / "log").open("w") as log, pytest.raises(RuntimeError, match="that has ended"):
        key_file.commit()
    assert log.closed
    assert (folder / "alice.key").read_bytes() == before


def test_a_link_to_a_key_file_leads_to_the_one_state(folder):
    (folder / "link").symlink_to(folder / "alice.key")
    with open_key_file(folder / "link") as key_file:
        key_file.store.take(3)
    assert (folder / "link").is_symlink()
    assert state(folder / "alice.key")["spent"] == [[0, 3]]


def test_sentences_name_a_key_file_as_it_was_named(folder, monkeypatch):
    monkeypatch.chdir(folder)
    Path("link").symlink_to("damaged.key")
    Path("damaged.key").write_text("{}")
    for name in ("damaged.key", "link", "./damaged.key"):
        for use in (read_key_file, lambda name: open_key_file(name).__enter__()):
            with pytest.raises(ValueError) as refusal:
                use(name)
            assert str(refusal.value).startswith(f"`{Path(name)}` must be a readable key file")
    with open_key_file("alice.key") as key_file:
        assert repr(key_file).startswith("KeyFile('alice.key', ")


def test_a_key_file_with_two_names_is_refused(folder):
    os.link(folder / "alice.key", folder / "second")
    with (
        pytest.raises(ValueError, match="key file with one name"),
        open_key_file(folder / "alice.key"),
    ):
        pass


def test_what_a_killed_process_left_is_cleared_away(folder):
    (folder / ".e91-alice.key.new").write_bytes(b"half a st")  # as version 0.1 left it
    (folder / ".e91-0123456789abcdef").write_bytes(b"half a plaintext")
    with open_key_file(folder / "alice.key") as key_file:
        key_file.store.take(3)
    assert names(folder) == START


def test_a_failure_after_key_is_used_up_says_so_and_what_is_there(folder, monkeypatch):
    full, flush = OSError(28, "No space left on device"), durable.flush_folder
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", failing(full))
        patch.setattr(durable, "create", failing_for(folder / "cipher", full))
        with pytest.raises(WriteFailed, match=r"; 49 bytes of `.*alice.key` are used up") as caught:
            encrypt_here(folder)
    assert caught.value.filename == str(folder / "cipher")
    assert names(folder) == START

    def failing_for_targets(place: Path) -> None:
        if (place / "second").exists():
            raise full
        flush(place)

    monkeypatch.setattr(durable, "flush_folder", failing_for_targets)
    with pytest.raises(WriteFailed, match=r"it is there and whole, .* 49 bytes of .* are used up"):
        encrypt_here(folder, "second")
    assert names(folder) == START | {"second"}
    monkeypatch.undo()
    decrypt_here(folder, source="second")


def failing_for(path: Path, error: OSError):
    """Let `durable.create` fail for one path only."""
    create = durable.create

    def creating(name: Path, *, mode: int) -> object:
        if name == path:
            raise error
        return create(name, mode=mode)

    return creating


# ---- damaged files

DAMAGE = {
    "empty": b"",
    "no text": b"\xff\xfe\x00" + content(50),
    "no JSON": b"{" + base64.b64encode(content(90)),
    "half": None,
    "no object": b"[1, 2]",
    "null": b"null",
    "deep": b"[" * 100_000,
    "no field": {"size": ...},
    "extra field": {"more": 1},
    "format": {"format": "other"},
    "version": {"version": 3},
    "format 2 without a digest": {"version": 2},
    "format 1 with a digest": {"sha256": "0" * 64},
    "wrong digest": {"version": 2, "sha256": "0" * 64},
    "version type": {"version": True},
    "owner": {"owner": content(20).hex()},
    "security": {"security": content(20).hex()},
    "key id": {"key_id": content(20).hex()},
    "epsilon": {"epsilon": 2.0},
    "epsilon type": {"epsilon": "1e-10"},
    "epsilon nan": {"epsilon": float("nan")},
    "size": {"size": 10**18},
    "size of all memory": {"size": 2**26 + 1},
    "size zero": {"size": 0},
    "size less": {"size": SIZE - 1},
    "size type": {"size": "2000"},
    "share": {"alice_share": SIZE + 1},
    "share below": {"alice_share": -1},
    "spent type": {"spent": [["0", 1]]},
    "spent shape": {"spent": [[0, 1, 2]]},
    "spent order": {"spent": [[5, 2]]},
    "spent mask": {"spent": [[990, 1000]]},
    "spent gap": {"spent": [[1, 2]]},
    "spent more": {"spent": [[0, 2]]},
    "remaining": {"remaining": content(20).hex() + "!"},
    "remaining letters": {"remaining": "é" * 20},
    "remaining less": {"remaining": base64.b64encode(content(1999)).decode()},
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_key_file_is_refused_by_name_and_without_key_bytes(folder, damage):
    path = folder / "alice.key"
    if isinstance(damage, bytes):
        path.write_bytes(damage)
    elif damage is None:
        path.write_bytes(path.read_bytes()[:-700])
    else:
        # As an old file has no digest, every other check must find what it is there to find.
        changed = state(path) | {"version": 1, "sha256": ...} | damage
        path.write_text(json.dumps({k: v for k, v in changed.items() if v is not ...}))
    with pytest.raises(ValueError, match=r"must be a readable key file of E91: .* must ") as caught:
        encrypt_here(folder)
    assert str(path) in str(caught.value)
    assert_silent(caught.value)
    assert names(folder) == START


@pytest.mark.parametrize("size", [80, 81])  # with and without padding of base64
def test_no_bit_of_a_key_file_can_flip_unseen(size):
    bits = np.unpackbits(np.frombuffer(content(size), np.uint8))
    key = SecretKey(bits, KEY_ID, SecurityModel.TRUSTED_ANALYSERS, 1e-10, True)
    store = KeyStore(key, ALICE)
    store.take(3)
    text = encode_key(store.snapshot())
    assert decode_key(text).spent == ((0, 3),)
    for place in range(8 * len(text)):
        damaged = bytearray(text)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises(ValueError):
            decode_key(bytes(damaged))


def test_a_damaged_key_file_is_refused_and_nothing_is_encrypted(folder):
    path = folder / "alice.key"
    path.write_text(path.read_text().replace('"remaining": "', '"remaining": "A', 1))
    damaged = bytearray(encode_key(make_store(ALICE).snapshot()))
    damaged[-20] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match="digest that it states, but is damaged"):
        encrypt_here(folder)
    assert names(folder) == START


def test_a_small_key_file_asks_for_little_memory(folder):
    size = 2**26
    changed = {"size": size, "alice_share": 32, "spent": [[32, size - 32]], "version": 1}
    small = (
        state(folder / "alice.key") | changed | {"remaining": base64.b64encode(bytes(64)).decode()}
    )
    del small["sha256"]
    (folder / "alice.key").write_text(json.dumps(small))
    tracemalloc.start()
    with pytest.warns(UserWarning, match="no digest"), open_key_file(folder / "alice.key"):
        most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 400_000_000


def test_a_key_that_no_file_would_give_back_is_not_written():
    label = replace(make_store(ALICE).label, size=2**26 + 1)
    with pytest.raises(ValueError, match="must have at most 67,108,864 bytes"):
        encode_key(KeyState(label, (), b""))


def test_a_key_file_of_the_first_version_is_read_says_so_and_gets_a_digest(folder):
    path = folder / "alice.key"
    old = state(path) | {"version": 1}
    path.write_text(json.dumps({name: old[name] for name in old if name != "sha256"}))
    with pytest.warns(UserWarning, match="has no digest: damage in it would not be seen"):
        encrypt_here(folder)
    assert state(path)["version"] == 2
    decrypt_here(folder)
    assert (folder / "again").read_bytes() == DATA
    encrypt_here(folder, "second")  # without a warning


def assert_silent(error: BaseException) -> None:
    """Check that neither the error nor one it leads to holds eight key bytes in a row."""
    texts = ["".join(traceback.format_exception(error))]
    link: BaseException | None = error
    while link is not None:
        texts.append(repr(link.args) + repr(vars(link)))
        link = link.__context__
    key = content()
    for piece in (key[i : i + 9] for i in range(SIZE - 8)):
        forms = (piece.hex(), base64.b64encode(piece).decode(), repr(piece)[2:-1])
        assert not any(form in text for text in texts for form in forms)


def test_that_check_sees_the_key_in_the_error_of_a_parser(folder):
    text = (folder / "alice.key").read_text()[:-50]
    with pytest.raises(ValueError) as caught:
        json.loads(text)
    with pytest.raises(AssertionError):
        assert_silent(caught.value)


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "unreadable"])
def test_what_cannot_be_read_is_refused_in_one_sentence(folder, kind, monkeypatch):
    path = folder / "thing"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "unreadable":
        path.touch()
        opening = os.open

        def refusing(name: Path, *options: int) -> int:
            if Path(name) == path:
                raise PermissionError(13, "Permission denied")
            return opening(name, *options)

        monkeypatch.setattr(os, "open", refusing)
    for source, key_file, words in (
        (path, folder / "alice.key", "must be a readable, non-empty file, but "),
        (folder / "plain", path, "must be a readable key file of E91, but "),
    ):
        with pytest.raises(ValueError) as caught:
            encrypt_file(source, folder / "cipher", key_file)
        assert str(caught.value).startswith(f"`{path}` {words}")
    assert names(folder) == START | ({"thing"} if kind != "missing" else set())
    assert state(folder / "alice.key")["spent"] == []


# ---- whole files


@pytest.mark.parametrize("cipher", [None, "one-time-pad", "aes-256-gcm"])
@pytest.mark.parametrize("sender", Party)
def test_a_file_reaches_the_peer(folder, cipher, sender):
    keys = {party: folder / f"{party.value}.key" for party in Party}
    sent = encrypt_file(folder / "plain", folder / "cipher", keys[sender], cipher=cipher)
    received = decrypt_file(folder / "cipher", folder / "again", keys[sender.peer])
    assert (folder / "again").read_bytes() == DATA
    used = key_bytes_needed(len(DATA), cipher or "one-time-pad")
    assert sent == received == KeyUse(cipher or "one-time-pad", len(DATA), used, 968 - used)
    assert names(folder) == START | {"cipher", "again"}


def test_a_file_longer_than_the_key_goes_with_aes(folder):
    (folder / "plain").write_bytes(bytes(5000))
    assert encrypt_here(folder).cipher == "aes-256-gcm"
    assert decrypt_here(folder) == KeyUse("aes-256-gcm", 5000, 32, 936)


def test_plaintext_is_private_and_ciphertext_is_as_the_user_wants_it(folder):
    old = os.umask(0o027)
    try:
        encrypt_here(folder)
        decrypt_here(folder)
    finally:
        os.umask(old)
    assert mode(folder / "cipher") == 0o640
    assert mode(folder / "again") == 0o600


def test_an_empty_source_is_refused_and_spends_nothing(folder):
    (folder / "plain").write_bytes(b"")
    for call in (encrypt_here, lambda f: decrypt_here(f, source="plain")):
        with pytest.raises(ValueError, match="plain` must be a readable, non-empty file, but is"):
            call(folder)
    assert names(folder) == START
    assert state(folder / "alice.key")["spent"] == []


def test_a_target_that_exists_is_left_alone_and_nothing_is_spent(folder):
    encrypt_here(folder)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    for call in (encrypt_here, lambda f: decrypt_here(f, target="plain")):
        with pytest.raises(ValueError, match="must not exist yet, but does"):
            call(folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_target_that_appears_meanwhile_is_left_alone(folder, monkeypatch):
    link = os.link

    def late(source: Path, target: Path) -> None:
        target.write_bytes(b"somebody else's")
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(ValueError, match="cipher` must not exist yet, but does"):
        encrypt_here(folder)
    assert (folder / "cipher").read_bytes() == b"somebody else's"
    assert names(folder) == START | {"cipher"}


def test_a_file_system_without_hard_links_serves_too(folder, monkeypatch):
    monkeypatch.setattr(os, "link", failing(PermissionError(1, "Operation not permitted")))
    encrypt_here(folder)
    decrypt_here(folder)
    assert (folder / "again").read_bytes() == DATA
    assert mode(folder / "again") == 0o600
    assert names(folder) == START | {"cipher", "again"}
    write = durable.new_file(folder / "late", mode=0o600)
    write.__enter__()(b"mine")
    (folder / "late").write_bytes(b"another")
    with pytest.raises(ValueError, match="must not exist"):
        write.__exit__(None, None, None)
    assert (folder / "late").read_bytes() == b"another"


def test_an_altered_file_is_refused_spends_nothing_and_leaves_nothing(folder):
    encrypt_here(folder)
    altered = bytearray((folder / "cipher").read_bytes())
    altered[40] ^= 1
    (folder / "altered").write_bytes(altered)
    before = (folder / "bob.key").read_bytes()
    for source in ("altered", "plain", "bob.key"):
        with pytest.raises(AuthenticationFailed, match="must be authentic under this key"):
            decrypt_here(folder, source=source)
    assert (folder / "bob.key").read_bytes() == before
    assert names(folder) == START | {"cipher", "altered"}
    decrypt_here(folder)


def test_a_file_is_decrypted_once(folder):
    encrypt_here(folder)
    decrypt_here(folder)
    with pytest.raises(KeyUnavailable, match="used already"):
        decrypt_here(folder, target="third")
    assert not (folder / "third").exists()


def test_too_little_key_leaves_everything_as_it_was(folder):
    (folder / "plain").write_bytes(bytes(937))
    before = (folder / "alice.key").read_bytes()
    with pytest.raises(KeyUnavailable, match="969 key bytes must be left to alice, but 968 are"):
        encrypt_here(folder, cipher="one-time-pad")
    assert (folder / "alice.key").read_bytes() == before
    assert names(folder) == START


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_full_disk_or_an_interrupt_leaves_no_half_file(folder, monkeypatch, error):
    encrypt_here(folder)
    before = (folder / "bob.key").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", failing(error))
        with pytest.raises(type(error)):
            decrypt_here(folder)
        with pytest.raises(type(error)):
            encrypt_here(folder, target="other")
    assert names(folder) == START | {"cipher"}
    assert (folder / "bob.key").read_bytes() == before
    decrypt_here(folder)  # nothing was lost


def test_a_disk_that_takes_a_few_bytes_at_a_time_gets_them_all(folder, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    encrypt_here(folder)
    decrypt_here(folder)
    assert (folder / "again").read_bytes() == DATA


def steps(folder: Path, monkeypatch: pytest.MonkeyPatch, act) -> list[str]:
    """What ``act`` does to the disk, in order; ``new`` is the key file, ``out`` the target."""
    done: list[str] = []
    opened: dict[int, str] = {}
    opening, write, fsync, replace, link = os.open, os.write, os.fsync, os.replace, os.link

    def short(path: object) -> str:
        name = Path(str(path)).name
        return "folder" if name == folder.name else "new" if name.endswith(".new") else "out"

    def open_noted(path: object, *options: int) -> int:
        descriptor = opening(path, *options)
        opened[descriptor] = short(path)
        return descriptor

    def noted(word: str, function, key=lambda first: opened[first]):
        def call(first, *others):
            result = function(first, *others)
            done.append(f"{word} {key(first)}")
            return result

        return call

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", open_noted)
        patch.setattr(os, "write", noted("write", write))
        patch.setattr(os, "fsync", noted("flush", fsync))
        patch.setattr(os, "replace", noted("name", replace, short))
        patch.setattr(os, "link", noted("name", link, short))
        act(folder)
    return done


KEY_STEPS = ["write new", "flush new", "name new", "flush folder"]


def test_the_key_file_is_safe_on_the_disk_before_any_ciphertext_is_written(folder, monkeypatch):
    done = steps(folder, monkeypatch, encrypt_here)
    assert done == [*KEY_STEPS, "write out", "flush out", "name out", "flush folder"]


def test_the_key_file_is_safe_on_the_disk_before_the_plaintext_gets_its_name(folder, monkeypatch):
    encrypt_here(folder)
    done = steps(folder, monkeypatch, decrypt_here)
    assert done == ["write out", "flush out", *KEY_STEPS, "name out", "flush folder"]


# ---- crashes: the process dies before its k-th system call, for every k


class Died(BaseException):
    """The end of a process; it makes no further system call, not even to clean up."""


def dying_before(call: int, patch: pytest.MonkeyPatch) -> None:
    made = 0

    def counted(function):
        def counting(*arguments: object, **options: object) -> object:
            nonlocal made
            made += 1
            if made >= call:
                raise Died
            return function(*arguments, **options)

        return counting

    for name in ("open", "write", "fsync", "link", "replace", "unlink"):
        patch.setattr(os, name, counted(getattr(os, name)))


def ranges(folder: Path) -> list[range]:
    """The key bytes of every ciphertext that can be found, under whatever name."""
    found = {}
    for path in folder.iterdir():
        text = path.read_bytes()
        if text.startswith(b"\x89E91\n") and len(text) > 48:
            header = read_header(text)
            size = key_bytes_needed(len(text) - 48, header.cipher)
            found[text] = range(header.offset, header.offset + size)
    return list(found.values())


def assert_disjoint(parts: list[range]) -> None:
    seen = [offset for part in parts for offset in part]
    assert len(set(seen)) == len(seen)


def run_until_death(folder: Path, monkeypatch: pytest.MonkeyPatch, call: int, act) -> bool:
    with monkeypatch.context() as patch:
        dying_before(call, patch)
        try:
            act(folder)
        except Died:
            return True
    return False


CALLS = range(1, 40)


@pytest.mark.parametrize("call", CALLS)
def test_a_crash_at_any_step_of_encryption_never_lets_key_be_used_again(folder, monkeypatch, call):
    died = run_until_death(folder, monkeypatch, call, encrypt_here)
    assert died or (folder / "cipher").exists()
    encrypt_here(folder, target="after")
    encrypt_here(folder, target="short", cipher="aes-256-gcm")
    assert len(ranges(folder)) >= 2
    assert_disjoint(ranges(folder))


@pytest.mark.parametrize("call", CALLS)
def test_a_crash_at_any_step_of_decryption_loses_at_most_the_message(folder, monkeypatch, call):
    encrypt_here(folder)
    died = run_until_death(folder, monkeypatch, call, decrypt_here)
    spent = state(folder / "bob.key")["spent"] != []
    if (folder / "again").exists():
        assert (folder / "again").read_bytes() == DATA
        assert spent
    assert died or (folder / "again").exists()
    if spent:
        with pytest.raises(KeyUnavailable):
            decrypt_here(folder, target="third")
    else:
        decrypt_here(folder, target="third")
        assert (folder / "third").read_bytes() == DATA


def test_these_crashes_cover_every_step(folder, monkeypatch):
    assert run_until_death(folder, monkeypatch, 10, lambda f: encrypt_here(f, "first"))
    assert not run_until_death(folder, monkeypatch, CALLS[-1], encrypt_here)
    assert run_until_death(folder, monkeypatch, 10, lambda f: decrypt_here(f, "first"))
    assert not run_until_death(folder, monkeypatch, CALLS[-1], decrypt_here)


# ---- races


def encrypt_many(folder: str, worker: int) -> None:
    for number in range(6):
        encrypt_here(Path(folder), target=f"cipher-{worker}-{number}")


def test_processes_that_share_a_key_file_never_use_the_same_bytes(folder):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=encrypt_many, args=(str(folder), n)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    used = ranges(folder)
    assert len(used) == 18
    assert_disjoint(used)
    for path in sorted(folder.glob("cipher-*"), reverse=True):
        with open_key_file(folder / "bob.key") as bob:
            assert decrypt(path.read_bytes(), bob.store) == DATA


@pytest.mark.parametrize("commits", [0, 1, 2])
def test_others_wait_until_the_block_ends_and_not_only_until_a_commit(folder, commits):
    order = []

    def other() -> None:
        with open_key_file(folder / "alice.key") as key_file:
            order.append(("other", key_file.store.take(1)[0]))

    with open_key_file(folder / "alice.key") as key_file:
        waiting = threading.Thread(target=other)
        waiting.start()
        for _ in range(commits):
            key_file.store.take(1)
            key_file.commit()
        late = threading.Thread(target=other)  # it opens the file that the commit has made
        late.start()
        late.join(0.2)
        order.append(("first", key_file.store.take(1)[0]))
    for thread in (waiting, late):
        thread.join(10)
        assert not thread.is_alive()
    assert order == [("first", commits), ("other", commits + 1), ("other", commits + 2)]


def test_a_key_file_shows_only_lengths(folder):
    with open_key_file(folder / "alice.key") as key_file:
        encrypt(DATA, key_file.store)
        shown = repr(key_file)
    assert shown == (
        f"KeyFile({str(folder / 'alice.key')!r}, KeyStore(alice, 919 of 968 bytes left "
        "to send, 968 of 968 to receive))"
    )
