"""Figures of key rates: against QBER, number of rounds and detection efficiency."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator, PercentFormatter

from e91.model.numbers import Floats
from e91.model.trust import SecurityModel
from e91.plots.rate_curves import EfficiencyRates, QberRates, RateCurve, RoundsRates
from e91.plots.style import COLOURS, axes_for

_PER_KEY_ROUND = "secret-key rate (bits per key round)"


def qber_figure(rates: QberRates, *, ax: Axes | None = None) -> Axes:
    """Draw the asymptotic rates against QBER, with each theorem's threshold and its source.

    The inset enlarges the region in which only noisy preprocessing or a random key basis leave a
    key.  The upper axis is S for white noise.

    Args:
        rates: From `rates_by_qber`.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes.
    """
    axes = axes_for(ax, size=(7.2, 4.8))
    for curve, colour in zip(rates.curves, COLOURS, strict=False):
        axes.plot(
            rates.qber, _without_tail(curve.rates), color=colour, label=_with_threshold(curve)
        )
        if curve.threshold is not None:
            axes.plot(curve.threshold, 0, "o", color=colour, ms=5, clip_on=False, zorder=5)
    axes.set(
        xlabel="QBER Q (white noise)",
        ylabel=_PER_KEY_ROUND,
        title="Key rate against error rate, limit of long keys",
        xlim=(rates.qber[0], rates.qber[-1]),
        ylim=(0, 1),
    )
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.legend(frameon=False, fontsize="small", loc="upper right")
    _chsh_axis(axes, rates.qber, rates.chsh_values, "S = 2√2 (1 − 2Q)")
    _threshold_inset(axes, rates)
    return axes


def rounds_figure(rates: RoundsRates, *, ax: Axes | None = None) -> Axes:
    """Draw the finite-size rates against the number of rounds, and their limits as lines.

    Args:
        rates: From `rates_by_rounds`.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes.
    """
    axes = axes_for(ax, size=(7.2, 5.6))
    for place, (curve, colour) in enumerate(zip(rates.curves, COLOURS, strict=False)):
        axes.semilogx(
            rates.rounds,
            _without_tail(curve.rates),
            # Dashed above solid: two curves that coincide are both seen.
            ("o--" if place % 2 else "o-"),
            color=colour,
            ms=3 if place % 2 else 5,
            label=f"{curve.name} ({curve.security.value})",
        )
    _draw_limits(axes, rates)
    link = rates.link
    axes.set(
        xlabel="rounds n of one session",
        ylabel="secret-key rate (bits per round of any kind)",
        title=f"Finite key rate with the best choices\nS = {link.chsh_value:.3f}, "
        f"QBER {link.qber:.2%}, f = {link.efficiency:g}, ε = {rates.epsilon:g}; "
        f"tolerated where declared: {rates.tolerated_error:.2%}",
        ylim=(0, 1.08 * max(0.01, *(limit.rate for limit in rates.limits))),
    )
    axes.grid(color="0.93")
    axes.legend(
        frameon=False, fontsize="small", ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.12)
    )
    return axes


def efficiency_figure(rates: EfficiencyRates, *, ax: Axes | None = None) -> Axes:
    """Draw the device-independent rates against detection efficiency, no-clicks kept.

    Grey: no violation of S = 2.  Light grey: a violation, and yet no key without preprocessing.
    The upper axis is S.

    Args:
        rates: From `rates_by_efficiency`.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes.
    """
    axes = axes_for(ax, size=(7.2, 4.8))
    left, right = float(rates.efficiency[0]), float(rates.efficiency[-1])
    axes.axvspan(min(left, rates.bell_threshold), rates.bell_threshold, color="0.8", lw=0)
    _mark(axes, rates.bell_threshold, "S = 2: Garg & Mermin 1987")
    for curve, colour in zip(rates.curves, COLOURS[1:], strict=False):
        axes.plot(rates.efficiency, _without_tail(curve.rates), color=colour, label=curve.name)
        if curve.threshold is not None:
            axes.axvspan(rates.bell_threshold, curve.threshold, color="0.93", lw=0)
            axes.text(
                (rates.bell_threshold + curve.threshold) / 2,
                0.5,
                "S > 2, no key\nwithout preprocessing",
                ha="center",
            )
            _mark(axes, curve.threshold, f"key: {curve.source}")
    axes.set(
        xlabel="detection efficiency η of both parties (no-clicks recorded as outcome 0)",
        ylabel=_PER_KEY_ROUND,
        title=f"Device-independent key rate against efficiency, visibility {rates.visibility:g}",
        xlim=(left, right),
        ylim=(0, 1),
    )
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.xaxis.set_major_locator(MultipleLocator(0.02 if right - left < 0.3 else 0.1))
    axes.legend(framealpha=1, fontsize="small", loc="upper left")
    _chsh_axis(axes, rates.efficiency, rates.chsh_values, "S = 2√2 V η² + 2 (1 − η)²")
    return axes


def _threshold_inset(axes: Axes, rates: QberRates) -> None:
    untrusted = [c for c in rates.curves if c.security is SecurityModel.DEVICE_INDEPENDENT]
    inset = axes.inset_axes((0.61, 0.36, 0.36, 0.3))
    for curve, colour in zip(rates.curves, COLOURS, strict=False):
        if curve in untrusted and curve.threshold is not None:
            inset.plot(rates.qber, _without_tail(curve.rates), color=colour)
            inset.axvline(curve.threshold, color=colour, ls=":", lw=1)
    marks = [curve.threshold for curve in untrusted if curve.threshold is not None]
    inset.set(xlim=(min(marks) - 0.003, max(marks) + 0.002), ylim=(0, 0.04))
    inset.xaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    inset.tick_params(labelsize="x-small")
    axes.indicate_inset_zoom(inset, edgecolor="0.6")


def _with_threshold(curve: RateCurve) -> str:
    if curve.threshold is None:
        return curve.name
    digits = f"{100 * curve.threshold:.3f}".rstrip("0")
    return f"{curve.name}: 0 at {digits} % ({curve.source})"


def _mark(axes: Axes, where: float, text: str) -> None:
    axes.axvline(where, color="0.3", ls=":", lw=1.2)
    axes.annotate(
        f"{where:.2%}  {text}",
        (where, 0.1),
        xycoords=("data", "axes fraction"),
        xytext=(-3, 0),
        textcoords="offset points",
        rotation=90,
        ha="right",
        va="bottom",
        fontsize="small",
    )


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
    free = math.inf
    for height, rate, shared in lines:
        axes.axhline(height, color="0.35", ls=":", lw=1.1)
        # A label stands on its line, or lower where the one above needs the room.
        free = min(height + 0.006, free - 0.042 * lines[0][0])
        axes.text(
            0.01,
            free,
            f"{rate}  {', '.join(shared)}",
            transform=axes.get_yaxis_transform(),
            fontsize="x-small",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.3},
        )


def _without_tail(rates: Floats) -> Floats:
    """Return ``rates`` with nan for zeros that have no positive neighbour."""
    positive = rates > 0
    kept = positive.copy()
    kept[1:] |= positive[:-1]
    kept[:-1] |= positive[1:]
    return np.where(kept, rates, np.nan)
