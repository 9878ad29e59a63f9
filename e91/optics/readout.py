"""Read-out errors: a click is written down as the other outcome."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def misread(table: Array, *, alice: float, bob: float) -> Array:
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
    turned: Array = _turning(alice, outcomes) @ table @ _turning(bob, outcomes)
    return turned


def _turning(error: float, outcomes: int) -> Array:
    matrix = np.eye(outcomes)
    matrix[:2, :2] = [[1 - error, error], [error, 1 - error]]
    return matrix
