"""Eve in the circuits, against state vectors that are written out in NumPy without Qiskit."""

import math

import numpy as np
import pytest
from born_rule import BELL_VECTORS, X, Z, lopsided_density, source_of
from born_rule import joint_table as born_table
from e91_circuits import (
    bell_pair,
    clone,
    collective_angle,
    collective_overlap,
    emit_collective,
    emit_separable,
    emitted_by_eve,
    entangle_probe,
    eve_qubits,
    intercept_and_note,
    intercept_resend_along,
    intercept_with_record,
    measured_pair,
    memory_information,
    memory_states,
    party_qubit,
    with_best_reading,
    with_channel,
    with_eve,
    without_eve,
)
from hypothesis import given
from hypothesis import strategies as st
from qiskit import QuantumCircuit, QuantumRegister
from qiskit.quantum_info import DensityMatrix, partial_trace

from e91.adversaries.eve_in_circuits import joint_table
from e91.devices.circuits import pair_circuits
from e91.devices.exact import outcome_table
from e91.model.settings import ASYMMETRIC, SETTINGS

STRENGTHS = (0.0, 0.1, 0.35, 0.5, 0.8, 1.0)
ANGLES = (0.0, math.pi / 4, math.pi / 2, 1.1)


def emitted(source):
    """The two-qubit state that a source leaves, Alice the first factor, Eve traced out."""
    bare = source.remove_final_measurements(inplace=False)
    halves = {bare.find_bit(party_qubit(bare, party)).index: party for party in ("alice", "bob")}
    others = [place for place in range(bare.num_qubits) if place not in halves]
    state = partial_trace(DensityMatrix(bare), others) if others else DensityMatrix(bare)
    assert [halves[place] for place in sorted(halves)] == ["alice", "bob"]
    return state.data.reshape(2, 2, 2, 2).transpose(1, 0, 3, 2).reshape(4, 4)


def h(p):
    return float(sum(-q * np.log2(q) for q in (p, 1 - p) if q > 0))


def cloner_operators(d):
    cross = math.sqrt(d * (1 - d))
    return [(1 - d) * np.eye(2), cross * Z, cross * X, d * Z @ X]


def probe_operators(c):
    """|0>|e0> and |1>|e1> with real e0, e1 of overlap c, as operators on Bob per memory state."""
    half = math.acos(c) / 2
    e = np.array([[math.cos(half), math.sin(half)], [math.cos(half), -math.sin(half)]])
    return [np.diag(e[:, k]) for k in (0, 1)]


def shared(operators):
    """Amplitudes psi[a, b, k] of phi+ after Eve's unitary on Bob's half."""
    pair = BELL_VECTORS["phi+"].reshape(2, 2)
    return np.stack([pair @ operator.T for operator in operators], axis=2)


def eves_states(psi, angle):
    """Unnormalised states of the last system for Alice's outcomes along ``angle``."""
    up = np.array([math.cos(angle / 2), math.sin(angle / 2)])
    down = np.array([-math.sin(angle / 2), math.cos(angle / 2)])
    found = []
    for alice in (up, down):
        left = np.tensordot(alice, psi, axes=(0, 0))  # [b, k]
        found.append(np.einsum("bk,bl->kl", left, left.conj()))
    return np.array(found)


def correlator_of(psi, a, b):
    one, two = (np.cos(t) * Z + np.sin(t) * X for t in (a, b))
    return np.einsum("abk,ac,bd,cdk->", psi.conj(), one, two, psi).real


def chsh_of(psi, settings, turn=lambda t: t):
    return sum(
        sign * correlator_of(psi, turn(settings.alice_angles[x]), settings.bob_angles[y])
        for (x, y), sign in settings.chsh_pairs
    )


def guess_of(states):
    return (1 + np.abs(np.linalg.eigvalsh(states[0] - states[1])).sum()) / 2


def entropy(states):
    values = np.linalg.eigvalsh(states).ravel()
    values = values[values > 1e-14]
    return float(-(values * np.log2(values)).sum())


def holevo_of(states):
    return entropy(states.sum(axis=0)) + 1 - entropy(states)


