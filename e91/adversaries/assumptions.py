"""What the theorems assume, and which attacks break it.

A key is as secret as its theorem's assumptions are true.  An attack that breaks one of them may
end with a released key that Eve knows; that is no failure of the theorem, and why every report
prints what it assumes.
"""

from enum import Enum

from e91.model.trust import SecurityModel
from e91.security.theorems import Attacks, Theorem


class Assumption(Enum):
    """Something a theorem takes for granted; the value is how users read it."""

    ANALYSERS = "both analysers measure one qubit at the declared angles"
    FAIR_SAMPLING = "losses do not depend on setting or outcome"
    INDEPENDENT_ROUNDS = "the rounds are independent and alike"
    SETTINGS = "nobody foresees a setting, and none leaks"
    AUTHENTICATION = "the classical messages are authenticated"


_ALWAYS = frozenset({Assumption.SETTINGS, Assumption.AUTHENTICATION})


def assumed_by(theorem: Theorem) -> frozenset[Assumption]:
    """Return what a theorem assumes; its `statement` says it in words.

    Examples:
        >>> Assumption.FAIR_SAMPLING in assumed_by(Theorem.PHASE_ERRORS)
        True
        >>> Assumption.FAIR_SAMPLING in assumed_by(Theorem.ENTROPY_ACCUMULATION)
        False
    """
    if theorem.security is SecurityModel.TRUSTED_ANALYSERS:
        return _ALWAYS | {Assumption.ANALYSERS, Assumption.FAIR_SAMPLING}
    if theorem.entry.attacks is Attacks.COHERENT:
        return _ALWAYS
    return _ALWAYS | {Assumption.INDEPENDENT_ROUNDS}
