"""One's own settings: every Bell state with its natural angles and signs, from a file or Python."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from born_rule import joint_table
from qiskit_aer.primitives import SamplerV2

from e91.adversaries.attacked_session import run_attack
from e91.adversaries.catalogue import ATTACKS
from e91.adversaries.conditions import Conditions
from e91.alarm.watching import kinds_of
from e91.bell.chsh import check_identity
from e91.cli.machines import link_of
from e91.devices.aer import aer_device
from e91.devices.exact import exact_device
from e91.devices.ibm.left_jobs import plan_session
from e91.devices.optical import optical_device
from e91.devices.samplers.sampler_device import sampler_device
from e91.devices.samplers.snapshots import snapshot_device
from e91.distillation.sifting import by_block, two_party
from e91.model.messages import Channel
from e91.model.numbers import TSIRELSON
from e91.model.randomness import seeded_entropy
from e91.model.records import DetectionRecord, PartyRecord
from e91.model.settings import ASYMMETRIC, BBM92, EKERT, SETTINGS, Settings
from e91.optics.arms import simple_arm
from e91.optics.sources import ContinuousSource, HeraldedMemories
from e91.session.inversion import looks_inverted, record_looks_inverted
from e91.session.session import prepare_session, run
from e91.session.settings_files import read_settings
from e91.session.streaming import stream

STATES = {"phi+": (1, 1), "phi-": (1, -1), "psi+": (-1, 1), "psi-": (-1, -1)}
"""<ZZ> and <XX> of each; E(a, b) = <ZZ> cos a cos b + <XX> sin a sin b."""


def natural(settings, state):
    """The same roles for another state: Bob mirrored if need be, and the signs as they come."""
    along, across = STATES[state]
    sign, mirrored = along, along != across
    return replace(
        settings,
        name=f"{settings.name} for {state}",
        bob_angles=tuple(-b if mirrored else b for b in settings.bob_angles),
        key_signs=(sign,) * len(settings.key_pairs),
        chsh_pairs=tuple((pair, sign * one) for pair, one in settings.chsh_pairs),
        state=state,
    )


def mixed():
    """Ekert's angles, but Bob's half a turn away at his second one: signs differ by pair."""
    angles = (*EKERT.bob_angles[:1], EKERT.bob_angles[1] + math.pi, *EKERT.bob_angles[2:])
    return replace(EKERT, name="mixed", bob_angles=angles, key_signs=(1, -1))


OWN = [*(natural(s, state) for s in SETTINGS.values() for state in STATES), mixed()]
named = pytest.mark.parametrize("settings", OWN, ids=lambda own: own.name)


def product_of(rho, a, b):
    table = joint_table(rho, a, b)
    return table[0, 0] + table[1, 1] - table[0, 1] - table[1, 0]


@named
def test_every_state_has_chsh_value_bit_and_phase_errors_that_add_up_to_one(settings):
    """The identity itself, on random states, with the phase error at Bob's turned angle."""
    check_identity(settings)
    generator = np.random.default_rng(5)
    along, across = STATES[settings.state]
    for rank in (1, 2, 4, 4):
        root = generator.normal(size=(4, rank)) + 1j * generator.normal(size=(4, rank))
        rho = root @ root.conj().T / np.trace(root @ root.conj().T).real
        chsh = sum(
            sign * product_of(rho, settings.alice_angles[x], settings.bob_angles[y])
            for (x, y), sign in settings.chsh_pairs
        )
        for (x, y), sign in settings.signed_key_pairs:
            a, b = settings.alice_angles[x], settings.bob_angles[y]
            # The pair of observables that the state makes perfectly correlated a quarter turn on.
            quarter = a + math.pi / 2
            partner = math.atan2(across * math.sin(quarter), along * math.cos(quarter))
            bit = (1 - sign * product_of(rho, a, b)) / 2
            phase = (1 - product_of(rho, quarter, partner)) / 2
            assert chsh / TSIRELSON + bit + phase == pytest.approx(1, abs=1e-12)


@named
def test_every_bell_state_makes_a_key_with_its_own_settings(settings):
    device = exact_device(settings=settings, visibility=0.97, seed=1)
    assert f"{settings.state} pair" in device.description
    report = run(device, rounds=60_000, seed=2)
    assert report.abort is None
    assert report.chsh.value > 2.6
    assert report.qber.rate < 0.05
    assert np.array_equal(report.keys.alice.bits, report.keys.bob.bits)


