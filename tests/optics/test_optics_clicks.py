"""Clicks of one slot against sums over every pair, photon and noise click, term by term.

The sums below only ever add positive terms, so they keep their digits at any loss and need none of
the algebra that the package uses; with fractions they are exact.
"""

import math
from fractions import Fraction
from functools import cache
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e91.optics.arms import misread
from e91.optics.clicks import (
    Hits,
    few_pairs_slot,
    poissonian_slot,
    pulse,
    thermal_slot,
)
from e91.optics.sources import PairStatistics, PulsedSource, QuantumDot

PAIRS = ((0.46, 0.04), (0.07, 0.43))
UNEVEN = ((0.3, 0.6), (0.5, 0.2))
NOISE = ((2e-3, 5e-3), (1e-3, 4e-3))


def outcomes_of(alice: set[int], bob: set[int]) -> list[tuple[int, int, Fraction]]:
    """The outcomes of a click pattern with their weights: a double click is a random bit."""
    halves = []
    for clicked in (alice, bob):
        found = [(bit, Fraction(1, len(clicked))) for bit in sorted(clicked)]
        halves.append(found or [(2, Fraction(1))])
    return [(a, b, p * q) for (a, p), (b, q) in product(*halves)]


def summed(events: list[tuple[float, tuple[set[int], set[int]]]], kind: type) -> np.ndarray:
    """The table of outcomes from chances of events, each of which fires or not by itself."""
    patterns = {(frozenset(), frozenset()): kind(1)}
    for chance, (alice, bob) in events:
        spread: dict = {}
        for (seen_a, seen_b), weight in patterns.items():
            fired = (seen_a | alice, seen_b | bob)
            spread[fired] = spread.get(fired, kind(0)) + weight * chance
            stayed = (seen_a, seen_b)
            spread[stayed] = spread.get(stayed, kind(0)) + weight * (1 - chance)
        patterns = spread
    return tabulated(patterns)


def tabulated(patterns: dict) -> np.ndarray:
    table = np.zeros((3, 3), object)
    for (alice, bob), weight in patterns.items():
        for a, b, share in outcomes_of(set(alice), set(bob)):
            table[a, b] += weight * (share if isinstance(weight, Fraction) else float(share))
    return table


def noise_events(noise) -> list:
    alice = [(noise[0][bit], ({bit}, set())) for bit in (0, 1)]
    return alice + [(noise[1][bit], (set(), {bit})) for bit in (0, 1)]


def poissonian_by_splitting(mean: float, pairs, eta, noise) -> np.ndarray:
    """A Poisson process of pairs splits into eight independent ones, by what each pair fires."""
    events = noise_events(noise)
    for a, b in product((0, 1), repeat=2):
        p, seen_a, seen_b = mean * pairs[a][b], eta[0][a], eta[1][b]
        for rate, what in (
            (p * seen_a * seen_b, ({a}, {b})),
            (p * seen_a * (1 - seen_b), ({a}, set())),
            (p * (1 - seen_a) * seen_b, (set(), {b})),
        ):
            events.append((-math.expm1(-rate), what))
    return summed(events, float).astype(float)


def few_pairs_by_enumeration(chances, pairs, eta, noise) -> np.ndarray:
    """Every way in which 0, 1, 2, ... pairs are found or lost, with exact fractions."""
    single: dict = {}
    for a, b, hit_a, hit_b in product((0, 1), repeat=4):
        weight = pairs[a][b] * (eta[0][a] if hit_a else 1 - eta[0][a])
        weight *= eta[1][b] if hit_b else 1 - eta[1][b]
        what = (frozenset({a} if hit_a else ()), frozenset({b} if hit_b else ()))
        single[what] = single.get(what, Fraction(0)) + weight
    total: dict = {}
    several = {(frozenset(), frozenset()): Fraction(1)}
    for chance in chances:
        for what, weight in several.items():
            total[what] = total.get(what, Fraction(0)) + chance * weight
        grown: dict = {}
        for (one, p), (two, q) in product(several.items(), single.items()):
            what = (one[0] | two[0], one[1] | two[1])
            grown[what] = grown.get(what, Fraction(0)) + p * q
        several = grown
    for chance, (alice, bob) in noise_events(noise):
        spread: dict = {}
        for (seen_a, seen_b), weight in total.items():
            for what, p in (
                ((seen_a | alice, seen_b | bob), chance),
                ((seen_a, seen_b), 1 - chance),
            ):
                spread[what] = spread.get(what, Fraction(0)) + weight * p
        total = spread
    return tabulated(total)


