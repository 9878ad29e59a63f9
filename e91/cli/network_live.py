"""``e91 network run``: a network in simulated time, a line a minute, and what became of it."""

from __future__ import annotations

import json
import math
import re
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from e91.cli.figures import FIGURE
from e91.cli.options import COUNT, JSON, as_one, seed_option
from e91.cli.outcome import FigureFile, columns
from e91.system.progress import progress_bar, waiting
from e91.system.report_layout import WIDTH

if TYPE_CHECKING:
    from e91.network import Incident, NetworkPlan, NetworkReport, Simulation

_MOST_LINES = 60  # of a run, one a minute if it is no longer
_ATTACK = re.compile(r"(?P<link>[^=]+)=(?P<name>[a-z-]+)(:(?P<strength>[^@]+))?@(?P<times>[^@]+)")
_CUT = re.compile(r"(?P<link>[^@]+)@(?P<times>[^@]+)")

HOW = (
    click.option("--minutes", type=float,
                 help="Simulated time, minutes; by default the network's own: what its story "
                 "takes, or 10."),
    click.option("--depth", type=click.Choice(["bits", "counts"]), default="bits",
                 show_default=True,
                 help="Draw every round and make real key, or the counts of every block only."),
    seed_option("Root of all randomness; keys are then not secret.  From the system by default."),
    click.option("--workers", type=COUNT,
                 help="Processes that make blocks; as many as cores by default."),
    click.option("--rule", type=click.Choice(["fewest-hops", "widest", "cheapest"]),
                 help="How keys find their way; the network's own rule by default."),
    click.option("--disjoint", type=COUNT, default=1, show_default=True,
                 help="Shares of a key, on ways without a common relay."),
)  # fmt: skip


@click.command("run")
@click.argument("name")
@click.option("--variant", help="Of the network's file, e.g. `fitted`.")
@as_one("how", dict, *HOW)
@click.option("--attack", "attacks", multiple=True, metavar="LINK=NAME:STRENGTH@SECONDS",
              help="Put an adversary on a link, for good or for a time, e.g. "
              "R1-R2=intercept-resend:1@120-300.")  # fmt: skip
@click.option("--cut", "cuts", multiple=True, metavar="LINK@SECONDS[-SECONDS]",
              help="Cut a link, for a time or for good.")  # fmt: skip
@click.option("--page", is_flag=False, flag_value="8091", type=int, metavar="[PORT]",
              help="Open the control room, a live page on this computer.")  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True,
              help="Address of the page; whoever reaches another sees and steers it.")  # fmt: skip
@click.option("--scheduler", metavar="ADDRESS",
              help="Dask scheduler whose workers make the blocks, e.g. tcp://HOST:8786; key bits "
              "stay with the worker that drew them.")  # fmt: skip
@FIGURE
@JSON
def run_network(
    name: str,
    *,
    variant: str | None,
    how: dict[str, Any],
    attacks: tuple[str, ...],
    cuts: tuple[str, ...],
    page: int | None,
    host: str,
    scheduler: str | None,
    figure: FigureFile,
    as_json: bool,
) -> None:
    """Let time pass in a network: blocks, alarms, relayed keys, requests.

    NAME is a network of `e91 network list`, or a file.  The stores are filled before time zero.
    Ctrl-C ends the run with the report so far.  ``--figure`` draws stores, requests, ages, where
    the key went, and ways, on one page.
    """
    from dataclasses import replace

    from e91.network import load
    from e91.network.network_run import checked_minutes

    plan: NetworkPlan = load(name, variant=variant)
    minutes = checked_minutes(plan, how.pop("minutes"))
    added = [attack_of(text) for text in attacks] + [cut_of(text) for text in cuts]
    plan = _checked(replace(plan, incidents=(*plan.incidents, *added)))
    if page is not None:
        given = {"--figure": figure.figure, "--scheduler": scheduler, "--json": as_json or None}
        for option in (name for name, value in given.items() if value is not None):
            raise click.UsageError(f"`{option}` must be of a run, not of a live `--page`.")
        _open_page(plan, page, host, how)
        return
    figure.check()
    if scheduler is None:
        _finish(_run(plan, minutes, how, as_json=as_json), figure, as_json=as_json)
        return
    from e91.studies.cluster import connected

    with connected(scheduler) as client:
        report = _run(plan, minutes, how | {"client": client}, as_json=as_json)
    _finish(report, figure, as_json=as_json)


def _run(plan: NetworkPlan, minutes: float, how: dict[str, Any], *, as_json: bool) -> NetworkReport:
    from e91.network import begin, report_of

    stopwatch = _stopwatch()
    simulation = begin(plan, **how)
    try:
        _pass_time(simulation, minutes, show=not as_json)
        return report_of(simulation, depth=how["depth"], seconds=stopwatch())
    except KeyboardInterrupt:
        _print(report_of(simulation, depth=how["depth"], seconds=stopwatch()), as_json=as_json)
        raise
    finally:
        simulation.close()


