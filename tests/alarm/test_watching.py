"""The alarm in sessions and over blocks: what it hears, when it rings, what it says."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from e91.adversaries import Conditions, stage
from e91.alarm import Replay, run_watched, watch_blocks
from e91.alarm import wealth as alarm
from e91.alarm.link import OutcomeCounts, outcome_counts
from e91.alarm.promise import Promise
from e91.alarm.watching import (
    AnnouncementRecorder,
    announced_rounds,
    counts_by_interval,
    interval_ends,
    replayed_rounds,
)
from e91.devices.exact import ExactDevice, exact_device
from e91.distillation.sifting.by_block import code_table
from e91.model.device import DeviceInfo
from e91.model.errors import Abort
from e91.model.messages import Message, Party
from e91.model.settings import BBM92, EKERT, SETTINGS
from e91.model.trust import SecurityModel
from e91.recorded import load_detections
from e91.security.policy import Policy
from e91.session.session import run
from e91.session.streaming import stream
from e91.session.totals import summary_of

PROMISE = Promise(0.95)
FALSE_ALARM = 1e-9


def honest(visibility=0.97, seed=1, **options):
    return exact_device(visibility=visibility, seed=seed, **options)


def heard_in(device, rounds=20_000, **arguments):
    recorder = AnnouncementRecorder(lambda message: message)
    report = run(device, rounds=rounds, seed=3, transmission=recorder, **arguments)
    return recorder.announcements, report


def tallies(heard, *, settings):
    kinds, rounds = announced_rounds(heard, settings=settings)
    return counts_by_interval(kinds, rounds, ends=interval_ends(len(rounds)))


def total(tallied):
    counts = np.sum([tally.array for _, tally in tallied], axis=0)
    wins, losses = counts[:4].tolist(), counts[4:8].tolist()
    right, wrong = counts[8:].tolist()
    return OutcomeCounts(tuple(wins), tuple(losses), sample=right + wrong, errors=wrong)


# What it hears --------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("model", SecurityModel)
@pytest.mark.parametrize("attack", [None, "gisin", "intercept-resend"])
def test_intervals_add_up_to_the_public_counts(settings, model, attack):
    device = honest(settings=settings)
    if attack is not None:
        device = stage(attack, Conditions(0.7, settings=settings, seed=2)).device
    heard, report = heard_in(device, policy=Policy(model))
    tallied = tallies(heard, settings=settings)
    assert total(tallied) == outcome_counts(report.evidence)
    assert 0 < sum(pairs for pairs, _ in tallied) <= report.rounds
    assert all(pairs >= tally.rounds for pairs, tally in tallied)


def test_intervals_hold_the_rounds_in_the_order_of_time():
    """A second implementation, round by round, from the announcements."""
    heard, _ = heard_in(stage("turning-bad", Conditions(0.5, settings=EKERT, rounds=6_000)).device,
                        rounds=6_000)  # fmt: skip
    alice, bob = heard[Party.ALICE, "settings"], heard[Party.BOB, "settings"]
    sample = iter(np.unpackbits(np.frombuffer(heard[Party.ALICE, "sample"], np.uint8)).tolist())
    shown = [
        iter(np.unpackbits(np.frombuffer(heard[party, "revealed outcomes"], np.uint8)).tolist())
        for party in Party
    ]
    signs = dict(EKERT.chsh_pairs)
    seen = []
    for sent, pair in enumerate(zip(alice, bob, strict=True), 1):
        if pair in signs:
            differ = next(shown[0]) != next(shown[1])
            lost = differ == (signs[pair] > 0)
            seen.append((sent, list(signs).index(pair) + 4 * lost))
        elif pair in EKERT.key_pairs and next(sample):
            seen.append((sent, 8 + (next(shown[0]) != next(shown[1]))))
    start, before = 0, 0
    for pairs, tally in tallies(heard, settings=EKERT):
        here = seen[start : start + tally.rounds]
        assert tally.array.tolist() == [sum(kind == k for _, kind in here) for k in range(10)]
        assert before + pairs == here[-1][0]
        start, before = start + tally.rounds, before + pairs
    assert start == len(seen)


@pytest.mark.parametrize("rounds", [0, 1, 31, 32, 33, 5_000, 1_000_000])
def test_intervals_end_where_the_rounds_do(rounds):
    ends = interval_ends(rounds)
    assert (ends[-1] if rounds else 0) == rounds
    steps = np.diff(ends, prepend=0)
    assert len(ends) == 0 or steps[:-1].min(initial=32) >= 32
    assert len(ends) < 1_000
    early = ends[:-1] - steps[:-1]
    assert np.all(steps[:-1] <= np.maximum(32, early // 32))


# When it rings --------------------------------------------------------------------------------


def test_alarm_of_a_session_is_that_of_its_intervals():
    device = honest(0.85)
    report = run_watched(device, PROMISE, rounds=20_000, seed=3)
    heard, _ = heard_in(honest(0.85))
    watch = alarm.initial_wealth(report.watch.wealth.bets)
    sent, rang = 0, None
    for pairs, tally in tallies(heard, settings=EKERT):
        watch, before = alarm.update(watch, tally), sent
        sent += pairs
        if rang is None and watch.alarm_round is not None:
            rang = before, sent
    assert rang[0] < report.alarm.round <= rang[1]
    assert report.watch.wealth.log_evidence == watch.log_evidence
    assert report.watch.sent == report.rounds == 20_000


def test_session_names_the_round_within_the_interval():
    """Full interception late in a long session, whose intervals there are 600 rounds long."""
    device = TurningSession(200_000)
    report = run_watched(device, PROMISE, rounds=300_000, seed=3)
    coarse = PROMISE.sequential_test(settings=EKERT, policy=Policy(), planned_pairs=300_000)
    heard, _ = heard_in(TurningSession(200_000), rounds=300_000)
    for pairs, tally in tallies(heard, settings=EKERT):
        coarse = coarse.after(tally, pairs=pairs)
    assert 200_000 < report.alarm.round < coarse.rang
    assert report.watch.wealth.log_evidence == coarse.wealth.log_evidence


class TurningSession:
    """A session's device: honest pairs for some rounds, intercepted ones from then on."""

    settings = EKERT

    def __init__(self, rounds):
        self.rounds = rounds

    def __call__(self, x, y):
        eve = stage(
            "intercept-resend", Conditions(1.0, settings=EKERT, visibility=0.97, seed=2)
        ).device
        parts = (slice(None, self.rounds), slice(self.rounds, None))
        answers = [d(x[p], y[p]) for d, p in zip((honest(), eve), parts, strict=True)]
        return tuple(np.concatenate(halves) for halves in zip(*answers, strict=True))


