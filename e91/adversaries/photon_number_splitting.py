"""Photon-number splitting: Eve keeps all photons of a pulsed source but one pair.

Through lines of low efficiency a coincidence of n pairs is a Werner state of visibility
(n + 2) / (3n), and Eve, who counts the pairs, holds its purification.  The derivation is in
`e91_circuits.eavesdropper_pairs`.
"""

import math
from functools import partial

from e91.adversaries.adversary import AS_CHANNEL, Attack, Expected
from e91.adversaries.building import Source, acting_on_photons
from e91.adversaries.conditions import Conditions
from e91.adversaries.interception import entropy_of
from e91.model.numbers import TSIRELSON


def _expected(conditions: Conditions) -> Expected:
    """The mean over the pulses, in each of which Eve purifies a Werner state."""
    parts = _pulses(conditions.strength)
    visibility = math.fsum(w * v for w, v in parts)
    return Expected(
        chsh=TSIRELSON * visibility,
        qber=(1 - visibility) / 2,
        guess_rate=math.fsum(w * purifier_guess_rate(v) for w, v in parts),
        information=math.fsum(w * purifier_information(v) for w, v in parts),
    )


def _pulses(mean_pairs: float) -> list[tuple[float, float]]:
    """Return share and visibility of the coincidences from 1, ..., 7 and from more pairs."""
    ratio = mean_pairs / (2 + mean_pairs)  # of P(n + 1) / (n + 2) to P(n) / (n + 1)
    weights = [(n + 1) * n * n * ratio ** (n - 1) for n in range(1, 8)]
    # The sum of all weights, from that of the geometric series: 2 (1 + 2 r) / (1 - r)^4.
    total = 2 * (1 + 2 * ratio) / (1 - ratio) ** 4
    parts = [(w / total, (n + 2) / (3 * n)) for n, w in enumerate(weights, 1)]
    rest = max(0.0, 1 - math.fsum(w for w, _ in parts))
    above = (2 + mean_pairs) / (2 + 3 * mean_pairs) - math.fsum(w * v for w, v in parts)
    return [*parts, (rest, above / rest if rest > 1e-9 else 1 / 3)]


def purifier_guess_rate(visibility: float) -> float:
    """Return how often Eve guesses a bit from the purification of a Werner state.

    With visibility v its Bell weights are f = (1 + 3 v) / 4 and thrice g = (1 - v) / 4.  Where the
    bits differ, Eve's two memory states are orthogonal; where they agree their overlap is
    (f - g) / (f + g).
    """
    agree = (1 + visibility) / 2
    return (agree + math.sqrt(max(0.0, agree**2 - visibility**2))) / 2 + 1 - agree


def purifier_information(visibility: float) -> float:
    """Return Holevo's bound on a bit, given the purification of a Werner state."""
    best, each = (1 + 3 * visibility) / 4, (1 - visibility) / 4
    weights = [weight for weight in (best, each, each, each) if weight > 0]
    return -math.fsum(w * math.log2(w) for w in weights) - entropy_of((1 - visibility) / 2)


def _splitting(conditions: Conditions) -> Source:
    """Eve on both arms of a pulsed source, with a counter and a quantum memory."""
    from e91_circuits import split_photons

    return partial(split_photons, mean_pairs=conditions.strength)


ATTACKS = (
    Attack(
        name="photon-number-splitting",
        summary="Eve keeps all photons of a pulsed source but one pair, and knows how many there "
        "were.",
        meaning="mean pairs per pulse",
        high=math.inf,
        default=0.1,
        simulators=AS_CHANNEL,
        expected=_expected,
        build=acting_on_photons(_splitting),
    ),
)
