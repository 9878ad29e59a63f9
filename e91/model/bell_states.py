"""The four Bell states, as far as angles go: where an analyser stands so that one looks like phi+.

The products of outcomes are those of `e91_circuits.pairs`; with Pauli's matrices X, Z and Y on
Bob's qubit the states psi+, phi- and psi- become phi+, and his observable A(b) becomes A(pi - b),
A(-b) and A(b + pi).
"""

import math
from typing import Literal

BellState = Literal["phi+", "phi-", "psi+", "psi-"]
"""The four maximally entangled pairs, by their usual names."""


def bobs_angle(angle: float, state: BellState) -> float:
    """Return where Bob's analyser stands, so that ``state`` looks like phi+ at ``angle``.

    E(a, b) is cos(a - b) for phi+, cos(a + b) for phi-, -cos(a + b) for psi+ and -cos(a - b) for
    psi- (`e91_circuits.pairs`).  A turn by pi inverts Bob's outcomes.  It is its own inverse, up to
    whole turns.

    Args:
        angle: Of Bob's setting, radians on the Bloch sphere.
        state: What the source emits.

    Examples:
        >>> bobs_angle(0.25, "phi+"), bobs_angle(0.25, "phi-"), round(bobs_angle(0.25, "psi-"), 4)
        (0.25, -0.25, 3.3916)
    """
    mirrored = -angle if state in ("phi-", "psi+") else angle
    return mirrored + math.pi if state.startswith("psi") else mirrored
