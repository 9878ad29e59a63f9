"""Devices made of light: sources, links and detectors around the circuits' polarisation state.

What a pair's outcomes are is decided by the circuits, run on Aer; optics decides which rounds are
pairs, which are unrelated clicks, and which are lost.
"""

import math

import numpy as np
from e91_circuits import BellState, bell_pair, party_qubit, with_dephasing, with_visibility
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit_aer import AerSimulator

from e91.devices.circuits import CircuitTable, pair_circuits
from e91.devices.exact import ExactDevice, outcome_table
from e91.model.device import DeviceInfo, Pace
from e91.model.numbers import Floats
from e91.model.settings import EKERT, Settings
from e91.optics.arms import Arm, misread
from e91.optics.detectors import BasisChoice
from e91.optics.rates import continuous_rates
from e91.optics.slots import continuous_slots, pulsed_slots
from e91.optics.sources import ContinuousSource, HeraldedMemories, PulsedSource, QuantumDot, Source
from e91.system.keystreams import physics_entropy

_ROUNDING = 1e-12  # of probabilities that are the declared ones


def optical_device(
    source: Source,
    alice: Arm | None = None,
    bob: Arm | None = None,
    *,
    settings: Settings = EKERT,
    pair: QuantumCircuit | None = None,
    window_s: float | None = None,
    seed: int | None = None,
) -> ExactDevice:
    """Return a device whose rounds are coincidences: what an ordinary experiment keeps.

    That losses are discarded is sound only if they do not depend on the state: fair sampling.
    The description says so.  With heralded memories every herald is a round, and nothing is
    discarded.

    Args:
        source: When pairs come.
        alice: Alice's arm; None for heralded memories, and only for them.
        bob: Bob's arm; the same.
        settings: The angles of both parties, and the choices of active receivers.  How often a
            coincidence has which setting of a passive one, the optics say (`coincidence_settings`).
        pair: Circuit of one pair, unmeasured; by default phi+, and with memories one with their
            bit and phase errors.  What the links do to the polarisation is added.
        window_s: Coincidence window, or gate about each pulse; by default a pulse's period.
        seed: Root of the physical randomness; None takes it from the operating system.

    Returns:
        A device, as from `e91.devices.exact.exact_device`, whose `info` states fair sampling and
        how fast the light makes rounds.

    Raises:
        ValueError: An argument is missing or outside its range, or nothing ever coincides.

    Examples:
        >>> from e91.optics.arms import simple_arm
        >>> arm = simple_arm(32.0, 200.0)
        >>> device = optical_device(ContinuousSource(5.9e6), arm, arm, window_s=1e-9)
        >>> device.description[-36:]
        'lost pairs discarded: fair sampling.'
        >>> float(device.table[1, 0, 0, 1].round(5))    # errors by accidental coincidences
        0.00163
    """
    if isinstance(source, HeraldedMemories):
        unused = (alice, bob, window_s)
        return _heralded(source, unused, settings=settings, pair=pair, seed=seed)
    rates = coincidence_table(source, alice, bob, settings=settings, pair=pair, window_s=window_s)
    totals = rates.sum(axis=(2, 3), keepdims=True)
    if not totals.min() > 0:
        raise ValueError("Every setting pair must have coincidences, but one never has.")
    kind = f"{_name(source)}, coincidences only, lost pairs discarded: fair sampling."
    per_second = float(_chosen(totals[..., 0, 0], alice, bob, settings=settings).sum())
    seen = _as_often_as(totals[..., 0, 0], alice, bob, settings=settings)
    # An active receiver's choices are the session's, whatever is lost afterwards.
    seen = settings.biased(
        (seen if _is_passive(alice) else settings).alice_probabilities,
        (seen if _is_passive(bob) else settings).bob_probabilities,
    )
    pace = Pace(per_second, per_second)
    circuits = _circuits(alice, bob, settings=settings, pair=pair)
    return _device(kind, rates / totals, circuits, settings=seen, pace=pace, seed=seed)


