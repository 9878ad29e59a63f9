"""The benchmark: its clock, its table, its peers, and that every stage does its work."""

import json
import os
import sys
from dataclasses import replace

import numpy as np
import pytest
from statistical import assert_binomial

from benchmarks import stages as bench_stages
from benchmarks import timing, work
from benchmarks.aer_alone import (
    SETTINGS,
    aer_counts,
    aer_pair_by_pair,
    attacked_circuits,
    attacked_sampler,
)
from benchmarks.machine import headed, machine, whole_process
from benchmarks.peers import (
    belief_propagation,
    faster,
    one_piece,
    randextract,
    tno_cascade,
)
from benchmarks.stages import FULL, QUICK, Effort, stages
from benchmarks.table import aligned
from benchmarks.timing import Peer, Row, Stage, Timing, rows_of, shared_out, timed
from benchmarks.work import best_settings, draw_and_pack, noisy_keys, numpy_only
from e91 import cli
from e91.devices.exact import outcome_table
from e91.model.messages import Channel, Party
from e91.model.records import SiftedKey

TINY = Effort(2, 900, 3, 10_000, 2_000, 1_000, 2, 2**18, 2**20, 100_000, 1)
CONTRACT = {"stage", "size", "seconds", "rate", "unit", "peer", "ratio"}
OURS = Timing((0.5, 0.25, 1.0), (20.0, 40.0, 10.0))


def toeplitz_by_definition(bits, length, seed):
    n = len(bits)
    matrix = np.array([[seed[i - j + n - 1] for j in range(n)] for i in range(length)])
    return matrix @ bits % 2


@pytest.fixture
def clock(monkeypatch):
    """A clock that advances by the seconds it is told to, at every second look."""

    def tick(*durations):
        times = [0.0]
        for seconds in durations:
            times += [times[-1] + seconds, times[-1] + seconds]
        monkeypatch.setattr(timing.time, "perf_counter", iter(times).__next__)

    return tick


@pytest.fixture
def without(monkeypatch):
    """Make packages look as if they were not installed."""

    def hide(*names):
        for name in names:
            for module in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
                monkeypatch.delitem(sys.modules, module)
            monkeypatch.setitem(sys.modules, name, None)

    return hide


def test_rate_is_work_over_seconds_and_the_first_call_does_not_count(clock):
    clock(0.5, 0.25, 1.0)
    work = iter([7, 10, 10, 10])
    assert timed(lambda: next(work), repeats=3) == OURS
    assert next(work, None) is None


def test_row_has_medians_of_both_and_their_ratio():
    row = Row("count", "10 beans", "bean", OURS, "rival", Timing((1.0, 2.0, 3.0), (4.0, 5.0, 2.0)))
    found = row.to_dict()
    assert (found["seconds"], found["rate"], found["unit"]) == (0.5, 20.0, "bean/s")
    assert (found["peer"], found["peer_rate"], found["ratio"]) == ("rival", 4.0, 5.0)
    assert (found["rates"], found["peer_rates"]) == ([10.0, 20.0, 40.0], [2.0, 4.0, 5.0])


def test_missing_peer_has_a_row_that_says_so():
    def missing():
        raise ModuleNotFoundError("No module named 'rival'", name="rival")

    rows = rows_of(Stage("count", "", "bean", lambda: lambda: 1, (Peer("its name", missing),)))
    (found,) = [row.to_dict() for row in rows]
    assert (found["peer"], found["ratio"], found["peer_rate"]) == ("its name", None, None)
    assert found["remark"] == "`rival` is not installed"
    assert "`rival` is not installed" in aligned(rows)


def test_failing_peer_is_not_taken_for_a_missing_one():
    def broken():
        raise RuntimeError("wrong bits")

    with pytest.raises(RuntimeError, match="wrong bits"):
        rows_of(Stage("count", "", "bean", lambda: lambda: 1, (Peer("rival", broken),)))


