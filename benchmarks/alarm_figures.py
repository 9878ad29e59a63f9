"""Figures of power and delay, from records.  Needs Matplotlib: ``pip install 'e91[plot]'``."""

from __future__ import annotations

import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes

from benchmarks.batch_power import PowerCurves
from benchmarks.simulated_links import Delays


def power_figure(curves: PowerCurves) -> Axes:
    """Draw the probability of detection against the strength of the attack.

    One line per number of rounds; Monte Carlo estimates carry three standard errors, exact
    values none.

    Args:
        curves: From `benchmarks.batch_power.power_curves`.

    Returns:
        The Matplotlib axes.
    """
    axes: Axes = pyplot.subplots(figsize=(7, 4.2))[1]
    for rounds, row, errors in zip(
        curves.rounds, curves.detected, curves.standard_errors, strict=True
    ):
        label = f"{rounds:,} rounds"
        if errors.any():
            axes.errorbar(curves.fractions, row, 3 * errors, fmt="o-", ms=3, capsize=2, label=label)
        else:
            axes.plot(curves.fractions, row, label=label)
    simulated = bool(curves.standard_errors.any())
    axes.set(
        xlabel="fraction of photons intercepted and resent",
        ylabel="probability of detection",
        title=f"{curves.test} ({'simulated, 3 standard errors' if simulated else 'exact'})",
        ylim=(-0.03, 1.03),
    )
    axes.legend(frameon=False)
    axes.figure.tight_layout()  # type: ignore[union-attr]
    return axes


def delay_figure(delays: Delays) -> Axes:
    """Draw how soon the alarm rings, beside the information-theoretic optimum.

    Args:
        delays: From `benchmarks.simulated_links.detection_delays`.

    Returns:
        The Matplotlib axes, both logarithmic.
    """
    axes: Axes = pyplot.subplots(figsize=(7, 4.2))[1]
    order = np.argsort(delays.fractions)
    x = delays.fractions[order]
    axes.plot(x, delays.late[order], "v:", label="99th percentile")
    axes.plot(x, delays.median[order], "o-", label="median")
    axes.plot(x, delays.optimum[order], "--", color="0.4", label="log(1/alpha) / relative entropy")
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="fraction of photons intercepted and resent",
        ylabel="tallied rounds until the alarm",
        title="Detection delay of the sequential Bell test",
    )
    axes.legend(frameon=False)
    axes.figure.tight_layout()  # type: ignore[union-attr]
    return axes
