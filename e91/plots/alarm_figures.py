"""How often the alarms of a network rang without cause, against what was promised."""

from matplotlib.axes import Axes

from e91.network.alarm_life import AlarmLife
from e91.plots.style import BESIDE, COLOURS, axes_for, legend_below

_MOST_NAMES = 12
"""Links that are named beside their alarm; more would lie on one another."""


def alarm_life_figure(life: AlarmLife, *, ax: Axes | None = None) -> Axes:
    """Draw the number of false alarms against time, beside the most that is promised on average.

    Args:
        life: From `e91.network.alarm_life`.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes: a step for every alarm, with the link that rang, in days.

    Examples:
        >>> from matplotlib.figure import Figure
        >>> life = AlarmLife("ring", 48, 3, 10**9, false_alarm=1e-3, rang=(), at_promise=False)
        >>> alarm_life_figure(life, ax=Figure().subplots()).get_title()
        'ring: 0 false alarms of 3 links'
    """
    axes = axes_for(ax, size=(7.2, 4.2))
    days = [hour / 24 for _, hour in life.rang]
    numbers = list(range(len(days) + 1))
    axes.step(
        [0.0, *days, life.hours / 24],
        [*numbers, numbers[-1]],
        where="post",
        color=COLOURS[1],
        label="false alarms",
    )
    promised = f"promised at most, on average: {life.promised:.3g}"
    axes.axhline(life.promised, color=BESIDE, ls="--", label=promised)
    for number, (link, hour) in enumerate(life.rang[:_MOST_NAMES], 1):
        is_late = hour > life.hours / 2  # its name stands to the left, inside the axes
        axes.annotate(
            link,
            (hour / 24, number),
            xytext=(-4 if is_late else 4, 4),
            ha="right" if is_late else "left",
            textcoords="offset points",
            size="small",
        )
    axes.set(
        xlim=(0, life.hours / 24),
        ylim=(0, 1.25 * max(1.0, life.promised, numbers[-1])),
        xlabel="days",
        ylabel="alarms that rang",
        title=f"{life.network}: {len(days)} false alarms of {life.links} links",
    )
    axes.locator_params(axis="y", integer=True)
    legend_below(axes, columns=2)
    return axes
