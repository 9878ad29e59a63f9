"""The bound of Nadlinger et al., Nature 607, 682 (2022), against what the paper prints."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import lambertw

from e91.experiments.key_rates import (
    Choice,
    FixedSession,
    extracted,
    length_with,
    session_bits,
    smoothing_cost,
)

IONS = FixedSession(1.5e6, 13 / 256, 2.64, 0.018, 1e-10)
CHOICES = [
    Choice(0.812, 6e-4, 3.7e-3, 1e-3, (0.85, 0.98)),
    Choice(0.76, 1e-3, 2e-2, 0.3, (0.5, 0.5)),
    Choice(0.84, 1e-4, 1e-3, 0.01, (0.1, 0.9)),
]


def shannon(p):
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p)


def entropy(win):
    return 1 - shannon((1 + math.sqrt(16 * win * (win - 1) + 3)) / 2) if win > 0.75 else 0.0


def proposition_2(session, choice):
    """Equations (61) to (73) in the paper's order, every distribution summed by hand."""
    n, gamma = session.rounds, session.test_fraction
    step = 1e-7
    slope = (entropy(choice.tangent + step) - entropy(choice.tangent - step)) / (2 * step)

    def g(win):
        return entropy(choice.tangent) + (win - choice.tangent) * slope

    f = np.array([g(0) / gamma + (1 - 1 / gamma) * g(1), g(1), g(1)])
    low, high = (1 - 1 / math.sqrt(2)) / 2, (1 + 1 / math.sqrt(2)) / 2
    least = math.inf
    for win in [*np.linspace(low, high - 1e-9, 6001), 0.75]:  # the entropy has a kink there
        q = np.array([gamma * (1 - win), gamma * win, 1 - gamma])
        variance = float(q @ f**2 - (q @ f) ** 2)
        v = math.log(2) / 2 * (math.log2(33) + math.sqrt(2 + max(variance, 0.0))) ** 2
        least = min(least, entropy(win) - float(q @ f) - choice.order * v)
    spread = 2 + g(1) - g(low)
    k = 2 ** (choice.order * spread) * math.log(2**spread + math.e**2) ** 3
    k /= 6 * (1 - choice.order) ** 3 * math.log(2)
    epsilon = session.epsilon - 4 * 2**-61
    amplification = epsilon * choice.amplification_share
    smooth = (epsilon - amplification) / 2
    one = smooth * choice.smoothing_shares[0]
    two = (smooth - one) * choice.smoothing_shares[1] / 2

    def theta(e):  # to second order, which is 1e-20 of it here
        return math.log2(2 / e**2)

    bits = n * g(session.least_winning_probability) + n * least - n * choice.order**2 * k
    bits -= n * gamma + n * choice.other_order * math.log2(5) ** 2
    bits -= (theta(one) + (1 + choice.order) * math.log2(1 / epsilon)) / choice.order
    bits -= (theta(two) + (1 + choice.other_order) * math.log2(1 / epsilon)) / choice.other_order
    bits -= 3 * theta(smooth - one - 2 * two) + 5 * math.log2(1 / amplification)
    return bits - round(session.syndrome_bits) - 264


def test_syndrome_and_threshold_are_those_printed():
    assert round(IONS.syndrome_bits) == 296_517
    assert round(IONS.least_winning_probability, 6) == 0.825538


def test_key_is_the_printed_one_within_two_bits():
    assert session_bits(IONS) == pytest.approx(95_884, abs=2)


def test_perfect_pairs_make_a_key_from_the_printed_number_of_rounds_on():
    def best(rounds):
        ideal = replace(IONS, rounds=rounds, expected_chsh=2 * math.sqrt(2), expected_qber=0.0)
        return max(session_bits(replace(ideal, test_fraction=part)) for part in (0.1, 0.12, 0.14))

    assert best(2.6e5) > 0 > best(2.4e5)  # figure S15: about 2.6e5


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("session", [IONS, replace(IONS, rounds=1e8, test_fraction=0.01)])
def test_length_is_that_of_the_formula_written_out(session, choice):
    written = proposition_2(session, choice)
    expected = extracted(written)
    assert length_with(session, choice) == pytest.approx(expected, rel=2e-6, abs=1)


def test_no_choice_beats_the_one_that_is_found():
    generator = np.random.default_rng(np.random.SeedSequence(5))
    best = session_bits(IONS)
    for _ in range(300):
        tangent, *shares = generator.uniform(0, 1, 4)
        choice = Choice(
            0.79 + 0.04 * tangent,
            6e-4 * math.exp(generator.normal(0, 0.3)),
            3.7e-3 * math.exp(generator.normal(0, 0.3)),
            shares[0] / 50,
            (shares[1], shares[2]),
        )
        assert length_with(IONS, choice) <= best


@pytest.mark.parametrize("bits", [10.0, 1e5, 1e12])
def test_extractor_takes_the_logarithm_that_lambert_gives(bits):
    b = 4 / math.log(2)
    if bits / b < 600:
        assert extracted(bits) == pytest.approx(b * lambertw(math.exp(bits / b) / b).real)
    assert extracted(bits) + b * math.log(extracted(bits)) == pytest.approx(bits)


def test_nothing_is_extracted_from_nothing():
    assert extracted(-7.0) == -7.0


def test_smoothing_cost_has_no_step_where_its_formula_changes():
    below, above = smoothing_cost(0.999999e-6), smoothing_cost(1.000001e-6)
    assert below == pytest.approx(above, abs=1e-5)
    assert smoothing_cost(0.5) == pytest.approx(math.log2(1 / (1 - math.sqrt(0.75))))


def test_more_rounds_better_pairs_and_a_weaker_promise_make_more_key():
    best = session_bits(IONS)
    assert session_bits(replace(IONS, rounds=3e6)) > 2 * best
    assert session_bits(replace(IONS, expected_chsh=2.66)) > best
    assert session_bits(replace(IONS, expected_qber=0.02)) < best
    assert session_bits(replace(IONS, epsilon=1e-6)) > best
    assert session_bits(replace(IONS, rounds=1e5)) < 0


@pytest.mark.parametrize("epsilon", [1e-18, 0.0, math.nan])
def test_epsilon_below_what_the_hashes_cost_is_refused(epsilon):
    with pytest.raises(ValueError, match="four collisions of the hashes"):
        FixedSession(1.5e6, 13 / 256, 2.64, 0.018, epsilon)