def test_honest_sessions_ring_no_more_often_than_promised():
    """Pairs exactly as good as promised; a rate of 55 % would be seen."""
    promise = Promise(0.95, false_alarm=0.1)
    device, sessions = honest(0.95, seed=7), 100
    rang = sum(
        run_watched(device, promise, rounds=3_000, seed=seed).alarm is not None
        for seed in range(sessions)
    )
    most = int(binom.isf(FALSE_ALARM, sessions, 0.1))
    assert rang <= most
    assert binom.cdf(most, sessions, 0.55) < 1e-3


@pytest.mark.parametrize("settings", [EKERT, BBM92], ids=["ekert", "bbm92"])
def test_eve_rings_within_some_hundred_rounds_and_is_named(settings):
    device = stage(
        "intercept-resend", Conditions(1.0, settings=settings, visibility=0.97, seed=1)
    ).device
    report = run_watched(device, PROMISE, rounds=30_000, seed=1)
    assert report.alarm.round < 2_000
    assert report.alarm.named == "EAVESDROPPER"
    assert "Eve" in str(report.alarm)
    assert "EAVESDROPPER" in str(report)


def test_alarm_and_key_are_two_questions():
    """Noise within what the key pays for: the alarm rings, and the key is released."""
    report = run_watched(honest(0.93), Promise(0.97), rounds=400_000, seed=1)
    assert report.abort is None
    assert report.alarm is not None