def _finish(report: NetworkReport, figure: FigureFile, *, as_json: bool) -> None:
    """Print and draw what became of a network."""
    _print(report, as_json=as_json)

    def draw() -> Any:
        from e91.plots import network_figure

        return network_figure(report)

    figure.save(draw)


def _open_page(plan: NetworkPlan, port: int, host: str, how: dict[str, Any]) -> None:
    from dataclasses import replace

    from e91.network.page import serve

    known = {name: how[name] for name in ("depth", "seed", "workers")}
    if how["disjoint"] != 1:
        raise click.UsageError("`--disjoint` must be of a run, not of a live `--page`.")
    if how["rule"] is not None:
        plan = replace(plan, rule=how["rule"])
    serve(plan, **known, host=host, port=port, say=click.echo)


def _stopwatch() -> Any:
    import time

    started = time.monotonic()
    return lambda: time.monotonic() - started


def _checked(plan: NetworkPlan) -> NetworkPlan:
    from e91.network import check_plan

    check_plan(plan)
    return plan


def _print(report: NetworkReport, *, as_json: bool) -> None:
    text = report.text(width=columns(WIDTH + 2) - 2)
    click.echo(json.dumps(report.to_dict()) if as_json else f"\n{text}")


def _pass_time(simulation: Simulation, minutes: float, *, show: bool) -> None:
    """Let the time pass, and print a line for every minute or so, and for every event."""
    if show and simulation.now_s < 0:
        click.echo(f"filling the stores: {-simulation.now_s:g} s of blocks before time zero")
    step_s = 60.0 * math.ceil(minutes / _MOST_LINES)
    shown, now_s, before = 0, 0.0, 0
    # Lines that are printed are a sign already.
    with nullcontext() if show else progress_bar(60 * minutes, unit="s of the network") as passed:
        with waiting("Filling the stores"):
            simulation.advance(0.0)
        while now_s < 60 * minutes:
            since_s, now_s = now_s, min(now_s + step_s, 60 * minutes)
            with waiting(f"Simulating the network from {since_s:g} s on"):
                simulation.advance(now_s)
            if show:
                shown = _print_events(simulation, shown)
                before = _print_minute(simulation, before, now_s - since_s)
            elif passed is not None:
                passed(now_s - since_s)


def _print_events(simulation: Simulation, shown: int) -> int:
    from e91.network.network_report import clock

    events = simulation.history.events
    for event in events[shown:]:
        mark = "(only the simulator knows) " if event.truth else ""
        click.echo(f"{clock(event.time_s):>9}  {mark}{event.words}")
    return len(events)


def _print_minute(simulation: Simulation, before: int, passed_s: float) -> int:
    """Print how the network is; return how many keys were served up to now."""
    from e91.network.network_report import clock

    done = simulation.history.delivered
    out = [life for life in simulation.lives if life.condition.value != "up"]
    shares = [
        (stored / life.store_limit, life.plan.name)
        for life, stored in zip(simulation.lives, simulation.ledger.stored, strict=True)
        if 0 < life.store_limit < math.inf
    ]
    rate = (done.served - before) / passed_s
    words = f"{rate:8,.1f} keys/s" if rate >= 1 or not rate else f"{60 * rate:8,.1f} keys/min"
    words += f", {done.late:,} late, {done.missed:,} missed"
    if shares:
        least, name = min(shares)
        words += f"; least store {min(1.0, least):.0%} ({name})"
    if out:
        words += "; out of service " + ", ".join(life.plan.name for life in out[:4])
        words += f" and {len(out) - 4} more" if len(out) > 4 else ""
    click.echo(f"{clock(simulation.now_s):>9}  {words}")
    return done.served


def attack_of(text: str) -> Incident:
    """Return the attack that an option describes.

    Raises:
        ValueError: It describes none.
    """
    from e91.network import Incident, IncidentKind

    found = _ATTACK.fullmatch(text)
    if found is None:
        raise ValueError(
            "`--attack` must be LINK=NAME:STRENGTH@SECONDS or LINK=NAME:STRENGTH@SECONDS-SECONDS, "
            f"but is {text!r}."
        )
    start_s, end_s = _times(found["times"], text)
    strength = None if found["strength"] is None else _number(found["strength"], text)
    return Incident(IncidentKind.ATTACK, found["link"], start_s, end_s, found["name"], strength)


def cut_of(text: str) -> Incident:
    """Return the cut that an option describes.

    Raises:
        ValueError: It describes none.
    """
    from e91.network import Incident, IncidentKind

    found = _CUT.fullmatch(text)
    if found is None:
        raise ValueError(f"`--cut` must be LINK@SECONDS or LINK@SECONDS-SECONDS, but is {text!r}.")
    return Incident(IncidentKind.CUT, found["link"], *_times(found["times"], text))


def _times(text: str, whole: str) -> tuple[float, float]:
    start, _, end = text.partition("-")
    return _number(start, whole), _number(end, whole) if end else math.inf


def _number(text: str, whole: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"`{text}` in {whole!r} must be a number, but is none.")
    return number
