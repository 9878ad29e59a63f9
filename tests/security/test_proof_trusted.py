"""The claims of docs/security.md, sections 2 to 4: worst cases by enumeration, order, rounding."""

import math
from collections import defaultdict
from decimal import Decimal, localcontext
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from e91.bell.chsh import DESIGN_CHSH, chsh_lower_bound, phase_error_bound, stake
from e91.distillation.cascade import reconciler as cascade
from e91.model.evidence import Evidence, KeySample, outcomes_of
from e91.model.messages import Channel, Party
from e91.model.portion_sizes import portion_size
from e91.model.records import Leak, SiftedKey
from e91.model.settings import ASYMMETRIC, EKERT
from e91.security.policy import Policy
from e91.security.secret_length import split
from e91.security.shannon import binary_entropy
from e91.security.theorems import portion_lengths
from e91.session.verdict import case_of, verdict_of

TSIRELSON = 2 * math.sqrt(2)

# Equation (3): the cleverest source, by dynamic programming ---------------------------------------

# Whoever prepares the rounds may choose each state by all that happened before.  What a round shows
# is linear in the pair (phase-error rate, error rate), which may be any point of the unit square
# (mixtures of the four Bell states), so the best choice is a corner: one of the Bell states.
BELL_STATES = [
    (phase, error, (1 + (1 - phase - error) / math.sqrt(2)) / 2)
    for phase, error in product((0, 1), repeat=2)
]

SYMMETRIC = {
    "ekert": EKERT,
    "asymmetric": ASYMMETRIC,
    "biased": EKERT.biased((0.2, 0.6, 0.2), (0.2, 0.6, 0.2)),
}


def role_probabilities(settings, fraction):
    """Unrevealed key round, revealed one, Bell test (its four pairs are equally probable here)."""
    key, tests = settings.key_probability, settings.chsh_probability
    kept = key + tests
    return (1 - fraction) * key / kept, fraction * key / kept, tests / kept


def evidence_of(settings, *, key, revealed, errors, wins, losses):
    tests = outcomes_of((wins, 0, 0, 0), (losses, 0, 0, 0), signs=settings.signs)
    return Evidence(tests, (KeySample(key, revealed, errors),), (), settings.signs)


def moves(count, roles, phase, error, win):
    """What a round of this state adds to (key, phase errors, revealed, errors, wins, losses)."""
    key, phases, revealed, errors, wins, losses = count
    yield roles[0], (key + 1, phases + phase, revealed, errors, wins, losses)
    yield roles[1], (key, phases, revealed + 1, errors + error, wins, losses)
    yield roles[2] * win, (key, phases, revealed, errors, wins + 1, losses)
    yield roles[2] * (1 - win), (key, phases, revealed, errors, wins, losses + 1)


def worst_failure(settings, *, rounds, fraction, epsilon):
    """The largest probability of more phase errors than the bound, over all adaptive sources."""
    roles = role_probabilities(settings, fraction)
    levels = [{(0,) * 6}]
    for _ in range(rounds):
        reached = {
            after
            for count in levels[-1]
            for state in BELL_STATES
            for _, after in moves(count, roles, *state)
        }
        levels.append(reached)
    value = {}
    for key, phases, revealed, errors, wins, losses in levels[-1]:
        evidence = evidence_of(
            settings, key=key, revealed=revealed, errors=errors, wins=wins, losses=losses
        )
        bound = phase_error_bound(
            evidence, settings=settings, revealed_fraction=fraction, epsilon=epsilon
        )
        value[key, phases, revealed, errors, wins, losses] = float(phases > bound)
    for level in reversed(levels[:-1]):
        value = {
            count: max(
                sum(p * value[after] for p, after in moves(count, roles, *state))
                for state in BELL_STATES
            )
            for count in level
        }
    return value[(0,) * 6]


@pytest.mark.parametrize("settings", SYMMETRIC.values(), ids=SYMMETRIC)
@pytest.mark.parametrize(("fraction", "epsilon"), [(0.5, 0.5), (0.3, 0.3), (0.5, 0.1)])
def test_no_source_that_adapts_to_the_past_exceeds_the_bound_too_often(settings, fraction, epsilon):
    worst = worst_failure(settings, rounds=10, fraction=fraction, epsilon=epsilon)
    assert worst <= epsilon


def test_cleverest_source_comes_near_what_is_allowed():
    """So the enumeration would see a bound that is too small by a factor."""
    assert worst_failure(EKERT, rounds=10, fraction=0.5, epsilon=0.5) > 0.5 / 4


