"""``e91 snapshots``: which machines there are offline, and what an E91 link on each is worth."""

import json
import warnings
from typing import Any

import click

from e91.model.settings import EKERT, Settings
from e91.model.trust import SecurityModel

_MODELS = tuple(model.value for model in SecurityModel)


@click.group()
def snapshots() -> None:
    """IBM machines as they were on one day, for `--device fake:NAME`; needs e91[ibm]."""


@snapshots.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
def list_snapshots(*, as_json: bool) -> None:
    """List the names of all snapshots."""
    from e91.devices.samplers.snapshots import snapshot_names

    names = snapshot_names()
    click.echo(json.dumps(names) if as_json else "\n".join(names))


@snapshots.command("table")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list, an object a machine.")
def table(names: tuple[str, ...], *, as_json: bool) -> None:
    """Print S, QBER and key rates of the best pair of each machine, or of NAMEs, in Markdown.

    Exact values of the snapshot's noise model; rates are asymptotic, in secret bits per key round.
    """
    from tqdm import tqdm

    from e91.devices.samplers.snapshots import snapshot_names

    chosen = names or snapshot_names()
    with tqdm(chosen, unit=" machines", delay=2, disable=None) as bar:
        rows = [row_of(name) for name in bar]
    rows.sort(key=lambda row: -(row["chsh"] or 0.0))
    click.echo(json.dumps(rows) if as_json else _markdown(rows))


def row_of(name: str) -> dict[str, Any]:
    """Return one machine's row; where no pair works, all but the name are None."""
    from e91.devices.samplers.qubit_pairs import ranked_pairs
    from e91.devices.samplers.snapshots import snapshot_backend, snapshot_device

    with warnings.catch_warnings():
        # That the errors of fake_nighthawk are not representative; docs/backends.md says so.
        warnings.simplefilter("ignore", UserWarning)
        backend = snapshot_backend(name)
        empty = {"machine": name, "of": backend.num_qubits, "taken": _day(backend), "qubits": None}
        if not ranked_pairs(backend.target):
            return empty | dict.fromkeys(["chsh", "qber", *_MODELS])
        device = snapshot_device(name)
    s, qber = link_of(device.table)
    return empty | {"qubits": device.qubits, "chsh": s, "qber": qber} | _rates(s, qber)


def link_of(table: Any, *, settings: Settings = EKERT) -> tuple[float, float]:
    """Return S and the QBER that a table of probabilities has.

    The QBER is the mean over the key pairs, weighted with how often they occur.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> s, qber = link_of(exact_device(visibility=0.9).table)
        >>> round(s, 4), round(qber, 4)
        (2.5456, 0.05)
    """
    equal = table[..., 0, 0] + table[..., 1, 1]
    s = sum(sign * (2 * float(equal[pair]) - 1) for pair, sign in settings.chsh_pairs)
    wrong = sum(
        settings.pair_probability(pair) * (1 - float(equal[pair])) for pair in settings.key_pairs
    )
    return s, wrong / settings.key_probability


def _rates(s: float, qber: float) -> dict[str, float]:
    from e91.session.planning import asymptotic_rate

    return {
        model.value: asymptotic_rate(model, chsh_value=max(0.0, s), qber=qber).rate
        for model in SecurityModel
    }


def _day(backend: Any) -> str | None:
    """Return the day of the calibration, as an ISO date."""
    updated = getattr(backend.properties(), "last_update_date", None)
    return None if updated is None else str(updated)[:10]


def _markdown(rows: list[dict[str, Any]]) -> str:
    head = "| machine | calibrated | pair | S | QBER | trusted analysers | device-independent |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    for row in rows:
        first = f"| {row['machine']} ({row['of']} qubits) | {row['taken'] or '-'} "
        if row["qubits"] is None:
            lines.append(f"{first}| none works | - | - | - | - |")
            continue
        alice, bob = row["qubits"]
        rates = " | ".join(f"{row[model]:.3f}" if row[model] > 0 else "no key" for model in _MODELS)
        lines.append(f"{first}| {alice}, {bob} | {row['chsh']:.3f} | {row['qber']:.2%} | {rates} |")
    return "\n".join(lines)
