"""Runs of any length: blocks that are sessions, made again alone, in bounded memory."""

import functools
import operator
import os
import pickle
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from itertools import groupby, islice
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2
from statistical import assert_binomial

from e91.cli import main
from e91.devices.aer import aer_device
from e91.devices.exact import exact_device
from e91.devices.rounds.round_sampler import round_sampler
from e91.distillation.sifting import by_block as packed_sifting
from e91.distillation.sifting import packing
from e91.distillation.sifting import two_party as sifting
from e91.distillation.sifting.by_block import code_table
from e91.distillation.sifting.choices import RoundSampler
from e91.model.device import DeviceInfo
from e91.model.errors import Abort, ProtocolAborted
from e91.model.messages import Channel, Party
from e91.model.randomness import block_entropy, seeded_entropy
from e91.model.records import DetectionRecord, PartyRecord, SiftedKey
from e91.model.settings import BBM92, EKERT
from e91.model.trust import SecurityModel
from e91.recorded import load_detections
from e91.recorded.record_files import record_of_codes, save_block
from e91.security.policy import Policy
from e91.session.streaming import PART_ROUNDS, plan_run, session_of_block, stream
from e91.session.totals import summary_of, totals_of
from e91.system.processes import worker_processes

ROUNDS = 600_000


def device(**options):
    return exact_device(**({"visibility": 0.98, "seed": 5} | options))


def run_of(blocks=3, **options):
    return plan_run(device(), rounds=blocks * ROUNDS, block_rounds=ROUNDS, seed=9, **options)


def public(report):
    shown = report.to_dict()
    del shown["seconds"], shown["processor_seconds"]
    return shown


# The same protocol as by messages -----------------------------------------------------------------


def decoded(codes, shape):
    x, y, a, b = np.unravel_index(codes, shape)
    return DetectionRecord(PartyRecord(x, a), PartyRecord(y, b))


def lossy_table():
    """Ekert's table with 20 % of Alice's and 10 % of Bob's photons lost."""
    table = np.zeros((3, 3, 3, 3))
    table[:, :, :2, :2] = 0.72 * device().table
    table[:, :, :2, 2] = 0.08 * device().table.sum(axis=3)
    table[:, :, 2, :2] = 0.18 * device().table.sum(axis=2)
    table[:, :, 2, 2] = 0.02
    return table


@pytest.mark.parametrize("lost", ["no loss", "discarded", "assigned"])
def test_packed_sifting_gives_what_sifting_by_messages_gives(lost):
    table = device().table if lost == "no loss" else lossy_table()
    sampler = round_sampler(table, settings=EKERT, physics_key=bytes(32), protocol_key=b"1" * 32)
    codes = np.empty(50_000, np.uint8)
    sampler.fill(codes, block=0)
    meaning = code_table(EKERT, outcomes=table.shape[-1], assign_lost=lost == "assigned")
    channel = Channel()
    packed = packed_sifting.measure(
        [codes[:30_000].copy(), codes[30_000:].copy()],
        meaning=meaning,
        fraction=0.1,
        entropies=map(sampler.sample_entropy, range(2)),
        rounds=len(codes),
    ).announce(channel)
    record = decoded(codes, table.shape)
    if lost == "assigned":
        record = DetectionRecord(*map(sifting.assign_lost_photons, (record.alice, record.bob)))
    sampling = np.concatenate(
        [
            np.unpackbits(np.frombuffer(message.body, np.uint8))[:size]
            for message, size in zip(
                [m for m in channel.seen[Party.BOB] if m.subject == "sample"],
                (30_000, 20_000),
                strict=True,
            )
        ]
    )
    views = [
        np.frombuffer(sifting.announce_settings(half), np.uint8)
        for half in (record.alice, record.bob)
    ]
    roles = sifting.assign_roles(*views, settings=EKERT)
    marked = sifting.mark_sample(roles, np.packbits(sampling[roles == sifting.Role.KEY]).tobytes())
    revealed = [sifting.reveal(half, marked) for half in (record.alice, record.bob)]
    evidence = sifting.tally(marked, *views, revealed=revealed, settings=EKERT)
    for half, sifted in zip((record.alice, record.bob), packed, strict=True):
        assert sifted.evidence == evidence
        assert np.array_equal(sifted.key.bits, sifting.key_of(half, marked).bits)


