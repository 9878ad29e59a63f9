"""Trusted-analyser key lengths: published numbers, the security inequality itself, monotony."""

import math
from dataclasses import replace
from decimal import Decimal, localcontext
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from e91.security.device_dependent import (
    Block,
    bbm92_rate,
    exact_sampling_length,
    shannon_leak,
    tl17_length,
    tlgr_length,
)
from e91.security.device_independent import bbm92_threshold
from e91.security.shannon import binary_entropy

TLGR = {"epsilon_secrecy": 1e-10, "epsilon_correctness": 1e-10}
TL17 = {"hash_bits": 40, "epsilon_estimation": 5e-11, "epsilon_amplification": 4e-11}
MILLION = Block(
    10**6, 10**5, tolerated_error=0.02, leaked_bits=shannon_leak(10**6, error=0.02, efficiency=1.1)
)
FUNCTIONS = [
    pytest.param(lambda block: tlgr_length(block, **TLGR), id="tlgr"),
    pytest.param(lambda block: tl17_length(block, **TL17), id="tl17"),
    pytest.param(lambda block: exact_sampling_length(block, **TL17), id="exact"),
]


def micius(epsilon: float) -> tuple[Block, dict[str, float]]:
    """3,100 sifted bits of one basis, half revealed, Q = 4.51 %, f = 1.19; epsilon split 1:2:7."""
    leak = shannon_leak(1550, error=0.0451, efficiency=1.19)
    block = Block(1550, 1550, tolerated_error=0.0451, leaked_bits=leak)
    return block, {
        "hash_bits": math.ceil(-math.log2(0.1 * epsilon)),
        "epsilon_amplification": 0.2 * epsilon,
        "epsilon_estimation": 0.7 * epsilon,
    }


# --- published numbers (more in test_oracles) -----------------------------------------------------


@pytest.mark.parametrize("efficiency", [1.0, 1.16, 1.5])
def test_bbm92_rate_crosses_zero_at_its_threshold(efficiency):
    at = bbm92_threshold(efficiency=efficiency)
    assert bbm92_rate(at - 1e-6, at - 1e-6, efficiency=efficiency) > 0
    assert bbm92_rate(at + 1e-6, at + 1e-6, efficiency=efficiency) == 0


def test_micius_block_has_no_key_by_tl17():
    # K10: -227.03 bits at 1e-10; the text that goes with it says -71 at 1e-6 and -23 at 1e-5.
    for epsilon, expected in ((1e-10, -227.03442121141248), (1e-6, -71), (1e-5, -23)):
        block, budget = micius(epsilon)
        found = tl17_length(block, **budget)
        assert found.balance == pytest.approx(expected, abs=2)
        assert found.length == 0
        assert found.epsilon <= epsilon


def test_micius_block_has_a_key_by_the_exact_tail():
    # K11: +40.8 bits at 1e-10 and about +195 at 1e-6 (the split of epsilon moves both by 3).
    for epsilon, expected in ((1e-10, 40.8123802215088), (1e-6, 196.5)):
        block, budget = micius(epsilon)
        assert exact_sampling_length(block, **budget).length == pytest.approx(expected, abs=2)


# --- a second route: the inequality that the theorem is about ------------------------------------


def test_tlgr_length_is_the_longest_that_meets_its_secrecy():
    # Secrecy is 2 eps' + 2^(-(H - l)/2) / 2, with eps' = root of Serfling's tail at mu, and H less
    # what was disclosed, the hash of at most log2(2 / eps_cor) bits included.
    found = tlgr_length(MILLION, **TLGR)
    n, k, mu = 10**6, 10**5, found.phase_error - 0.02
    smoothing = math.sqrt(math.exp(-2 * n * k**2 * mu**2 / ((n + k) * (k + 1))))
    left = n * (1 - binary_entropy(found.phase_error)) - found.leaked_bits - math.log2(2 / 1e-10)

    def secrecy(length: float) -> float:
        return 2 * smoothing + 0.5 * 2 ** (-(left - length) / 2)

    assert secrecy(found.length) <= 1e-10
    assert secrecy(found.length + 1) > 1e-10


