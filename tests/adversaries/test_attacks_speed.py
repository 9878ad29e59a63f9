"""Eve as a channel costs nothing: the device under her draws as one without, notes come later."""

import json

import numpy as np
import pytest
from scipy.stats import chi2
from statistical import assert_binomial

from e91.adversaries import ATTACKS, Conditions, stage
from e91.adversaries.channel import BlockTap, ChannelTap, Reading
from e91.devices.aer import AerDevice
from e91.devices.exact import ExactDevice, exact_device, outcome_table
from e91.model.settings import ASYMMETRIC, SETTINGS
from e91.session.session import run
from e91.session.streaming import stream
from e91.session.totals import summary_of

CHANNELS = [name for name, attack in ATTACKS.items() if attack.is_channel]
FALSE_ALARM = 1e-9
ROUNDS = 200_000


def tapped(name, seed=1, strength=None, **conditions):
    attack = ATTACKS[name]
    return stage(name, Conditions(strength or attack.default, seed=seed, **conditions)).device


def asked(settings, rounds, seed):
    generator = np.random.default_rng(seed)
    return [generator.integers(len(angles), size=rounds, dtype=np.uint8)
            for angles in (settings.alice_angles, settings.bob_angles)]  # fmt: skip


def test_five_attacks_and_more_are_channels():
    assert {"intercept-resend", "cloner", "probe", "separable", "collective"} <= set(CHANNELS)


@pytest.mark.parametrize("name", CHANNELS)
def test_parties_see_a_device_of_the_class_without_eve(name):
    device, shots = tapped(name), tapped(name, simulator="aer")
    assert (type(device), type(shots)) == (BlockTap, ChannelTap)
    # So that what is fast without her is with her.
    assert (type(device.photons), type(shots.photons)) == (ExactDevice, AerDevice)
    for row in shots.photons.circuits:
        assert {circuit.num_qubits for circuit in row} == {2}
    assert not device.blocks


@pytest.mark.parametrize("name", CHANNELS)
def test_outcomes_have_the_table_of_outcomes_and_notes_with_the_notes_summed(name):
    """With noise of others, and the collective attack's coin: all that a circuit can hold."""
    conditions = {"visibility": 0.9, "dephasing": 0.05, "readout_error": 0.02, "misalignment": 0.1}
    conditions["options"] = {"flips": 0.1} if name == "collective" else {}
    device, shots = tapped(name, **conditions), tapped(name, simulator="aer", **conditions)
    for found in (device, shots):
        wanted = found.reading().table.sum(axis=4)
        np.testing.assert_allclose(device.photons.table, wanted, atol=1e-12)
        np.testing.assert_allclose(outcome_table(shots.photons.circuits), wanted, atol=1e-12)


def test_nothing_is_computed_for_eve_before_somebody_asks():
    read = []

    def reading():
        read.append(1)
        return Reading(np.full((3, 2, 2, 2, 1), 0.25))

    photons = exact_device(settings=ASYMMETRIC, seed=1)
    device = ChannelTap(photons, reading, np.random.SeedSequence(1))
    run(device, rounds=5_000, seed=1)
    assert not read
    assert device.knowledge.rounds > 0
    assert read


BOTH_KINDS = [(name, simulator) for name in CHANNELS for simulator in ("exact", "aer")]
LITERAL = [(name, "aer-with-eve") for name in ("intercept-resend", "cloner")]


@pytest.mark.parametrize(("name", "simulator"), BOTH_KINDS + LITERAL)
def test_outcomes_and_notes_together_have_the_joint_distribution(name, simulator):
    """Pearson's chi-square of each setting pair; notes drawn without the outcomes would be seen."""
    device = tapped(name, simulator=simulator)
    x, y = asked(ASYMMETRIC, ROUNDS, seed=2)
    device(x, y)
    notes, table = device.notes, tapped(name).reading().table
    for pair in np.ndindex(table.shape[:2]):
        here = (notes.x == pair[0]) & (notes.y == pair[1])
        cells = (2 * notes.alice[here] + notes.bob[here]).astype(int) * table.shape[4]
        seen = np.bincount(cells + notes.kind[here], minlength=table[pair].size)
        chances = table[pair].ravel()
        assert not seen[chances < 1e-15].sum()
        usual = chances * here.sum() > 20
        wanted = chances[usual] * here.sum()
        # Pearson's statistic has a heavier tail than chi-square; a hundredth pays for that.
        most = chi2.isf(FALSE_ALARM / 100, max(1, usual.sum() - 1))
        assert float(((seen[usual] - wanted) ** 2 / wanted).sum()) < most
        if pair in ASYMMETRIC.key_pairs:
            blind = np.einsum("ab,e->abe", table[pair].sum(axis=2), table[pair].sum(axis=(0, 1)))
            off = here.sum() * (blind.ravel()[usual] - chances[usual])
            assert float((off**2 / wanted).sum()) > 10 * most


