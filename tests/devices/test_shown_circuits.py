"""`circuits` of the devices: what is shown is what is measured, and every box says what it is."""

from functools import partial

import numpy as np
import pytest
from e91_circuits import bell_pair, intercept_resend, measured_pair, split_photons
from qiskit.primitives import StatevectorSampler

import e91
from e91.adversaries.attacked_session import conditions_of, stage
from e91.adversaries.catalogue import ATTACKS
from e91.devices.exact import outcome_table
from e91.devices.ibm.machine import JobPlan
from e91.devices.samplers.sampler_device import ALICE_ANGLE, BOB_ANGLE
from e91.optics import HeraldedMemories, PulsedSource, simple_arm

NOISE = {"visibility": 0.9, "dephasing": 0.01, "amplitude_damping": 0.02, "readout_error": 0.01,
         "misalignment": 0.1}  # fmt: skip


def sampled():
    return e91.sampler_device(
        lambda seed: StatevectorSampler(seed=np.random.default_rng(seed)), settings=e91.ASYMMETRIC
    )


def planned():
    circuit = measured_pair(bell_pair(), ALICE_ANGLE, BOB_ANGLE)
    return JobPlan("fake", (0, 1), circuit, e91.ASYMMETRIC, 10, 5, 1.0, np.zeros(0), "")


@pytest.mark.parametrize("make", [e91.aer_device, e91.exact_device])
@pytest.mark.parametrize("state", ["phi+", "psi-"])
def test_table_is_that_of_the_circuits(make, state):
    device = make(settings=e91.ASYMMETRIC, state=state, **NOISE)
    assert len(device.circuits) == 3
    assert len(device.circuits[0]) == 2
    assert np.array_equal(outcome_table(device.circuits), device.table)


@pytest.mark.parametrize("make", [sampled, planned])
def test_circuits_of_a_sampler_and_of_a_job_have_their_angles(make):
    ideal = e91.exact_device(settings=e91.ASYMMETRIC).table
    circuits = make().circuits
    assert not any(circuit.parameters for row in circuits for circuit in row)
    assert outcome_table(circuits) == pytest.approx(ideal, abs=1e-12)


def test_circuits_of_light_are_those_of_one_pair_without_losses():
    memories = HeraldedMemories(1e6, 1e-3, bit_error=0.02, phase_error=0.05)
    device = e91.optical_device(memories)
    assert np.array_equal(outcome_table(device.circuits), device.table)
    arm = simple_arm(10.0)
    for make in (e91.optical_device, e91.optical_slot_device):
        light = make(PulsedSource(1e6, 1e-9), arm, arm)
        clicks = (
            light.table[..., :2, :2] / light.table[..., :2, :2].sum(axis=(2, 3))[..., None, None]
        )
        assert outcome_table(light.circuits) == pytest.approx(clicks, abs=1e-6)


def test_circuits_of_a_snapshot_are_on_its_qubits():
    pytest.importorskip("qiskit_ibm_runtime")
    device = e91.snapshot_device("manila")
    gates = device.circuits[2][1].count_ops()
    assert gates.keys() <= {"rz", "sx", "x", "cx", "measure", "barrier"}
    ideal = e91.exact_device().table
    assert outcome_table(device.circuits) == pytest.approx(ideal, abs=1e-9)  # noise is the target's


@pytest.mark.parametrize("simulator", ["exact", "aer", "aer-with-eve"])
def test_circuits_of_an_attack_have_eve_in_them(simulator):
    device = stage("cloner", conditions_of("cloner", simulator=simulator)).device
    assert any(register.name == "eve_memory" for register in device.circuits[0][0].qregs)
    if simulator != "aer-with-eve":
        assert outcome_table(device.circuits) == pytest.approx(device.photons.table, abs=1e-12)


def test_device_without_photons_has_no_circuits():
    assert stage("local", conditions_of("local")).device.circuits is None


def boxes(circuit):
    """Instructions that a drawing could only call by what they are made of."""
    return [one.operation for one in circuit.data if one.operation.name in ("kraus", "unitary")]


def test_every_box_of_noise_says_what_it_is():
    attack = partial(intercept_resend, fraction=0.2, basis="random")
    circuit = e91.aer_device(attack=attack, **NOISE).circuits[0][1]
    labels = [box.label for box in boxes(circuit)]
    assert labels == [
        "intercept-resend 0.2 (random)", "visibility 0.9", "dephasing 0.01 (bob)",
        "amplitude damping 0.02 (bob)", "read-out error 0.01, 0.01 (alice)",
        "read-out error 0.01, 0.01 (bob)",
    ]  # fmt: skip
    drawing = str(circuit.draw("text", fold=-1))
    assert all(label in drawing for label in labels)
    assert "kraus" not in drawing.lower()


@pytest.mark.parametrize("name", [name for name, found in ATTACKS.items() if found.is_channel])
def test_every_box_of_eve_says_what_she_does(name):
    circuit = stage(name, conditions_of(name, simulator="exact")).device.circuits[0][0]
    labels = [box.label for box in boxes(circuit)]
    assert labels
    for label in labels:
        assert label.startswith("Eve: ") or label == "count"
        assert len(label) > 4
    assert all(box.label for box in boxes(split_photons(bell_pair(), 0.1)))
