"""Joined keys: the same at both ends, claiming no more than the weakest; no kill loses a byte."""

import os
import signal
import stat
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from e91.encryption.cipher import decrypt_file, encrypt_file
from e91.keys.files import open_key_file, read_key_file, save_new
from e91.keys.joining import join_key_files
from e91.keys.store import KeyStore
from e91.model.messages import Party
from e91.model.records import SecretKey
from e91.model.trust import SecurityModel

SIZES = 150, 201
CONTENT = [np.random.default_rng(number).bytes(size) for number, size in enumerate(SIZES)]
PLAIN = SecretKey([0] * 8, "0" * 8 + "-0000-4000-8000-" + "0" * 12,
                  SecurityModel.DEVICE_INDEPENDENT, 1e-10, False, "a", "coherent attacks",
                  True)  # fmt: skip
CLAIMS = "security", "epsilon", "reproducible", "theorem", "attacks", "bell_test"


def key(number: int, **claims: object) -> SecretKey:
    bits = np.unpackbits(np.frombuffer(CONTENT[number], np.uint8))
    # Identifiers against the order of the numbers, as the sum has their order.
    name = f"{9 - number}0000000-0000-4000-8000-000000000000"
    known = {claim: getattr(PLAIN, claim) for claim in CLAIMS}
    return SecretKey(bits, name, **(known | claims))