def optical_slot_device(
    source: Source,
    alice: Arm | None = None,
    bob: Arm | None = None,
    *,
    settings: Settings = EKERT,
    pair: QuantumCircuit | None = None,
    window_s: float | None = None,
    seed: int | None = None,
) -> ExactDevice:
    """Return a device whose rounds are all pulses or time slots, those without a click included.

    This is what a device-independent claim needs: no round is discarded.

    Args:
        source: When pairs come.
        alice: Alice's arm, with an active receiver; None for heralded memories.
        bob: Bob's; the same.
        settings: As for `optical_device`.
        pair: The same.
        window_s: Length of a slot of continuous light, or gate about each pulse.
        seed: The same.

    Returns:
        A device whose outcomes are 0, 1, or 2 for no click; its `info` says how fast it makes
        rounds.

    Raises:
        ValueError: An argument is missing or outside its range, or a receiver is passive: then
            the setting is not chosen before the photon comes.

    Examples:
        >>> from e91.optics.arms import simple_arm
        >>> arm = simple_arm(1.0)
        >>> device = optical_slot_device(PulsedSource(1e6, 0.01), arm, arm)
        >>> device.table.shape, float(device.table[0, 0, 2, 2].round(4))
        ((3, 3, 3, 3), 0.9905)
    """
    if isinstance(source, HeraldedMemories):
        unused = (alice, bob, window_s)
        return _heralded(source, unused, settings=settings, pair=pair, seed=seed)
    for arm in (alice, bob):
        if arm is not None and arm.receiver.basis_choice is BasisChoice.PASSIVE:
            raise ValueError("A receiver whose every slot counts must be active, but is passive.")
    slots = slot_table(source, alice, bob, settings=settings, pair=pair, window_s=window_s)
    kind = f"{_name(source)}, every pulse or slot a round, losses kept as no click."
    per_second = _slots_per_second(source, window_s)
    both_click = _chosen(slots[..., :2, :2].sum(axis=(2, 3)), alice, bob, settings=settings).sum()
    pace = Pace(per_second, per_second * float(both_click))
    circuits = _circuits(alice, bob, settings=settings, pair=pair)
    return _device(kind, slots, circuits, settings=settings, pace=pace, seed=seed)


def _slots_per_second(
    source: ContinuousSource | PulsedSource | QuantumDot, window_s: float | None
) -> float:
    if isinstance(source, ContinuousSource):
        return 1 / _given_window(window_s)
    return source.repetition_rate_hz


def coincidence_table(
    source: ContinuousSource | PulsedSource | QuantumDot,
    alice: Arm | None,
    bob: Arm | None,
    *,
    settings: Settings = EKERT,
    pair: QuantumCircuit | None = None,
    window_s: float | None = None,
) -> Floats:
    """Return the coincidences per second of every outcome at every setting pair.

    Args:
        source: When pairs come.
        alice: Alice's arm.
        bob: Bob's.
        settings: The angles of both parties.
        pair: As for `optical_device`.
        window_s: The same.

    Returns:
        Per second, as ``[x, y, a, b]``, if an active receiver has that setting all the time.  A
        passive receiver's share of the light is in it.

    Raises:
        ValueError: As for `optical_device`.
    """
    if isinstance(source, ContinuousSource):
        alice, bob, polarised, _ = _prepared(alice, bob, settings=settings, pair=pair)
        window_s = _given_window(window_s)
        rates = continuous_rates(source, alice, bob, pair_table=polarised, window_s=window_s)
        return misread(rates[0] + rates[1], alice=alice.readout_error, bob=bob.readout_error)
    slots = slot_table(source, alice, bob, settings=settings, pair=pair, window_s=window_s)
    return source.repetition_rate_hz * slots[..., :2, :2]


def coincidence_settings(
    source: ContinuousSource | PulsedSource | QuantumDot,
    alice: Arm,
    bob: Arm,
    *,
    settings: Settings = EKERT,
    pair: QuantumCircuit | None = None,
    window_s: float | None = None,
) -> Settings:
    """Return settings with the probabilities that the optics predict of coincidences.

    A passive receiver's beam splitter chooses, but which setting a *coincidence* has depends on its
    detectors too: a busy one is dead more often.  These probabilities are what a session on such
    data has to declare.  An active receiver chooses with the probabilities of ``settings``.

    Args:
        source: When pairs come.
        alice: Alice's arm; a passive one says how its splitter shares the light.
        bob: Bob's.
        settings: The angles of both parties, and the choices of active receivers.
        pair: As for `optical_device`.
        window_s: The same.

    Returns:
        The same angles and roles.  The probabilities are those of each party by itself; where
        the parties' losses are correlated (one dead time shared, unlike detectors) pairs of
        settings deviate from the products.

    Raises:
        ValueError: As for `optical_device`.

    Examples:
        >>> from e91.optics import Detector, Receiver
        >>> detector = Detector(0.6, dead_time_s=1e-6)
        >>> receiver = Receiver((detector,) * 6, BasisChoice.PASSIVE)
        >>> arm = Arm(3.0, receiver, setting_probabilities=(0.6, 0.2, 0.2))
        >>> found = coincidence_settings(ContinuousSource(2e6), arm, arm, window_s=1e-9)
        >>> [round(p, 2) for p in found.alice_probabilities]
        [0.58, 0.21, 0.21]
    """
    rates = coincidence_table(
        source, alice, bob, settings=settings, pair=pair, window_s=window_s
    ).sum(axis=(2, 3))
    if not rates.sum() > 0:
        raise ValueError("Some setting pair must have coincidences, but none has.")
    return _as_often_as(rates, alice, bob, settings=settings)


