"""The conformance suite passes every sampler that is sound and sees every planted fault."""

import json
from dataclasses import replace
from math import comb

import numpy as np
import pytest
from qiskit.primitives import (
    BaseSamplerV2,
    BitArray,
    DataBin,
    PrimitiveResult,
    SamplerPubResult,
    StatevectorSampler,
)
from qiskit_aer.primitives import SamplerV2
from samplers import NAMES, case, marrakesh
from scipy.stats import binom

from e91.devices.exact import exact_device
from e91.devices.samplers.conformance import exact_tests as statistics
from e91.devices.samplers.conformance.exact_tests import MISSED, Sample, detectable, tail
from e91.devices.samplers.conformance.suite import Check, conformance, conforms
from e91.model.settings import EKERT

CONTRACT = ["registers", "shots", "bit order", "unequal counts"]
VALUES = ["correlators", "marginals", "S"]
INDEPENDENCE = ["setting pairs", "successive runs", "spread of S"]


def failed(checks):
    return [check.name for check in checks if check.required and not check.passed]


def aer(seed):
    return SamplerV2(seed=seed)


@pytest.mark.parametrize("name", NAMES)
def test_sound_sampler_conforms(name):
    sound = case(name)
    checks = conformance(sound.make, sound.backend, table=sound.table, shots=5000, seed=1)
    assert [check.name for check in checks] == [*CONTRACT, *VALUES, *INDEPENDENCE, "unequal PUBs"]
    assert not failed(checks)
    assert conforms(checks)


def test_sampler_without_parameters_conforms_pair_by_pair_only():
    class Unparametrised(SamplerV2):
        def run(self, pubs, *, shots=None):
            pubs = list(pubs)
            if any(pub[0].num_parameters for pub in pubs):
                raise NotImplementedError("no parameters here")
            return super().run(pubs, shots=shots)

    assert conforms(conformance(Unparametrised(), grouping="pair-by-pair", shots=5000))
    assert failed(conformance(Unparametrised(), shots=5000)) == [*CONTRACT, "outcomes"]


def test_sampler_without_a_seed_conforms():
    assert conforms(conformance(StatevectorSampler(), shots=5000))


@pytest.mark.parametrize(
    ("sampler", "grouping", "seen"),
    [
        (lambda seed: SamplerV2(seed=42), "one-pub", ["successive runs"]),
        (SamplerV2(seed=42), "one-pub", ["successive runs"]),
        (SamplerV2(seed=42), "pair-by-pair", INDEPENDENCE),
        (StatevectorSampler(seed=42), "one-pub", INDEPENDENCE),
        (lambda seed: StatevectorSampler(seed=seed), "one-pub", ["setting pairs", "spread of S"]),
        (lambda seed: StatevectorSampler(seed=seed), "pair-by-pair", []),
    ],
)
def test_seed_traps_are_seen_where_they_are(sampler, grouping, seen):
    assert failed(conformance(sampler, grouping=grouping, seed=1)) == seen


class Spoiled(BaseSamplerV2):
    """Aer's sampler, its answers spoiled by a function of (register name -> bits)."""

    def __init__(self, spoil, seed):
        self.spoil, self.seed = spoil, seed

    def run(self, pubs, *, shots=None):
        job = SamplerV2(seed=self.seed).run(pubs, shots=shots)
        rng = np.random.default_rng(self.seed)
        results = []
        for result in job.result():
            bits = {name: found.array for name, found in result.data.items()}
            data = {name: BitArray(array, 1) for name, array in self.spoil(bits, rng).items()}
            results.append(SamplerPubResult(DataBin(**data, shape=result.data.shape)))
        spoiled = PrimitiveResult(results)
        job.result = lambda: spoiled
        return job


def flipped(bits, rng, *, party, chance):
    noise = (rng.random(bits[party].shape) < chance).astype(np.uint8)
    return bits | {party: bits[party] ^ noise}


def biased(bits, rng, *, party, chance):
    return bits | {party: bits[party] & (rng.random(bits[party].shape) >= chance)}


def second_half_again(bits, rng):
    half = bits["alice"].shape[-2] // 2
    return {
        name: np.concatenate([array[..., :half, :], array[..., : array.shape[-2] - half, :]], -2)
        for name, array in bits.items()
    }


