"""``e91 experiment``: published experiments, simulated beside what was published."""

import json

import click

from e91.cli.figures import FIGURE
from e91.cli.options import JSON
from e91.cli.outcome import FigureFile, columns


@click.group()
def experiment() -> None:
    """Published experiments, simulated beside what was published."""


@experiment.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
def list_experiments(*, as_json: bool) -> None:
    """List the experiments that come with the package."""
    from e91.experiments import load, names

    found = [load(name) for name in names()]
    if as_json:
        rows = [
            {"name": e.name, "title": e.title, "reference": e.reference, "summary": e.summary}
            for e in found
        ]
        click.echo(json.dumps(rows))
        return
    for one in found:
        click.echo(f"{one.name:<26}{one.reference}")


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
@FIGURE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
def run_named(name: str, *, seed: int | None, figure: FigureFile, as_json: bool) -> None:
    """Simulate NAME (or a .toml file) and print it beside what was published."""
    figure.check()

    from e91.experiments import run
    from e91.experiments.results import WIDTH

    report = run(name, seed=seed)
    click.echo(json.dumps(report.to_records()) if as_json else report.text(width=columns(WIDTH)))
    figure.save(report.plot)