def _as_often_as(
    rates: Floats, alice: Arm | None, bob: Arm | None, *, settings: Settings
) -> Settings:
    """Return settings whose probabilities are those of coincidences at these rates."""
    seen = _chosen(rates, alice, bob, settings=settings)
    both = [seen.sum(axis=1 - axis) / seen.sum() for axis in (0, 1)]
    declared = (settings.alice_probabilities, settings.bob_probabilities)
    if all(np.abs(a - b).max() < _ROUNDING for a, b in zip(both, declared, strict=True)):
        return settings
    first, second = (tuple((shares / math.fsum(shares)).tolist()) for shares in both)
    return settings.biased(first, second)


def _chosen(rates: Floats, alice: Arm | None, bob: Arm | None, *, settings: Settings) -> Floats:
    """Return how often each setting pair is seen, if rates are those of pairs that are set always.

    A passive receiver's choices are in its rates already.
    """
    chosen = [
        np.ones(len(given)) if _is_passive(arm) else np.array(given)
        for arm, given in (
            (alice, settings.alice_probabilities),
            (bob, settings.bob_probabilities),
        )
    ]
    seen: Floats = rates * np.outer(*chosen)
    return seen


def _is_passive(arm: Arm | None) -> bool:
    return arm is not None and arm.receiver.basis_choice is BasisChoice.PASSIVE


def slot_table(
    source: ContinuousSource | PulsedSource | QuantumDot,
    alice: Arm | None,
    bob: Arm | None,
    *,
    settings: Settings = EKERT,
    pair: QuantumCircuit | None = None,
    window_s: float | None = None,
) -> Floats:
    """Return the probability of every outcome of a pulse or slot, index 2 for no click.

    Arguments, errors and order of axes as of `coincidence_table`.
    """
    alice, bob, polarised, lengths = _prepared(alice, bob, settings=settings, pair=pair)
    if isinstance(source, ContinuousSource):
        slot_s = _given_window(window_s)
        return continuous_slots(source, alice, bob, pair_table=polarised, slot_s=slot_s)
    gate = 1 / source.repetition_rate_hz if window_s is None else window_s
    return pulsed_slots(
        source, alice, bob, pair_table=polarised, window_s=gate, steered_length=lengths
    )


def memory_pair(source: HeraldedMemories, state: BellState = "phi+") -> QuantumCircuit:
    """Return the circuit of a Bell pair with the bit and phase errors of two memories.

    Examples:
        >>> from e91.devices.exact import exact_device_of
        >>> circuit = memory_pair(HeraldedMemories(1e6, 1e-3, bit_error=0.02, phase_error=0.05))
        >>> device = exact_device_of(circuit)
        >>> float(device.table[2, 1, 0, 1].round(6))    # both along X
        0.025
    """
    bit_error, phase_error = source.bit_error, source.phase_error
    return pair_with_errors(bit_error=bit_error, phase_error=phase_error, state=state)


def pair_with_errors(
    *, bit_error: float, phase_error: float, state: BellState = "phi+"
) -> QuantumCircuit:
    """Return the circuit of a pair that errs apart along Z and along X.

    Args:
        bit_error: Probability that outcomes along Z are not those of the state, 0 to 1/2.
        phase_error: The same along X.
        state: Bell state of the pair.
    """
    circuit = with_dephasing(bell_pair(state), phase_error, party="bob")
    # A phase flip between two Hadamard gates is a bit flip.
    circuit = _with_hadamard(circuit, name=circuit.name)
    circuit = with_dephasing(circuit, bit_error, party="bob")
    label = f"{state} pair, bit error {bit_error:g}, phase error {phase_error:g}"
    return _with_hadamard(circuit, name=label)