FAULTS = {
    "registers swapped": (lambda b, r: {"alice": b["bob"], "bob": b["alice"]}, ["bit order"]),
    "another register": (lambda b, r: {"meas": b["alice"]}, [*CONTRACT, "outcomes"]),
    "one shot dropped": (
        lambda b, r: {n: array[..., 1:, :] for n, array in b.items()},
        [*CONTRACT, "outcomes"],
    ),
    "one shot too many": (
        lambda b, r: {n: np.concatenate([a, a[..., :1, :]], -2) for n, a in b.items()},
        ["shots"],
    ),
    "setting pairs in reverse": (
        lambda b, r: {n: array[::-1] for n, array in b.items()},
        ["unequal counts", "correlators", "S"],
    ),
    "bob's bits flipped": (
        lambda b, r: flipped(b, r, party="bob", chance=1.0),
        ["bit order", "unequal counts", "correlators", "S"],
    ),
    "three in a hundred of bob's bits flipped": (
        lambda b, r: flipped(b, r, party="bob", chance=0.03),
        ["correlators", "S"],
    ),
    "alice reads 0 too often": (
        lambda b, r: biased(b, r, party="alice", chance=0.12),
        ["correlators", "marginals", "S"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_seen_by_the_checks_that_look_at_it(fault):
    spoil, seen = FAULTS[fault]
    found = failed(conformance(lambda seed: Spoiled(spoil, seed), shots=8000, seed=1))
    assert found == seen


def test_shots_that_come_twice_in_a_run_widen_s():
    # Each shot of the first half again in the second: every mean is right, nothing is independent.
    rng = np.random.default_rng(3)
    same = exact_sample(rng, shots=20_000)
    twice = replace(
        same,
        alice=np.repeat(same.alice[..., :10_000], 2, axis=3),
        bob=np.repeat(same.bob[..., :10_000], 2, axis=3),
    )
    assert statistics.spread(same).passed
    assert not statistics.spread(twice).passed


def test_sampler_that_raises_fails_instead_of_ending_the_suite():
    class Raising(SamplerV2):
        def run(self, pubs, *, shots=None):
            raise RuntimeError("the fridge is warm")

    checks = conformance(Raising(), seed=1)
    assert failed(checks) == [*CONTRACT, "outcomes"]
    assert checks[0].found == "RuntimeError: the fridge is warm"


def test_noise_that_is_known_is_held_against_its_table_only():
    noisy = case("BackendSamplerV2 over a pair")
    assert failed(conformance(noisy.make, noisy.backend, shots=16_000, seed=1)) == [
        "correlators",
        "S",
    ]
    unknown = conformance(noisy.make, noisy.backend, noise_is_unknown=True, shots=5000, seed=1)
    assert [check.name for check in unknown][4] == "signs"
    assert conforms(unknown)


def test_sampler_of_random_bits_has_no_signs():
    def sampling(bits, rng):
        return {name: rng.integers(0, 2, array.shape, np.uint8) for name, array in bits.items()}

    checks = conformance(
        lambda seed: Spoiled(sampling, seed), noise_is_unknown=True, shots=3000, seed=1
    )
    assert failed(checks) == ["bit order", "unequal counts", "signs"]


def test_pubs_of_unequal_shots_are_noted_and_not_required():
    notes = {
        "aer": conformance(aer, shots=2000)[-1],
        "executor": conformance(
            case("IBM's executor over a pair").make,
            marrakesh(),
            noise_is_unknown=True,
            shots=2000,
        )[-1],
    }
    assert [note.name for note in notes.values()] == ["unequal PUBs"] * 2
    assert not any(note.required for note in notes.values())
    assert notes["aer"].found.startswith("outcomes of two agree in 100.0%")  # the known trap
    assert "All pubs must have the same number of shots" in notes["executor"].found


def exact_sample(rng, *, shots, table=None):
    """Two runs drawn from a table by NumPy, without any sampler."""
    table = exact_device(visibility=0.9).table if table is None else table
    cells = np.stack(
        [
            [rng.choice(4, size=shots, p=table[x, y].ravel()) for y in range(3)]
            for _ in range(2)
            for x in range(3)
        ]
    ).reshape(2, 3, 3, shots)
    return Sample(EKERT, (cells >> 1).astype(np.uint8), (cells & 1).astype(np.uint8))


def test_statistics_pass_what_numpy_draws_from_the_table():
    table = exact_device(visibility=0.9).table
    sample = exact_sample(np.random.default_rng(1), shots=10_000)
    compared = (statistics.correlators, statistics.marginals, statistics.chsh_value)
    alone = (statistics.independent_pairs, statistics.independent_runs, statistics.spread)
    assert all(check(sample, table).passed for check in compared)
    assert all(check(sample).passed for check in (*alone, statistics.signs))


def test_stated_errors_are_the_ones_that_are_detected():
    # S off by what the check states must be seen: V lowered by that fraction of 2 sqrt 2.
    perfect = exact_device().table
    check = statistics.chsh_value(exact_sample(np.random.default_rng(1), shots=10_000), perfect)
    stated = float(check.detects.removeprefix("S off by "))
    lowered = exact_device(visibility=1 - stated / (2 * np.sqrt(2))).table
    seen = [
        not statistics.chsh_value(
            exact_sample(np.random.default_rng(seed), shots=10_000, table=lowered), perfect
        ).passed
        for seed in range(2, 12)
    ]
    assert all(seen)


@pytest.mark.parametrize(("k", "n", "p"), [(3, 10, 0.4), (0, 7, 0.1), (9, 9, 0.5), (5, 10, 0.5)])
def test_tail_is_that_of_the_binomial_written_out(k, n, p):
    mass = [comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(n + 1)]
    expected = min(1.0, 2 * min(sum(mass[: k + 1]), sum(mass[k:])))
    assert tail(k, n, p) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("k", [0, 20, 31, 40, 80])
def test_tail_of_a_sum_is_that_of_all_its_outcomes_added_up(k):
    n, chances = 20, [0.5, 0.3, 0.8, 0.45]
    mass = np.ones(1)
    for p in chances:  # the definition: every outcome of every pair, one Bernoulli at a time
        for _ in range(n):
            mass = np.append(mass * (1 - p), 0) + np.append(0, mass * p)
    expected = min(1.0, 2 * min(mass[: k + 1].sum(), mass[k:].sum()))
    assert statistics._tail_of_sum(k, n, chances) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.85])
def test_detectable_deviation_is_missed_as_rarely_as_stated(p):
    n, alpha = 4000, 1e-9
    least = detectable(n, p, alpha=alpha)
    far = p + least if p < 0.5 else p - least
    low, high = binom.ppf(alpha / 2, n, p), binom.isf(alpha / 2, n, p)
    missed = binom.cdf(high, n, far) - binom.cdf(low - 1, n, far)
    assert missed <= MISSED
    nearer = p + 0.9 * least if p < 0.5 else p - 0.9 * least
    assert binom.cdf(high, n, nearer) - binom.cdf(low - 1, n, nearer) > MISSED


def test_too_few_shots_are_refused():
    with pytest.raises(ValueError, match="`shots` must be at least 1000"):
        conformance(StatevectorSampler(), shots=999)


def test_note_that_fails_does_not_count():
    note = Check("note", False, "", "", required=False)
    assert conforms((note,))
    assert not conforms((note, replace(note, required=True)))


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "my_samplers.py").write_text(
        "from qiskit_aer.primitives import SamplerV2\n"
        "def good(seed): return SamplerV2(seed=seed)\n"
        "def shared(): return SamplerV2(seed=42)\n"
        "unseeded = SamplerV2()\n"
        "number = 7\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize(
    "name", ["my_samplers:good", "my_samplers:unseeded", "qiskit_aer.primitives:SamplerV2"]
)
def test_one_command_passes_a_sound_sampler(own_module, status, name):
    code, out, err = status("conformance", name, "--shots", 2000)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == f"{name} conforms."
    assert out.count(" pass ") == 10