@pytest.mark.parametrize("state", STATES)
def test_natural_angles_have_the_tables_that_the_settings_of_phi_plus_have(state):
    """Only Bob's bits are inverted; so --state with named settings is the same experiment."""
    natural_table = exact_device(settings=natural(EKERT, state), visibility=0.9).table
    shots = aer_device(settings=natural(EKERT, state), visibility=0.9)
    assert f"{state} pair" in shots.description
    assert np.abs(shots.table - natural_table).max() < 1e-12
    s, qber = link_of(natural_table, settings=natural(EKERT, state))
    assert (s, qber) == (pytest.approx(0.9 * TSIRELSON), pytest.approx(0.05))
    if state.startswith("psi"):
        natural_table = natural_table[..., ::-1]
    expected = exact_device(settings=EKERT, state=state, visibility=0.9).table
    assert np.abs(natural_table - expected).max() < 1e-12
    other = exact_device(settings=natural(EKERT, state), state="phi+", visibility=0.9).table
    assert (
        np.abs(other[..., ::-1] - expected if state[1] == "s" else other - expected).max() < 1e-12
    )


def tables(settings, size, seed):
    """Codes of random rounds, and the same as a record."""
    x, y, a, b = (
        np.random.default_rng(seed + index).integers(top, size=size).astype(np.uint8)
        for index, top in enumerate((len(settings.alice_angles), len(settings.bob_angles), 2, 2))
    )
    codes = (x * np.uint8(len(settings.bob_angles)) + y) * np.uint8(4) + a * np.uint8(2) + b
    return codes, DetectionRecord(PartyRecord(x, a), PartyRecord(y, b))


@pytest.mark.parametrize("state", STATES)
def test_devices_of_other_kinds_emit_the_state_of_their_settings(state):
    settings = natural(EKERT, state)
    ideal = exact_device(settings=settings).table
    arm = simple_arm(10.0, 0.0)
    light = optical_device(ContinuousSource(1e6), arm, arm, settings=settings, window_s=1e-18)
    memories = HeraldedMemories(1e6, 0.1, bit_error=0.0, phase_error=0.0)
    for device in (light, optical_device(memories, settings=settings)):
        assert np.abs(device.table - ideal).max() < 1e-6
    sampled = sampler_device(lambda seed: SamplerV2(seed=seed), settings=settings)
    assert f"{state} pair" in sampled.description


@pytest.mark.parametrize("state", STATES)
def test_snapshots_emit_the_state_of_their_settings(state):
    pytest.importorskip("qiskit_ibm_runtime", reason="snapshots are not installed")
    device = snapshot_device("manila", settings=natural(EKERT, state))
    assert f"{state} pair" in device.description


@pytest.mark.parametrize("settings", [mixed(), natural(BBM92, "psi-")], ids=["mixed", "singlet"])
def test_both_ways_of_sifting_invert_bobs_bits_where_the_sign_says_so(settings):
    codes, record = tables(settings, 20_000, seed=7)
    alice, bob = two_party.exchange(
        record, settings=settings, fraction=0.2, entropy=seeded_entropy(3), channel=Channel()
    )
    packed = by_block.measure(
        [codes],
        meaning=by_block.code_table(settings),
        fraction=1e-12,
        entropies=[seeded_entropy(1)],
        rounds=len(codes),
    )
    # Written out: the errors and keys of all key rounds, whatever is revealed of them.
    signs = dict(settings.signed_key_pairs)
    wanted = [[], []]
    for x, y, a, b in zip(
        record.alice.setting,
        record.bob.setting,
        record.alice.outcome,
        record.bob.outcome,
        strict=True,
    ):
        if (x, y) in signs:
            wanted[0].append(a)
            wanted[1].append(b if signs[x, y] > 0 else 1 - b)
    assert packed.alice.key.bits.tolist() == wanted[0]
    assert packed.bob.key.bits.tolist() == wanted[1]
    # It is Bob who inverts, by both ways: Alice's key bits are her outcomes.
    hidden = two_party.exchange(
        record, settings=settings, fraction=1e-12, entropy=seeded_entropy(3), channel=Channel()
    )
    assert [half.key.bits.tolist() for half in hidden] == wanted
    differing = int((alice.key.bits != bob.key.bits).sum())
    assert differing + alice.evidence.sample_errors == sum(
        one != two for one, two in zip(*wanted, strict=True)
    )
    assert alice.evidence == bob.evidence


