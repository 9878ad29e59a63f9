"""``e91 network passes``: a satellite's passes by night, and the key that they give."""

from __future__ import annotations

import json
import secrets
from functools import partial
from typing import TYPE_CHECKING

import click

from e91.cli.figures import FIGURE
from e91.cli.options import JSON, seed_option
from e91.cli.outcome import FigureFile, columns
from e91.system.report_layout import WIDTH

if TYPE_CHECKING:
    from e91.network.pass_report import PassReport


@click.command("passes")
@click.argument("name")
@click.option("--variant", metavar="NAME", help="One of the file's variants.")
@click.option("--stations", metavar="A[,B]", help="Two ground stations that want a key, or one "
              "with the satellite; those of its first link by default.")  # fmt: skip
@click.option("--days", type=float, default=30.0, show_default=True,
              help="For how long, from the satellite's start on.")  # fmt: skip
@click.option("--clear", type=float, help="Chance that a night is clear at a station, each for "
              "itself; the network's own by default.")  # fmt: skip
@click.option("--above", type=float, metavar="DEGREES", help="Height above the horizon of both "
              "from which on pairs are counted; the network's own by default.")  # fmt: skip
@seed_option("Of the weather.  From the system by default.")
@FIGURE
@JSON
def show_passes(
    name: str,
    *,
    variant: str | None,
    stations: str | None,
    days: float,
    clear: float | None,
    above: float | None,
    seed: int | None,
    figure: FigureFile,
    as_json: bool,
) -> None:
    """Show the passes of a network's satellite by night, and the key of two stations both ways.

    By pairs that the satellite sends to both at once, where it need not be trusted, and by a relay
    that keeps one photon of every pair itself, where it must.  NAME is `micius`, or a file.
    """
    from e91.model.numbers import check_within
    from e91.network import load, report_passes
    from e91.network.passes import satellite_links

    figure.check()
    plan = load(name, variant=variant)
    first, *_ = satellite_links(plan)
    chosen = first.ends if stations is None else tuple(map(str.strip, stations.split(",")))
    if above is not None:
        check_within(0, 90, above=above)
        if len(chosen) == 1:
            raise ValueError(f"`--above` must be left out with one station, but is {above:g}.")
    report = report_passes(
        plan,
        chosen,
        days=days,
        clear=clear,
        seed=secrets.randbits(32) if seed is None else seed,
        lowest_deg=above,
    )
    text = report.text(width=columns(WIDTH + 2) - 2)
    click.echo(json.dumps(report.to_dict()) if as_json else text)

    figure.save(partial(_drawn, report))


def _drawn(report: PassReport) -> object:
    from e91.plots import passes_figure

    return passes_figure(report)
