"""``python -m benchmarks``: every stage and the whole, timed beside peers in one run."""

from __future__ import annotations

import json
import os
import sys

import click


@click.command()
@click.option("--quick", is_flag=True, help="About a minute: fewer rounds, fewer repeats.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list, an object a row.")
def bench(*, quick: bool, as_json: bool) -> None:
    """Time every stage beside its peers, on this machine, and print the table in Markdown.

    Rates are medians, with the slowest and the fastest call in parentheses.  Peers that are not
    installed are named; `pip install 'e91[bench]'` brings them.  Nothing else should run meanwhile.
    """
    from benchmarks.machine import headed, machine
    from benchmarks.stages import FULL, QUICK, stages
    from benchmarks.table import aligned
    from benchmarks.timing import rows_of

    on = machine()
    if not as_json:
        click.echo(headed(on))
    rows = []
    for stage in stages(QUICK if quick else FULL, threads=_threads()):
        if sys.stderr is not None and sys.stderr.isatty():
            click.echo(f"{stage.name} ...", err=True)
        rows += rows_of(stage)
    click.echo(json.dumps([row.to_dict() | on for row in rows]) if as_json else aligned(rows))


def _threads() -> int:
    """Return two, which the goals are set for, or the one core there is."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return min(2, cores)


if __name__ == "__main__":
    bench()
