"""One simulated experiment, as a value that shows itself."""

from dataclasses import dataclass
from typing import Any

from e91.experiments.comparison import as_records, as_text
from e91.experiments.published import Comparison, Experiment
from e91.experiments.reader import load
from e91.experiments.simulate import compare
from e91.model.drawn import Drawn


@dataclass(frozen=True)
class ExperimentReport(Drawn):
    """A published experiment and its simulation.

    Printing it gives the table; in Jupyter it shows itself, and `plot` draws the deviations of all
    outcomes to which nothing was fitted.

    Attributes:
        experiment: What was published, and what the simulation started from.
        comparisons: Every outcome, simulated beside published.
        seed: Of the repetition that was drawn, or None for expectations.
    """

    experiment: Experiment
    comparisons: tuple[Comparison, ...]
    seed: int | None

    def __str__(self) -> str:
        return as_text(self.experiment, self.comparisons)

    def to_records(self) -> list[dict[str, Any]]:
        """Return the comparisons as plain dictionaries; see `e91.experiments.as_records`."""
        return as_records(self.comparisons)


def run(name: str, *, seed: int | None = None) -> ExperimentReport:
    """Simulate a published experiment.

    Args:
        name: A name of `e91.experiments.names`, or the path of a ``.toml`` file.
        seed: None gives expectations; a number draws one repetition with its own counts.

    Raises:
        ValueError: There is no such experiment, the file is not in the documented format, or
            ``seed`` is negative.

    Examples:
        >>> report = run("ursin-2007")
        >>> [(row.outcome.quantity, row.fitted) for row in report.comparisons]
        [('chsh', False), ('qber', True), ('secret_bits', False)]
    """
    experiment = load(name)
    return ExperimentReport(experiment, compare(experiment, seed=seed), seed)
