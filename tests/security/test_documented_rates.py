"""The rates that docs/device_independent.md quotes in section 5, computed afresh."""

import re
from pathlib import Path

import pytest

from e91.bell.chsh import chsh_lower_bound
from e91.model.records import Leak
from e91.security.device_independent import acin_rate
from e91.security.entropy_accumulation import Counts
from e91.security.secret_length import accumulated_length, collective_length, split
from e91.security.shannon import binary_entropy

DOCUMENT = Path(__file__).parents[2] / "docs" / "device_independent.md"
ROUNDS, TESTS, CHSH, QBER, EFFICIENCY, EPSILON = 1_500_000, 0.05, 2.677, 0.0144, 1.18, 1e-10

KEY_SIZE = round(ROUNDS * (1 - TESTS))
OF_PAIR = ROUNDS * TESTS / 4
WINS = (round(OF_PAIR * (0.5 + CHSH / 8)),) * 4
LOSSES = (round(OF_PAIR * (0.5 - CHSH / 8)),) * 4
LEAK = Leak(round(EFFICIENCY * KEY_SIZE * binary_entropy(QBER)), 0)


def coherent_rate() -> float:
    counts = Counts(KEY_SIZE, WINS, LOSSES, 1 - TESTS, (TESTS / 4,) * 4)
    found = accumulated_length(
        counts,
        rounds=ROUNDS,
        chsh_value=CHSH,
        announced_sample_bits=0.0,
        leak=LEAK,
        epsilon=EPSILON,
    )
    return found.bits / ROUNDS


def collective_rate() -> float:
    bound = chsh_lower_bound(
        WINS, LOSSES, probabilities=(0.25,) * 4, epsilon=2 * split(EPSILON).estimation
    )
    found = collective_length(
        KEY_SIZE, chsh_value=CHSH, chsh_lower_bound=bound, leak=LEAK, epsilon=EPSILON
    )
    return found.bits / ROUNDS


def quoted(pattern: str) -> float:
    (found,) = re.findall(pattern, DOCUMENT.read_text(encoding="utf-8").replace("\n", " "))
    return float(found)


def test_quoted_rate_against_coherent_attacks_is_what_the_package_gives():
    assert coherent_rate() == pytest.approx(
        quoted(r"the length is ([0-9.]+) bits a round"), rel=0.02
    )


def test_quoted_rate_against_collective_attacks_is_what_the_package_gives():
    rate = quoted(r"at the same confidence give ([0-9.]+) a round")
    assert collective_rate() == pytest.approx(rate, rel=0.02)


def test_quoted_asymptotic_rate_is_what_the_package_gives():
    rate = quoted(r"the asymptotic rate of Acin et al. is ([0-9.]+)")
    assert acin_rate(CHSH, QBER, efficiency=EFFICIENCY) == pytest.approx(rate, rel=0.02)


def test_coherent_bound_is_below_the_collective_one_and_that_below_the_limit():
    limit = (1 - TESTS) * acin_rate(CHSH, QBER, efficiency=EFFICIENCY)
    assert coherent_rate() < collective_rate() < limit
