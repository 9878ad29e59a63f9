"""Numbers to agree with: found by two routes or in print before this program computed them.

Every row names its inputs, the value, the tolerance and where the value comes from.  A value was
computed elsewhere, never by the function that is tested here.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from born_rule import correlator
from e91_circuits import bell_pair, intercept_resend, intercept_resend_along
from scipy.optimize import brentq, minimize

from e91.adversaries import Conditions, attack_named
from e91.bell.correlators import chsh_point
from e91.bell.p_values import hoeffding_p_value, local_bound, p_value
from e91.devices.exact import ExactDevice, exact_device, exact_device_of
from e91.model.settings import BBM92, EKERT, Settings
from e91.security.device_dependent import (
    Block,
    bbm92_rate,
    exact_sampling_length,
    shannon_leak,
    tl17_length,
    tlgr_length,
)
from e91.security.device_independent import (
    acin_rate,
    acin_threshold,
    bbm92_threshold,
    bell_efficiency_threshold,
    key_efficiency_threshold,
    min_entropy,
    noisy_preprocessing_threshold,
)


@dataclass(frozen=True)
class Oracle:
    """One number: ``compute(**inputs)`` must be ``value`` within ``tolerance``."""

    name: str
    compute: Callable[..., float]
    inputs: dict[str, object]
    value: float
    tolerance: float
    source: str


# --- what is compared -----------------------------------------------------------------------------


def chsh_value(device: ExactDevice) -> float:
    """S from the device's exact table of probabilities at Ekert's settings."""
    return sum(float(sign * correlator(device.table[pair])) for pair, sign in EKERT.chsh_pairs)


def qber(device: ExactDevice, pair: tuple[int, int]) -> float:
    """The error rate of one key pair."""
    return float(1 - correlator(device.table[pair])) / 2


def s_of_bell_state(state: str) -> float:
    return chsh_value(exact_device_of(bell_pair(state)))


def largest_qber_of_werner(visibility: float) -> float:
    device = exact_device(visibility=visibility)
    return max(qber(device, pair) for pair in EKERT.key_pairs)


def s_of_every_interception_angle(fraction: float) -> float:
    """The S of 24 angles of Eve in the X-Z plane, of which the farthest from sqrt(2)."""
    found = [
        chsh_value(exact_device_of(intercept_resend_along(bell_pair(), fraction, angles=[angle])))
        for angle in (math.tau * step / 24 + 0.1 for step in range(24))
    ]
    return max(found, key=lambda value: abs(value - math.sqrt(2)))


def intercepted(fraction: float, basis: str) -> ExactDevice:
    return exact_device_of(intercept_resend(bell_pair(), fraction, basis=basis), settings=EKERT)


def local_fraction() -> float:
    """The fraction of intercepted photons at which S is 2."""
    return float(brentq(lambda p: chsh_value(intercepted(p, "random")) - 2, 0, 1, xtol=1e-13))


def qber_of_interception(fraction: float, basis: str) -> float:
    """The QBER in Z of a device whose Eve intercepts; BBM92's pair (0, 0) is Z with Z."""
    source = intercept_resend(bell_pair(), fraction, basis=basis)
    return qber(exact_device_of(source, settings=BBM92), (0, 0))


def qber_where_s_is_two() -> float:
    return qber_of_interception(local_fraction(), "random")


def s_of_dephasing(dephasing: float) -> float:
    return chsh_value(exact_device(dephasing=dephasing))


def s_of_probe(overlap: float) -> float:
    """Eve's probe with states of this overlap shrinks Bob's coherences by it: a dephasing."""
    return s_of_dephasing((1 - overlap) / 2)


def standard_error(rounds: int, correlation: float) -> float:
    agree = round(rounds * (1 + correlation) / 2)
    same, different = (agree, agree, agree, rounds - agree), (rounds - agree,) * 3 + (agree,)
    return chsh_point(same, different, signs=(1, 1, 1, -1)).standard_error


def p_value_of_run(rounds: int, wins: int, predictability: float) -> float:
    return p_value(wins, rounds, bound=local_bound(predictability))


def hoeffding_of_run(rounds: int, wins: int) -> float:
    return hoeffding_p_value(wins, rounds)


def bbm92_of(error: float, efficiency: float) -> float:
    return bbm92_rate(error, error, efficiency=efficiency)


