"""A pulsed source that emits several pairs at once, and Eve who keeps what nobody detects.

One pulse of a down-conversion source (one Schmidt mode, no polarisation preferred) holds n pairs
with probability ``P(n) = (n + 1) L^n / (1 + L)^(n + 2)``, mu = 2 L pairs on average, in the state

    |n pairs>  ~  sum over m of |m, n - m> |m, n - m>      (photons along and across any axis).

Through lines of low efficiency a coincidence is one photon of each side, picked at random, so n
pairs weigh n^2.  Both picked photons lie along the axis with probability ``E[(m / n)^2]``, m
uniform from 0 to n; that makes a Werner state of visibility ``V_n = (n + 2) / (3 n)``, and over
all n ``V = (1 + L) / (1 + 3 L) = (2 + mu) / (2 + 3 mu)``.

Photon-number splitting: Eve counts the pairs without touching the polarisation, replaces the
lossy lines by perfect ones, delivers one photon to either party and stores the rest.  She then
has everything but the delivered pair, that is the purification of each Werner state.  (Not
counting, and knowing the phase of the pump, she would purify their mixture.)  Of an
entangled source this is no free lunch: the photons that she keeps are the ones with which the
delivered pair would be pure, and V_n, hence the error rate (n - 1) / (3 n) >= 1/6 of every tagged
pulse, is the same along every axis.  So the errors that Alice and Bob see bound what she knows
(Koashi and Preskill, Phys. Rev. Lett. 90, 057902 (2003): a source that does not depend on the
basis needs no tagging), other than with a source of signal states, where a tagged pulse tells
all and shows nothing.  The tests build the states of n photons and repeat the derivation.
"""

from __future__ import annotations

import math

import numpy as np
from qiskit import QuantumCircuit

from e91_circuits.channels import kraus_instruction
from e91_circuits.eavesdropper_memory import emitted_by_eve, eve_qubits

COUNTED = 7
"""Eve's counter tells 1 to 7 pairs, and more than that."""

_BELL = np.array(  # amplitudes of a, b; phi+ first
    [[[1, 0], [0, 1]], [[1, 0], [0, -1]], [[0, 1], [1, 0]], [[0, 1], [-1, 0]]]
) / math.sqrt(2)


def pair_visibility(pairs: int) -> float:
    """Return V_n = (n + 2) / (3 n), the visibility of a coincidence from a pulse with n pairs.

    Args:
        pairs: n, whole, from 1.

    Returns:
        V_n, in (1/3, 1].

    Raises:
        ValueError: ``pairs`` is below 1.

    Examples:
        >>> pair_visibility(1), round(pair_visibility(2), 4)
        (1.0, 0.6667)
    """
    if pairs < 1:
        raise ValueError(f"`pairs` must be at least 1, but is {pairs}.")
    return (pairs + 2) / (3 * pairs)


def thermal_visibility(mean_pairs: float) -> float:
    """Return V = (2 + mu) / (2 + 3 mu), the visibility of all coincidences at low efficiency.

    Args:
        mean_pairs: mu, mean pairs per pulse, finite and not negative.

    Returns:
        V, in (2/3, 1].

    Raises:
        ValueError: ``mean_pairs`` leaves its range.

    Source:
        Single-mode parametric down-conversion: Ma, Fung and Lo, Phys. Rev. A 76, 012307 (2007); the
        limit of low efficiency is derived in this module.

    Examples:
        >>> round(thermal_visibility(0.1), 4)
        0.913
    """
    if not (math.isfinite(mean_pairs) and mean_pairs >= 0):
        raise ValueError(f"`mean_pairs` must be finite and at least 0, but is {mean_pairs}.")
    return (2 + mean_pairs) / (2 + 3 * mean_pairs)


def coincidence_shares(mean_pairs: float) -> list[tuple[float, float]]:
    """Return the share and the visibility of coincidences by the number of pairs.

    Args:
        mean_pairs: mu, as for `thermal_visibility`.

    Returns:
        Eight pairs (share, visibility): for n = 1 to 7, and for all n above together.  Shares sum
        to 1, and shares times visibilities to `thermal_visibility`.

    Raises:
        ValueError: ``mean_pairs`` leaves its range.

    Examples:
        >>> [(round(w, 4), round(v, 4)) for w, v in coincidence_shares(0.1)[:2]]
        [(0.7512, 1.0), (0.2146, 0.6667)]
    """
    whole, mode = thermal_visibility(mean_pairs), mean_pairs / 2
    # P(n) n^2 over its sum 2 L (1 + 3 L).
    shares = [
        (n + 1) * n**2 / 2 * (mode / (1 + mode)) ** (n - 1) / ((1 + mode) ** 3 * (1 + 3 * mode))
        for n in range(1, COUNTED + 1)
    ]
    found = [(share, pair_visibility(n)) for n, share in enumerate(shares, 1)]
    rest = max(0.0, 1 - math.fsum(shares))
    seen = math.fsum(share * visibility for share, visibility in found)
    # Far above, V_n is close to 1/3; where rounding leaves next to nothing, take that.
    above = (whole - seen) / rest if rest > 1e-9 else 1 / 3
    return [*found, (rest, min(1.0, max(1 / 3, above)))]


def split_photons(source: QuantumCircuit, mean_pairs: float) -> QuantumCircuit:
    """Let Eve count the pairs of each pulse and keep all photons but one of each side.

    Args:
        source: What was ordered; only its name survives.
        mean_pairs: mu, mean pairs per pulse, finite and not negative.

    Returns:
        The new source, one coincidence: the delivered photons, and in the quantum register
        `eve_memory` the number of pairs (upper three qubits; 7 stands for eight or more) and the
        purification of their Werner state.  For "eight or more" Eve keeps the purification of the
        mixture.

    Raises:
        ValueError: ``mean_pairs`` leaves its range.

    Examples:
        >>> from e91_circuits.pairs import bell_pair
        >>> split_photons(bell_pair(), 0.1).name
        'phi+ pair, photon-number splitting at 0.1 pairs a pulse'
    """
    state = np.zeros((2, 2, 4 * (COUNTED + 1)))
    for sector, (share, visibility) in enumerate(coincidence_shares(mean_pairs)):
        weights = np.array([1 + 3 * visibility, *[1 - visibility] * 3]) / 4
        for index, weight in enumerate(weights):
            state[:, :, 4 * sector + index] = math.sqrt(share * max(0.0, weight)) * _BELL[index]
    label = f"photon-number splitting at {mean_pairs:g} pairs a pulse"
    result = emitted_by_eve(source, state / np.linalg.norm(state), description=label)
    # Counting is a measurement: it leaves no superposition of different numbers of pairs.
    counted = kraus_instruction([np.diag([1, 0]), np.diag([0, 1])], qubits=1, description="count")
    for qubit in eve_qubits(result)[2:]:
        result.append(counted, [qubit])
    return result
