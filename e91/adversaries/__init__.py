"""Adversaries by name: what each does, what it must look like, and how to stage it.

`ATTACKS` is the one table behind ``e91 attack`` and ``e91 run --attack``; `run_attack` stages a
session under attack and compares it with the closed form.

Examples:
    >>> found = run_attack("intercept-resend", 0.7, rounds=20_000, seed=1)
    >>> round(found.expected.chsh, 4), found.session.abort.name
    (1.8385, 'NO_VIOLATION')
"""

from e91.adversaries.assumptions import Assumption, assumed_by
from e91.adversaries.catalogue import ATTACKS, Attack, attack_named
from e91.adversaries.closed_forms import Expected
from e91.adversaries.conditions import Basis, Conditions, Simulator
from e91.adversaries.staging import AttackReport, Staged, run_attack, stage

__all__ = [
    "ATTACKS",
    "Assumption",
    "Attack",
    "AttackReport",
    "Basis",
    "Conditions",
    "Expected",
    "Simulator",
    "Staged",
    "assumed_by",
    "attack_named",
    "run_attack",
    "stage",
]
