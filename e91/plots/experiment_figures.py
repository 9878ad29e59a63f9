"""Published experiments: how far each simulated outcome lies from the published one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from e91.experiments.results import ExperimentReport, status
from e91.plots.style import COLOURS, axes_for

_COLOURS = dict(zip(("agrees", "differs", "reproduced"), COLOURS, strict=False))


@dataclass(frozen=True)
class Deviation:
    """One outcome that was simulated and not fitted.

    Attributes:
        label: Experiment and quantity.
        sigmas: (simulated - published) / published error.
        error: Simulated error / published error.
        printed: Whether the published value was read in a page.
        status: "reproduced", "agrees" or "differs".
    """

    label: str
    sigmas: float
    error: float
    printed: bool
    status: str


def deviations(reports: Iterable[ExperimentReport]) -> tuple[Deviation, ...]:
    """Return all outcomes to which nothing was fitted.

    Args:
        reports: From `e91.experiments.run`.

    Returns:
        In the order of ``reports``.  What could not be simulated is left out.
    """
    return tuple(
        Deviation(
            label=f"{report.experiment.name}  {row.outcome.quantity.replace('_', ' ')}",
            sigmas=row.published_sigmas,
            error=row.simulated_error / row.outcome.error,
            printed=row.outcome.printed,
            status=status(row),
        )
        for report in reports
        for row in report.comparisons
        if row.published_sigmas is not None and not row.fitted
    )


def deviations_figure(
    found: Sequence[Deviation], *, limit: float = 5.0, ax: Axes | None = None
) -> Axes:
    """Draw the deviations in units of the published errors, one outcome a line.

    Bars are the simulated errors in the same unit.  Open circles: published values that were not
    read in a page.  Arrows at the edge: deviations beyond ``limit``.

    Args:
        found: From `deviations`.
        limit: Largest deviation that is drawn to scale.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes.

    Raises:
        ValueError: There is nothing to draw.
    """
    if not found:
        raise ValueError("`found` must hold at least one outcome, but is empty.")
    size = (7.2, 1.4 + 0.24 * len(found))
    axes = axes_for(ax, size=size)
    axes.axvspan(-2, 2, color="0.92", lw=0)
    axes.axvline(0, color="0.5", lw=0.8)
    for place, row in enumerate(found):
        colour = _COLOURS[row.status]
        edge = float(np.clip(row.sigmas, -limit, limit))
        face = colour if row.printed else "white"
        if edge != row.sigmas:
            axes.plot(edge, place, ">" if edge > 0 else "<", color=colour, mfc=face)
            continue
        axes.errorbar(edge, place, xerr=row.error, fmt="o", color=colour, mfc=face, lw=1)
    for name, colour in _COLOURS.items():
        axes.plot([], [], "o", color=colour, label=name)
    axes.plot([], [], "o", color="0.3", mfc="white", label="published value not read in a page")
    axes.set(
        xlabel="(simulated - published) / published error",
        xlim=(-1.15 * limit, 1.15 * limit),
        ylim=(len(found) - 0.5, -0.5),
        yticks=range(len(found)),
        yticklabels=[row.label for row in found],
        title="Outcomes to which nothing was fitted",
    )
    axes.tick_params(axis="y", labelsize="small")
    below = (0.3, -0.75 / size[1])
    axes.legend(fontsize="small", frameon=False, ncols=4, loc="upper center", bbox_to_anchor=below)
    return axes
