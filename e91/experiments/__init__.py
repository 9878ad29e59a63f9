"""Published experiments as data, simulated beside what was published.

Each file ``NAME.toml`` of this package holds one experiment: what the simulation starts from, what
was published, and for every number where it stands and whether it was read there.  The format is
documented in ``docs/experiments.md``; a user's own file is read in the same way.

Examples:
    >>> from e91.experiments import compare, load
    >>> [(row.outcome.quantity, row.fitted) for row in compare(load("ursin-2007"))]
    [('chsh', False), ('qber', True), ('secret_bits', False)]
"""

from e91.experiments.reader import load, names, parse
from e91.experiments.records import Comparison, Experiment, Outcome, Parameter
from e91.experiments.report import as_data, as_records, as_text, described
from e91.experiments.simulate import compare

__all__ = [
    "Comparison",
    "Experiment",
    "Outcome",
    "Parameter",
    "as_data",
    "as_records",
    "as_text",
    "compare",
    "described",
    "load",
    "names",
    "parse",
]
