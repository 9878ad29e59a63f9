"""The Bell test: Bell's theorem as a proof by cases, and bounds that keep their promise."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from born_rule import BELL_VECTORS, correlator, damped, density, dephased, joint_table
from scipy.stats import binom
from statistical import acceptance

from e91.bell import chsh
from e91.bell.chsh import check_identity, chsh_lower_bound, local_p_value, phase_error_bound, stake
from e91.model.evidence import Evidence, KeySample
from e91.model.settings import ASYMMETRIC, BBM92, EKERT, SETTINGS

EPSILON = 1e-2
TSIRELSON = 2 * math.sqrt(2)
QUARTERS = [0.25] * 4


def allowed_failures(runs: int) -> int:
    """The largest count of failures that is believable (1e-9) at a failure rate of EPSILON."""
    return int(binom.isf(1e-9, runs, EPSILON))


def werner(visibility):
    return visibility * density(BELL_VECTORS["phi+"]) + (1 - visibility) * np.eye(4) / 4


def chsh_of(rho, settings):
    return sum(
        sign * correlator(joint_table(rho, settings.alice_angles[x], settings.bob_angles[y]))
        for (x, y), sign in settings.chsh_pairs
    )


def error_rate(rho, angle):
    table = joint_table(rho, angle, angle)
    return table[0, 1] + table[1, 0]


# Bell's theorem ------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", list(product((0, 1), repeat=6)))  # all 64: a proof
def test_no_deterministic_local_strategy_exceeds_two(strategy):
    alice, bob = strategy[:3], strategy[3:]
    differs = [alice[x] ^ bob[y] for (x, y), _ in EKERT.chsh_pairs]
    found = chsh.estimate(
        [1000 * (1 - d) for d in differs],
        [1000 * d for d in differs],
        settings=EKERT,
        epsilon=EPSILON,
    )
    assert abs(found.value) == 2  # the sum of four signs with an odd number of minuses: -2 or 2
    assert found.lower_bound <= 2


def test_estimate_is_the_signed_sum_of_correlators():
    same, different = (70, 20, 80, 90), (30, 80, 20, 10)
    found = chsh.estimate(same, different, settings=EKERT, epsilon=EPSILON)
    correlators = [0.4, -0.6, 0.6, 0.8]
    assert found.value == pytest.approx(0.4 + 0.6 + 0.6 + 0.8, abs=1e-12)
    variance = sum((1 - e * e) / 100 for e in correlators)
    assert found.standard_error == pytest.approx(math.sqrt(variance), rel=1e-12)
    assert found.rounds == 400


def test_p_value_of_an_estimate_is_the_binomial_tail_at_three_quarters():
    """17 wins in 20 rounds, four pairs of five; the pair with the sign -1 is won if unlike."""
    same = [1 if sign < 0 else 4 for _, sign in EKERT.chsh_pairs]
    same[0] += 1 if EKERT.chsh_pairs[0][1] > 0 else -1
    found = chsh.estimate(same, [5 - count for count in same], settings=EKERT, epsilon=1e-6)
    tail = sum(math.comb(20, won) * 3**won for won in range(17, 21)) / 4**20
    assert found.p_value == pytest.approx(tail, rel=1e-12)


def test_setting_pair_that_never_occurred_leaves_no_value():
    found = chsh.estimate((10, 0, 10, 10), (0, 0, 0, 0), settings=EKERT, epsilon=EPSILON)
    assert found.value is None
    assert found.standard_error is None


def test_no_rounds_prove_nothing():
    found = chsh.estimate((0,) * 4, (0,) * 4, settings=EKERT, epsilon=EPSILON)
    assert (found.lower_bound, found.p_value, found.rounds) == (-4.0, 1.0, 0)


# The lower bound on S ------------------------------------------------------------------------


def bounds_of(wins, losses):
    """Lower bounds of many runs; ``wins`` and ``losses`` have shape (runs, 4)."""
    return np.array(
        [
            chsh_lower_bound(w, lost, probabilities=QUARTERS, epsilon=EPSILON)
            for w, lost in zip(wins.tolist(), losses.tolist(), strict=True)
        ]
    )


@pytest.mark.parametrize("value", [2.0, 2.4, 0.97 * TSIRELSON, TSIRELSON])
def test_lower_bound_fails_no_more_often_than_epsilon(value):
    runs, rounds = 10_000, 2_000
    rng = np.random.default_rng(round(1000 * value))
    counts = rng.multinomial(rounds, QUARTERS, size=runs)
    wins = rng.binomial(counts, (1 + value / 4) / 2)
    failures = int(np.sum(bounds_of(wins, counts - wins) > value))
    assert failures <= allowed_failures(runs)
    # The bound is no empty promise: a bound for 20 epsilon would be caught at this size.
    assert binom.cdf(allowed_failures(runs), runs, 20 * EPSILON) < 1e-3


def test_lower_bound_holds_against_a_local_device_with_memory():
    """Each run bets on being lucky: it plays safe (S = 2) or fair (S = 0) by its score so far."""
    runs, rounds = 10_000, 1_000
    rng = np.random.default_rng(5)
    wins, losses = np.zeros((2, runs, 4), int)
    promised = np.zeros(runs)
    score, last = np.zeros(runs), np.zeros(runs, int)
    every = np.arange(runs)
    for played in range(rounds):
        cautious = score > 2 * played + 3 * math.sqrt(played + 1)  # stop while ahead
        given_up = rng.integers(0, 4, runs)
        # The pair that the strategy sacrifices: the last setting pair seen, if that was won.
        sacrificed = np.where(score > 2 * played, last, given_up)
        pair = rng.integers(0, 4, runs)
        won = np.where(cautious, rng.integers(0, 2, runs) == 1, pair != sacrificed)
        promised += np.where(cautious, 0.0, 2.0)
        np.add.at(wins, (every, pair), won)
        np.add.at(losses, (every, pair), ~won)
        score += np.where(won, 4, -4)
        last = pair
    bound = bounds_of(wins, losses)
    assert int(np.sum(bound > promised / rounds)) <= allowed_failures(runs)
    assert int(np.sum(bound > 2)) <= allowed_failures(runs)


def chernoff_lower_bound(won, rounds, epsilon):
    """The best bound for independent rounds: D(won/n || p) = log(1/epsilon) / n, by bisection."""
    rate = won / rounds
    low, high = 1e-9, rate
    for _ in range(80):
        p = (low + high) / 2
        divergence = rate * math.log(rate / p) + (1 - rate) * math.log((1 - rate) / (1 - p))
        low, high = (p, high) if divergence > math.log(1 / epsilon) / rounds else (low, p)
    return 8 * low - 4


@pytest.mark.parametrize("epsilon", [1e-2, 1e-6, 1e-12])
@pytest.mark.parametrize("rounds", [2_000, 40_000])
@pytest.mark.parametrize("value", [2.2, 2.6, 0.97 * TSIRELSON])
def test_lower_bound_is_nearly_as_tight_as_chernoffs(value, rounds, epsilon):
    won = round(rounds / 4 * (1 + value / 4) / 2)
    seen = 8 * won / (rounds / 4) - 4
    bound = chsh_lower_bound(
        [won] * 4, [rounds // 4 - won] * 4, probabilities=QUARTERS, epsilon=epsilon
    )
    best = chernoff_lower_bound(4 * won, rounds, epsilon)
    assert seen - best <= (seen - bound) * (1 + 1e-9)  # nothing beats it by this method
    assert seen - bound <= 1.3 * (seen - best)


def test_stakes_never_risk_everything():
    assert stake(1e-9, 1, epsilon=1e-12, largest=0.125) == 0.125
    for losses in ([1, 0, 0, 0], [0, 0, 0, 1]):
        assert chsh_lower_bound([0] * 4, losses, probabilities=QUARTERS, epsilon=1e-12) == -4


# The phase-error identity --------------------------------------------------------------------


def random_states(count, seed):
    rng = np.random.default_rng(seed)
    for index in range(count):
        shape = (4, 1 + index % 4)  # pure states and mixed ones of every rank
        root = rng.normal(size=shape) + 1j * rng.normal(size=shape)
        rho = root @ root.conj().T
        yield rho / np.trace(rho).real


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_phase_error_bit_error_and_chsh_value_are_one_for_every_state(settings):
    for rho in random_states(200, seed=3):
        for x, _ in settings.key_pairs:
            angle = settings.alice_angles[x]
            phase = error_rate(rho, angle + math.pi / 2)
            total = phase + error_rate(rho, angle) + chsh_of(rho, settings) / TSIRELSON
            assert total == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_named_settings_pass_the_check_of_the_identity(settings):
    check_identity(settings)


@pytest.mark.parametrize(
    "wrong",
    [
        replace(EKERT, bob_angles=(math.pi / 4, math.pi / 2, 3 * math.pi / 4 + 0.01)),
        replace(EKERT, chsh_pairs=tuple((pair, -sign) for pair, sign in EKERT.chsh_pairs)),
        replace(EKERT, key_pairs=()),
        replace(EKERT, chsh_pairs=()),
        replace(ASYMMETRIC, alice_angles=(0.0, math.pi / 4, math.pi / 4)),
    ],
    ids=["turned", "signs flipped", "no key", "no test", "angle twice"],
)
def test_settings_without_the_identity_are_refused(wrong):
    with pytest.raises(ValueError, match="must have key pairs and CHSH angles"):
        check_identity(wrong)
    nothing = Evidence.empty(wrong)
    with pytest.raises(ValueError, match="must have key pairs and CHSH angles"):
        phase_error_bound(nothing, settings=wrong, revealed_fraction=0.1, epsilon=EPSILON)


# The phase-error bound, with the phase measured in the key rounds instead ----------------------

FRACTION = 0.2


class Rounds:
    """Counts of many runs at once: one column per kind of round, phase errors included."""

    def __init__(self, settings, runs):
        self.settings = settings
        self.keys = len(settings.key_pairs)
        key = [settings.pair_probability(pair) for pair in settings.key_pairs]
        tests = [settings.pair_probability(pair) for pair, _ in settings.chsh_pairs]
        chances = [(1 - FRACTION) * p for p in key] + [FRACTION * p for p in key] + tests
        self.chances = np.array(chances) / sum(chances)
        self.counts = np.zeros((runs, len(chances)), int)
        self.events = np.zeros_like(self.counts)

    def event_probabilities(self, rho):
        """Phase error of a hidden key round, error of a revealed one, equal outcomes in a test."""
        angles = [self.settings.alice_angles[x] for x, _ in self.settings.key_pairs]
        same = [
            1 / 2 + correlator(joint_table(rho, *self._angles(pair))) / 2
            for pair, _ in self.settings.chsh_pairs
        ]
        phase = [error_rate(rho, angle + math.pi / 2) for angle in angles]
        return np.clip([*phase, *(error_rate(rho, angle) for angle in angles), *same], 0, 1)

    def _angles(self, pair):
        return self.settings.alice_angles[pair[0]], self.settings.bob_angles[pair[1]]

    def play(self, rng, rounds, probabilities):
        """Add ``rounds`` kept rounds to every run; one row of probabilities a run, or one."""
        counts = rng.multinomial(rounds, self.chances, size=len(self.counts))
        self.counts += counts
        self.events += rng.binomial(counts, probabilities)

    @property
    def revealed_error_rate(self):
        revealed = slice(self.keys, 2 * self.keys)
        sizes = self.counts[:, revealed].sum(axis=1)
        return self.events[:, revealed].sum(axis=1) / np.maximum(sizes, 1)

    def failures(self, epsilon):
        """How many runs have more phase errors than the bound says."""
        return int(np.sum(self.events[:, : self.keys].sum(axis=1) > self.bounds(epsilon)))

    def bounds(self, epsilon):
        hidden, revealed = slice(self.keys), slice(self.keys, 2 * self.keys)
        found = []
        for counts, events in zip(self.counts, self.events, strict=True):
            tests, same = counts[2 * self.keys :], events[2 * self.keys :]
            evidence = Evidence(
                tests=tuple(
                    (s, n - s, 0, 0) for s, n in zip(same.tolist(), tests.tolist(), strict=True)
                ),
                samples=tuple(
                    KeySample(*row)
                    for row in zip(
                        counts[hidden].tolist(),
                        counts[revealed].tolist(),
                        events[revealed].tolist(),
                        strict=True,
                    )
                ),
                pair_counts=(),
                signs=self.settings.signs,
            )
            found.append(
                phase_error_bound(
                    evidence, settings=self.settings, revealed_fraction=FRACTION, epsilon=epsilon
                )
            )
        return np.array(found)


SOURCES = {
    "Werner": werner(0.97),
    "weak Werner": werner(0.75),
    "dephased": dephased(density(BELL_VECTORS["phi+"]), 0.08),
    "damped": damped(density(BELL_VECTORS["phi+"]), 0.1),
    "separable": dephased(density(BELL_VECTORS["phi+"]), 0.5),
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("source", SOURCES)
def test_phase_errors_exceed_their_bound_no_more_often_than_epsilon(settings, source):
    played = Rounds(settings, runs=2_500)
    rng = np.random.default_rng(11)
    played.play(rng, 2_000, played.event_probabilities(SOURCES[source]))
    assert played.failures(EPSILON) <= allowed_failures(2_500)


def test_phase_error_bound_holds_against_a_source_that_changes_with_the_past():
    played = Rounds(EKERT, runs=2_500)
    rng = np.random.default_rng(12)
    good = played.event_probabilities(SOURCES["Werner"])
    bad = played.event_probabilities(SOURCES["separable"])
    for _ in range(40):
        lucky = played.revealed_error_rate < 0.1  # so far it goes unnoticed: dare more
        played.play(rng, 50, np.where(lucky[:, None], bad, good))
    assert played.failures(EPSILON) <= allowed_failures(2_500)
    # The source did use both states: more phase errors than the one makes, fewer than the other.
    errors, hidden = played.events[:, :2].sum(), played.counts[:, :2].sum()
    assert acceptance(hidden, good[:2].mean())[1] < errors < acceptance(hidden, bad[:2].mean())[0]


def test_monte_carlo_of_phase_errors_sees_a_bound_that_fails():
    played = Rounds(EKERT, runs=2_500)
    played.play(np.random.default_rng(13), 2_000, played.event_probabilities(SOURCES["Werner"]))
    assert played.failures(0.9) > allowed_failures(2_500)  # nearly no confidence was asked for


def test_phase_error_bound_is_worth_having():
    """For 200 times the rounds, the bound is within 2 points of the true phase-error rate."""
    played = Rounds(EKERT, runs=20)
    played.play(np.random.default_rng(14), 400_000, played.event_probabilities(werner(0.97)))
    sizes = played.counts[:, :2].sum(axis=1)
    assert np.all(played.bounds(1e-10) / sizes < 0.015 + 0.02)


def test_no_key_has_no_phase_errors():
    nothing = Evidence.empty(BBM92)
    assert phase_error_bound(nothing, settings=BBM92, revealed_fraction=0.1, epsilon=1e-6) == 0


def test_p_value_for_unequal_pairs_is_valid_and_has_power():
    """10^4 runs of the best local models: P(p <= 0.01) is at most 0.01; quantum data reach 1e-6."""
    generator = np.random.default_rng(77)
    probabilities = np.array([0.1, 0.2, 0.3, 0.4])
    rounds, runs = 2_000, 10_000
    for sacrificed in range(4):  # a deterministic local model loses exactly one pair
        counts = generator.multinomial(rounds, probabilities, size=runs)
        wins, losses = counts.copy(), np.zeros_like(counts)
        wins[:, sacrificed], losses[:, sacrificed] = 0, counts[:, sacrificed]
        small = sum(
            local_p_value(w, lost, probabilities=probabilities) <= 0.01
            for w, lost in zip(wins.tolist(), losses.tolist(), strict=True)
        )
        assert small <= binom.isf(1e-9, runs, 0.01)
    expected = rounds * probabilities
    won = np.rint(expected * (2 + math.sqrt(2)) / 4).astype(int)
    lost = np.rint(expected).astype(int) - won
    assert local_p_value(won, lost, probabilities=probabilities) < 1e-6


def test_p_value_of_nearly_equal_pairs_gives_nothing_to_who_loses_at_the_rarest():
    """A local model wins more than 3/4 of the rounds then, which refutes no local model."""
    settings = EKERT.biased((0.336, 0.33, 0.334), (0.332, 0.336, 0.332))
    shares = [settings.pair_probability(pair) for pair, _ in settings.chsh_pairs]
    assert 0 < max(shares) - min(shares) < 1e-3
    counts = [round(10**9 * share / sum(shares)) for share in shares]
    rarest = shares.index(min(shares))
    wins = [0 if pair == rarest else n for pair, n in enumerate(counts)]
    losses = [n - won for won, n in zip(wins, counts, strict=True)]
    pairs = zip(wins, losses, settings.signs, strict=True)
    same, different = zip(*((w, n) if s > 0 else (n, w) for w, n, s in pairs), strict=True)
    found = chsh.estimate(same, different, settings=settings, epsilon=1e-10)
    assert found.value <= 2
    assert found.p_value > 0.1


@pytest.mark.parametrize("probabilities", [(0.25,) * 4, (0.05, 0.15, 0.3, 0.5)])
@pytest.mark.parametrize("lost_pair", range(4))
def test_bet_against_local_models_is_fair_to_the_best_of_them(probabilities, lost_pair):
    """Who wins at three of the pairs, S = 2, keeps a bet of mean 1 exactly: Markov's premise."""
    rich = [400, 300, 300, 200]

    def payoff(wins=(0,) * 4, losses=(0,) * 4):
        after = local_p_value(np.add(rich, wins).tolist(), losses, probabilities=probabilities)
        return local_p_value(rich, (0,) * 4, probabilities=probabilities) / after

    one = np.eye(4, dtype=int).tolist()
    mean = sum(
        p * (payoff(losses=one[k]) if k == lost_pair else payoff(wins=one[k]))
        for k, p in enumerate(probabilities)
    )
    assert mean == pytest.approx(1, abs=1e-9)
