"""The photons of E91: entangled pairs, analysers, noise and eavesdroppers as Qiskit circuits.

Knows nothing of the protocol.  The convention of angles, signs and bits is in `pairs`.

Examples:
    >>> source = with_visibility(bell_pair(), 0.97)
    >>> source = intercept_resend(source, 0.1, basis="random")
    >>> circuit = measured_pair(source, 0.0, 0.785)
    >>> circuit.name
    'phi+ pair, visibility 0.97, intercept-resend 0.1 (random)'
"""

from e91_circuits.analyser import Angle, measured_pair, measured_qubit, outcome_bit
from e91_circuits.channels import with_channel
from e91_circuits.eavesdropper import (
    Basis,
    intercept_resend,
    intercept_resend_along,
    intercept_with_record,
)
from e91_circuits.eavesdropper_attacks import (
    clone,
    collective_angle,
    collective_overlap,
    emit_collective,
    emit_separable,
    entangle_probe,
    flip_by_coin,
    intercept_along_y,
    intercept_and_note,
)
from e91_circuits.eavesdropper_memory import (
    emitted_by_eve,
    eve_qubits,
    memory_information,
    memory_states,
    with_best_reading,
    with_eve,
    with_notes,
    without_eve,
)
from e91_circuits.eavesdropper_pairs import (
    coincidence_shares,
    pair_visibility,
    split_photons,
    thermal_visibility,
)
from e91_circuits.noise import (
    with_amplitude_damping,
    with_dephasing,
    with_misalignment,
    with_readout_error,
    with_visibility,
)
from e91_circuits.pairs import BellState, Party, bell_pair, party_qubit, photon_register

__all__ = [
    "Angle",
    "Basis",
    "BellState",
    "Party",
    "bell_pair",
    "clone",
    "coincidence_shares",
    "collective_angle",
    "collective_overlap",
    "emit_collective",
    "emit_separable",
    "emitted_by_eve",
    "entangle_probe",
    "eve_qubits",
    "flip_by_coin",
    "intercept_along_y",
    "intercept_and_note",
    "intercept_resend",
    "intercept_resend_along",
    "intercept_with_record",
    "measured_pair",
    "measured_qubit",
    "memory_information",
    "memory_states",
    "outcome_bit",
    "pair_visibility",
    "party_qubit",
    "photon_register",
    "split_photons",
    "thermal_visibility",
    "with_amplitude_damping",
    "with_best_reading",
    "with_channel",
    "with_dephasing",
    "with_eve",
    "with_misalignment",
    "with_notes",
    "with_readout_error",
    "with_visibility",
    "without_eve",
]
