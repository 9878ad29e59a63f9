"""Noise that a simulator was given and that cannot act is named, in the device's own line."""

import pytest
from e91_circuits import bell_pair, measured_pair
from qiskit.primitives import BackendSamplerV2, StatevectorSampler
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error
from qiskit_aer.primitives import SamplerV2

import e91
from e91.devices.samplers.idle_noise import idle_noise
from e91.devices.samplers.sampler_device import sampler_device

READOUT = ReadoutError([[0.9, 0.1], [0.1, 0.9]])
CIRCUIT = measured_pair(bell_pair(), 0.0, 0.0)  # ry, h, cx and measure on qubits 0 and 1


def model(*errors):
    made = NoiseModel()
    for name, size, *qubits in errors:
        error = depolarizing_error(0.1, size)
        if qubits:
            made.add_quantum_error(error, [name], qubits)
        else:
            made.add_all_qubit_quantum_error(error, [name])
    return made


def read_on(qubit):
    made = NoiseModel()
    made.add_readout_error(READOUT, [qubit])
    return made


def sampler(noise):
    return SamplerV2(options={"backend_options": {"noise_model": noise}})


def of_backend(noise):
    return BackendSamplerV2(backend=AerSimulator(noise_model=noise))


IDLE = {
    "other gate": (model(("cz", 2)), "cz does not act: the circuit has cx on qubits 0, 1"),
    "other qubits": (model(("cx", 2, 2, 3)), "cx on qubits 2, 3 does not act"),
    "other way round": (model(("cx", 2, 1, 0)), "cx on qubits 1, 0 does not act"),
    "other gates on one": (model(("cx", 2), ("sx", 1)), "sx does not act: the circuit has h on"),
    "other receiver": (read_on(5), "measure on qubits 5 does not act"),
}
ACTING = {
    "none": NoiseModel(),
    "the gate": model(("cx", 2)),
    "the gate where it stands": model(("cx", 2, 0, 1)),
    "one more gate": model(("cx", 2), ("cz", 2)),
    "one of two parties' read-outs": read_on(1),
}


@pytest.mark.parametrize("name", IDLE)
@pytest.mark.parametrize("make", [sampler, of_backend])
def test_noise_that_cannot_act_is_named(name, make):
    noise, sentence = IDLE[name]
    assert sentence in idle_noise(CIRCUIT, make(noise))


@pytest.mark.parametrize("name", ACTING)
def test_noise_that_acts_is_not(name):
    assert idle_noise(CIRCUIT, sampler(ACTING[name])) == ""


def test_sampler_without_a_noise_model_has_none_that_is_idle():
    assert idle_noise(CIRCUIT, StatevectorSampler()) == ""
    assert idle_noise(CIRCUIT, SamplerV2()) == ""


def test_report_is_not_silent_about_it():
    device = sampler_device(lambda _: sampler(model(("cz", 2))))
    assert "The noise of cz does not act" in e91.run(device, rounds=1000).to_dict()["device"]
