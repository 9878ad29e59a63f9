"""Entangled pairs, and the one convention of angles, signs and outcome bits.

Convention, stated here and used everywhere:

* A *setting angle* theta is in radians on the Bloch sphere, in its X-Z plane.  It selects the
  observable ``cos(theta) Z + sin(theta) X``.  A linear polariser for it stands at theta / 2.
* The analyser is ``ry(-theta)`` followed by a measurement of Z.
* Outcome bit 0 means eigenvalue +1, bit 1 means eigenvalue -1.
* Alice's half is the one-qubit quantum register `alice_photon`, Bob's is `bob_photon`.  Their
  outcomes land in the one-bit classical registers `alice` and `bob`, so that nobody who reads a
  result needs to know a bit order.  (Qiskit before 2.6 wants all registers to differ in name.)

Mean product of the two outcomes, ``E(a, b) = <A B>``, for each pair:

====  ==============================  =================  ======================================
name  state                           E(a, b)            to get the correlations of phi+
====  ==============================  =================  ======================================
phi+  (|00> + |11>) / sqrt(2)         cos(a - b)         nothing to do
phi-  (|00> - |11>) / sqrt(2)         cos(a + b)         Z on Bob's photon, or b -> -b
psi+  (|01> + |10>) / sqrt(2)         -cos(a + b)        X on Bob's photon, or flip and b -> -b
psi-  (|01> - |10>) / sqrt(2)         -cos(a - b)        Y on Bob's photon, or flip his bits
====  ==============================  =================  ======================================

The table follows from <ZZ> and <XX> of each state, which are (+1, +1), (+1, -1), (-1, +1) and
(-1, -1), because <ZX> and <XZ> vanish.  Which correction to make is the caller's decision.
"""

from __future__ import annotations

from typing import Literal, get_args

from qiskit import QuantumCircuit, QuantumRegister
from qiskit.circuit import Qubit

Party = Literal["alice", "bob"]
"""Who holds a half of the pair, and the name of the classical register of its outcome."""

BellState = Literal["phi+", "phi-", "psi+", "psi-"]
"""The four maximally entangled pairs, by their usual names."""


def bell_pair(state: BellState = "phi+") -> QuantumCircuit:
    """Return a source that emits one of the four Bell pairs.

    Args:
        state: Name of the pair; see the table of this module.

    Returns:
        A circuit with the quantum registers `alice_photon` and `bob_photon`, one qubit each, and no
        measurement.  Its `name` says what it emits; every transformation of this package adds
        to that name, so that a report can tell what a box contains.

    Raises:
        ValueError: ``state`` is not one of the four names.

    Examples:
        >>> from qiskit.quantum_info import Statevector
        >>> Statevector(bell_pair("psi+")).probabilities().round(9).tolist()
        [0.0, 0.5, 0.5, 0.0]
        >>> bell_pair().name
        'phi+ pair'
    """
    if state not in get_args(BellState):
        raise ValueError(f"`state` must be phi+, phi-, psi+ or psi-, but is {state!r}.")
    alice, bob = (QuantumRegister(1, photon_register(party)) for party in get_args(Party))
    circuit = QuantumCircuit(alice, bob, name=f"{state} pair")
    circuit.h(alice)
    circuit.cx(alice, bob)
    if state.startswith("psi"):
        circuit.x(bob)
    if state.endswith("-"):
        circuit.z(alice)
    return circuit


def photon_register(party: Party) -> str:
    """Return the name of the quantum register that is one party's half of a pair.

    Args:
        party: ``"alice"`` or ``"bob"``.

    Returns:
        ``"alice_photon"`` or ``"bob_photon"``.

    Examples:
        >>> photon_register("bob")
        'bob_photon'
    """
    return f"{party}_photon"


def party_qubit(circuit: QuantumCircuit, party: Party) -> Qubit:
    """Return the qubit that is one party's half of the pair.

    Args:
        circuit: Any circuit with one-qubit quantum registers `alice_photon` and `bob_photon`; it
            may have more registers, such as those of an eavesdropper.  Registers that are called
            `alice` and `bob`, as before, serve too where Qiskit allows the outcomes that name.
        party: Whose half.

    Returns:
        The qubit, one of ``circuit.qubits``.

    Raises:
        ValueError: The circuit has no one-qubit quantum register of that name.

    Examples:
        >>> circuit = bell_pair()
        >>> circuit.find_bit(party_qubit(circuit, "bob")).index
        1
    """
    for register in circuit.qregs:
        if register.name in (photon_register(party), party) and len(register) == 1:
            return register[0]
    names = [f"{register.name}[{len(register)}]" for register in circuit.qregs]
    raise ValueError(
        f"A source must have a one-qubit quantum register `{photon_register(party)}`, but has "
        f"{names}."
    )
