"""Stray light means the same in the formulas and in the time tags: photons before all losses."""

from dataclasses import fields

import numpy as np
import pytest
from test_time_tags import assert_poisson, recorded

from e91.optics.arms import Arm, arm_over
from e91.optics.detectors import BasisChoice, Detector, Receiver
from e91.optics.links import Downlink, FreeSpace
from e91.optics.sources import ContinuousSource
from e91.optics.tags.laboratories import Laboratory

STRAY_PER_SECOND = 2e5
LOSS_DB = 4.0


def receiver(choice: BasisChoice) -> Receiver:
    pair = (Detector(0.8, 100.0), Detector(0.5, 300.0))
    detectors = pair if choice is BasisChoice.ACTIVE else pair * 2
    return Receiver(detectors, choice, optics_loss_db=LOSS_DB)


@pytest.mark.parametrize("choice", list(BasisChoice))
def test_stray_light_of_a_measurement_is_that_of_the_formulas(choice):
    shares = (1.0,) if choice is BasisChoice.ACTIVE else (0.3, 0.7)
    period_s = 1e-6 if choice is BasisChoice.ACTIVE else None
    laboratory = Laboratory(
        receiver(choice),
        shares,
        link_loss_db=20.0,
        background_photons_at_receiver_per_second=STRAY_PER_SECOND,
        setting_period_s=period_s,
    )
    arm = Arm(
        20.0,
        receiver(choice),
        background_photons_at_receiver_per_second=STRAY_PER_SECOND,
        setting_probabilities=() if choice is BasisChoice.ACTIVE else shares,
    )
    tags, _ = recorded(ContinuousSource(0.0), laboratory, laboratory, duration=1.0)
    counts = np.bincount(tags.channels, minlength=2 * len(shares))
    for seen, expected in zip(counts, arm.noise_per_second.ravel(), strict=True):
        # Without the receiver's 4 dB there would be 2.5 times as much.
        assert_poisson(seen, expected, must_detect=1.2 * expected)


def test_every_field_of_stray_light_has_one_name():
    name = "background_photons_at_receiver_per_second"
    for record in (Arm, Laboratory, FreeSpace, Downlink):
        assert [field.name for field in fields(record) if "background" in field.name] == [name]


def test_stray_light_of_a_link_meets_the_receivers_losses():
    link = FreeSpace(1.0, 1e-5, 1.0, background_photons_at_receiver_per_second=STRAY_PER_SECOND)
    arm = arm_over(link, receiver(BasisChoice.ACTIVE))
    seen = STRAY_PER_SECOND * 10 ** (-LOSS_DB / 10) / 2
    assert arm.noise_per_second == pytest.approx(
        np.array([[100.0 + 0.8 * seen, 300.0 + 0.5 * seen]])
    )


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf")])
def test_stray_light_outside_physics_is_refused(wrong):
    with pytest.raises(ValueError, match="`background_photons_at_receiver_per_second` must be"):
        Arm(0.0, receiver(BasisChoice.ACTIVE), background_photons_at_receiver_per_second=wrong)
