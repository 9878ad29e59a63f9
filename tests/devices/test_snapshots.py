"""Snapshots of IBM machines: the best pair, its exact table, how little of the chip it takes."""

import math

import numpy as np
import pytest
from born_rule import correlator
from qiskit import QuantumCircuit
from qiskit.circuit import IfElseOp
from qiskit.circuit.library import CXGate, CZGate, Measure
from qiskit.primitives import BackendSamplerV2
from qiskit.transpiler import InstructionProperties, Target
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel
from samplers import executor, measured
from statistical import assert_binomial

import e91
from e91.devices.samplers.qubit_pairs import (
    placed_circuit,
    ranked_pairs,
    readout_confusion,
    reduced_target,
)
from e91.devices.samplers.sampler_device import rounds_by_pair, sampler_device
from e91.devices.samplers.snapshots import (
    noisy_table,
    pair_backend,
    snapshot_backend,
    snapshot_device,
    snapshot_names,
)
from e91.model.settings import EKERT

SMALL = ["manila", "oslo", "quito"]
LARGE = ["marrakesh", "boston", "sherbrooke", "torino"]
BROKEN = "kyoto"  # every two-qubit error of this snapshot is 1


def chsh(table):
    return sum(sign * correlator(table[pair]) for pair, sign in EKERT.chsh_pairs)


def gates(errors, readout):
    target = Target(num_qubits=len(readout))
    properties = {pair: InstructionProperties(error=error) for pair, error in errors.items()}
    target.add_instruction(CZGate(), properties)
    reads = {(k,): InstructionProperties(error=error) for k, error in enumerate(readout)}
    target.add_instruction(Measure(), reads)
    return target


def test_pairs_are_ranked_by_gate_and_read_out_together():
    target = gates({(0, 1): 0.001, (1, 2): 0.01, (2, 3): 0.02}, [0.2, 0.01, 0.01, 0.01])
    ranked = ranked_pairs(target)
    assert [pair.qubits for pair in ranked] == [(1, 2), (2, 3), (0, 1)]
    assert ranked[0].error == pytest.approx(1 - 0.99 * 0.99 * 0.99)
    assert ranked[0].gate == "cz"


@pytest.mark.parametrize("error", [1.0, None, math.nan, -0.1])
def test_pair_with_a_broken_gate_is_left_out(error):
    target = gates({(0, 1): error, (1, 2): 0.3}, [0.0, 0.3, 0.3])
    assert [pair.qubits for pair in ranked_pairs(target)] == [(1, 2)]


@pytest.mark.parametrize("error", [0.5, 1.0, None, math.nan])
def test_pair_with_a_broken_read_out_is_left_out(error):
    target = gates({(0, 1): 0.0, (1, 2): 0.3}, [error, 0.3, 0.3])
    assert [pair.qubits for pair in ranked_pairs(target)] == [(1, 2)]


def test_target_without_errors_ranks_nothing():
    assert ranked_pairs(AerSimulator().target) == ()
    assert ranked_pairs(Target(num_qubits=2)) == ()


def test_reduced_target_keeps_every_entry_of_its_pair_and_no_other():
    whole = snapshot_backend("manila").target
    reduced = reduced_target(whole, (3, 2))
    expected = {(0, 1): whole["cx"][3, 2], (1, 0): whole["cx"][2, 3]}
    assert set(reduced["cx"]) == set(expected)
    assert all(repr(reduced["cx"][pair]) == repr(found) for pair, found in expected.items())
    assert repr(reduced["sx"][(0,)]) == repr(whole["sx"][(3,)])
    assert repr(reduced["measure"][(1,)]) == repr(whole["measure"][(2,)])
    qubits = [whole.qubit_properties[qubit] for qubit in (3, 2)]
    assert repr(reduced.qubit_properties) == repr(qubits)
    assert (reduced.num_qubits, reduced.dt) == (2, whole.dt)
    assert "if_else" not in reduced.operation_names


def test_control_flow_is_not_copied():
    target = Target(num_qubits=2)
    target.add_instruction(IfElseOp, name="if_else")
    target.add_instruction(CXGate(), {(0, 1): None})
    assert set(reduced_target(target, (0, 1)).operation_names) == {"cx"}


@pytest.mark.parametrize("pair", [(0, 0), (0, 5), (-1, 0)])
def test_pair_that_is_none_of_the_machine_is_refused(pair):
    with pytest.raises(ValueError, match="two different qubits from 0 to 4"):
        pair_backend("manila", layout=pair)


@pytest.mark.parametrize("layout", ["worst", "12", None, (1, 2, 3), (1.0, 2)])
def test_layout_of_a_snapshot_is_a_pair(layout):
    with pytest.raises(ValueError, match=r"`layout` must .* two (different )?qubits"):
        pair_backend("manila", layout=layout)