def test_tl17_length_is_the_longest_that_meets_its_epsilons():
    found = tl17_length(MILLION, **TL17)
    n, k, nu = 10**6, 10**5, found.phase_error - 0.02
    estimation = 2 * math.exp(-n * k**2 * nu**2 / ((n + k) * (k + 1)))
    left = n * (1 - binary_entropy(found.phase_error)) - found.leaked_bits - 40

    def amplification(length: float) -> float:
        return 0.5 * math.sqrt(2 ** (-left + length))

    assert estimation == pytest.approx(5e-11, rel=1e-9)
    assert amplification(found.length) <= 4e-11 < amplification(found.length + 1)
    assert found.epsilon == pytest.approx(2**-40 + 9e-11, rel=1e-12)


@pytest.mark.parametrize(("n", "k", "delta"), [(30, 20, 0.1), (20, 30, 0.29), (40, 100, 0.29)])
def test_no_block_passes_with_more_errors_than_the_exact_tail_says(n, k, delta):
    # Every number of errors in the block, enumerated; eps_pe = 0.2, so the tail is 0.01.
    budget = {"hash_bits": 1, "epsilon_estimation": 0.2, "epsilon_amplification": 0.1}
    block = Block(n, k, tolerated_error=delta, leaked_bits=0)
    hidden_at_most = round(exact_sampling_length(block, **budget).phase_error * n)

    def caught_out(bad: int, limit: int) -> float:
        passing = [e for e in range(min(bad, k) + 1) if e / k <= delta and limit < bad - e <= n]
        return sum(math.comb(bad, e) * math.comb(n + k - bad, k - e) for e in passing) / math.comb(
            n + k, k
        )

    assert max(caught_out(bad, hidden_at_most) for bad in range(n + k + 1)) <= 0.01
    assert max(caught_out(bad, hidden_at_most - 1) for bad in range(n + k + 1)) > 0.01


# --- properties -----------------------------------------------------------------------------------


@given(st.integers(100, 10**15), st.integers(100, 10**15), st.floats(0, 0.2))
def test_exact_tail_never_gives_less_than_serflings(n, k, delta):
    # Up to the rounding of the tolerated error to whole errors, which only helps.
    block = Block(n, k, tolerated_error=delta, leaked_bits=0)
    exact, serfling = exact_sampling_length(block, **TL17), tl17_length(block, **TL17)
    assert exact.balance >= serfling.balance - 1e-6


@pytest.mark.parametrize("length_of", FUNCTIONS)
@given(st.integers(1, 10**6), st.integers(1, 10**6), st.floats(0, 1), st.floats(0, 1e6), st.data())
def test_more_noise_or_leak_never_lengthens_the_key(length_of, n, k, delta, leak, data):
    block = Block(n, k, tolerated_error=delta, leaked_bits=leak)
    worse = data.draw(st.floats(delta, 1))
    base = length_of(block)
    assert 0 <= base.length <= n
    assert length_of(replace(block, tolerated_error=worse)).balance <= base.balance + 1e-6
    assert length_of(replace(block, leaked_bits=leak + 7)).balance <= base.balance - 6.9


@pytest.mark.parametrize("length_of", FUNCTIONS)
def test_rate_grows_with_the_block_towards_the_asymptotic_rate(length_of):
    asymptotic = bbm92_rate(0.03, 0.03, efficiency=1.1)
    blocks = [
        Block(
            n,
            n // 10,
            tolerated_error=0.03,
            leaked_bits=shannon_leak(n, error=0.03, efficiency=1.1),
        )
        for n in (10**4, 10**5, 10**6, 10**7, 10**8)
    ]
    rates = [length_of(block).length / block.key_bits for block in blocks]
    assert all(small < large for small, large in pairwise(rates))
    assert 0.98 * asymptotic < rates[-1] < asymptotic


def lengths(name: str, block: Block, epsilon: float):
    """One of the three lengths, every epsilon of it being ``epsilon``."""
    if name == "tlgr":
        return tlgr_length(block, epsilon_secrecy=epsilon, epsilon_correctness=epsilon)
    function = tl17_length if name == "tl17" else exact_sampling_length
    bits = math.ceil(-math.log2(epsilon))
    return function(
        block, hash_bits=bits, epsilon_estimation=epsilon, epsilon_amplification=epsilon
    )


