"""Figures of a link: its key rate against distance, and what a brighter source does to it."""

import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from e91.plots.link_curves import BrightnessStatistics, DistanceRates
from e91.plots.rate_figures import Mark, draw_mark, without_tail
from e91.plots.style import BESIDE, COLOURS, axes_for, legend_below, thin


def distance_figure(
    rates: DistanceRates, *, mark: Mark | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the secret bits per second against distance, asymptotic and of sessions; losses above.

    Args:
        rates: From `rates_by_distance`.
        mark: One point more, e.g. the link as it is; at the lower edge if its rate is 0.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes.

    Examples:
        >>> from e91.security.policy import Policy
        >>> from matplotlib.figure import Figure
        >>> loss_db, bits = np.array([0.0, 10.0]), np.array([4e5, 4e4])
        >>> rates = DistanceRates(np.array([0.0, 50.0]), loss_db, 1.5 * bits, bits, 0.9 * bits,
        ...                       session_s=3600.0, policy=Policy(), efficiencies=(1.0, 1.1))
        >>> axes = distance_figure(rates, ax=Figure().subplots())
        >>> axes.get_xlabel()
        'fibre between the parties (km)'
    """
    axes = axes_for(ax, size=(7.2, 5.0))
    seen = rates.coincidences_per_second
    axes.semilogy(rates.distance_km, seen, ":", color=BESIDE, lw=thin(), label="coincidences")
    limit, session = rates.efficiencies
    for curve, dashes, colour, label in (
        (rates.asymptotic, "-", COLOURS[0], f"asymptotic, f = {limit:g}"),
        (rates.finite, "--", COLOURS[1], _session_label(rates, session)),
    ):
        kept = np.where(without_tail(curve) > 0, curve, np.nan)
        axes.semilogy(rates.distance_km, kept, ls=dashes, color=colour, marker=".", label=label)
    positive = np.concatenate([rates.asymptotic, rates.finite])
    positive = positive[positive > 0]
    lowest = positive.min() if positive.size else max(seen.min(), 1e-3)
    axes.set(
        xlabel="fibre between the parties (km)",
        ylabel="per second",
        title="Secret bits per second against distance",
        xlim=(0, rates.distance_km[-1]),
        ylim=(lowest / 3, 3 * max(seen.max(), lowest)),
    )
    axes.grid(color="0.93")
    if mark is not None and not mark.rate > 0:
        mark = Mark(mark.where, axes.get_ylim()[0], f"{mark.label}: no key")
    draw_mark(axes, mark)
    legend_below(axes, columns=2)
    _loss_axis(axes, rates)
    return axes


def _session_label(rates: DistanceRates, efficiency: float) -> str:
    seconds = rates.session_s
    unit, length = ("h", seconds / 3600) if seconds >= 3600 else ("s", seconds)
    said = f"sessions of {length:.3g} {unit}, f = {efficiency:g}, ε = {rates.policy.epsilon:g}"
    return said if rates.finite.any() else f"{said}: no key"


def _loss_axis(axes: Axes, rates: DistanceRates) -> None:
    """Put the losses, which grow evenly with the distance, on the upper axis."""
    far, loss = rates.distance_km, rates.loss_db
    if len(far) < 2:
        return
    slope = (loss[-1] - loss[0]) / (far[-1] - far[0])
    ticks = axes.xaxis.get_major_locator().tick_values(0, far[-1])
    ticks = [tick for tick in ticks if 0 <= tick <= far[-1]]
    upper = axes.secondary_xaxis("top")
    upper.set_xticks(ticks, [f"{loss[0] + slope * (tick - far[0]):.0f}" for tick in ticks])
    upper.set_xlabel("loss of both arms (dB), without detectors")


def brightness_figure(found: BrightnessStatistics, *, ax: Axes | None = None) -> Axes:
    """Draw the QBER against the source's brightness, and S at the right.

    The triangle below says where the asymptotic key per second is longest.

    Args:
        found: From `statistics_by_brightness`.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes of the QBER; those of S are its twin.

    Examples:
        >>> from matplotlib.figure import Figure
        >>> found = BrightnessStatistics(np.array([1e5, 1e6]), qber=np.array([0.01, 0.02]),
        ...     chsh_values=np.array([2.77, 2.72]), asymptotic=np.array([2e4, 1.7e5]), here=5e5)
        >>> brightness_figure(found, ax=Figure().subplots()).get_xlabel()
        'pairs per second of the source'
    """
    axes = axes_for(ax, size=(7.2, 4.6))
    (errors,) = axes.semilogx(found.pairs_per_second, found.qber, color=COLOURS[1], label="QBER")
    axes.axvline(found.here, color=BESIDE, lw=thin(), ls="-.", label="this source")
    axes.set(
        xlabel="pairs per second of the source",
        ylabel="QBER (solid)",
        title="QBER and S against brightness",
        xlim=(found.pairs_per_second[0], found.pairs_per_second[-1]),
        ylim=(0, 1.05 * max(0.02, float(found.qber.max()))),
    )
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    if 0 < found.asymptotic.argmax() < len(found.asymptotic) - 1:
        best = found.pairs_per_second[found.asymptotic.argmax()]
        axes.plot(best, 0, "^", color=COLOURS[2], clip_on=False, zorder=5, label="most key")
    right = axes.twinx()
    (chsh,) = right.plot(found.pairs_per_second, found.chsh_values, "--", color=COLOURS[0])
    right.axhline(2, color=BESIDE, lw=thin(), ls=":")
    right.set(ylabel="S (dashed)", ylim=(min(0, found.chsh_values.min()), 3))
    axes.plot([], [], "--", color=COLOURS[0], label="S")
    axes.plot([], [], ":", color=BESIDE, lw=thin(), label="local limit of S")
    errors.set_zorder(3)
    chsh.set_zorder(3)
    legend_below(axes, columns=3)
    return axes


def link_figure(
    rates: DistanceRates,
    found: BrightnessStatistics,
    *,
    mark: Mark | None = None,
    ax: tuple[Axes, Axes] | None = None,
) -> tuple[Axes, Axes]:
    """Draw both: the key rate against distance, and below it QBER and S against brightness.

    Args:
        rates: From `rates_by_distance`.
        found: From `statistics_by_brightness`, of the same link.
        mark: As for `distance_figure`.
        ax: Two axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes.

    Examples:
        >>> from e91.security.policy import Policy
        >>> from matplotlib.figure import Figure
        >>> loss_db, bits = np.array([0.0, 10.0]), np.array([4e5, 4e4])
        >>> rates = DistanceRates(np.array([0.0, 50.0]), loss_db, 1.5 * bits, bits, 0.9 * bits,
        ...                       session_s=3600.0, policy=Policy(), efficiencies=(1.0, 1.1))
        >>> found = BrightnessStatistics(np.array([1e5, 1e6]), qber=np.array([0.01, 0.02]),
        ...     chsh_values=np.array([2.77, 2.72]), asymptotic=np.array([2e4, 1.7e5]), here=5e5)
        >>> upper, lower = link_figure(rates, found, ax=tuple(Figure().subplots(2)))
        >>> upper.get_title()
        'Secret bits per second against distance'
    """
    if ax is None:
        figure = pyplot.figure(figsize=(7.2, 8.6), layout="constrained")
        upper, lower = figure.subplots(2, height_ratios=(1.2, 1))
    else:
        upper, lower = ax
    distance_figure(rates, mark=mark, ax=upper)
    brightness_figure(found, ax=lower)
    return upper, lower
