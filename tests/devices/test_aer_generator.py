"""What Aer's generator tells of an outcome that was not announced: all of a shot, nothing of a key.

Whoever hears the public conversation knows the outcomes of the Bell test and of the sample, and
parities of the rest: bits of a Mersenne twister's numbers, whose state 19,937 of them give.
"""

import os

import numpy as np
import pytest
from e91_circuits import bell_pair, outcome_bit, with_amplitude_damping
from mersenne_twister import seeded_state, state_from_top_bits, top_bits
from qiskit import ClassicalRegister
from scipy.stats import chisquare
from statistical import FALSE_ALARM, assert_binomial

import e91
from e91.devices import aer
from e91.devices.aer import FORESEEABLE, aer_device, aer_device_of, redrawn, shots_of_rounds
from e91.model.randomness import operating_system_entropy

SHOTS = 70_000
KEY_PAIR = (1, 0)


def shots(seed, count, device):
    """Both parties' outcomes of one run of Aer on a key pair, as they come."""
    x, y = (np.full(count, index, np.uint8) for index in KEY_PAIR)
    entropy = lambda size: (seed << 1).to_bytes(size)  # noqa: E731 - the seed that Aer gets
    ((_, circuit, words),) = shots_of_rounds(device.circuits, x, y, entropy)
    return tuple(
        aer.shot_bits(circuit, outcome_bit(circuit, party), words) for party in ("alice", "bob")
    )


def test_the_twister_here_is_aers():
    _, b = shots(20_260, 3000, aer_device(visibility=0.97))
    assert (b[::-1] == top_bits(seeded_state(20_260), 3000)).all()  # Aer fills from the end


@pytest.mark.slow
def test_enough_announced_shots_tell_every_other():
    _, b = shots(91, SHOTS, aer_device(visibility=0.97))
    announced = np.sort(np.random.default_rng(1).choice(SHOTS, 20_500, replace=False))
    state = state_from_top_bits(announced, b[::-1][announced])
    assert (top_bits(state, SHOTS) == b[::-1]).all()


def test_whoever_knows_aers_seeds_knows_nothing_of_a_key_bit(monkeypatch):
    """More than the equations can give: the seed of every run, so every shot.

    Right guesses are binomial with 1/2; a shot that came through in 4 % of the rounds is noticed.
    """
    seeds = []

    def noted(entropy):
        seeds.append(int.from_bytes(entropy(8)) >> 1)
        return seeds[-1]

    monkeypatch.setattr(aer, "fresh_seed", noted)
    device = aer_device(visibility=0.97)
    x, y = (np.full(SHOTS, index, np.uint8) for index in KEY_PAIR)
    a, b = device(x, y)
    monkeypatch.undo()
    shot_a, shot_b = shots(seeds[0], SHOTS, device)
    assert ((a ^ b) == (shot_a ^ shot_b)).all()  # whether they agree is the shot's
    assert_binomial(np.count_nonzero(a == shot_a), SHOTS, 0.5, must_detect=0.52)
    assert_binomial(np.count_nonzero(b == shot_b), SHOTS, 0.5, must_detect=0.52)


def test_outcomes_that_are_not_equally_likely_keep_their_distribution():
    """Decay makes 0 more likely; chi-square over the four cells of every pair, alpha 1e-9."""
    source = with_amplitude_damping(bell_pair(), 0.3, party="bob")
    device = aer_device_of(source)
    for x, y in np.ndindex(3, 3):
        a, b = device(np.full(20_000, x, np.uint8), np.full(20_000, y, np.uint8))
        counts = np.bincount(2 * a + b, minlength=4)
        expected = 20_000 * device.table[x, y].ravel()
        assert chisquare(counts, expected).pvalue > FALSE_ALARM / 9
    assert abs(device.table[0, 0, 0].sum() - 0.5) < 1e-12  # Alice's photon did not decay
    assert device.table[0, 0, :, 0].sum() > 0.6


@pytest.mark.parametrize("cells", [[[1, 0], [0, 0]], [[0, 1], [0, 0]], [[0, 0.5], [0.5, 0]]])
def test_certain_outcomes_stay_certain(cells):
    cells = np.array(cells, float)
    rng = np.random.default_rng(1)
    cell = rng.choice(4, 1000, p=cells.ravel())
    a, b = redrawn(*np.divmod(cell.astype(np.uint8), 2), cells, operating_system_entropy)
    assert (cells[a, b] > 0).all()


def test_circuit_that_measures_before_its_end_says_what_its_outcomes_are_worth():
    source = bell_pair()
    source.add_register(ClassicalRegister(1, "early"))
    source.measure(source.qubits[1], source.clbits[0])
    device = aer_device_of(source)
    assert device.table is None
    assert FORESEEABLE in e91.run(device, rounds=1000).assumptions


@pytest.mark.parametrize("make", [e91.exact_device, e91.aer_device])
def test_forked_device_does_not_repeat_its_photons(make):
    device = make(visibility=0.97)
    forked = [device.randomness(32)]
    for _ in range(2):
        read, write = os.pipe()
        if not (child := os.fork()):
            os.write(write, device.randomness(32))
            os._exit(0)
        os.waitpid(child, 0)
        forked.append(os.read(read, 32))
        os.close(read)
        os.close(write)
    assert len({*forked, device.randomness(32)}) == 4
