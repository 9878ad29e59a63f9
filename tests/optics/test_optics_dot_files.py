"""A quantum dot's time tags as a user has them: in two files, given to ``e91 analyse``."""

import json

import numpy as np
import pytest
from statistical import assert_binomial

from e91.devices.exact import exact_device
from e91.model.messages import Party
from e91.optics.arms import Arm
from e91.optics.coincidences import coincidences
from e91.optics.detectors import BasisChoice, Detector, Receiver
from e91.optics.sources import quantum_dot_of
from e91.optics.tags.laboratories import Clock, Laboratory
from e91.optics.tags.simulation import record_time_tags
from e91.recorded.record_files import save_time_tags

KNOWN = ("--maximum-offset-s", "5e-9", "--maximum-frequency-error-ppm", "1e-3")


DOT = quantum_dot_of(
    80e6,
    0.85,
    autocorrelation=0.01,
    extraction_efficiency=0.6,
    biexciton_lifetime_s=120e-12,
    exciton_lifetime_s=250e-12,
)
RECEIVER = Receiver((Detector(0.6, 100.0, 5e-9, jitter_fwhm_s=100e-12),) * 6, BasisChoice.PASSIVE)


@pytest.fixture(scope="module")
def dot_tags():
    laboratories = [
        Laboratory(RECEIVER, (1 / 3,) * 3, link_loss_db=10.0, clock=clock)
        for clock in (Clock(), Clock(2e-9))
    ]
    device = exact_device(visibility=0.97, seed=1)
    return record_time_tags(DOT, *laboratories, device=device, duration_s=0.4, seed=1)


def written(folder, sides):
    files = folder / "alice.npz", folder / "bob.npz"
    for file, tags, party in zip(files, sides, Party, strict=True):
        save_time_tags(file, tags, party=party, metadata={"settings": "ekert", "run_id": "dot"})
    return files


def test_tags_of_a_dot_whose_pulses_are_known_become_a_key(tmp_path, dot_tags, status):
    files = written(tmp_path, dot_tags)
    code, printed, _ = status(
        "analyse", *files, *KNOWN, "--window-ps", "1500", "--epsilon", "1e-6", "--reveal", "0.5",
        "--seed", "1", "--json",
    )  # fmt: skip
    assert code == 0
    said = json.loads(printed)
    # White noise of 3 %, half of it wrong, and the photons of two pairs, as the formulas say.
    arm = Arm(10.0, RECEIVER)
    expected = coincidences(DOT, arm, arm, bit_error=0.015).error_rate
    revealed = said["qber"]["revealed"]
    wrong = round(said["qber"]["rate"] * revealed)
    assert_binomial(wrong, revealed, expected, must_detect=0.045)
    assert said["secret_bits"] > 500


def test_tags_of_a_dot_whose_pulses_may_be_confused_are_refused(tmp_path, dot_tags, status):
    cut = [side.read(0, 60_000) for side in dot_tags]
    short = [type(side)(np.array(t), np.array(c)) for side, (t, c) in zip(dot_tags, cut,
                                                                          strict=True)]  # fmt: skip
    files, out = written(tmp_path, short), tmp_path / "keys"
    code, printed, complaint = status(
        "analyse", *files, "--maximum-offset-s", "1e-6", "--maximum-frequency-error-ppm", "1e-3",
        "--out", out,
    )  # fmt: skip
    assert (code, printed) == (2, "")
    assert complaint.startswith("e91: The two lists of time tags must have one highest")
    assert complaint.count("\n") == 1
    assert not out.exists()
