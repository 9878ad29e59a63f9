"""Links whose key rates are published ones: key flows, no photon is simulated.

It is for replaying incidents beside what was printed of them.  An attack raises the error rate of
the bits that a link tests, and an exact binomial test of every second's bits rings; there is no
Bell test, as these links had none.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import bdtrc

from e91.adversaries import conditions_of, stage
from e91.network.link_life import LinkLife

FALSE_ALARM_PER_SECOND = 1e-6
"""Probability that a second's test rings while a link has its published error rate."""

ASSUMED_ERROR_RATE = 0.03
"""Where no error rate is published."""


@dataclass(frozen=True)
class Second:
    """What a link with a published rate did in a second.

    Attributes:
        bits: Key bits that it delivers now; 0 between two deliveries.
        errors: Among its tested bits.
        rings: Whether they are more than its published error rate explains.
    """

    bits: int
    errors: int
    rings: bool


def initial_bits(life: LinkLife, *, store_s: float) -> int:
    """Return the bits in a link's store at the start: stated, or some seconds of its rate."""
    if life.plan.store_bits is not None:
        return life.plan.store_bits
    return round(store_s * rate_of(life))


def rate_of(life: LinkLife) -> float:
    """Return the published key rate of a link, bits a second; 0 without."""
    rate = life.plan.bits_per_second
    return 0.0 if rate is None or rate.value is None else rate.value


def second_of(life: LinkLife, now_s: float) -> Second:
    """Return what a link did in the second up to now.

    As many bits are tested as key bits are made: a link that sifts ten times its key rate and tests
    a tenth, which is assumed (Tokyo's systems sifted ten times their key).
    """
    if life.dark:
        return Second(0, 0, False)
    made = rate_of(life)
    life.flowing += made
    least = max(1, life.plan.delivery_bits)
    bits = int(life.flowing // least) * least
    life.flowing -= bits
    tested = round(made)
    if not tested:
        return Second(bits, 0, False)
    honest = life.plan.qber.value if life.plan.qber is not None else None
    error = ASSUMED_ERROR_RATE if honest is None else honest / 100
    attacked = 0
    if life.attacked_s is not None:
        attacked = round(tested * min(1.0, max(0.0, now_s - life.attacked_s)))
    errors = int(life.rng.binomial(tested - attacked, error))
    if attacked and life.eve is not None:
        errors += int(life.rng.binomial(attacked, _attacked(error, *life.eve)))
    more = errors > tested * error  # no fewer can ring
    rings = more and float(bdtrc(errors - 1, tested, error)) < FALSE_ALARM_PER_SECOND
    return Second(bits, errors, rings)


@lru_cache(maxsize=64)
def _attacked(error: float, adversary: str, strength: float | None) -> float:
    """Return the error rate of bits that an adversary has touched as well."""
    added = stage(adversary, conditions_of(adversary, strength, seed=0)).expected.qber
    return float(np.clip(error + added - 2 * error * added, 0, 1))
