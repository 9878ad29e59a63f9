"""Any sampler is a device: the same physics from all, a sentence for each that breaks a rule."""

import numpy as np
import pytest
from e91_circuits import bell_pair, intercept_with_record, with_dephasing
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.primitives import (
    BaseSamplerV2,
    BitArray,
    DataBin,
    PrimitiveResult,
    SamplerPubResult,
    StatevectorSampler,
)
from qiskit.providers import BackendV2
from qiskit_aer import AerSimulator
from qiskit_aer.primitives import SamplerV2
from samplers import NAMES, case, marrakesh
from statistical import assert_binomial

import e91
from e91.devices.exact import exact_device
from e91.devices.samplers.sampler_device import SamplerDevice, rounds_by_pair, sampler_device
from e91.devices.samplers.snapshots import snapshot_backend
from e91.model.settings import ASYMMETRIC, BBM92, EKERT

PAIRS = [(x, y) for x in range(3) for y in range(3)]
COUNTS = dict(zip(PAIRS, range(3000, 3900, 100), strict=True))  # unequal, as random choices are


def unequal_choices(counts=COUNTS):
    x, y = np.repeat(np.array(list(counts), np.uint8), list(counts.values()), axis=0).T
    order = np.random.default_rng(5).permutation(len(x))
    return x[order], y[order]


def aer(seed):
    return SamplerV2(seed=seed)


@pytest.mark.parametrize("grouping", ["one-pub", "pair-by-pair"])
@pytest.mark.parametrize("name", NAMES)
def test_every_sampler_follows_its_exact_table(name, grouping):
    # One function, every sampler.  False alarm 1e-9 a cell; an error of 0.1 must show in each.
    found = case(name)
    device = sampler_device(found.make, found.backend, grouping=grouping, seed=7)
    x, y = unequal_choices()
    a, b = device(x, y)
    assert (a.dtype, b.dtype, a.shape, b.shape) == (np.uint8, np.uint8, x.shape, y.shape)
    for (i, j), rounds in rounds_by_pair(x, y, settings=EKERT).items():
        for cell in np.ndindex(2, 2):
            p = float(found.table[i, j][cell])
            k = np.count_nonzero((a[rounds] == cell[0]) & (b[rounds] == cell[1]))
            assert_binomial(k, len(rounds), p, must_detect=p + 0.1 if p < 0.5 else p - 0.1)


@pytest.mark.parametrize("grouping", ["one-pub", "pair-by-pair"])
@pytest.mark.parametrize("per_run", [1, 90, 10_000])
def test_outcomes_return_to_their_rounds_however_runs_are_cut(grouping, per_run):
    # Deterministic in every round: Alice's photon is |0>, Bob's |1>, and angles 0 or 180 degrees.
    source = bell_pair().copy_empty_like("certain")
    source.x(1)
    settings = type(EKERT)("certain", (0.0, np.pi), (0.0, np.pi, 0.0))
    x, y = unequal_choices({(i, j): 5 + 7 * i + 3 * j for i in range(2) for j in range(3)})
    device = sampler_device(
        aer, settings=settings, source=source, grouping=grouping, executions_per_run=per_run
    )
    a, b = device(x, y)
    np.testing.assert_array_equal(a, x)
    np.testing.assert_array_equal(b, y != 1)


@pytest.mark.parametrize("settings", [ASYMMETRIC, BBM92], ids=["asymmetric", "bbm92"])
def test_noise_in_the_source_reaches_the_sampler(settings):
    source = with_dephasing(bell_pair(), 0.5, party="alice")
    table = exact_device(settings=settings, dephasing=0.5).table
    shape = table.shape[:2]
    x, y = unequal_choices({(i, j): 4000 for i in range(shape[0]) for j in range(shape[1])})
    a, b = sampler_device(aer, settings=settings, source=source, seed=3)(x, y)
    for pair, rounds in rounds_by_pair(x, y, settings=settings).items():
        p = float(table[pair][0, 0] + table[pair][1, 1])
        k = np.count_nonzero(a[rounds] == b[rounds])
        assert_binomial(k, 4000, p, must_detect=p + 0.09 if p < 0.5 else p - 0.09)


def test_settings_of_a_run_are_one_pub_of_equal_shots():
    seen = []

    class Noting(SamplerV2):
        def run(self, pubs, *, shots=None):
            pubs = list(pubs)
            seen.append(
                [(pub[0].num_parameters, next(iter(pub[1].values())).shape, pub[2]) for pub in pubs]
            )
            return super().run(pubs, shots=shots)

    sampler_device(lambda seed: Noting(seed=seed))(*unequal_choices())
    assert seen == [[(2, (9, 2), 3800)]]


