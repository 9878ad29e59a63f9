"""Figures as files: PNG, SVG or PDF, whole or not at all."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from e91.plots.style import styled
from e91.system.durable import PUBLIC, check_absent, create_hidden, new_file

ENDINGS = (".png", ".svg", ".pdf")
"""What a figure's file can end in."""

Drawing = Callable[[], Axes | tuple[Axes, ...]]
"""Draws a figure that is not drawn yet."""


def check_figure_file(file: Path | str) -> None:
    """Check that a figure can be written, before the work that it shows.

    Args:
        file: Where the figure will be; its ending says the format.

    Raises:
        ValueError: The ending is unknown, the file exists, or its folder cannot be written.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     check_figure_file(Path(folder) / "curve.svg")    # nothing is left there
        ...     list(Path(folder).iterdir())
        []
    """
    file = Path(file)
    if file.suffix.lower() not in ENDINGS:
        raise ValueError(
            f"`{file}` must end in {', '.join(ENDINGS)} to be a figure, but ends in "
            f"`{file.suffix}`."
        )
    check_absent(file)
    temporary, opened = create_hidden(file.parent, mode=PUBLIC)
    opened.close()
    temporary.unlink()


def save_figure(draw: Drawing, file: Path | str, *, style: str = "notebook") -> None:
    """Draw a figure in a style and write it to a new file.

    Args:
        draw: Draws into a new figure and returns its axes, e.g. ``report.plot``.
        file: Must not exist; its ending says what it becomes: png, svg or pdf.
        style: A size of `styled`.

    Raises:
        ValueError: As `check_figure_file`, there is no such style, or nothing can be drawn.
        WriteFailed: The disk is full or fails.

    Examples:
        >>> import tempfile
        >>> from e91.plots import game_scale
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_figure(lambda: game_scale(840, 1000), Path(folder) / "game.svg", style="slide")
        ...     (Path(folder) / "game.svg").read_text().startswith("<?xml")
        True
    """
    file = Path(file)
    check_figure_file(file)
    content = BytesIO()
    with styled(style):
        axes = draw()
        figure = (axes[0] if isinstance(axes, tuple) else axes).get_figure(root=True)
        assert isinstance(figure, Figure)
        figure.savefig(content, format=file.suffix.lower().removeprefix("."))
        pyplot.close(figure)
    with new_file(file, mode=PUBLIC) as write:
        write(content.getvalue())
