"""Progress is announced and changes nothing: one seed gives one key, with a bar or without."""

import json
from dataclasses import replace

import numpy as np
import pytest

import e91
import e91.devices.aer
import e91.devices.exact
from e91.adversaries import run_attack
from e91.adversaries.attacked_session import conditions_of, stage
from e91.devices.aer import aer_device
from e91.devices.exact import exact_device
from e91.devices.samplers.sampler_device import sampler_device

FACTORIES = {"aer": aer_device, "exact": exact_device}


def choices(rounds):
    return np.random.default_rng(1).integers(3, size=(2, rounds), dtype=np.uint8)


def small_steps(monkeypatch):
    monkeypatch.setattr(e91.devices.aer, "SHOTS_PER_RUN", 500)
    monkeypatch.setattr(e91.devices.exact, "ROUNDS_PER_BLOCK", 500)


def many_steps(make):
    from qiskit_aer.primitives import SamplerV2

    if make == "sampler":
        return sampler_device(lambda seed: SamplerV2(seed=seed), executions_per_run=4500, seed=1)
    return FACTORIES[make](seed=1)


@pytest.mark.parametrize("make", ["aer", "exact", "sampler"])
def test_device_announces_every_round_once_and_answers_the_same(make, monkeypatch):
    small_steps(monkeypatch)
    x, y = choices(10_000)
    steps = []
    announced = many_steps(make).announcing(steps.append)(x, y)
    np.testing.assert_array_equal(announced, many_steps(make)(x, y))
    assert len(steps) > 10
    assert sum(steps) == 10_000


@pytest.mark.parametrize("make", FACTORIES.values())
def test_device_that_announces_goes_on_with_the_randomness_of_the_other(make):
    x, y = choices(1_000)
    device, twin = make(seed=1), make(seed=1)
    first, second = device.announcing(print)(x, y), device(x, y)
    np.testing.assert_array_equal(first, twin(x, y))
    np.testing.assert_array_equal(second, twin(x, y))


def run_by_command(status, *arguments):
    code, out, complaint = status("run", "--json", "--seed", "1", *arguments)
    assert (code, complaint) == (0, "")
    return json.loads(out)


def assert_same_session(found, report):
    made = report.to_dict()
    for name in ("chsh", "qber", "leaked_bits", "secret_bits"):
        assert found[name] == made[name]


@pytest.mark.parametrize(
    ("device", "rounds"),
    [
        pytest.param("aer", 1_300_000, marks=pytest.mark.slow),
        ("exact", 1_300_000),
        ("aer", 30_000),
    ],
)
def test_command_and_function_run_the_same_session(device, rounds, status, monkeypatch):
    if rounds < 1_000_000:
        small_steps(monkeypatch)
    found = run_by_command(status, "--device", device, "--rounds", rounds)
    made = FACTORIES[device](visibility=0.97, seed=1)
    assert_same_session(found, e91.run(made, rounds=rounds, seed=1))


def test_command_runs_the_same_session_under_attack(status):
    arguments = ("--attack", "memory", "--strength", 0.1, "--device", "exact")
    found = run_by_command(status, *arguments, "--rounds", 1_300_000)
    report = run_attack(
        "memory", 0.1, settings=e91.EKERT, visibility=0.97, rounds=1_300_000, seed=1
    )
    assert_same_session(found, report.session)


@pytest.mark.parametrize(
    ("name", "simulator"),
    [
        ("blinding", "aer"),
        ("intercept-resend", "aer-with-eve"),
        ("cloner", "aer"),
        ("cloner", "exact"),
    ],
)
def test_device_under_attack_announces_every_round_once(name, simulator, monkeypatch):
    small_steps(monkeypatch)
    monkeypatch.setattr(e91.devices.aer, "SHOTS_PER_RUN", 500)
    steps = []
    conditions = conditions_of(name, settings=e91.EKERT, simulator=simulator, seed=1)
    announced = stage(name, replace(conditions, progress=steps.append)).device(*choices(10_000))
    np.testing.assert_array_equal(announced, stage(name, conditions).device(*choices(10_000)))
    assert len(steps) > 10
    assert sum(steps) == 10_000
