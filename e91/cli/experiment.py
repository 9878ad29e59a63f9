"""``e91 experiment``: published experiments, simulated beside what was published."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from e91.cli.figures import FIGURE
from e91.cli.options import COUNT, JSON, refuse_given
from e91.cli.outcome import FigureFile, columns, draw_session
from e91.model.errors import ProtocolAborted
from e91.system.progress import waiting

if TYPE_CHECKING:
    from e91.experiments import Experiment


@click.group()
def experiment() -> None:
    """Published experiments, simulated beside what was published."""


@experiment.command("list")
@click.option("--run", "simulated", is_flag=True,
              help="Simulate all, and count what is reproduced: takes some seconds.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
def list_experiments(*, simulated: bool, as_json: bool) -> None:
    """List the experiments that come with the package, with their published outcomes.

    An outcome was fitted, or it is simulated by a closed form (a formula of other numbers of the
    paper, mostly of one visibility) or by a model of the link (source, losses, detectors).
    """
    from e91.experiments import load, names

    rows = [_listed(load(name), simulated=simulated) for name in names()]
    if as_json:
        click.echo(json.dumps(rows))
        return
    click.echo(f"{'':<20}{'fitted':>8}{'closed form':>13}{'link':>8}  reference")
    for row in rows:
        click.echo(
            f"{row['name']:<20}{row['outcomes']['fitted']:>8}{_of(row, 'closed form'):>13}"
            f"{_of(row, 'link'):>8}  {row['reference']}"
        )
    if simulated:
        closed, link = (sum(row["reproduced"][route] for row in rows) for route in _ROUTES)
        click.echo(
            f"\nReproduced, nothing fitted: {closed} by a closed form, {link} by a link model.\n"
            "What a session gives, pair by pair: e91 experiment run NAME --session"
        )


_ROUTES = ("closed form", "link")


def _listed(one: Experiment, *, simulated: bool) -> dict[str, Any]:
    """Return what the list says of an experiment."""
    from e91.experiments import compare, outcomes_by_route, reproduced_by_route

    row = {name: getattr(one, name) for name in ("name", "title", "reference", "summary")}
    row["outcomes"] = outcomes_by_route(one)
    return row | ({"reproduced": reproduced_by_route(compare(one))} if simulated else {})


def _of(row: dict[str, Any], route: str) -> str:
    """Return how many outcomes a route gives, after how many of them are reproduced."""
    count = row["outcomes"][route]
    reproduced = f"{row['reproduced'][route]} of " if "reproduced" in row and count else ""
    return f"{reproduced}{count}"


@experiment.command("show")
@click.argument("name")
@JSON
def show(name: str, *, as_json: bool) -> None:
    """Show NAME (or a .toml file): every number, and where it comes from."""
    from e91.experiments import as_data, described, load
    from e91.experiments.results import WIDTH

    found = load(name)
    click.echo(json.dumps(as_data(found)) if as_json else described(found, width=columns(WIDTH)))


@experiment.command("run")
@click.argument("name")
@click.option(
    "--seed",
    type=int,
    help="Draw one repetition with the experiment's own counts; without it, expectations.",
)
@click.option("--session", is_flag=True,
              help="Make its key in a session of the protocol; --seed then makes it reproducible, "
              "for tests.")  # fmt: skip
@click.option("--rounds", type=COUNT,
              help="Of the session: coincidences; the experiment's own, or a million.")  # fmt: skip
@FIGURE
@click.option("--json", "as_json", is_flag=True,
              help="Print one JSON list; with --session one object.")  # fmt: skip
def run_named(
    name: str,
    *,
    seed: int | None,
    session: bool,
    rounds: int | None,
    figure: FigureFile,
    as_json: bool,
) -> None:
    """Simulate NAME (or a .toml file) and print it beside what was published.

    With --session the exit status is 3 if the session has no key.
    """
    figure.check()

    from e91.experiments import run, run_session
    from e91.experiments.results import WIDTH

    if not session:
        refuse_given(["rounds"], "must come with `--session`, but there is none.")
    with waiting(f"Simulating {name}"):
        report = run_session(name, rounds=rounds, seed=seed) if session else run(name, seed=seed)
    if report.session is None:
        figure.save(report.plot)  # first, as some experiments have nothing that could be drawn
    found: Any = report.to_records()
    if report.session is not None:
        found = report.session.to_dict() | {"experiment": report.experiment.name}
        found["comparisons"] = report.to_records()
    click.echo(json.dumps(found) if as_json else report.text(width=columns(WIDTH)))
    if report.session is not None:
        draw_session(report.session, figure)
        if report.session.abort is not None:
            raise ProtocolAborted(report.session.abort)