def test_announcements_tell_no_outcome_of_a_key_round_that_is_kept():
    """Flip both key bits of every kept round: nothing that is announced changes."""
    sampler = round_sampler(
        device().table, settings=EKERT, physics_key=bytes(32), protocol_key=b"1" * 32
    )
    codes = np.empty(20_000, np.uint8)
    sampler.fill(codes, block=0)
    meaning, sampling = code_table(EKERT), sampler.sample_entropy(0)
    shown = np.unpackbits(packing.draw_sample(sampling, fraction=0.1, rounds=len(codes)))
    kept = (meaning.roles[codes] >= 4) & (shown[: len(codes)] == 0)
    flipped = np.where(kept, codes ^ 3, codes).astype(np.uint8)
    assert kept.sum() > 1_000
    transcripts = []
    for rounds in (codes, flipped):
        channel = Channel()
        packed_sifting.measure(
            [rounds],
            meaning=meaning,
            fraction=0.1,
            entropies=[sampler.sample_entropy(0)],
            rounds=len(rounds),
        ).announce(channel)
        transcripts.append(channel.transcript(Party.BOB))
    assert transcripts[0] == transcripts[1]


def test_streamed_block_agrees_with_a_small_session_in_law():
    """Same visibility, other route: S, QBER and key fraction of both are those of the table."""
    (report,) = stream(device(visibility=0.9), rounds=1_000_000, block_rounds=1_000_000, seed=1)
    for (same, different), (pair, _) in zip(
        zip(report.evidence.same, report.evidence.different, strict=True),
        EKERT.chsh_pairs,
        strict=True,
    ):
        expected = float(np.trace(device(visibility=0.9).table[pair]))
        assert_binomial(same, same + different, expected, must_detect=expected + 0.02)
    errors = report.evidence.sample_errors
    assert_binomial(errors, report.evidence.sample_size, 0.05, must_detect=0.065)
    assert_binomial(report.sifted_bits, 1_000_000, 2 / 9, must_detect=0.2265)


def test_nothing_is_announced_before_the_last_round_of_a_block(monkeypatch):
    """An adaptive source that hears of earlier rounds could choose how many there are."""
    happened = []
    drawn, sent = RoundSampler.fill, Channel.send

    def fill(self, codes, **where):
        happened.append("rounds")
        drawn(self, codes, **where)

    def send(self, message):
        happened.append("message")
        return sent(self, message)

    monkeypatch.setattr(RoundSampler, "fill", fill)
    monkeypatch.setattr(Channel, "send", send)
    size = 2 * PART_ROUNDS + 1
    reports = list(stream(device(), rounds=2 * size, block_rounds=size, threads=1, seed=1))
    assert [report.abort for report in reports] == [None, None]
    runs = [kind for kind, _ in groupby(happened)]
    assert runs == ["rounds", "message"] * 2
    assert happened.count("rounds") == 6


class Predetermined:
    """A device whose outcomes are a list that Eve made before a setting was chosen.

    For the settings that she foresaw they violate the CHSH inequality, and have few errors.
    """

    settings, shape = EKERT, (3, 3, 2, 2)
    info = DeviceInfo(EKERT, "A black box.")

    def outcome_source(self, settings):
        """Return itself."""
        return self

    def answer(self, pairs, outcomes, *, block):
        """Read the list, and put the foreseen settings into the question."""
        generator = np.random.default_rng(block)
        foreseen = generator.integers(0, 9, len(pairs), np.uint8)
        x, y = np.divmod(foreseen, 3)
        a = generator.integers(0, 2, len(pairs), np.uint8)
        lost = generator.random(len(pairs)) < 0.15
        test = (x != 1) & (y != 1)
        b = np.where(test, a ^ ((x == 0) & (y == 2)) ^ lost, a)
        pairs[:] = foreseen
        outcomes[:] = 2 * a + b