def exact(values):
    return tuple(tuple(Fraction(v) for v in row) for row in values)


def lossy(eta, loss_db: float):
    return tuple(tuple(v * 10 ** (-loss_db / 10) for v in row) for row in eta)


def coincidences_of(table) -> float:
    return float(np.sum(table[:2, :2]))


@pytest.mark.parametrize("loss_db", [0.0, 10.0, 20.0, 35.0, 50.0])  # of each arm: up to 100 dB
@pytest.mark.parametrize("mean", [1e-6, 0.03, 1.7])
def test_poissonian_slot_is_the_sum_over_split_processes(loss_db, mean):
    eta = lossy(UNEVEN, loss_db)
    noise = tuple(tuple(p * 10 ** (-loss_db / 10) for p in row) for row in NOISE)
    slot = poissonian_slot(Hits(PAIRS, *eta, *noise), mean)
    wanted = poissonian_by_splitting(mean, PAIRS, eta, noise)
    np.testing.assert_allclose(slot, wanted, rtol=1e-12, atol=0)


@pytest.mark.parametrize("loss_db", [0.0, 10.0, 20.0, 35.0, 50.0])
def test_few_pairs_slot_is_the_exact_sum_over_pairs(loss_db):
    eta, noise, pairs = lossy(UNEVEN, loss_db), NOISE, exact(PAIRS)
    scale = sum(map(sum, pairs))
    pairs = tuple(tuple(p / scale for p in row) for row in pairs)
    one, two = Fraction(0.6), Fraction(0.05)
    wanted = few_pairs_by_enumeration([1 - one - two, one, two], pairs, exact(eta), exact(noise))
    slot = few_pairs_slot(Hits(PAIRS, *eta, *noise), one=0.6, two=0.05)
    np.testing.assert_allclose(slot, wanted.astype(float), rtol=1e-12, atol=0)


@pytest.mark.parametrize("loss_db", [0.0, 10.0, 20.0, 35.0])
def test_few_pairs_slot_without_noise_keeps_its_digits(loss_db):
    # An ideal pair: errors come from double pairs alone, and are far fewer than coincidences.
    eta, pairs, dark = lossy(((0.5, 0.5),) * 2, loss_db), ((0.5, 0.0), (0.0, 0.5)), ((0, 0),) * 2
    one, two = Fraction(0.9), Fraction(0.001)
    wanted = few_pairs_by_enumeration(
        [1 - one - two, one, two], exact(pairs), exact(eta), exact(dark)
    )
    slot = few_pairs_slot(Hits(pairs, *eta, *dark), one=0.9, two=0.001)
    assert coincidences_of(slot) == pytest.approx(coincidences_of(wanted), rel=1e-13)
    assert slot[0, 1] == pytest.approx(float(wanted[0, 1]), abs=1e-15 * coincidences_of(wanted))


