"""Key that grows over the passes of a satellite."""

import math
from typing import Any

from matplotlib.axes import Axes

from e91.network.pass_report import PassReport
from e91.network.passes import KeyOverPasses, NightPass
from e91.plots.style import BESIDE, COLOURS, LINES, axes_for, legend_below


def passes_figure(report: PassReport, *, ax: Axes | None = None) -> Axes:
    """Draw coincidences and key in hand against time, logarithmic, and the passes below.

    Args:
        report: From `e91.network.report_passes`.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes: key by shared pairs and by a trusted relay, each with the coincidences
        that it comes from in the same colour, thin.  Marks below are passes: full under a clear
        sky, empty under clouds.

    Examples:
        >>> from e91.network import load, report_passes
        >>> from matplotlib.figure import Figure
        >>> report = report_passes(load("micius"), ("Delingha", "Nanshan"), days=3)
        >>> passes_figure(report, ax=Figure().subplots()).get_title()
        'micius: Delingha and Nanshan, 3 days'
    """
    axes = axes_for(ax, size=(7.2, 4.6))
    entangled = [] if report.entangled is None else [report.entangled]
    for found, colour, line in zip([*entangled, *report.relayed], COLOURS, LINES, strict=False):
        _grow(axes, found, colour, line)
    shown = report.entangled or report.relayed[0]
    low = 0.5
    for is_clear, face in ((True, BESIDE), (False, "none")):
        days = [_day(one) for one in shown.passes if one.is_clear is is_clear]
        label = f"pass, {'clear' if is_clear else 'clouds'}"
        if days:
            axes.plot(days, [low] * len(days), "o", ms=4, mec=BESIDE, mfc=face, label=label)
    axes.set(
        yscale="log",
        xlabel="days",
        ylim=(low / 2, None),
        ylabel="pairs; bits",
        title=f"{report.plan.name}: {' and '.join(report.stations)}, {report.days:g} days",
    )
    legend_below(axes, columns=2)
    return axes


def _grow(axes: Axes, found: KeyOverPasses, colour: str, line: Any) -> None:
    """Draw the steps of one key, and of the coincidences behind it."""
    if not found.passes:
        return
    way = "pairs to both" if len(found.stations) == 2 else f"relay with {found.stations[0]}"
    days = [_day(one) for one in found.passes]
    counts, total = [], 0.0
    for one in found.passes:
        total += one.coincidences
        counts.append(total)
    style: Any = {"where": "post", "color": colour, "ls": line}
    axes.step(
        days,
        [count or math.nan for count in counts],
        **style,
        lw=0.8,
        label=f"{way}: coincidences",
    )
    label = f"{way}: key, bits" if found.secret_bits else f"{way}: no key"
    axes.step(days, [bits or math.nan for bits in found.key_bits], **style, label=label)


def _day(one: NightPass) -> float:
    return float(one.seen.time_s[0]) / 86_400
