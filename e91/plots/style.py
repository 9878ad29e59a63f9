"""What all figures share: colours, sizes, and the axes that they are drawn into."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from matplotlib import pyplot, rc_context, rcParams
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation, blended_transform_factory

# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

LINES = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), ":")
"""One for each of `COLOURS`: curves differ in print without colours, too."""

MARKERS = ("o", "s", "D", "^", "v", "P")
"""The same for points."""

BESIDE = "0.4"
"""Grey of what stands beside a measurement: a bound, or a theory line."""

STYLES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "notebook": {"font.size": 10, "lines.linewidth": 1.5, "lines.markersize": 5},
        "slide": {"font.size": 14.5, "lines.linewidth": 2.6, "lines.markersize": 8},
        "print": {"font.size": 8.5, "lines.linewidth": 1.1, "lines.markersize": 3.5},
    }
)
"""Sizes of letters and lines, in points, of a figure about seven inches wide."""

_DPI = {"notebook": 150, "slide": 270, "print": 400}
"""Dots per inch of a PNG; those of a slide make it 1,900 dots wide."""


@contextmanager
def styled(style: str) -> Iterator[None]:
    """Draw and save figures for a notebook, a slide or print while the block runs.

    All are about seven inches wide and are meant to be scaled to the page.  Across a slide of 13
    inches a figure's letters are then 27 points high, those of legends 22 and of marks beside lines
    19; in print, across two columns, 8, 7 and 6.

    Args:
        style: "notebook" (as without it), "slide" or "print".

    Yields:
        Nothing; what is drawn within the block has the style.

    Raises:
        ValueError: It is none of these.

    Examples:
        >>> with styled("slide"):
        ...     axes_for(None, size=(7, 4)).xaxis.label.get_size()
        14.5
    """
    if style not in STYLES:
        raise ValueError(f"`style` must be one of {', '.join(STYLES)}, but is {style!r}.")
    line, letter = (STYLES[style][name] for name in ("lines.linewidth", "font.size"))
    sizes: Any = {  # Matplotlib's type is the list of all names
        **STYLES[style],
        **dict.fromkeys(
            ("axes.linewidth", "grid.linewidth", "xtick.major.width", "ytick.major.width"),
            0.5 * line,
        ),
        **{f"{axis}tick.major.{what}": 0.35 * letter for axis in "xy" for what in ("pad", "size")},
        "savefig.dpi": _DPI[style],
    }
    with rc_context(sizes):
        yield


def axes_for(ax: Axes | None, *, size: tuple[float, float]) -> Axes:
    """Return ``ax``, or the axes of a new figure of this size in inches if it is None."""
    if ax is not None:
        return ax
    axes: Axes = pyplot.subplots(figsize=size, layout="constrained")[1]
    return axes


_WIDTH_OF_A_LETTER = 0.48  # of the font's size: small letters, on average
_SPACE_OF_A_SAMPLE = 7  # letters: the line or marker before a label


def legend_below(axes: Axes, *, columns: int) -> None:
    """Put the legend below the label of the horizontal axis, whatever the size of the letters.

    Args:
        axes: What has labels.
        columns: Of the legend, or fewer if they would be wider than the figure.
    """
    size, figure = float(rcParams["font.size"]), axes.get_figure(root=True)
    assert figure is not None
    down = ScaledTranslation(0, -3.4 * size / 72, figure.dpi_scale_trans)
    below = blended_transform_factory(figure.transFigure, axes.transAxes + down)
    longest = max(map(len, axes.get_legend_handles_labels()[1]), default=0)
    wide = (longest + _SPACE_OF_A_SAMPLE) * _WIDTH_OF_A_LETTER * size / 72
    axes.legend(
        ncols=max(1, min(columns, int(figure.get_figwidth() / wide))),
        fontsize="small",
        frameon=False,
        loc="upper center",
        bbox_to_anchor=(_middle(axes), 0),
        bbox_transform=below,
        borderaxespad=0,
    )


def _middle(axes: Axes) -> float:
    """Return the middle of the axes with their labels, as a fraction of the figure's width."""
    cell = axes.get_subplotspec()
    if cell is None:
        return 0.5
    columns = cell.get_gridspec().ncols
    return (cell.colspan.start + cell.colspan.stop) / 2 / columns


def thin() -> float:
    """Return the width of a line that stands beside the curves, in points."""
    return 0.6 * float(rcParams["lines.linewidth"])
