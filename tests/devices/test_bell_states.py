"""Every Bell state makes a key, with S positive, once Bob's analyser stands for it."""

import json

import numpy as np
import pytest

from e91.devices.aer import aer_device
from e91.devices.exact import exact_device
from e91.model.settings import SETTINGS
from e91.session.session import run

STATES = ["phi+", "phi-", "psi+", "psi-"]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", SETTINGS)
def test_every_state_has_the_table_of_phi_plus(state, name):
    settings = SETTINGS[name]
    device = exact_device(settings=settings, state=state, visibility=0.9, seed=1)
    a, b = (np.array(angles) for angles in (settings.alice_angles, settings.bob_angles))
    expected = 0.9 * np.cos(a[:, None] - b)
    table = device.table
    found = table[..., 0, 0] + table[..., 1, 1] - table[..., 0, 1] - table[..., 1, 0]
    assert np.abs(found - expected).max() < 1e-12
    assert f"{state} pair" in device.description


@pytest.mark.parametrize("state", STATES)
def test_every_state_makes_a_key_on_aer(state):
    report = run(aer_device(state=state, visibility=0.97, seed=1), rounds=60_000, seed=2)
    assert report.abort is None
    assert report.chsh.value > 2.6
    assert report.qber.rate < 0.05
    assert np.array_equal(report.keys.alice.bits, report.keys.bob.bits)


def test_only_bell_states_are_states():
    with pytest.raises(ValueError, match=r"`state` must be phi\+, phi-, psi\+ or psi-"):
        exact_device(state="ghz")


def test_command_makes_a_key_of_a_singlet(status):
    line = ("run", "--state", "psi-", "--device", "exact", "--rounds", 60_000, "--seed", 1)
    code, printed, _ = status(*line, "--json")
    assert code == 0
    assert "psi- pair" in json.loads(printed)["device"]
    code, _, complaint = status(*line, "--attack", "local")
    assert code == 2
    assert "`--state` must come with an attack on photons, but `local` sends none" in complaint