def tlgr_of_million() -> float:
    leak = shannon_leak(10**6, error=0.02, efficiency=1.1)
    block = Block(10**6, 10**5, tolerated_error=0.02, leaked_bits=leak)
    return tlgr_length(block, epsilon_secrecy=1e-10, epsilon_correctness=1e-10).balance


def tlgr_deviation() -> float:
    block = Block(10**6, 10**5, tolerated_error=0.02, leaked_bits=0)
    found = tlgr_length(block, epsilon_secrecy=1e-10, epsilon_correctness=1e-10)
    return found.phase_error - 0.02


def satellite_block(function: Callable[..., object]) -> float:
    """3,100 sifted bits, half revealed, Q = 4.51 %, f = 1.19; 1e-10 split as 1 : 2 : 7."""
    leak = shannon_leak(1550, error=0.0451, efficiency=1.19)
    block = Block(1550, 1550, tolerated_error=0.0451, leaked_bits=leak)
    found = function(
        block,
        hash_bits=math.ceil(-math.log2(0.1e-10)),
        epsilon_estimation=0.7e-10,
        epsilon_amplification=0.2e-10,
    )
    return found.balance


def s_max_of_dephasing(dephasing: float) -> float:
    """S at the best angles for a dephased pair, Bob's at +- atan(1 - 2 p) from Alice's Z."""
    turn = math.atan(1 - 2 * dephasing)
    best = Settings(
        "best",
        alice_angles=(0.0, math.pi / 2),
        bob_angles=(turn, -turn),
        chsh_pairs=(((0, 0), 1), ((0, 1), 1), ((1, 0), 1), ((1, 1), -1)),
    )
    device = exact_device(settings=best, dephasing=dephasing)
    return sum(float(sign * correlator(device.table[pair])) for pair, sign in best.chsh_pairs)


def lhv_chsh(efficiency: float) -> float:
    return attack_named("detection-loophole").expected(Conditions(efficiency)).chsh


def probe_information(overlap: float) -> float:
    return attack_named("probe").expected(Conditions(overlap)).information


def time_shift_information(ratio: float) -> float:
    return attack_named("time-shift").expected(Conditions(ratio)).information


def leak_chsh(probability: float) -> float:
    return attack_named("setting-leak").expected(Conditions(probability)).chsh


# --- the table ------------------------------------------------------------------------------------

DENSITY = "closed form and density matrix"
TAIL = "binomial tail"
ACIN = "Acin et al., PRL 98, 230501 (2007); minimum over Bell-diagonal states"
TLGR = "Tomamichel et al., Nat. Commun. 3, 634 (2012)"

STATISTICS = [
    Oracle("S01", s_of_bell_state, {"state": "psi-"}, -2.82842712474619, 1e-9, DENSITY),
    Oracle("S02", s_of_bell_state, {"state": "phi+"}, 2.82842712474619, 1e-9, DENSITY),
    Oracle("S03", s_of_bell_state, {"state": "phi-"}, 0.0, 1e-9, DENSITY),
    Oracle(
        "S04",
        lambda visibility: chsh_value(exact_device(visibility=visibility)),
        {"visibility": 0.9},
        2.5455844122715705,
        1e-9,
        DENSITY,
    ),
    Oracle("S05", largest_qber_of_werner, {"visibility": 0.9}, 0.05, 1e-9, DENSITY),
    Oracle("S06", s_of_dephasing, {"dephasing": 0.1}, 2.5455844122715705, 1e-9, DENSITY),
    Oracle("S07", s_max_of_dephasing, {"dephasing": 0.1}, 2.5612496949731387, 1e-9, DENSITY),
    Oracle(
        "S09",
        standard_error,
        {"rounds": 1000, "correlation": 0.7},
        0.04516635916254486,
        1e-9,
        "sqrt(sum (1 - E^2) / N)",
    ),
    Oracle(
        "P01",
        p_value_of_run,
        {"rounds": 245, "wins": 196, "predictability": 1.08e-5},
        0.03917464355878999,
        1e-6,
        "Hensen et al., Nature 526, 682 (2015), print 0.039",
    ),
    Oracle(
        "P02",
        p_value_of_run,
        {"rounds": 1000, "wins": 820, "predictability": 0.0},
        7.496183309079217e-08,
        1e-12,
        TAIL,
    ),
    Oracle(
        "P03",
        hoeffding_of_run,
        {"rounds": 1000, "wins": 820},
        5.545159943217773e-05,
        1e-12,
        "exp(-2 n d^2)",
    ),
]

