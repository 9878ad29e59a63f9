"""Eavesdroppers who keep what they learned: each a transformation of a source circuit.

Every function adds the quantum register `eve_memory` (see `e91_circuits.eavesdropper_memory`).
Effect on the phi+ pair; E is the mean product along the angles a and b, and h binary entropy:

==============================  ===========================================  =====================
attack                          E(a, b)                                      S / (2 sqrt 2)
==============================  ===========================================  =====================
cloner, disturbance D           (1 - 2D) cos(a - b)                          1 - 2D
probe along Z, overlap c        cos a cos b + c sin a sin b                  (1 + c) / 2
separable, fraction f           (1 - f) cos(a - b) + f <product states>      1 - f / 2
collective, memory overlap C    cos a cos b + C sin a sin b                  (1 + C) / 2
==============================  ===========================================  =====================

The collective attack earns S = 2 sqrt(1 + C^2) because she also turns Alice's analyser.  The
table follows from the Kraus operators below; the tests compare it with density matrices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from qiskit import QuantumCircuit

from e91_circuits.eavesdropper import interception_operators
from e91_circuits.eavesdropper_memory import emitted_by_eve, eve_qubits, with_eve, with_notes
from e91_circuits.pairs import party_qubit

_IDENTITY = np.eye(2)
_Z = np.diag([1.0, -1.0])
_X = np.array([[0.0, 1.0], [1.0, 0.0]])


def intercept_and_note(
    source: QuantumCircuit, fraction: float, *, angles: Sequence[float]
) -> QuantumCircuit:
    """Let Eve intercept a fraction of Bob's photons and write down what she found.

    Args:
        source: Circuit with quantum registers `alice_photon` and `bob_photon`, and none
            of Eve.
        fraction: Probability that Eve intercepts a photon, in [0, 1].
        angles: Her angles, radians on the Bloch sphere; each equally likely.

    Returns:
        The new source.  Her notes are in the classical register `eve`: 0 for a photon that she
        let pass, 1 + 2i + v for the bit v along ``angles[i]``.  Averaged over them it equals
        `intercept_resend_along`.

    Raises:
        ValueError: As for `intercept_resend_along`, or the source has a register `eve` already.

    Examples:
        >>> from e91_circuits.pairs import bell_pair
        >>> [r.size for r in intercept_and_note(bell_pair(), 0.5, angles=[0.0, 1.57]).cregs]
        [3]
    """
    operators = interception_operators(fraction, angles)
    directions = " or ".join(f"{angle:g}" for angle in angles)
    label = f"intercept-resend {fraction:g} ({directions} rad)"
    return with_notes(with_eve(source, operators, parties=["bob"], description=label))


def intercept_along_y(source: QuantumCircuit, fraction: float) -> QuantumCircuit:
    """Let Eve intercept a fraction of Bob's photons along Y, out of the plane of all settings.

    The worst that she can do to herself: the photons that she sends on have no correlation left
    along any setting, S = 2 sqrt 2 (1 - p) and Q = p / 2, and what she found tells nothing.

    Args:
        source: Circuit with quantum registers `alice_photon` and `bob_photon`, and none
            of Eve.
        fraction: Probability that Eve intercepts a photon, in [0, 1].

    Returns:
        The new source, with her notes in the classical register `eve`: 0 for a photon that she let
        pass, 1 and 2 for what she found.

    Raises:
        ValueError: ``fraction`` is not in [0, 1], or the source has a register `eve` already.

    Examples:
        >>> from e91_circuits.pairs import bell_pair
        >>> intercept_along_y(bell_pair(), 0.5).name
        'phi+ pair, intercept-resend 0.5 (y)'
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"`fraction` must lie in [0, 1], but is {fraction}.")
    states = np.array([[1, 1j], [1, -1j]]) / math.sqrt(2)
    operators = [math.sqrt(1 - fraction) * _IDENTITY]
    operators += [math.sqrt(fraction) * np.outer(state, state.conj()) for state in states]
    label = f"intercept-resend {fraction:g} (y)"
    return with_notes(with_eve(source, operators, parties=["bob"], description=label))