def test_watching_changes_nothing_else():
    plain = run(honest(), rounds=100_000, seed=4)
    watched = run_watched(honest(), PROMISE, rounds=100_000, seed=4)
    one, two = plain.to_dict(), watched.to_dict()
    assert np.array_equal(plain.key.bits, watched.key.bits)
    for found in (one, two):
        del found["seconds"], found["processor_seconds"], found["watch"]
    assert one == two
    assert (one["alarm"], plain.watch, plain.alarm) == (None, None, None)


def spoiling(subject, party):
    def transmit(message):
        if (message.subject, message.sender) != (subject, party):
            return message
        return Message(message.sender, message.subject, message.body[:-1])

    return transmit


@pytest.mark.parametrize("party", Party)
@pytest.mark.parametrize("subject", ["settings", "sample", "revealed outcomes"])
def test_spoiled_announcements_end_the_session_and_not_the_watch(subject, party):
    report = run_watched(
        honest(), PROMISE, rounds=50_000, seed=1, transmission=spoiling(subject, party)
    )
    expected = None if (subject, party) == ("sample", Party.BOB) else Abort.NOT_AUTHENTIC
    assert report.abort is expected
    assert report.alarm is None
    assert report.watch.sent == 50_000


# Over blocks ----------------------------------------------------------------------------------


def blocks_of(device, blocks=4, **options):
    return stream(device, rounds=blocks * 50_000, block_rounds=50_000, seed=2, **options)


def test_watch_is_carried_from_block_to_block():
    found = list(watch_blocks(blocks_of(honest(0.945)), PROMISE))
    watch = alarm.initial_wealth(found[0].watch.wealth.bets)
    for report in found:
        watch = alarm.update(watch, outcome_counts(report.evidence))
        assert report.watch.wealth.log_evidence == watch.log_evidence
    assert found[-1].watch.sent == 200_000
    assert found[-1].watch.wealth.rounds == sum(
        outcome_counts(report.evidence).rounds for report in found
    )


def test_attack_that_begins_late_rings_then_and_stays():
    reports = [*blocks_of(honest(), 6)]
    tapped = stage(
        "intercept-resend", Conditions(0.3, settings=EKERT, visibility=0.97, seed=1)
    ).device
    reports += blocks_of(tapped, 2)
    reports += blocks_of(honest(seed=5), 2)
    found = list(watch_blocks(reports, PROMISE))
    assert [report.alarm is None for report in found] == [True] * 6 + [False] * 4
    assert {report.alarm.round for report in found[6:]} == {350_000}
    assert found[6].alarm.named == "EAVESDROPPER"
    assert summary_of(found).alarm.round == 350_000
    assert "rang after 350,000 pairs" in str(summary_of(found))
    assert summary_of(reports).to_dict()["alarm"] is None


def test_watch_over_sessions_is_that_over_blocks():
    reports = [run(honest(seed=seed), rounds=20_000, seed=seed) for seed in range(3)]
    assert [r.watch.sent for r in watch_blocks(reports, PROMISE)] == [20_000, 40_000, 60_000]


# Within a block ---------------------------------------------------------------------------------


def lossy(settings):
    """Photons lost at either side, in a table of three outcomes."""
    whole = honest(0.95, settings=settings).table
    table = np.zeros((*whole.shape[:2], 3, 3))
    table[:, :, :2, :2] = 0.72 * whole
    table[:, :, 2, :2], table[:, :, :2, 2] = 0.18 * whole.sum(axis=2), 0.08 * whole.sum(axis=3)
    table[:, :, 2, 2] = 0.02
    return ExactDevice(DeviceInfo(settings, "Lossy."), table, np.random.default_rng(3).bytes)


def replays(device, *, block_rounds, settings=None, rounds=None, **options):
    replay = Replay(device, block_rounds)
    rounds = 2 * block_rounds + 30_000 if rounds is None else rounds
    blocks = stream(replay, rounds=rounds, block_rounds=block_rounds, seed=2, **options)
    return replay, blocks


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("model", SecurityModel)
@pytest.mark.parametrize("make", [honest, lossy])
def test_replay_of_a_block_adds_up_to_its_public_counts(settings, model, make):
    """Blocks of several parts, and a last one that is shorter."""
    device = make(settings=settings)
    replay, blocks = replays(device, block_rounds=300_000, rounds=330_000, policy=Policy(model))
    for report in blocks:
        kinds, rounds = replayed_rounds(report, replay)
        declared = outcome_counts(report.evidence)
        assert np.bincount(kinds, minlength=10).tolist() == declared.array.tolist()
        assert rounds[0] >= 0
        assert rounds[-1] < report.rounds
        assert np.all(np.diff(rounds) > 0)


