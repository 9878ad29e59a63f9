"""The experiment that the Aer devices run: one source and one analyser.

`e91.devices.aer` and `e91.devices.exact` both build their circuits here, so that they cannot
come to disagree about the physics.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import TypeAlias

from e91_circuits import (
    bell_pair,
    measured_pair,
    party_qubit,
    with_amplitude_damping,
    with_dephasing,
    with_misalignment,
    with_readout_error,
    with_visibility,
)
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Parameter
from qiskit_aer import AerSimulator

from e91.model.bell_states import BellState, bobs_angle
from e91.model.settings import Settings

Attack: TypeAlias = Callable[[QuantumCircuit], QuantumCircuit]
"""An eavesdropper: from the source that Alice and Bob ordered to the source that they get."""

Analyser: TypeAlias = Callable[[QuantumCircuit, float, float], QuantumCircuit]
"""From a source and the two angles (radians) to a circuit that writes `alice` and `bob`."""

CircuitTable: TypeAlias = tuple[tuple[QuantumCircuit, ...], ...]
"""One measured circuit for each setting pair: ``table[x][y]``."""


@dataclass(frozen=True)
class Noise:
    """What spoils a simulated apparatus, in the order in which the photons meet it.

    Attributes:
        visibility: V of the emitted pair, in [0, 1]; 1 - V is white noise.
        misalignment: Turn of Bob's photon, radians on the Bloch sphere.
        dephasing: Probability of a phase flip on Bob's arm, in [0, 1].
        amplitude_damping: Decay probability on Bob's arm, in [0, 1].
        readout_error: Probability that an outcome bit is misread, at either party, in [0, 1].
    """

    visibility: float = 1.0
    misalignment: float = 0.0
    dephasing: float = 0.0
    amplitude_damping: float = 0.0
    readout_error: float = 0.0

    def apparatus(
        self,
        attack: Attack | None,
        state: BellState = "phi+",
        *,
        written_for: BellState = "phi+",
    ) -> tuple[QuantumCircuit, Analyser]:
        """Return the source, attacked and sent through this noise, and the parties' analyser.

        Bob's analyser stands at the angles of settings that are ``written_for`` the emitted
        ``state``, else where that has the correlations that they expect (`bobs_angle`).
        Eve knows the state, and turns her apparatus with it.

        The photons meet, in this order: the source, Eve (between the source and Bob, with the
        photons still perfect), white noise on the pair, and on Bob's arm misalignment, dephasing
        and amplitude damping.  The analyser misreads every outcome bit of both parties alike.

        Raises:
            ValueError: ``state`` is no Bell state, or a number leaves its range; for
                `readout_error` the analyser raises it.

        Examples:
            >>> source, analyser = Noise(0.97, dephasing=0.01, readout_error=0.01).apparatus(None)
            >>> source.name
            'phi+ pair, visibility 0.97, dephasing 0.01 (bob)'
            >>> analyser(source, 0.0, 0.0).count_ops()["measure"]
            2
        """
        source = bell_pair(state)
        if attack is not None:
            attacked = _in_frame_of(state, attack(bell_pair()))
            if attacked.name == source.name:  # a report must not call an attacked source clean
                attacked = attacked.copy(f"{source.name}, attacked")
            source = attacked
        source = with_visibility(source, self.visibility)
        source = with_misalignment(source, self.misalignment, party="bob")
        source = with_dephasing(source, self.dephasing, party="bob")
        source = with_amplitude_damping(source, self.amplitude_damping, party="bob")
        return source, partial(self._misread_pair, state, written_for)

    def _misread_pair(
        self,
        state: BellState,
        written_for: BellState,
        source: QuantumCircuit,
        alice_angle: float,
        bob_angle: float,
    ) -> QuantumCircuit:
        """Measure a pair, and misread either outcome."""
        error = self.readout_error
        if state != written_for:
            bob_angle = bobs_angle(bobs_angle(bob_angle, written_for), state)
        circuit = measured_pair(source, alice_angle, bob_angle)
        for party in ("alice", "bob"):
            circuit = with_readout_error(circuit, party, one_given_zero=error, zero_given_one=error)
        return circuit


def _in_frame_of(state: BellState, attacked: QuantumCircuit) -> QuantumCircuit:
    """Return an attack on phi+ pairs as the same attack on ``state``, Eve's frame turned with it.

    For every channel of Eve and the turn U of Bob's qubit that makes ``state`` of phi+, first
    the channel and then U is first U and then a channel as good: U, the channel, and U back.
    """
    if state == "phi+":
        return attacked
    turned = attacked.copy(attacked.name.replace("phi+ pair", f"{state} pair"))
    photon = party_qubit(turned, "bob")
    if state.startswith("psi"):
        turned.x(photon)
    if state.endswith("-"):
        turned.z(photon)
    return turned


def pair_circuits(
    source: QuantumCircuit, *, settings: Settings, analyser: Analyser = measured_pair
) -> CircuitTable:
    """Return the measured circuit of every setting pair (x, y), as ``table[x][y]``.

    Args:
        source: Circuit with quantum registers `alice` and `bob`, unmeasured.  Its gates may be
            any; those that Aer does not know are translated.
        settings: The angles of both parties.
        analyser: How a pair is measured.

    Examples:
        >>> from e91.model.settings import EKERT
        >>> table = pair_circuits(bell_pair(), settings=EKERT)
        >>> len(table), len(table[0])
        (3, 3)
    """
    return tuple(
        tuple(_in_aers_gates(analyser(source, a, b)) for b in settings.bob_angles)
        for a in settings.alice_angles
    )


def bound_circuits(
    circuit: QuantumCircuit, parameters: tuple[Parameter, Parameter], *, settings: Settings
) -> CircuitTable:
    """Return the circuits of every setting pair, as ``table[x][y]``, of one with parameters.

    Args:
        circuit: A measured pair whose angles are parameters, e.g. as a machine runs it.
        parameters: Alice's angle and Bob's.
        settings: The angles of both parties.
    """
    alice, bob = parameters
    return tuple(
        tuple(circuit.assign_parameters({alice: a, bob: b}) for b in settings.bob_angles)
        for a in settings.alice_angles
    )


def _in_aers_gates(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the circuit in instructions that Aer knows; most are already."""
    if _aers_instructions().issuperset(circuit.count_ops()):
        return circuit
    simulator = AerSimulator(method="density_matrix")
    translated: QuantumCircuit = transpile(circuit, simulator, optimization_level=0)
    return translated


@cache
def _aers_instructions() -> frozenset[str]:
    # Aer makes this list anew at every question: a quarter of the time to make a device.
    return frozenset(AerSimulator(method="density_matrix").operation_names)