@pytest.mark.parametrize("name", [*SMALL, *LARGE])
def test_two_qubit_noise_model_is_the_whole_machines_for_this_pair(name):
    # Second route: the entries of the whole target's calibration, gate by gate.
    whole, pair = snapshot_backend(name).target, pair_backend(name)
    two_qubit = ranked_pairs(whole)[0]
    assert two_qubit.qubits == pair.qubits
    kept, given = pair.target[two_qubit.gate][0, 1], whole[two_qubit.gate][pair.qubits]
    assert (kept.error, kept.duration) == (given.error, given.duration)
    for place, qubit in enumerate(pair.qubits):
        error = whole["measure"][(qubit,)].error
        expected = [[1 - error, error], [error, 1 - error]]
        np.testing.assert_allclose(readout_confusion(pair.noise_model, place), expected)


@pytest.mark.parametrize("name", SMALL)
def test_table_is_that_of_the_whole_machine_with_its_whole_noise_model(name):
    whole = snapshot_backend(name)
    circuit = placed_circuit(measured(), whole)
    table = noisy_table(circuit, settings=EKERT, noise_model=NoiseModel.from_backend(whole))
    reduced = snapshot_device(name).table
    np.testing.assert_allclose(reduced, table, atol=1e-9)
    assert abs(chsh(reduced) - chsh(table)) < 0.01


@pytest.mark.parametrize("name", SMALL)
def test_table_is_what_density_matrices_say_with_the_errors_written_into_the_circuit(name):
    # Second implementation: Qiskit's own density matrices, each error a channel after its gate.
    from qiskit.quantum_info import DensityMatrix, SuperOp

    backend = pair_backend(name)
    circuit = placed_circuit(measured(), backend, layout=(0, 1))
    errors = {
        (error_name, tuple(qubits)): error
        for error_name, found in backend.noise_model._local_quantum_errors.items()
        for qubits, error in found.items()
    }
    x, y = 2, 0
    bound = circuit.assign_parameters([EKERT.alice_angles[x], EKERT.bob_angles[y]])
    state, where = DensityMatrix.from_label("00"), {}
    for instruction in bound.data:
        places = tuple(bound.find_bit(qubit).index for qubit in instruction.qubits)
        if instruction.operation.name == "measure":
            where[bound.find_bit(instruction.clbits[0]).registers[0][0].name] = places[0]
        elif instruction.operation.name != "barrier":
            state = state.evolve(instruction.operation, places)
            error = errors.get((instruction.operation.name, places))
            if error is not None:
                state = state.evolve(SuperOp(error), list(places))
    cells = state.probabilities([where["alice"], where["bob"]]).reshape(2, 2).T
    read = [readout_confusion(backend.noise_model, where[party]) for party in ("alice", "bob")]
    np.testing.assert_allclose(
        snapshot_device(name).table[x, y], read[0].T @ cells @ read[1], atol=1e-9
    )


def chsh_wins(device, shots):
    """How often each CHSH pair's outcomes were equal where the sign is +, unequal where it is -."""
    pairs = np.array([pair for pair, _ in EKERT.chsh_pairs], np.uint8)
    x, y = np.ascontiguousarray(np.repeat(pairs, shots, axis=0).T)
    a, b = device(x, y)
    rounds = rounds_by_pair(x, y, settings=EKERT)
    same = {pair: np.count_nonzero(a[rounds[pair]] == b[rounds[pair]]) for pair in rounds}
    return [same[pair] if sign > 0 else shots - same[pair] for pair, sign in EKERT.chsh_pairs]


def winning_probabilities(table):
    return [(1 + sign * correlator(table[pair])) / 2 for pair, sign in EKERT.chsh_pairs]


MAKERS = {
    "backend sampler": lambda backend: (
        lambda seed: BackendSamplerV2(backend=backend, options={"seed_simulator": seed})
    ),
    "executor": lambda backend: lambda seed: executor(backend, seed),
}


@pytest.mark.parametrize("name", ["manila", "marrakesh"])
@pytest.mark.parametrize("kind", MAKERS)
def test_shots_of_the_best_pair_follow_the_exact_table(name, kind):
    backend = pair_backend(name)
    device = sampler_device(MAKERS[kind](backend), backend, seed=2)
    probabilities = winning_probabilities(snapshot_device(name).table)
    for wins, p in zip(chsh_wins(device, 30_000), probabilities, strict=True):
        assert_binomial(wins, 30_000, float(p), must_detect=float(p) - 0.025)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["manila", "marrakesh"])