class Unparametrised(SamplerV2):
    """A sampler that knows no parameters."""

    def run(self, pubs, *, shots=None):
        pubs = list(pubs)
        assert all(pub[0].num_parameters == 0 and pub[1] is None for pub in pubs)
        return super().run(pubs, shots=shots)


def test_pair_by_pair_serves_samplers_that_know_no_parameters():
    device = sampler_device(lambda seed: Unparametrised(seed=seed), grouping="pair-by-pair")
    x, y = unequal_choices(dict.fromkeys(PAIRS, 20))
    a, b = device(x, y)
    key = (x == 1) & (y == 0)
    np.testing.assert_array_equal(a[key], b[key])


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1)), max_size=60))
def test_rounds_of_a_pair_are_those_that_chose_it_in_order(choices):
    x, y = (np.array([pair[i] for pair in choices], np.uint8) for i in (0, 1))
    found = rounds_by_pair(x, y, settings=ASYMMETRIC)
    for pair in [(i, j) for i in range(3) for j in range(2)]:
        assert found[pair].tolist() == [n for n, chosen in enumerate(choices) if chosen == pair]


def test_every_run_gets_its_own_seed_below_2_to_63():
    seeds = []

    def noted(seed):
        seeds.append(seed)
        return SamplerV2(seed=seed)

    device = sampler_device(noted, executions_per_run=90, seed=1)
    device(*unequal_choices(dict.fromkeys(PAIRS, 35)))
    assert len(seeds) == len(set(seeds)) == 1 + 4  # the first is looked at only
    assert all(type(seed) is int and 0 <= seed < 2**63 for seed in seeds)


def test_equal_seeds_repeat_a_sequence_of_calls_and_others_do_not():
    x, y = unequal_choices(dict.fromkeys(PAIRS, 50))
    first, second, other = (sampler_device(aer, seed=seed) for seed in (1, 1, 2))
    runs = [np.concatenate([*device(x, y), *device(x, y)]) for device in (first, second, other)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert (runs[0] != runs[2]).any()


@pytest.mark.parametrize(
    "sampler", [SamplerV2(seed=4), StatevectorSampler(seed=4), lambda seed: SamplerV2(seed=4)]
)
def test_sampler_that_repeats_its_stream_is_refused_at_its_second_run(sampler):
    device = sampler_device(sampler)
    x, y = unequal_choices(dict.fromkeys(PAIRS, 200))
    device(x, y)
    with pytest.raises(ValueError, match="must give new outcomes at every run"):
        device(x, y)


def test_sampler_without_a_seed_runs_again_and_again():
    device = sampler_device(StatevectorSampler())
    x, y = unequal_choices(dict.fromkeys(PAIRS, 200))
    runs = [device(x, y)[0] for _ in range(3)]
    assert (runs[0] != runs[1]).any()
    assert (runs[1] != runs[2]).any()


def test_certain_source_may_repeat_itself():
    device = sampler_device(aer, source=bell_pair().copy_empty_like("dark"), settings=EKERT)
    x = np.zeros(500, np.uint8)
    first, again = device(x, x)[0], device(x, x)[0]
    assert not first.any()
    assert not again.any()


def test_whole_session_runs_on_a_sampler():
    report = e91.run(sampler_device(aer, seed=1), rounds=60_000, seed=1)
    assert report.abort is None
    assert report.secret_bits > 5_000


class Faulty(BaseSamplerV2):
    """A sampler whose answers are spoiled by a function of them."""

    def __init__(self, spoil):
        self.spoil = spoil

    def run(self, pubs, *, shots=None):
        job = SamplerV2(seed=1).run(pubs, shots=shots)
        data = self.spoil(dict(job.result()[0].data.items()))
        shape = next(iter(data.values())).shape if data else ()
        spoiled = PrimitiveResult([SamplerPubResult(DataBin(**data, shape=shape))])
        job.result = lambda: spoiled
        return job


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: {"meas": d["alice"]}, r"registers `alice` and `bob`, but returned \['meas'\]"),
        (lambda d: {"alice": d["alice"]}, r"registers `alice` and `bob`, but returned \['alice'\]"),
        (
            lambda d: {n: BitArray.from_bool_array(np.zeros((9, 50, 2), bool)) for n in d},
            "`alice` must hold one bit a shot, but holds 2 bits",
        ),
        (
            lambda d: d | {"bob": BitArray(d["bob"].array[:, :20], 1)},
            "must return 50 shots of each setting pair, but returned 20 in `bob`",
        ),
        (
            lambda d: {n: BitArray(d[n].array[:1], 1) for n in d},
            r"entry for each of 9 setting pairs, but has shape \(1,\)",
        ),
        (
            lambda d: d | {"alice": BitArray(d["alice"].array + np.uint8(2), 1)},
            "`alice` must hold bits, but holds 3",
        ),
    ],
)
def test_result_that_breaks_the_contract_is_refused(spoil, message):
    with pytest.raises(ValueError, match=message):
        sampler_device(Faulty(spoil))(*unequal_choices(dict.fromkeys(PAIRS, 50)))