def stored(folder: Path, party: Party = Party.ALICE, **claims: object) -> list[Path]:
    """Two key files; the last one claims something else."""
    folder.mkdir(exist_ok=True)
    files = [folder / f"{number}.key" for number in range(len(SIZES))]
    for number, file in enumerate(files):
        special = claims if number == len(files) - 1 else {}
        save_new(KeyStore(key(number, **special), party), file)
    return files


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def joined_content() -> bytes:
    """The sum, written out: all of Alice's shares, then all of Bob's, by identifier."""
    parts = CONTENT[::-1]
    halves = [(part[: len(part) // 2], part[len(part) // 2 :]) for part in parts]
    return b"".join(a for a, _ in halves) + b"".join(b for _, b in halves)


def test_sum_holds_every_byte_of_its_parts_and_they_are_gone(tmp_path):
    label = join_key_files(stored(tmp_path), tmp_path / "sum.key")
    assert names(tmp_path) == {"sum.key"}
    state = read_key_file(tmp_path / "sum.key")
    assert (state.label, state.spent, state.remaining) == (label, (), joined_content())
    assert label.size == sum(SIZES)
    assert label.alice_share == sum(size // 2 for size in SIZES)
    assert stat.S_IMODE((tmp_path / "sum.key").stat().st_mode) == 0o600


def test_both_ends_have_one_key_whatever_the_order_of_their_files(tmp_path):
    alice = join_key_files(stored(tmp_path / "a"), tmp_path / "a.key")
    bob = join_key_files(stored(tmp_path / "b", Party.BOB)[::-1], tmp_path / "b.key")
    assert alice == replace(bob, owner=Party.ALICE)
    (tmp_path / "plain").write_bytes(b"hello")
    encrypt_file(tmp_path / "plain", tmp_path / "cipher", tmp_path / "a.key")
    decrypt_file(tmp_path / "cipher", tmp_path / "again", tmp_path / "b.key")
    assert (tmp_path / "again").read_bytes() == b"hello"


@pytest.mark.parametrize(
    ("claims", "found"),
    [
        ({}, {"epsilon": 2e-10, "bell_test": True, "reproducible": False}),
        ({"epsilon": 0.5}, {"epsilon": 0.5 + 1e-10}),
        ({"epsilon": 1.0}, {"epsilon": 1.0}),
        ({"epsilon": None}, {"epsilon": None}),
        ({"reproducible": True}, {"reproducible": True}),
        ({"security": SecurityModel.TRUSTED_ANALYSERS},
         {"security": SecurityModel.TRUSTED_ANALYSERS}),
        ({"attacks": "collective attacks"}, {"attacks": "collective attacks"}),
        ({"attacks": "some attacks"}, {"attacks": None}),
        ({"attacks": None}, {"attacks": None}),
        ({"theorem": "b"}, {"theorem": "a, b"}),
        ({"theorem": None}, {"theorem": None}),
        ({"bell_test": False}, {"bell_test": False}),
        ({"bell_test": None}, {"bell_test": None}),
    ],
)  # fmt: skip
def test_sum_claims_no_more_than_its_weakest_part(tmp_path, claims, found):
    label = join_key_files(stored(tmp_path, **claims), tmp_path / "sum.key")
    assert {name: getattr(label, name) for name in found} == pytest.approx(found)


def refused(files, target, match):
    before = {path: path.read_bytes() for path in files[0].parent.iterdir()}
    with pytest.raises(ValueError, match=match):
        join_key_files(files, target)
    assert {path: path.read_bytes() for path in files[0].parent.iterdir()} == before


def test_wrong_sources_are_refused_and_stay_as_they_are(tmp_path, monkeypatch):
    files = stored(tmp_path)
    target = tmp_path / "sum.key"
    refused(files[:1], target, "at least two key files, but has 1")
    refused([files[0], files[1], files[0]], target, "one twice")
    refused([files[0], tmp_path / "none"], target, "no such file")
    refused(files, files[0], "must not exist yet")
    refused(files, Path("/"), "`/` must not exist yet, but does")
    refused([files[0], Path("/")], target, "`/` must be a readable key file")
    copy = tmp_path / "copy"
    copy.write_bytes(files[0].read_bytes())
    refused([*files, copy], target, "two are of one")
    save_new(KeyStore(key(1), Party.BOB), tmp_path / "bob.key")
    refused([files[0], tmp_path / "bob.key"], target, "one owner")
    with open_key_file(files[1]) as opened:
        opened.store.take(1)
    refused(files, target, "1.key` must be unused to be joined, but 1 bytes are used")
    monkeypatch.chdir(tmp_path)
    refused([Path("0.key"), Path("1.key")], "sum.key", "^`1.key` must be unused to be joined")


def test_target_that_cannot_be_written_leaves_the_sources_their_names(tmp_path):
    files = stored(tmp_path)
    refused(files, tmp_path / "0.key" / "sum.key", "must be a folder that can be written")


def openable(folder: Path) -> list[bytes]:
    """What can be opened as a key file holds, each."""
    found = []
    for path in sorted(folder.iterdir()):
        try:
            with open_key_file(path) as opened:
                found.append(opened.store.snapshot().remaining)
        except ValueError:
            # A hidden file is swept when a key file beside it is opened; a target that still has
            # its first name, too, is refused as a hard link.
            is_last_step = path.name == "sum.key" and path.stat().st_nlink == 2
            assert path.name.endswith(".joining") or is_last_step or not path.exists(), path
    return found


def killed_after(step: int, files: list[Path], target: Path) -> bool:
    """Join in a child that is killed before its ``step``th change on the disk; False if it ends."""
    child = os.fork()
    if not child:
        steps = count(1)

        def dying(function):
            def call(*arguments, **options):
                if next(steps) == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments, **options)

            return call

        for name in ("link", "rename", "replace", "unlink", "fsync", "write"):
            setattr(os, name, dying(getattr(os, name)))
        for name in ("rename", "unlink", "replace"):  # pathlib may have bound its own
            setattr(Path, name, dying(getattr(Path, name)))
        join_key_files(files, target)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_kill_at_any_moment_loses_no_byte_and_makes_none_twice(tmp_path):
    for step in range(1, 200):
        folder = tmp_path / str(step)
        files = stored(folder)
        target = folder / "sum.key"
        was_killed = killed_after(step, files, target)
        left = openable(folder)
        parts = [content for content in left if content in CONTENT]
        assert len(parts) == len(left) or left == [joined_content()]
        # Called again, the join goes on; if it was at its end there is nothing left to do.
        if (target.with_name("sum.key.joining").exists()) or not target.exists():
            join_key_files(files, target)
        assert openable(folder) == [joined_content()]
        assert names(folder) == {"sum.key"}
        if not was_killed:
            break
    assert step > 20


def test_another_join_does_not_take_up_what_a_killed_one_left(tmp_path):
    files = stored(tmp_path)
    for step in range(1, 100):
        folder = tmp_path / str(step)
        files = stored(folder)
        assert killed_after(step, files, folder / "sum.key")
        if list(folder.glob("*.key.joining")) and not list(folder.glob("?.key")):
            break
    with pytest.raises(ValueError, match="no such file"):
        join_key_files(files, folder / "other.key")
    with (
        pytest.raises(ValueError, match="part of a join that was stopped"),
        open_key_file(folder / "sum.key.joining"),
    ):
        pass
    join_key_files(files, folder / "sum.key")
    assert openable(folder) == [joined_content()]
