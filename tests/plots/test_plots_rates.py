"""Figures of key rates: thresholds where they were published, and what is drawn is the data."""

import math
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot

from e91.model.settings import ASYMMETRIC, BBM92
from e91.model.trust import SecurityModel
from e91.plots import (
    efficiency_figure,
    qber_figure,
    rates_by_efficiency,
    rates_by_qber,
    rates_by_rounds,
    rounds_figure,
    styled,
)
from e91.plots.rate_curves import _limits
from e91.security.device_independent import werner_chsh
from e91.security.policy import Policy
from e91.security.theorems import Theorem
from e91.session.planning import Link, best_plan

matplotlib.use("Agg")

QBERS = np.linspace(0, 0.12, 121)
EFFICIENCIES = np.linspace(0.78, 1, 111)
ROUNDS = (10_000, 1_000_000, 100_000_000)
LINK = Link(werner_chsh(0.015), 0.015)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def by_rounds():
    return rates_by_rounds(ROUNDS, link=LINK)


def drawn(axes, label):
    (found,) = (line for line in axes.lines if str(line.get_label()).startswith(label))
    return found.get_xydata().T


def entropy(p):
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p) if 0 < p < 1 else 0.0


# --- against QBER ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "published", "source"),
    [
        (0, 0.1100, "Shor & Preskill 2000"),
        (1, 0.07149, "Acín et al. 2007"),
        (2, 0.08085, "Ho et al. 2020"),
        (3, 0.082, "Schwonnek et al. 2021"),
    ],
)
def test_each_rate_ends_at_its_published_threshold(place, published, source):
    curve = rates_by_qber(QBERS).curves[place]
    assert curve.threshold == pytest.approx(published, abs=5e-5)
    assert curve.source == source
    around = [curve.threshold - 1e-3, curve.threshold + 1e-6]
    below, above = rates_by_qber(around).curves[place].rates
    assert below > 0
    assert above <= 1e-12


def test_rates_against_qber_are_the_formulas_written_out():
    found = rates_by_qber(QBERS)
    for q, s, bbm92, acin in zip(
        QBERS, found.chsh_values, found.curves[0].rates, found.curves[1].rates, strict=True
    ):
        assert s == pytest.approx(math.sqrt(8) * (1 - 2 * q))
        assert bbm92 == pytest.approx(max(0.0, 1 - 2 * entropy(q)), abs=1e-12)
        root = math.sqrt(max(0.0, s * s / 4 - 1))
        assert acin == pytest.approx(max(0.0, 1 - entropy((1 + root) / 2) - entropy(q)), abs=1e-9)


def test_no_improvement_makes_a_device_independent_rate_smaller_or_beats_trust():
    trusted, plain, noisy, random = (curve.rates for curve in rates_by_qber(QBERS).curves)
    assert np.all(noisy >= plain - 1e-12)
    assert np.all(random >= plain - 1e-12)
    assert np.all(trusted >= np.maximum(noisy, random) - 1e-12)


