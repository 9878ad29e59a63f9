"""The rounds of one link by Qiskit Aer alone, as one writes it without this package.

Benchmarks time these beside `e91.devices.rounds.round_sampler`; nothing else uses them.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from e91_circuits import intercept_resend, outcome_bit
from qiskit import QuantumCircuit
from qiskit_aer import AerSimulator

from e91.devices.circuits import CircuitTable, Noise, pair_circuits
from e91.devices.exact import outcome_table
from e91.devices.rounds.round_sampler import round_sampler
from e91.distillation.sifting.choices import RoundSampler
from e91.model.bits import Bits
from e91.model.settings import EKERT
from e91.system.keystreams import seeded_key

SETTINGS = EKERT
"""Nine setting pairs, uniform."""


def attacked_circuits() -> CircuitTable:
    """Return the circuits of a noisy link with an eavesdropper on one pair in twenty.

    Examples:
        >>> len(attacked_circuits()), len(attacked_circuits()[0])
        (3, 3)
    """
    attack = partial(intercept_resend, fraction=0.05, basis="random")
    source, _ = Noise(visibility=0.97, dephasing=0.01).apparatus(attack)
    return pair_circuits(source, settings=SETTINGS)


def attacked_sampler(*, seed: int) -> RoundSampler:
    """Return a sampler of the same link, with keys made of a seed.

    Examples:
        >>> attacked_sampler(seed=1).shape
        (3, 3, 2, 2)
    """
    return round_sampler(
        outcome_table(attacked_circuits()),
        settings=SETTINGS,
        physics_key=seeded_key(seed, purpose="physics"),
        protocol_key=seeded_key(seed, purpose="protocol"),
    )


def aer_counts(circuits: CircuitTable, rounds: int, *, seed: int) -> Bits:
    """Run nine circuits, deal their counts out to rounds and shuffle these.

    Args:
        circuits: As from `attacked_circuits`, three rows of three.
        rounds: Rounds in all; each setting pair has a multinomial share of them.
        seed: Of the shares, the shuffle and Aer.

    Returns:
        ``4 (3 x + y) + 2 a + b`` of every round; uint8, shape (rounds,).

    Examples:
        >>> aer_counts(attacked_circuits(), 1000, seed=1).shape
        (1000,)
    """
    flat = _flat(circuits)
    generator = np.random.default_rng(seed)
    split = generator.multinomial(rounds, np.full(len(flat), 1 / len(flat)))
    simulator = AerSimulator(method="density_matrix")
    codes = []
    for pair, (circuit, shots) in enumerate(zip(flat, split, strict=True)):
        if not shots:
            continue
        counts = simulator.run(circuit, shots=int(shots), seed_simulator=seed + pair).result()
        alice, bob = (
            circuit.find_bit(outcome_bit(circuit, party)).index for party in ("alice", "bob")
        )
        for outcome, number in counts.get_counts().items():
            bits = outcome.replace(" ", "")[::-1]
            code = 4 * pair + 2 * int(bits[alice]) + int(bits[bob])
            codes.append(np.full(number, code, np.uint8))
    rows = np.concatenate(codes)
    generator.shuffle(rows)
    return rows


def aer_pair_by_pair(circuits: CircuitTable, pairs: int) -> int:
    """Run one circuit with one shot for every pair; return the number of outcomes.

    Examples:
        >>> aer_pair_by_pair(attacked_circuits(), 3)
        3
    """
    flat = _flat(circuits)
    simulator = AerSimulator(method="density_matrix")
    outcomes = 0
    for place in range(pairs):
        result = simulator.run(flat[place % len(flat)].copy(), shots=1).result()
        outcomes += sum(result.get_counts().values())
    return outcomes


def _flat(circuits: CircuitTable) -> list[QuantumCircuit]:
    return [circuit for row in circuits for circuit in row]