@pytest.mark.parametrize("security", SecurityModel)
def test_device_that_foresaw_other_settings_makes_no_key(security):
    policy = Policy(security)
    (report,) = stream(Predetermined(), rounds=2**20, block_rounds=2**20, policy=policy, threads=1)
    assert report.abort is Abort.NO_VIOLATION
    assert report.chsh.value < 2


def test_device_that_would_draw_settings_and_sample_itself_is_refused():
    class OfItsOwn:
        shape = (3, 3, 2, 2)

        def sampler(self, settings, *, protocol_key):
            """Return itself."""
            return self

        def fill(self, codes, *, block):
            """Choose settings, too."""

    with pytest.raises(ValueError, match="must draw blocks of rounds to be streamed"):
        stream(OfItsOwn(), rounds=1000)


# Blocks -------------------------------------------------------------------------------------------


def test_block_can_be_made_again_alone_and_in_any_thread():
    blocks = list(stream(device(), rounds=3 * ROUNDS, block_rounds=ROUNDS, seed=9, threads=2))
    alone = session_of_block(run_of(), 1)
    assert public(alone) == public(blocks[1])
    assert np.array_equal(alone.key.bits, blocks[1].key.bits)


def test_threads_change_nothing():
    def keys(threads):
        reports = stream(device(), rounds=3 * ROUNDS, block_rounds=ROUNDS, seed=9, threads=threads)
        return [(public(report), report.key.packed.tobytes()) for report in reports]

    assert keys(1) == keys(min(2, len(os.sched_getaffinity(0))))


def test_blocks_are_sessions_of_their_own():
    reports = list(stream(device(), rounds=3 * ROUNDS, block_rounds=ROUNDS, seed=9))
    assert [report.block for report in reports] == [0, 1, 2]
    assert len({report.key.key_id for report in reports}) == 3
    assert len({report.evidence for report in reports}) == 3
    for report in reports:
        assert np.array_equal(report.key.bits, report.keys.bob.bits)
        assert report.secret_bits == report.length.bits - 512
    bits = np.concatenate([report.key.bits for report in reports])
    assert_binomial(int(bits.sum()), len(bits), 0.5, must_detect=0.51)


