"""The model of Neumann et al., Phys. Rev. A 104, 022406 (2021), written out from its equations."""

import math

import pytest

from e91.optics.arms import simple_arm
from e91.optics.coincidences import coincidences
from e91.optics.sources import ContinuousSource
from e91.security.device_dependent import bbm92_rate
from e91.security.shannon import binary_entropy

LINKS = [
    (5.9e6, 32.0, 32.0, 200.0, 2.5e-9, 1.2e-9, 0.01),
    (2e7, 10.0, 25.0, 1000.0, 3e-10, 2e-10, 0.005),
    (1e9, 30.0, 40.0, 100.0, 1.14e-10, 1e-10, 0.02),
]


def neumann(pairs, loss_a, loss_b, dark, window, spread, polarisation):
    """Return CC^m, CC^acc, E and R^s by equations (2) to (16) and (19), the first form of (10)."""
    eta = [10 ** (-loss / 10) for loss in (loss_a, loss_b)]
    singles = [pairs * e + dark for e in eta]  # (2), (6)
    clicks = [single * window for single in singles]  # (7)
    accidental = math.prod(-math.expm1(-mean) for mean in clicks) / window  # (8), (10)
    kept = math.erf(math.sqrt(math.log(2)) * window / spread)  # (13)
    true = kept * pairs * eta[0] * eta[1]  # (3)
    wrong = true * polarisation + accidental / 2  # (15)
    error = wrong / (true + accidental)  # (14), (16)
    secret = (true + accidental) / 2 * (1 - 2.1 * binary_entropy(error))  # (19)
    return true + accidental, accidental, error, secret, sum(clicks)


@pytest.mark.parametrize("link", LINKS)
def test_coincidences_and_errors_are_those_of_neumann_et_al(link):
    pairs, loss_a, loss_b, dark, window, spread, polarisation = link
    measured, accidental, error, secret, clicks = neumann(*link)
    found = coincidences(
        ContinuousSource(pairs, coherence_time_s=spread),
        simple_arm(loss_a, dark), simple_arm(loss_b, dark),
        window_s=window, bit_error=polarisation,
    )  # fmt: skip
    several = 1 + clicks / 2  # all pairs of clicks in a window, where the paper counts one
    assert found.accidental_per_second == pytest.approx(accidental * several, rel=clicks**2)
    assert found.per_second == pytest.approx(measured, rel=clicks)
    assert found.error_rate == pytest.approx(error, rel=clicks)
    rate = found.per_second / 2 * bbm92_rate(found.error_rate, found.error_rate, efficiency=1.1)
    assert rate == pytest.approx(max(secret, 0.0), rel=30 * clicks)


def test_several_clicks_in_a_window_are_the_only_difference():
    crowded = (1e8, 3.0, 3.0, 0.0, 3e-9, 1e-12, 0.0)
    _, accidental, _, _, clicks = neumann(*crowded)
    found = coincidences(
        ContinuousSource(1e8, coherence_time_s=1e-12), simple_arm(3.0, 0.0), simple_arm(3.0, 0.0),
        window_s=3e-9,
    )  # fmt: skip
    assert clicks == pytest.approx(0.3, abs=0.01)
    mean = clicks / 2
    assert found.accidental_per_second / accidental == pytest.approx(
        (mean / -math.expm1(-mean)) ** 2
    )