def thermal_by_fock_states(mean: float, eta, noise, most: int = 60) -> np.ndarray:
    """An ideal pair state along common axes is two independent modes of geometric photon number."""
    half = mean / 2
    table: dict = {(frozenset(), frozenset()): 1.0}
    for mode in (0, 1):
        fired: dict = {}
        for n in range(most):
            weight = half**n / (1 + half) ** (n + 1)
            none = [(1 - eta[party][mode]) ** n for party in (0, 1)]
            some = [-math.expm1(n * math.log1p(-eta[party][mode])) for party in (0, 1)]
            for hit_a, hit_b in product((0, 1), repeat=2):
                what = (frozenset({mode} if hit_a else ()), frozenset({mode} if hit_b else ()))
                chance = (some[0] if hit_a else none[0]) * (some[1] if hit_b else none[1])
                fired[what] = fired.get(what, 0.0) + weight * chance
        table = _joined(table, fired)
    for chance, (alice, bob) in noise_events(noise):
        table = _joined(table, {(frozenset(alice), frozenset(bob)): chance, _NOTHING: 1 - chance})
    return tabulated(table).astype(float)


_NOTHING = (frozenset(), frozenset())


def _joined(first: dict, second: dict) -> dict:
    joined: dict = {}
    for (one, p), (two, q) in product(first.items(), second.items()):
        what = (one[0] | two[0], one[1] | two[1])
        joined[what] = joined.get(what, 0.0) + p * q
    return joined


@pytest.mark.parametrize("loss_db", [0.0, 10.0, 20.0, 35.0, 50.0])
@pytest.mark.parametrize("mean", [1e-6, 0.03, 0.8])
def test_thermal_slot_is_the_sum_over_fock_states(loss_db, mean):
    eta = lossy(((0.3, 0.6), (0.5, 0.2)), loss_db)
    noise = tuple(tuple(p * 10 ** (-loss_db / 10) for p in row) for row in NOISE)
    slot = thermal_slot(Hits(((0.5, 0), (0, 0.5)), *eta, *noise), mean)
    np.testing.assert_allclose(slot, thermal_by_fock_states(mean, eta, noise), rtol=1e-12, atol=0)


def silent_pairs(n: int, x, y, channel) -> float:
    """Chance that n pairs leave sets silent: the symmetric state, Bob's photons through a channel.

    ``x`` and ``y`` are 2 x 2 operators, 1 minus the efficiency along the axes that are watched.
    """
    if n == 0:
        return 1.0
    phi = np.eye(2).ravel() / math.sqrt(2)
    rho = sum(
        np.kron(np.eye(2), k) @ np.outer(phi, phi.conj()) @ np.kron(np.eye(2), k).conj().T
        for k in channel
    )
    state = np.array([[1.0 + 0j]])
    operator = np.array([[1.0 + 0j]])
    for _ in range(n):
        state, operator = np.kron(state, rho), np.kron(operator, np.kron(x, y))
    symmetric = symmetric_projector(n)
    projected = symmetric @ state @ symmetric
    return float((np.trace(projected @ operator) / np.trace(projected)).real)


@cache
def symmetric_projector(n: int) -> np.ndarray:
    """Onto the states that do not change when Alice's n photons change places."""
    swaps = [swap_alice(n, order) for order in permutations(range(n))]
    return np.sum(swaps, axis=0) / len(swaps)


def swap_alice(n: int, order) -> np.ndarray:
    """Permute Alice's n photons, leaving Bob's where they are; they are interleaved a0 b0 a1 b1."""
    matrix = np.zeros((4**n, 4**n))
    for bits in product((0, 1), repeat=2 * n):
        moved = list(bits)
        for place, origin in enumerate(order):
            moved[2 * place] = bits[2 * origin]
        to = int("".join(map(str, moved)), 2)
        matrix[to, int("".join(map(str, bits)), 2)] = 1
    return matrix


PAULI = [np.eye(2), np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])]