def test_replayed_tests_are_those_of_the_record(tmp_path):
    """The record that the run kept, and the replay: the same tests, in the same rounds."""
    replay, blocks = replays(honest(), block_rounds=300_000, rounds=300_000, keep=tmp_path)
    (report,) = blocks
    kept = load_detections(next(tmp_path.glob("*.npz"))).record
    table = code_table(EKERT)
    codes, rounds = replay.announced(0, rounds=300_000, table=table, fraction=0.1)
    x, y, a, b = np.unravel_index(codes, table.shape)
    for own, others in ((x, kept.alice.setting), (y, kept.bob.setting),
                         (a, kept.alice.outcome), (b, kept.bob.outcome)):  # fmt: skip
        assert np.array_equal(own, others[rounds])
    pairs = list(zip(kept.alice.setting.tolist(), kept.bob.setting.tolist(), strict=True))
    tests = np.array([pair in dict(EKERT.chsh_pairs) for pair in pairs])
    key = np.array([pair in EKERT.key_pairs for pair in pairs])
    assert set(np.flatnonzero(tests)) <= set(rounds)
    assert set(rounds) <= set(np.flatnonzero(tests | key))
    assert len(rounds) == report.evidence.test_size + report.evidence.sample_size


class TurningAt:
    """Honest pairs up to a part, pairs of another visibility from it on."""

    info = DeviceInfo(EKERT, "Turning.")

    def __init__(self, part, visibility):
        self.part, self.devices = part, (honest(), honest(visibility, seed=9))

    def outcome_source(self, settings):
        before, after = (d.outcome_source(settings) for d in self.devices)
        part = self.part

        class Source:
            shape = before.shape

            def answer(self, pairs, outcomes, *, block):
                (before if block < part else after).answer(pairs, outcomes, block=block)

        return Source()


def test_alarm_names_the_round_within_a_block():
    """The link turns bad in the middle of the second of three blocks of four parts."""
    part, size = 2**18, 2**20
    device = TurningAt(6, 0.9)
    replay, blocks = replays(device, block_rounds=size, rounds=3 * size)
    reports = list(blocks)
    ends = [r.alarm and r.alarm.round for r in watch_blocks(reports, PROMISE)]
    named = [r.alarm and r.alarm.round for r in watch_blocks(reports, PROMISE, replay=replay)]
    assert ends == [None, 2 * size, 2 * size]
    assert named[0] is None
    assert named[1] == named[2]
    assert 6 * part < named[1] < 6 * part + 60_000


def test_replay_changes_neither_whether_it_rings_nor_the_evidence():
    for visibility in (0.93, 0.95, 0.97):
        replay, blocks = replays(honest(visibility), block_rounds=100_000)
        reports = list(blocks)
        for one, two in zip(
            watch_blocks(reports, PROMISE), watch_blocks(reports, PROMISE, replay=replay),
            strict=True,
        ):  # fmt: skip
            assert (one.alarm is None) == (two.alarm is None)
            assert one.watch.wealth.log_evidence == two.watch.wealth.log_evidence
            assert one.alarm is None or two.alarm.round <= one.alarm.round


def test_replay_of_another_run_is_refused():
    _, blocks = replays(honest(), block_rounds=50_000)
    other, more = replays(honest(seed=8), block_rounds=50_000)
    next(more)
    with pytest.raises(ValueError, match="must repeat its block's counts"):
        replayed_rounds(next(blocks), other)
    with pytest.raises(ValueError, match="must have been run, but has not"):
        replayed_rounds(next(blocks), Replay(honest(), 50_000))


