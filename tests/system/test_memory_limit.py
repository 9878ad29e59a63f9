"""Under a limit of memory a command ends in a sentence, and never waits for ever."""

import resource
import subprocess
import sys

import pytest

from e91.system.memory_limit import RoomFirst, room_needed


def run_within(megabytes, *words):
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))

    return subprocess.run(
        [sys.executable, "-m", "e91", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        preexec_fn=limit,
    )


def test_library_is_not_loaded_without_room(monkeypatch):
    assert RoomFirst().find_spec("scipy.linalg", None) is None
    monkeypatch.setattr("e91.system.memory_limit._OF_LIBRARIES", 2**60)
    assert room_needed() > 2**60
    with pytest.raises(MemoryError):
        RoomFirst().find_spec("scipy.linalg", None)
    assert RoomFirst().find_spec("json", None) is None


@pytest.mark.slow
@pytest.mark.parametrize("megabytes", [180, 300, 600, 900])
def test_command_within_too_little_ends_in_a_sentence(megabytes):
    done = run_within(megabytes, "rate", "--chsh", "2.7", "--qber", "0.02")
    sentence = (
        "e91: A command must fit in memory, but there is too little: use fewer rounds, threads or "
        "processes.\n"
    )
    assert (done.returncode, done.stderr) in [(0, ""), (1, sentence)]
