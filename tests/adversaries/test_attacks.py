"""Every attack shows the S, QBER, efficiencies and knowledge that its closed form says."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from statistical import assert_binomial

from e91.adversaries import ATTACKS, Conditions, run_attack, stage
from e91.adversaries.eve_in_circuits import tapped_device
from e91.adversaries.interception import BASES
from e91.adversaries.local_models import PLANAR_EFFICIENCY, detection_loophole, mixture, planar
from e91.adversaries.notes import Notes, knowledge, with_white_noise
from e91.model.bits import NO_CLICK
from e91.model.errors import Abort
from e91.model.settings import ASYMMETRIC, BBM92, EKERT, SETTINGS
from e91.model.trust import SecurityModel
from e91.security.policy import Policy

ROUNDS = 150_000
ERROR = 0.05  # an error of this size in a probability must be seen

STRENGTHS = {
    "intercept-resend": (0.0, 0.1, 0.5, 0.8, 1.0),
    "cloner": (0.0, 0.03, 0.1464, 0.3, 0.5),
    "probe": (0.0, 0.2, 0.5, 0.8, 1.0),
    "collective": (2.0, 2.2, 2.5, 2.7, 2 * math.sqrt(2)),
    "photon-number-splitting": (0.0, 0.02, 0.1, 0.5, 3.0),
    "separable": (0.0, 0.2, 0.5, 0.8, 1.0),
    "local": (0.0, 0.5, 1.0, 1.7, 2.0),
    "detection-loophole": (2 / 3, 0.72, 0.8284, 0.9, 1.0),
    "gisin": (0.4, 0.5, 0.6, 0.7, PLANAR_EFFICIENCY),
    "memory": (0.0, 0.2, 0.5, 0.8, 1.0),
    "setting-leak": (0.0, 0.2, 0.4142, 0.8, 1.0),
    "time-shift": (1.0, 1.5, 2.0, 4.0, 10.0),
    "blinding": (0.0, 0.2, 0.5, 0.8, 1.0),
    "double-blinding": (2.0, 2.2, 2.5, 2.7, 2 * math.sqrt(2)),
    "drift": (0.0, 0.2, 0.5, 0.8, 1.0),
    "turning-bad": (0.0, 0.2, 0.5, 0.8, 1.0),
    "replay": (0.0, 0.2, 0.5, 0.8, 1.0),
    "man-in-the-middle": (1.0,),
}
CASES = [(name, s, ASYMMETRIC) for name, all_ in STRENGTHS.items() for s in all_]
CASES += [
    (name, attack.default, settings)
    for name, attack in ATTACKS.items()
    for settings in (EKERT, BBM92)
    if not attack.settings or settings.name in attack.settings
]


def test_every_attack_is_compared_with_its_closed_form_here():
    assert set(STRENGTHS) == set(ATTACKS)


@cache
def questions(settings, rounds, seed):
    """Rounds of independent pairs: half CHSH pairs, uniform; half key pairs, as chosen."""
    generator = np.random.default_rng(seed)
    tests = np.array([pair for pair, _ in settings.chsh_pairs], np.uint8)
    keys = np.array(settings.key_pairs, np.uint8)
    chances = np.array([settings.pair_probability(pair) for pair in settings.key_pairs])
    asked = np.where(
        (generator.random(rounds) < 0.5)[:, None],
        tests[generator.integers(4, size=rounds)],
        keys[generator.choice(len(keys), rounds, p=chances / chances.sum())],
    )
    return asked[:, 0], asked[:, 1]


def wins(notes, settings):
    """Which coincidences of the CHSH pairs were won, in the CHSH game of these settings."""
    sign = np.zeros((len(settings.alice_angles), len(settings.bob_angles)), int)
    for pair, value in settings.chsh_pairs:
        sign[pair] = value
    clicked = (notes.alice != NO_CLICK) & (notes.bob != NO_CLICK)
    used = clicked & (sign[notes.x, notes.y] != 0)
    same = notes.alice[used] == notes.bob[used]
    return same == (sign[notes.x[used], notes.y[used]] > 0)


def key_rounds(notes, settings):
    pairs = set(settings.key_pairs)
    table = np.zeros((256, 256), bool)
    for pair in pairs:
        table[pair] = True
    return table[notes.x, notes.y] & (notes.alice != NO_CLICK) & (notes.bob != NO_CLICK)


def away_from(p):
    return p - ERROR if p > 0.5 else p + ERROR


def assert_probability(events, p):
    assert_binomial(int(np.sum(events)), len(events), p, must_detect=away_from(p))


def assert_expected(device, expected, *, rounds=ROUNDS):
    settings = device.settings
    device(*questions(settings, rounds, seed=9))
    notes = device.notes
    # Independent rounds of unequal probability scatter less than binomially (Hoeffding, Ann.
    # Math. Stat. 27, 713 (1956)), so that the tails stay valid for drifting devices.
    assert_probability(wins(notes, settings), 0.5 + expected.chsh / 8)
    key = key_rounds(notes, settings)
    assert_probability(notes.alice[key] != notes.bob[key], expected.qber)
    assert_probability(notes.alice[key] == notes.guess[key], expected.guess_rate)
    one, two = notes.alice != NO_CLICK, notes.bob != NO_CLICK
    for pair in [*settings.key_pairs, *(pair for pair, _ in settings.chsh_pairs)]:
        here = (notes.x == pair[0]) & (notes.y == pair[1])
        assert_probability(one[here], expected.efficiencies[0])
        assert_probability(two[here], expected.efficiencies[1])
        assert_probability((one & two)[here], expected.coincidences)
    return notes


@pytest.mark.parametrize(
    ("name", "strength", "settings"), CASES, ids=[f"{n}-{s:.3g}-{t.name}" for n, s, t in CASES]
)
def test_attack_shows_and_learns_what_its_closed_form_says(name, strength, settings):
    conditions = Conditions(strength, settings=settings, rounds=ROUNDS, seed=4)
    staged = stage(name, conditions)
    assert_expected(staged.device, staged.expected)


@pytest.mark.parametrize("name", ATTACKS)
def test_white_noise_acts_on_every_attack_as_the_closed_form_says(name):
    conditions = Conditions(ATTACKS[name].default, rounds=ROUNDS, visibility=0.8, seed=5)
    staged = stage(name, conditions)
    assert_expected(staged.device, staged.expected)


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_interception_in_every_basis_has_its_closed_form_exactly(basis, settings):
    for strength in STRENGTHS["intercept-resend"]:
        conditions = Conditions(strength, settings=settings, seed=1, options={"basis": basis})
        assert_table(stage("intercept-resend", conditions))


@pytest.mark.parametrize(
    "name", ["intercept-resend", "separable", "cloner", "probe", "photon-number-splitting"]
)
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_circuit_attack_has_its_closed_form_exactly(name, settings):
    # All five strengths with one kind of settings, with the others the ends and a middle.
    for strength in STRENGTHS[name][:: 1 if settings is ASYMMETRIC else 2]:
        assert_table(stage(name, Conditions(strength, settings=settings, seed=1)))


@pytest.mark.parametrize("chsh", STRENGTHS["collective"])
def test_collective_attack_has_its_closed_form_exactly(chsh):
    assert_table(stage("collective", Conditions(chsh, seed=1)))


@pytest.mark.parametrize("flips", [0.001, 0.0715, 0.5])
@pytest.mark.parametrize("chsh", STRENGTHS["collective"])
def test_collective_attack_reaches_the_bound_at_every_s_and_every_qber(chsh, flips):
    staged = stage("collective", Conditions(chsh, seed=1, options={"flips": flips}))
    assert staged.expected.qber == flips
    bound = dishonest_bound(chsh)
    assert staged.expected.information == pytest.approx(bound, abs=1e-9)
    assert_table(staged)


def test_eve_guesses_the_bits_of_alice_and_not_those_of_bob():
    """With flips the two differ: guesses of Bob's bits would be right in 71 %, not in 83 %."""
    staged = stage("collective", Conditions(2.5, seed=4, options={"flips": 0.2}))
    notes = assert_expected(staged.device, staged.expected)
    key = key_rounds(notes, ASYMMETRIC)
    assert np.mean(notes.bob[key] == notes.guess[key]) < 0.75
    assert staged.device.knowledge.guess_rate > 0.8


