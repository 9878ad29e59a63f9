"""Figures of key rates: against QBER, number of rounds and detection efficiency."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator, PercentFormatter

from e91.model.numbers import Floats
from e91.model.trust import SecurityModel
from e91.plots.rate_curves import EfficiencyRates, QberRates, RateCurve, RoundsRates
from e91.plots.style import COLOURS, LINES, MARKERS, axes_for, legend_below, thin

_PER_KEY_ROUND = "key rate (bits per key round)"


@dataclass(frozen=True)
class Mark:
    """A point that a figure shows beside its curves.

    Attributes:
        where: On the horizontal axis.
        rate: On the vertical one.
        label: What it is.

    Examples:
        >>> Mark(where=0.02, rate=0.7, label="this session").label
        'this session'
    """

    where: float
    rate: float
    label: str


def qber_figure(rates: QberRates, *, mark: Mark | None = None, ax: Axes | None = None) -> Axes:
    """Draw the asymptotic rates against QBER, with each theorem's threshold and its source.

    The inset enlarges the region in which only noisy preprocessing or a random key basis leave a
    key.  The upper axis is S for white noise.

    Args:
        rates: From `rates_by_qber`.
        mark: One point more, e.g. a link whose noise is not white; it may lie off the curves.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes.

    Examples:
        >>> from e91.plots.rate_curves import rates_by_qber
        >>> from matplotlib.figure import Figure
        >>> axes = qber_figure(rates_by_qber([0.0, 0.05, 0.12]), ax=Figure().subplots())
        >>> axes.get_xlabel()
        'QBER Q (white noise)'
    """
    axes = axes_for(ax, size=(7.2, 5.2))
    for curve, colour, dashes in zip(rates.curves, COLOURS, LINES, strict=False):
        kept, label = without_tail(curve.rates), _with_threshold(curve)
        axes.plot(rates.qber, kept, color=colour, ls=dashes, label=label)
        if curve.threshold is not None:
            axes.plot(curve.threshold, 0, "o", color=colour, clip_on=False, zorder=5)
    axes.set(
        xlabel="QBER Q (white noise)",
        ylabel=_PER_KEY_ROUND,
        title="Key rate, limit of long keys",
        xlim=(rates.qber[0], rates.qber[-1]),
        ylim=(0, 1),
    )
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    draw_mark(axes, mark)
    legend_below(axes, columns=1)
    _chsh_axis(axes, rates.qber, rates.chsh_values, "S = 2√2 (1 − 2Q)")
    _threshold_inset(axes, rates)
    return axes


def rounds_figure(rates: RoundsRates, *, mark: Mark | None = None, ax: Axes | None = None) -> Axes:
    """Draw the finite-size rates against the number of rounds, and their limits as lines.

    Theorems that want a tolerated error rate declared have that of ``rates``.

    Args:
        rates: From `rates_by_rounds` or `planned_rates`.
        mark: One point more.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes.

    Examples:
        >>> from e91.model.trust import SecurityModel
        >>> from e91.plots.rate_curves import RateCurve, RateLimit
        >>> from e91.session.expectation import Link
        >>> from matplotlib.figure import Figure
        >>> curve = RateCurve("finite", SecurityModel.TRUSTED_ANALYSERS, np.array([0.2, 0.5]))
        >>> limit = RateLimit("one way", SecurityModel.TRUSTED_ANALYSERS, rate=0.78)
        >>> rates = RoundsRates(np.array([1e5, 1e7]), Link(2.74, 0.015), epsilon=1e-10,
        ...                     tolerated_error=0.02, curves=(curve,), limits=(limit,))
        >>> rounds_figure(rates, ax=Figure().subplots()).get_xlabel()
        'rounds n of one session'
    """
    axes = axes_for(ax, size=(7.2, 6.0))
    for curve, colour, dashes, marker in zip(rates.curves, COLOURS, LINES, MARKERS, strict=False):
        axes.semilogx(
            rates.rounds,
            without_tail(curve.rates),
            color=colour,
            ls=dashes,
            marker=marker,
            label=f"{curve.name} ({curve.security.value})",
        )
    _draw_limits(axes, rates)
    link = rates.link
    axes.set(
        xlabel="rounds n of one session",
        ylabel="key rate (bits per round of any kind)",
        title=f"Finite key rate with the best choices\nS = {link.chsh_value:.3f}, "
        f"QBER {link.qber:.2%}, f = {link.efficiency:g}, ε = {rates.epsilon:g}",
        ylim=(0, 1.08 * max(0.01, *(limit.rate for limit in rates.limits))),
    )
    axes.grid(color="0.93")
    draw_mark(axes, mark)
    legend_below(axes, columns=2)
    return axes


def efficiency_figure(rates: EfficiencyRates, *, ax: Axes | None = None) -> Axes:
    """Draw the device-independent rates against detection efficiency, no-clicks kept.

    Hatched: no violation of S = 2.  Grey: a violation, and yet no key without preprocessing.  The
    upper axis is S.

    Args:
        rates: From `rates_by_efficiency`.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes.

    Examples:
        >>> from e91.plots.rate_curves import rates_by_efficiency
        >>> from matplotlib.figure import Figure
        >>> axes = efficiency_figure(rates_by_efficiency([0.8, 0.9, 1.0]), ax=Figure().subplots())
        >>> axes.get_title()
        'Device-independent key rate, visibility 1'
    """
    axes = axes_for(ax, size=(7.2, 5.4))
    left, right = float(rates.efficiency[0]), float(rates.efficiency[-1])
    start = rates.bell_threshold
    label = f"S at most 2: up to {start:.2%} (Garg & Mermin 1987)"
    axes.axvspan(min(left, start), start, fc="0.9", ec="0.6", hatch="//", lw=0, label=label)
    for curve, colour, dashes in zip(rates.curves, COLOURS[1:], LINES, strict=False):
        if curve.threshold is not None:
            label = f"S > 2, no key: up to {curve.threshold:.2%} ({curve.source})"
            axes.axvspan(start, curve.threshold, color="0.9", lw=0, label=label)
        kept = without_tail(curve.rates)
        axes.plot(rates.efficiency, kept, color=colour, ls=dashes, label=curve.name)
    axes.set(
        xlabel="detection efficiency η, no-clicks kept as outcome 0",
        ylabel=_PER_KEY_ROUND,
        title=f"Device-independent key rate, visibility {rates.visibility:g}",
        xlim=(left, right),
        ylim=(0, 1),
    )
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.xaxis.set_major_locator(MultipleLocator(0.04 if right - left < 0.3 else 0.1))
    legend_below(axes, columns=1)
    _chsh_axis(axes, rates.efficiency, rates.chsh_values, "S = 2√2 V η² + 2 (1 − η)²")
    return axes


def draw_mark(axes: Axes, mark: Mark | None) -> None:
    """Draw a point as a star, if there is one."""
    if mark is not None:
        look: Any = {"color": "black", "ms": 2 * rcParams["lines.markersize"], "clip_on": False}
        axes.plot(mark.where, mark.rate, "*", label=mark.label, zorder=6, **look)


def _threshold_inset(axes: Axes, rates: QberRates) -> None:
    untrusted = [c for c in rates.curves if c.security is SecurityModel.DEVICE_INDEPENDENT]
    inset = axes.inset_axes((0.55, 0.48, 0.42, 0.45))
    for curve, colour, dashes in zip(rates.curves, COLOURS, LINES, strict=False):
        if curve in untrusted and curve.threshold is not None:
            inset.plot(rates.qber, without_tail(curve.rates), color=colour, ls=dashes)
            inset.axvline(curve.threshold, color=colour, ls=":", lw=thin())
    marks = [curve.threshold for curve in untrusted if curve.threshold is not None]
    inset.set(xlim=(min(marks) - 0.003, max(marks) + 0.002), ylim=(0, 0.04))
    inset.xaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    inset.xaxis.set_major_locator(MultipleLocator(0.005))
    inset.tick_params(labelsize="x-small")
    axes.indicate_inset_zoom(inset, edgecolor="0.6")


def _with_threshold(curve: RateCurve) -> str:
    if curve.threshold is None:
        return curve.name
    digits = f"{100 * curve.threshold:.3f}".rstrip("0")
    return f"{curve.name}: 0 at {digits} % ({curve.source})"


def _chsh_axis(axes: Axes, positions: Floats, values: Floats, label: str) -> None:
    """Put ticks of S on the upper axis; ``values`` is monotone along ``positions``."""
    order = np.argsort(values)
    lowest, highest = float(values.min()), float(values.max())
    ticks = np.arange(math.ceil(lowest * 10) / 10, highest + 1e-9, 0.1)
    upper = axes.secondary_xaxis("top")
    upper.set_xticks(
        np.interp(ticks, values[order], positions[order]), [f"{tick:.1f}" for tick in ticks]
    )
    upper.set_xlabel(label)


def _draw_limits(axes: Axes, rates: RoundsRates) -> None:
    """Draw the limits as lines; equal ones share a line and its label."""
    names: dict[str, list[str]] = {}
    for limit in rates.limits:
        names.setdefault(f"{limit.rate:.3f}", []).append(limit.name)
    lines = sorted(((float(rate), rate, shared) for rate, shared in names.items()), reverse=True)
    free, top = math.inf, max(0.01, lines[0][0])
    room = 0.0042 * float(rcParams["font.size"])  # of a line of letters, in this figure
    for height, rate, shared in lines:
        axes.axhline(height, color="0.35", ls=":", lw=thin())
        # A label stands on its line, or lower where the one above needs the room.
        free = min(height + 0.008 * top, free - room * top)
        axes.text(
            0.01,
            free,
            f"{rate}  {', '.join(shared)}",
            transform=axes.get_yaxis_transform(),
            fontsize="x-small",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.3},
        )


def without_tail(rates: Floats) -> Floats:
    """Return ``rates`` with nan for zeros that have no positive neighbour."""
    positive = rates > 0
    kept = positive.copy()
    kept[1:] |= positive[:-1]
    kept[:-1] |= positive[1:]
    return np.where(kept, rates, np.nan)