def steered_lengths(pair: QuantumCircuit, *, settings: Settings) -> Floats:
    """Return the length of the Bloch vector to which each setting of Bob steers Alice's photon.

    Args:
        pair: Circuit with one-qubit registers `alice` and `bob`, unmeasured.
        settings: Bob's angles.

    Returns:
        The length of (<X B>, <Y B>, <Z B>) for each observable B of Bob's; shape (Bob's settings,).

    Examples:
        >>> steered_lengths(with_visibility(bell_pair(), 0.9), settings=EKERT).round(9).tolist()
        [0.9, 0.9, 0.9]
    """
    state = _density_matrix(pair).reshape(2, 2, 2, 2)  # bob, alice; bob, alice
    pauli = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
    angles = np.array(settings.bob_angles)
    observable = np.multiply.outer(np.cos(angles), pauli[2])
    observable = observable + np.multiply.outer(np.sin(angles), pauli[0])
    means = np.einsum("baBA,iAa,yBb->yi", state, pauli, observable)
    lengths: Floats = np.linalg.norm(means.real, axis=1)
    return np.minimum(lengths, 1.0)


def _density_matrix(pair: QuantumCircuit) -> NDArray[np.complex128]:
    probed = pair.copy()
    probed.save_density_matrix([party_qubit(pair, party) for party in ("alice", "bob")])
    result = AerSimulator(method="density_matrix").run(probed, shots=1).result()
    return np.asarray(result.data(0)["density_matrix"])


def _prepared(
    alice: Arm | None, bob: Arm | None, *, settings: Settings, pair: QuantumCircuit | None
) -> tuple[Arm, Arm, Floats, Floats]:
    """Return both arms, the pair's outcome table behind the links, and the steered lengths."""
    if alice is None or bob is None:
        raise ValueError("Photons must have two arms, but one is missing.")
    for arm, angles in ((alice, settings.alice_angles), (bob, settings.bob_angles)):
        rows = len(arm.receiver.detectors) // 2
        if arm.receiver.basis_choice is BasisChoice.PASSIVE and rows != len(angles):
            raise ValueError(
                f"A passive receiver must have two detectors for each of its {len(angles)} "
                f"settings, but has them for {rows}."
            )
    circuit = _polarisation(alice, bob, settings=settings, pair=pair)
    polarised = outcome_table(pair_circuits(circuit, settings=settings))
    return alice, bob, polarised, steered_lengths(circuit, settings=settings)


def _polarisation(
    alice: Arm | None, bob: Arm | None, *, settings: Settings, pair: QuantumCircuit | None
) -> QuantumCircuit:
    """Return the circuit of one pair's polarisation behind both links."""
    visibility = math.prod(arm.visibility for arm in (alice, bob) if arm is not None)
    return with_visibility(pair or bell_pair(settings.state), visibility)


def _circuits(
    alice: Arm | None, bob: Arm | None, *, settings: Settings, pair: QuantumCircuit | None
) -> CircuitTable:
    """Return the measured circuits of one pair, without losses and accidental clicks."""
    polarised = _polarisation(alice, bob, settings=settings, pair=pair)
    return pair_circuits(polarised, settings=settings)


def _heralded(
    source: HeraldedMemories,
    unused: tuple[Arm | None, Arm | None, float | None],
    *,
    settings: Settings,
    pair: QuantumCircuit | None,
    seed: int | None,
) -> ExactDevice:
    if unused != (None,) * 3:  # they are for light only
        raise ValueError("Heralded memories must have no arms and no window, but were given some.")
    circuits = pair_circuits(pair or memory_pair(source, settings.state), settings=settings)
    kind = "Heralded memories, every herald a round, none lost."
    pace = Pace(source.pairs_per_second, source.pairs_per_second)
    table = outcome_table(circuits)
    return _device(kind, table, circuits, settings=settings, pace=pace, seed=seed)


def _device(
    description: str,
    table: Floats,
    circuits: CircuitTable,
    *,
    settings: Settings,
    pace: Pace,
    seed: int | None,
) -> ExactDevice:
    info = DeviceInfo(settings, description, reproducible=seed is not None, pace=pace)
    return ExactDevice(info, table, physics_entropy(seed), circuits=circuits)


def _with_hadamard(circuit: QuantumCircuit, *, name: str) -> QuantumCircuit:
    turned: QuantumCircuit = circuit.copy(name)
    turned.h(party_qubit(circuit, "bob"))
    return turned


def _given_window(window_s: float | None) -> float:
    if window_s is None or not math.isfinite(window_s):
        raise ValueError(f"A continuous source must have a `window_s`, but has {window_s}.")
    return window_s


def _name(source: Source) -> str:
    match source:
        case ContinuousSource():
            return f"Continuous source, {source.pairs_per_second:.4g} pairs/s"
        case PulsedSource():
            return f"Pulsed source, {source.mean_pairs_per_pulse:.4g} pairs a pulse"
        case _:
            return "Quantum dot"
