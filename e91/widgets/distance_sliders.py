"""A link with sliders: distance, brightness, detectors, and what becomes of the key."""

from functools import lru_cache
from typing import Any

import numpy as np

from e91.model.settings import ASYMMETRIC, Settings
from e91.optics.link_files import Detection, LinkNumbers, PairState, SideNumbers, SourceNumbers
from e91.security.policy import Policy
from e91.system.extras import extra
from e91.widgets.expected_sessions import ExpectedSession, expected_on
from e91.widgets.slider_figures import distance_figure_of
from e91.widgets.slider_panel import Positions, panel

_FARTHEST_KM = 400.0
_STEPS = 40


def distance_sliders(
    *,
    session_s: float = 3600.0,
    window_s: float = 1e-9,
    attenuation_db_per_km: float = 0.2,
    settings: Settings = ASYMMETRIC,
    policy: Policy | None = None,
) -> Any:
    """Return sliders for a fibre link with its source in the middle.

    They turn the fibre's length, the source's brightness, the detectors' efficiency and dark
    counts, and the visibility of the pairs.  Every answer is what a session of ``session_s`` is to
    expect; the last position wins.

    Args:
        session_s: Length of a session, seconds.
        window_s: Full width of the coincidence window, seconds.
        attenuation_db_per_km: Of the fibre.
        settings: Angles and choice probabilities.
        policy: What a released key must promise, with trusted analysers; the defaults of `Policy`.

    Returns:
        An ``ipywidgets.VBox``.

    Raises:
        MissingPackage: ipywidgets or Matplotlib is not installed.

    Examples:
        >>> "KEY" in distance_sliders().children[1].value
        True
    """

    def expect(positions: Positions) -> ExpectedSession:
        link = _link(positions, window_s=window_s, attenuation_db_per_km=attenuation_db_per_km)
        return expected_on(link, session_s=session_s, settings=settings, policy=policy)

    @lru_cache(maxsize=32)
    def curve(others: tuple[tuple[str, float], ...]) -> list[ExpectedSession]:
        return [expect({"distance_km": far, **dict(others)}) for far in distances]

    distances = np.linspace(0, _FARTHEST_KM, _STEPS + 1).tolist()

    def draw(positions: Positions, found: ExpectedSession) -> bytes:
        others = tuple((name, at) for name, at in positions.items() if name != "distance_km")
        at = positions["distance_km"], found
        return distance_figure_of(distances, curve(others), at=at, session_s=session_s)

    return panel(_controls(), expect=expect, draw=draw)


def _controls() -> dict[str, Any]:
    widgets = extra("ipywidgets", what="A slider")
    wide = {"style": {"description_width": "initial"}}
    return {
        "distance_km": widgets.FloatSlider(
            50.0, min=0.0, max=_FARTHEST_KM, step=5.0, description="fibre (km)", **wide
        ),
        "pairs_per_second": widgets.FloatLogSlider(
            1e6, base=10, min=4, max=9, step=0.1, description="pairs per second", **wide
        ),
        "efficiency": widgets.FloatSlider(
            0.8, min=0.1, max=1.0, step=0.05, description="detector efficiency", **wide
        ),
        "dark_counts": widgets.FloatLogSlider(
            100.0, base=10, min=0, max=5, step=0.25, description="dark counts per second", **wide
        ),
        "visibility": widgets.FloatSlider(
            0.98, min=0.7, max=1.0, step=0.01, description="visibility of the pairs", **wide
        ),
    }


def _link(positions: Positions, *, window_s: float, attenuation_db_per_km: float) -> LinkNumbers:
    side = SideNumbers(
        fibre_length_km=positions["distance_km"] / 2,
        fibre_attenuation_db_per_km=attenuation_db_per_km,
        detector_efficiency=positions["efficiency"],
        dark_counts_per_second=positions["dark_counts"],
    )
    return LinkNumbers(
        state=PairState(visibility=positions["visibility"]),
        source=SourceNumbers(pairs_per_second=positions["pairs_per_second"]),
        detection=Detection(coincidence_window_s=window_s),
        alice=side,
        bob=side,
    )
