"""Results that show themselves in a notebook."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from matplotlib.axes import Axes


class Drawn:
    """A result that shows itself in Jupyter as its text, and draws itself when it is asked to.

    What it is drawn as stands in `e91.plots.drawing`, which is looked up only then: this file is
    the one place that reaches up to the figures, because people expect `.plot()` of a result.
    """

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Show the page in a notebook, and the text where there is none, as in IPython."""
        del include, exclude  # both are light, and Jupyter picks
        return {"text/plain": str(self), "text/html": self._repr_html_()}

    def _repr_html_(self) -> str:
        return f"<pre style='line-height:1.3'>{html.escape(str(self))}</pre>"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw this result; needs ``pip install 'e91[plot]'``.

        Args:
            ax: Matplotlib axes to draw into; a new figure by default.

        Returns:
            The axes.

        Raises:
            ValueError: The result has nothing to draw.
        """
        from e91.plots.drawing import draw

        return draw(self, ax)