ATTACKS = {
    "cloner": (lambda s: clone(bell_pair(), s / 2), lambda s: shared(cloner_operators(s / 2))),
    "probe": (lambda s: entangle_probe(bell_pair(), s), lambda s: shared(probe_operators(s))),
}


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("angle", ANGLES)
def test_memory_tells_what_the_state_vector_says(name, strength, angle):
    circuit, vector = (make(strength) for make in ATTACKS[name])
    measured = measured_pair(circuit, angle, 0.3)
    own, direct = memory_states(measured), eves_states(vector, angle)
    # Eve may label her memory as she likes; what she can tell apart may not depend on it.
    assert guess_of(own) == pytest.approx(guess_of(direct), abs=1e-9)
    assert memory_information(measured) == pytest.approx(holevo_of(direct), abs=1e-9)


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_tapped_tables_have_the_correlators_of_the_state_vector(name, strength, settings):
    circuit, vector = (make(strength) for make in ATTACKS[name])
    circuits = pair_circuits(
        circuit, settings=settings, analyser=lambda *a: with_best_reading(measured_pair(*a))
    )
    outcomes = joint_table(circuits).sum(axis=4)
    for x, y in np.ndindex(outcomes.shape[:2]):
        expected = correlator_of(vector, settings.alice_angles[x], settings.bob_angles[y])
        signs = np.array([[1, -1], [-1, 1]])
        assert (outcomes[x, y] * signs).sum() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("disturbance", [0.0, 0.02, 0.11, 0.1464466094, 0.3, 0.5])
@pytest.mark.parametrize("angle", ANGLES)
def test_cloner_has_the_textbook_knowledge_along_every_angle(disturbance, angle):
    states = eves_states(shared(cloner_operators(disturbance)), angle)
    assert guess_of(states) == pytest.approx(
        0.5 + math.sqrt(disturbance * (1 - disturbance)), abs=1e-12
    )
    assert holevo_of(states) == pytest.approx(h(disturbance), abs=1e-9)


def test_cloner_knows_as_much_as_bob_just_where_s_is_two():
    disturbance = (1 - 1 / math.sqrt(2)) / 2
    psi = shared(cloner_operators(disturbance))
    assert chsh_of(psi, ASYMMETRIC) == pytest.approx(2, abs=1e-12)
    eve = 1 - h(guess_of(eves_states(psi, 0.0)))
    assert eve == pytest.approx(1 - h(disturbance), abs=1e-12)


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("strength", STRENGTHS)
def test_best_reading_reaches_helstroms_rate_and_no_rotation_beats_it(name, strength):
    measured = measured_pair(ATTACKS[name][0](strength), 0.4, 0.4)
    table = joint_table(((with_best_reading(measured),),))[0, 0].sum(axis=1)
    states = memory_states(measured)
    assert table.max(axis=0).sum() == pytest.approx(guess_of(states), abs=1e-9)
    generator = np.random.default_rng(3)
    for _ in range(50):
        shape = states[0].shape
        basis = np.linalg.qr(generator.normal(size=shape) + 1j * generator.normal(size=shape))[0]
        seen = np.einsum("ik,aij,jk->ak", basis.conj(), states, basis).real
        assert seen.max(axis=0).sum() <= guess_of(states) + 1e-9


@pytest.mark.parametrize("chsh", [2.0, 2.2, 2.5, 2.7, 2 * math.sqrt(2)])
def test_collective_attack_reaches_its_s_and_the_bound_of_acin(chsh):
    c = math.sqrt(max(0.0, chsh**2 / 4 - 1))
    psi = shared(probe_operators(min(1.0, c)))
    turned = lambda t: collective_angle(t, chsh=chsh)  # noqa: E731
    assert chsh_of(psi, ASYMMETRIC, turned) == pytest.approx(chsh, abs=1e-9)
    measured = measured_pair(emit_collective(bell_pair(), chsh), 0.0, 0.0)
    assert memory_information(measured) == pytest.approx(h((1 + c) / 2), abs=1e-9)
    reduced = emitted(emit_collective(bell_pair(), chsh))
    direct = np.einsum("abk,cdk->abcd", psi, psi.conj()).reshape(4, 4)
    np.testing.assert_allclose(reduced, direct, atol=1e-9)