def test_published_rate_is_compared_and_said_to_be_published():
    peers = (Peer("a link", published=4.0),)
    (row,) = rows_of(Stage("count", "", "bean", lambda: lambda: 1, peers, repeats=1))
    assert row.ratio == pytest.approx(row.ours.rates[0] / 4)
    assert row.to_dict()["remark"] == "published, not run here"
    assert "published, not run here" in aligned([row])


@pytest.mark.parametrize("given", [{}, {"prepare": lambda: lambda: 1, "published": 1.0}])
def test_peer_with_neither_or_both_figures_is_refused(given):
    with pytest.raises(ValueError, match="either work or a published rate"):
        Peer("rival", **given)


def test_no_repeats_are_refused():
    with pytest.raises(ValueError, match="`repeats` must be at least 1, but is 0"):
        timed(lambda: 1, repeats=0)


def test_work_that_does_nothing_is_refused():
    with pytest.raises(ValueError, match="must be above 0, but is 0"):
        timed(lambda: 0, repeats=1)


def test_threads_get_numbers_of_their_own():
    seen = []
    work = shared_out(lambda number: seen.append(number) or 10, threads=4)
    assert work() == 40
    assert sorted(seen) == [0, 1, 2, 3]


@pytest.mark.parametrize(("alone", "shared", "expected"), [(1.0, 3.0, 5), (3.0, 1.0, 10)])
def test_peer_is_timed_on_as_many_threads_as_suit_it(clock, alone, shared, expected):
    clock(alone, shared)
    assert faster(lambda _: 5, threads=2)() == expected


