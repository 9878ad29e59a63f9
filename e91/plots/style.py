"""What all figures share: their colours, and the axes that they are drawn into."""

from matplotlib import pyplot
from matplotlib.axes import Axes

# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

BESIDE = "0.4"
"""Grey of what stands beside a measurement: a bound, or a theory line."""


def axes_for(ax: Axes | None, *, size: tuple[float, float]) -> Axes:
    """Return ``ax``, or the axes of a new figure of this size in inches if it is None."""
    if ax is not None:
        return ax
    axes: Axes = pyplot.subplots(figsize=size, layout="constrained")[1]
    return axes