def worst_failure_of_chsh(rounds, epsilon):
    """Largest probability that the bound exceeds the mean S of the rounds' conditional states."""
    value = {}
    quarters = (0.25,) * 4
    levels = [{(0, 0, 0)}]
    strategies = (-4, 0, 2, 4)  # in steps of two, so that sums are whole
    for _ in range(rounds):
        levels.append(
            {
                (w + won, n + 1, s + v)
                for w, n, s in levels[-1]
                for won in (0, 1)
                for v in strategies
            }
        )
    for wins, played, total in levels[-1]:
        bound = chsh_lower_bound(
            (wins, 0, 0, 0), (played - wins, 0, 0, 0), probabilities=quarters, epsilon=epsilon
        )
        value[wins, played, total] = float(bound > total / rounds)
    for level in reversed(levels[:-1]):
        value = {
            (w, n, s): max(
                (1 + v / 4) / 2 * value[w + 1, n + 1, s + v]
                + (1 - v / 4) / 2 * value[w, n + 1, s + v]
                for v in strategies
            )
            for w, n, s in level
        }
    return value[0, 0, 0]


@pytest.mark.parametrize("epsilon", [0.5, 0.1, 0.01])
def test_no_device_that_adapts_to_the_past_is_credited_more_than_its_mean_s(epsilon):
    assert worst_failure_of_chsh(20, epsilon) <= epsilon


# Rounding -----------------------------------------------------------------------------------------


def bound_in_decimals(evidence, *, fraction, epsilon):
    """Equation (3) for Ekert's uniform settings in 50 digits, with the code's own stake."""
    rounds = evidence.test_size + evidence.sample_size + evidence.key_size
    key, revealed, test = (1 - fraction) / 3, fraction / 3, 1 / 6
    error = (1 - DESIGN_CHSH / TSIRELSON) / 2
    variance = error / key + error / revealed + 4 / (8 * test) - 1
    bet = Decimal(stake(variance, rounds, epsilon=epsilon, largest=1 / (2 * (1 + 6 / TSIRELSON))))
    with localcontext() as context:
        context.prec = 50
        third, share = Decimal(1) / 3, Decimal(fraction)
        score = 6 / (2 * Decimal(2).sqrt())
        growth = evidence.sample_errors * (1 + bet * (1 / (third * share) - 1)).ln()
        others = evidence.sample_size - evidence.sample_errors + evidence.key_size
        growth += others * (1 - bet).ln()
        signs = [sign for _, sign in EKERT.chsh_pairs]
        for same, different, sign in zip(evidence.same, evidence.different, signs, strict=True):
            wins, losses = (same, different) if sign > 0 else (different, same)
            growth += wins * (1 + bet * (score - 1)).ln() + losses * (1 - bet * (score + 1)).ln()
        per_error = (1 + bet * (1 / (third * (1 - share)) - 1)).ln() - (1 - bet).ln()
        bound = (-Decimal(epsilon).ln() - growth) / per_error
        return min(Decimal(evidence.key_size), max(Decimal(0), bound))