ATTACKS = [
    Oracle(
        "A01",
        s_of_every_interception_angle,
        {"fraction": 1.0},
        1.4142135623730947,
        1e-9,
        "density matrix",
    ),
    Oracle("A02", local_fraction, {}, 0.5857864376269051, 1e-9, "2 sqrt(2) (1 - p / 2) = 2"),
    Oracle("A03", qber_where_s_is_two, {}, 0.14644660940672638, 1e-9, "(1 - 1 / sqrt(2)) / 2"),
    Oracle(
        "A04", qber_of_interception, {"fraction": 0.3, "basis": "breidbart"}, 0.075, 1e-9, "p / 4"
    ),
    Oracle("A05", qber_of_interception, {"fraction": 1.0, "basis": "z"}, 0.0, 1e-12, "Eve is in Z"),
    Oracle("A06", s_of_probe, {"overlap": 0.8}, 2.5455844122715705, 1e-9, "sqrt(2) (1 + c)"),
    Oracle("A07", probe_information, {"overlap": 0.8}, 0.4689955935892811, 1e-9, "h((1 + c) / 2)"),
    Oracle("A09", time_shift_information, {"ratio": 4.0}, 0.2780719051126377, 1e-9, "1 - h(0.8)"),
    Oracle("A10", leak_chsh, {"probability": 0.2071}, 2.4142, 1e-9, "2 + 2 m"),
    Oracle("L01", lhv_chsh, {"efficiency": 0.75}, 10 / 3, 1e-6, "linear program: 4 / eta - 2"),
    Oracle("L03", lhv_chsh, {"efficiency": 2 / 3}, 4.0, 1e-9, "linear program: 4 / eta - 2"),
    Oracle(
        "L04",
        lambda: attack_named("gisin").high,
        {},
        0.7779690592966855,
        1e-9,
        "planar local model: 4 / (pi + 2), and Monte Carlo",
    ),
]

RATES = [
    Oracle(
        "K01",
        bbm92_of,
        {"error": 0.05, "efficiency": 1.16},
        0.38138257262953446,
        1e-9,
        "1 - (1 + f) h(Q)",
    ),
    Oracle("K02", bbm92_threshold, {"efficiency": 1.0}, 0.11002786443838887, 1e-8, "root; 11.00 %"),
    Oracle("K03", bbm92_threshold, {"efficiency": 1.2}, 0.0954935384907159, 1e-8, "root"),
    Oracle(
        "K04",
        bbm92_of,
        {"error": 0.0451, "efficiency": 1.19},
        0.4191996996813493,
        1e-6,
        "Yin et al., Nature 582, 501 (2020), print 0.43 bit/s for a little more than 3100 bits",
    ),
    Oracle("K06", tlgr_deviation, {}, 0.016387076723370947, 1e-9, TLGR),
    Oracle(
        "K10",
        satellite_block,
        {"function": tl17_length},
        -227.03442121141248,
        2.0,
        "Tomamichel and Leverrier, Quantum 1, 14 (2017), for the block of Yin et al. (2020)",
    ),
    Oracle(
        "K11",
        satellite_block,
        {"function": exact_sampling_length},
        40.8123802215088,
        2.0,
        "the same with the hypergeometric tail",
    ),
    Oracle("D01", acin_rate, {"chsh_value": 2.7, "qber": 0.02}, 0.5870415828464594, 1e-9, ACIN),
    Oracle("D02", acin_threshold, {}, 0.07149175884448569, 1e-7, "root; printed 7.1 %"),
    Oracle(
        "D05",
        noisy_preprocessing_threshold,
        {},
        0.08084753206385921,
        2e-5,
        "Ho et al., PRL 124, 230502 (2020), 8.08 %",
    ),
    Oracle(
        "D06",
        min_entropy,
        {"chsh_value": 2.5},
        0.267567692676752,
        1e-9,
        "Masanes, Pironio and Acin, Nat. Commun. 2, 238 (2011)",
    ),
    Oracle("D07", key_efficiency_threshold, {}, 0.923136766034982, 1e-6, "root; printed 92.4 %"),
    Oracle(
        "D08",
        acin_rate,
        {"chsh_value": 2.677, "qber": 0.0144},
        0.5834144970865424,
        1e-9,
        "S and QBER of Nadlinger et al., Nature 607, 682 (2022), in the formula of 2007",
    ),
    Oracle(
        "L02",
        bell_efficiency_threshold,
        {},
        0.8284271247461902,
        1e-9,
        "4 / eta - 2 = 2 sqrt(2), where local models begin to explain lossy pairs: linear program",
    ),
]