def test_replay_stands_for_its_device_in_every_sentence():
    device = honest()
    replay = Replay(device, 50_000)
    assert replay.info is device.info
    with pytest.raises(ValueError, match="must draw blocks of rounds to be streamed"):
        Replay(lambda x, y: (x, y), 50_000).outcome_source(EKERT)


# Guards and the command line --------------------------------------------------------------------


def test_link_that_changes_its_settings_is_refused():
    reports = [run(honest(settings=s), rounds=20_000, seed=1) for s in (EKERT, BBM92)]
    with pytest.raises(ValueError, match="must keep its settings and revealed fraction"):
        list(watch_blocks(reports, PROMISE))


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, float("nan")])
def test_impossible_promise_is_one_sentence(value):
    with pytest.raises(ValueError, match=r"`visibility` of a promise must lie in \(0, 1\)"):
        Promise(value)
    with pytest.raises(ValueError, match=r"`false_alarm` of a promise must lie in \(0, 1\)"):
        Promise(0.95, false_alarm=value)


def test_interval_of_fewer_pairs_than_tallied_rounds_is_refused():
    watch = PROMISE.sequential_test(settings=EKERT, policy=Policy())
    with pytest.raises(ValueError, match="`pairs` must be at least 40, but is 39"):
        watch.after(OutcomeCounts((10,) * 4, (0,) * 4, sample=0, errors=0), pairs=39)
    assert replace(watch, sent=5).after(
        OutcomeCounts((10,) * 4, (0,) * 4, sample=0, errors=0), pairs=50
    ).sent == 55  # fmt: skip


LINE = ["run", "--device", "exact", "--rounds", "60000", "--seed", "1", "--json"]


def test_command_line_watches_and_says_so(status):
    code, out, complaint = status(*LINE, "--watch", "0.95")
    found = json.loads(out)
    assert (code, found["alarm"], complaint) == (0, None, "")
    assert found["watch"]["false_alarm"] == 0.001
    assert found["watch"]["tallied_rounds"] > 20_000
    assert json.loads(status(*LINE)[1])["watch"] is None
    assert "silent over" in status(*LINE[:-1], "--watch", "0.95")[1]


def test_command_line_rings_on_standard_error_and_exits_by_the_key(status):
    line = [*LINE, "--watch", "0.95", "--false-alarm", "1e-6"]
    code, out, complaint = status(*line, "--attack", "intercept-resend")
    found = json.loads(out)
    assert (code, found["alarm"]["named"]) == (3, "EAVESDROPPER")
    assert complaint.startswith(f"e91: The alarm rang after {found['alarm']['round']:,} pairs: S ")
    code, out, complaint = status(*line, "--visibility", "0.9", "--rounds", "600000")
    assert code == 0
    assert json.loads(out)["secret_bits"] > 0
    assert complaint.startswith("e91: The alarm rang after")
    assert complaint.count("\n") == 1


def test_long_run_rings_once_as_it_runs(status, monkeypatch):
    monkeypatch.setattr("e91.session.session.MAXIMUM_ROUNDS", 100_000)
    line = [*LINE, "--watch", "0.95", "--rounds", "400000", "--block-rounds", "100000"]
    code, out, complaint = status(*line, "--visibility", "0.92")
    assert code == 0
    rang = json.loads(out)["alarm"]["round"]
    assert rang < 100_000  # the round, not the end of the block
    assert complaint.count(f"The alarm rang after {rang:,} pairs") == complaint.count("\n") == 1
    assert json.loads(status(*line)[1])["alarm"] is None


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--false-alarm", "0.1"], "`--false-alarm` must come with `--watch V`"),
        (["--watch", "1"], "`--watch` must lie strictly between 0 and 1, but is 1"),
        (["--watch", "nan"], "but is nan"),
        (["--watch", "0.9", "--false-alarm", "0"], "`--false-alarm` of a promise must lie in"),
    ],
)
def test_bad_watch_is_one_sentence_and_status_two(status, options, sentence):
    code, out, complaint = status(*LINE, *options)
    assert (code, json.loads(out).keys()) == (2, {"error", "exit_status"})
    assert sentence in complaint
    assert complaint.count("\n") == 1
