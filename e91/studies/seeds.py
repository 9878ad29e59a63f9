"""From the root of a study to the two seeds of each of its sessions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SessionSeeds:
    """The seeds of one session.

    Attributes:
        physics: For the device.
        protocol: For settings, samples and hash seeds.
    """

    physics: int
    protocol: int


def new_root() -> int:
    """Return a root from the operating system's entropy, 128 bits."""
    entropy = np.random.SeedSequence().entropy
    assert isinstance(entropy, int)
    return entropy


def seeds_of(root: int, session: int) -> SessionSeeds:
    """Return the seeds of a session: the spawn keys (session, 0) and (session, 1) of the root.

    Physics and protocol have a branch each.  Whoever knows the root knows both, so keys made with
    them are for statistics only.

    Args:
        root: Entropy of the study, not negative.
        session: Number of the session, from 0.

    Examples:
        >>> seeds_of(1, 0) == seeds_of(1, 0), seeds_of(1, 0) == seeds_of(1, 1)
        (True, False)
    """

    def drawn(branch: int) -> int:
        """Return 128 bits of a branch of the tree of seeds."""
        words = np.random.SeedSequence(root, spawn_key=(session, branch)).generate_state(
            2, np.uint64
        )
        return int(words[0]) << 64 | int(words[1])

    return SessionSeeds(drawn(0), drawn(1))
