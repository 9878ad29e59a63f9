"""Figures: what is drawn is what was measured, with its errors and units."""

import math

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.container import ErrorbarContainer
from statistical import assert_binomial

import e91
from e91.plots import (
    CorrelationScan,
    Deviation,
    bell_scale,
    chsh_scale,
    correlation_curve,
    deviations_figure,
    game_scale,
    scan,
    scan_settings,
    styled,
)
from e91.plots.style import STYLES

matplotlib.use("Agg")

ANGLES = np.linspace(0, math.pi, 7)
SCAN = CorrelationScan(ANGLES, 0.9 * np.cos(ANGLES), np.full(7, 0.02))


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    pyplot.close("all")


def error_bars(axes):
    """Return centres and half-lengths of the one set of error bars, each of shape (n,)."""
    (bars,) = (found for found in axes.containers if isinstance(found, ErrorbarContainer))
    ends = np.array(bars.lines[2][0].get_segments())
    along = 1 if bars.has_yerr else 0
    return ends[:, :, along].mean(axis=1), np.ptp(ends[:, :, along], axis=1) / 2


def line(axes, label):
    (found,) = (drawn for drawn in axes.lines if str(drawn.get_label()).startswith(label))
    return found.get_xydata().T


@pytest.mark.parametrize("make", [e91.exact_device, e91.aer_device])
def test_scan_finds_visibility_times_cosine(make):
    visibility, rounds = 0.9, 60_000
    settings = scan_settings(ANGLES)
    found = scan(
        make(settings=settings, visibility=visibility, seed=5), settings, rounds_per_angle=rounds
    )
    assert found.angles == pytest.approx(ANGLES)
    for angle, correlator in zip(found.angles, found.correlators, strict=True):
        p = (1 - visibility * math.cos(angle)) / 2
        different = round(rounds * (1 - correlator) / 2)
        wrong = p + 0.025 if p < 0.5 else p - 0.025
        assert_binomial(different, rounds, p, must_detect=wrong)


def test_scan_counts_outcomes_of_its_own_angle():
    settings = scan_settings([0.0, 1.0, 2.0])
    answers = []

    def device(x, y):
        # At the k-th angle every (k + 2)-nd pair of outcomes differs.
        a = (np.arange(len(y)) % 2).astype(np.uint8)
        b = a ^ (np.arange(len(y)) % (y + 2) == 0)
        answers.append((y, 1.0 - 2.0 * (a ^ b)))
        return a, b.astype(np.uint8)

    found = scan(device, settings, rounds_per_angle=600)
    ((y, products),) = answers
    each = [products[y == k] for k in range(3)]
    assert [len(part) for part in each] == [600] * 3
    assert found.correlators == pytest.approx([part.mean() for part in each])
    # The variance of a product of signs is 1 - E**2, so numpy's spread is a second route.
    assert found.errors == pytest.approx([part.std() / math.sqrt(600) for part in each])


@pytest.mark.parametrize("rounds", [0, -1])
def test_scan_without_rounds_is_refused(rounds):
    settings = scan_settings([0.0])
    with pytest.raises(ValueError, match="`rounds_per_angle` must be at least 1"):
        scan(e91.exact_device(settings=settings, seed=1), settings, rounds_per_angle=rounds)


def test_curve_names_quantities_and_units():
    axes = correlation_curve(SCAN)
    assert "angle" in axes.get_xlabel()
    assert "(degrees)" in axes.get_xlabel()
    assert "correlator E" in axes.get_ylabel()
    assert axes.get_title()


def test_curve_shows_each_point_with_three_standard_errors():
    axes = correlation_curve(SCAN)
    centres, lengths = error_bars(axes)
    assert centres == pytest.approx(SCAN.correlators)
    assert lengths == pytest.approx(3 * SCAN.errors)
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert "measured, 3 standard errors" in legend


