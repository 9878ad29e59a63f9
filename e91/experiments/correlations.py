"""What the pairs of an experiment show: correlations from the exact table of Qiskit circuits."""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from e91.experiments.vocabulary import WIGNER
from e91.model.numbers import Floats, check_fractions, check_within
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
    settings: Settings, *, bit_error: float, phase_error: float, accidental_fraction: float
) -> Correlations:
    """Return what coincidences show: pairs from the circuits, accidentals as random bits.

    The pairs have white noise, as much as the axis with fewer errors shows, and phase flips of
    Bob's photon about that axis, which make the other axis' errors.  If that is the key's, all
    analysers are turned by 90 degrees, so that the flips spare the axis that they should.

    Args:
        settings: Angles of both analysers, the (first) key pair along Z.
        bit_error: Of pairs measured along the key's axis, 0 to 1/2.
        phase_error: Of pairs measured across it, 0 to 1/2; equal errors are white noise.
        accidental_fraction: Fraction of the coincidences whose two photons are of different
            pairs, or no photons at all: their outcomes are independent and uniform.

    Raises:
        ValueError: A number leaves its range.

    Examples:
        >>> found = correlations(BBM92, bit_error=0.05, phase_error=0.05, accidental_fraction=0.0)
        >>> round(found.qber, 6), round(found.chsh, 6), round(found.fidelity, 6)
        (0.05, 2.545584, 0.925)
    """
    check_fractions(accidental_fraction=accidental_fraction)
    check_within(0, 0.5, bit_error=bit_error, phase_error=phase_error)
    turn = math.pi / 2 if bit_error > phase_error else 0.0
    fewer, more = sorted((bit_error, phase_error))
    visibility = 1 - 2 * fewer
    dephasing = (1 - (1 - 2 * more) / visibility) / 2 if visibility else 0.0
    tables = [_pair_table(_turned(s, turn), visibility, dephasing) for s in (settings, BBM92)]
    table, axes = ((1 - accidental_fraction) * t + accidental_fraction / 4 for t in tables)
    products = _products(table)
    terms = tuple(float(sign * products[pair]) for pair, sign in settings.chsh_pairs)
    bit, phase = (float(_products(axes)[pair]) for pair in BBM92.key_pairs)
    return Correlations(
        qber=_qber(products, settings),
        chsh=math.fsum(terms) if terms else None,
        chsh_terms=terms,
        wigner=_wigner(table) if settings.name == WIGNER.name else None,
        # Phase flips turn <YY> of a phi+ pair as they turn the correlation across their axis.
        fidelity=(1 + bit + phase + min(bit, phase)) / 4,
    )


def _turned(settings: Settings, angle: float) -> Settings:
    return replace(
        settings,
        alice_angles=tuple(alice + angle for alice in settings.alice_angles),
        bob_angles=tuple(bob + angle for bob in settings.bob_angles),
    )


@lru_cache(maxsize=512)
def _pair_table(settings: Settings, visibility: float, dephasing: float) -> Floats:
    from e91.devices.exact import exact_device

    return exact_device(settings=settings, visibility=visibility, dephasing=dephasing, seed=0).table


def _products(table: Floats) -> Floats:
    """Return the mean product of the outcomes of every setting pair."""
    means: Floats = np.einsum("xyab,ab->xy", table, _SAME)
    return means


def _qber(products: Floats, settings: Settings) -> float:
    weights = [settings.pair_probability(pair) for pair in settings.key_pairs]
    errors = [(1 - float(products[pair])) / 2 for pair in settings.key_pairs]
    return math.fsum(w * e for w, e in zip(weights, errors, strict=True)) / math.fsum(weights)


def _wigner(table: Floats) -> float:
    """Return W = p(-30, 0) + p(0, 30) - p(-30, 30), p of equal outcomes "+" of a singlet.

    The singlet's "+, +" is "+, -" of the phi+ pair that is simulated.
    """
    return float(table[0, 0, 0, 1] + table[1, 1, 0, 1] - table[0, 1, 0, 1])
