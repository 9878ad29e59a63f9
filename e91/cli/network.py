"""``e91 network``: networks in simulated time, from a preset or a file."""

import json
from typing import Any

import click

from e91.cli.figures import FIGURE
from e91.cli.network_calls import show_calls
from e91.cli.network_live import run_network
from e91.cli.network_passes import show_passes
from e91.cli.options import JSON, seed_option
from e91.cli.outcome import FigureFile, columns
from e91.system.progress import waiting
from e91.system.report_layout import WIDTH

VARIANT = click.option("--variant", metavar="NAME", help="One of the file's variants.")


@click.group()
def network() -> None:
    """Networks in simulated time: users, relays, links of light, incidents."""


network.add_command(run_network)
network.add_command(show_calls)
network.add_command(show_passes)


@network.command("alarms")
@click.argument("name")
@VARIANT
@click.option("--days", type=float, default=365.0, show_default=True, help="Simulated time, days.")
@click.option("--false-alarm", type=float, default=1e-4, show_default=True,
              help="Promised probability that an honest link's alarm ever rings.")  # fmt: skip
@click.option("--at-promise", is_flag=True,
              help="Let every link be exactly as good as it promises, not better.")  # fmt: skip
@seed_option("Root of all randomness; from the system by default.")
@FIGURE
@JSON
def alarms(
    name: str,
    *,
    variant: str | None,
    days: float,
    false_alarm: float,
    at_promise: bool,
    seed: int | None,
    figure: FigureFile,
    as_json: bool,
) -> None:
    """Count the false alarms of NAME over a time in which nobody attacks it.

    Blocks are watched by the hour; no key is made.
    """
    figure.check()

    from e91.network import alarm_life, load

    with waiting(f"Watching {name}"):
        life = alarm_life(
            load(name, variant=variant),
            days=days,
            seed=seed,
            false_alarm=false_alarm,
            at_promise=at_promise,
        )
    click.echo(json.dumps(life.to_dict()) if as_json else str(life))

    def draw() -> Any:
        from e91.plots import alarm_life_figure

        return alarm_life_figure(life)

    figure.save(draw)


@network.command("list")
@JSON
def list_networks(*, as_json: bool) -> None:
    """List the networks that come with the package."""
    from e91.network import load, names, variants

    found = [(load(name), variants(name)) for name in names()]
    if as_json:
        rows = [
            {
                "name": plan.name, "title": plan.title, "summary": plan.summary,
                "reference": plan.reference, "rate": plan.rate.value, "users": len(plan.users),
                "sites": len(plan.sites), "links": len(plan.links), "variants": list(of_file),
            }
            for plan, of_file in found
        ]  # fmt: skip
        click.echo(json.dumps({"networks": rows}))
        return
    click.echo(f"{'name':<20}{'users':>6}{'sites':>7}{'links':>7}  {'key rates':<11}what it is")
    for plan, _ in found:
        click.echo(
            f"{plan.name:<20}{len(plan.users):>6,}{len(plan.sites):>7,}{len(plan.links):>7,}  "
            f"{plan.rate.value:<11}{plan.title}"
        )


@network.command("show")
@click.argument("name")
@VARIANT
@FIGURE
@JSON
def show(name: str, *, variant: str | None, figure: FigureFile, as_json: bool) -> None:
    """Show NAME (or a .toml file): every link, and where its numbers come from.

    ``--figure`` draws the map.
    """
    from e91.network import as_data, described, load, variants

    plan = load(name, variant=variant)
    figure.check()
    if as_json:
        click.echo(json.dumps(as_data(plan) | {"variants": list(variants(name))}))
    else:
        click.echo(described(plan, variants=variants(name), width=columns(WIDTH)))
    figure.save(plan.plot)


@network.command("check")
@click.argument("file")
@JSON
def check(file: str, *, as_json: bool) -> None:
    """Check FILE (or a name): every variant of it is read, and what cannot be is refused."""
    from e91.network import load, variants
    from e91.network.plan_summary import places

    plans = [load(file, variant=variant) for variant in variants(file) or (None,)]
    first, others = plans[0], len(plans) - 1
    if as_json:
        found = {"network": first.name, "users": len(first.users), "links": len(first.links)}
        click.echo(
            json.dumps(found | {"variants": [plan.variant for plan in plans if plan.variant]})
        )
        return
    more = f"; so can {others} other variant{'s' if others > 1 else ''}" if others else ""
    click.echo(f"{first.name} can be run: {places(first)}, {len(first.links):,} links{more}.")
