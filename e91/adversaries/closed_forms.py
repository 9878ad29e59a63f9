"""What each attack must look like: S, QBER, efficiencies and Eve's knowledge in closed form.

All are for phi+ pairs without noise of their own; `Expected.seen_with` adds white noise.  S is
the same for every named choice of settings, because each has ``sum s_j A(a_j) x A(b_j) =
sqrt(2) (ZZ + XX)`` (checked by `e91.bell.phase_errors.check_identity`).  Error rate and knowledge
depend on the key's angles and are averaged over the key pairs.  The tests compare every form with
density matrices or with exact counts of strategies.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from e91.adversaries.conditions import BASES, Conditions
from e91.model.numbers import TSIRELSON
from e91.security.shannon import binary_entropy


@dataclass(frozen=True)
class Expected:
    """What an attack shows and what it earns, in expectation.

    Attributes:
        chsh: S among the coincidences.
        qber: Error rate of the key.
        guess_rate: Probability that Eve guesses one of Alice's key bits, settings announced.
        information: Bits that she has of each; Holevo's bound if she has a quantum memory.
            None where noise of others makes it no simple expression.
        efficiencies: Probability of a click at Alice and at Bob.
        coincidence: Probability that both click; None for the product of the efficiencies.
    """

    chsh: float
    qber: float
    guess_rate: float
    information: float | None
    efficiencies: tuple[float, float] = (1.0, 1.0)
    coincidence: float | None = None

    @property
    def coincidences(self) -> float:
        """Probability that both click."""
        return math.prod(self.efficiencies) if self.coincidence is None else self.coincidence

    def seen_with(self, visibility: float) -> Expected:
        """Return the same with white noise that Eve does not see, in every round alike."""
        if visibility == 1:
            return self
        coins = (1 - visibility) / 2
        return replace(
            self,
            chsh=visibility * self.chsh,
            qber=visibility * self.qber + coins,
            guess_rate=visibility * self.guess_rate + coins,
            information=None,
        )


def _over_key(conditions: Conditions, value: Callable[[float], float]) -> float:
    """Return the mean of ``value(angle)`` over the key rounds."""
    pairs = conditions.settings.key_pairs
    weights = [conditions.settings.pair_probability(pair) for pair in pairs]
    values = [value(conditions.settings.alice_angles[x]) for x, _ in pairs]
    return math.fsum(w * v for w, v in zip(weights, values, strict=True)) / math.fsum(weights)


def _measured_along(conditions: Conditions, angles: Sequence[float]) -> Expected:
    """Return what pairs look like of which a fraction is measured along known directions."""
    fraction = conditions.strength

    def mean(value: Callable[[float], float]) -> float:
        return _over_key(conditions, lambda t: sum(value(t - phi) for phi in angles) / len(angles))

    return Expected(
        chsh=TSIRELSON * (1 - fraction / 2),
        qber=fraction / 2 * mean(lambda delta: math.sin(delta) ** 2),
        guess_rate=0.5 + fraction / 2 * mean(lambda delta: abs(math.cos(delta))),
        information=fraction * mean(lambda delta: 1 - _entropy(math.cos(delta / 2) ** 2)),
    )


def _entropy(probability: float) -> float:
    return binary_entropy(min(1.0, max(0.0, probability)))


def intercept_resend(conditions: Conditions) -> Expected:
    """Eve measures along the angles of her basis and resends."""
    if conditions.basis == "y":
        return Expected(TSIRELSON * (1 - conditions.strength), conditions.strength / 2, 0.5, 0.0)
    return _measured_along(conditions, BASES[conditions.basis])


def separable(conditions: Conditions) -> Expected:
    """Eve sends pairs of equal photons along the key's own angles."""
    return _measured_along(conditions, conditions.key_angles)


def cloner(conditions: Conditions) -> Expected:
    """Independent bit and phase errors of rate D; the memory tells the phase error's entropy."""
    disturbance = conditions.strength
    return Expected(
        chsh=TSIRELSON * (1 - 2 * disturbance),
        qber=disturbance,
        guess_rate=0.5 + math.sqrt(disturbance * (1 - disturbance)),
        information=binary_entropy(disturbance),
    )


def probe(conditions: Conditions) -> Expected:
    """The memory states for a key at angle t from the probe's have |cos t| of their distance."""
    overlap, along = conditions.strength, conditions.key_angles[0]
    length = math.sqrt(1 - overlap**2)

    def holevo(t: float) -> float:
        mixed = math.hypot(overlap, length * math.cos(t - along))
        return _entropy((1 + overlap) / 2) - _entropy((1 + mixed) / 2)

    return Expected(
        chsh=TSIRELSON * (1 + overlap) / 2,
        qber=_over_key(conditions, lambda t: (1 - overlap) / 2 * math.sin(t - along) ** 2),
        guess_rate=_over_key(conditions, lambda t: (1 + length * abs(math.cos(t - along))) / 2),
        information=_over_key(conditions, holevo),
    )


