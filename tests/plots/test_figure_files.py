"""Figures as files, whole results and sweeps: what is drawn is what was found."""

import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot
from xarray import Dataset

import e91
from e91 import plots
from e91.adversaries.attacked_session import run_attack
from e91.model.settings import ASYMMETRIC
from e91.plots import (
    Mark,
    attack_figure,
    check_figure_file,
    game_scale,
    planned_rates,
    qber_figure,
    rates_by_qber,
    rounds_figure,
    save_figure,
    session_figure,
    study_figure,
    sweep_of,
)
from e91.session import Link, best_plan


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    pyplot.close("all")


def draw():
    return game_scale(850, 1000)


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"),
                                               ("pdf", b"%PDF"), ("PNG", b"\x89PNG")])  # fmt: skip
def test_ending_says_what_the_file_becomes(ending, start, tmp_path):
    file = tmp_path / f"figure.{ending}"
    save_figure(draw, file)
    assert file.read_bytes().startswith(start)
    assert not pyplot.get_fignums()


def test_slide_is_1944_dots_wide(tmp_path):
    save_figure(draw, tmp_path / "slide.png", style="slide")
    assert pyplot.imread(tmp_path / "slide.png").shape[1] == round(7.2 * 270)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("old.png", "must not exist yet"), ("f.jpg", "must end in .png, .svg, .pdf"),
     ("none", "ends in ``"), ("nowhere/f.png", "must be a folder that can be written")],
)  # fmt: skip
def test_file_that_cannot_be_written_is_refused_before_it_is_drawn(name, sentence, tmp_path):
    (tmp_path / "old.png").write_text("mine")

    def never():
        raise AssertionError

    for call in (check_figure_file, lambda file: save_figure(never, file)):
        with pytest.raises(ValueError, match=sentence):
            call(tmp_path / name)
    assert (tmp_path / "old.png").read_text() == "mine"
    assert [found.name for found in tmp_path.iterdir()] == ["old.png"]


def test_check_and_a_failure_leave_nothing(tmp_path):
    check_figure_file(tmp_path / "f.png")
    with pytest.raises(ZeroDivisionError):
        save_figure(lambda: 1 / 0, tmp_path / "f.png")
    assert not list(tmp_path.iterdir())


# --- whole results --------------------------------------------------------------------------------


def test_session_is_drawn_as_s_and_budget_with_and_without_s():
    report = e91.run(e91.exact_device(seed=1), rounds=50_000, seed=1)
    upper, lower = session_figure(report)
    assert upper.get_figure() is lower.get_figure()
    assert "S is at least" in " ".join(upper.get_legend_handles_labels()[1])
    assert "sifted key" in [label.get_text() for label in lower.get_yticklabels()]
    blank, _ = session_figure(e91.run(e91.exact_device(seed=1), rounds=3, seed=2))
    assert "no S" in blank.texts[0].get_text()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("detection-loophole", "A KEY THAT IS NOT SECRET"),
        ("intercept-resend", "no key (no violation)"),
    ],
)
def test_attack_is_drawn_beside_theory_and_says_what_the_key_is_worth(name, words):
    report = run_attack(name, rounds=60_000, seed=1)
    upper, lower = attack_figure(report)
    assert words in upper.get_title()
    (expected,) = (line for line in upper.lines if line.get_label() == "expected S")
    assert expected.get_xdata() == [report.expected.chsh]
    drawn = {line.get_marker(): [] for line in lower.lines}
    for line in lower.lines:
        drawn[line.get_marker()] += line.get_xdata().tolist()
    theory, eve = report.expected, report.eve
    assert drawn["D"] == [theory.qber, theory.guess_rate, theory.information]
    assert drawn["o"] == [report.session.qber.rate, eve.guess_rate, eve.information]


# --- sweeps ---------------------------------------------------------------------------------------


def result(**sizes):
    dims = (*sizes, "repeat")
    shape = (*sizes.values(), 2)
    bits = np.arange(math.prod(shape)).reshape(shape)
    chsh = np.where(bits == 1, math.nan, 2 + bits / 100)
    coordinates = {name: np.linspace(0.8, 1, size) for name, size in sizes.items()}
    if "theorem" in sizes:
        coordinates["theorem"] = [f"theorem-{place}" for place in range(sizes["theorem"])]
    return Dataset({"chsh": (dims, chsh), "secret_bits": (dims, bits)}, coordinates)


def test_sweep_takes_means_and_ranges_over_the_repeats_of_each_line():
    found = sweep_of(result(theorem=2, visibility=3))
    assert found.axis == "visibility"
    assert [line.label for line in found.lines] == ["theorem theorem-0", "theorem theorem-1"]
    assert found.lines[1].secret_bits.tolist() == [6.5, 8.5, 10.5]
    assert found.lines[1].secret_bits_range.tolist() == [[6, 8, 10], [7, 9, 11]]
    assert found.lines[0].chsh == pytest.approx([2.00, 2.025, 2.045])  # one session has no S


def test_study_is_drawn_with_its_lines_and_says_what_is_left_out():
    upper, lower = study_figure(sweep_of(result(theorem=9, visibility=3)))
    assert "6 of 9 lines" in upper.get_title()
    assert len(lower.get_legend().get_texts()) == 6
    styles = {(line.lines[0].get_linestyle(), line.lines[0].get_marker()) for line in
              lower.containers}  # fmt: skip
    assert len(styles) == 6
    _, words = study_figure(sweep_of(result(theorem=3)))
    assert [label.get_text() for label in words.get_xticklabels()] == [
        "theorem-0", "theorem-1", "theorem-2"
    ]  # fmt: skip


def test_study_without_an_axis_is_refused():
    with pytest.raises(ValueError, match="must have an axis"):
        sweep_of(result())


# --- the figures of `e91 rate` --------------------------------------------------------------------


def test_planned_rates_are_those_of_the_best_plan_and_their_limit():
    link, policy = Link(2.7, 0.02), e91.Policy(e91.SecurityModel.DEVICE_INDEPENDENT)
    found = planned_rates([10**5, 10**6], link=link, settings=ASYMMETRIC, policy=policy)
    plan = best_plan(link, 10**6, settings=ASYMMETRIC, policy=policy)
    assert found.curves[0].rates[1] == plan.secret_bits / 10**6
    axes = rounds_figure(found, mark=Mark(10**6, 0.2, "asked"))
    (mark,) = (line for line in axes.lines if line.get_label() == "asked")
    assert mark.get_xydata().tolist() == [[10**6, 0.2]]


def test_marked_link_may_lie_off_the_curves():
    axes = qber_figure(rates_by_qber([0, 0.05, 0.1]), mark=Mark(0.03, 0.5, "mine"))
    assert "mine" in [text.get_text() for text in axes.get_legend().get_texts()]


def test_every_figure_stands_in_its_document():
    page = (Path(__file__).parents[2] / "docs" / "figures.md").read_text("utf-8")
    drawings = [name for name in plots.__all__ if name.endswith(("_figure", "_scale", "_curve"))]
    drawings.remove("save_figure")
    assert len(drawings) > 15
    assert [name for name in drawings if f"`{name}`" not in page] == []