def test_a_stream_makes_the_keys_of_a_singlet_and_counts_its_errors():
    device = exact_device(settings=natural(EKERT, "psi-"), visibility=0.97, seed=1)
    (block,) = stream(device, rounds=100_000, seed=1)
    assert block.abort is None
    assert block.qber.rate < 0.05
    assert np.array_equal(block.keys.alice.bits, block.keys.bob.bits)


def test_outcomes_look_inverted_to_the_settings_of_another_state_only():
    singlet = natural(EKERT, "psi-")
    device = exact_device(settings=singlet, visibility=0.97, seed=1)
    x, y = np.random.default_rng(1).integers(3, size=(2, 20_000)).astype(np.uint8)
    record = DetectionRecord(*map(PartyRecord, (x, y), device(x, y)))
    assert not record_looks_inverted(record, singlet)
    assert record_looks_inverted(record, EKERT)
    assert record_looks_inverted(record.flipped("bob"), singlet)


@pytest.mark.parametrize(
    ("chsh_value", "error_rate", "inverted"),
    [(-2.0, 0.91, True), (-1.99, 0.99, False), (-2.8, 0.9, False), (None, 1.0, False)],
)
def test_outcomes_look_inverted_from_both_thresholds_on(chsh_value, error_rate, inverted):
    assert looks_inverted(chsh_value=chsh_value, error_rate=error_rate) is inverted


def test_alarm_counts_equal_outcomes_of_an_inverted_key_pair_as_errors():
    assert kinds_of(mixed())[1, 0].tolist() == [8, 9]
    assert kinds_of(mixed())[2, 1].tolist() == [9, 8]


def seen_and_known(name, settings, state=None):
    """The parties' table, Eve's guess rate at each setting pair, and her memory's bound."""
    attack = ATTACKS[name]
    conditions = Conditions(attack.default, settings, visibility=0.95, state=state)
    reading = attack.build(conditions).reading()
    # Labels of what she reads are hers; what she can tell of Alice's bit is not.
    guess_rate = reading.table.sum(axis=3).max(axis=2).sum(axis=2)
    return reading.table.sum(axis=4), guess_rate, reading.memory_information or 0.0


@pytest.mark.parametrize("name", [name for name, attack in ATTACKS.items() if attack.is_channel])
def test_channel_attacks_show_and_know_of_every_state_what_they_do_of_phi_plus(name):
    table, guess_rate, memory = seen_and_known(name, ASYMMETRIC)
    for settings, state in (
        (ASYMMETRIC, "psi+"),
        (natural(ASYMMETRIC, "phi-"), None),
        (natural(ASYMMETRIC, "psi-"), None),
    ):
        found = seen_and_known(name, settings, state)
        inverted = settings.state == "psi-"
        assert np.abs((found[0][..., ::-1] if inverted else found[0]) - table).max() < 1e-9
        assert np.abs(found[1] - guess_rate).max() < 1e-9
        assert found[2] == pytest.approx(memory, abs=1e-9)


ON_PAIRS = [name for name, it in ATTACKS.items() if it.has_photons and not it.is_channel]


@pytest.mark.parametrize("name", ON_PAIRS)
def test_attacks_on_photons_show_of_another_state_what_they_show_of_phi_plus(name):
    settings = SETTINGS[(ATTACKS[name].settings or ("ekert",))[0]]
    plain, other = (
        run_attack(name, settings=settings, rounds=5_000, seed=4, state=state)
        for state in ("phi+", "psi-")
    )
    # The same table and the same draws, so the same counts and the same notes.
    seen, found = plain.session.evidence, other.session.evidence
    assert (seen.wins, seen.losses, seen.samples) == (found.wins, found.losses, found.samples)
    assert plain.eve.guess_rate == other.eve.guess_rate


# --- files ------------------------------------------------------------------------------------

EKERT_1991 = """
unit = "bloch-degrees"
state = "psi-"
alice.angles = [0, 45, 90]
bob = {angles = [45, 90, 135], probabilities = [0.4, 0.2, 0.4]}
key = [{pair = [1, 0], sign = -1}, {pair = [2, 1], sign = -1}]
chsh = [
    {pair = [0, 0], sign = -1}, {pair = [0, 2], sign = 1},
    {pair = [2, 0], sign = -1}, {pair = [2, 2], sign = -1},
]
"""


