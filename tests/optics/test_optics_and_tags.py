"""Rates against time tags: the formulas, and a whole measurement that knows none of them.

Photons, detectors and the search for coincidences are those of `e91.optics.tags.simulation` and
`e91.optics.tags.correlation`; the polarisation of both routes is the same circuit's.
"""

import numpy as np
import pytest
from statistical import assert_binomial
from test_optics_thrown import assert_poisson

from e91.devices.exact import exact_device
from e91.model.settings import Settings
from e91.optics.arms import Arm
from e91.optics.coincidences import coincidences
from e91.optics.detectors import Detector, Receiver
from e91.optics.sources import ContinuousSource
from e91.optics.tags.correlation import correlate, known_clock
from e91.optics.tags.laboratories import Laboratory
from e91.optics.tags.simulation import record_time_tags

ALONG_Z = Settings("along Z", (0.0,), (0.0,))
WINDOW_S = 2e-9


def measured(source, arms, *, duration_s: float, seed: int):
    """Both parties' outcomes in the coincidences that a time tagger and a correlator find."""
    laboratories = [
        Laboratory(arm.receiver, (1.0,), link_loss_db=arm.loss_db, setting_period_s=1e-3)
        for arm in arms
    ]
    device = exact_device(settings=ALONG_Z, visibility=0.96, seed=seed)
    tags = record_time_tags(source, *laboratories, device=device, duration_s=duration_s, seed=seed)
    found = correlate(*tags, window_s=WINDOW_S, clock=known_clock(*tags))
    return found.record, [len(part) for part in tags]


def arm(loss_db: float, *, noise: float, dead_time_s: float = 0.0) -> Arm:
    detectors = (
        Detector(0.9, noise, dead_time_s=dead_time_s, jitter_fwhm_s=3e-10),
        Detector(0.6, 2 * noise, dead_time_s=dead_time_s, jitter_fwhm_s=3e-10),
    )
    return Arm(loss_db, Receiver(detectors, readout_error=0.01))


@pytest.mark.parametrize(
    ("loss_db", "pairs_per_second", "duration_s", "dead_time_s"),
    [
        (0.0, 1e5, 0.3, 0.0),
        (0.0, 5e5, 0.1, 1e-6),
        (10.0, 1e6, 0.2, 1e-6),
        (20.0, 1e6, 1.0, 0.0),
        (40.0, 2e6, 10.0, 0.0),
        (60.0, 2e7, 60.0, 0.0),
        (70.0, 5e7, 200.0, 0.0),
    ],
)
def test_rates_and_errors_are_those_of_a_measurement(
    loss_db, pairs_per_second, duration_s, dead_time_s
):
    source = ContinuousSource(pairs_per_second, coherence_time_s=2e-10)
    arms = [arm(loss_db / 2, noise=200.0, dead_time_s=dead_time_s) for _ in "ab"]
    counted = coincidences(source, *arms, window_s=WINDOW_S, bit_error=0.02)
    record, singles = measured(source, arms, duration_s=duration_s, seed=int(loss_db) + 1)
    expected = counted.per_second * duration_s
    # Ten standard deviations are found by any count: 40 % of the fewest, 6 % of the most.
    assert_poisson(len(record), expected, must_detect=expected + 10 * expected**0.5)
    alone = counted.singles_bob_per_second * duration_s
    assert_poisson(singles[1], alone, must_detect=alone + 10 * alone**0.5)
    wrong = int(np.count_nonzero(record.alice.outcome != record.bob.outcome))
    assert_binomial(wrong, len(record), counted.error_rate, must_detect=4 * counted.error_rate)
