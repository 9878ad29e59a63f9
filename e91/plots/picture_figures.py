"""What a picture looks like if its bits are a given number: a scene, encoded at some budgets.

Under one-time pad a picture costs as many key bits as it has, and 256 for its tag.  Pillow, which
Matplotlib brings along, encodes it as WebP.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from numpy.typing import NDArray
from PIL import Image

from e91.model.numbers import Floats
from e91.network.call_capacity import CarriedCalls
from e91.plots.style import axes_for

Picture = NDArray[np.uint8]
"""Rows, columns and the three colours of a picture; shape (height, width, 3)."""

PICTURE_BUDGETS = (2_000, 4_000, 8_000, 16_000, 64_000)
"""Key bits of a picture that are drawn unless others are asked for."""

TAG_BITS = 256

_WIDTH, _HEIGHT = 320, 240
_SCALES = (1, 2, 4, 8)


@dataclass(frozen=True, eq=False)
class PictureAtBudget:
    """A picture that was encoded within a budget of key.

    Attributes:
        budget_bits: Key bits that it may cost.
        key_bits: Those that it costs: its own and 256 for a tag.
        psnr_db: Peak signal-to-noise ratio to the original, dB.
        width: Columns that are sent; it is shown as large as the original.
        picture: What the receiver sees; uint8, of the original's shape.

    Examples:
        >>> found = pictures_at_budgets(drawn_scene(), [8_000])[0]
        >>> found.key_bits <= found.budget_bits, found.picture.shape
        (True, (240, 320, 3))
    """

    budget_bits: int
    key_bits: int
    psnr_db: float
    width: int
    picture: Picture


def drawn_scene() -> Picture:
    """Return a drawn scene of 320 x 240: sky and sun, two ridges, a lake, and a tower with windows.

    Large smooth areas, texture and sharp edges, as a photograph has.  It is drawn by this function
    alone and is free for every use.

    Returns:
        The picture; uint8, shape (240, 320, 3).

    Examples:
        >>> scene = drawn_scene()
        >>> scene.shape, scene.dtype
        ((240, 320, 3), dtype('uint8'))
    """
    y, x = np.mgrid[0:_HEIGHT, 0:_WIDTH].astype(np.float64)
    texture = np.random.default_rng(1).normal(size=y.shape)
    scene = _blend([70, 110, 190], [250, 190, 120], y / 150)
    glow = np.exp(-np.hypot(x - 215, y - 70) / 40)[..., np.newaxis]
    scene = scene * (1 - glow) + np.array([255, 240, 180]) * glow
    _paint(scene, np.hypot(x - 215, y - 70) < 16, [255, 245, 205])
    far = 105 + 18 * np.sin(x / 31) + 7 * np.sin(x / 9 + 1)
    _paint(scene, y > far, [104, 104, 142])
    near = 135 + 12 * np.sin(x / 43 + 2) + 3 * np.sin(x / 5)
    _paint(scene, y > near, np.array([52, 78, 58]) + 12 * texture[..., np.newaxis])
    lake = y > 165
    waves = np.sin(y * 1.9 + 6 * np.sin(x / 23 + y / 7)) * (y - 150) / 7
    _paint(scene, lake, _blend([150, 140, 150], [40, 70, 120], (y - 165) / 75) + waves[..., None])
    tower = (abs(x - 70) < 17) & (y > 60) & (y < 172)
    _paint(scene, tower, np.array([148, 128, 110]) + 7 * texture[..., np.newaxis])
    _paint(scene, (abs(x - 70) < (y - 36) * 0.8) & (y > 36) & (y <= 60), [122, 52, 44])
    windows = tower & (x % 12 > 7) & (y % 18 > 9) & (y < 150)
    _paint(scene, windows, [250, 226, 150])
    drawn: Picture = np.clip(scene, 0, 255).round().astype(np.uint8)
    return drawn


def _blend(top: Sequence[float], bottom: Sequence[float], share: Floats) -> Floats:
    part = np.clip(share, 0, 1)[..., np.newaxis]
    blended: Floats = np.array(top) * (1 - part) + np.array(bottom) * part
    return blended


def _paint(
    scene: Floats, where: NDArray[np.bool_], colour: Sequence[float] | NDArray[np.floating]
) -> None:
    scene[where] = np.broadcast_to(colour, scene.shape)[where]


def pictures_at_budgets(
    original: Picture, budgets_bits: Sequence[int] = PICTURE_BUDGETS
) -> tuple[PictureAtBudget, ...]:
    """Return the picture as it comes out of WebP within each budget, as near as it gets.

    It is sent in full, half, quarter or eighth size, whichever is nearest to the original when it
    is shown as large.

    Args:
        original: uint8, shape (height, width, 3).
        budgets_bits: Key bits that a picture may cost, its tag included.

    Returns:
        A picture for each budget, with its bits and its peak signal-to-noise ratio in dB.

    Raises:
        ValueError: Not even the smallest picture costs as little as a budget.

    Examples:
        >>> low, high = pictures_at_budgets(drawn_scene(), [4_000, 32_000])
        >>> low.psnr_db < high.psnr_db
        True
    """
    return tuple(_at_budget(original, budget) for budget in budgets_bits)


def _at_budget(original: Picture, budget: int) -> PictureAtBudget:
    found = [_in_size(original, budget, scale) for scale in _SCALES]
    fitting = [one for one in found if one is not None]
    if not fitting:
        raise ValueError(f"A budget must be enough for a small picture, but is {budget:,} bits.")
    return max(fitting, key=lambda one: one.psnr_db)


def _in_size(original: Picture, budget: int, scale: int) -> PictureAtBudget | None:
    """Return the best picture of a size within a budget, by halving the range of qualities."""
    height, width = (side // scale for side in original.shape[:2])
    sent = Image.fromarray(original).resize((width, height), Image.Resampling.LANCZOS)
    best = _encoded(sent, 0)
    if _cost(best) > budget:
        return None
    low, high = 1, 100
    while low <= high:
        quality = (low + high) // 2
        encoded = _encoded(sent, quality)
        if _cost(encoded) <= budget:
            low, best = quality + 1, encoded
        else:
            high = quality - 1
    whole = (original.shape[1], original.shape[0])
    with Image.open(BytesIO(best)) as opened:
        seen = np.asarray(opened.convert("RGB").resize(whole, Image.Resampling.BICUBIC))
    return PictureAtBudget(budget, _cost(best), _psnr(original, seen), width, seen)


def _cost(encoded: bytes) -> int:
    """Return the key bits of an encoded picture."""
    return 8 * len(encoded) + TAG_BITS


def _encoded(sent: Image.Image, quality: int) -> bytes:
    written = BytesIO()
    sent.save(written, "WEBP", quality=quality)
    return written.getvalue()


def _psnr(original: Picture, seen: Picture) -> float:
    error = np.mean((original.astype(np.float64) - seen) ** 2)
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def pictures_figure(
    original: Picture,
    found: Sequence[PictureAtBudget],
    *,
    network: CarriedCalls | None = None,
    axes: Sequence[Axes] | None = None,
) -> tuple[Axes, ...]:
    """Draw a picture beside what comes out of it at some budgets.

    Args:
        original: The picture itself.
        found: From `pictures_at_budgets`.
        network: Whose best and worst pair of users are named with the pictures a second that they
            can exchange, each way, while no others do.
        axes: One more than pictures, to draw into; a new figure by default.

    Returns:
        The Matplotlib axes.

    Examples:
        >>> found = pictures_at_budgets(drawn_scene(), [4_000])
        >>> first, second = pictures_figure(drawn_scene(), found)
        >>> first.get_title(), second.get_title().splitlines()[0]
        ('original', '4,000 key bits')
    """
    panels = tuple(axes) if axes is not None else _panels(1 + len(found))
    shown = [(original, "original"), *((one.picture, _caption(one, network)) for one in found)]
    for panel, (picture, title) in zip(panels, shown, strict=True):
        panel.imshow(picture, interpolation="none")
        panel.set_title(title, fontsize="small")
        panel.set_axis_off()
    if network is not None and axes is None:
        panels[0].figure.suptitle(
            f"{network.name}: one-time pad, pictures each way\n(best pair / worst pair)",
            fontsize="medium",
        )
    return panels


def _panels(number: int) -> tuple[Axes, ...]:
    columns = min(3, number)
    rows = -(-number // columns)
    line = 1.2 * float(rcParams["font.size"]) / 72  # inches; titles have three lines, the whole two
    first = axes_for(None, size=(7.2, 1.8 * rows + line * (3 * rows + 3)))
    figure = first.figure
    first.remove()
    panels = [figure.add_subplot(rows, columns, place + 1) for place in range(number)]
    return tuple(panels)


def _caption(one: PictureAtBudget, network: CarriedCalls | None) -> str:
    lines = [f"{one.budget_bits:,} key bits", f"{one.width} px wide, {one.psnr_db:.1f} dB"]
    if network is not None:
        rates = (network.best_pair_bits_per_second, network.worst_pair_bits_per_second)
        best, worst = (rate / (2 * one.budget_bits) for rate in rates)
        lines.append(_in_time(best, worst))
    return "\n".join(lines)


def _in_time(best: float, worst: float) -> str:
    """Return two rates, per second, in the first unit of time in which the lower is one or more.

    Examples:
        >>> _in_time(0.5, 0.002), _in_time(20.0, 4.0)
        ('1,800 / 7.2 an hour', '20 / 4 a second')
    """
    units = {"a second": 1, "a minute": 60, "an hour": 3_600, "a day": 86_400}
    unit = next((name for name, seconds in units.items() if worst * seconds >= 1), "a day")
    rates = (rate * units[unit] for rate in (best, worst))
    return (
        " / ".join(f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}" for rate in rates) + f" {unit}"
    )