def test_every_part_of_a_block_has_a_sample_of_its_own(monkeypatch):
    drawn, said = packing.draw_sample, []

    def heard(*args, **given):
        said.append(drawn(*args, **given))
        return said[-1]

    monkeypatch.setattr(packing, "draw_sample", heard)
    session_of_block(run_of(blocks=1), 0)
    assert len(said) == -(-ROUNDS // PART_ROUNDS) > 2
    assert len({sample[:1000].tobytes() for sample in said}) == len(said)


def test_what_chooses_settings_is_independent_of_what_hashes():
    run = run_of()
    assert len({run.root, run.source.choices.key}) == 2
    draw = seeded_entropy(9)
    assert (run.source.choices.key, run.root) == (draw(32), draw(32))


def test_last_block_is_what_is_left():
    reports = list(stream(device(), rounds=ROUNDS + 200_000, block_rounds=ROUNDS, seed=9))
    assert [report.rounds for report in reports] == [ROUNDS, 200_000]


def test_unseeded_runs_differ_and_are_not_marked_reproducible():
    first, second = (
        next(stream(device(seed=None), rounds=ROUNDS, block_rounds=ROUNDS)) for _ in range(2)
    )
    assert first.evidence != second.evidence
    assert first.seed is None
    assert not first.key.reproducible


def test_run_fails_as_often_as_its_released_blocks_together_and_counts_every_abort():
    good, bad = (
        list(stream(device(visibility=v), rounds=180_000, block_rounds=60_000, seed=9))
        for v in (0.98, 0.6)
    )
    found = summary_of([*good[:2], *bad])
    assert (found.released, dict(found.aborts)) == (2, {"NO_VIOLATION": 3})
    assert found.abort is None  # a run of which some block has a key is no abort
    assert summary_of(bad).abort is Abort.NO_VIOLATION
    assert found.epsilon == 2 * Policy().epsilon
    assert found.to_dict()["epsilon"] == 2 * Policy().epsilon
    assert (found + totals_of(bad[0])).aborts == (("NO_VIOLATION", 4),)


def test_eve_ends_every_block_without_a_key():
    from functools import partial

    from e91_circuits import intercept_resend

    tapped = device(attack=partial(intercept_resend, fraction=1.0, basis="random"))
    for report in stream(tapped, rounds=2 * ROUNDS, block_rounds=ROUNDS, seed=1):
        assert report.abort is Abort.NO_VIOLATION
        with pytest.raises(ProtocolAborted):
            report.key  # noqa: B018


def test_device_independent_blocks_keep_lost_photons():
    policy = Policy(SecurityModel.DEVICE_INDEPENDENT)
    options = {"policy": policy, "block_rounds": ROUNDS, "seed": 2}
    (report,) = stream(device(visibility=1.0), rounds=ROUNDS, **options)
    assert report.abort is None
    assert report.evidence.coincidences == ROUNDS


def test_stopping_early_leaves_the_yielded_blocks_valid():
    reports = list(islice(stream(device(), rounds=50 * ROUNDS, block_rounds=ROUNDS, seed=9), 2))
    assert [report.abort for report in reports] == [None, None]


def test_block_randomness_is_disjoint():
    draws = Counter(block_entropy(seeded_entropy(1)(32), block=block)(8) for block in range(2_000))
    assert max(draws.values()) == 1


def test_rounds_of_different_blocks_are_independent():
    """Equal places of successive blocks agree as often as chance says; chi-square at 1e-9."""
    run = run_of()
    codes = np.empty((2, 2**18), np.uint8)
    for block in range(2):
        run.source.fill(codes[block], block=block)
    joint = np.zeros((36, 36))
    np.add.at(joint, (codes[0], codes[1]), 1)
    expected = np.outer(joint.sum(axis=1), joint.sum(axis=0)) / joint.sum()
    statistic = ((joint - expected) ** 2 / expected).sum()
    assert statistic < chi2.isf(1e-9, 35 * 35)


# Records ------------------------------------------------------------------------------------------


def test_kept_record_is_the_session(tmp_path):
    (report,) = stream(device(), rounds=ROUNDS, block_rounds=ROUNDS, seed=9, keep=tmp_path)
    record = load_detections(tmp_path / "block-000000.npz").record
    assert len(record) == ROUNDS
    pairs = Counter(zip(record.alice.setting.tolist(), record.bob.setting.tolist(), strict=True))
    counted = report.evidence.pair_counts
    assert all(counted[x][y] == n for (x, y), n in pairs.items())
    assert [file.name for file in tmp_path.iterdir()] == ["block-000000.npz"]


def test_record_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_block(tmp_path, 0, record_of_codes(np.zeros(3, np.uint8), shape=(2, 2, 2, 2)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 nonsense", b"\x80\x04pickle"])
def test_foreign_record_is_refused(tmp_path, content):
    file = tmp_path / "block.npz"
    file.write_bytes(content)
    with pytest.raises(ValueError, match="but is damaged"):
        load_detections(file)


# Bad input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"rounds": 0}, "`rounds` must lie in"),
        ({"rounds": 1.5}, "`rounds` must be a whole number, but is 1.5"),
        ({"rounds": True}, "`rounds` must be a whole number, but is True"),
        ({"block_rounds": 0}, "`block_rounds` must be at least 1"),
        ({"block_rounds": 10**12}, "to fit in memory"),
        ({"threads": 0}, "`threads` must lie in"),
        ({"threads": 10_000}, "the cores of this machine"),
        ({"settings": BBM92}, "must have the device's angles"),
    ],
)
def test_impossible_run_is_refused_in_a_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        stream(device(), **({"rounds": 1_000} | options))


def test_device_that_draws_no_blocks_is_refused():
    with pytest.raises(ValueError, match="must draw blocks of rounds to be streamed"):
        stream(aer_device(seed=1), rounds=1_000)


@pytest.mark.parametrize("number", [-1, 3])
def test_block_that_does_not_exist_is_refused(number):
    with pytest.raises(ValueError, match=r"`number` must lie in \[0, 2\]"):
        session_of_block(run_of(), number)


def test_policy_of_a_run_is_that_of_its_blocks():
    run = run_of(policy=replace(Policy(), epsilon=1e-12))
    assert session_of_block(run, 0).policy.epsilon == 1e-12


def test_without_compilation_the_blocks_are_the_same():
    """In a fresh interpreter without numba: the same key, to the last bit."""
    program = (
        "import sys; sys.path[:0] = ['tests', 'tests/session']\n"
        "from test_streaming import run_of\n"
        "from e91.session.streaming import session_of_block\n"
        "print(session_of_block(run_of(1), 0).key.packed.tobytes().hex())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
    )
    assert done.stdout.strip() == session_of_block(run_of(1), 0).key.packed.tobytes().hex()


def test_processes_make_the_blocks_that_threads_make():
    device = exact_device(visibility=0.98, seed=1)
    arguments = {"rounds": 600_000, "block_rounds": 250_000, "seed": 1, "threads": 1}
    by_threads = list(stream(device, **arguments))
    device = exact_device(visibility=0.98, seed=1)
    with worker_processes(1) as pool:
        by_processes = list(stream(device, executor=pool, **arguments))
    assert len(by_processes) == 3
    for one, other in zip(by_threads, by_processes, strict=True):
        assert one.evidence == other.evidence
        assert [r.abort for r in (one, other)] == [None, None]
        for first, second in ((one.keys.alice, other.keys.alice), (one.keys.bob, other.keys.bob)):
            assert first.key_id == second.key_id
            assert np.array_equal(first.packed, second.packed)
            assert not second.packed.flags.writeable


def test_key_that_was_sent_to_another_process_is_closed_and_says_nothing():
    key = pickle.loads(pickle.dumps(SiftedKey(np.array([0, 1, 1], np.uint8))))
    assert key.bits.tolist() == [0, 1, 1]
    assert not key.bits.flags.writeable
    assert repr(key) == "SiftedKey(3 bits)"


def test_worker_that_is_killed_ends_the_run_in_a_sentence(monkeypatch, capsys):
    def killed(*_, **__):
        raise BrokenProcessPool("a worker was killed")

    monkeypatch.setattr("e91.session.streaming.session_of_block", killed)
    line = ["run", "--device", "exact", "--rounds", "60000000", "--threads", "1"]
    with pytest.raises(SystemExit) as stopped:
        main(line)
    assert stopped.value.code == 1
    assert "Worker processes must live" in capsys.readouterr().err


@pytest.mark.parametrize("count", [0, 10**6, True, 1.0])
def test_processes_are_at_most_as_many_as_cores(count):
    with pytest.raises(ValueError, match="`processes` must lie in"):
        worker_processes(count)


def test_seconds_of_a_run_are_its_own_and_processor_time_adds_up():
    """Two threads at once: what they took together is no time that anybody waited."""
    started = time.perf_counter()
    found = summary_of(stream(device(), rounds=8 * ROUNDS, block_rounds=ROUNDS, threads=2, seed=1))
    waited = time.perf_counter() - started
    blocks = list(stream(device(), rounds=8 * ROUNDS, block_rounds=ROUNDS, threads=2, seed=1))
    assert 0 < found.seconds <= waited
    added = functools.reduce(operator.add, map(totals_of, blocks))
    assert added.processor_seconds == sum(block.processor_seconds for block in blocks) > 0
    assert not hasattr(added, "seconds")