def dishonest_bound(chsh):
    """h((1 + sqrt(S^2 / 4 - 1)) / 2), from its definition."""
    p = (1 + math.sqrt(min(1.0, max(0.0, chsh**2 / 4 - 1)))) / 2
    return -sum(q * math.log2(q) for q in (p, 1 - p) if q > 0)


def assert_table(staged):
    """Compare every number of the closed form with the exact table of outcomes and notes."""
    settings, expected = staged.conditions.settings, staged.expected
    table = staged.device.reading().table
    same = table[:, :, 0, 0] + table[:, :, 1, 1]
    products = 2 * same.sum(axis=2) - 1
    chsh = sum(sign * products[pair] for pair, sign in settings.chsh_pairs)
    weights = [settings.pair_probability(pair) for pair in settings.key_pairs]
    qber = np.average([(1 - products[pair]) / 2 for pair in settings.key_pairs], weights=weights)
    noted = [table[pair].sum(axis=1) for pair in settings.key_pairs]  # [a, symbol]
    guess = np.average([n.max(axis=0).sum() for n in noted], weights=weights)
    found = [chsh, qber, guess]
    wanted = [expected.chsh, expected.qber, expected.guess_rate]
    information = staged.device.reading().memory_information
    if information is None:
        information = np.average([mutual_information(n) for n in noted], weights=weights)
    np.testing.assert_allclose([*found, information], [*wanted, expected.information], atol=1e-7)