@pytest.mark.parametrize(("visibility", "angle"), [(1.0, 0.0), (1.0, 0.9), (0.8, 0.4)])
def test_thermal_slot_with_noise_is_the_symmetric_state_of_few_pairs(visibility, angle):
    half, eta, most = 0.004, ((0.7, 0.4), (0.6, 0.9)), 3
    weights = [math.sqrt((1 + 3 * visibility) / 4)] + [math.sqrt((1 - visibility) / 4)] * 3
    channel = [w * p for w, p in zip(weights, PAULI, strict=True)]
    turn = np.array(
        [[math.cos(angle / 2), -math.sin(angle / 2)], [math.sin(angle / 2), math.cos(angle / 2)]]
    )
    same = (1 + visibility * math.cos(angle)) / 4
    pairs = ((same, 0.5 - same), (0.5 - same, same))
    hits = Hits(pairs, *eta, (0, 0), (0, 0))
    slot = thermal_slot(hits, 2 * half, steered_length=visibility)

    def silent(alice, bob) -> float:
        x = np.diag([1 - eta[0][bit] * (bit in alice) for bit in (0, 1)])
        y = turn @ np.diag([1 - eta[1][bit] * (bit in bob) for bit in (0, 1)]) @ turn.T
        return sum(
            (n + 1) * half**n / (1 + half) ** (n + 2) * silent_pairs(n, x, y, channel)
            for n in range(most + 1)
        )

    left_out = (most + 2) * half ** (most + 1)  # chance of more pairs than were summed
    wanted_none = silent({0, 1}, {0, 1})
    assert slot[2, 2] == pytest.approx(wanted_none, abs=2 * left_out)
    if visibility < 1:  # the sum is fine enough to tell the length that noise leaves from 1
        wrong = thermal_slot(hits, 2 * half, steered_length=1.0)
        assert abs(wrong[2, 2] - wanted_none) > 10 * left_out
    wanted = {
        (a, b): sum(sign * silent(set(sa), set(sb)) for sa, sb, sign in _random_bit_terms(a, b))
        for a, b in product((0, 1), repeat=2)
    }
    for (a, b), value in wanted.items():
        assert slot[a, b] == pytest.approx(value, abs=20 * left_out)


def _random_bit_terms(a: int, b: int):
    """Outcome a is (1 + silent(other) - silent(own) - silent(both)) / 2 of each party."""
    for (sa, p), (sb, q) in product(
        [((), 0.5), ((1 - a,), 0.5), ((a,), -0.5), ((0, 1), -0.5)],
        [((), 0.5), ((1 - b,), 0.5), ((b,), -0.5), ((0, 1), -0.5)],
    ):
        yield sa, sb, p * q