def clone(source: QuantumCircuit, disturbance: float) -> QuantumCircuit:
    """Let Eve clone Bob's photons with the phase-covariant cloner of the X-Z plane.

    The best individual attack on two mutually unbiased bases, and with a quantum memory the best
    collective one that is equally visible in both: Z and X errors are independent, each with
    probability D.  Eve guesses a bit with probability ``1/2 + sqrt(D (1 - D))``, and her memory
    holds h(D) bits of it.

    Args:
        source: Circuit with quantum registers `alice_photon` and `bob_photon`, and none
            of Eve.
        disturbance: D, the error rate along every angle of the plane, in [0, 1/2].

    Returns:
        A new circuit: the source, then the cloner, whose two qubits are Eve's register.

    Raises:
        ValueError: ``disturbance`` leaves its range, or the source has a register `eve` already.

    Source:
        Fuchs, Gisin, Griffiths, Niu and Peres, Phys. Rev. A 56, 1163 (1997); as a cloner, Bruss,
        Cinchetti, D'Ariano and Macchiavello, Phys. Rev. A 62, 012302 (2000).

    Examples:
        >>> from e91_circuits.pairs import bell_pair
        >>> clone(bell_pair(), 0.05).name
        'phi+ pair, phase-covariant cloner 0.05'
    """
    if not 0 <= disturbance <= 0.5:
        raise ValueError(f"`disturbance` must lie in [0, 1/2], but is {disturbance}.")
    kept, cross = 1 - disturbance, math.sqrt(disturbance * (1 - disturbance))
    operators = [kept * _IDENTITY, cross * _Z, cross * _X, disturbance * _Z @ _X]
    label = f"phase-covariant cloner {disturbance:g}"
    return with_eve(source, operators, parties=["bob"], description=label)


def entangle_probe(source: QuantumCircuit, overlap: float, *, angle: float = 0.0) -> QuantumCircuit:
    """Let Eve entangle a probe with Bob's photons along one direction, and keep it.

    ``|0>|probe> -> |0>|e0>`` and ``|1>|probe> -> |1>|e1>`` with ``<e0|e1> = c``, written in the
    eigenbasis along ``angle``.  A key along that direction gets no errors at all; only S, or the
    other basis, shows her.

    Args:
        source: Circuit with quantum registers `alice_photon` and `bob_photon`, and none
            of Eve.
        overlap: c, in [0, 1]; at 1 she learns nothing, at 0 all.
        angle: Her direction, radians on the Bloch sphere.

    Returns:
        A new circuit: the source, then the probe, which is Eve's register of one qubit.

    Raises:
        ValueError: ``overlap`` is not in [0, 1], ``angle`` is not finite, or the source has a
            register `eve` already.

    Examples:
        >>> from e91_circuits.pairs import bell_pair
        >>> entangle_probe(bell_pair(), 0.8).name
        'phi+ pair, probe 0.8 (0 rad)'
    """
    if not 0 <= overlap <= 1:
        raise ValueError(f"`overlap` must lie in [0, 1], but is {overlap}.")
    if not math.isfinite(angle):
        raise ValueError(f"`angle` must be a finite number of radians, but is {angle}.")
    along = math.cos(angle) * _Z + math.sin(angle) * _X
    operators = [math.sqrt((1 + overlap) / 2) * _IDENTITY, math.sqrt((1 - overlap) / 2) * along]
    label = f"probe {overlap:g} ({angle:g} rad)"
    return with_eve(source, operators, parties=["bob"], description=label)


def emit_separable(
    source: QuantumCircuit, fraction: float, *, angles: Sequence[float]
) -> QuantumCircuit:
    """Let Eve replace a fraction of the pairs by two photons in equal, known states.

    Args:
        source: Circuit with quantum registers `alice_photon` and `bob_photon`, and none
            of Eve.
        fraction: Probability that a pair is replaced, in [0, 1].
        angles: Along which directions her photons point; both photons of a pair are the same
            eigenstate along one of them, every one equally likely.  At most 7 directions.

    Returns:
        The new source.  Her notes are in the classical register `eve`: n div 4 is 0 for a pair
        that she let pass, and 1 + 2i + v for two photons with the bit v along ``angles[i]``; n
        mod 4 is what a measurement of the discarded pair found, which tells nothing.

    Raises:
        ValueError: ``fraction`` is not in [0, 1], ``angles`` is empty, too long or not finite,
            or the source has a register `eve` already.

    Examples:
        >>> from e91_circuits.pairs import bell_pair
        >>> emit_separable(bell_pair(), 0.5, angles=[0.0]).name
        'phi+ pair, separable 0.5 (0 rad)'
    """
    if len(angles) > 7:
        raise ValueError(f"`angles` must hold at most 7 directions, but holds {len(angles)}.")
    kept, *sent = interception_operators(fraction, angles)
    none = np.zeros((4, 4))
    operators = [np.kron(kept, _IDENTITY), none, none, none]
    for projector in sent:
        # The projector carries sqrt(p / m); each of the two states of an angle gets p / 2m.
        photon = np.linalg.eigh(projector)[1][:, -1]
        pair = np.trace(projector) / math.sqrt(2) * np.kron(photon, photon)
        operators += [np.outer(pair, discarded) for discarded in np.eye(4)]
    directions = " or ".join(f"{angle:g}" for angle in angles)
    label = f"separable {fraction:g} ({directions} rad)"
    return with_notes(with_eve(source, operators, parties=["alice", "bob"], description=label))