def test_more_shots_than_asked_are_dropped():
    class Generous(SamplerV2):
        def run(self, pubs, *, shots=None):
            return super().run([(c, v, n + 5) for c, v, n in pubs], shots=shots)

    a, _ = sampler_device(lambda seed: Generous(seed=seed))(*unequal_choices({(0, 0): 30}))
    assert a.shape == (30,)


@pytest.mark.parametrize("sampler", [7, "aer", AerSimulator()])
def test_what_is_no_sampler_is_refused(sampler):
    with pytest.raises(ValueError, match=r"must be a qiskit\.primitives\.BaseSamplerV2"):
        sampler_device(sampler)


def test_function_that_returns_no_sampler_is_refused():
    with pytest.raises(ValueError, match="but a int was found"):
        sampler_device(lambda seed: seed)([0], [0])


class Small(BackendV2):
    """A machine of one qubit."""

    target = property(lambda self: self._target)
    max_circuits = None

    def __init__(self):
        super().__init__(name="small")
        from qiskit.transpiler import Target

        self._target = Target(num_qubits=1)

    @classmethod
    def _default_options(cls):
        from qiskit.providers import Options

        return Options()

    def run(self, run_input, **options):
        raise AssertionError("never run")


def measured_on_the_way(source):
    result: QuantumCircuit = source.copy()
    result.add_register(ClassicalRegister(1, "eve"))
    result.measure(1, 0)
    return result


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backend": Small()}, "must have at least 2 qubits, but small has 1"),
        ({"layout": (0, 0)}, r"two different qubits from 0 to 1, but is \(0, 0\)"),
        ({"layout": (0, 2)}, r"two different qubits from 0 to 1, but is \(0, 2\)"),
        ({"layout": "worst"}, "two different qubits from 0 to 1, but is 'worst'"),
        ({"layout": (0, 1, 2)}, r"two different qubits from 0 to 1, but is \(0, 1, 2\)"),
        ({"source": with_dephasing(bell_pair(), 0.1, party="bob")}, "must consist of gates"),
        ({"source": intercept_with_record(bell_pair(), angle=0.3)}, "at least 3 qubits"),
        ({"grouping": "shuffled"}, "must be one-pub or pair-by-pair, but is 'shuffled'"),
        ({"executions_per_run": 0}, "`executions_per_run` must be at least 1, but is 0"),
    ],
)
def test_what_the_machine_cannot_run_is_refused_before_it_runs(arguments, message):
    with pytest.raises(ValueError, match=message):
        sampler_device(aer, **{"backend": marrakesh(), **arguments})


def test_eve_with_a_qubit_of_her_own_may_be_left_to_the_transpiler():
    source = intercept_with_record(bell_pair(), angle=0.0)
    backend = snapshot_backend("manila")
    sampler_device(aer, backend, source=source, layout=None)
    with pytest.raises(ValueError, match="must be best or None for a circuit of 3 qubits"):
        sampler_device(aer, backend, source=source, layout=(0, 1))


def test_description_says_what_runs_where_and_what_grouping_assumes():
    device = sampler_device(aer, marrakesh())
    assert device.description == (
        "Sampler of `aer` on fake_marrakesh pair, qubits 0 (alice) and 1 (bob); phi+ pair."
    )
    assert "source without memory" in device.info.assumption
    assert sampler_device(SamplerV2()).description == "SamplerV2; phi+ pair."


def test_device_is_frozen_and_prints_no_seed():
    device = sampler_device(aer, seed=123456789)
    assert isinstance(device, SamplerDevice)
    assert "123456789" not in repr(device)
    with pytest.raises(AttributeError):
        device.settings = BBM92


def test_no_rounds_give_no_outcomes():
    a, b = sampler_device(aer)([], [])
    assert (a.shape, b.shape, a.dtype) == ((0,), (0,), np.uint8)