@pytest.mark.parametrize("fraction", STRENGTHS)
def test_notes_average_to_the_channel_without_notes(fraction):
    for source in (bell_pair(), source_of(lopsided_density())):
        noted = intercept_and_note(source, fraction, angles=[0.0, 1.1])
        channel = intercept_resend_along(source, fraction, angles=[0.0, 1.1])
        np.testing.assert_allclose(emitted(noted), emitted(channel), atol=1e-12)


@given(st.floats(0, 1), st.floats(0, 1))
def test_eve_traced_out_is_the_channel(p, q):
    ops = [
        math.sqrt(1 - p) * np.eye(2),
        math.sqrt(p * q) * np.array([[0, 1], [1, 0]]),
        math.sqrt(p * (1 - q)) * np.array([[0, -1j], [1j, 0]]),
    ]
    source = source_of(lopsided_density())
    kept = with_eve(source, ops, parties=["alice"], description="x")
    dropped = with_channel(source, ops, parties=["alice"], description="x")
    np.testing.assert_allclose(emitted(kept), emitted(dropped), atol=1e-12)


def notes_table(source, angle):
    return joint_table(((measured_pair(source, angle, angle),),))[0, 0]


@pytest.mark.parametrize("fraction", STRENGTHS)
@pytest.mark.parametrize("key", ANGLES)
def test_every_note_of_an_interception_has_its_probability(fraction, key):
    table = notes_table(intercept_and_note(bell_pair(), fraction, angles=[0.0, 1.1]), key)
    assert table[:, :, 0].sum() == pytest.approx(1 - fraction, abs=1e-12)
    for i, angle in enumerate((0.0, 1.1)):
        for v in (0, 1):
            joint = table[:, :, 1 + 2 * i + v]
            assert joint.sum() == pytest.approx(fraction / 4, abs=1e-12)
            for a, b in np.ndindex(2, 2):
                agree = [(1 + (-1) ** (bit ^ v) * math.cos(key - angle)) / 2 for bit in (a, b)]
                assert joint[a, b] == pytest.approx(fraction / 4 * math.prod(agree), abs=1e-12)


@pytest.mark.parametrize("fraction", STRENGTHS)
def test_separable_source_mixes_the_product_states_it_notes(fraction):
    source = emit_separable(bell_pair(), fraction, angles=[0.0, math.pi / 3])
    phi = BELL_VECTORS["phi+"]
    expected = (1 - fraction) * np.outer(phi, phi)
    for angle in (0.0, math.pi / 3):
        for turn in (0, math.pi):
            v = np.array([math.cos((angle + turn) / 2), math.sin((angle + turn) / 2)])
            pair = np.kron(v, v)
            expected = expected + fraction / 4 * np.outer(pair, pair)
    np.testing.assert_allclose(emitted(source), expected, atol=1e-12)
    table = notes_table(source, 0.0)
    labels = table.reshape(2, 2, -1, 4).sum(axis=3)
    assert labels[:, :, 0].sum() == pytest.approx(1 - fraction, abs=1e-12)
    assert labels[0, 0, 1] == pytest.approx(fraction / 4, abs=1e-12)  # both 0 along Z, surely
    assert labels[1, 1, 2] == pytest.approx(fraction / 4, abs=1e-12)


def test_separable_source_throws_away_whatever_was_ordered():
    one = emit_separable(bell_pair("psi-"), 1.0, angles=[0.7])
    other = emit_separable(source_of(lopsided_density()), 1.0, angles=[0.7])
    np.testing.assert_allclose(emitted(one), emitted(other), atol=1e-12)


def test_source_of_eves_choice_emits_her_state_with_the_parties_in_place():
    generator = np.random.default_rng(1)
    state = generator.normal(size=(2, 2, 4)) + 1j * generator.normal(size=(2, 2, 4))
    state /= np.linalg.norm(state)
    source = emitted_by_eve(bell_pair(), state, description="hers")
    expected = np.einsum("abk,cdk->abcd", state, state.conj()).reshape(4, 4)
    np.testing.assert_allclose(emitted(source), expected, atol=1e-12)
    found = memory_states(measured_pair(source, 0.4, 0.0))
    np.testing.assert_allclose(found, eves_states(state, 0.4), atol=1e-12)


