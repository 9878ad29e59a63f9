"""What the Aer devices refuse, print and keep closed."""

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from e91_circuits import intercept_resend

from e91.devices.aer import aer_device
from e91.devices.exact import ExactDevice, exact_device
from e91.model.device import DeviceInfo
from e91.model.settings import BBM92, EKERT

FACTORIES = [aer_device, exact_device]
RANDOM_EVE = partial(intercept_resend, fraction=0.3, basis="random")
EVERYTHING = {
    "visibility": 0.95,
    "dephasing": 0.04,
    "misalignment": 0.15,
    "amplitude_damping": 0.1,
    "readout_error": 0.02,
    "attack": RANDOM_EVE,
}


@pytest.mark.parametrize("make", FACTORIES)
@pytest.mark.parametrize("empty", [np.zeros(0, np.uint8), []])
def test_no_rounds_give_no_outcomes(make, empty):
    a, b = make(seed=1)(empty, empty)
    assert (a.shape, b.shape, a.dtype) == ((0,), (0,), np.uint8)


@pytest.mark.parametrize("make", FACTORIES)
@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([0, 3], [0, 1], r"`x` must lie in \[0, 2\], but spans \[0, 3\]"),
        ([0, 1], [0, 4], r"`y` must lie in \[0, 3\], but spans \[0, 4\]"),
        ([-1], [0], r"`x` must lie in \[0, 2\]"),
        ([0, 256], [0, 0], r"`x` must lie in \[0, 2\]"),
        ([0.5], [0], "`x` must hold whole numbers"),
        ([[0]], [[0]], r"`x` must have shape \(n,\)"),
        ([0, 1], [0], "`y` must have the length of `x`, 2, but has 1"),
    ],
)
def test_choices_that_are_no_settings_are_refused(make, x, y, message):
    settings = type(EKERT)("three by four", (0.0, 1.0, 2.0), (0.0, 1.0, 2.0, 3.0))
    with pytest.raises(ValueError, match=message):
        make(settings=settings, seed=1)(x, y)


@pytest.mark.parametrize("make", FACTORIES)
@pytest.mark.parametrize("name", ["visibility", "dephasing", "amplitude_damping", "readout_error"])
@pytest.mark.parametrize("value", [float("nan"), 1.2, -0.1])
def test_number_that_is_no_probability_is_refused(make, name, value):
    with pytest.raises(ValueError, match=rf"must lie in \[0, 1\], but is {value}"):
        make(**{name: value})


@pytest.mark.parametrize("make", FACTORIES)
def test_description_names_what_is_in_the_box(make):
    device = make(**EVERYTHING)
    assert device.description.endswith(
        "phi+ pair, intercept-resend 0.3 (random), visibility 0.95, misalignment 0.15 rad (bob), "
        "dephasing 0.04 (bob), amplitude damping 0.1 (bob), read-out error 0.02, 0.02 (alice), "
        "read-out error 0.02, 0.02 (bob)."
    )
    assert device.settings is EKERT


@pytest.mark.parametrize("make", FACTORIES)
def test_attack_without_a_name_is_still_named_in_the_description(make):
    def silent_attack(source):
        result = source.copy()
        result.x(1)
        return result

    assert make(attack=silent_attack).description.endswith("phi+ pair, attacked.")


@pytest.mark.parametrize("make", FACTORIES)
def test_printed_device_does_not_tell_its_randomness(make):
    printed = repr(make(seed=123456789))
    assert "123456789" not in printed
    assert "description=" in printed


@pytest.mark.parametrize("make", FACTORIES)
def test_device_is_frozen(make):
    with pytest.raises(AttributeError):
        make().settings = EKERT


def test_table_cannot_be_written():
    with pytest.raises(ValueError, match="read-only"):
        exact_device().table[0, 0, 0, 0] = 1


def test_table_has_one_entry_per_outcome_and_sums_to_one():
    table = exact_device(settings=BBM92, **EVERYTHING).table
    assert (table.shape, table.dtype) == ((2, 4, 2, 2), np.float64)
    assert table.min() >= 0
    np.testing.assert_allclose(table.sum(axis=(2, 3)), 1, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.full((3, 2, 2, 2), 0.25), r"`table` must have shape \(3, 3, 2, 2\) or \(3, 3, 3, 3\)"),
        (np.full((3, 3, 4, 4), 1 / 16), r"but has shape \(3, 3, 4, 4\)"),
        (np.full((3, 3, 2, 2), 0.3), "must hold probabilities that sum to 1"),
        (np.full((3, 3, 2, 2), np.nan), "must hold probabilities that sum to 1"),
        (np.tile([[0.75, -0.25], [0.25, 0.25]], (3, 3, 1, 1)), "entries start at -0.25"),
    ],
)
def test_table_that_holds_no_probabilities_is_refused(table, message):
    with pytest.raises(ValueError, match=message):
        ExactDevice(DeviceInfo(EKERT, "planted"), table, np.random.default_rng(1).bytes)


def test_importing_the_package_loads_no_qiskit():
    program = "import sys, e91, e91.devices; sys.exit('qiskit' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("make", FACTORIES)
def test_noise_that_does_not_exist_is_refused(make):
    with pytest.raises(TypeError, match="unexpected keyword argument 'visibilty'"):
        make(visibilty=0.97)
