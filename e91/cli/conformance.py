"""``e91 conformance``: does a sampler keep its promises?"""

import inspect
import json
import pkgutil
import sys
from pathlib import Path
from typing import Any

import click

from e91.cli.options import COUNT, JSON
from e91.system.progress import waiting

FAILED = 1


@click.command()
@click.argument("target", metavar="MODULE:NAME")
@click.option("--snapshot", metavar="NAME",
              help="The sampler simulates this IBM machine's best pair: compare with its exact "
              "table.")  # fmt: skip
@click.option("--noisy", is_flag=True,
              help="The sampler's noise is unknown: compare signs, no values.")  # fmt: skip
@click.option("--grouping", type=click.Choice(["one-pub", "pair-by-pair"]), default="one-pub",
              show_default=True, help="All setting pairs as one PUB, or each a run.")  # fmt: skip
@click.option("--shots", type=COUNT, default=20_000, show_default=True,
              help="Shots of each setting pair in each of two runs.")  # fmt: skip
@click.option("--seed", type=int, help="Root of the seeds; from the operating system by default.")
@JSON
def conformance(
    target: str,
    *,
    snapshot: str | None,
    noisy: bool,
    grouping: Any,
    shots: int,
    seed: int | None,
    as_json: bool,
) -> None:
    """Run the sampler MODULE:NAME through every check; exit with 1 if it fails one.

    NAME is a sampler, or it is called and returns one; if it takes an argument, that is a seed, new
    for every run.  `e91 conformance qiskit_aer.primitives:SamplerV2` is an example.
    """
    from e91.devices.samplers.conformance.suite import conformance as examine
    from e91.devices.samplers.conformance.suite import conforms

    if snapshot is not None and noisy:
        raise ValueError("`--noisy` must come without `--snapshot`, whose noise is known.")
    backend, table = _machine(snapshot)
    with waiting(f"Examining {target}"):
        checks = examine(
            _sampler(target),
            backend,
            table=table,
            noise_is_unknown=noisy,
            grouping=grouping,
            shots=shots,
            seed=seed,
        )
    passed = conforms(checks)
    if as_json:
        found = {"sampler": target, "conforms": passed, "checks": [vars(check) for check in checks]}
        click.echo(json.dumps(found))
    else:
        click.echo(_table(checks))
        click.echo(f"{target} {'conforms' if passed else 'does not conform'}.")
    if not passed:
        sys.exit(FAILED)


def _machine(snapshot: str | None) -> tuple[Any, Any]:
    """Return the pair of the snapshot and its exact table, or nothing."""
    if snapshot is None:
        return None, None
    from e91.devices.samplers.snapshots import pair_backend, snapshot_device

    return pair_backend(snapshot), snapshot_device(snapshot).table


def _sampler(target: str) -> Any:
    """Return what MODULE:NAME names, as a sampler or a function from a seed to one."""
    module, _, name = target.partition(":")
    if not module or not name:
        raise ValueError(f"The sampler must be given as MODULE:NAME, but is `{target}`.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # a file beside the user, as `python -m` would find it
    try:
        named = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"`{target}` must name something to import, but: {error}.") from None
    if not callable(named):
        return named
    return named if _takes_a_seed(named) else lambda _seed: named()


def _takes_a_seed(function: Any) -> bool:
    """Return whether a function takes an argument without a name of its own."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(
        parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        for parameter in parameters
    )


def _table(checks: tuple[Any, ...]) -> str:
    rows = [("check", "", "found", "detects", "false alarm")]
    for check in checks:
        verdict = "pass" if check.passed else "FAIL"
        shown = verdict if check.required else "note"
        alarm = f"{check.false_alarm:g}" if check.false_alarm else "-"
        rows.append((check.name, shown, check.found, check.detects, alarm))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]])
        for row in rows
    )