def test_no_planar_product_source_exceeds_root_two():
    generator = np.random.default_rng(2)
    for angles in generator.uniform(0, 2 * math.pi, (20, 3)):
        rho = emitted(emit_separable(bell_pair(), 1.0, angles=angles.tolist()))
        tensor = np.trace(rho @ np.kron(Z, Z)) + np.trace(rho @ np.kron(X, X))
        assert math.sqrt(2) * tensor.real == pytest.approx(math.sqrt(2), abs=1e-9)


@pytest.mark.parametrize(
    "registers",
    [("alice", "eve", "bob"), ("bob", "alice"), ("eve", "bob", "alice"), ("alice", "bob", "eve")],
)
def test_circuit_without_eve_has_the_outcomes_of_both_parties_in_any_order(registers):
    """By Born's rule, for a state without any symmetry, whose parties cannot change places."""
    rho = lopsided_density()
    vector = np.linalg.eigh(rho)[1][:, -1].reshape(2, 2)
    source = QuantumCircuit(*(QuantumRegister(1, f"{name}_photon") for name in registers))
    places = dict(zip(registers, source.qubits, strict=True))
    source.prepare_state(vector.T.ravel(), [places["alice"], places["bob"]])
    if "eve" in places:
        source.h(places["eve"])
        source.cz(places["eve"], places["bob"])  # half of the photons get a Z
        kick = np.kron(np.eye(2), Z)
        rho = (rho + kick @ rho @ kick) / 2
    alone = without_eve(measured_pair(source, 0.4, 1.3))
    assert (alone.num_qubits, [r.name for r in alone.cregs]) == (2, ["alice", "bob"])
    found = outcome_table(((alone,),))[0, 0]
    np.testing.assert_allclose(found, born_table(rho, 0.4, 1.3), atol=1e-12)
    assert abs(found - found.T).max() > 0.01


def test_circuit_that_measures_early_keeps_its_eve():
    source = intercept_with_record(bell_pair(), 0.3)
    source.h(eve_qubits(source)[0])
    source.cx(eve_qubits(source)[0], source.qubits[1])
    with pytest.raises(ValueError, match="must measure at its end only"):
        without_eve(measured_pair(source, 0.0, 0.0))


BAD = {
    "disturbance": (lambda: clone(bell_pair(), 0.6), r"`disturbance` must lie in \[0, 1/2\]"),
    "overlap": (lambda: entangle_probe(bell_pair(), -0.1), r"`overlap` must lie in \[0, 1\]"),
    "angle": (lambda: entangle_probe(bell_pair(), 0.1, angle=math.inf), "`angle` must be a finite"),
    "chsh": (lambda: collective_overlap(1.9), r"`chsh` must lie in \[2, 2 sqrt 2\], but is 1.9"),
    "many": (lambda: emit_separable(bell_pair(), 1, angles=[0.1] * 8), "at most 7 directions"),
    "fraction": (lambda: emit_separable(bell_pair(), 2, angles=[0.1]), "`fraction` must lie in"),
    "shape": (lambda: emitted_by_eve(bell_pair(), np.ones(4), description=""), "must have shape"),
    "three": (
        lambda: emitted_by_eve(bell_pair(), np.ones((2, 2, 3)), description=""), "d a power of 2"
    ),
    "norm": (
        lambda: emitted_by_eve(bell_pair(), np.ones((2, 2, 2)), description=""), "must have norm 1"
    ),
    "twice": (lambda: clone(clone(bell_pair(), 0.1), 0.1), "must have no register `eve` yet"),
    "none": (lambda: eve_qubits(bell_pair()), "must have a quantum register `eve_memory`"),
    "incomplete": (
        lambda: with_eve(bell_pair(), [np.eye(2) / 2], parties=["bob"], description=""), "sum"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_impossible_eve_is_refused(name):
    call, sentence = BAD[name]
    with pytest.raises(ValueError, match=sentence):
        call()


def test_eve_with_a_memory_leaves_her_argument_alone():
    source = bell_pair()
    for make in (lambda s: clone(s, 0.1), lambda s: entangle_probe(s, 0.1),
                 lambda s: emit_separable(s, 0.1, angles=[0.0])):  # fmt: skip
        assert make(source).name != source.name
        assert source == bell_pair()
