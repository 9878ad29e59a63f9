"""Eve between the source and Bob: transformations of a source circuit.

*Intercept and resend*: Eve measures Bob's photon along an angle of her own and sends on a new
photon in the very state that she found.  On phi+, always measuring along phi leaves
``E(a, b) = cos(a - phi) cos(b - phi)``: a separable state with S = sqrt(2) at the CHSH angles of
Ekert 1991, whatever phi is.  For a fraction p of the photons S falls linearly,
``S = 2 sqrt(2) (1 - p / 2)``, and a key along t has the error rate
``Q(t) = (p / 2) sin(t - phi)^2``, averaged over her angles.  So Eve along Z makes no error in a
key along Z, and only S shows her; with Z or X at random, and between them (Breidbart),
Q = p / 4 along Z and X, and with Z or X at random along every angle.

Derivation: projecting on the two eigenstates along phi keeps, of the vector (X, Z) of Bob's
observables, the component along phi only.  The tests repeat it with Eve's own qubit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister

from e91_circuits.channels import with_channel
from e91_circuits.pairs import party_qubit

Basis = Literal["z", "x", "random", "breidbart"]
"""Eve's choice: Z, X, one of them at random for each photon, or half-way between them."""

_ANGLES: dict[Basis, tuple[float, ...]] = {
    "z": (0.0,),
    "x": (math.pi / 2,),
    "random": (0.0, math.pi / 2),
    "breidbart": (math.pi / 4,),
}


def intercept_resend(source: QuantumCircuit, fraction: float, *, basis: Basis) -> QuantumCircuit:
    """Let Eve measure a fraction of Bob's photons and resend what she found.

    Args:
        source: Circuit with quantum registers `alice_photon` and `bob_photon`.
        fraction: Probability that Eve intercepts a photon, in [0, 1].
        basis: Along which direction she measures; "random" chooses Z or X with probability 1/2
            for each photon, "breidbart" (Bennett et al., J. Cryptology 5, 3 (1992)) is 45
            degrees on the Bloch sphere, 22.5 degrees of polarisation.

    Returns:
        The new source.  What Eve learned is not in it; see `intercept_with_record`.

    Raises:
        ValueError: ``fraction`` is not in [0, 1], or ``basis`` is none of the four names.

    Examples:
        >>> from e91_circuits.pairs import bell_pair
        >>> intercept_resend(bell_pair(), 0.5, basis="breidbart").name
        'phi+ pair, intercept-resend 0.5 (breidbart)'
    """
    if basis not in get_args(Basis):
        raise ValueError(f"`basis` must be z, x, random or breidbart, but is {basis!r}.")
    operators = interception_operators(fraction, _ANGLES[basis])
    label = f"intercept-resend {fraction:g} ({basis})"
    return with_channel(source, operators, parties=["bob"], description=label)


def intercept_resend_along(
    source: QuantumCircuit, fraction: float, *, angles: Sequence[float]
) -> QuantumCircuit:
    """Let Eve intercept along angles of her own, one of them at random for each photon.

    Args:
        source: Circuit with quantum registers `alice_photon` and `bob_photon`.
        fraction: Probability that Eve intercepts a photon, in [0, 1].
        angles: Her angles, radians on the Bloch sphere, at least one; each equally likely.

    Returns:
        A new circuit: the source, then Eve's channel on Bob's photon.

    Raises:
        ValueError: ``fraction`` is not in [0, 1], or ``angles`` is empty or not finite.

    Examples:
        >>> from e91_circuits.pairs import bell_pair
        >>> intercept_resend_along(bell_pair(), 1.0, angles=[0.3]).name
        'phi+ pair, intercept-resend 1 (0.3 rad)'
    """
    operators = interception_operators(fraction, angles)
    directions = " or ".join(f"{angle:g}" for angle in angles)
    label = f"intercept-resend {fraction:g} ({directions} rad)"
    return with_channel(source, operators, parties=["bob"], description=label)


def interception_operators(fraction: float, angles: Sequence[float]) -> list[NDArray[np.float64]]:
    """Return Eve's Kraus operators: sqrt(1 - p) 1, and sqrt(p / m) |v><v| for every state v.

    Args:
        fraction: p, the probability that she acts, in [0, 1].
        angles: Her m angles, radians; two states each, bit 0 before bit 1.

    Raises:
        ValueError: ``fraction`` is not in [0, 1], or ``angles`` is empty or not finite.

    Examples:
        >>> len(interception_operators(0.5, [0.0, 1.0]))
        5
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"`fraction` must lie in [0, 1], but is {fraction}.")
    if not len(angles) or not all(math.isfinite(angle) for angle in angles):
        raise ValueError(f"`angles` must be finite numbers, at least one, but is {angles}.")
    operators = [math.sqrt(1 - fraction) * np.eye(2)]
    for angle in angles:
        up = np.array([math.cos(angle / 2), math.sin(angle / 2)])
        down = np.array([-math.sin(angle / 2), math.cos(angle / 2)])
        operators += [
            math.sqrt(fraction / len(angles)) * np.outer(state, state) for state in (up, down)
        ]
    return operators


def intercept_with_record(source: QuantumCircuit, angle: float) -> QuantumCircuit:
    """Let Eve intercept every photon along one angle, with a qubit and a notebook of her own.

    The literal act.  She turns the photon so that her direction becomes Z, copies the outcome
    to her qubit `eve`, and turns it *back*: Bob gets the state that she found, in the basis in
    which she found it.  Forgetting to turn back resends a Z state for every outcome, and makes
    errors at the rate ``(1 - cos(t - angle) cos(t)) / 2`` in a key along t, so that even a key
    along Eve's own direction has some.

    Args:
        source: Circuit with quantum registers `alice_photon` and `bob_photon`, and none
            of Eve.
        angle: Eve's direction, radians on the Bloch sphere.

    Returns:
        The new source.  Eve's outcome, with the bits of `e91_circuits.pairs`, lands in the
        one-bit classical register `eve`.  Averaged over it the source equals
        ``intercept_resend_along(source, 1, angles=[angle])``.

    Raises:
        ValueError: ``angle`` is not finite, or the source has a register `eve` already.

    Examples:
        >>> from e91_circuits.pairs import bell_pair
        >>> [register.name for register in intercept_with_record(bell_pair(), 0.0).qregs]
        ['alice_photon', 'bob_photon', 'eve_memory']
    """
    if not math.isfinite(angle):
        raise ValueError(f"`angle` must be a finite number of radians, but is {angle}.")
    if any(register.name in ("eve", "eve_memory") for register in [*source.qregs, *source.cregs]):
        raise ValueError("A source must have no register `eve` yet, but has one.")
    result: QuantumCircuit = source.copy(f"{source.name}, intercept-resend 1 ({angle:g} rad)")
    photon, eve, notebook = (
        party_qubit(source, "bob"),
        QuantumRegister(1, "eve_memory"),
        ClassicalRegister(1, "eve"),
    )
    result.add_register(eve, notebook)
    result.ry(-angle, photon)
    result.cx(photon, eve[0])
    result.ry(angle, photon)
    result.measure(eve, notebook)
    return result
