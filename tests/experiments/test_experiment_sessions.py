"""The key of a published experiment, made in a session of the protocol."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm
from statistical import FALSE_ALARM

from e91.devices.link_devices import link_device
from e91.experiments import load, names, parse, reproduced_by_route, run, run_session
from e91.experiments.experiment_sessions import session_of
from e91.experiments.observables import coincidence_table
from e91.experiments.published import Comparison, Outcome, SimulatedBy
from e91.experiments.simulate import errors_of, expected_observables

DOCS = Path(__file__).parents[2] / "docs" / "experiments.md"


@pytest.fixture(scope="module")
def micius():
    return run_session("yin-2020", rounds=400_000, seed=1)


def test_session_shows_the_expected_s_and_qber_within_its_own_counts(micius):
    expected = {row.outcome.quantity: row.simulated for row in run("yin-2020").comparisons}
    for row in micius.comparisons:
        if row.outcome.quantity in ("chsh", "qber"):
            limit = float(norm.isf(FALSE_ALARM / 2)) * row.counting_error
            assert abs(row.simulated - expected[row.outcome.quantity]) < limit
            assert limit < 0.4 * expected[row.outcome.quantity]  # it would see half the errors


def test_key_per_second_is_the_key_over_the_time_of_the_light(micius):
    rate = next(r for r in micius.comparisons if r.outcome.quantity == "secret_bits_per_second")
    seen = expected_observables(load("yin-2020"))
    seconds = 400_000 / seen.coincidences_per_second
    assert micius.session.secret_bits > 10_000
    assert rate.simulated == pytest.approx(micius.session.secret_bits / seconds)
    assert micius.session.rates["link_seconds"] == pytest.approx(seconds)
    assert {row.route for row in micius.comparisons} == {SimulatedBy.SESSION}


def test_only_what_a_session_gives_is_compared(micius):
    quantities = {row.outcome.quantity for row in micius.comparisons}
    assert quantities == {"chsh", "qber", "secret_bits_per_second"}
    assert "KEY RELEASED" in str(micius)
    assert "(session)" in str(micius)


def test_pairs_are_those_of_the_optical_device_of_the_same_link():
    honjo = load("honjo-2008")
    bit_error, phase_error = errors_of(honjo)
    seen = expected_observables(honjo)
    table = coincidence_table(
        honjo.settings, bit_error=bit_error, phase_error=phase_error,
        accidental_fraction=seen.accidental_fraction,
    )  # fmt: skip
    light = link_device(honjo.numbers, settings=honjo.settings)
    np.testing.assert_allclose(table, light.table, atol=1e-9)
    pace = light.info.pace.coincidences_per_second
    assert seen.coincidences_per_second == pytest.approx(pace, rel=1e-9)


def test_session_without_trust_takes_the_experiments_theorem_and_rounds():
    ions = load("nadlinger-2022")
    session = session_of(ions.shifted("protocol.rounds", 50_000 - 1.5e6), seed=1)
    assert session.rounds == 50_000
    assert session.policy.proof.value == "entropy-accumulation"


def outcome(error):
    return Outcome("chsh", 2.5, error, "printed", "1", "p. 1", True)


@pytest.mark.parametrize(("error", "reproduced"), [(0.02, True), (0.009, False)])
def test_session_that_scatters_more_than_the_published_error_reproduces_nothing(error, reproduced):
    row = Comparison(outcome(error), 2.501, 0.01, False, SimulatedBy.SESSION, counting_error=0.01)
    assert row.reproduced is reproduced
    assert reproduced_by_route([row])["session"] == reproduced


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("jennewein-2000", "must have a CHSH test"), ("ecker-2021", "must give `state.visibility`")],
)
def test_experiment_that_gives_no_session_is_refused_in_a_sentence(status, name, sentence):
    code, out, err = status("experiment", "run", name, "--session")
    assert (code, out) == (2, "")
    assert sentence in err
    assert len(err.splitlines()) == 1


def test_command_gives_session_and_comparisons(status):
    options = ("experiment", "run", "yin-2020", "--session", "--seed", 1)
    code, out, _ = status(*options, "--rounds", 400_000, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["secret_bits_per_second"] > 0
    assert {row["route"] for row in found["comparisons"]} == {"session"}
    code, out, err = status(*options, "--rounds", 6820)  # as many as were published make no key
    assert code == 3
    assert "NO KEY" in out
    assert err.count("\n") == 1
    code, _, err = status(*options, "--rounds", 0)
    assert (code, err) == (2, "e91: `--rounds` must lie in [1, 50000000], but is 0.\n")
    code, _, err = status("experiment", "run", "yin-2020", "--rounds", 5)
    assert code == 2
    assert "`--rounds` must come with `--session`" in err


def test_rate_that_is_not_known_makes_no_rate():
    text = Path(load.__code__.co_filename).with_name("lee-2020.toml").read_text("utf-8")
    report = run_session("lee-2020", rounds=20_000, seed=1)
    assert parse(text, name="lee-2020").numbers.source.pairs_per_second is None
    assert report.session.rates == {}
    assert math.isfinite(report.comparisons[0].simulated)


@pytest.mark.slow
def test_documented_count_of_sessions_is_that_of_seed_1():
    count = 0
    for name in names():
        try:
            rows = run_session(name, seed=1).comparisons
        except ValueError:
            continue
        count += reproduced_by_route(rows)["session"]
    assert f"**A simulated session: {count}**" in DOCS.read_text("utf-8")