TABLE = [*STATISTICS, *ATTACKS, *RATES]


@pytest.mark.parametrize("oracle", TABLE, ids=[oracle.name for oracle in TABLE])
def test_number_agrees_with_its_oracle(oracle):
    found = oracle.compute(**oracle.inputs)
    assert found == pytest.approx(oracle.value, abs=oracle.tolerance, rel=0), oracle.source


def test_tail_of_a_thousand_rounds_agrees_in_its_logarithm():
    """P02 again: 7.5e-8 within 1e-12 absolute is a weak claim, six digits of it are not."""
    assert p_value(820, 1000) == pytest.approx(7.496183309079217e-08, rel=1e-6)


def test_k05_tlgr_length_less_the_square_of_its_epsilon():
    """K05: n = 10^6, k = 10^5, Q_tol = 2 %, leak 1.1 n h(2 %), both epsilons 1e-10.

    The listed 618,873.5 comes from copies of the formula that subtract log2(2 / (eps_sec eps_cor)).
    Leftover hashing leaves a distance 2^(-(H - l) / 2) / 2, so it takes 2 log2(1 / eps_sec) bits:
    our length is below the listed one by log2(1 / eps_sec) = 33.2 bits.
    """
    listed = 618_873.5126668966
    assert tlgr_of_million() == pytest.approx(listed - math.log2(1e10), abs=0.5)


# --- a printed table, as a band -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key_bits", "error", "printed", "tolerance"),
    [
        (10**4, 0.01, 0.117, 0.25),
        (10**4, 0.025, 0.068, 0.25),
        (10**5, 0.01, 0.304, 0.05),
        (10**5, 0.025, 0.215, 0.05),
        (10**6, 0.01, 0.478, 0.05),
        (10**6, 0.025, 0.357, 0.05),
    ],
)
def test_tlgr_rates_lie_in_the_band_of_the_printed_table(key_bits, error, printed, tolerance):
    """Table II of TLGR: epsilon / l = 1e-14, leak 1.1 n h(Q_tol), rate (1 - eps_rob) l / M.

    M = n + k + 2 sqrt(n k) pairs are measured for n key and k test bits.  The test bits and the
    tolerated error are optimised here; eps_rob, the chance that an honest sample exceeds the
    tolerated error, is bounded by relative entropy.  Theirs is evidently weaker: at 10^4 the
    printed rates are a fifth lower.  So the table is a band and no oracle.
    """
    assert best_tlgr_rate(key_bits, error) == pytest.approx(printed, rel=tolerance)


def best_tlgr_rate(key_bits: int, error: float) -> float:
    def loss(logarithms) -> float:
        share, excess = math.exp(logarithms[0]), math.exp(logarithms[1])
        if share > 5 or error + excess > 0.2:
            return 0.0
        return -tlgr_rate(key_bits, round(share * key_bits), error=error, tolerated=error + excess)

    starts = [
        (math.log(share), math.log(excess)) for share in (0.1, 0.5) for excess in (2e-3, 1e-2)
    ]
    return -min(minimize(loss, start, method="Nelder-Mead").fun for start in starts)


def tlgr_rate(key_bits: int, test_bits: int, *, error: float, tolerated: float) -> float:
    """Secret bits per measured pair, with epsilon = 1e-14 of the bits, 9/10 of it for secrecy."""
    leak = shannon_leak(key_bits, error=tolerated, efficiency=1.1)
    block = Block(key_bits, test_bits, tolerated_error=tolerated, leaked_bits=leak)
    length = key_bits
    for _ in range(3):  # epsilon enters by its logarithm: each turn gains three digits
        epsilon = 1e-14 * max(1, length)
        length = tlgr_length(
            block, epsilon_secrecy=0.9 * epsilon, epsilon_correctness=0.1 * epsilon
        ).length
    divergence = tolerated * math.log(tolerated / error)
    divergence += (1 - tolerated) * math.log((1 - tolerated) / (1 - error))
    measured = key_bits + test_bits + 2 * math.sqrt(key_bits * test_bits)
    return (1 - math.exp(-test_bits * divergence)) * length / measured