@given(
    st.sampled_from([1, 10, 10**3, 10**5, 10**7, 10**10, 10**12, 10**15]),
    st.floats(0.75, 0.8535),
    st.floats(0, 0.11),
    st.sampled_from([0.1, 1e-10, 1e-21, 1e-60]),
)
def test_bound_is_never_below_its_value_in_fifty_digits(scale, win, qber, epsilon):
    wins = round(scale * win)
    tests = outcomes_of((wins,) * 4, (scale - wins,) * 4, signs=EKERT.signs)
    revealed = max(1, scale // 5)
    sample = KeySample(2 * scale, revealed, round(revealed * qber))
    evidence = Evidence(tests, (sample,), (), EKERT.signs)
    exact = bound_in_decimals(evidence, fraction=0.1, epsilon=epsilon)
    bound = phase_error_bound(evidence, settings=EKERT, revealed_fraction=0.1, epsilon=epsilon)
    assert exact <= Decimal(bound) <= exact * (1 + Decimal("1e-10")) + 1


# Section 4: what Cascade tells --------------------------------------------------------------------


def said_by(alice, bob):
    """All that each party says in Cascade, and the bits that it is charged."""
    channel = Channel()
    first, second = (SiftedKey(np.array(bits, np.uint8)) for bits in (alice, bob))
    cascade.reconcile(first, second, error_rate=0.1, permutation_seed=bytes(32), channel=channel)
    heard = {party: [] for party in Party}
    for message in channel.seen[Party.BOB]:
        heard[message.sender].append(message.body)
    charged = {party: channel.disclosed_by(party) for party in Party}
    return {party: tuple(bodies) for party, bodies in heard.items()}, charged


@pytest.mark.parametrize(
    "pattern", [(0,) * 7, (1, 0, 0, 0, 0, 0, 0), (0, 1, 0, 0, 1, 1, 0), (1,) * 7]
)
def test_given_the_error_pattern_alice_tells_no_more_than_she_is_charged(pattern):
    """All 128 keys: as many bits are charged for each, and so many strings are never exceeded."""
    reported, charges, answers = set(), set(), set()
    for alice in product((0, 1), repeat=7):
        bob = tuple(a ^ e for a, e in zip(alice, pattern, strict=True))
        heard, charged = said_by(alice, bob)
        reported.add(heard[Party.ALICE])
        charges.add(charged[Party.ALICE])
        answers.add(heard[Party.BOB])
    assert len(answers) == len(charges) == 1  # Bob's messages, and her charge, are the pattern's
    assert math.log2(len(reported)) <= charges.pop()


def test_both_parties_messages_are_a_code_that_obeys_krafts_inequality():
    """All 1,024 pairs of keys of five bits: what the device-independent lengths rely on."""
    lengths = defaultdict(set)
    for alice in product((0, 1), repeat=5):
        for bob in product((0, 1), repeat=5):
            heard, charged = said_by(alice, bob)
            lengths[heard[Party.ALICE], heard[Party.BOB]].add(sum(charged.values()))
    assert all(len(found) == 1 for found in lengths.values())
    assert sum(2.0**-bits for (bits,) in lengths.values()) <= 1


# No key is longer than an attack allows -----------------------------------------------------------


def weaker_chsh(wins, tests, chance):
    """The S of a source that wins as often as was seen, or more often, with this probability."""
    low, high = 0.0, 8 * wins / tests - 4
    for _ in range(60):
        middle = (low + high) / 2
        likely = binom.sf(wins - 1, tests, 0.5 + middle / 8) > chance
        low, high = (low, middle) if likely else (middle, high)
    return high


def lengths_of(evidence, policy):
    """The lengths of all portions, though all tests are of one setting pair."""
    seen = verdict_of(evidence, settings=EKERT, policy=policy)
    return portion_lengths(
        case_of(
            evidence,
            settings=EKERT,
            policy=policy,
            found=seen.chsh,
            error_rate=evidence.error_rate,
            leak=Leak(),
        )
    )


@pytest.mark.parametrize("rounds", [10**5, 10**6, 10**8, 10**10, 10**12])
@pytest.mark.parametrize("portions", [1, 8])
@pytest.mark.parametrize("error", [0.005, 0.015, 0.03])
def test_no_key_is_longer_than_a_source_of_like_pairs_leaves(rounds, portions, error):
    """Eve dephases the pairs until S is as low as ten times her allowance lets it pass for more.

    She then holds the phase error of every round: n h(e) bits about the key at the end, but for
    fluctuations of the order of the root of n.
    """
    policy = Policy(portions=portions)
    key, revealed, tests = rounds * 3 // 10, rounds // 30, rounds * 2 // 3
    wins = round(tests * (0.5 + TSIRELSON * (1 - 2 * error) / 8))
    evidence = evidence_of(
        EKERT, key=key, revealed=revealed, errors=round(error * revealed), wins=wins,
        losses=tests - wins,
    )  # fmt: skip
    length = sum(portion.bits for portion in lengths_of(evidence, policy))
    true = weaker_chsh(wins, tests, 10 * split(policy.epsilon).secrecy)
    phase_error = 1 - true / TSIRELSON - error
    assert 0 < length < key * (1 - binary_entropy(phase_error))


# Epsilon: what is spent where ---------------------------------------------------------------------


@pytest.mark.parametrize("epsilon", [0.5, 1e-6, 1e-10, 1e-20, 1e-30])
@pytest.mark.parametrize("portions", [1, 2, 64])
def test_bounds_are_asked_for_no_more_than_the_budget_of_a_session(monkeypatch, epsilon, portions):
    """Smoothing is the root of what the bound may fail with, and counts twice; all adds up."""
    asked = []

    def bound(evidence, *, epsilon, **_):
        asked.append(epsilon)
        return 0.02 * evidence.key_size

    monkeypatch.setattr("e91.session.verdict.chsh.phase_error_bound", bound)
    shares = []
    monkeypatch.setattr(
        "e91.security.secret_length.share_bound",
        lambda errors, *, rows, portions, epsilon: shares.append(epsilon) or errors / portions,
    )
    evidence = evidence_of(EKERT, key=10**6, revealed=10**5, errors=10**3, wins=10**5, losses=10**4)
    policy = Policy(epsilon=epsilon, portions=portions)
    size = portion_size(10**6, portions=portions)
    lengths = lengths_of(evidence, policy)
    failing = max(asked) + max(shares, default=0.0)
    assert (min(asked), min(shares, default=0.0)) == (max(asked), max(shares, default=0.0))
    entropy = size * (1 - binary_entropy(0.02 * 10**6 / portions / size))
    amplification = max(
        2 ** ((dict(length.terms)["privacy amplification"] - 2) / 2) for length in lengths
    )
    tags = split(epsilon)
    spent = portions * (2 * math.sqrt(failing) + amplification)
    spent += tags.correctness + tags.authentication
    assert 0.999 * epsilon < spent <= epsilon * (1 + 1e-12)
    assert all(length.bits <= entropy + 2 * math.log2(2 * amplification) for length in lengths)