def test_reading_the_notes_changes_nothing_and_gives_the_same_again():
    one, other = tapped("cloner"), tapped("cloner")
    x, y = asked(ASYMMETRIC, 3_000, seed=3)
    for start in (0, 1_000, 2_000):
        part = slice(start, start + 1_000)
        assert np.array_equal(one(x[part], y[part]), other(x[part], y[part]))
        first = one.notes  # read as she goes, and only at the end
    for column in ("alice", "bob", "guess", "kind", "x", "y"):
        assert np.array_equal(getattr(first, column), getattr(one.notes, column))
        assert np.array_equal(getattr(first, column), getattr(other.notes, column))
    one.forget()
    assert len(one.notes) == 0
    assert one.knowledge.rounds == 0


@pytest.mark.parametrize("simulator", ["exact", "aer"])
def test_notes_of_two_calls_and_of_two_seeds_are_independent(simulator):
    """Of the coin that says whether Eve looked, p = 1/2: equal in half of all rounds."""
    x, y = asked(ASYMMETRIC, 100_000, seed=5)
    one, other = (
        tapped("intercept-resend", seed=seed, strength=0.5, simulator=simulator) for seed in (1, 2)
    )
    for device in (one, one, other):
        device(x, y)
    looked = [block.notes.kind > 0 for block in (*one.blocks, *other.blocks)]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        equal = int(np.sum(looked[first] == looked[second]))
        assert_binomial(equal, len(x), 0.5, must_detect=0.52)
    drawn = [block.alice for block in (*one.blocks, *other.blocks)]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        equal = int(np.sum(drawn[first] == drawn[second]))
        assert_binomial(equal, len(x), 0.5, must_detect=0.52)
    for block in (*one.blocks, *other.blocks):  # whether she looks is no matter of the outcome
        equal = int(np.sum((block.notes.kind > 0) == block.alice))
        assert_binomial(equal, len(x), 0.5, must_detect=0.52)


def test_notes_and_shots_have_roots_of_their_own():
    """Two generators from one root would differ, and yet draw from the same seed."""
    device = tapped("cloner", simulator="aer")
    notes = device.randomness.generate_state(8).tobytes()
    assert notes != device.photons.randomness(32)


def test_shots_with_eve_are_no_source_of_blocks():
    with pytest.raises(ValueError, match="A device must draw blocks of rounds to be streamed"):
        next(stream(tapped("cloner", simulator="aer"), rounds=10_000, block_rounds=10_000, seed=1))


def test_notes_are_those_of_the_rounds_even_if_the_caller_reuses_arrays():
    device = tapped("intercept-resend")
    x, y = asked(ASYMMETRIC, 1_000, seed=4)
    before = x.copy()
    device(x, y)
    x[:] = 0
    assert np.array_equal(device.notes.x, before)


@pytest.mark.parametrize("name", CHANNELS)
def test_stream_under_attack_shows_what_the_session_shows(name):
    settings = SETTINGS[(ATTACKS[name].settings or ("ekert",))[0]]
    device = tapped(name, settings=settings)
    blocks = list(stream(device, rounds=600_000, block_rounds=300_000, seed=1))
    expected = ATTACKS[name].expected(Conditions(ATTACKS[name].default, settings=settings))
    found = summary_of(blocks)
    assert abs(found.chsh.value - expected.chsh) < 7 * found.chsh.standard_error
    assert not device.blocks


def test_basis_reaches_the_blocks():
    device = tapped("intercept-resend", settings=ASYMMETRIC, options={"basis": "z"})
    blocks = list(stream(device, rounds=300_000, block_rounds=300_000, seed=1))
    assert blocks[0].evidence.sample_errors == 0  # key along Z, Eve along Z: only S shows her
    assert blocks[0].chsh.value < 1.5


LONG = ["run", "--rounds", "60000000", "--block-rounds", "60000000", "--seed", "1"]


def test_command_line_runs_blocks_under_every_channel_attack(status, monkeypatch):
    monkeypatch.setattr("e91.session.session.MAXIMUM_ROUNDS", 400_000)
    for name in CHANNELS:
        settings = (ATTACKS[name].settings or ("ekert",))[0]
        line = ["run", "--rounds", 500_000, "--seed", "1", "--device", "exact", "--json"]
        code, out, _ = status(*line, "--settings", settings, "--attack", name)
        assert code in (0, 3)
        assert json.loads(out)["blocks"] == 1
        assert "Eve in the circuits" in json.loads(out)["device"]


@pytest.mark.parametrize("name", [n for n in ATTACKS if n not in CHANNELS])
def test_command_line_refuses_blocks_under_attacks_without_a_table(status, name):
    code, out, complaint = status(*LONG, "--device", "exact", "--attack", name)
    assert (code, out) == (2, "")
    assert "A run of blocks must be honest or, with `--device exact`, under one of" in complaint
    assert complaint.count("\n") == 1


def test_command_line_refuses_blocks_of_shots_under_attack(status):
    code, out, complaint = status(*LONG, "--device", "aer", "--attack", "cloner")
    assert (code, out) == (2, "")
    assert "is under `cloner` with `--device aer`" in complaint