def test_one_command_fails_a_shared_seed(own_module, status):
    code, out, _ = status("conformance", "my_samplers:shared", "--shots", 2000)
    assert code == 1
    assert out.splitlines()[-1] == "my_samplers:shared does not conform."
    row = next(line for line in out.splitlines() if line.startswith("successive runs"))
    assert "FAIL" in row
    assert "100.00%" in row


def test_json_lists_every_check_with_its_false_alarm_and_what_it_detects(own_module, status):
    code, out, _ = status("conformance", "my_samplers:good", "--shots", 2000, "--json")
    found = json.loads(out)
    assert (code, found["conforms"], len(found["checks"])) == (0, True, 11)
    keys = {"name", "passed", "found", "detects", "false_alarm", "required"}
    assert all(set(check) == keys for check in found["checks"])
    assert {c["false_alarm"] for c in found["checks"] if c["name"] in INDEPENDENCE} == {1e-9}


def test_snapshot_is_compared_with_its_own_table(tmp_path, monkeypatch, status):
    (tmp_path / "pair_samplers.py").write_text(
        "from qiskit.primitives import BackendSamplerV2\n"
        "from e91.devices.samplers.snapshots import pair_backend\n"
        "backend = pair_backend('manila')\n"
        "def manila(seed):\n"
        "    return BackendSamplerV2(backend=backend, options={'seed_simulator': seed})\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    command = ["conformance", "pair_samplers:manila", "--seed", 1, "--shots", 5000]
    assert status(*command, "--snapshot", "manila")[0] == 0
    assert status(*command, "--snapshot", "boston")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere"], "must be given as MODULE:NAME, but is `nowhere`"),
        (["nowhere_at_all:x"], "No module named 'nowhere_at_all'"),
        (["my_samplers:absent"], "has no attribute 'absent'"),
        (["my_samplers:number"], "but a int was found"),
        (["my_samplers:good", "--shots", 10], "`--shots` must be at least 1000"),
        (["my_samplers:good", "--snapshot", "x"], "`x` must be the name of a snapshot"),
        (["my_samplers:good", "--snapshot", "manila", "--noisy"], "must come without `--snapshot`"),
    ],
)
def test_wrong_command_is_one_sentence_and_status_two(own_module, status, arguments, complaint):
    code, out, err = status("conformance", *arguments)
    assert (code, out) == (2, "")
    assert complaint in err
    assert err.count("\n") == 1
