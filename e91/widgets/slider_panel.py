"""A panel of sliders with their answer below: a line of numbers, the verdict and a figure."""

from collections.abc import Callable, Mapping
from typing import Any

from e91.system.extras import extra
from e91.widgets.expected_sessions import ExpectedSession
from e91.widgets.latest_value import LatestValue
from e91.widgets.readings import reading_of

Positions = Mapping[str, Any]
"""Where the controls stand, by name."""


def panel(
    controls: Mapping[str, Any],
    *,
    expect: Callable[[Positions], ExpectedSession],
    draw: Callable[[Positions, ExpectedSession], bytes],
) -> Any:
    """Return the controls with their answer; the first one is there at once.

    Args:
        controls: Widgets with a ``value``, by name.
        expect: What a session is to expect with the controls in these positions; quick.
        draw: The figure, as a PNG; it may take a moment longer and is shown when it is there.

    Returns:
        An ``ipywidgets.VBox`` whose ``latest`` (a `LatestValue`) tells when the answer is there.
    """
    widgets = extra("ipywidgets", what="A slider")
    reading, image = widgets.HTML(), widgets.Image(format="png")

    def answer(positions: Positions) -> None:
        found = expect(positions)
        reading.value = reading_of(found)
        image.value = draw(positions, found)

    def positions() -> dict[str, Any]:
        return {name: control.value for name, control in controls.items()}

    latest: LatestValue[Positions] = LatestValue(answer)
    answer(positions())
    for control in controls.values():
        control.observe(lambda _: latest.give(positions()), names="value")
    row = widgets.Box(list(controls.values()), layout={"flex_flow": "row wrap"})
    made = widgets.VBox([row, reading, image])
    made.latest = latest
    return made