def test_theory_line_is_visibility_times_cosine():
    degrees, values = line(correlation_curve(SCAN, visibility=0.9), "quantum theory, 0.9 cos θ")
    assert values == pytest.approx(0.9 * np.cos(np.radians(degrees)))


def test_local_line_meets_the_chsh_inequality_with_equality():
    degrees, values = line(correlation_curve(SCAN), "best local model: saw-tooth, S = 2")
    angles = degrees[degrees <= 60]
    once, thrice = (np.interp(k * angles, degrees, values) for k in (1, 3))
    assert abs(3 * once - thrice) == pytest.approx(np.full(len(angles), 2.0))


def test_curve_goes_round_the_circle_with_a_tick_every_45_degrees():
    axes = correlation_curve(SCAN)
    assert axes.get_xticks().tolist() == list(range(0, 361, 45))
    for drawn in axes.lines[:2]:
        assert (drawn.get_xdata()[[0, -1]] == (0, 360)).all()


@pytest.mark.parametrize("draw", [lambda ax: correlation_curve(SCAN, ax=ax),
                                  lambda ax: game_scale(800, 1000, ax=ax)])  # fmt: skip
@pytest.mark.parametrize("style", STYLES)
def test_style_sets_the_letters_and_leaves_nothing_behind(style, draw):
    before = dict(matplotlib.rcParams)
    with styled(style):
        axes = pyplot.figure().subplots()
        assert draw(axes) is axes
        assert axes.xaxis.label.get_size() == STYLES[style]["font.size"]
    assert dict(matplotlib.rcParams) == before


def test_unknown_style_is_refused():
    with pytest.raises(ValueError, match="must be one of notebook, slide, print, but is 'poster'"):
        styled("poster").__enter__()


def test_bell_test_and_game_are_drawn_with_three_standard_errors():
    counts = [[[53, 8], [16, 51]], [[42, 20], [50, 5]]]
    found = e91.bell.bell_test(counts, signs=(1, -1, 1, 1), random_settings=True)
    for axes, value, error in (
        (bell_scale(found), found.value, found.standard_error),
        (game_scale(800, 1000), 2.4, 8 * math.sqrt(0.8 * 0.2 / 1000)),
    ):
        centres, lengths = error_bars(axes)
        assert centres == pytest.approx([value])
        assert lengths == pytest.approx([3 * error])
    with pytest.raises(ValueError, match="`wins`"):
        game_scale(11, 10)


def test_each_status_has_a_marker_of_its_own():
    known = ("reproduced", "agrees", "differs")
    found = [Deviation(name, 9.0 * at, 0.1, True, name) for at, name in enumerate(known)]
    axes = deviations_figure(found)
    markers = {bars.lines[0].get_marker() for bars in axes.containers}
    assert len(markers) == 3
    assert markers == {one.get_marker() for one in axes.lines if one.get_label() in known}


@pytest.mark.parametrize("visibility", [1.0, 0.97, 0.4])
def test_scale_shows_s_its_error_and_its_bound_inside_the_axes(visibility):
    report = e91.run(e91.exact_device(visibility=visibility, seed=1), rounds=50_000, seed=2)
    axes = chsh_scale(report)
    centres, lengths = error_bars(axes)
    assert centres == pytest.approx([report.chsh.value])
    assert lengths == pytest.approx([3 * report.chsh.standard_error])
    ((bound,), _) = line(axes, "S is at least")
    assert bound == report.chsh.lower_bound
    left, right = axes.get_xlim()
    assert left < bound < centres[0] + lengths[0] < right
    assert axes.get_xlabel() == "CHSH value S"


def test_scale_marks_the_quantum_limit():
    report = e91.run(e91.exact_device(seed=1), rounds=50_000, seed=2)
    where, _ = line(report.plot(), "quantum limit")
    assert where == pytest.approx([8**0.5, 8**0.5])


def test_session_without_s_is_not_drawn():
    report = e91.run(e91.exact_device(seed=1), rounds=3, seed=2)
    with pytest.raises(ValueError, match="must have a value of S"):
        report.plot()
