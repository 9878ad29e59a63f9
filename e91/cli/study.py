"""``e91 study``: a sweep from a file, on this machine or a cluster, kept as it goes."""

from __future__ import annotations

import json
import math
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from e91.cli.figures import FIGURE
from e91.cli.options import COUNT, JSON, seed_option
from e91.cli.outcome import FigureFile
from e91.system.extras import extra

if TYPE_CHECKING:
    from xarray import Dataset

    from e91.studies import Study

_SHOWN = 40  # rows of the table on a terminal


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--scheduler", metavar="ADDRESS",
              help="Dask scheduler whose workers do it, e.g. tcp://HOST:8786.")  # fmt: skip
@click.option("--processes", type=COUNT,
              help="Processes of this machine; as many as cores by default.")  # fmt: skip
@seed_option("Root of all randomness; drawn, and kept, by default.")
@click.option("--out", type=click.Path(path_type=Path),
              help="The result (netCDF); FILE with .nc by default.")  # fmt: skip
@FIGURE
@JSON
def study(
    file: Path,
    *,
    scheduler: str | None,
    processes: int | None,
    seed: int | None,
    out: Path | None,
    figure: FigureFile,
    as_json: bool,
) -> None:
    """Run the sweep that FILE.toml plans; its statistics go to FILE.nc.

    What is finished is kept in FILE.nc.journal until all is: the same command goes on after a stop.
    Keys are made and dropped.  docs/studies.md has the format.
    """
    if scheduler is not None and processes is not None:
        raise click.UsageError("`--processes` must not come with `--scheduler`, but does.")
    from e91.studies import read_study, save_study

    _check_installed()
    figure.check()
    plan = read_study(file)
    if figure.figure is not None and not plan.axes:
        raise ValueError("`--figure` must come with a study that has an axis, but it has none.")
    target = file.with_suffix(".nc") if out is None else out
    _check_free(target)
    journal = target.with_name(f"{target.name}.journal")
    result = _run(plan, journal, scheduler=scheduler, processes=processes, seed=seed)
    save_study(result, target)
    journal.unlink()
    click.echo(json.dumps(_as_json(plan, result, target)) if as_json else _text(result, target))
    figure.save(partial(_draw, result))


def _draw(result: Dataset) -> Any:
    from e91.plots import study_figure, sweep_of

    return study_figure(sweep_of(result))


def _check_installed() -> None:
    extra("xarray", what="A study")


def _check_free(target: Path) -> None:
    from e91.system.durable import check_absent

    if target.suffix != ".nc":
        raise ValueError(
            f"`{target}` must end in .nc, for it will be netCDF, but ends in `{target.suffix}`."
        )
    check_absent(target)
    if not target.parent.is_dir():
        raise ValueError(f"`{target.parent}` must be a folder, but is not.")


def _run(plan: Study, journal: Path, *, scheduler: str | None, **options: Any) -> Dataset:
    from contextlib import nullcontext

    from e91.studies import connected, study
    from e91.system.progress import progress_bar

    cluster: Any = nullcontext() if scheduler is None else connected(scheduler)
    done = 0

    def show(rounds: int) -> None:
        """Count the rounds that are done, and show them."""
        nonlocal done
        done += rounds
        drawn(rounds)

    try:
        with cluster as client, progress_bar(plan.rounds, unit="pairs") as drawn:
            return study(plan, client=client, keep=journal, on_progress=show, **options)
    except KeyboardInterrupt:
        click.echo(
            f"e91: The study was stopped; {done:,} of {plan.rounds:,} rounds are kept in "
            f"`{journal}`, and the same command goes on.",
            err=True,
        )
        sys.exit(1)


def rows_of(result: Dataset) -> list[dict[str, Any]]:
    """Return one row for each session: its swept parameters and its statistics, as plain values.

    Numbers that do not exist are None.
    """
    frame = result.stack(all_sessions=result.chsh.dims, create_index=False)
    columns = {
        name: frame[name].values.tolist()
        for name in (*frame.coords, *frame.data_vars)
        if frame[name].dims == ("all_sessions",)
    }
    return [
        {name: _plain(value) for name, value in zip(columns, values, strict=True)}
        for values in zip(*columns.values(), strict=True)
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return None
    return (value or None) if isinstance(value, str) else value


def _as_json(plan: Study, result: Dataset, target: Path) -> dict[str, Any]:
    return {
        "file": str(target),
        "title": plan.title,
        "plan_sha256": plan.digest,
        "root_entropy": result.attrs["root_entropy"],
        "rounds": plan.rounds,
        "sessions": rows_of(result),
    }


def _text(result: Dataset, target: Path) -> str:
    rows = rows_of(result)
    swept = [name for name in rows[0] if name not in result.data_vars]
    names = [*swept, "chsh", "chsh_lower_bound", "qber", "secret_bits", "abort"]
    table = [names, *([_cell(row[name]) for name in names] for row in rows[:_SHOWN])]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in table]
    if len(rows) > _SHOWN:
        lines.append(f"... and {len(rows) - _SHOWN:,} more")
    kept = sum(row["secret_bits"] > 0 for row in rows)
    lines += ["", f"{kept:,} of {len(rows):,} sessions made a key.  The result is in {target}."]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
