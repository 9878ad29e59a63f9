"""The claims of docs/device_independent.md, step by step, each by another route than the code's."""

import math

import numpy as np
import pytest
from test_entropy_accumulation import session

from e91.model.records import Leak
from e91.security.device_independent import TSIRELSON
from e91.security.entropy_accumulation import (
    Counts,
    amplification_cost,
    announced_test_bits,
    chosen_bets,
    credited_bits,
)
from e91.security.secret_length import accumulated_length, split

EPSILON = 1e-10
DISTANCE = split(EPSILON).secrecy


def length_by_hand(counts, rounds):
    """Equation (4) for the counts as they are, without error correction."""
    bets = chosen_bets(
        rounds,
        key_probability=counts.key_probability,
        test_probabilities=counts.test_probabilities,
        epsilon=DISTANCE,
    )
    cost = amplification_cost(bets[0].order, epsilon=DISTANCE)
    return credited_bits(counts, bets) - announced_test_bits(counts) - cost


def length_of(counts, rounds):
    found = accumulated_length(
        counts,
        rounds=rounds,
        chsh_value=2.7,
        announced_sample_bits=0.0,
        leak=Leak(),
        epsilon=EPSILON,
    )
    return math.fsum(bits for _, bits in found.terms)


# Lengths that the theorem does not cover ----------------------------------------------------------


def test_luck_of_rare_pairs_never_makes_a_key_longer_than_the_theorem():
    """A device at the boundary of quantum theory, three rare pairs and a common one.

    In one of 130 sessions the rare pairs are so lucky that S exceeds 2 sqrt 2.
    """
    rounds, tests, key = 10**7, (1e-4, 1e-4, 1e-4, 0.05), 0.94
    strong = 0.8
    weak = math.sin(math.pi - 3 * math.asin(strong))  # S = 2.752, the most that 0.8 leaves
    sizes = np.array([round(rounds * p) for p in tests])
    generator = np.random.default_rng(1)
    lucky = 0
    for _ in range(2_000):
        wins = generator.binomial(sizes, (1 + np.array([strong, strong, strong, weak])) / 2)
        counts = Counts(key * rounds, tuple(wins), tuple(sizes - wins), key, tests)
        if np.sum(2 * wins / sizes - 1) > TSIRELSON:
            lucky += 1
            assert length_of(counts, rounds) <= length_by_hand(counts, rounds) + 1e-6
    assert lucky > 5


@pytest.mark.parametrize("common", [0.5, 0.6, 0.7, 0.8])
@pytest.mark.parametrize("rare", [1, 10, 1000])
def test_pairs_that_hardly_occurred_do_not_hide_a_local_device(rare, common):
    """Three pairs that were won by chance, and one with 80,000 rounds that says what is so."""
    rounds, sizes = 10**6, np.array([rare, rare, rare, 80_000])
    wins = np.array([rare, rare, rare, round(80_000 * common)])
    counts = Counts(0.92 * rounds, tuple(wins), tuple(sizes - wins), 0.92, (0.02,) * 4)
    assert length_of(counts, rounds) <= length_by_hand(counts, rounds) + 1e-6


def test_length_is_the_theorems_where_quantum_theory_is_respected():
    counts = Counts(9.5e5, (10_500,) * 4, (2_000,) * 4, 0.95, (0.0125,) * 4)
    assert length_of(counts, 10**6) == pytest.approx(length_by_hand(counts, 10**6), abs=1e-6)


@pytest.mark.parametrize("value", [2.9, 3.2, 3.9])
def test_forged_violations_earn_no_more_than_the_largest_one(value):
    assert session(10**7, s=value).bits <= session(10**7, s=TSIRELSON).bits <= 10**7