def mutual_information(joint):
    product = np.outer(joint.sum(axis=1), joint.sum(axis=0))
    some = joint > 1e-15
    return float((joint[some] * np.log2(joint[some] / product[some])).sum())


def test_shots_of_aer_and_exact_rounds_tell_eve_the_same():
    for name in ("intercept-resend", "cloner", "collective"):
        for simulator in ("aer", "aer-with-eve"):
            conditions = Conditions(
                ATTACKS[name].default, rounds=100_000, simulator=simulator, seed=6
            )
            staged = stage(name, conditions)
            assert_expected(staged.device, staged.expected, rounds=100_000)


# Knowledge ------------------------------------------------------------------------------------


def bits(*values):
    return np.array(values, np.uint8)


def noted(alice, guess, kind=None, bob=None):
    zero = np.zeros_like(alice)
    return Notes(
        alice, alice if bob is None else bob, guess, zero if kind is None else kind, zero, zero
    )


def test_information_is_that_of_the_observed_frequencies():
    # Three of four guesses right, evenly for both bits: 1 - h(1/4).
    found = knowledge(noted(bits(0, 0, 0, 0, 1, 1, 1, 1), bits(0, 0, 0, 1, 1, 1, 1, 0)),
                      settings=ASYMMETRIC)  # fmt: skip
    assert found.guess_rate == 0.75
    assert found.information == pytest.approx(1 - 0.8112781244591328, abs=1e-12)


def test_information_tells_what_eve_knows_from_what_she_does_not():
    # Half known, half a blank: half a bit, though the guesses are as right as in no other case.
    found = knowledge(noted(bits(0, 1, 0, 1), bits(0, 1, 0, 0), kind=bits(1, 1, 0, 0)),
                      settings=ASYMMETRIC)  # fmt: skip
    assert found.information == pytest.approx(0.5, abs=1e-12)


def test_always_wrong_guesses_are_full_information():
    found = knowledge(noted(bits(0, 1, 0, 1), bits(1, 0, 1, 0)), settings=ASYMMETRIC)
    assert (found.guess_rate, found.information) == (0.0, 1.0)


def test_lost_rounds_and_other_settings_are_no_key():
    lost = noted(bits(0, 1, 2), bits(0, 1, 0), bob=bits(2, 2, 0))
    assert knowledge(lost, settings=ASYMMETRIC).rounds == 0
    assert knowledge(replace(lost, x=bits(1, 1, 1)), settings=ASYMMETRIC).guess_rate is None


# Guards ---------------------------------------------------------------------------------------

