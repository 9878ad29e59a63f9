"""Print the table of docs/experiments.md: every outcome, simulated beside published.

``python -m benchmarks.experiments`` takes about five seconds.
"""

from collections.abc import Iterable

from e91.experiments import ExperimentReport, names, run, status, with_error


def lines(reports: Iterable[ExperimentReport]) -> list[str]:
    """Return the table in Markdown."""
    table = [
        "| experiment | outcome | simulated | published | σ | published σ | |",
        "|---|---|---|---|---|---|---|",
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
            cells = (
                report.experiment.name,
                quantity + theorem,
                simulated,
                published if outcome.printed else f"*{published}*",
                _sigmas(row.sigmas),
                _sigmas(row.published_sigmas),
                status(row),
            )
            table.append(f"| {' | '.join(cells)} |")
    return table


def _sigmas(value: float | None) -> str:
    if value is None:
        return "-"
    return (
        f"{round(value, 1) + 0.0:+.1f}"
        if abs(value) < 100
        else f"{'+' if value > 0 else '-'}100 or more"
    )


if __name__ == "__main__":
    print("\n".join(lines(map(run, names()))))
