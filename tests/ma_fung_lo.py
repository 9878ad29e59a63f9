"""Gain and error rate of a pulsed thermal source, in the symbols of Ma, Fung and Lo."""

from __future__ import annotations


def gain_and_error(
    half_mean: float,
    efficiency_alice: float,
    *,
    efficiency_bob: float,
    noise_alice: float = 0.0,
    noise_bob: float = 0.0,
    misalignment: float = 0.0,
) -> tuple[float, float]:
    """Return the chance of a coincidence in a pulse, and that it is an error.

    Args:
        half_mean: L (lambda in the paper), half the mean number of pairs of a pulse.
        efficiency_alice: Of Alice's whole arm.
        efficiency_bob: Of Bob's.
        noise_alice: Y0, chance of a click in a pulse without light, both detectors together.
        noise_bob: The same at Bob's.
        misalignment: e_d, chance that a pair's outcomes differ.

    Returns:
        The gain Q and the error rate E; E is 1/2 if there is no gain.

    Source:
        Ma, Fung and Lo, Phys. Rev. A 76, 012307 (2007), equations 9 and 10.  The printed gain is
        1 - A - B + C with A, B and C near 1; here (1 - A)(1 - B) + (C - A B), where both terms
        have been multiplied out, so that digits are kept at any loss.  The paper turns outcomes
        with chance e_d where `e91.optics.clicks.thermal_slot` turns photons: the two differ in
        the order (L efficiency^2)^2.
    """
    a, b = efficiency_alice * half_mean, efficiency_bob * half_mean
    both = efficiency_alice * efficiency_bob * half_mean * (1 + half_mean)
    product = (1 + a) * (1 + b)
    # (1 + a)(1 + b) = 1 + a + b - e_A e_B L + both, of which the paper's denominator lacks `both`.
    joint = 1 + a + b - efficiency_alice * efficiency_bob * half_mean
    clicks_alice = (a * (2 + a) + noise_alice) / (1 + a) ** 2
    clicks_bob = (b * (2 + b) + noise_bob) / (1 + b) ** 2
    dark = (1 - noise_alice) * (1 - noise_bob)
    common = dark * both * (joint + product) / (joint * product) ** 2
    gain = clicks_alice * clicks_bob + common
    correlated = 2 * both / (product * joint)
    wrong = gain / 2 - (0.5 - misalignment) * correlated
    return gain, wrong / gain if gain > 0 else 0.5