@pytest.fixture
def written(tmp_path):
    def write(*changes, name="own.toml"):
        text = EKERT_1991
        for before, after in changes:
            assert before in text
            text = text.replace(before, after)
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_a_file_says_what_python_says(written):
    expected = replace(natural(EKERT, "psi-"), name="own", bob_probabilities=(0.4, 0.2, 0.4))
    assert read_settings(written()) == expected
    half = [("bloch-degrees", "polariser-degrees"), ("[0, 45, 90]", "[0, 22.5, 45]")]
    polarisers = written(*half, ("[45, 90, 135]", "[22.5, 45, 67.5]"))
    assert read_settings(polarisers).alice_angles == pytest.approx(EKERT.alice_angles, abs=1e-15)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("bloch-degrees", "degrees"), "`unit` must be one of bloch-degrees, bloch-radians, pol"),
        (("psi-", "ghz"), r"`state` must be one of phi\+, phi-, psi\+, psi-"),
        (("sign = -1}, {pair = [2, 1]", "sign = 2}, {pair = [2, 1]"), r"`key\[0\].sign` must be"),
        (("sign = -1}, {pair = [2, 1]", "sign = 1}, {pair = [2, 1]"), "always have equal outcomes"),
        (("[45, 90, 135]", "[45, 80, 135]"), "at which psi- pairs always have opposite outcomes"),
        (("[2, 1]", "[2, 7]"), r"\(2, 7\) has none"),
        (("0.4, 0.2, 0.4", "0.4, 0.2, 0.5"), "must sum to 1"),
        (("state =", "stat ="), "`stat` is not; did you mean `state`"),
        (("unit", 'name = "ekert"\nunit'), "`name` must be none of ekert"),
        (("[0, 45, 90]", "[0, 45, nan]"), r"`alice.angles\[2\]` must be a finite number"),
    ],
)
def test_a_file_that_is_no_settings_is_refused_in_a_sentence(written, status, change, sentence):
    with pytest.raises(ValueError, match=sentence) as refused:
        read_settings(written(change))
    assert str(refused.value).startswith("In `")
    code, _, complaint = status("run", "--settings", written(change))
    assert code == 2
    assert complaint.count("\n") == 1


def test_settings_whose_bell_test_says_nothing_of_the_key_are_refused_by_the_theorem(
    written, status
):
    turned = written(("[0, 45, 90]", "[10, 45, 90]"))
    code, _, complaint = status("run", "--settings", turned, "--rounds", 1000, "--device", "exact")
    assert code == 2
    assert "add up to sqrt(2) (ZZ + XX) for psi- pairs turned into phi+" in complaint
    line = ("run", "--settings", turned, "--rounds", 100_000, "--device", "exact", "--json")
    code, printed, _ = status(*line, "--security", "device-independent", "--seed", 1)
    assert code in (0, 3)  # no theorem without trust asks for angles
    assert json.loads(printed)["chsh"]["value"] > 2.5


def test_command_makes_ekerts_key_of_1991_and_lets_eve_listen(written, status):
    line = ("--settings", written(), "--rounds", 60_000, "--device", "exact", "--seed", 1, "--json")
    code, printed, _ = status("run", *line)
    found = json.loads(printed)
    assert code == 0
    assert found["settings"] == "own"
    assert "psi- pair" in found["device"]
    code, printed, _ = status("run", *line, "--attack", "cloner", "--strength", 0.3)
    assert code == 3
    assert "psi- pair, phase-covariant cloner" in json.loads(printed)["device"]
    code, _, complaint = status("run", *line, "--attack", "local")
    assert code == 2
    assert "written for equal outcomes" in complaint


def test_a_file_of_settings_that_the_documents_show_is_one(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "backends.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```toml\n(unit.*?)```", text, re.DOTALL)
    (tmp_path / "shown.toml").write_text(shown)
    found = read_settings(tmp_path / "shown.toml")
    check_identity(found)
    assert (found.name, found.state, found.signs) == ("ekert-1991", "psi-", (-1, 1, -1, -1))


def test_a_job_at_ibm_takes_as_many_angles_as_its_file_can_tell():
    many = tuple(float(x) for x in range(17))
    wide = Settings("wide", many, many, key_pairs=((0, 0),))
    prepared = replace(prepare_session(100, seed=1), settings=wide)
    with pytest.raises(ValueError, match="at most 256 pairs of angles, but have 289"):
        plan_session("ibm_test", prepared)
