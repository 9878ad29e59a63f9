"""Published experiments as data, simulated beside what was published.

Each file ``NAME.toml`` of this package holds one experiment: what the simulation starts from, what
was published, and for every number where it stands and whether it was read there.  The format is
documented in ``docs/experiments.md``; a user's own file is read in the same way.

Examples:
    >>> from e91.experiments import run
    >>> for row in run("yin-2017").comparisons:
    ...     if row.outcome.quantity == "chsh":
    ...         print(f"{row.simulated:.2f} beside {row.outcome.value} ± {row.outcome.error}")
    2.37 beside 2.37 ± 0.09
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