def test_table_has_one_width_a_column_and_names_a_stage_once():
    rows = [
        Row("count", "10", "bean", OURS, "a", OURS),
        Row("count", "10", "bean", OURS, "b", OURS),
    ]
    lines = aligned([*rows, Row("sow", "3", "secret bean", Timing((1.0,), (3e6,)))]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert [line.count("|") for line in lines] == [8] * 5
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["count", "", "sow"]
    assert "20 (10-40) bean/s" in lines[2]
    assert "3 secret Mbean/s" in lines[4]
    assert "1 x" in lines[3]


def test_machine_names_the_commit_of_these_files_only():
    found = machine()
    inside = whole_process(["-c", "import benchmarks.machine as m; print(m.__file__)"]).output
    assert found["commit"]
    assert inside.strip().endswith("machine.py")
    assert f"commit {found['commit']}" in headed(found)


def test_copy_outside_a_repository_has_no_commit(monkeypatch, tmp_path):
    from benchmarks import machine as module

    (tmp_path / "e91").mkdir()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(module, "__file__", str(tmp_path / "e91" / "bench" / "machine.py"))
    assert machine()["commit"] == "unknown"


def test_machine_without_git_has_no_commit(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine()["commit"] == "unknown"


def test_process_that_fails_is_not_timed():
    with pytest.raises(RuntimeError, match="must end with status 0, but ended with 3"):
        whole_process(["-c", "raise SystemExit(3)"])


def test_process_memory_is_its_own_peak_and_not_the_callers():
    ours = bytearray(300_000_000)
    ours[::4096] = bytes(len(ours[::4096]))
    small = whole_process(["-c", "pass"])
    large = whole_process(["-c", "b = bytearray(200_000_000); b[::4096] = bytes(len(b[::4096]))"])
    assert small.megabytes < 60
    assert 195 < large.megabytes - small.megabytes < 215


@pytest.mark.parametrize("before", [None, "0"])
def test_numpy_only_holds_inside_and_not_after(monkeypatch, before):
    monkeypatch.delenv("NUMBA_DISABLE_JIT", raising=False)
    if before is not None:
        monkeypatch.setenv("NUMBA_DISABLE_JIT", before)
    with pytest.raises(KeyError, match="1"), numpy_only():
        raise KeyError(os.environ["NUMBA_DISABLE_JIT"])
    assert os.environ.get("NUMBA_DISABLE_JIT") == before


def test_every_stage_does_its_work_at_a_tiny_size():
    rows = [row for stage in stages(TINY, threads=1) for row in rows_of(stage)]
    assert all(set(row.to_dict()) >= CONTRACT for row in rows)
    assert all(row.to_dict()["rate"] > 0 for row in rows)
    assert {row.peer for row in rows if row.ratio is None and row.peer} <= {"randextract"}
    names = [stage.name for stage in stages(TINY, threads=1)]
    assert list(dict.fromkeys(row.stage for row in rows)) == names
    assert len(names) == 7


@pytest.mark.parametrize("threads", [1, 2])
def test_stages_count_the_work_of_every_thread(threads):
    found = list(stages(replace(TINY, blocks=4), threads=threads))
    assert found[0].prepare()() == 4 * 2**18
    assert found[2].prepare()() == threads * 8 * TINY.key_bits
    assert found[3].prepare()() == threads * 8 * TINY.hash_bits


def test_packages_that_are_missing_are_named_by_the_stages(without):
    tno = "tno.quantum.communication.qkd_key_rate.classical"
    without("randextract", "ldpc", "ldpc.bp_decoder", tno)
    found = list(stages(TINY, threads=1))
    remarks = {row.peer: row.remark for stage in found[2:4] for row in rows_of(stage)}
    assert remarks.pop("SciPy, one FFT") == ""
    assert sorted(remarks) == [
        "TNO qkd_key_rate, Cascade",
        "ldpc, BpDecoder, 5G codes",
        "randextract",
    ]
    assert all(remark.endswith("is not installed") for remark in remarks.values())
    assert "ldpc" in remarks["ldpc, BpDecoder, 5G codes"]


def test_hash_that_differs_from_ours_is_not_timed(monkeypatch):
    monkeypatch.setattr(bench_stages, "one_piece", lambda bits, length, seed: 1 - bits[:length])
    peer = next(p for p in list(stages(TINY, threads=1))[3].peers if p.name.startswith("SciPy"))
    with pytest.raises(RuntimeError, match="must give the same bits"):
        peer.prepare()


def test_one_fft_hashes_as_the_definition_says():
    generator = np.random.default_rng(5)
    for n, m in [(1, 1), (7, 3), (100, 25), (129, 129)]:
        bits, seed = generator.integers(0, 2, n, np.uint8), generator.integers(0, 2, n + m - 1)
        expected = toeplitz_by_definition(bits, m, seed)
        assert np.array_equal(one_piece(bits, m, seed.astype(np.uint8)), expected)


def test_randextract_hashes_as_the_definition_says():
    generator = np.random.default_rng(6)
    bits, seed = generator.integers(0, 2, 100, np.uint8), generator.integers(0, 2, 124, np.uint8)
    assert np.array_equal(randextract(bits, 25, seed)(), toeplitz_by_definition(bits, 25, seed))


def test_belief_propagation_takes_the_whole_key():
    assert belief_propagation(*noisy_keys(1_000, seed=1), error_rate=0.02) == 1_000


def test_cascade_of_the_peer_takes_the_whole_key_and_leaves_no_error():
    keys = noisy_keys(10_000, seed=1)
    assert keys[0].bits.tolist() != keys[1].bits.tolist()
    assert tno_cascade(*keys, error_rate=0.02) == 10_000


def test_peer_that_leaves_errors_is_not_timed():
    with pytest.raises(RuntimeError, match="must end equal"):
        # Two errors a block: every block that is asked for has an even number of them.
        tno_cascade(SiftedKey(np.zeros(64, int)), SiftedKey(np.ones(64, int)), error_rate=0.02)


def test_timed_keys_differ_in_two_percent():
    alice, bob = noisy_keys(1_000_000, seed=1)
    wrong = int(np.count_nonzero(alice.bits != bob.bits))
    assert_binomial(wrong, 1_000_000, 0.02, must_detect=0.0215)


def test_timed_rounds_are_all_tallied():
    assert draw_and_pack(attacked_sampler(seed=1), first=5, blocks=2) == 2 * 2**18


def test_aer_peer_draws_the_rounds_that_the_sampler_draws():
    circuits, rounds = attacked_circuits(), 200_000
    found = np.bincount(aer_counts(circuits, rounds, seed=3), minlength=36)
    assert found.sum() == rounds
    for count, p in zip(found, outcome_table(circuits).ravel() / 9, strict=True):
        assert_binomial(int(count), rounds, p, must_detect=p * 1.5 + 1e-3)


def test_aer_peer_deals_its_rounds_in_no_order():
    pairs = aer_counts(attacked_circuits(), 9_000, seed=4) // 4
    repeats = int(np.count_nonzero(pairs[1:] == pairs[:-1]))
    assert_binomial(repeats, 8_999, 1 / 9, must_detect=0.2)


def test_aer_peer_runs_every_pair():
    assert aer_pair_by_pair(attacked_circuits(), 11) == 11


def test_timed_link_is_attacked_and_noisy():
    table = outcome_table(attacked_circuits())
    wrong = [table[x, y, 0, 1] + table[x, y, 1, 0] for x, y in SETTINGS.key_pairs]
    # Werner 0.97, attacked on 5 % by measuring in Z or X at random: a quarter of these err.
    attacked = 0.05 / 4
    for error in wrong:
        assert 0.015 < error < 0.015 + attacked + 0.01
    assert sum(wrong) > 2 * 0.0225


def test_best_settings_make_more_key_than_uniform_ones():
    plan = best_settings(2**24, threads=4)
    assert plan.settings.key_probability > 3 * SETTINGS.key_probability
    assert plan.blocks * plan.block_rounds == 2**24


def test_best_settings_give_every_thread_as_many_sessions():
    plan = best_settings(200_000_000, threads=2)
    assert plan.blocks == 12
    assert plan.policy.portions == 32


def test_timed_cascade_counts_its_messages_and_keeps_none(monkeypatch):
    channels = []
    monkeypatch.setattr(
        work, "Channel", lambda **given: channels.append(Channel(**given)) or channels[0]
    )
    assert work.reconciled(*work.noisy_keys(10_000, seed=1), 1) == 10_000
    assert channels[0].disclosed_bits > 1_000
    assert channels[0].seen == {Party.ALICE: [], Party.BOB: []}


@pytest.fixture
def bench(monkeypatch, capsys):
    """Run ``e91 bench`` with two of its stages at a tiny size; return what it prints."""

    def call(*options):
        some = [stage for stage in stages(TINY, threads=1) if stage.unit == "bit"]
        monkeypatch.setattr(bench_stages, "stages", lambda effort, threads: some)
        cli.main(["bench", *options])
        return capsys.readouterr().out

    return call


def test_command_prints_a_list_in_the_contract(bench):
    rows = json.loads(bench("--quick", "--json"))
    assert [row["peer"] is None for row in rows] == [False] * 4
    assert all(CONTRACT | {"commit", "machine", "packages", "python"} <= set(row) for row in rows)
    assert all(row["ratio"] > 0 or row["remark"] for row in rows)


def test_command_prints_the_machine_and_the_table(bench):
    lines = bench().splitlines()
    assert "Python" in lines[0]
    assert "commit" in lines[1]
    assert lines[2].startswith("| stage")
    assert len(lines) == 2 + 2 + 4


@pytest.mark.parametrize(("options", "effort"), [((), FULL), (("--quick",), QUICK)])
def test_quick_chooses_the_effort(monkeypatch, options, effort):
    asked = []
    monkeypatch.setattr(bench_stages, "stages", lambda chosen, threads: asked.append(chosen) or [])
    cli.main(["bench", "--json", *options])
    assert asked == [effort]


def test_quick_effort_is_less_in_everything_and_keeps_the_stated_sizes():
    assert QUICK.repeats < FULL.repeats
    assert QUICK.blocks < FULL.blocks
    assert (FULL.hash_bits, QUICK.hash_bits) == (10**6, 10**6)
