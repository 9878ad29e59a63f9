"""What stands beside the sliders: curves against strength or distance, and where we are on them."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from e91.model.numbers import TSIRELSON
from e91.plots.style import BESIDE, COLOURS
from e91.widgets.expected_sessions import ExpectedSession

_SIZE = (10.0, 3.1)  # inches
_DPI = 80  # a figure is drawn at every move, in a tenth of a second


def strength_figure(
    strengths: Sequence[float],
    curve: Sequence[ExpectedSession],
    *,
    at: tuple[float, ExpectedSession],
    meaning: str,
) -> bytes:
    """Return S, what Eve knows and the key against her strength, as a PNG.

    Args:
        strengths: Increasing.
        curve: What a session is to expect at each of them.
        at: The strength that was chosen, and what is expected there.
        meaning: What the strength is.
    """
    figure, (left, middle, right) = _panels()
    here, found = at
    _chsh_panel(left, strengths, curve)
    left.plot(here, found.chsh_value, "o", color=COLOURS[1], ms=9)
    for name, dashes, colour, label in (
        ("qber", "-", COLOURS[1], "QBER"),
        ("may_know", "--", COLOURS[0], "Eve may know at most"),
        ("information", "-.", COLOURS[2], "Eve knows"),
    ):
        _curve(middle, strengths, curve, name, ls=dashes, color=colour, label=label)
        value = getattr(found, name)
        if value is not None:
            middle.plot(here, value, "o", color=colour, ms=7)
    middle.set(ylim=(-0.03, 1.03), ylabel="fraction, or bits per key bit")
    _curve(right, strengths, curve, "secret_bits", color=COLOURS[0], label="expected key")
    right.plot(here, found.secret_bits, "o", color=COLOURS[1], ms=9)
    most = max(one.secret_bits for one in curve)
    right.set(ylabel="secret bits", ylim=(0, 1.08 * max(1, most)))
    right.yaxis.set_major_formatter("{x:,.0f}")
    for axes in (left, middle, right):
        axes.set_xlabel(meaning)
        axes.legend(frameon=False, fontsize="x-small")
    return _png(figure)


def distance_figure_of(
    distances_km: Sequence[float],
    curve: Sequence[ExpectedSession],
    *,
    at: tuple[float, ExpectedSession],
    session_s: float,
) -> bytes:
    """Return S, QBER and the rates against distance, as a PNG.

    Args:
        distances_km: Increasing.
        curve: What a session is to expect at each of them.
        at: The distance that was chosen, and what is expected there.
        session_s: Length of a session, seconds.
    """
    figure, (left, middle, right) = _panels()
    here, found = at
    _chsh_panel(left, distances_km, curve)
    left.plot(here, found.chsh_value, "o", color=COLOURS[1], ms=9)
    _curve(middle, distances_km, curve, "qber", color=COLOURS[1], label="QBER")
    middle.plot(here, found.qber, "o", color=COLOURS[1], ms=9)
    middle.set(ylabel="QBER", ylim=(0, 0.52))
    for name, dashes, colour, label in (
        ("rounds", "--", BESIDE, "coincidences"),
        ("secret_bits", "-", COLOURS[0], "expected key"),
    ):
        rates = np.array([getattr(one, name) for one in curve]) / session_s
        right.plot(distances_km, np.where(rates > 0, rates, np.nan), dashes, color=colour,
                   label=label)  # fmt: skip
        value = getattr(found, name) / session_s
        if value > 0:
            right.plot(here, value, "o", color=colour, ms=7)
    right.set(yscale="log", ylabel="per second")
    for axes in (left, middle, right):
        axes.set_xlabel("fibre (km)")
        axes.legend(frameon=False, fontsize="x-small")
    return _png(figure)


def _panels() -> tuple[Figure, tuple[Axes, Axes, Axes]]:
    # No pyplot: it belongs to the main thread, and this one is another.
    figure = Figure(figsize=_SIZE, dpi=_DPI)
    figure.subplots_adjust(left=0.06, right=0.99, bottom=0.17, top=0.97, wspace=0.3)
    left, middle, right = figure.subplots(1, 3)
    return figure, (left, middle, right)


def _chsh_panel(axes: Axes, where: Sequence[float], curve: Sequence[ExpectedSession]) -> None:
    axes.axhspan(0, 2, facecolor="0.9", edgecolor="0.75", hatch="//", label="local models")
    axes.axhline(TSIRELSON, color=BESIDE, ls=":", label="quantum limit")
    _curve(axes, where, curve, "chsh_value", color=COLOURS[0], label="S")
    axes.set(ylim=(0, 3), ylabel="S")


def _curve(
    axes: Axes, where: Sequence[float], curve: Sequence[ExpectedSession], name: str, **look: object
) -> None:
    values = [getattr(one, name) for one in curve]
    if None not in values:
        axes.plot(where, values, **look)  # type: ignore[arg-type]  # of Matplotlib's many


def _png(figure: Figure) -> bytes:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    return drawn.getvalue()
