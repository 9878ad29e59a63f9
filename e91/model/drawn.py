"""Results that show themselves in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from matplotlib.axes import Axes


class Drawn:
    """A result that shows itself in Jupyter as its text, and draws itself when it is asked to.

    How it is drawn is not known here: the package's front page, `e91`, says what draws, so that no
    result depends on figures although people expect `.plot()` of it.
    """

    _draw: ClassVar[Callable[[Drawn, Axes | None], Axes]]

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Show the page in a notebook, and the text where there is none, as in IPython."""
        del include, exclude  # both are light, and Jupyter picks
        return {"text/plain": str(self), "text/html": self._repr_html_()}

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre style='line-height:1.3'>{escape(str(self))}</pre>"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw this result; needs ``pip install 'e91[plot]'``.

        Args:
            ax: Matplotlib axes to draw into; a new figure by default.

        Returns:
            The axes.

        Raises:
            ValueError: The result has nothing to draw.
        """
        return self._draw(ax)

    @classmethod
    def draw_by(cls, draw: Callable[[Drawn, Axes | None], Axes]) -> None:
        """Let all results be drawn by a function of the result and the axes."""
        cls._draw = draw