def test_thermal_light_bunches_and_independent_pairs_do_not():
    ideal = Hits(((0.5, 0), (0, 0.5)), (1e-3, 1e-3), (1e-3, 1e-3), (0, 0), (0, 0))

    def visibility(slot) -> float:
        same, different = slot[0, 0] + slot[1, 1], slot[0, 1] + slot[1, 0]
        return (same - different) / (same + different)

    mu = 0.2
    assert visibility(thermal_slot(ideal, mu)) == pytest.approx((2 + mu) / (2 + 3 * mu), abs=1e-3)
    assert visibility(poissonian_slot(ideal, mu)) == pytest.approx(1 / (1 + mu), abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(
    st.floats(0, 3),
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
    st.lists(st.floats(0, 0.5), min_size=4, max_size=4),
    st.floats(0, 1),
)
def test_every_slot_is_a_table_of_probabilities(mean, eta, noise, visibility):
    same = (1 + visibility) / 4
    pairs = ((same, 0.5 - same), (0.5 - same, same))
    hits = Hits(pairs, eta[:2], eta[2:], noise[:2], noise[2:])
    for slot in (
        poissonian_slot(hits, mean),
        thermal_slot(hits, mean, steered_length=visibility),
        few_pairs_slot(hits, one=0.5, two=0.1),
    ):
        assert slot.min() >= 0
        assert slot.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("slot", [poissonian_slot, thermal_slot])
def test_certain_noise_and_no_light_are_no_special_cases(slot):
    balanced = ((0.5, 0.0), (0.0, 0.5))
    dark = slot(Hits(balanced, (0.5, 0.5), (0.5, 0.5), (0.0, 0.0), (0.0, 0.0)), 0.0)
    assert dark[2, 2] == dark.sum() == 1
    loud = slot(Hits(balanced, (0.5, 0.5), (0.5, 0.5), (1.0, 1.0), (1.0, 0.0)), 0.3)
    assert loud[:2, :2].sum() == pytest.approx(1)
    assert loud[0, 0] == pytest.approx(loud[1, 0])  # Alice's double clicks are random bits
    assert loud[0, 0] > loud[0, 1] > 0  # Bob's detector 0 always clicks, the other sometimes too


def test_parting_of_pairs_leaves_singles_alone():
    faint = (PAIRS, (1e-3, 1e-3), (1e-3, 1e-3), (0, 0), (0, 0))
    whole = poissonian_slot(Hits(*faint), 1e-5)
    parted = poissonian_slot(Hits(*faint, np.full((2, 2), 0.25)), 1e-5)
    np.testing.assert_allclose(parted[:2, :2], whole[:2, :2] / 4, rtol=1e-3)
    np.testing.assert_allclose(parted[:2].sum(), whole[:2].sum(), rtol=1e-12)


def test_a_source_is_its_kind_of_slot():
    hits = Hits(PAIRS, *UNEVEN, *NOISE)
    poissonian = PulsedSource(1e6, 0.1, PairStatistics.POISSONIAN)
    np.testing.assert_array_equal(pulse(poissonian, hits), poissonian_slot(hits, 0.1))
    thermal = PulsedSource(1e6, 0.1, PairStatistics.THERMAL)
    np.testing.assert_array_equal(pulse(thermal, hits), thermal_slot(hits, 0.1))
    dot = few_pairs_slot(hits, one=0.9 - 0.02, two=0.02)
    np.testing.assert_array_equal(pulse(QuantumDot(1e6, 0.9, 0.02), hits), dot)


def test_read_out_errors_turn_bits_and_never_make_clicks():
    slot = poissonian_slot(Hits(PAIRS, *UNEVEN, *NOISE), 0.1)
    turned = misread(slot, alice=0.1, bob=0.2)
    assert turned[0, 1] == pytest.approx(
        0.9 * 0.8 * slot[0, 1]
        + 0.9 * 0.2 * slot[0, 0]
        + 0.1 * 0.8 * slot[1, 1]
        + 0.1 * 0.2 * slot[1, 0]
    )
    np.testing.assert_allclose(turned[:2].sum(), slot[:2].sum())
    assert turned[2, 2] == slot[2, 2]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"pair_table": ((0.5, 0.5), (0.5, 0.5))}, "sum to 1"),
        ({"alice_efficiencies": (0.5, 1.5)}, "must hold probabilities"),
        ({"bob_noise": (math.nan, 0.0)}, "must hold probabilities"),
    ],
)
def test_hits_refuse_what_is_no_probability(change, sentence):
    names = ("pair_table", "alice_efficiencies", "bob_efficiencies", "alice_noise", "bob_noise")
    good = dict(zip(names, (PAIRS, *UNEVEN, *NOISE), strict=True))
    with pytest.raises(ValueError, match=sentence):
        Hits(**(good | change))


def test_slots_refuse_impossible_pair_numbers():
    hits = Hits(PAIRS, *UNEVEN, *NOISE)
    for call in (lambda: poissonian_slot(hits, -0.1), lambda: thermal_slot(hits, math.inf)):
        with pytest.raises(ValueError, match="finite and not negative"):
            call()
    with pytest.raises(ValueError, match="sum to 1 at most"):
        few_pairs_slot(hits, one=0.9, two=0.2)
    with pytest.raises(ValueError, match="steered_length"):
        thermal_slot(hits, 0.1, steered_length=1.5)


def test_a_thermal_source_refuses_polarised_light_at_alice():
    with pytest.raises(ValueError, match="unpolarised"):
        thermal_slot(Hits(((0.6, 0.1), (0.1, 0.2)), *UNEVEN, *NOISE), 0.1)
