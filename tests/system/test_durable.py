"""What a killed process leaves is swept by the next one; what a living one works on stays."""

import os
import signal
import subprocess
import sys

import pytest

from e91.system import durable
from e91.system.durable import new_folder

WORKING = """
import sys, time
from pathlib import Path
from e91.system.durable import new_folder
from e91.system import durable
with new_folder(Path("out")) as folder:
    with durable.new_file(folder / "inside", mode=0o600) as write, \\
         durable.new_file(Path("file"), mode=0o600) as more:
        write(b"key"); more(b"plaintext")
        print("ready", flush=True)
        time.sleep(60)
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def worker(tmp_path):
    """A process that is writing a folder and a file in ``tmp_path``."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKING],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout.readline() == b"ready\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_what_a_living_process_writes_is_left_alone_and_what_a_killed_one_left_is_not(
    tmp_path, worker
):
    before = names(tmp_path)
    assert len(before) == 2
    durable.sweep(tmp_path)
    assert names(tmp_path) == before
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    with new_folder(tmp_path / "next"):
        pass
    assert names(tmp_path) == ["next"]


def test_only_names_of_e91_are_swept_and_those_in_folders_on_demand(tmp_path):
    kept = [".e91-notes", ".e91-0123456789abcdef.txt", "e91-0123456789abcdef", ".hidden"]
    for name in kept:
        (tmp_path / name).write_bytes(b"mine")
    (tmp_path / "run").mkdir()
    left = tmp_path / "run" / ".e91-0123456789abcdef"
    left.mkdir()
    (left / "alice.key").write_bytes(b"key")
    durable.sweep(tmp_path)
    assert left.exists()
    durable.sweep(tmp_path, inside=True)
    assert names(tmp_path) == sorted([*kept, "run"])
    assert names(tmp_path / "run") == []


def test_a_link_is_not_followed_by_the_sweep(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_bytes(b"mine")
    (tmp_path / ".e91-0123456789abcdef").symlink_to(tmp_path / "precious")
    durable.sweep(tmp_path)
    assert (tmp_path / "precious" / "file").exists()


def test_a_folder_is_on_the_disk_before_and_after_it_gets_its_name(tmp_path, monkeypatch):
    done = []
    flush = durable.flush_folder
    monkeypatch.setattr(
        durable, "flush_folder", lambda folder: (done.append(folder.name), flush(folder))
    )
    with new_folder(tmp_path / "out"):
        assert not done
    assert [name.startswith(".e91-") for name in done] == [True, False]
    assert done[1] == tmp_path.name


def test_a_file_that_cannot_be_written_is_named_by_where_it_was_to_be(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    def fill(folder):
        with durable.new_file(folder / "alice.key", mode=0o600) as write:
            write(b"key")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(durable.WriteFailed) as caught, new_folder(tmp_path / "out") as folder:
        fill(folder)
    assert caught.value.filename == str(tmp_path / "out" / "alice.key")
    assert names(tmp_path) == []


def test_what_is_no_failure_to_write_is_not_said_to_be_one(tmp_path):
    with pytest.raises(FileNotFoundError), new_folder(tmp_path / "out"):
        raise FileNotFoundError(2, "No such file or directory", "plain")


def test_a_folder_that_is_there_already_is_said_to_be_there(tmp_path, monkeypatch):
    flush = durable.flush_folder

    def failing(folder):
        if folder == tmp_path:
            raise OSError(5, "Input/output error")
        flush(folder)

    monkeypatch.setattr(durable, "flush_folder", failing)
    sentence = "it is there and whole, but a power failure may undo it"
    with pytest.raises(durable.WriteFailed, match=sentence), new_folder(tmp_path / "out") as folder:
        (folder / "file").write_bytes(b"content")
    assert (tmp_path / "out" / "file").exists()


def test_a_file_swept_before_it_was_locked_is_made_again(tmp_path, monkeypatch):
    """The sweep of another process may fall between making and locking."""
    create, made = durable.create, []

    def creating(path, *, mode):
        file = create(path, mode=mode)
        made.append(path)
        if len(made) == 1:
            durable.sweep(tmp_path)
        return file

    monkeypatch.setattr(durable, "create", creating)
    path, file = durable.create_hidden(tmp_path, mode=0o600)
    assert (len(made), path) == (2, made[1])
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    file.close()


def test_a_file_that_grows_has_its_name_only_when_all_of_it_is_safe(tmp_path, monkeypatch):
    target, flushed = tmp_path / "film", []
    monkeypatch.setattr(durable, "_flush", lambda _: flushed.append(target.exists()))
    with durable.growing_file(target, mode=durable.PUBLIC) as growing:
        for _ in range(5):
            assert growing.write(memoryview(b"frame")) == 5
        assert flushed == []
        growing.flush()
        growing.flush()
        assert flushed == [False]
        growing.write(memoryview(b"end"))
    assert flushed == [False, False, True]  # content again, then the name in the folder
    assert target.read_bytes() == b"frame" * 5 + b"end"


def test_a_file_that_grows_is_gone_if_its_block_fails(tmp_path):
    def fail():
        with durable.growing_file(tmp_path / "film", mode=durable.PUBLIC) as growing:
            growing.write(memoryview(b"frame"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []
