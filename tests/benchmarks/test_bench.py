"""The benchmark: its clock, its table, its peers, and that every stage does its work."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from statistical import assert_binomial

from benchmarks import stages as bench_stages
from benchmarks import work
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
    one_piece,
    randextract,
    tno_cascade,
)
from benchmarks.stages import Effort, stages
from benchmarks.timing import Timing, rows_of
from benchmarks.work import best_settings, draw_and_pack, noisy_keys
from e91.devices.exact import outcome_table
from e91.model.messages import Channel, Party
from e91.model.records import SiftedKey
from e91.system.workspace import Workspace

TINY = Effort(2, 900, 3, 10_000, 2_000, 1_000, 2, 2**18, 2**20, 100_000, 1)
CONTRACT = {"stage", "size", "seconds", "rate", "unit", "peer", "ratio"}
OWN = Timing((0.5, 0.25, 1.0), (20.0, 40.0, 10.0))


def toeplitz_by_definition(bits, length, seed):
    n = len(bits)
    matrix = np.array([[seed[i - j + n - 1] for j in range(n)] for i in range(length)])
    return matrix @ bits % 2


@pytest.fixture
def without(monkeypatch):
    """Make packages look as if they were not installed."""

    def hide(*names):
        for name in names:
            for module in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
                monkeypatch.delitem(sys.modules, module)
            monkeypatch.setitem(sys.modules, name, None)

    return hide


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


@pytest.mark.slow  # processes of every stage, and all that they compile
def test_every_stage_does_its_work_at_a_tiny_size():
    rows = [row for stage in stages(TINY, threads=1) for row in rows_of(stage)]
    assert all(set(row.to_dict()) >= CONTRACT for row in rows)
    assert all(row.to_dict()["rate"] > 0 for row in rows)
    assert {row.peer for row in rows if row.ratio is None and row.peer} <= {"randextract"}
    names = [stage.name for stage in stages(TINY, threads=1)]
    assert list(dict.fromkeys(row.stage for row in rows)) == names
    assert len(names) == 7


@pytest.mark.slow
def test_stages_count_the_work_of_every_thread():
    found = list(stages(replace(TINY, blocks=4), threads=2))
    assert found[0].prepare()() == 4 * 2**18
    assert found[2].prepare()() == 2 * 8 * TINY.key_bits
    assert found[3].prepare()() == 2 * 8 * TINY.hash_bits


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


def test_hash_that_differs_from_that_of_e91_is_not_timed(monkeypatch):
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
    keys = noisy_keys(2_000, seed=1)
    assert keys[0].bits.tolist() != keys[1].bits.tolist()
    assert tno_cascade(*keys, error_rate=0.02) == 2_000


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


def test_best_settings_choose_keys_oftener_and_give_every_thread_as_many_sessions():
    rounds = 12 * (2**24 - 1)  # the longest session is 2**24 rounds: five a thread are too few
    plan = best_settings(rounds, threads=2)
    assert plan.settings.key_probability > 3 * SETTINGS.key_probability
    assert (plan.blocks, plan.blocks * plan.block_rounds) == (12, rounds)
    assert plan.policy.portions == 32


def test_timed_cascade_counts_its_messages_and_keeps_none(monkeypatch):
    channels = []
    monkeypatch.setattr(
        work, "Channel", lambda **given: channels.append(Channel(**given)) or channels[0]
    )
    assert work.reconciled(*work.noisy_keys(10_000, seed=1), 1, Workspace(compiled=False)) == 10_000
    assert channels[0].disclosed_bits > 1_000
    assert channels[0].seen == {Party.ALICE: [], Party.BOB: []}