def emit_collective(source: QuantumCircuit, chsh: float, *, flips: float = 0.0) -> QuantumCircuit:
    """Let Eve send the state of the optimal collective attack on a device-independent key.

    ``sqrt((1 + C) / 2) |phi+>|0> + sqrt((1 - C) / 2) |phi->|1>`` with ``C^2 = (S / 2)^2 - 1``:
    its memory holds ``h((1 + C) / 2)`` bits of the outcome along Z, as much as the bound of Acin
    et al. allows at this S.  S itself is reached with Alice's analysers at `collective_angle`.

    Args:
        source: What was ordered; only its name survives.
        chsh: S, in [2, 2 sqrt 2].
        flips: Probability that the second qubit of Eve's register, a coin, is 1.  With it she
            makes errors in a key setting that no Bell test sees (`flip_by_coin`), in [0, 1/2];
            without any there is no such qubit.

    Returns:
        A new circuit with the two photons and Eve's register, unmeasured.

    Raises:
        ValueError: ``chsh`` or ``flips`` leaves its range.

    Source:
        Acin, Brunner, Gisin, Massar, Pironio and Scarani, Phys. Rev. Lett. 98, 230501 (2007),
        below eq. 7.

    Examples:
        >>> from e91_circuits.pairs import bell_pair
        >>> emit_collective(bell_pair(), 2.5).name
        'phi+ pair, collective attack at S = 2.5'
    """
    overlap = collective_overlap(chsh)
    state = np.zeros((2, 2, 2))
    for index, sign in enumerate((1, -1)):
        weight = math.sqrt((1 + sign * overlap) / 4)
        state[0, 0, index], state[1, 1, index] = weight, sign * weight
    label = f"collective attack at S = {chsh:g}"
    if flips:
        if not 0 <= flips <= 0.5:
            raise ValueError(f"`flips` must lie in [0, 1/2], but is {flips}.")
        state = np.concatenate([math.sqrt(1 - flips) * state, math.sqrt(flips) * state], axis=2)
        label += f" with flips {flips:g}"
    return emitted_by_eve(source, state, description=label)


def flip_by_coin(source: QuantumCircuit) -> QuantumCircuit:
    """Return ``source`` with Alice's outcome flipped, at any angle of the plane, by Eve's coin.

    A half turn about Y, controlled by the last qubit of `eve`.  Used by an analyser that Eve
    built, at the setting that makes the key: the key gets errors, S does not change, and Eve,
    who knows the coin, knows as much of Alice's bit as before.

    Args:
        source: From `emit_collective`, with flips.

    Returns:
        A copy; ``source`` is not changed.

    Raises:
        ValueError: The source has no register `eve`.

    Examples:
        >>> from e91_circuits.pairs import bell_pair
        >>> flip_by_coin(emit_collective(bell_pair(), 2.5, flips=0.1)).count_ops()["cry"]
        1
    """
    result: QuantumCircuit = source.copy()
    result.cry(math.pi, eve_qubits(source)[-1], party_qubit(source, "alice"))
    return result


def collective_overlap(chsh: float) -> float:
    """Return C = sqrt((S / 2)^2 - 1), the overlap of Eve's two memory states.

    Args:
        chsh: S of the attack, in [2, 2 sqrt 2].

    Returns:
        C, a number in [0, 1]; 0 at S = 2 and 1 at 2 sqrt 2.

    Raises:
        ValueError: ``chsh`` is not in [2, 2 sqrt 2].

    Examples:
        >>> collective_overlap(2.5)
        0.75
    """
    if not 2 <= chsh <= 2 * math.sqrt(2) + 1e-12:
        raise ValueError(f"`chsh` must lie in [2, 2 sqrt 2], but is {chsh}.")
    return min(1.0, math.sqrt((chsh / 2) ** 2 - 1))


def collective_angle(angle: float, *, chsh: float) -> float:
    """Return where the attacker's analyser of Alice really stands when it is set to ``angle``.

    ``atan2(C sin t, cos t)``: Z stays Z, and the two test angles at +-45 degrees lean towards it.
    With Bob at Z and X that gives S = 2 sqrt(1 + C^2), the most that the state allows.

    Args:
        angle: Where it is set, radians on the Bloch sphere.
        chsh: S of the attack, in [2, 2 sqrt 2].

    Returns:
        Radians on the Bloch sphere.

    Raises:
        ValueError: ``chsh`` is not in [2, 2 sqrt 2].

    Examples:
        >>> round(collective_angle(math.pi / 4, chsh=2.5), 6) == round(math.atan(0.75), 6)
        True
    """
    return math.atan2(collective_overlap(chsh) * math.sin(angle), math.cos(angle))
