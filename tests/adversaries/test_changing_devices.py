"""Devices with a memory or a clock, against what their definitions say round by round."""

import numpy as np
import pytest
from statistical import assert_binomial

from e91.adversaries import Conditions, stage
from e91.adversaries.changing_devices import memory_attack
from e91.adversaries.notes import TappedDevice
from e91.model.settings import ASYMMETRIC, SETTINGS


def random_tests(settings, rounds, generator):
    pairs = np.array([pair for pair, _ in settings.chsh_pairs], np.uint8)
    chosen = pairs[generator.integers(4, size=rounds)]
    return chosen[:, 0], chosen[:, 1]


def memory(settings, seed):
    return stage("memory", Conditions(1.0, settings=settings, seed=seed)).device


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_memory_loses_at_the_most_frequent_pair_of_the_past_and_only_there(settings):
    device = memory(settings, seed=1)
    x, y = random_tests(settings, 3_000, np.random.default_rng(2))
    a, b = np.concatenate([device(x[:1_000], y[:1_000]), device(x[1_000:], y[1_000:])], axis=1)
    seen = [0, 0, 0, 0]
    pairs = [pair for pair, _ in settings.chsh_pairs]
    for i in range(3_000):
        here = pairs.index((x[i], y[i]))
        sign = settings.chsh_pairs[here][1]
        lost = (1 - 2 * int(a[i] ^ b[i])) != sign
        assert lost is (here == int(np.argmax(seen)))
        seen[here] += 1


def estimate(notes, settings):
    values = []
    for (x, y), sign in settings.chsh_pairs:
        here = (notes.x == x) & (notes.y == y)
        values.append(sign * np.mean(1.0 - 2.0 * (notes.alice[here] ^ notes.bob[here])))
    return sum(values)


def test_memory_raises_the_mean_of_s_in_short_runs_where_plain_strategies_do_not():
    generator = np.random.default_rng(3)
    means = {}
    for name in ("memory", "local"):
        found = []
        for seed in range(1_500):
            strength = {"memory": 1.0, "local": 2.0}[name]
            staged = _cheap(name, strength, seed)
            staged(*random_tests(ASYMMETRIC, 60, generator))
            found.append(estimate(staged.notes, ASYMMETRIC))
        means[name] = (np.nanmean(found), np.nanstd(found) / np.sqrt(len(found)))
    assert abs(means["local"][0] - 2) < 6.2 * means["local"][1]  # 1e-9, normal: 1,500 sessions
    assert means["memory"][0] - 2 > 6.2 * means["memory"][1]


def _cheap(name, strength, seed):
    """The same devices without circuits."""
    if name == "memory":
        silent = lambda x, y: (np.zeros_like(x), np.zeros_like(y))  # noqa: E731
        conditions = Conditions(strength, seed=seed)
        return TappedDevice(conditions.info("No circuits."), memory_attack(silent, conditions))
    return stage("local", Conditions(strength, seed=seed)).device


def test_drift_spoils_the_end_and_not_the_beginning():
    rounds = 100_000
    device = stage("drift", Conditions(1.0, rounds=rounds, seed=4)).device
    x = np.zeros(rounds, np.uint8)
    a, b = device(x, x)  # the key pair: no errors without drift
    wrong = a != b
    tenth = rounds // 10
    # The mean visibility lost over the first tenth is 5 %, over the last 95 %; half of it errs.
    assert_binomial(int(wrong[:tenth].sum()), tenth, 0.025, must_detect=0.05)
    assert_binomial(int(wrong[-tenth:].sum()), tenth, 0.475, must_detect=0.4)


def test_device_turns_bad_at_its_time_and_eve_knows_from_then_on():
    rounds = 20_000
    device = stage("turning-bad", Conditions(0.25, rounds=rounds, seed=5)).device
    device(*random_tests(ASYMMETRIC, rounds, np.random.default_rng(6)))
    notes = device.notes
    assert np.array_equal(notes.kind, (np.arange(rounds) >= 15_000).astype(np.uint8))
    assert np.array_equal(notes.alice[15_000:], notes.guess[15_000:])


def test_tape_is_the_answer_only_to_the_settings_it_was_made_for():
    x = np.zeros(30_000, np.uint8)
    for foreseen, errors in ((1.0, 0.0), (0.0, None)):
        device = stage("replay", Conditions(foreseen, seed=7)).device
        a, b = device(x, x)
        expected = stage("replay", Conditions(foreseen, seed=7)).expected.qber
        assert_binomial(int((a != b).sum()), len(x), expected, must_detect=expected + 0.04)
        assert errors is None or expected == errors


def test_blinding_is_noted_where_bob_clicked_and_nowhere_else():
    device = stage("blinding", Conditions(1.0, seed=8)).device
    a, b = device(*random_tests(ASYMMETRIC, 5_000, np.random.default_rng(9)))
    assert np.array_equal(device.notes.kind == 1, b != 2)
    assert np.array_equal(device.notes.guess[b != 2], b[b != 2])
    assert len(a) == 5_000


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
@pytest.mark.parametrize("name", ["memory", "drift", "turning-bad", "replay"])
def test_share_that_is_no_probability_is_refused(name, strength):
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\].*, but is"):
        stage(name, Conditions(strength))
