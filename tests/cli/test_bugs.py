"""A bug shows as a bug; what a user did wrong, and what the world did, is one sentence."""

import errno

import numpy as np
import pytest

from e91.system.durable import WriteFailed

RUN = ["run", "--device", "exact", "--rounds", "100000", "--seed", "1"]


def planted(source, module="e91.planted"):
    """A function as it would be if ``source`` were its body, in a module of the library."""
    lines = "\n    ".join(source.splitlines())
    namespace = {"__name__": module, "np": np}
    exec(f"def bug(*arguments, **options):\n    {lines}", namespace)
    return namespace["bug"]


BUGS = {
    "a kernel's array is no truth value": (
        "e91.session.verdict.chsh.estimate",
        "return 1 if np.zeros(2) else 2",
        "ValueError: The truth value",
    ),
    "NumPy refuses what a kernel does": (
        "e91.session.verdict.chsh.estimate",
        "return np.zeros(2) + np.zeros(3)",
        "ValueError: operands could not be",
    ),
    "a command unpacks too much": (
        "e91.cli.policy_options.Policy",
        "a, b = 1, 2, 3",
        "ValueError: too many values",
    ),
    "a command reads a word as a number": (
        "e91.cli.policy_options.Policy",
        "return int('x')",
        "ValueError: invalid literal",
    ),
    "a connection breaks": (
        "e91.cli.policy_options.Policy",
        f"raise ConnectionResetError({errno.ECONNRESET}, 'Connection reset by peer')",
        "ConnectionResetError",
    ),
    "a foreign module refuses": (
        "e91.cli.policy_options.Policy",
        "import json\njson.loads('{')",
        "JSONDecodeError",
    ),
}


def shows_a_bug(status, complaint, said):
    lines = complaint.splitlines()
    assert status == 1
    assert "Traceback (most recent call last):" in lines
    assert any(said in line for line in lines)
    assert lines[-1].startswith("e91: This is a bug: please report it")
    return lines[-1]


@pytest.mark.parametrize("name", BUGS)
def test_bug_shows_a_traceback_and_how_to_report_it(status, monkeypatch, name):
    place, source, said = BUGS[name]
    monkeypatch.setattr(place, planted(source))
    code, printed, complaint = status(*RUN)
    last = shows_a_bug(code, complaint, said)
    assert printed == ""
    assert last.endswith("the command: e91 run --device exact --rounds 100000 --seed 1")


def test_key_missing_in_a_reader_is_a_bug(status, monkeypatch, tmp_path):
    file = tmp_path / "study.toml"
    file.write_text("rounds = 1000\n")
    monkeypatch.setattr("e91.studies.plan.plan_study", planted("return {}['rounds']"))
    code, _, complaint = status("study", file)
    shows_a_bug(code, complaint, "KeyError: 'rounds'")


def test_bug_in_a_file_of_keys_is_no_damaged_file(status, monkeypatch, tmp_path):
    session = tmp_path / "session"
    assert status(*RUN, "--out", session)[0] == 0
    monkeypatch.setattr("e91.keys.files.decode_key", planted("return int('x')"))
    letter = tmp_path / "letter"
    letter.write_text("hello")
    code, _, complaint = status("encrypt", letter, "--key", session / "alice.key")
    shows_a_bug(code, complaint, "invalid literal")


@pytest.mark.parametrize("processes", [1, 2])
def test_refusal_of_a_worker_is_one_sentence(status, tmp_path, processes, monkeypatch):
    file = tmp_path / "study.toml"
    file.write_text("rounds = 100000\nrepeats = 2\n")
    # As if the workers' packages were others than those of this process.
    wrong = (("e91", "9.9"),)
    monkeypatch.setattr("e91.studies.work.versions", lambda: wrong)
    if processes == 1:
        monkeypatch.setattr("e91.studies.work.check_versions", planted("raise ValueError('No.')"))
    code, _, complaint = status("study", file, "--processes", processes)
    assert (code, complaint.count("\n")) == (2, 1)


