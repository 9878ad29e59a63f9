"""Samplers of every kind, each with the table of probabilities that it must follow."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from e91_circuits import bell_pair, measured_pair
from qiskit.primitives import BackendSamplerV2, StatevectorSampler
from qiskit_aer import AerSimulator
from qiskit_aer.primitives import SamplerV2

from e91.devices.exact import exact_device
from e91.devices.samplers.qubit_pairs import PairBackend, placed_circuit
from e91.devices.samplers.sampler_device import ALICE_ANGLE, BOB_ANGLE
from e91.devices.samplers.snapshots import (
    noisy_table,
    pair_backend,
    snapshot_backend,
    snapshot_device,
)
from e91.model.settings import EKERT


@dataclass(frozen=True, eq=False)
class Case:
    """A function from seed to sampler, the backend it runs on, and what it must show."""

    make: Any
    backend: Any
    table: Any


@cache
def marrakesh() -> PairBackend:
    return pair_backend("marrakesh")


@cache
def manila():
    return snapshot_backend("manila")


def measured():
    return measured_pair(bell_pair(), ALICE_ANGLE, BOB_ANGLE)


def executor(backend, seed):
    from qiskit_ibm_runtime.executor_sampler import Sampler

    return Sampler(mode=backend, options={"simulator": {"seed_simulator": seed}})


def asymmetric_readout_table():
    """Exact table of the other noise model: the one with which fake backends run themselves."""
    circuit = placed_circuit(measured(), manila())
    manila().run(circuit.assign_parameters([0.1, 0.2]), shots=1).result()  # builds the model
    return noisy_table(circuit, settings=EKERT, noise_model=manila().options.noise_model)


def ideal():
    return exact_device().table


CASES = {
    "StatevectorSampler": lambda: Case(
        lambda seed: StatevectorSampler(seed=np.random.default_rng(seed)), None, ideal()
    ),
    "Aer": lambda: Case(lambda seed: SamplerV2(seed=seed), None, ideal()),
    "Aer with a snapshot's noise": lambda: Case(
        lambda seed: SamplerV2(
            seed=seed,
            options={
                "backend_options": {
                    "noise_model": marrakesh().noise_model,
                    "method": "density_matrix",
                }
            },
        ),
        marrakesh(),
        snapshot_device("marrakesh").table,
    ),
    "BackendSamplerV2 over Aer": lambda: Case(
        lambda seed: BackendSamplerV2(backend=AerSimulator(), options={"seed_simulator": seed}),
        AerSimulator(),
        ideal(),
    ),
    "BackendSamplerV2 over a pair": lambda: Case(
        lambda seed: BackendSamplerV2(backend=marrakesh(), options={"seed_simulator": seed}),
        marrakesh(),
        snapshot_device("marrakesh").table,
    ),
    "BackendSamplerV2 over a fake backend": lambda: Case(
        lambda seed: BackendSamplerV2(backend=manila(), options={"seed_simulator": seed}),
        manila(),
        asymmetric_readout_table(),
    ),
    "IBM's executor over a pair": lambda: Case(
        lambda seed: executor(marrakesh(), seed), marrakesh(), snapshot_device("marrakesh").table
    ),
    "IBM's executor over a fake backend": lambda: Case(
        lambda seed: executor(manila(), seed), manila(), snapshot_device("manila").table
    ),
}

SLOW = {"BackendSamplerV2 over a fake backend", "IBM's executor over a fake backend"}
"""They simulate all qubits of a machine, and its noise, for every pair."""

NAMES = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in CASES]


@cache
def case(name: str) -> Case:
    """The case of that name, made once: building a machine's noise takes longer than using it."""
    return CASES[name]()
