"""A link's file: what it makes of source, arms and detectors, and what it refuses."""

import re
from pathlib import Path

import numpy as np
import pytest

from e91.bell.expected import chsh_terms, error_rate, mean_products
from e91.devices.exact import exact_device
from e91.devices.link_devices import counted, link_device
from e91.model.settings import ASYMMETRIC, BBM92, EKERT, Settings
from e91.optics import Arm, ContinuousSource, Detector, Fibre, PulsedSource, Receiver, arm_over
from e91.optics.coincidences import coincidences
from e91.optics.link_files import arms_of, read_link, source_of, window_of

DOCUMENT = Path(__file__).parents[2] / "docs" / "optics.md"
GOOD = """
[source]
pairs_per_second = 2e6
coherence_time_s = 5e-12
bandwidth_nm = 0.8
[state]
bit_error = 0.01
phase_error = 0.03
[detection]
coincidence_window_s = 0.5e-9
[alice]
loss_db = 3
detector_efficiency = 0.8
dark_counts_per_second = 200
[bob]
loss_db = 1
fibre_length_km = 60
fibre_attenuation_db_per_km = 0.2
fibre_dispersion_ps_per_nm_km = 17
detector_efficiency = 0.25
dark_counts_per_second = 2000
background_clicks_per_second = 500
jitter_fwhm_s = 150e-12
dead_time_s = 10e-6
afterpulse_probability = 0.02
"""


@pytest.fixture
def link_of(tmp_path):
    def read(text):
        file = tmp_path / "lab.toml"
        file.write_text(text)
        return read_link(file)

    return read


def test_a_file_is_the_source_and_the_arms_written_out_by_hand(link_of):
    link = link_of(GOOD)
    quiet, busy = Detector(0.8, 100.0), Detector(0.25, 1250.0, 10e-6, 0.02, 150e-12)
    bob = arm_over(Fibre(60, 0.2, 1.0, dispersion_ps_per_nm_km=17), Receiver((busy, busy)))
    assert source_of(link) == ContinuousSource(2e6, 5e-12, 0.8)
    assert arms_of(link) == (Arm(3.0, Receiver((quiet, quiet))), bob)
    by_hand = coincidences(
        source_of(link), *arms_of(link), window_s=0.5e-9, bit_error=0.01, phase_error=0.03
    )
    assert counted(link) == by_hand


def test_device_shows_the_errors_and_the_rate_that_the_optics_count(link_of):
    link = link_of(GOOD)
    device, found = link_device(link, settings=ASYMMETRIC), counted(link)
    products = mean_products(device.table)
    assert device.info.pace.rounds_per_second == pytest.approx(found.per_second, rel=1e-9)
    assert error_rate(products, ASYMMETRIC) == pytest.approx(found.error_rate, abs=1e-9)
    assert sum(chsh_terms(products, ASYMMETRIC)) == pytest.approx(found.chsh_value, abs=1e-9)


SINGLET = Settings(
    name="singlet", alice_angles=EKERT.alice_angles, bob_angles=EKERT.bob_angles, state="psi-",
    key_pairs=EKERT.key_pairs, key_signs=(-1, -1),
    chsh_pairs=tuple((pair, -sign) for pair, sign in EKERT.chsh_pairs),
)  # fmt: skip


@pytest.mark.parametrize("settings", [EKERT, BBM92, SINGLET], ids=lambda s: s.name)
@pytest.mark.parametrize("state", ["visibility = 0.9", "bit_error = 0.02\nphase_error = 0.06"])
def test_pairs_are_in_the_state_of_the_settings(link_of, settings, state):
    """S and QBER by hand: 1 - 2 e along Z and X, cos and sin of the angles between."""
    text = re.sub(r"bit_error.*\nphase_error.*", state, GOOD)
    link = link_of(text)
    found = counted(link)
    along, across = 1 - 2 * found.error_rate, 1 - 2 * found.phase_error_rate
    alice, bob = (np.array(angles) for angles in (settings.alice_angles, settings.bob_angles))
    turn = -1 if settings.state == "psi-" else 1
    wanted = turn * (
        along * np.outer(np.cos(alice), np.cos(bob)) + across * np.outer(np.sin(alice), np.sin(bob))
    )
    products = mean_products(link_device(link, settings=settings).table)
    np.testing.assert_allclose(products, wanted, atol=1e-9)
    assert error_rate(products, settings) < 0.08


def test_error_rate_is_that_of_an_exact_device():
    biased = EKERT.biased((0.2, 0.6, 0.2), (0.2, 0.6, 0.2))
    products = mean_products(exact_device(settings=biased, visibility=0.9, dephasing=0.1).table)
    # The pair along X (2, 1) alone sees the phase flips, the one at 45 degrees half of them.
    errors = [(1 - 0.9 * 0.9) / 2, (1 - 0.9 * 0.8) / 2]
    assert error_rate(products, biased) == pytest.approx(np.mean(errors))


def test_repetition_rate_makes_pulses_whose_period_is_the_window(link_of):
    link = link_of("[source]\npairs_per_second = 1e6\nrepetition_rate_hz = 80e6\n")
    assert source_of(link) == PulsedSource(80e6, 1 / 80)
    assert window_of(link) == pytest.approx(12.5e-9)
    assert link_device(link).info.pace.rounds_per_second == pytest.approx(counted(link).per_second)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "[state]",
            "repetition_rate_hz = 80e6\n[state]",
            "`source.coherence_time_s` must come with",
        ),
        ("pairs_per_second = 2e6\n", "", "The parameters must give `source.pairs_per_second`"),
        ("coincidence_window_s = 0.5e-9", "", "must give `detection.coincidence_window_s`"),
        ("fibre_attenuation_db_per_km = 0.2\n", "", "give `bob.fibre_attenuation_db_per_km`"),
        (
            "detector_efficiency = 0.25",
            "detector_efficiency = 25",
            "`bob.detector_efficiency` must",
        ),
        ("jitter_fwhm_s", "jitter_fwhm_ps", "did you mean `bob.jitter_fwhm_s`?"),
        ("bit_error = 0.01", "visibility = 0.98", "`state.visibility` must stand alone"),
        ("[alice]", "[alice", "must be a TOML file"),
    ],
)
def test_a_fault_is_refused_with_the_file_and_the_key(link_of, old, new, sentence):
    assert old in GOOD
    with pytest.raises(ValueError, match=r"lab\.toml") as refusal:
        link_of(GOOD.replace(old, new, 1))
    assert sentence in str(refusal.value)


def test_documented_file_is_read(link_of):
    (text,) = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    assert counted(link_of(text)).per_second > 1000
