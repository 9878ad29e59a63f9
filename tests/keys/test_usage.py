"""The ledger: each key once per role, by whatever process, and safe before anything leaves."""

import multiprocessing
import os
import sqlite3
import stat
from contextlib import closing
from dataclasses import replace
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e91.keys.usage import KeyUsage, UsageLedger, usage_ledger_file
from e91.model.errors import KeyUnavailable
from e91.system.durable import WriteFailed

KEY_ID = "0f0e0d0c-0b0a-4908-8706-050403020100"
USE = KeyUsage(KEY_ID, 100, 132, "sent", "aes-256-gcm", "film.mkv", 1e9, "trusted-analysers",
               1e-10, False, "bob-app")  # fmt: skip


def test_what_was_entered_is_there_when_the_file_is_opened_again(tmp_path):
    others = [replace(USE, start=132, stop=140, epsilon=None), replace(USE, role="received")]
    with UsageLedger(tmp_path / "ledger") as ledger:
        ledger.enter([USE])
        ledger.enter(others)
        ledger.protected(USE, 10**10)
    with UsageLedger(tmp_path / "ledger") as ledger:
        expected = [replace(USE, protected_bytes=10**10), *others]
        assert list(ledger.usages()) == expected
        assert list(ledger.usages(key_id=KEY_ID)) == expected
        assert list(ledger.usages(key_id="another")) == []


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with UsageLedger(tmp_path_factory.mktemp("shared") / "ledger") as ledger:
        yield ledger


@settings(max_examples=25)
@given(st.integers(0, 9), st.integers(1, 9), st.integers(0, 9), st.integers(1, 9))
def test_bytes_that_overlap_are_refused_and_no_others(shared, one, size, other, more):
    first = replace(USE, key_id=str(uuid4()), start=one, stop=one + size)
    second = replace(first, start=other, stop=other + more)
    shared.enter([first])
    if set(range(one, one + size)) & set(range(other, other + more)):
        with pytest.raises(KeyUnavailable, match=r"were sent before, for `film\.mkv`"):
            shared.enter([second])
    else:
        shared.enter([second])
    shared.enter([replace(second, role="received")])


def test_file_that_is_damaged_or_none_is_refused(tmp_path):
    with UsageLedger(tmp_path / "ledger") as ledger:
        ledger.enter([USE])
    with closing(sqlite3.connect(tmp_path / "ledger")) as connection:
        connection.execute("UPDATE usage SET start = 'x'")
        connection.commit()
    with (
        UsageLedger(tmp_path / "ledger") as ledger,
        pytest.raises(ValueError, match="must be a key ledger, but holds an entry that is none"),
    ):
        list(ledger.usages())
    content = bytearray((tmp_path / "ledger").read_bytes())
    content[4096:8192] = bytes(4096)  # the page of the table, of which opening needs nothing
    (tmp_path / "torn").write_bytes(content)
    with pytest.raises(ValueError, match="must be a key ledger, but "):
        UsageLedger(tmp_path / "torn")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="must be a key ledger, but is no regular file"):
        UsageLedger(tmp_path / "pipe")


def test_all_are_entered_or_none(tmp_path):
    with UsageLedger(tmp_path / "ledger") as ledger:
        ledger.enter([USE])
        with pytest.raises(KeyUnavailable):
            ledger.enter([replace(USE, start=0, stop=32), USE])
        assert list(ledger.usages()) == [USE]


def test_only_its_owner_can_read_it(tmp_path):
    with UsageLedger(tmp_path / "new" / "ledger") as ledger:
        assert stat.S_IMODE(ledger.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(ledger.path.parent.stat().st_mode) == 0o700


def enter(path: str, number: int, results) -> None:
    with UsageLedger(path) as ledger:
        won = 0
        for start in range(0, 20 * 32, 32):
            try:
                ledger.enter([replace(USE, start=start, stop=start + 32, name=str(number))])
                won += 1
            except KeyUnavailable:
                pass
        results.put(won)


def test_of_processes_that_enter_the_same_bytes_one_alone_succeeds(tmp_path):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    workers = [
        context.Process(target=enter, args=(str(tmp_path / "ledger"), number, results))
        for number in range(3)
    ]
    for worker in workers:
        worker.start()
    assert sum(results.get(timeout=60) for _ in workers) == 20
    for worker in workers:
        worker.join(timeout=60)
    with UsageLedger(tmp_path / "ledger") as ledger:
        assert len(list(ledger.usages())) == 20


def test_what_is_no_ledger_is_refused(tmp_path):
    (tmp_path / "text").write_bytes(b"no database at all, but long enough for one" * 99)
    with pytest.raises(ValueError, match=r"text` must be a key ledger, but "):
        UsageLedger(tmp_path / "text")


def test_a_later_version_is_refused(tmp_path):
    with sqlite3.connect(tmp_path / "ledger") as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(ValueError, match="must be a key ledger of version 1, but is of 2"):
        UsageLedger(tmp_path / "ledger")


def test_a_place_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="must be a key ledger that can be written, but "):
        UsageLedger(tmp_path / "file" / "ledger")


def test_a_full_disk_is_named_and_leaves_whole_entries(tmp_path):
    with UsageLedger(tmp_path / "ledger") as ledger:
        ledger.enter([USE])
        ledger._connection.execute("PRAGMA max_page_count = 4")  # as if the disk were full
        many = [replace(USE, start=start, stop=start + 1) for start in range(1000, 2000)]
        with pytest.raises(WriteFailed) as caught:
            ledger.enter(many)
        assert caught.value.filename == str(ledger.path)
        assert list(ledger.usages()) == [USE]


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 5), (6, 5)])
def test_an_impossible_use_cannot_be_made(start, stop):
    with pytest.raises(ValueError, match="`start` must be before `stop`"):
        replace(USE, start=start, stop=stop)


def test_the_usual_place_is_in_the_state_folder_of_the_user(monkeypatch, tmp_path):
    monkeypatch.delenv("E91_KEY_LEDGER", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert usage_ledger_file() == tmp_path / "e91" / "key-usage.sqlite"
    monkeypatch.setenv("E91_KEY_LEDGER", str(tmp_path / "mine"))
    assert usage_ledger_file() == tmp_path / "mine"
