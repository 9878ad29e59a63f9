"""Published experiments: the file format, the simulation against second routes, the claims."""

import json
import math
import os
import re
import runpy
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from msgspec import to_builtins
from scipy.stats import chi2
from statistical import FALSE_ALARM

from e91.experiments import (
    ExperimentReport,
    SimulatedBy,
    as_data,
    as_records,
    as_text,
    compare,
    described,
    load,
    names,
    parse,
    reproduced_by_route,
)
from e91.experiments import results as report
from e91.experiments import run as simulate
from e91.experiments.key_rates import finite_bits, secret_fraction
from e91.experiments.observables import correlations, overpass, rates
from e91.experiments.published import Comparison, Outcome
from e91.experiments.simulate import drawn_observables
from e91.experiments.vocabulary import PARAMETERS, QUANTITIES, WIGNER
from e91.model.settings import ASYMMETRIC, BBM92, EKERT
from e91.optics.link_files import arm_loss_db
from e91.security.shannon import binary_entropy
from e91.security.theorems import Theorem

GOOD = """
title = "A link"
reference = "Nobody, Nowhere 1, 1 (2026)"
summary = "Two boxes on a table."
settings = "bbm92"

[state]
visibility = { value = 0.9, error = 0.01, source = "p. 1", printed = true, fitted_to = "qber" }

[protocol]
chsh_coincidences = { value = 4000, source = "p. 2", printed = true }
sifted_bits = { value = 2000, source = "p. 2", printed = true }
sifted_fraction = { value = 0.5, source = "p. 2", printed = true }
error_correction_efficiency = { value = 1.2, source = "p. 3", printed = false }
duration_s = { value = 100, source = "p. 2", printed = true }

[measured]
coincidences_per_second = { value = 40, source = "p. 2", printed = true }

[[outcomes]]
quantity = "qber"
value = 0.05
error = 0.005
error_source = "printed"
unit = "1"
source = "p. 1"
printed = true

[[outcomes]]
quantity = "chsh"
value = 2.5
error = 0.05
error_source = "printed"
unit = "1"
source = "p. 1"
printed = true
"""

DOCS = Path(__file__).parents[2] / "docs" / "experiments.md"
ATTEMPT = {name: load(name) for name in names()}


# --- the format ---------------------------------------------------------------------------------

REFUSED = [
    ('title = "A link"', "", "`title` must be a text that is not empty, but is missing."),
    ('title = "A link"', "title = 3", "`title` must be a text that is not empty, but is 3."),
    ('title = "A link"', "title = [", "must be a TOML file"),
    ("[measured]", "[measurd]", "`measurd` is not; did you mean `measured`?"),
    ("duration_s", "duration_ms", "did you mean `protocol.duration_s`"),
    ("visibility = { value = 0.9,", "visibility = { value = 90,",
     "`state.visibility` must lie in [0, 1], but is 90."),
    ("visibility = { value = 0.9,", "visibility = { value = nan,", "must be a finite number"),
    ("visibility = { value = 0.9,", 'visibility = { value = "0.9",', "visibility.value` must"),
    ("visibility = { value = 0.9,", "visibility = { valeu = 0.9,", "visibility.valeu` is not"),
    ("error = 0.01,", "error = -0.01,", "visibility.error` must be at least 0, but is -0.01."),
    ('source = "p. 1", printed = true, fitted', "printed = true, fitted", "visibility.source`"),
    ("value = 4000, source", "value = -1, source", "`protocol.chsh_coincidences` must lie"),
    ('duration_s = { value = 100, source = "p. 2", printed = true }', "duration_s = 100",
     "`protocol.duration_s` must be a table"),
    ("printed = false", 'printed = "no"', "`protocol.error_correction_efficiency.printed` must be"),
    ('fitted_to = "qber"', 'fitted_to = "wigner"', "`state.visibility.fitted_to` must name"),
    ('quantity = "chsh"', 'quantity = "S"', "`outcomes[1].quantity` must be one of"),
    ('error_source = "printed"\nunit = "1"\nsource = "p. 1"\nprinted = true\n\n[[o',
     'error_source = "printed"\nunit = "%"\nsource = "p. 1"\nprinted = true\n\n[[o',
     "`outcomes[0].unit` must be '1' for qber, but is '%'."),
    ("value = 0.05\nerror = 0.005", "value = 0.05\nerror = -1", "[0].error` must be at least 0"),
    ("value = 0.05\nerror = 0.005", "value = 0.05", "`outcomes[0].error` must be a finite number"),
    ('settings = "bbm92"', 'settings = "bb84"', "`settings` must be one of"),
    ("visibility = { value = 0.9", "bit_error = { value = 0.1", "`state.visibility` must stand"),
    ("[protocol]", 'phase_error = { value = 0, source = "p", printed = true }\n[protocol]',
     "or `bit_error` and `phase_error` together"),
    ('settings = "bbm92"', 'settings = "bbm92"\ntheorem = "faith"', "`theorem` must be one of"),
    ('settings = "bbm92"', 'settings = "bbm92"\nlimits = "none"', "`limits` must be a list"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "sentence"), REFUSED, ids=lambda text: text[:32])
def test_file_with_a_fault_is_refused_with_the_path_of_its_key(old, new, sentence):
    assert old in GOOD
    with pytest.raises(ValueError) as refusal:
        parse(GOOD.replace(old, new, 1), name="mine")
    assert sentence in str(refusal.value)


def test_file_without_outcomes_is_refused():
    with pytest.raises(ValueError, match="`outcomes` must be a list"):
        parse(GOOD.split("[[outcomes]]", maxsplit=1)[0], name="mine")


def test_hostile_numbers_and_nesting_are_refused_in_a_sentence():
    for huge in ("1e400", "1" + "0" * 400):
        with pytest.raises(ValueError, match="must be a finite number"):
            parse(GOOD.replace("value = 0.9,", f"value = {huge},"), name="mine")
    with pytest.raises(ValueError, match="must be nested at most"):
        parse("a = " + "[" * 100_000, name="mine")


def test_name_that_is_not_known_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean `yin-2020`"):
        load("yin-2200")


def test_file_that_is_no_text_or_too_large_is_refused(tmp_path):
    path = tmp_path / "odd.toml"
    path.write_bytes(b"title = '\xff\xfe'")
    with pytest.raises(ValueError, match="must be UTF-8"):
        load(str(path))
    path.write_bytes(b"#" * 1_000_001)
    with pytest.raises(ValueError, match="at most 1,000,000 bytes"):
        load(str(path))


