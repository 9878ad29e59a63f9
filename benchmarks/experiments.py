"""Print the table of docs/experiments.md: every outcome, simulated beside published.

``python -m benchmarks.experiments`` takes about five seconds.  With ``--sessions`` it prints the
table of sessions instead, a million coincidences of each experiment, in about half a minute.
"""

import sys
from collections.abc import Iterable, Iterator

from e91.experiments import ExperimentReport, names, run, run_session, status, with_error

SEED = 1


def lines(reports: Iterable[ExperimentReport]) -> list[str]:
    """Return the table in Markdown."""
    table = [
        "| experiment | outcome | simulated | published | σ | published σ | | by |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for report in reports:
        for row in report.comparisons:
            outcome = row.outcome
            simulated = "-"
            if row.simulated is not None:
                simulated = with_error(row.simulated, row.simulated_error)
            quantity = outcome.quantity.replace("_per_second", "/s").replace("_", " ")
            theorem = f" ({outcome.theorem.value})" if outcome.theorem else ""
            published = outcome.digits
            tested = row.simulated is not None and not row.fitted
            cells = (
                report.experiment.name,
                quantity + theorem,
                simulated,
                published if outcome.printed else f"*{published}*",
                _sigmas(row.sigmas),
                _sigmas(row.published_sigmas),
                status(row),
                row.route.value if tested else "",
            )
            table.append(f"| {' | '.join(cells)} |")
    return table


def sessions() -> Iterator[ExperimentReport]:
    """Yield a seeded session of every experiment whose numbers and settings give one."""
    for name in names():
        try:
            yield run_session(name, seed=SEED)
        except ValueError as refusal:
            print(f"{name}: {refusal}", file=sys.stderr)


def _sigmas(value: float | None) -> str:
    if value is None:
        return "-"
    return (
        f"{round(value, 1) + 0.0:+.1f}"
        if abs(value) < 100
        else f"{'+' if value > 0 else '-'}100 or more"
    )


if __name__ == "__main__":
    found = sessions() if "--sessions" in sys.argv else map(run, names())
    print("\n".join(lines(found)))
