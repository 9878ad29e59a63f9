"""Read-out errors: a click is written down as the other outcome."""

from __future__ import annotations

import numpy as np

from e91.model.numbers import Floats


def misread(table: Floats, *, alice: float, bob: float) -> Floats:
    """Return outcomes after read-out errors, the chances that a bit is turned.

    Args:
        table: Chances or rates of the outcomes, ``[..., a, b]``, with or without no click.
        alice: Alice's read-out error.
        bob: Bob's.

    Examples:
        >>> slot = np.diag([0.5, 0.5, 0.0])
        >>> misread(slot, alice=0.1, bob=0.0).round(3).tolist()
        [[0.45, 0.05, 0.0], [0.05, 0.45, 0.0], [0.0, 0.0, 0.0]]
    """
    outcomes = table.shape[-1]
    turned: Floats = _turning(alice, outcomes) @ table @ _turning(bob, outcomes)
    return turned


def _turning(error: float, outcomes: int) -> Floats:
    matrix = np.eye(outcomes)
    matrix[:2, :2] = [[1 - error, error], [error, 1 - error]]
    return matrix