def collective(conditions: Conditions) -> Expected:
    """The bound of Acin et al. is reached: Phys. Rev. Lett. 98, 230501 (2007), eq. 7.

    It depends on S alone.  Errors in the key that Eve makes by coins of her own cost her nothing
    of it, so it is reached at every S together with every QBER.
    """
    overlap = math.sqrt(max(0.0, (conditions.strength / 2) ** 2 - 1))
    return Expected(
        chsh=conditions.strength,
        qber=conditions.flips,
        guess_rate=(1 + math.sqrt(max(0.0, 1 - overlap**2))) / 2,
        information=_entropy((1 + overlap) / 2),
    )


def photon_number_splitting(conditions: Conditions) -> Expected:
    """The mean over the pulses, in each of which Eve purifies a Werner state.

    With visibility v its Bell weights are f = (1 + 3 v) / 4 and thrice g = (1 - v) / 4.  Where the
    bits differ, Eve's two memory states are orthogonal; where they agree their overlap is
    (f - g) / (f + g).  Derived, with the weights, in `e91_circuits.eavesdropper_pairs`.
    """
    parts = _pulses(conditions.strength)
    visibility = math.fsum(w * v for w, v in parts)
    return Expected(
        chsh=TSIRELSON * visibility,
        qber=(1 - visibility) / 2,
        guess_rate=math.fsum(w * _purifier_guesses(v) for w, v in parts),
        information=math.fsum(w * _purifier_knows(v) for w, v in parts),
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


def _purifier_guesses(visibility: float) -> float:
    agree = (1 + visibility) / 2
    return (agree + math.sqrt(max(0.0, agree**2 - visibility**2))) / 2 + 1 - agree


def _purifier_knows(visibility: float) -> float:
    best, each = (1 + 3 * visibility) / 4, (1 - visibility) / 4
    weights = [weight for weight in (best, each, each, each) if weight > 0]
    return -math.fsum(w * math.log2(w) for w in weights) - _entropy((1 - visibility) / 2)


def double_blinding(conditions: Conditions) -> Expected:
    """Of S = 2 / (1 - 2m), m the probability that a setting is mute."""
    mute = (1 - 2 / conditions.strength) / 2
    return Expected(conditions.strength, 0.0, 1.0, 1.0, (1 - mute, 1 - mute), 1 - 2 * mute)


def local(conditions: Conditions) -> Expected:
    """Strategies of +2 and -2, all without errors in the key."""
    return Expected(conditions.strength, 0.0, 1.0, 1.0)


def detection_loophole(conditions: Conditions) -> Expected:
    """S = 4 / eta - 2: Larsson, Phys. Rev. A 57, 3304 (1998)."""
    efficiency = conditions.strength
    return Expected(4 / efficiency - 2, 0.0, 1.0, 1.0, (efficiency, efficiency))


def gisin(conditions: Conditions) -> Expected:
    """Every correlation of phi+ in the plane."""
    return Expected(TSIRELSON, 0.0, 1.0, 1.0, (conditions.strength, conditions.strength))


def setting_leak(conditions: Conditions) -> Expected:
    """S = 4 where the setting is known, 2 where not."""
    return Expected(2 + 2 * conditions.strength, 0.0, 1.0, 1.0)


def partly_local(conditions: Conditions) -> Expected:
    """Local strategies of S = 2 in a fraction of the rounds, honest pairs in the others."""
    fraction = conditions.strength
    chsh = TSIRELSON * (1 - fraction) + 2 * fraction
    return Expected(chsh, 0.0, (1 + fraction) / 2, fraction)


def time_shift(conditions: Conditions) -> Expected:
    """Bob's bit is the favoured one with probability r / (1 + r)."""
    ratio = conditions.strength
    guess = ratio / (1 + ratio)
    information = 1 - binary_entropy(guess)
    return Expected(TSIRELSON, 0.0, guess, information, (1.0, (1 + 1 / ratio) / 2))


def blinding(conditions: Conditions) -> Expected:
    """A blinded detector fires if Eve chose the same of Bob's n settings."""
    fired = conditions.strength / len(conditions.settings.bob_angles)
    clicks = 1 - conditions.strength + fired
    known = fired / clicks
    return Expected(TSIRELSON, 0.0, (1 + known) / 2, known, (1.0, clicks))


def drift(conditions: Conditions) -> Expected:
    """The mean visibility is 1 less half of what is lost by the end; there is no Eve."""
    lost = conditions.strength
    return Expected(TSIRELSON * (1 - lost / 2), lost / 4, 0.5, 0.0)


def replay(conditions: Conditions) -> Expected:
    """Unforeseen settings get outcomes whose mean product is the same at every pair."""
    settings, foreseen = conditions.settings, conditions.strength
    turns = [
        sum(p * cmath.exp(1j * angle) for p, angle in zip(chances, angles, strict=True))
        for chances, angles in (
            (settings.alice_probabilities, settings.alice_angles),
            (settings.bob_probabilities, settings.bob_angles),
        )
    ]
    product = (turns[0] * turns[1].conjugate()).real  # the mean of cos(a - b)
    signs = sum(sign for _, sign in settings.chsh_pairs)
    return Expected(
        chsh=TSIRELSON * foreseen + (1 - foreseen) * product * signs,
        qber=(1 - foreseen) * (1 - product) / 2,
        guess_rate=1.0,
        information=1.0,
    )


def man_in_the_middle(conditions: Conditions) -> Expected:
    """Two perfect sessions, each with Eve at one end."""
    del conditions  # the same for all
    return Expected(TSIRELSON, 0.0, 1.0, 1.0)
