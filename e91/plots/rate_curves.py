"""Asymptotic key rates against QBER and detection efficiency: the data of two figures.

Pure functions from numbers to frozen records; `e91.plots.rate_figures` draws them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from e91.model.numbers import Floats
from e91.model.trust import SecurityModel
from e91.security.device_dependent import bbm92_rate
from e91.security.device_independent import (
    RANDOM_BASIS_THRESHOLD,
    acin_rate,
    acin_threshold,
    bbm92_threshold,
    bell_efficiency_threshold,
    binned_statistics,
    key_efficiency_threshold,
    noisy_preprocessing_rate,
    noisy_preprocessing_threshold,
    random_basis_rate,
    werner_chsh,
)


@dataclass(frozen=True, eq=False)
class RateCurve:
    """One theorem's key rate along an axis.

    Attributes:
        name: What gives the rate, as a legend prints it.
        security: The security model of the theorem.
        rates: Secret bits per round of the kind that the figure's record names; read-only
            float64, shape (n,).
        threshold: Where on the axis the rate reaches zero; None if not known.
        source: Where that number was published, or is computed.
    """

    name: str
    security: SecurityModel
    rates: Floats
    threshold: float | None = None
    source: str = ""


@dataclass(frozen=True, eq=False)
class QberRates:
    """Asymptotic rates against QBER for white noise.

    Attributes:
        qber: Error rate of the key rounds, in [0, 1]; float64, shape (n,).
        chsh_values: S = 2 sqrt(2) (1 - 2 QBER); float64, shape (n,).
        curves: Secret bits per key round.
    """

    qber: Floats
    chsh_values: Floats
    curves: tuple[RateCurve, ...]


@dataclass(frozen=True, eq=False)
class EfficiencyRates:
    """Asymptotic device-independent rates against detection efficiency.

    Attributes:
        efficiency: Probability that a photon is detected, both parties', in [0, 1]; float64,
            shape (n,).
        chsh_values: S with no-clicks recorded as outcome 0; float64, shape (n,).
        visibility: Of the pairs.
        curves: Secret bits per key round; every round in which a pair was sent counts.
        bell_threshold: Efficiency from which S exceeds 2.
    """

    efficiency: Floats
    chsh_values: Floats
    visibility: float
    curves: tuple[RateCurve, ...]
    bell_threshold: float


def rates_by_qber(qber: Sequence[float] | Floats) -> QberRates:
    """Return four asymptotic key rates at each QBER, for white noise on a perfect pair.

    Error correction at the Shannon limit.  The threshold of the random key basis is the printed
    one, and its curve a lower bound through it (see `random_basis_entropy`).

    Args:
        qber: Increasing error rates in [0, 1/2].

    Raises:
        ValueError: ``qber`` does not increase or leaves [0, 1/2].

    Examples:
        >>> found = rates_by_qber([0.0, 0.05, 0.12])
        >>> [round(float(curve.rates[1]), 3) for curve in found.curves]
        [0.427, 0.225, 0.226, 0.326]
    """
    axis = increasing("qber", qber, top=0.5)
    trusted, untrusted = SecurityModel.TRUSTED_ANALYSERS, SecurityModel.DEVICE_INDEPENDENT
    return QberRates(
        axis,
        frozen(werner_chsh(q) for q in axis.tolist()),
        (
            RateCurve(
                "BBM92, trusted analysers",
                trusted,
                _along(axis, lambda q: bbm92_rate(q, q)),
                bbm92_threshold(),
                "Shor & Preskill 2000",
            ),
            RateCurve(
                "CHSH, device-independent",
                untrusted,
                _along(axis, lambda q: acin_rate(werner_chsh(q), q)),
                acin_threshold(),
                "Acín et al. 2007",
            ),
            RateCurve(
                "with noisy preprocessing",
                untrusted,
                _along(axis, lambda q: noisy_preprocessing_rate(werner_chsh(q), q).rate),
                noisy_preprocessing_threshold(),
                "Ho et al. 2020",
            ),
            RateCurve(
                "with a random key basis, lower bound",
                untrusted,
                _along(axis, lambda q: random_basis_rate(werner_chsh(q), q)),
                RANDOM_BASIS_THRESHOLD,
                "Schwonnek et al. 2021",
            ),
        ),
    )


def rates_by_efficiency(
    efficiency: Sequence[float] | Floats, *, visibility: float = 1.0
) -> EfficiencyRates:
    """Return device-independent key rates at each detection efficiency.

    No-clicks are kept and recorded as outcome 0 by both parties, in every round; nothing is
    post-selected.  The pair is maximally entangled up to white noise, the settings are CHSH's:
    other states and settings do with less efficient detectors.

    Args:
        efficiency: Increasing probabilities.
        visibility: White-noise visibility, in (1/sqrt(2), 1].

    Raises:
        ValueError: An argument leaves its range or ``efficiency`` does not increase.

    Examples:
        >>> found = rates_by_efficiency([0.9, 0.95, 1.0])
        >>> [round(rate, 3) for rate in found.curves[0].rates.tolist()]
        [0.0, 0.251, 1.0]
    """
    axis = increasing("efficiency", efficiency, top=1.0)
    bell_threshold = bell_efficiency_threshold(visibility=visibility)
    seen = [binned_statistics(eta, visibility=visibility) for eta in axis.tolist()]
    untrusted = SecurityModel.DEVICE_INDEPENDENT
    known = key_efficiency_threshold() if visibility == 1 else None
    return EfficiencyRates(
        axis,
        frozen(s for s, _ in seen),
        visibility,
        (
            RateCurve(
                "CHSH (Acín et al. 2007)",
                untrusted,
                frozen(acin_rate(s, q) for s, q in seen),
                known,
                "Pironio et al. 2009 (printed: 92.4 %)",
            ),
            RateCurve(
                "with noisy preprocessing (Ho et al. 2020)",
                untrusted,
                frozen(noisy_preprocessing_rate(s, q).rate for s, q in seen),
            ),
        ),
        bell_threshold,
    )


def _along(axis: Floats, rate: Callable[[float], float]) -> Floats:
    return frozen(map(rate, axis.tolist()))


def increasing(name: str, values: Sequence[float] | Floats, *, top: float) -> Floats:
    """Return ``values`` as a read-only axis, checked to increase within [0, top].

    Raises:
        ValueError: They do not, or there are none.
    """
    axis = frozen(values)
    if len(axis) == 0 or not (np.all(np.diff(axis) > 0) and axis[0] >= 0 and axis[-1] <= top):
        raise ValueError(
            f"`{name}` must increase and lie in [0, {top:g}], at least one number, but is "
            f"{axis.tolist()}."
        )
    return axis


def frozen(values: Iterable[float]) -> Floats:
    """Return ``values`` as a read-only array; float64, shape (n,)."""
    array = np.fromiter(values, np.float64)
    array.flags.writeable = False
    return array