BAD = {
    "unknown": (lambda: run_attack("lasers"), "`attack` must be one of intercept-resend, cloner"),
    "strong": (lambda: run_attack("cloner", 0.6), r"`cloner` must lie in \[0, 0.5\]"),
    "weak": (lambda: run_attack("time-shift", 0.5), r"must lie in \[1, infinity\)"),
    "endless": (lambda: run_attack("time-shift", math.inf), "but is inf"),
    "nan": (lambda: run_attack("local", math.nan), "but is nan"),
    "gisin": (lambda: run_attack("gisin", 0.78), r"`gisin` must lie in \[0, 0.777969\]"),
    "mute": (lambda: run_attack("gisin", 0.0), r"`efficiency` must lie in \(0"),
    "settings": (
        lambda: run_attack("collective", settings=EKERT),
        ("`collective` must be run with the settings asymmetric, for which it is defined, but they "
        "are ekert"),
    ),
    "noise": (lambda: run_attack("local", dephasing=0.1), "`dephasing` must be 0 with `local`"),
    "device": (
        lambda: run_attack("cloner", simulator="fake:marrakesh"),
        "`cloner` must come with the device exact or aer, .* but the device is fake:marrakesh",
    ),
    "no qubits": (
        lambda: run_attack("blinding", simulator="aer-with-eve"),
        "aer-with-eve must come with an attack in which Eve has qubits of her own, but `blinding`",
    ),
    "basis": (
        lambda: run_attack("intercept-resend", basis="w"),
        "`basis` must be one of z, x, random, breidbart, y, but is w",
    ),
    "seed": (
        lambda: stage("local", Conditions(2.0, seed=-1)), "`seed` must be at least 0, but is -1"
    ),
    "flips": (lambda: run_attack("collective", flips=0.6), r"`flips` must lie in \[0, 0.5\]"),
    "flips of another": (lambda: run_attack("probe", flips=0.1), "option, but `probe` has none"),
    "pulses": (lambda: run_attack("photon-number-splitting", -1), r"must lie in \[0, infinity\)"),
    "bright": (lambda: run_attack("double-blinding", 1.9), r"must lie in \[2, 2.82843\]"),
    "visibility": (lambda: run_attack("local", visibility=1.1), r"`visibility` must lie in \[0"),
    "rounds": (lambda: run_attack("local", rounds=0), "`rounds` must lie in"),
    "mixture": (lambda: mixture(2.1, EKERT), r"`chsh` must lie in \[0, 2\]"),
    "loophole": (
        lambda: detection_loophole(0.6, EKERT), "`efficiency` must lie in"
    ),
    "leak": (lambda: run_attack("setting-leak", 1.1), r"`setting-leak` must lie in \[0, 1\]"),
    "transformation": (
        lambda: tapped_device(lambda s: s, Conditions(1.0)), "register `eve_memory`"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_impossible_attack_is_one_sentence(name):
    call, sentence = BAD[name]
    with pytest.raises(ValueError, match=sentence):
        call()


@pytest.mark.parametrize(("x", "y"), [([3], [0]), ([0], [2]), ([0, 1], [0])])
def test_tapped_device_refuses_choices_that_are_no_settings(x, y):
    device = stage("local", Conditions(2.0, seed=1)).device
    with pytest.raises(ValueError, match="must"):
        device(np.array(x), np.array(y))


def test_device_without_noise_is_left_alone():
    device = stage("local", Conditions(2.0, seed=1)).device
    assert with_white_noise(device, Conditions(2.0)) is device


@pytest.mark.parametrize("name", ATTACKS)
def test_equal_seeds_repeat_and_others_do_not(name):
    def outcomes(seed):
        staged = stage(name, Conditions(ATTACKS[name].default, rounds=2_000, seed=seed))
        return np.concatenate(staged.device(*questions(ASYMMETRIC, 2_000, seed=2)))

    assert np.array_equal(outcomes(1), outcomes(1))
    assert np.mean(outcomes(1) == outcomes(2)) < 0.9


@pytest.mark.parametrize("name", ATTACKS)
def test_blocks_continue_the_device_and_its_notes(name):
    conditions = Conditions(ATTACKS[name].default, rounds=ROUNDS, seed=8)
    staged = stage(name, conditions)
    x, y = questions(ASYMMETRIC, ROUNDS, seed=9)
    parts = [staged.device(x[:0], y[:0])]  # no rounds give no outcomes
    parts += [
        staged.device(x[start : start + 40_000], y[start : start + 40_000])
        for start in range(0, ROUNDS, 40_000)
    ]
    a, b = (np.concatenate(part) for part in zip(*parts, strict=True))
    notes = staged.device.notes
    assert np.array_equal(notes.alice, a)
    assert np.array_equal(notes.bob, b)
    assert np.array_equal(notes.x, x)
    assert_probability(wins(notes, ASYMMETRIC), 0.5 + staged.expected.chsh / 8)


# What a session makes of them -------------------------------------------------------------------


def test_report_names_the_assumption_that_an_attack_breaks():
    trusted = run_attack("gisin", 0.7, rounds=200_000, seed=1)
    assert trusted.session.abort is None
    assert trusted.eve.guess_rate == 1
    assert "fair sampling" in trusted.session.assumptions
    assert "fair sampling" in str(trusted.session)
    assert "losses do not depend on setting or outcome" in trusted.to_dict()["broken_assumptions"]
    devices = Policy(SecurityModel.DEVICE_INDEPENDENT)
    free = run_attack("gisin", 0.7, rounds=200_000, seed=1, policy=devices)
    assert free.session.abort is Abort.NO_VIOLATION
    assert free.broken == ()


@pytest.mark.parametrize("theorem", ["collective-attacks", "entropy-accumulation"])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize(
    ("name", "strength"),
    [("detection-loophole", s) for s in (2 / 3, 0.7, 0.75, 0.8, 0.8284)]
    + [("gisin", s) for s in (0.2, 0.5, 0.7, PLANAR_EFFICIENCY)]
    + [("local", 2.0)],
)
def test_local_model_gets_no_device_independent_key(name, strength, settings, theorem):
    policy = Policy(SecurityModel.DEVICE_INDEPENDENT, theorem=theorem)
    found = run_attack(name, strength, rounds=100_000, settings=settings, seed=1, policy=policy)
    assert found.session.abort is Abort.NO_VIOLATION


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_every_instruction_obeys_bell_once_losses_count_as_outcomes(settings):
    generator = np.random.default_rng(3)
    models = [detection_loophole(e, settings) for e in (2 / 3, 0.75, 0.9)]
    models += [planar(e, settings) for e in (0.3, 0.77)]
    for model in [*models, mixture(2.0, settings)]:
        alice, bob = (1 - 2 * (table == 1).astype(int) for table in model(generator, 5_000))
        chsh = sum(s * alice[:, x] * bob[:, y] for (x, y), s in settings.chsh_pairs)
        assert np.abs(chsh).max() <= 2


def test_session_under_attack_does_not_tell_eve_from_the_settings_count():
    """Losses look independent: neither sanity test of the session fires."""
    for settings in SETTINGS.values():
        for name in ("detection-loophole", "gisin", "blinding", "time-shift"):
            found = run_attack(name, rounds=300_000, seed=7, settings=settings)
            assert found.session.abort is None
            assert found.session.chsh.lower_bound > 2


def test_joint_table_of_an_idle_eve_is_the_honest_one():
    staged = stage("intercept-resend", Conditions(0.0, seed=1))
    table = staged.device.reading().table
    np.testing.assert_allclose(table.sum(axis=(2, 3, 4)), 1, atol=1e-12)
    np.testing.assert_allclose(table[:, :, :, :, 1:], 0, atol=1e-12)


@pytest.mark.parametrize(("name", "is_secret"), [("detection-loophole", False), ("probe", True)])
def test_a_report_shows_first_whether_its_key_is_secret(name, is_secret):
    report = run_attack(name, rounds=ROUNDS, seed=1)
    page = report._repr_html_()
    assert report.session.abort is None
    assert page.startswith("<div><p><b>A KEY THAT IS NOT SECRET") is not is_secret
    assert f">{report.eve.guess_rate:.4f}</td>" in page
    assert f">{report.expected.chsh:.4f}</td>" in page
