"""How many coincidences an experiment has: by its optics, or as it measured them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from e91.experiments.published import Experiment


@dataclass(frozen=True)
class Rates:
    """Coincidences of an experiment.

    Attributes:
        coincidences_per_second: All of them, accidentals included; None if the experiment states
            neither a source nor a measured rate.
        accidental_fraction: Fraction of them whose photons are not of one pair.
        link_loss_db: From the source to both clicks, or None without links.  Of a satellite: of
            the mean transmission during the pass.
    """

    coincidences_per_second: float | None
    accidental_fraction: float
    link_loss_db: float | None


@lru_cache(maxsize=512)
def rates(experiment: Experiment) -> Rates:
    """Return the coincidences of an experiment.

    With ``source.pairs_per_second`` they come from `e91.optics`: with an ``orbit`` as the mean of a
    pass over both stations, else over two constant losses.  Without a source they are what the
    file gives as measured; without a measured signal-to-noise ratio there are no accidentals.

    Raises:
        ValueError: A source is given, but not all that its light meets.
    """
    if experiment.has("source.pairs_per_second"):
        from e91.experiments.optical_links import counted  # loads SciPy

        return Rates(*counted(experiment))
    ratio = experiment.value("measured.signal_to_noise", math.inf)
    measured = experiment.value("measured.coincidences_per_second", -1.0)
    return Rates(None if measured < 0 else measured, 1 / (1 + ratio), None)
