"""What the pairs of an experiment show: correlations from the exact table of Qiskit circuits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from e91.experiments.vocabulary import WIGNER
from e91.model.settings import BBM92, Settings

_SAME = np.array([[1.0, -1.0], [-1.0, 1.0]])


@dataclass(frozen=True)
class Correlations:
    """What the coincidences of an experiment show, as expectations.

    Attributes:
        qber: Error rate of the key pairs.
        chsh: S at the settings' four pairs, or None if they have none.
        chsh_terms: The four signed correlators of which S is the sum, or none.
        wigner: W of Wigner's inequality, W >= 0 for local models, or None.
        fidelity: With the Bell pair that was aimed at.
    """

    qber: float
    chsh: float | None
    chsh_terms: tuple[float, ...]
    wigner: float | None
    fidelity: float


def correlations(
    settings: Settings, *, visibility: float, dephasing: float, accidental_fraction: float
) -> Correlations:
    """Return what coincidences show: pairs from the circuits, accidentals as random bits.

    Args:
        settings: Angles of both analysers.
        visibility: Of the pairs that are no accidentals, 0 to 1.
        dephasing: Probability of a phase flip of Bob's photon, 0 to 1.
        accidental_fraction: Fraction of the coincidences whose two photons are of different
            pairs, or no photons at all: their outcomes are independent and uniform.

    Raises:
        ValueError: A number leaves its range.

    Examples:
        >>> found = correlations(BBM92, visibility=0.9, dephasing=0.0, accidental_fraction=0.0)
        >>> round(found.qber, 6), round(found.chsh, 6), round(found.fidelity, 6)
        (0.05, 2.545584, 0.925)
    """
    if not 0 <= accidental_fraction <= 1:
        raise ValueError(f"`accidental_fraction` must lie in [0, 1], but is {accidental_fraction}.")
    tables = [_pair_table(choice, visibility, dephasing) for choice in (settings, BBM92)]
    table, axes = ((1 - accidental_fraction) * exact + accidental_fraction / 4 for exact in tables)
    products = _products(table)
    terms = tuple(float(sign * products[pair]) for pair, sign in settings.chsh_pairs)
    along_z, along_x = (float(_products(axes)[pair]) for pair in BBM92.key_pairs)
    return Correlations(
        qber=_qber(products, settings),
        chsh=math.fsum(terms) if terms else None,
        chsh_terms=terms,
        wigner=_wigner(table) if settings.name == WIGNER.name else None,
        # <YY> = -<XX> for a phi+ pair with white noise, accidentals and phase flips only.
        fidelity=(1 + along_z + 2 * along_x) / 4,
    )


@lru_cache(maxsize=512)
def _pair_table(settings: Settings, visibility: float, dephasing: float) -> NDArray[np.float64]:
    from e91.devices.exact import exact_device

    return exact_device(settings=settings, visibility=visibility, dephasing=dephasing, seed=0).table


def _products(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean product of the outcomes of every setting pair."""
    means: NDArray[np.float64] = np.einsum("xyab,ab->xy", table, _SAME)
    return means


def _qber(products: NDArray[np.float64], settings: Settings) -> float:
    weights = [settings.pair_probability(pair) for pair in settings.key_pairs]
    errors = [(1 - float(products[pair])) / 2 for pair in settings.key_pairs]
    return math.fsum(w * e for w, e in zip(weights, errors, strict=True)) / math.fsum(weights)


def _wigner(table: NDArray[np.float64]) -> float:
    """Return W = p(-30, 0) + p(0, 30) - p(-30, 30), p of equal outcomes "+" of a singlet.

    The singlet's "+, +" is "+, -" of the phi+ pair that is simulated.
    """
    return float(table[0, 0, 0, 1] + table[1, 1, 0, 1] - table[0, 1, 0, 1])
