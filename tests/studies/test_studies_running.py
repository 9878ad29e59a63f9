"""Studies run: whoever does it, however often it stops, the result is the same."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_study import ROUNDS, same, small, written

from e91.studies import (
    cluster,
    load_study,
    plan_study,
    read_study,
    study,
    work,
)
from e91.studies import running as journal
from e91.studies.points import PARAMETERS
from e91.studies.sessions import tally_from, tally_of_blocks
from e91.studies.work import CHUNK_JOBS, CHUNK_ROUNDS, chunks_of, fulfil, order_of, versions
from e91.system.processes import cores

# A busy machine may take longer for one order than a study is silent.
pytestmark = pytest.mark.filterwarnings("ignore:A study has finished nothing")


@pytest.fixture
def pairs(monkeypatch):
    """Chunks of two sessions, so that a small study has several."""
    monkeypatch.setattr("e91.studies.work.CHUNK_JOBS", 2)


# Whoever does it ----------------------------------------------------------------------------------


def test_processes_give_what_one_process_gives(pairs):
    plan = small()
    alone = study(plan, seed=1, processes=1)
    assert same(study(plan, seed=1, processes=2), alone)
    assert not same(study(plan, seed=2, processes=1), alone)


def killing(pids):
    """Return a listener that kills one worker when the first chunk is done."""
    killed = []

    def reported(rounds):
        if rounds and not killed:
            killed.append(pids()[0])
            os.kill(killed[0], signal.SIGKILL)

    return reported, killed


@pytest.mark.slow
def test_killed_process_costs_nothing_but_its_work(pairs):
    plan = plan_study({"rounds": ROUNDS, "settings.name": "bbm92"}, repeats=24)
    reported, killed = killing(lambda: [p.pid for p in multiprocessing.active_children()])
    found = study(plan, seed=1, processes=2, on_progress=reported)
    assert killed
    assert same(found, study(plan, seed=1, processes=1))


def deadly(order):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_processes_that_always_die_are_a_sentence(monkeypatch):
    with pytest.raises(ValueError, match="The processes of a study must live"):
        list(cluster.in_processes(deadly, [None], processes=1))


@pytest.mark.slow
def test_script_without_its_main_line_hears_of_it(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from e91.studies import plan_study, study\n"
        "study(plan_study({'rounds': 1000}, repeats=40), processes=2)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert 'must call it under `if __name__ == "__main__":`' in done.stderr.splitlines()[-1]


def test_processes_must_be_as_many_as_there_are_cores():
    for wrong in (0, cores() + 1, True, 1.0):
        with pytest.raises(ValueError, match="`processes` must lie in"):
            study(small(), processes=wrong)


def test_seed_must_be_whole():
    for wrong in (-1, True, 1.5):
        with pytest.raises(ValueError, match="`seed` must be a whole number from 0"):
            study(small(), seed=wrong)


def test_study_beyond_memory_is_refused_before_it_starts(monkeypatch):
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 100}.__getitem__)
    with pytest.raises(ValueError, match="must fit in memory"):
        study(small(), processes=1)


def test_session_that_fails_in_a_worker_names_itself():
    plan = plan_study({"rounds": 1000, "policy.reconciler": "cascade"})
    [chunk] = chunks_of(plan)
    [job] = chunk.jobs
    bad = type(job)(job.point, 0, first=5, blocks=1)
    with pytest.raises(ValueError, match=r"In session 0: `number` must lie in \[0, 0\]"):
        fulfil(work.Order(0, (bad,), 1, versions(), compiled=False))


def test_worker_of_another_version_is_refused():
    [chunk] = chunks_of(plan_study({"rounds": 1000}))
    wanted = tuple((name, "0.0" if name == "numpy" else has) for name, has in versions())
    with pytest.raises(ValueError, match=r"must have numpy 0\.0, with which it was begun, but"):
        fulfil(work.Order(0, chunk.jobs, 1, wanted, compiled=False))


def test_compiled_kernels_change_no_bit():
    [chunk] = chunks_of(plan_study({"rounds": 100_000, "device.visibility": 0.95}))
    before = fulfil(order_of(chunk, root=1, compiled=False))
    after = fulfil(order_of(chunk, root=1, compiled=True))
    assert list(map(tally_from, before)) == list(map(tally_from, after))


# The journal --------------------------------------------------------------------------------------


def stopped_after(count):
    reported = []

    def stop(rounds):
        reported.append(rounds)
        if len(reported) == count + 1:  # the first call is for what the journal had
            raise KeyboardInterrupt

    return stop


def counting(monkeypatch):
    """Count the sessions that are made from here on."""
    made = []

    def counted(point, **options):
        made.append(options["session"])
        return tally_of_blocks(point, **options)

    monkeypatch.setattr(work, "tally_of_blocks", counted)
    return made


def test_stopped_study_goes_on_where_it_ended(pairs, tmp_path, monkeypatch):
    plan, keep = small(), tmp_path / "journal"
    whole = study(plan, seed=4, processes=1)
    with pytest.raises(KeyboardInterrupt):
        study(plan, seed=4, processes=1, keep=keep, on_progress=stopped_after(3))
    made, reported = counting(monkeypatch), []
    assert same(study(plan, processes=1, keep=keep, on_progress=reported.append), whole)
    assert made == [6, 7]  # three chunks of two are in the journal
    assert reported == [6 * ROUNDS, 2 * ROUNDS]
    assert same(study(plan, processes=1, keep=keep), whole)
    assert made == [6, 7]


def test_torn_line_costs_its_chunk_only(pairs, tmp_path):
    plan, keep = small(), tmp_path / "journal"
    whole = study(plan, seed=4, processes=1, keep=keep)
    content = keep.read_bytes()
    for cut in (1, 30, 200, 700):
        keep.write_bytes(content[:-cut])
        assert same(study(plan, processes=1, keep=keep), whole)
        sessions = [json.loads(line[17:]) for line in keep.read_bytes().splitlines()[1:]]
        assert sorted(record["chunk"] for record in sessions) == [0, 1, 2, 3]


def test_torn_first_line_begins_anew(pairs, tmp_path):
    plan, keep = small(), tmp_path / "journal"
    whole = study(plan, seed=4, processes=1, keep=keep)
    keep.write_bytes(keep.read_bytes()[:100])
    assert same(study(plan, seed=4, processes=1, keep=keep), whole)


def test_altered_line_is_not_believed_and_costs_its_chunk_only(pairs, tmp_path, monkeypatch):
    plan, keep = small(), tmp_path / "journal"
    whole = study(plan, seed=4, processes=1, keep=keep)
    lines = keep.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b'"rounds":', b'"rounds":1', 1)
    keep.write_bytes(b"".join(lines))
    made = counting(monkeypatch)
    with pytest.warns(UserWarning, match="has 1 damaged lines; what they kept is done again"):
        assert same(study(plan, processes=1, keep=keep), whole)
    assert len(made) == 2  # the chunk of that line has two sessions


def test_damaged_first_line_is_refused_and_nothing_is_lost(tmp_path):
    plan, keep = small(), tmp_path / "journal"
    study(plan, seed=4, processes=1, keep=keep)
    damaged = bytearray(keep.read_bytes())
    damaged[100] ^= 1
    keep.write_bytes(damaged)
    with pytest.raises(ValueError, match="but its first line is damaged"):
        study(plan, processes=1, keep=keep)
    assert keep.read_bytes() == damaged


def test_changed_plan_does_not_go_on(tmp_path):
    keep = tmp_path / "journal"
    study(small(rounds=1000), processes=1, keep=keep)
    before = keep.read_bytes()
    with pytest.raises(ValueError, match="begun with another plan"):
        study(small(rounds=1000, **{"policy.epsilon": 1e-9}), processes=1, keep=keep)
    assert keep.read_bytes() == before


def test_other_seed_does_not_go_on(tmp_path):
    keep = tmp_path / "journal"
    study(small(rounds=1000), seed=4, processes=1, keep=keep)
    with pytest.raises(ValueError, match=r"The seed must be that of .*, 4, but is 5\."):
        study(small(rounds=1000), seed=5, processes=1, keep=keep)


def test_other_version_does_not_go_on(tmp_path, monkeypatch):
    keep = tmp_path / "journal"
    study(small(rounds=1000), seed=4, processes=1, keep=keep)
    other = tuple((name, "9.9" if name == "numpy" else has) for name, has in versions())
    monkeypatch.setattr(journal, "versions", lambda: other)
    with pytest.raises(ValueError, match=r"numpy .* and here is 9\.9"):
        study(small(rounds=1000), processes=1, keep=keep)


def test_other_chunks_do_not_go_on(tmp_path, monkeypatch):
    keep = tmp_path / "journal"
    study(small(rounds=1000), seed=4, processes=1, keep=keep)
    monkeypatch.setattr(journal, "_CUT", (CHUNK_ROUNDS, CHUNK_JOBS + 1))
    with pytest.raises(ValueError, match="in the chunks it was begun with"):
        study(small(rounds=1000), processes=1, keep=keep)


def test_journal_serves_one_study_at_a_time(tmp_path):
    keep = tmp_path / "journal"
    with (
        journal.open_journal(keep, small(), root=None, fresh=1),
        pytest.raises(ValueError, match="must be free, but another process"),
    ):
        study(small(), processes=1, keep=keep)


@pytest.mark.parametrize("content", [b"a letter\nto a friend\n", b"{}", b"", b"\x00" * 40])
def test_other_files_are_not_taken_for_journals(tmp_path, content):
    keep = tmp_path / "journal"
    keep.write_bytes(content)
    if content:
        with pytest.raises(ValueError, match="must be the journal of a study, but is something"):
            study(small(), processes=1, keep=keep)
        assert keep.read_bytes() == content
    else:
        study(small(), processes=1, keep=keep)


def test_journal_in_no_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must be a folder that can be written"):
        study(small(), processes=1, keep=tmp_path / "none" / "journal")


# Command line -------------------------------------------------------------------------------------

SMALL = """
rounds = 60_000
repeats = 2
settings.name = "bbm92"
[[sweep]]
device.visibility = [0.6, 0.99]
"""


def test_command_writes_the_result_and_removes_the_journal(tmp_path, status):
    file = written(tmp_path, SMALL)
    code, out, err = status("study", file, "--seed", 3, "--json")
    reported = json.loads(out)
    assert (code, err) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scan.nc", "scan.toml"]
    assert reported["root_entropy"] == "3"
    stored = load_study(tmp_path / "scan.nc")
    assert [
        row["secret_bits"] for row in reported["sessions"]
    ] == stored.secret_bits.values.ravel().tolist()
    assert [row["abort"] for row in reported["sessions"]] == ["NO_VIOLATION"] * 2 + [None] * 2
    assert [row["visibility"] for row in reported["sessions"]] == [0.6, 0.6, 0.99, 0.99]


def test_command_prints_a_table(tmp_path, status):
    code, out, _ = status("study", written(tmp_path, SMALL), "--out", tmp_path / "x.nc")
    assert code == 0
    assert "2 of 4 sessions made a key." in out
    assert len(out.splitlines()) == 7


def test_stopped_command_says_what_is_kept_and_goes_on(tmp_path, status, monkeypatch, pairs):
    file = written(tmp_path, SMALL)
    stop = stopped_after(1)
    monkeypatch.setattr("e91.system.progress._ignored", stop)
    code, out, err = status("study", file, "--seed", 3, "--processes", 1)
    assert (code, out) == (1, "")
    assert "120,000 of 240,000 rounds are kept" in err
    assert not (tmp_path / "scan.nc").exists()
    monkeypatch.setattr("e91.system.progress._ignored", lambda rounds: None)
    code, out, err = status("study", file)
    assert code == 0
    plan = read_study(file)
    assert same(load_study(tmp_path / "scan.nc"), study(plan, seed=3, processes=1))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--seed", -1), "`--seed` must not be negative"),
        (("--processes", 0), "`--processes` must lie in"),
        (("--processes", 1, "--scheduler", "x:1"), "`--processes` must not come with"),
        (("--scheduler", "nonsense"), "`nonsense` must be the address of a running Dask scheduler"),
        (("--scheduler", "tcp://127.0.0.1:9"), "must be the address of a running Dask scheduler"),
        (("--out", "/none/such.nc"), "`/none` must be a folder, but is not"),
        (("--out", "/dev/null"), "must end in .nc"),
        (("--out", "scan.csv"), "must end in .nc, for it will be netCDF, but ends in `.csv`"),
    ],
)
def test_bad_option_is_a_sentence_and_writes_nothing(tmp_path, status, options, sentence):
    file = written(tmp_path, SMALL)
    started = time.monotonic()
    code, out, err = status("study", file, *options)
    assert (code, out) == (2, "")
    assert sentence in err
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == [file]
    assert time.monotonic() - started < 25  # Dask's own patience is 30 s


def test_result_that_exists_stays(tmp_path, status):
    file = written(tmp_path, SMALL)
    (tmp_path / "scan.nc").write_text("mine")
    code, _, err = status("study", file)
    assert (code, (tmp_path / "scan.nc").read_text()) == (2, "mine")
    assert "must not exist yet" in err


DOCS = (Path(__file__).parents[2] / "docs" / "studies.md").read_text()


@pytest.mark.slow
def test_documented_example_prints_what_the_page_says(tmp_path, status):
    example = DOCS.split("```toml\n")[1].split("```")[0]
    code, out, _ = status("study", written(tmp_path, example), "--seed", 1)
    head, first, last = DOCS.split("```text\n")[1].split("```")[0].splitlines()
    lines = out.splitlines()
    assert (code, lines[0], lines[1], lines[20]) == (0, head, first, last)


def test_page_lists_every_parameter_and_variable():
    found = study(plan_study({"rounds": 1000}), processes=1)
    for name, known in PARAMETERS.items():
        assert f"| `{name}` |" in DOCS
        assert f"| {known.unit} | {known.meaning} |" in DOCS
    for name, variable in found.data_vars.items():
        unit, meaning = variable.attrs.get("units", ""), variable.attrs["long_name"]
        assert f"| `{name}` | {unit} | {meaning} |" in DOCS


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_command_that_is_ended_leaves_no_process_and_goes_on(tmp_path, how):
    """After SIGKILL nobody tidies up: workers must notice, and the journal must hold."""
    file = written(tmp_path, "rounds = 1e6\nrepeats = 200\n")
    command = [sys.executable, "-m", "e91", "study", str(file), "--seed", "3", "--processes", "2"]
    # Behind an ampersand a child inherits that it ignores interrupts.
    running = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    journal_file = tmp_path / "scan.nc.journal"
    while not (journal_file.exists() and journal_file.read_bytes().count(b"\n") > 2):
        time.sleep(0.05)
        assert running.poll() is None
    workers = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    assert len(workers) >= 2
    # A terminal sends Ctrl-C to all processes of the command.
    (os.killpg if how == signal.SIGINT else os.kill)(running.pid, how)
    complaint = running.communicate()[1]
    if how == signal.SIGINT:
        assert running.returncode == 1
        assert complaint.startswith("e91: The study was stopped; ")
        assert len(complaint.splitlines()) == 1
    ends = time.monotonic() + 20
    while any(is_running(worker) for worker in workers):
        assert time.monotonic() < ends
        time.sleep(0.05)
    assert journal_file.read_bytes().count(b"\n") < 14  # it was stopped before the end
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    plan = read_study(file)
    assert same(load_study(tmp_path / "scan.nc"), study(plan, seed=3, processes=1))


def is_running(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