@pytest.mark.parametrize("name", ["tlgr", "tl17", "exact"])
def test_lengths_are_sound_from_ten_bits_to_ten_to_the_fifteen(name):
    sizes, epsilons = [10**p for p in range(1, 16)], [10.0**-p for p in (1, 2, 4, 7, 10, 20, 30)]
    found = {}
    for n, epsilon in product(sizes, epsilons):
        leak = shannon_leak(n, error=0.02, efficiency=1.1)
        block = Block(n, n, tolerated_error=0.02, leaked_bits=leak)
        found[n, epsilon] = lengths(name, block, epsilon)
        worse = replace(block, tolerated_error=0.021)
        assert lengths(name, worse, epsilon).balance <= found[n, epsilon].balance
    for n, (likely, rare) in product(sizes, pairwise(epsilons)):
        assert found[n, likely].balance > found[n, rare].balance
        assert found[n, likely].length >= found[n, rare].length
    for (small, large), epsilon in product(pairwise(sizes), epsilons):
        assert found[small, epsilon].balance / small <= found[large, epsilon].balance / large
        assert found[small, epsilon].length / small <= found[large, epsilon].length / large
    asymptotic = bbm92_rate(0.02, 0.02, efficiency=1.1)
    for epsilon in epsilons:
        assert found[10, epsilon].length == 0
        assert asymptotic - 1e-5 < found[10**15, epsilon].length / 10**15 < asymptotic


@pytest.mark.parametrize("n", [10**9, 10**12, 10**15])
@pytest.mark.parametrize("epsilon", [1e-1, 1e-30])
def test_rounding_never_lengthens_a_key(n, epsilon):
    # Against 50 digits for a hundred error rates: at most that length, and n 4e-15 bits less.
    for tolerated in np.linspace(0.001, 0.1, 100):
        block = Block(n, n // 10, tolerated_error=float(tolerated), leaked_bits=0)
        found, exact = lengths("tlgr", block, epsilon), tlgr_in_decimals(block, epsilon)
        assert Decimal(found.balance) <= exact + Decimal("1e-9")
        assert Decimal(found.length) <= exact
        assert exact - Decimal(found.balance) < Decimal("4e-15") * n + Decimal("1e-6")


def tlgr_in_decimals(block: Block, epsilon: float) -> Decimal:
    """The formula of 2012 in 50 digits, both epsilons alike and no leak."""
    with localcontext() as context:
        context.prec = 50
        bits, tested, secret = Decimal(block.key_bits), Decimal(block.test_bits), Decimal(epsilon)
        spread = (bits + tested) / (bits * tested) * (tested + 1) / tested * (4 / secret).ln()
        error, two = Decimal(block.tolerated_error) + spread.sqrt(), Decimal(2).ln()
        entropy = -(error * error.ln() + (1 - error) * (1 - error).ln()) / two
        return bits * (1 - entropy) - (2 / secret**3).ln() / two


@pytest.mark.parametrize("length_of", FUNCTIONS)
def test_a_huge_deviation_gives_no_key_back(length_of):
    # With h not capped the key would grow again once the bound exceeds 1/2.
    block = Block(1000, 2, tolerated_error=0.0, leaked_bits=0)
    assert length_of(block).phase_error > 0.5
    assert length_of(block).length == 0


@given(st.floats(0, 1), st.floats(0, 1))
def test_bbm92_rate_is_symmetric_without_leak_overhead_and_never_negative(bit, phase):
    assert bbm92_rate(bit, phase) == pytest.approx(bbm92_rate(phase, bit), abs=1e-12)
    assume(bit >= 0.5 or phase >= 0.5)
    assert bbm92_rate(bit, phase) == 0


def test_biased_bases_cost_the_missing_overlap():
    less = replace(MILLION, overlap_bits=0.9)
    gap = tlgr_length(MILLION, **TLGR).balance - tlgr_length(less, **TLGR).balance
    assert gap == pytest.approx(1e5)


def test_every_error_of_a_huge_sample_can_be_tolerated():
    # Beyond 2^53 a count and the next are one float: the count must still stop at the sample.
    block = Block(10**18, 10**18, tolerated_error=1.0, leaked_bits=0)
    assert exact_sampling_length(block, **TL17).phase_error == 1


def test_total_epsilon_counts_the_hash_the_estimation_and_the_amplification():
    block = Block(10**5, 10**4, tolerated_error=0.02, leaked_bits=15_000)
    parts = {"hash_bits": 20, "epsilon_estimation": 3e-6, "epsilon_amplification": 5e-7}
    for length in (tl17_length, exact_sampling_length):
        assert length(block, **parts).epsilon == pytest.approx(2**-20 + 3.5e-6, rel=1e-12)
    key = tlgr_length(block, epsilon_secrecy=3e-6, epsilon_correctness=5e-7)
    assert key.epsilon == pytest.approx(3.5e-6, rel=1e-12)


def test_29_errors_of_100_pass_a_test_at_29_percent():
    # 0.29 * 100 is 28.999999999999996: rounding down would bound one error too few.
    at = exact_sampling_length(Block(100, 100, 0.29, 0), **TL17).phase_error
    below = exact_sampling_length(Block(100, 100, 0.2899, 0), **TL17).phase_error
    assert at > below


# --- guards ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("key_bits", 0),
        ("key_bits", 10.5),
        ("key_bits", math.nan),
        ("test_bits", 0),
        ("test_bits", -3),
        ("tolerated_error", 1.1),
        ("tolerated_error", math.nan),
        ("leaked_bits", -1),
        ("leaked_bits", math.inf),
        ("overlap_bits", 1.5),
        ("key_bits", True),
        ("key_bits", np.True_),
        ("key_bits", math.inf),
        ("key_bits", 10**18 + 1),
        ("test_bits", 10**400),
        ("tolerated_error", False),
        ("tolerated_error", np.False_),
        ("tolerated_error", -0.1),
        ("leaked_bits", True),
        ("leaked_bits", math.nan),
        ("overlap_bits", True),
        ("overlap_bits", -math.inf),
    ],
)
def test_impossible_blocks_are_refused(field, value):
    with pytest.raises(ValueError, match=f"`{field}` must"):
        replace(MILLION, **{field: value})


