"""Figures of whole results, as ``--figure`` of the commands draws them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib import pyplot, rcParams
from matplotlib.axes import Axes

from e91.plots.budget import budget_figure, key_budget
from e91.plots.drawing import chsh_scale
from e91.plots.style import COLOURS, legend_below
from e91.session.report import SessionReport
from e91.session.totals import RunSummary

if TYPE_CHECKING:
    from e91.adversaries.attacked_session import AttackReport

Pair = tuple[Axes, Axes]
"""Two axes of one figure."""


def session_figure(report: SessionReport | RunSummary, *, ax: Pair | None = None) -> Pair:
    """Draw S between its limits and the key budget, of a session or of all blocks of a run.

    Args:
        report: With or without a key.
        ax: Two axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes.

    Examples:
        >>> import e91
        >>> from matplotlib.figure import Figure
        >>> report = e91.run(e91.exact_device(visibility=0.97, seed=1), rounds=100_000, seed=2)
        >>> upper, lower = session_figure(report, ax=tuple(Figure().subplots(2)))
        >>> lower.get_title()
        'Key budget'
    """
    budget = key_budget(report)
    heights = (1.5, 0.3 * (len(budget.steps) + 3))
    upper, lower = ax or _stacked(heights)
    _draw_scale(report, upper)
    budget_figure(budget, ax=lower)
    return upper, lower


def attack_figure(report: AttackReport, *, ax: Pair | None = None) -> Pair:
    """Draw a session under attack beside theory: S, the error rate, and what Eve knows.

    Open diamonds are what theory expects.  The title says whether a key was released although an
    assumption of its theorem is violated.

    Args:
        report: From `e91.adversaries.run_attack`.
        ax: Two axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes.

    Examples:
        >>> from e91.adversaries import run_attack
        >>> from matplotlib.figure import Figure
        >>> report = run_attack("intercept-resend", 1.0, rounds=20_000, seed=1)
        >>> upper, lower = attack_figure(report, ax=tuple(Figure().subplots(2)))
        >>> lower.get_xlabel()
        'fraction'
    """
    upper, lower = ax or _stacked((1.5, 2.2), title=0.6)
    session, expected = report.session, report.expected
    _draw_scale(session, upper)
    open_ones: Any = {
        "color": "0.2",
        "mfc": "none",
        "ms": 1.9 * rcParams["lines.markersize"],
        "zorder": 4,
    }
    upper.plot(expected.chsh, 1, "D", label="expected S", **open_ones)
    upper.set(xlim=(min(upper.get_xlim()[0], expected.chsh - 0.1), upper.get_xlim()[1]))
    legend_below(upper, columns=2)
    upper.set_title(_verdict(report))
    rows = {
        "QBER": (session.qber.rate, expected.qber),
        "Eve guesses a key bit": (report.eve.guess_rate, expected.guess_rate),
        "Eve's bits per key bit": (report.eve.information, expected.information),
    }
    for place, (seen, theory) in enumerate(rows.values()):
        if theory is not None:
            lower.plot(theory, place, "D", **open_ones)
        if seen is not None:
            lower.plot(seen, place, "o", color=COLOURS[1])
    lower.plot([], [], "o", color=COLOURS[1], label="this session")
    lower.plot([], [], "D", label="expected", **open_ones)
    lower.grid(axis="x", color="0.93")
    lower.set(
        xlim=(-0.03, 1.03), ylim=(2.5, -0.5), yticks=range(3), yticklabels=rows, xlabel="fraction"
    )
    legend_below(lower, columns=2)
    return upper, lower


def _verdict(report: AttackReport) -> str:
    attack, session = report.staged.attack, report.session
    strength = f" {report.staged.conditions.strength:.4g}" if attack.meaning else ""
    if session.abort is not None:
        end = f"no key ({session.abort.name.lower().replace('_', ' ')})"
    else:
        end = "A KEY THAT IS NOT SECRET" if report.broken else "key released"
    return f"{attack.name}{strength}\n{end}"


def _stacked(heights: tuple[float, float], *, title: float = 0.0) -> Pair:
    """Return two axes one above the other, of these heights in inches, below a title of another."""
    room = 1.9 + title  # inches of labels and legends
    figure = pyplot.figure(figsize=(7.2, sum(heights) + room), layout="constrained")
    upper, lower = figure.subplots(2, height_ratios=heights)
    return upper, lower


def _draw_scale(report: SessionReport | RunSummary, axes: Axes) -> None:
    if report.chsh.value is not None:
        chsh_scale(report, ax=axes)
        return
    axes.set(xticks=[], yticks=[])
    why = "no S: some setting pair never occurred" if report.bell_test else "no Bell test was made"
    axes.text(0.5, 0.5, why, ha="center", va="center")
