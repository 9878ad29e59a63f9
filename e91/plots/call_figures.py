"""Pictures of a call: its sound against time, what did not come, and under which key it was."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes

from e91.encryption.sound import RecoveredSound
from e91.model.numbers import Floats
from e91.plots.style import BESIDE, COLOURS, axes_for, legend_below

_COLUMNS = 1000  # more than a figure has


@dataclass(frozen=True, eq=False)
class SoundLevels:
    """A sound that came, as one draws it.

    Attributes:
        times_s: Where each column begins; shape (n,).
        lowest: Of the first channel's samples in it, in units of full scale; shape (n,).
        highest: The same.
        gaps_s: What did not come: beginnings and ends.
        key_starts_s: When each key's first packet is.
        seconds: How long it is.

    Examples:
        >>> times_s = np.array([0.0, 0.01])
        >>> levels = SoundLevels(times_s, np.array([-0.5, -0.1]), np.array([0.5, 0.1]), gaps_s=(),
        ...                      key_starts_s=(0.0,), seconds=0.02)
        >>> levels.seconds, levels.gaps_s
        (0.02, ())
    """

    times_s: Floats
    lowest: Floats
    highest: Floats
    gaps_s: tuple[tuple[float, float], ...]
    key_starts_s: tuple[float, ...]
    seconds: float


def sound_levels(found: RecoveredSound) -> SoundLevels:
    """Return what of a sound is drawn: its first channel in columns, its gaps, its keys.

    Args:
        found: From `e91.encryption.sound.SoundReceiver.recovered`.

    Returns:
        Lowest and highest sample of each column, in units of full scale; times in seconds.

    Raises:
        ValueError: It has no samples.

    Examples:
        >>> from e91.encryption.rtp import UnreliablePath
        >>> from e91.encryption.sound import Sound, simulate_call
        >>> heard = simulate_call(Sound(8000, 1, 16, bytes(32_000)), path=UnreliablePath(), seed=1)
        >>> levels = sound_levels(heard.recovered())
        >>> levels.seconds, len(levels.times_s), levels.key_starts_s, levels.gaps_s
        (2.0, 1000, (0.0,), ())
    """
    sound = found.sound
    if not len(sound):
        raise ValueError("A sound must have samples to be drawn, but has none.")
    level = sound.samples()[:, 0] / 2.0 ** (sound.bits - 1)
    begins = np.unique(np.linspace(0, len(level), _COLUMNS, endpoint=False).astype(np.intp))
    return SoundLevels(
        begins / sound.rate,
        np.minimum.reduceat(level, begins),
        np.maximum.reduceat(level, begins),
        tuple((begin / sound.rate, end / sound.rate) for begin, end in found.gaps),
        tuple(begin / sound.rate for begin, _ in found.key_starts),
        sound.seconds,
    )


def sound_figure(levels: SoundLevels, *, ax: Axes | None = None) -> Axes:
    """Draw a sound that came; every other key's time is shaded, and what is missing is marked.

    Args:
        levels: From `sound_levels`.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes.

    Examples:
        >>> from matplotlib.figure import Figure
        >>> times_s = np.array([0.0, 0.01])
        >>> levels = SoundLevels(times_s, np.array([-0.5, -0.1]), np.array([0.5, 0.1]), gaps_s=(),
        ...                      key_starts_s=(0.0,), seconds=0.02)
        >>> sound_figure(levels, ax=Figure().subplots()).get_title()
        '0.02 s of sound under 1 key'
    """
    axes = axes_for(ax, size=(7.2, 3.0))
    edges = [*levels.key_starts_s, levels.seconds]
    for number, (begin, end) in enumerate(pairwise(edges)):
        if number % 2:
            axes.axvspan(begin, end, color="0.92", lw=0, label="every other key")
    axes.fill_between(
        levels.times_s, levels.lowest, levels.highest, step="post", color=COLOURS[0], label="sound"
    )
    for begin, end in levels.gaps_s:
        axes.axvspan(begin, end, ymax=0.04, color=COLOURS[1], lw=0.5, label="did not come")
    keys = f"{len(levels.key_starts_s)} key{'' if len(levels.key_starts_s) == 1 else 's'}"
    axes.axhline(0, color=BESIDE, lw=0.5)
    axes.set(
        xlabel="time (s)",
        ylabel="level (full scale 1)",
        title=f"{levels.seconds:.3g} s of sound under {keys}",
        xlim=(0, levels.seconds),
        ylim=(-1.05, 1.05),
    )
    _once_each(axes)
    return axes


def _once_each(axes: Axes) -> None:
    """Let the legend name what is drawn many times once."""
    seen: set[str] = set()
    for artist in [*axes.patches, *axes.collections]:
        label = str(artist.get_label())
        if label in seen:
            artist.set_label("_again")
        seen.add(label)
    legend_below(axes, columns=3)