@pytest.mark.parametrize("epsilon", [0.0, 1.0, -1e-3, math.nan, math.inf, True, np.True_])
@pytest.mark.parametrize("function", [tl17_length, exact_sampling_length, tlgr_length])
def test_impossible_epsilons_are_refused(function, epsilon):
    budget = TLGR if function is tlgr_length else TL17
    for name in (name for name in budget if name.startswith("epsilon")):
        with pytest.raises(ValueError, match=f"`{name}` must lie strictly"):
            function(MILLION, **{**budget, name: epsilon})


@pytest.mark.parametrize("function", [tl17_length, exact_sampling_length, tlgr_length])
def test_epsilons_whose_square_is_no_number_are_refused(function):
    budget = TLGR if function is tlgr_length else TL17
    for name in (name for name in budget if name.startswith("epsilon")):
        with pytest.raises(ValueError, match=f"`{name}` must be at least 1e-150, but is 1e-200"):
            function(MILLION, **{**budget, name: 1e-200})


@pytest.mark.parametrize("hash_bits", [0, 1.5, math.nan, -1, math.inf, True])
@pytest.mark.parametrize("function", [tl17_length, exact_sampling_length])
def test_impossible_hashes_are_refused(function, hash_bits):
    with pytest.raises(ValueError, match="`hash_bits` must be a whole number"):
        function(MILLION, **{**TL17, "hash_bits": hash_bits})


@pytest.mark.parametrize(
    "call",
    [
        lambda: bbm92_rate(1.2, 0.1),
        lambda: bbm92_rate(0.1, math.nan),
        lambda: bbm92_rate(0.1, 0.1, efficiency=0.9),
        lambda: bbm92_threshold(efficiency=math.nan),
        lambda: shannon_leak(10, error=-0.1, efficiency=1.1),
        lambda: shannon_leak(10, error=0.1, efficiency=math.inf),
        lambda: shannon_leak(0, error=0.1, efficiency=1.1),
        lambda: shannon_leak(True, error=0.1, efficiency=1.1),
        lambda: shannon_leak(10, error=True, efficiency=1.1),
        lambda: shannon_leak(10, error=0.1, efficiency=True),
        lambda: bbm92_rate(False, 0.1),
        lambda: bbm92_rate(-math.inf, 0.1),
        lambda: bbm92_rate(0.1, 0.1, efficiency=np.True_),
    ],
)
def test_impossible_rates_are_refused(call):
    with pytest.raises(ValueError, match="must"):
        call()