def test_s_of_shots_is_within_a_hundredth_of_the_exact_value(name):
    # Equal shots a pair: S = 8 w - 4 with w the fraction won; 0.01 in S is 0.00125 in w.  The sum
    # of four binomial counts is narrower than one of their mean probability (Hoeffding, 1956).
    shots, backend = 2_200_000, pair_backend(name)
    table = snapshot_device(name).table
    device = sampler_device(MAKERS["backend sampler"](backend), backend, seed=2)
    won, p = sum(chsh_wins(device, shots)), float(np.mean(winning_probabilities(table)))
    assert_binomial(won, 4 * shots, p, must_detect=p - 0.00125)
    assert abs(8 * won / (4 * shots) - 4 - chsh(table)) < 0.01


@pytest.mark.parametrize("name", ["marrakesh", "fake_marrakesh"])
def test_best_pair_of_marrakesh_by_either_name(name):
    device = snapshot_device(name)
    assert device.qubits == (29, 38)
    assert "Snapshot fake_marrakesh, qubits 29 (alice) and 38 (bob)" in device.description
    assert "NoiseModel.from_backend" in device.description
    assert "not two parties" in device.info.assumption


def test_chosen_pair_is_the_one_that_runs():
    best, other = snapshot_device("manila"), snapshot_device("manila", layout=(0, 1))
    assert other.qubits == (0, 1)
    assert chsh(other.table) < chsh(best.table)


def test_reversed_pair_swaps_the_parties():
    backend = snapshot_backend("manila")
    errors = [backend.target["measure"][(qubit,)].error for qubit in (3, 4)]
    assert errors[0] != errors[1]
    forth, back = (pair_backend("manila", layout=pair) for pair in ((3, 4), (4, 3)))
    assert readout_confusion(forth.noise_model, 0)[0, 1] == pytest.approx(errors[0])
    assert readout_confusion(back.noise_model, 0)[0, 1] == pytest.approx(errors[1])


def test_source_of_gates_runs_on_the_snapshot():
    from e91_circuits import bell_pair

    table = snapshot_device("boston", source=bell_pair("psi-")).table
    assert correlator(table[1, 0]) < -0.9  # a key pair: outcomes differ


def test_session_on_a_snapshot_makes_a_key_and_a_bad_one_does_not():
    good = e91.run(snapshot_device("boston", seed=1), rounds=300_000, seed=1)
    assert good.abort is None
    assert good.secret_bits > 20_000
    bad = e91.run(snapshot_device("lagos", seed=1), rounds=100_000, seed=1)
    assert bad.abort is e91.Abort.NO_VIOLATION


def test_snapshot_streams_blocks():
    blocks = e91.stream(
        snapshot_device("boston", seed=1), rounds=200_000, block_rounds=100_000, seed=1
    )
    assert [report.abort for report in blocks] == [None, None]


def test_only_two_qubits_of_a_large_machine_are_simulated():
    assert snapshot_backend("marrakesh").num_qubits == 156
    assert pair_backend("marrakesh").target.num_qubits == 2


def test_names_are_those_of_the_package_with_two_qubits():
    names = snapshot_names()
    assert len(names) >= 60
    assert {"marrakesh", "boston", "sherbrooke", "torino", "manila"} <= set(names)
    assert "armonk" not in names


def test_unknown_snapshot_is_refused_with_the_names_that_exist():
    with pytest.raises(ValueError, match="`atlantis` must be the name of a snapshot, but is none"):
        snapshot_device("atlantis")


def test_machine_with_no_working_calibration_is_refused():
    with pytest.raises(ValueError, match="must have two coupled qubits with a working calibration"):
        snapshot_device(BROKEN)


def test_missing_runtime_package_is_a_sentence(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "qiskit_ibm_runtime", None)
    with pytest.raises(ValueError, match="qiskit-ibm-runtime, but it is not installed: "):
        snapshot_names()


def test_pair_backend_runs_circuits_and_keeps_their_seed():
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.measure([0, 1], [0, 1])
    backend = pair_backend("manila")
    runs = [backend.run(circuit, shots=400, seed_simulator=s).result().get_counts() for s in (1, 1)]
    assert runs[0] == runs[1]
    assert runs[0]["01"] > 300
    assert backend.max_circuits is None


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_large_machines_with_their_whole_noise_model_give_the_same_table(name):
    whole = snapshot_backend(name)
    circuit = placed_circuit(measured(), whole)
    table = noisy_table(circuit, settings=EKERT, noise_model=NoiseModel.from_backend(whole))
    np.testing.assert_allclose(snapshot_device(name).table, table, atol=1e-9)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Properties of fake_nighthawk")
def test_every_snapshot_has_a_table_or_a_sentence():
    refused = []
    for name in snapshot_names():
        try:
            table = snapshot_device(name).table
        except ValueError:
            refused.append(name)
        else:
            assert 1.5 < chsh(table) < 2 * math.sqrt(2)
    assert refused == [BROKEN]