def test_bug_of_a_worker_shows(status, tmp_path, monkeypatch):
    file = tmp_path / "study.toml"
    file.write_text("rounds = 100000\nrepeats = 2\n")
    monkeypatch.setattr("e91.studies.work.versions", lambda: (("e91",),))
    code, _, complaint = status("study", file, "--processes", 2)
    shows_a_bug(code, complaint, "ValueError: not enough values to unpack")


@pytest.mark.parametrize("wrong", [["--rounds", "0"], ["--visibility", "2"], ["--unheard", "of"]])
def test_wrong_option_is_one_sentence_and_status_two(status, wrong):
    code, printed, complaint = status(*RUN, *wrong)
    assert (code, printed, complaint.count("\n")) == (2, "", 1)
    assert complaint.startswith("e91: ")


def test_failed_write_names_its_file(status, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("e91.system.durable._write_out", full)
    target = tmp_path / "session"
    code, _, complaint = status(*RUN, "--out", target)
    assert (code, complaint) == (
        1,
        f"e91: {target}/alice.key must be writable to its end, but no space left on device.\n",
    )
    assert not target.exists()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("can't start new thread"),
        ImportError("libopenblas.so: failed to map segment from shared object"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("std::bad_alloc"),
    ],
)
def test_want_of_memory_is_a_sentence_whoever_says_it(status, monkeypatch, error):
    def starved(*_, **__):
        raise error

    monkeypatch.setattr("e91.session.session.measure", starved)
    code, printed, complaint = status(*RUN)
    assert (code, printed) == (1, "")
    assert complaint == (
        "e91: A command must fit in memory, but there is too little: use fewer rounds, threads or "
        "processes.\n"
    )


def test_other_errors_of_the_same_types_stay_bugs(status, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("dictionary changed size during iteration")

    monkeypatch.setattr("e91.session.session.measure", broken)
    code, _, complaint = status(*RUN)
    shows_a_bug(code, complaint, "RuntimeError: dictionary changed size during iteration")


def test_failed_write_is_an_os_error_that_knows_its_file():
    failed = WriteFailed(errno.ENOSPC, "No space left on device", "x.key")
    assert isinstance(failed, OSError)
    assert failed.filename == "x.key"


def test_folder_in_place_of_a_file_is_a_sentence(status):
    code, printed, complaint = status("encrypt", "/", "--key", "nowhere")
    assert (code, printed, complaint.count("\n")) == (2, "", 1)


def test_name_that_is_too_long_is_a_sentence(status):
    code, _, complaint = status(*RUN, "--out", "a" * 300)
    assert (code, complaint) == (
        2,
        f"e91: `{'a' * 300}` must be an empty folder, but: File name too long.\n",
    )


def test_count_of_400_digits_is_a_sentence(status):
    code, _, complaint = status("bell", "--rounds", 100, "--wins", "9" * 400)
    assert (code, complaint[:47]) == (2, "e91: `--wins` must be a whole number of at most")


@pytest.mark.parametrize(
    "line",
    [
        ["key", "join", "a.key", "b.key", "--out"],
        ["key", "info"],
        ["encrypt", "a.txt", "--key", "a.key", "--out"],
        ["run", "--device", "exact", "--rounds", "1000", "--out"],
        ["run", "--device", "exact", "--rounds", "1000", "--figure"],
        ["analyse"],
        ["bell", "--counts"],
        ["network", "check"],
        ["experiment", "show"],
        ["study"],
        ["rate", "--link"],
    ],
    ids=" ".join,
)
def test_name_that_no_file_can_have_is_one_sentence(line, status, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, complaint = status(*line, "x" * 300 + ".png")
    assert (code, complaint.count("\n")) == (2, 1)
    assert complaint.startswith("e91: ")
    assert len(complaint) < 700
