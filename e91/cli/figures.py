"""The options ``--figure FILE`` and ``--figure-style``, which commands share."""

from pathlib import Path

import click

from e91.cli.options import as_one
from e91.cli.outcome import FigureFile

FIGURE_OPTIONS = (
    click.option("--figure", type=click.Path(path_type=Path), metavar="FILE",
                 help="Draw it into a new file: .png, .svg or .pdf."),
    click.option("--figure-style", type=click.Choice(["notebook", "slide", "print"]),
                 default="notebook", show_default=True, help="Size of its letters and lines."),
)  # fmt: skip

FIGURE = as_one("figure", FigureFile, *FIGURE_OPTIONS)
"""One value of both options, for a command that has no other files."""
