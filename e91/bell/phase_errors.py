"""How many phase errors the key can have, from the Bell test and the revealed sample.

For trusted qubit analysers whose CHSH observables add up to ``sqrt(2) (ZZ + XX)`` in the plane of
the angles, every two-qubit state obeys, for a key basis at angle t,

    ``e_phase(t) = error rate at t + 90 degrees = 1 - S / (2 sqrt 2) - Q(t)``.

The two key bases of Ekert's settings are 45 degrees apart and not mutually unbiased, so the error
rate of one says little about the phase errors of the other.  S says it all.
"""

import math
from collections.abc import Sequence

import numpy as np

from e91.bell.chsh import DESIGN_CHSH, ROUNDING, rounded_down, stake
from e91.model.evidence import Evidence
from e91.model.numbers import ANGLE_ROUNDING, TSIRELSON
from e91.model.settings import Settings


def check_identity(settings: Settings) -> None:
    """Check that ``e_phase = 1 - S / (2 sqrt 2) - Q`` holds for ``settings``.

    Raises:
        ValueError: The CHSH observables do not add up to ``sqrt(2) (ZZ + XX)``, or there is no
            key pair.

    Examples:
        >>> from e91.model.settings import BBM92
        >>> check_identity(BBM92)
    """
    observable = np.zeros((2, 2))
    for (x, y), sign in settings.chsh_pairs:
        a, b = settings.alice_angles[x], settings.bob_angles[y]
        observable += sign * np.outer((math.cos(a), math.sin(a)), (math.cos(b), math.sin(b)))
    missed = float(np.abs(observable - math.sqrt(2) * np.eye(2)).max())
    if not (missed <= ANGLE_ROUNDING and settings.key_pairs):
        raise ValueError(
            "The trusted-analysers model must have key pairs and CHSH angles whose observables "
            f"add up to sqrt(2) (ZZ + XX), but the settings `{settings.name}` do not."
        )


def phase_error_bound(
    evidence: Evidence, *, settings: Settings, revealed_fraction: float, epsilon: float
) -> float:
    """Return an upper bound on the number of phase errors in the unrevealed key rounds.

    Each round that both parties keep is, with known probabilities, an unrevealed key round
    (probability k), a revealed one (r) or a Bell test of pair j (p_j).  With the indicator P of a
    phase error, E of a revealed error and the sign s of a Bell-test round, the score

        ``Y = P / k + E / r + s / (2 sqrt 2 p_j)``   (absent terms are 0)

    has expectation ``e_phase + Q + S / (2 sqrt 2) = 1`` in every round, for every state and
    given any past.  So ``prod (1 + stake (Y_i - 1))`` is a non-negative martingale of mean 1 and
    exceeds ``1 / epsilon`` with probability at most ``epsilon``; all but P is observed, which
    bounds the number of phase errors.  The bound needs no identical rounds: it holds for coherent
    attacks.  Proof and tests: ``docs/security.md``.

    Args:
        evidence: Counts after sifting.
        settings: Settings with their choice probabilities; `check_identity` must pass.
        revealed_fraction: Probability, declared beforehand, that a key round was revealed.
        epsilon: Failure probability, in (0, 1).

    Returns:
        The bound, between 0 and ``evidence.key_size``; not rounded.

    Not promised: anything if the analysers stand at other angles, measure more than a qubit,
    or lose photons depending on the setting.

    Examples:
        >>> from e91.model.evidence import KeySample
        >>> from e91.model.settings import EKERT
        >>> alike, unlike = (47_000, 8_500, 8_500, 47_000), (8_500, 47_000, 47_000, 8_500)
        >>> evidence = Evidence((alike, unlike, alike, alike), (KeySample(200_000, 22_200, 333),),
        ...                     pair_counts=(), signs=EKERT.signs)
        >>> bound = phase_error_bound(evidence, settings=EKERT, revealed_fraction=0.1,
        ...                           epsilon=1e-20)
        >>> round(bound / 200_000, 4)
        0.0229
    """
    check_identity(settings)
    kept = settings.key_probability + settings.chsh_probability
    key = settings.key_probability * (1 - revealed_fraction) / kept
    revealed = settings.key_probability * revealed_fraction / kept
    tests = [settings.pair_probability(pair) / kept for pair, _ in settings.chsh_pairs]
    scores = [1 / (TSIRELSON * p) for p in tests]
    rounds = evidence.test_size + evidence.sample_size + evidence.key_size
    if rounds == 0 or evidence.key_size == 0:
        return 0.0
    bet = stake(
        _variance(key, revealed, tests),
        rounds,
        epsilon=epsilon,
        largest=1 / (2 * (1 + max(scores))),
    )
    growth = [
        evidence.sample_errors * math.log1p(bet * (1 / revealed - 1)),
        (evidence.sample_size - evidence.sample_errors + evidence.key_size) * math.log1p(-bet),
    ]
    for wins, losses, score in zip(evidence.wins, evidence.losses, scores, strict=True):
        growth += [wins * math.log1p(bet * (score - 1)), losses * math.log1p(-bet * (score + 1))]
    per_error = math.log1p(bet * (1 / key - 1)) - math.log1p(-bet)
    bound = (-math.log(epsilon) - rounded_down(growth)) / (per_error * (1 - ROUNDING))
    return min(float(evidence.key_size), max(0.0, bound))


def _variance(key: float, revealed: float, tests: Sequence[float]) -> float:
    """Return the variance of one round's score for a Werner state of the design S."""
    error = (1 - DESIGN_CHSH / TSIRELSON) / 2
    return error / key + error / revealed + sum(1 / (8 * p) for p in tests) - 1
