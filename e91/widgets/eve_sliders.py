"""Eve with sliders: her strength and her basis, and what becomes of S, the QBER and the key."""

import math
from functools import lru_cache
from typing import Any

import numpy as np

from e91.adversaries.adversary import Attack
from e91.adversaries.catalogue import attack_named
from e91.adversaries.conditions import Option, Share, Word
from e91.model.settings import ASYMMETRIC, Settings
from e91.security.policy import Policy
from e91.system.extras import extra
from e91.widgets.expected_sessions import ExpectedSession, expected_under
from e91.widgets.slider_figures import strength_figure
from e91.widgets.slider_panel import Positions, panel

_POSITIONS = 50
_HIGHEST = 3.0  # of a strength without an upper end


def eve_sliders(
    attack: str = "intercept-resend",
    *,
    rounds: int = 1_000_000,
    settings: Settings = ASYMMETRIC,
    policy: Policy | None = None,
) -> Any:
    """Return sliders for an eavesdropper: S, QBER, key, verdict and her knowledge as she turns.

    Every answer is what a session of ``rounds`` pairs is to expect, from exact formulas; no photon
    is thrown.  The last position wins, however quickly the sliders are moved.

    Args:
        attack: Its name in `e91.adversaries.ATTACKS`; it must have a strength.
        rounds: Pairs of a session.
        settings: Angles and choice probabilities.
        policy: What a released key must promise, with trusted analysers; the defaults of `Policy`.

    Returns:
        An ``ipywidgets.VBox``.

    Raises:
        ValueError: There is no such attack, or it has no strength to turn.
        MissingPackage: ipywidgets or Matplotlib is not installed.

    Examples:
        >>> sliders = eve_sliders("cloner")
        >>> "KEY" in sliders.children[1].value
        True
    """
    entry = attack_named(attack)
    if not entry.meaning:
        raise ValueError(f"`attack` must have a strength to turn, but `{attack}` has none.")
    controls = _controls(entry)

    def expect(positions: Positions) -> ExpectedSession:
        return expected_under(attack, rounds=rounds, settings=settings, policy=policy, **positions)

    @lru_cache(maxsize=32)
    def curve(others: tuple[tuple[str, Any], ...]) -> list[ExpectedSession]:
        return [expect({"strength": strength, **dict(others)}) for strength in strengths]

    strengths = np.linspace(entry.low, _top(entry), _POSITIONS + 1).tolist()

    def draw(positions: Positions, found: ExpectedSession) -> bytes:
        others = tuple((name, at) for name, at in positions.items() if name != "strength")
        at = positions["strength"], found
        return strength_figure(strengths, curve(others), at=at, meaning=entry.meaning)

    return panel(controls, expect=expect, draw=draw)


def _top(entry: Attack) -> float:
    return entry.high if math.isfinite(entry.high) else _HIGHEST


def _controls(entry: Attack) -> dict[str, Any]:
    widgets = extra("ipywidgets", what="A slider")
    wide = {"style": {"description_width": "initial"}}
    low, high = entry.low, _top(entry)
    controls = {
        "strength": widgets.FloatSlider(
            low,
            min=low,
            max=high,
            step=(high - low) / _POSITIONS,
            description=entry.meaning,
            **wide,
        ),
        "visibility": widgets.FloatSlider(
            1.0, min=0.7, max=1.0, step=0.01, description="visibility without Eve", **wide
        ),
    }
    return controls | {option.name: _control(option) for option in _turned(entry)}


def _turned(entry: Attack) -> list[Option]:
    return [option for option in entry.options if isinstance(option, Word | Share)]


def _control(option: Option) -> Any:
    widgets = extra("ipywidgets", what="A slider")
    wide = {"style": {"description_width": "initial"}, "description": option.name}
    if isinstance(option, Word):
        return widgets.Dropdown(options=option.words, value=option.default, **wide)
    assert isinstance(option, Share)
    return widgets.FloatSlider(0.0, min=0.0, max=option.high, step=option.high / _POSITIONS, **wide)