def test_qber_figure_shows_curves_thresholds_sources_and_units():
    data = rates_by_qber(QBERS)
    axes = qber_figure(data)
    for curve in data.curves:
        x, y = drawn(axes, curve.name)
        shown = ~np.isnan(y)
        assert x == pytest.approx(data.qber)
        assert y[shown] == pytest.approx(curve.rates[shown])
        assert np.all(curve.rates[~shown] == 0)
    dots = [line.get_xydata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert np.array(dots) == pytest.approx(np.array([(c.threshold, 0) for c in data.curves]))
    legend = " ".join(text.get_text() for text in axes.get_legend().get_texts())
    for words in ("11.003 % (Shor & Preskill", "7.149 %", "8.085 %", "8.2 % (Schwonnek"):
        assert words in legend
    assert "QBER" in axes.get_xlabel()
    assert "bits per key round" in axes.get_ylabel()


def test_upper_axis_of_the_qber_figure_is_s():
    (upper,) = (child for child in qber_figure(rates_by_qber(QBERS)).child_axes if
                "S =" in child.get_xlabel())  # fmt: skip
    where = upper.get_xticks()
    values = [float(text.get_text()) for text in upper.get_xticklabels()]
    assert values == pytest.approx(math.sqrt(8) * (1 - 2 * np.array(where)), abs=1e-9)


# --- against efficiency ---------------------------------------------------------------------------


def test_key_and_violation_start_at_the_published_efficiencies():
    found = rates_by_efficiency(EFFICIENCIES)
    assert found.bell_threshold == pytest.approx(0.8284, abs=5e-5)
    assert found.curves[0].threshold == pytest.approx(0.9231, abs=5e-5)
    just = rates_by_efficiency([found.curves[0].threshold - 1e-6, 0.924])
    assert just.curves[0].rates[0] == 0 < just.curves[0].rates[1]


@pytest.mark.parametrize("visibility", [1.0, 0.95])
def test_efficiency_data_agree_with_an_enumeration_of_clicks(visibility):
    # Second route: both click, one clicks, none clicks; a missing click is outcome 0, sign +1.
    found = rates_by_efficiency(EFFICIENCIES, visibility=visibility)
    for eta, s, rate in zip(EFFICIENCIES, found.chsh_values, found.curves[0].rates, strict=True):
        correlators = [sign * visibility / math.sqrt(2) for sign in (1, 1, 1, -1)]
        binned = [eta**2 * e + (1 - eta) ** 2 for e in correlators]
        assert s == pytest.approx(binned[0] + binned[1] + binned[2] - binned[3])
        qber = eta**2 * (1 - visibility) / 2 + 2 * eta * (1 - eta) / 2
        root = math.sqrt(max(0.0, s * s / 4 - 1))
        expected = max(0.0, 1 - entropy((1 + root) / 2) - entropy(qber))
        assert rate == pytest.approx(expected, abs=1e-9)


def test_efficiency_figure_marks_both_thresholds_with_their_sources():
    axes = efficiency_figure(rates_by_efficiency(EFFICIENCIES))
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert any("82.84%" in text and "Garg & Mermin 1987" in text for text in texts)
    assert any("92.31%" in text and "Pironio et al. 2009" in text for text in texts)
    assert "efficiency" in axes.get_xlabel()
    assert "bits per key round" in axes.get_ylabel()


def test_key_threshold_is_not_claimed_for_a_noisy_pair():
    found = rates_by_efficiency([0.95, 1.0], visibility=0.95)
    assert found.curves[0].threshold is None
    texts = [text.get_text() for text in efficiency_figure(found).get_legend().get_texts()]
    assert not [text for text in texts if "key" in text]


# --- against rounds -------------------------------------------------------------------------------


def test_every_finite_theorem_has_its_curve(by_rounds):
    asymptotic = {
        Theorem.SHOR_PRESKILL, Theorem.ACIN, Theorem.NOISY_PREPROCESSING, Theorem.RANDOM_BASIS,
    }  # fmt: skip
    assert {c.name for c in by_rounds.curves} == {t.value for t in set(Theorem) - asymptotic}


def test_points_are_best_plans_of_one_block(by_rounds):
    tolerant = Policy(theorem=Theorem.TLGR, tolerated_error=by_rounds.tolerated_error)
    untrusting = Policy(SecurityModel.DEVICE_INDEPENDENT, theorem=Theorem.ENTROPY_ACCUMULATION)
    for policy, settings in ((tolerant, BBM92), (untrusting, ASYMMETRIC)):
        plan = best_plan(LINK, ROUNDS[1], settings=settings, policy=policy)
        (curve,) = (c for c in by_rounds.curves if c.name == policy.proof.value)
        assert curve.rates[1] == plan.secret_bits / ROUNDS[1] > 0


def test_finite_rates_grow_with_the_rounds_and_stay_below_their_limits(by_rounds):
    trusted, *_, untrusted = by_rounds.limits
    for curve in by_rounds.curves:
        assert np.all(np.diff(curve.rates) > 0)
        limit = trusted if curve.security is trusted.security else untrusted
        assert curve.rates[-1] < limit.rate


def test_limits_are_the_asymptotic_formulas(by_rounds):
    q, s, f = LINK.qber, LINK.chsh_value, LINK.efficiency
    acin = 1 - entropy((1 + math.sqrt(s * s / 4 - 1)) / 2)
    rates = [limit.rate for limit in by_rounds.limits]
    assert rates[0] == pytest.approx(1 - (1 + f) * entropy(q))
    assert rates[2] == pytest.approx(acin - f * entropy(q))
    assert rates[4] == pytest.approx(acin - 2 * f * entropy(q))
    assert rates[3] >= rates[2] - 1e-9 < rates[1]


def test_rounds_figure_shows_points_limits_and_units(by_rounds):
    axes = rounds_figure(by_rounds)
    assert axes.get_xscale() == "log"
    for curve in by_rounds.curves:
        x, y = drawn(axes, curve.name)
        assert x == pytest.approx(ROUNDS)
        assert y[~np.isnan(y)] == pytest.approx(curve.rates[~np.isnan(y)])
    texts = " ".join(text.get_text() for text in axes.texts)
    for limit in by_rounds.limits:
        assert f"{limit.rate:.3f}" in texts
        assert limit.name in texts
    levels = [y[0] for _, y in (line.get_xydata().T for line in axes.lines) if len(y) == 2]
    for limit in by_rounds.limits:
        assert min(abs(np.array(levels) - limit.rate)) < 1e-3
    assert "rounds" in axes.get_xlabel()
    assert "bits per round" in axes.get_ylabel()


@pytest.mark.parametrize("style", ["notebook", "slide"])
@pytest.mark.parametrize("qber", [0.005, 0.01, 0.015, 0.03])
def test_labels_of_near_limits_do_not_overlap(qber, style, by_rounds):
    link = Link(werner_chsh(qber), qber)
    with styled(style):
        axes = rounds_figure(replace(by_rounds, link=link, limits=_limits(link)))
        axes.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in axes.texts]
    pairs = [(a, b) for place, a in enumerate(boxes) for b in boxes[:place]]
    assert len(boxes) > 1
    assert not [1 for a, b in pairs if a.overlaps(b)]


def test_link_without_a_key_is_drawn_as_such():
    found = rates_by_rounds([10**4, 10**6], link=Link(2.1, 0.2))
    assert all(np.all(curve.rates == 0) for curve in found.curves)
    (label,) = (text.get_text() for text in rounds_figure(found).texts)
    assert label.startswith("0.000")


# --- guards ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [[], [0.1, 0.1], [0.2, 0.1], [-0.1, 0.1], [0.1, 1.1], [math.nan]])
@pytest.mark.parametrize("function", [rates_by_qber, rates_by_efficiency])
def test_axis_that_does_not_increase_inside_its_range_is_refused(function, axis):
    with pytest.raises(ValueError, match="must increase and lie in"):
        function(axis)


@pytest.mark.parametrize("rounds", [[], [10, 10], [-5, 10]])
def test_rounds_that_do_not_increase_are_refused(rounds):
    with pytest.raises(ValueError, match="`rounds` must increase"):
        rates_by_rounds(rounds, link=LINK)


def test_arrays_of_the_records_cannot_be_changed(by_rounds):
    found = rates_by_qber(QBERS)
    for array in (found.qber, found.chsh_values, found.curves[0].rates, by_rounds.rounds):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0