def test_file_of_the_user_is_read_like_those_of_the_package(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    assert load(str(path)) == parse(GOOD, name="mine")


def test_every_parameter_says_its_unit_or_has_none():
    units = (
        "_s",
        "_m",
        "_km",
        "_db",
        "_db_per_km",
        "_rad",
        "_deg",
        "_per_second",
        "_bits",
        "_hz",
        "_nm",
    )
    plain = ("visibility", "bit_error", "phase_error", "signal_to_noise", "sifted_fraction",
             "chsh_coincidences", "error_correction_efficiency", "rounds", "epsilon",
             "test_fraction", "expected_chsh", "expected_qber",
             "detector_efficiency", "afterpulse_probability")  # fmt: skip
    for key in PARAMETERS:
        assert key.endswith((*units, *plain)), key


# --- the physics, by a second route -------------------------------------------------------------

X = np.array([[0, 1], [1, 0]], np.complex128)
Z = np.diag([1, -1]).astype(np.complex128)
PHI = np.array([1, 0, 0, 1]) / math.sqrt(2)


def density(bit_error, phase_error, accidentals):
    """White noise for the smaller error, flips of the phase (or of the bit) for the rest."""
    visibility = 1 - 2 * min(bit_error, phase_error)
    flipped = (1 - (1 - 2 * max(bit_error, phase_error)) / visibility) / 2
    flip = np.kron(np.eye(2), Z if phase_error >= bit_error else X)
    noisy = visibility * np.outer(PHI, PHI) + (1 - visibility) * np.eye(4) / 4
    noisy = (1 - flipped) * noisy + flipped * flip @ noisy @ flip
    return (1 - accidentals) * noisy + accidentals * np.eye(4) / 4


def product(rho, a, b):
    observables = [math.cos(t) * Z + math.sin(t) * X for t in (a, b)]
    return float(np.trace(rho @ np.kron(*observables)).real)


NOISE = [(0.0, 0.0, 0.0), (0.03, 0.07, 0.1), (0.078, 0.0105, 0.0), (0.25, 0.25, 0.6)]


@pytest.mark.parametrize("settings", [EKERT, ASYMMETRIC, BBM92], ids=lambda s: s.name)
@pytest.mark.parametrize("noise", NOISE)
def test_correlations_are_those_of_the_density_matrix(settings, noise):
    bit, phase, accidentals = noise
    found = correlations(
        settings, bit_error=bit, phase_error=phase, accidental_fraction=accidentals
    )
    rho = density(*noise)
    pairs = [
        sign * product(rho, settings.alice_angles[x], settings.bob_angles[y])
        for (x, y), sign in settings.chsh_pairs
    ]
    errors = [
        (1 - product(rho, settings.alice_angles[x], settings.bob_angles[y])) / 2
        for x, y in settings.key_pairs
    ]
    assert found.chsh == pytest.approx(sum(pairs), abs=1e-9)
    assert found.qber == pytest.approx(np.mean(errors), abs=1e-9)
    assert found.fidelity == pytest.approx(float((PHI @ rho @ PHI).real), abs=1e-9)


@pytest.mark.parametrize(("bit", "phase"), [(0.01, 0.04), (0.04, 0.01), (0.0, 0.5), (0.5, 0.0)])
def test_asymmetric_settings_show_bit_errors_in_the_key_and_both_in_s(bit, phase):
    found = correlations(ASYMMETRIC, bit_error=bit, phase_error=phase, accidental_fraction=0.0)
    assert found.qber == pytest.approx(bit, abs=1e-9)
    assert found.chsh == pytest.approx(2 * math.sqrt(2) * (1 - bit - phase), abs=1e-9)


@pytest.mark.parametrize("visibility", [1.0, 0.932, 0.0])
def test_wigner_value_is_that_of_a_singlet(visibility):
    singlet = np.array([0, 1, -1, 0]) / math.sqrt(2)
    rho = visibility * np.outer(singlet, singlet) + (1 - visibility) * np.eye(4) / 4

    def plus_plus(alpha, beta):  # polariser angles in degrees
        rays = [
            np.array([math.cos(math.radians(t)), math.sin(math.radians(t))]) for t in (alpha, beta)
        ]
        both = np.kron(*rays)
        return float((both @ rho @ both).real)

    expected = plus_plus(-30, 0) + plus_plus(0, 30) - plus_plus(-30, 30)
    error = (1 - visibility) / 2
    found = correlations(WIGNER, bit_error=error, phase_error=error, accidental_fraction=0.0)
    assert found.wigner == pytest.approx(expected, abs=1e-9)
    assert found.chsh is None


def test_perfect_singlets_break_wigners_bound_by_an_eighth():
    found = correlations(WIGNER, bit_error=0.0, phase_error=0.0, accidental_fraction=0.0)
    assert found.wigner == pytest.approx(-1 / 8)


@pytest.mark.parametrize("noise", [*NOISE, (0.1, 0.3, 0.2), (0.4, 0.45, 0.0)])
def test_concurrence_is_that_of_wootters(noise):
    bit, phase, _ = noise
    text = GOOD.replace(
        'visibility = { value = 0.9, error = 0.01, source = "p. 1", printed = true, '
        'fitted_to = "qber" }',
        f'bit_error = {{ value = {bit}, source = "p. 1", printed = true }}\n'
        f'phase_error = {{ value = {phase}, source = "p. 1", printed = true }}',
    ).replace('quantity = "chsh"', 'quantity = "concurrence"')
    row = compare(parse(text, name="mine"))[1]
    rho = density(bit, phase, 0.0)
    flip = np.kron(*[np.array([[0, -1j], [1j, 0]])] * 2)
    roots = np.sort(np.sqrt(np.abs(np.linalg.eigvals(rho @ flip @ rho.conj() @ flip))))
    assert row.simulated == pytest.approx(max(0.0, 2 * roots[-1] - roots.sum()), abs=1e-7)


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
@pytest.mark.parametrize("name", ["bit_error", "phase_error", "accidental_fraction"])
def test_noise_beyond_its_range_is_refused(name, value):
    noise = {"bit_error": 0.0, "phase_error": 0.0, "accidental_fraction": 0.0, name: value}
    with pytest.raises(ValueError, match=f"`{name}` must lie in"):
        correlations(BBM92, **noise)


def test_errors_are_those_of_parameters_and_counts_by_hand():
    rows = {row.outcome.quantity: row for row in compare(parse(GOOD, name="mine"))}
    counted = math.sqrt(0.05 * 0.95 / 2000)
    assert rows["qber"].simulated_error == pytest.approx(math.hypot(0.005, counted), rel=1e-6)
    term = 0.9 / math.sqrt(2)
    spread = math.hypot(2 * math.sqrt(2) * 0.01, 4 * math.sqrt((1 - term**2) / 4000))
    assert rows["chsh"].simulated_error == pytest.approx(spread, rel=1e-6)


def test_key_rate_and_its_error_are_those_of_the_formula():
    text = GOOD + GOOD.split("[[outcomes]]")[1].join(["\n[[outcomes]]", ""]).replace(
        'quantity = "qber"', 'quantity = "secret_bits_per_second"'
    ).replace('unit = "1"', 'unit = "bit/s"')
    row = compare(parse(text, name="mine"))[2]
    fraction = 1 - 2.2 * binary_entropy(0.05)
    assert row.simulated == pytest.approx(20 * fraction)
    slope = 20 * 2.2 * math.log2(0.95 / 0.05)
    by_qber = math.hypot(0.005, math.sqrt(0.05 * 0.95 / 2000)) * slope
    by_rate = math.sqrt(40 / 100) / 40 * 20 * fraction
    assert row.simulated_error == pytest.approx(math.hypot(by_qber, by_rate), rel=0.01)


def test_draws_scatter_as_the_stated_counts_say():
    experiment = parse(GOOD.replace("error = 0.01, ", ""), name="mine")
    draws = [drawn_observables(experiment, seed=seed) for seed in range(400)]
    expected = {row.outcome.quantity: row for row in compare(experiment)}
    rate = [draw.coincidences_per_second for draw in draws]
    for values, mean, error in (
        ([draw.qber for draw in draws], 0.05, expected["qber"].simulated_error),
        ([draw.chsh for draw in draws], 0.9 * 2**1.5, expected["chsh"].simulated_error),
        (rate, 40.0, math.sqrt(40 / 100)),
    ):
        total = float(np.sum((np.array(values) - mean) ** 2)) / error**2
        low, high = chi2.ppf(FALSE_ALARM / 2, 400), chi2.isf(FALSE_ALARM / 2, 400)
        assert low < total < high
        # Correlated or doubled counts would widen the spread by sqrt(2): that must be seen.
        assert chi2.cdf(high / 2, 400) < 1e-3


def test_a_seed_repeats_a_draw_and_another_does_not():
    experiment = parse(GOOD, name="mine")
    first, again, other = (compare(experiment, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert first[1].simulated != compare(experiment)[1].simulated


def test_negative_seed_is_refused():
    with pytest.raises(ValueError, match="`seed` must not be negative"):
        compare(parse(GOOD, name="mine"), seed=-1)


def test_what_cannot_be_simulated_gets_a_reason_and_no_number():
    head, last = GOOD.rsplit("[[outcomes]]", 1)
    last = last.replace('"chsh"', '"link_loss"').replace('unit = "1"', 'unit = "dB"')
    row = compare(parse(f"{head}[[outcomes]]{last}", name="mine"))[1]
    assert row.simulated is None
    assert row.sigmas is None
    assert not row.reproduced
    assert "losses of both arms" in row.reason


def test_experiment_without_a_state_has_a_reason_for_every_outcome():
    head, rest = GOOD.split("[state]")
    bare = parse(head + rest[rest.index("[protocol]") :], name="mine")
    assert all("state.visibility" in row.reason for row in compare(bare))


@pytest.mark.parametrize("name", ["yin-2020", "zhang-2022", "ursin-2007", "nadlinger-2022"])
def test_every_parameter_at_its_limits_gives_numbers_or_a_reason(name):
    exact = replace(
        ATTEMPT[name],
        parameters=tuple(replace(p, error=0.0) for p in ATTEMPT[name].parameters),
    )
    for parameter in exact.parameters:
        for limit in PARAMETERS[parameter.key]:
            at_limit = exact.shifted(parameter.key, limit - parameter.value)
            rows = compare(at_limit, seed=1)
            for row in rows:
                assert row.reason or math.isfinite(row.simulated), (parameter.key, limit, row)
                assert row.simulated_error >= 0
            assert as_text(at_limit, rows)


@pytest.mark.parametrize("rounds", [1e3, 1e12])
def test_device_independent_key_exists_for_any_allowed_session(rounds):
    ions = ATTEMPT["nadlinger-2022"].shifted("protocol.rounds", rounds - 1.5e6)
    chsh, qber = 2.677, 0.0144
    bits = finite_bits(ions.numbers.protocol, theorem=ions.theorem, chsh=chsh, qber=qber)
    assert 0 <= bits < rounds
    assert (bits > 0) == (rounds > 1e4)


def test_theorems_are_asked_only_for_what_they_give():
    link = parse(GOOD, name="mine")
    with pytest.raises(ValueError, match="must come from an asymptotic theorem"):
        secret_fraction(link.numbers.protocol, theorem=Theorem.EXACT_SAMPLING, chsh=2.7, qber=0.02)
    with pytest.raises(ValueError, match="must have an S, but there is none"):
        secret_fraction(link.numbers.protocol, theorem=Theorem.ACIN, chsh=None, qber=0.02)
    with pytest.raises(ValueError, match="A finite key must come from one of"):
        finite_bits(link.numbers.protocol, theorem=Theorem.ACIN, chsh=2.7, qber=0.02)
    with pytest.raises(ValueError, match="with the S that the last two need"):
        finite_bits(link.numbers.protocol, theorem=Theorem.COLLECTIVE, chsh=None, qber=0.02)
    with pytest.raises(ValueError, match="must give `protocol"):
        finite_bits(link.numbers.protocol, theorem=Theorem.EXACT_SAMPLING, chsh=None, qber=0.02)


@pytest.mark.parametrize(
    ("theorem", "expected"),
    [
        (Theorem.ACIN, 1 - binary_entropy((1 + math.sqrt(1.35**2 - 1)) / 2)),
        (Theorem.RANDOM_BASIS, 1.1224 * 0.7),
        (Theorem.SHOR_PRESKILL, 1 - binary_entropy(0.02)),
    ],
)
def test_asymptotic_rates_are_the_printed_formulas_less_error_correction(theorem, expected):
    link = parse(GOOD, name="mine").numbers.protocol
    found = secret_fraction(link, theorem=theorem, chsh=2.7, qber=0.02)
    assert found == pytest.approx(expected - 1.2 * binary_entropy(0.02), abs=1e-4)


def test_outcome_that_the_settings_cannot_show_has_a_reason():
    rows = compare(parse(GOOD.replace('"bbm92"', '"wigner"'), name="mine"))
    assert "settings with a CHSH test" in rows[1].reason
    wigner = GOOD.replace('quantity = "chsh"', 'quantity = "wigner"')
    assert "Wigner's inequality" in compare(parse(wigner, name="mine"))[1].reason


# --- deviations and their names -----------------------------------------------------------------


def outcome(value, error):
    return Outcome("chsh", value, error, "printed", "1", "p. 1", True)


@pytest.mark.parametrize(
    ("simulated", "spread", "fitted", "expected"),
    [
        (2.59, 0.0, False, "reproduced"),
        (2.65, 0.0, False, "differs"),
        (2.65, 0.1, False, "agrees"),
        (2.5, 0.0, True, "fitted"),
        (None, 0.0, False, "not simulated"),
    ],
)
def test_status_is_earned_by_the_published_error_alone(simulated, spread, fitted, expected):
    row = Comparison(outcome(2.5, 0.05), simulated, spread, fitted)
    assert report.status(row) == expected


def test_sigmas_take_both_errors_and_the_strict_measure_one():
    row = Comparison(outcome(2.5, 0.03), 2.6, 0.04, False)
    assert row.sigmas == pytest.approx(2.0)
    assert row.published_sigmas == pytest.approx(0.1 / 0.03)


# --- the experiments ----------------------------------------------------------------------------

ASKED = (
    "naik-2000", "jennewein-2000", "tittel-2000", "ling-2008", "ursin-2007", "fedrizzi-2009",
    "yin-2017", "yin-2020", "wengerowsky-2018", "joshi-2020", "basso-basset-2021",
    "nadlinger-2022", "liu-2022", "lu-2026",
)  # fmt: skip


STRICT = (
    "honjo-2008", "kuzucu-2007", "lee-2020", "li-2026", "liu-2022-fibre", "nadlinger-2022",
    "schimpf-2021", "shi-2026", "shi-2026-source", "weber-2008", "yin-2017", "zhang-2022",
)  # fmt: skip


def test_the_experiments_that_were_asked_for_are_there():
    assert set(ASKED) <= set(names())


@pytest.fixture(scope="module")
def compared():
    return {name: compare(experiment) for name, experiment in ATTEMPT.items()}


def test_what_a_parameter_was_fitted_to_is_met(compared):
    fits = [row for rows in compared.values() for row in rows if row.fitted]
    assert len(fits) > 10
    for row in fits:
        assert abs(row.published_sigmas) < 0.1, row


def test_nothing_fitted_counts_as_reproduced(compared):
    for name, rows in compared.items():
        for row in rows:
            if row.outcome.quantity in ATTEMPT[name].fitted:
                assert not row.reproduced


def test_ten_experiments_have_an_outcome_that_agrees_and_was_not_fitted(compared):
    agreeing = {name for name, rows in compared.items() if any(row.reproduced for row in rows)}
    assert len(agreeing) >= 10, sorted(agreeing)


# Worked out from printed numbers by a formula; a test of its own repeats each.
DERIVED = {("honjo-2008", "state.visibility")}


def is_read(name, parameter):
    """Whether a number was read in a page, worked out from such, or fitted to a read outcome."""
    if parameter.printed or (name, parameter.key) in DERIVED:
        return True
    if not parameter.fitted_to:
        return False
    where, _, quantity = parameter.fitted_to.rpartition(": ")
    outcomes = ATTEMPT[where or name].outcomes
    return any(o.printed for o in outcomes if o.quantity == quantity)


def refitted(experiment, qber):
    """The experiment with its visibility, if that was fitted to the QBER, fitted again."""
    by_key = {p.key: p for p in experiment.parameters}
    if "state.visibility" not in by_key or by_key["state.visibility"].fitted_to != "qber":
        return experiment
    needed = (1 - 2 * qber) / (1 - rates(experiment.numbers).accidental_fraction)
    return experiment.shifted("state.visibility", needed - by_key["state.visibility"].value)


@cache
def with_a_hundredth_moved(name):
    """Every parameter of an experiment, and the outcomes if it alone is moved by a hundredth."""
    exact = replace(
        ATTEMPT[name], parameters=tuple(replace(p, error=0.0) for p in ATTEMPT[name].parameters)
    )
    qber = next((o.value for o in exact.outcomes if o.quantity == "qber"), 0.0)
    found = []
    for parameter in exact.parameters:
        limits, little = PARAMETERS[parameter.key], parameter.value / 100
        down = parameter.value - little >= limits[0]
        other = exact.shifted(parameter.key, -little if down else little)
        if parameter.key != "state.visibility":
            other = refitted(other, qber)
        found.append((parameter, compare(other)))
    return found


def rests_on(name, row):
    """Parameters of which a hundredth moves an outcome by a hundredth of its published error."""
    place = ATTEMPT[name].outcomes.index(row.outcome)
    for parameter, rows in with_a_hundredth_moved(name):
        if abs(rows[place].simulated - row.simulated) > row.outcome.error / 100:
            yield parameter


@pytest.fixture(scope="module")
def rests(compared):
    """What every reproduced outcome rests on, by experiment and place."""
    return {
        (name, place): list(rests_on(name, row))
        for name, rows in compared.items()
        for place, row in enumerate(rows)
        if row.reproduced
    }


LINK_GROUPS = ("source", "detection", "orbit", "alice", "bob")


def test_routes_follow_from_what_an_outcome_rests_on(compared, rests):
    for (name, place), parameters in rests.items():
        groups = {parameter.key.partition(".")[0] for parameter in parameters}
        expected = SimulatedBy.LINK if groups.intersection(LINK_GROUPS) else SimulatedBy.CLOSED_FORM
        assert compared[name][place].route is expected, (name, place)


def test_what_is_reproduced_is_counted_by_what_reproduces_it(compared, rests):
    counts = reproduced_by_route([row for rows in compared.values() for row in rows])
    one = sum({p.key for p in parameters} == {"state.visibility"} for parameters in rests.values())
    closed, link = counts["closed form"], counts["link"]
    pages = DOCS, DOCS.with_name("accuracy.md"), DOCS.parents[1] / "README.md"
    reported, accuracy, readme = (" ".join(file.read_text("utf-8").split()) for file in pages)
    assert f"{closed + link} outcomes are reproduced: {closed} by a closed form" in readme
    assert f"and {link} by a link model" in readme
    assert f"**A closed form: {closed}.** {one} are formulas of one visibility alone" in reported
    assert f"**A link model: {link}**" in reported
    assert f"{closed + link} outcomes of" in accuracy
    assert f"{closed} by a closed form of other numbers of the same paper ({one} of" in accuracy
    assert f"of one visibility alone), {link} by a model of the link" in accuracy


def test_ten_experiments_agree_in_an_outcome_that_rests_on_read_numbers_alone(compared, rests):
    strict = {
        name
        for (name, place), parameters in rests.items()
        if compared[name][place].outcome.printed
        and all(is_read(name, parameter) for parameter in parameters)
    }  # fmt: skip
    assert strict == set(STRICT)
    assert len(strict) >= 10


def test_an_outcome_rests_on_what_moves_it_and_on_nothing_else(compared):
    rate = next(r for r in compared["yin-2017"] if r.outcome.unit == "1/s")
    keys = {p.key for p in rests_on("yin-2017", rate)}
    assert {"source.pairs_per_second", "alice.loss_db", "bob.detector_efficiency"} <= keys
    assert not keys & {"state.visibility", "alice.dark_counts_per_second"}
    chsh = next(r for r in compared["yin-2017"] if r.outcome.quantity == "chsh")
    assert {p.key for p in rests_on("yin-2017", chsh)} == {"state.visibility"}


def test_what_differs_or_is_not_simulated_is_explained(compared):
    for name, rows in compared.items():
        for row in rows:
            if report.status(row) == "differs":
                assert len(row.outcome.note) > 40, (name, row.outcome.quantity)
            if report.status(row) == "not simulated":
                assert row.reason
                assert ATTEMPT[name].limits, name


def found(compared, name, quantity, theorem=None):
    rows = [row for row in compared[name] if row.outcome.quantity == quantity]
    return next(r for r in rows if (r.outcome.theorem and r.outcome.theorem.value) == theorem)


def test_micius_2017_s_follows_from_its_printed_qber(compared):
    row = found(compared, "yin-2017", "chsh")
    assert row.reproduced
    assert row.simulated == pytest.approx(2 * math.sqrt(2) * (1 - 2 * 0.081), abs=1e-3)


def test_micius_2020_s_lies_within_the_published_error_and_its_key_within_both(compared):
    assert abs(found(compared, "yin-2020", "chsh").published_sigmas) < 1
    assert abs(found(compared, "yin-2020", "secret_bits_per_second").sigmas) < 1


def test_micius_372_bits_do_not_survive_the_formula_of_2017(compared):
    row = found(compared, "yin-2020", "secret_bits", "tomamichel-leverrier-2017")
    assert row.simulated == pytest.approx(-227, abs=2)
    exact = found(compared, "yin-2020", "secret_bits", "exact-sampling")
    assert exact.simulated == pytest.approx(41, abs=2)


def test_white_noise_cannot_give_the_ions_s_and_qber():
    white = correlations(ASYMMETRIC, bit_error=0.0144, phase_error=0.0144, accidental_fraction=0.0)
    assert (white.chsh - 2.677) / 0.006 > 10
    assert {"chsh", "qber"} <= ATTEMPT["nadlinger-2022"].fitted


def test_a_turn_of_seven_degrees_reconciles_the_ions_numbers():
    along = 1 - 2 * 0.0144
    across = (4 * 0.960 - 1 - along) / 2
    unturned = math.sqrt(2) * (along + across)
    assert unturned == pytest.approx(2.695, abs=5e-4)
    assert math.degrees(math.acos(2.677 / unturned)) == pytest.approx(7, abs=0.5)


LINK_2020 = {
    "source.pairs_per_second", "orbit.altitude_km", "orbit.inclination_deg", "protocol.duration_s",
    "protocol.sifted_fraction", "protocol.error_correction_efficiency",
    *(f"{party}.{name}" for party in ("alice", "bob") for name in (
        "latitude_deg", "longitude_deg", "altitude_m", "divergence_half_angle_rad",
        "telescope_diameter_m")),
}  # fmt: skip

# Whoever promotes a number to "printed" must have read the page, and says so here.
READ = {
    "ecker-2021": {"secret_bits_per_second"},
    "erven-2008": {"measured.coincidences_per_second", "qber", "secret_bits_per_second"},
    "han-2020": {"chsh"},
    "honjo-2008": {
        "source.pairs_per_second", "detection.coincidence_window_s", "protocol.sifted_bits",
        "qber", "secret_bits",
        *(f"{party}.{name}" for party in ("alice", "bob") for name in (
            "loss_db", "detector_efficiency", "dark_counts_per_second")),
    },
    "kim-2026": {"state.visibility", "chsh"},
    "kuzucu-2007": {"fidelity", "chsh", "visibility"},
    "lee-2020": {"state.visibility", "chsh"},
    "li-2026": {"fidelity", "concurrence", "chsh"},
    "liu-2022-fibre": {"state.visibility", "visibility"},
    **{
        name: {
            "state.bit_error", "protocol.sifted_fraction", "protocol.error_correction_efficiency",
            "chsh", "qber", "secret_bits_per_event",
        }
        for name in ("liu-2026", "liu-2026-101km")
    },
    "lu-2026": {"protocol.rounds", "secret_bits_per_event"},
    "nadlinger-2022": {
        "state.bit_error", "protocol.rounds", "protocol.epsilon", "protocol.test_fraction",
        "protocol.expected_chsh", "protocol.expected_qber", "chsh", "qber", "fidelity",
        "secret_bits", "fixed_session_bits_per_round",
    },
    "neumann-2022": {
        "state.visibility", "measured.coincidences_per_second", "protocol.duration_s",
        "secret_bits_per_second", "secret_bits", "coincidences_per_second",
    },
    "prabhakar-2021": {"protocol.sifted_fraction", "qber", "secret_bits_per_event"},
    "schimpf-2021": {
        "measured.coincidences_per_second", "qber", "fidelity", "secret_bits_per_second",
    },
    "shi-2026": {"state.visibility", "chsh"},
    "shi-2026-source": {"state.visibility", "chsh"},
    "takesue-2010": {
        "measured.coincidences_per_second", "protocol.sifted_fraction", "qber",
        "secret_bits_per_second",
    },
    "weber-2008": {"fidelity", "chsh"},
    "wengerowsky-2019": {"state.visibility", "coincidences_per_second"},
    "wengerowsky-2020": {"fidelity"},
    "yin-2017": {
        "source.pairs_per_second", "orbit.altitude_km", "orbit.inclination_deg",
        "alice.latitude_deg", "alice.longitude_deg", "alice.altitude_m",
        "alice.divergence_half_angle_rad", "bob.latitude_deg", "bob.longitude_deg",
        "bob.divergence_half_angle_rad", "coincidences_per_second", "chsh", "qber",
    },
    "yin-2020": {
        *LINK_2020, "protocol.epsilon", "coincidences_per_second", "signal_to_noise",
        "sifted_bits_per_second", "secret_bits_per_second", "secret_bits",
    },
    "yin-2020-forecast": {*LINK_2020, "secret_bits_per_second"},
    "zhang-2022": {"state.bit_error", "chsh", "qber", "fidelity", "secret_bits_per_event"},
}  # fmt: skip


def test_no_number_is_promoted_to_printed():
    for name, experiment in ATTEMPT.items():
        marked = {p.key for p in experiment.parameters if p.printed}
        marked |= {o.quantity for o in experiment.outcomes if o.printed}
        assert marked == READ.get(name, set()), name


# --- text, JSON, command line -------------------------------------------------------------------


def test_published_numbers_keep_the_digits_of_the_file():
    text = GOOD.replace("value = 2.5\n", "value = 2.50\n").replace("error = 0.005", "error = 5e-3")
    rows = parse(text.replace("value = 0.05\n", "value = 0.050\n"), name="mine").outcomes
    assert [row.digits for row in rows] == ["0.050 ± 5e-3", "2.50 ± 0.05"]
    assert [row.value for row in rows] == [0.05, 2.5]
    assert "2.50 ± 0.05" in as_text(parse(text, name="mine"), compare(parse(text, name="mine")))
    parameters = {p.key: p.digits for p in parse(text, name="mine").parameters}
    assert parameters["state.visibility"] == "0.9 ± 0.01"
    assert parameters["protocol.chsh_coincidences"] == "4,000"
    record = as_records(compare(load("lee-2020")))[0]
    assert (record["published"], record["published_digits"]) == (2.7, "2.70 ± 0.04")


def test_a_rate_that_was_put_in_is_no_simulated_one():
    text = GOOD.replace('"chsh"', '"coincidences_per_second"').replace(
        'error = 0.05\nerror_source = "printed"\nunit = "1"',
        'error = 0.05\nerror_source = "printed"\nunit = "1/s"',
    )
    row = compare(parse(text, name="mine"))[1]
    assert row.simulated is None
    assert "but was put in" in row.reason


def test_text_shows_both_errors_and_every_remark(compared):
    text = as_text(ATTEMPT["yin-2020"], compared["yin-2020"])
    assert "2.56 ± 0.07" in text
    assert "does not survive" in text
    assert "Some published values were not read in a page" in text


def test_description_marks_what_was_not_read_and_what_was_fitted():
    text = described(ATTEMPT["yin-2020"])
    assert "Fitted to qber" in text
    assert "Not read in a page" in text
    assert "Printed: p. 503" in text


def test_records_have_the_promised_keys(compared):
    promised = {
        "quantity",
        "simulated",
        "simulated_error",
        "published",
        "published_error",
        "sigmas",
    }
    for rows in compared.values():
        for record in as_records(rows):
            assert promised <= set(record)


def test_data_is_json():
    for experiment in ATTEMPT.values():
        assert json.loads(json.dumps(as_data(experiment)))["name"] == experiment.name


def test_commands_list_show_and_run(status):
    code, out, _ = status("experiment", "list")
    head, *lines = out.splitlines()
    assert (code, len(lines)) == (0, len(names()))
    assert head.split() == ["fitted", "closed", "form", "link", "reference"]
    assert next(line.split()[:4] for line in lines if "yin-2017" in line) == [
        "yin-2017",
        "1",
        "1",
        "2",
    ]
    code, out, _ = status("experiment", "show", "yin-2017")
    assert code == 0
    assert "Science 356" in out
    code, out, _ = status("experiment", "run", "yin-2017", "--json")
    assert code == 0
    assert {row["quantity"] for row in json.loads(out)} >= {"chsh", "qber"}
    code, out, _ = status("experiment", "run", "yin-2017", "--seed", "3")
    assert code == 0
    assert "reproduced" in out
    for arguments in (["list"], ["show", "yin-2017"]):
        code, out, _ = status("experiment", *arguments, "--json")
        assert code == 0
        assert json.loads(out)


@pytest.mark.parametrize("name", ["yin-2200", "nowhere/mine.toml"])
def test_command_refuses_what_is_not_there_in_one_sentence(status, name):
    code, out, err = status("experiment", "run", name)
    assert code == 2
    assert out == ""
    assert err.startswith("e91: ")
    assert len(err.splitlines()) == 1


# --- documentation and figure -------------------------------------------------------------------


def test_documented_table_is_what_the_simulation_gives(compared):
    script = runpy.run_path(str(DOCS.parents[1] / "benchmarks" / "experiments.py"))
    text = DOCS.read_text("utf-8")
    reports = [ExperimentReport(ATTEMPT[name], rows, None) for name, rows in compared.items()]
    missing = [line for line in script["lines"](reports) if line not in text]
    assert not missing


def test_documented_counts_are_those_of_the_table(compared):
    rows = [(name, row) for name, rows in compared.items() for row in rows if row.reproduced]
    read = [(name, row) for name, row in rows if row.outcome.printed]
    counts = len(rows), len({name for name, _ in rows}), len(read), len({name for name, _ in read})
    sentence = "{} outcomes of {} experiments are reproduced. {} of them, of {} experiments, have"
    assert sentence.format(*counts) in " ".join(DOCS.read_text("utf-8").split())


def test_documented_keys_are_all_and_only_those_of_the_format():
    text = DOCS.read_text("utf-8")
    named = set(re.findall(r"^\| `([a-z]+\.[a-z0-9_]+)`", text, re.MULTILINE))
    assert named == {key for key in PARAMETERS if not key.startswith("bob.")}
    for quantity, unit in QUANTITIES.items():
        assert f"`{quantity}` ({unit})" in " ".join(text.split())


def test_documented_example_is_read():
    toml = "\n".join(re.findall(r"```toml\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL))
    head = GOOD.split("[state]", maxsplit=1)[0]
    assert parse(head + toml, name="documented").fitted == {"chsh"}


def test_figure_shows_every_outcome_that_was_not_fitted(compared):
    from e91.plots.drawing import deviations, deviations_figure

    found = deviations(simulate(name) for name in ("yin-2017", "yin-2020"))
    rows = [row for name in ("yin-2017", "yin-2020") for row in compared[name]]
    assert len(found) == sum(not row.fitted for row in rows)
    axes = deviations_figure(found)
    assert [label.get_text() for label in axes.get_yticklabels()] == [row.label for row in found]
    with pytest.raises(ValueError, match="at least one outcome"):
        deviations_figure([])


def test_report_shows_itself_and_draws_itself():
    report = simulate("ursin-2007", seed=4)
    assert report.seed == 4
    page = report._repr_html_()
    assert page.count("ursin-2007: Ursin et al.")
    for row in report.comparisons:
        assert f">{row.outcome.digits}</td>" in page
    assert len(report.plot().get_yticklabels()) == 2
    assert json.loads(json.dumps(report.to_records()))[0]["quantity"] == "chsh"


# --- links --------------------------------------------------------------------------------------

LINK = """
[source]
pairs_per_second = { value = 5.9e6, source = "p. 1", printed = true }
coherence_time_s = { value = 1.2e-9, source = "p. 1", printed = true }

[detection]
coincidence_window_s = { value = 2.5e-9, source = "p. 1", printed = true }

[alice]
loss_db = { value = 32, source = "p. 1", printed = true }
dark_counts_per_second = { value = 200, source = "p. 1", printed = true }

[bob]
loss_db = { value = 30, source = "p. 1", printed = true }
detector_efficiency = { value = 0.630957344480193, source = "p. 1", printed = true }
dark_counts_per_second = { value = 150, source = "p. 1", printed = true }
background_clicks_per_second = { value = 50, source = "p. 1", printed = true }
"""


def test_coincidences_of_a_link_are_those_of_the_model_of_neumann():
    # C01: 5.9e6 pairs/s, 32 dB per arm, 200 clicks/s, 2.5 ns, 1.2 ns.
    head, outcomes = GOOD.split("[measured]")
    link = parse(head + LINK + "[[outcomes]]" + outcomes.split("[[outcomes]]", 1)[1], name="mine")
    counted = rates(link.numbers)
    assert counted.coincidences_per_second == pytest.approx(2.3540184665349284, rel=1e-9)
    assert counted.accidental_fraction == pytest.approx(0.038467924849851204 / 2.3540184665349284)
    assert counted.link_loss_db == pytest.approx(64)


def test_losses_of_an_arm_add():
    more = """[alice]
fibre_length_km = { value = 10, source = "p. 1", printed = true }
fibre_attenuation_db_per_km = { value = 0.2, source = "p. 1", printed = true }"""
    head, outcomes = GOOD.split("[measured]")
    text = head + LINK.replace("[alice]", more) + "[[outcomes]]" + outcomes.split("[[outcomes]]")[1]
    link = parse(text, name="mine")
    assert arm_loss_db("alice", link.numbers.alice) == pytest.approx(34)
    assert rates(link.numbers).link_loss_db == pytest.approx(66)


def test_link_without_all_its_numbers_says_which_is_missing():
    head, outcomes = GOOD.split("[measured]")
    link = LINK.split("[detection]", maxsplit=1)[0]
    text = head + link + "[[outcomes]]" + outcomes.split("[[outcomes]]")[1]
    row = compare(parse(text, name="mine"))[0]
    assert "detection.coincidence_window_s" in row.reason


# --- the satellite ------------------------------------------------------------------------------


def round_earth_loss_db(experiment):
    """Second route: a sphere that does not turn, air as 1 / sin(elevation), the same optics."""
    numbers = to_builtins(experiment.numbers)
    radius, height = 6371.0, experiment.numbers.orbit.altitude_km

    def unit(party):
        latitude, longitude = (
            math.radians(numbers[party][f"{name}_deg"]) for name in ("latitude", "longitude")
        )
        flat = math.cos(latitude)
        return np.array(
            [flat * math.cos(longitude), flat * math.sin(longitude), math.sin(latitude)]
        )

    stations = unit("alice"), unit("bob")
    middle = (stations[0] + stations[1]) / np.linalg.norm(stations[0] + stations[1])
    east = np.cross([0, 0, 1], middle) / np.linalg.norm(np.cross([0, 0, 1], middle))
    north = np.cross(middle, east)
    sine = math.cos(math.radians(97.3)) / math.hypot(middle[0], middle[1])
    heading = sine * east - math.sqrt(1 - sine**2) * north
    angle = np.arange(-600.0, 601.0) * math.sqrt(398600.44 / (radius + height) ** 3)
    place = np.outer(np.cos(angle), middle) + np.outer(np.sin(angle), heading)
    through, seen = np.ones(len(angle)), np.ones(len(angle), bool)
    for party, station in zip(("alice", "bob"), stations, strict=True):
        sight = (radius + height) * place - radius * station
        distance = np.linalg.norm(sight, axis=1)
        sine_of_elevation = sight @ station / distance
        lowest = experiment.numbers.orbit.lowest_elevation_deg
        seen &= sine_of_elevation > math.sin(math.radians(lowest))
        width = 1e3 * distance * math.hypot(5e-6, 2 * 4e-7)
        aperture = numbers[party]["telescope_diameter_m"] / 2
        through *= -np.expm1(-2 * aperture**2 / width**2) * 0.5
        through *= 10 ** (-0.1 / np.maximum(sine_of_elevation, 0.1))
    fixed = sum(numbers[party]["loss_db"] for party in ("alice", "bob"))
    return fixed - 10 * math.log10(float(through[seen].mean()))


@pytest.mark.parametrize("name", ["yin-2017", "yin-2020"])
def test_mean_loss_of_a_pass_is_that_of_a_round_earth_that_stands_still(name):
    experiment = ATTEMPT[name]
    assert rates(experiment.numbers).link_loss_db == pytest.approx(
        round_earth_loss_db(experiment), abs=0.3
    )


def side(name, party):
    numbers = ATTEMPT[name].numbers
    return {"alice": numbers.alice, "bob": numbers.bob}[party]


def test_pass_of_2017_spans_the_distances_that_the_abstract_prints():
    both = overpass(ATTEMPT["yin-2017"].numbers).range_km.sum(axis=0)
    assert both.min() == pytest.approx(1600, abs=20)
    assert both.max() == pytest.approx(2400, abs=20)


def attenuation_left_db(printed_db, distance_km):
    """What a printed attenuation leaves behind diffraction and air; the triangle by hand."""
    radius, height, station = 6378.137, 500.0, 3.153
    orbit, ground = radius + height, radius + station
    sine = (orbit**2 - ground**2 - distance_km**2) / (2 * ground * distance_km)
    width = 1e3 * distance_km * math.hypot(5e-6, 2 * 4e-7)
    diffraction = -10 * math.log10(-math.expm1(-2 * 0.6**2 / width**2))
    degrees = math.degrees(math.asin(sine))
    air = 1 / (sine + 0.50572 * (degrees + 6.07995) ** -1.6364)  # Kasten and Young
    return printed_db - diffraction - air


def test_loss_of_micius_is_what_the_printed_attenuation_of_one_downlink_leaves():
    left = [attenuation_left_db(29, 530), attenuation_left_db(36, 1000)]
    assert abs(left[1] - left[0]) < 0.5  # within the printed digits: the model has their slope
    telescopes = sum(left) / 2 - 10 * math.log10(2)
    for party in ("alice", "bob"):
        assert side("yin-2017", party).loss_db == pytest.approx(telescopes, abs=0.01)
        for name in ("yin-2020", "yin-2020-forecast"):
            loss = side(name, party).loss_db
            assert loss == pytest.approx(telescopes - 10 * math.log10(2) / 2, abs=0.01)


def test_no_rate_of_micius_is_fitted_and_all_agree_within_both_errors(compared):
    for name in ("yin-2017", "yin-2020", "yin-2020-forecast"):
        for parameter in ATTEMPT[name].parameters:
            assert "per_second" not in (parameter.fitted_to or "")
    for name in ("yin-2017", "yin-2020"):
        assert abs(found(compared, name, "coincidences_per_second").sigmas) < 2
    assert abs(found(compared, "yin-2020", "sifted_bits_per_second").sigmas) < 2


def test_micius_has_one_background(compared):
    clicks = {
        side(name, party).background_clicks_per_second
        for name in ("yin-2017", "yin-2020", "yin-2020-forecast") for party in ("alice", "bob")
    }  # fmt: skip
    assert len(clicks) == 1
    assert abs(found(compared, "yin-2017", "signal_to_noise").sigmas) < 2


def test_telescopes_of_lijiang_that_may_be_meant_enclose_the_printed_rate():
    link = ATTEMPT["yin-2017"]
    small, large = (
        rates(link.shifted("bob.telescope_diameter_m", by).numbers).coincidences_per_second
        for by in (-0.3, 0.3)
    )
    assert small == pytest.approx(0.93, abs=0.005)
    assert small < 1.1 < large == pytest.approx(1.97, abs=0.005)


def test_pairs_of_2017_would_have_erred_more_than_those_of_2020_did(compared):
    ratio = 15 * 1.1 / 2.2  # the same accidental coincidences for half of the true ones
    visibility = (1 - 2 * 0.081) * (1 + 1 / ratio)
    forecast = ATTEMPT["yin-2020-forecast"]
    assert forecast.numbers.state.visibility == pytest.approx(visibility, abs=1e-5)
    row = found(compared, "yin-2020-forecast", "qber")
    assert not row.fitted
    assert row.simulated == pytest.approx(0.5 / 16 + 15 / 16 * (1 - visibility) / 2, abs=1e-4)
    assert row.published_sigmas > 2
    assert abs(row.sigmas) < 2


def test_pairs_of_honjo_are_those_that_erred_over_no_fibre():
    far = ATTEMPT["honjo-2008"]
    near = far.shifted("source.pairs_per_second", (0.04 - 0.14) / 3e-9)
    near = near.shifted("alice.loss_db", 4.45 + 0.05 + 0.35 + 2.0 - 17.4)
    near = near.shifted("bob.loss_db", 3.95 + 0.05 + 0.53 + 2.0 - 17.0)
    visibility = (1 - 2 * 0.0235) / (1 - rates(near.numbers).accidental_fraction)
    assert far.numbers.state.visibility == pytest.approx(visibility, abs=1e-4)
    # The paper's own accidental errors, mu / 2 (1 + mu) without dark counts: 1.9 and 6.14 %.
    dark = -500.0
    for link, pairs in ((near, 0.04), (far, 0.14)):
        clean = link.shifted("alice.dark_counts_per_second", dark)
        clean = clean.shifted("bob.dark_counts_per_second", dark)
        assert rates(clean.numbers).accidental_fraction == pytest.approx(
            pairs / (1 + pairs), rel=1e-4
        )


def test_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(ValueError, match="must be a readable, non-empty file, but is no regular"):
        load(str(tmp_path / "pipe.toml"))


def test_satellite_that_is_never_seen_gives_a_reason():
    far = ATTEMPT["yin-2017"].shifted("orbit.longitude_offset_deg", 0.0)
    assert compare(far)[0].simulated is not None
    low = far.shifted("orbit.altitude_km", -450.0)
    assert "never do" in compare(low)[0].reason


@pytest.mark.parametrize("broken", ["_quantity", "drawn_observables"])
def test_a_bug_in_the_simulation_is_no_reason_of_a_row(monkeypatch, broken):
    monkeypatch.setattr(f"e91.experiments.simulate.{broken}", lambda *_, **__: int("bug"))
    with pytest.raises(ValueError, match="invalid literal for int"):
        compare(load("yin-2017"), seed=1)
