"""Noisy preprocessing: Alice flips key bits at random before error correction.

Eve's uncertainty grows more than the parties' errors when the noise is large, so that a
device-independent key survives a higher error rate.
"""

from e91.model.randomness import Entropy, random_choice
from e91.model.records import SiftedKey


def flip(key: SiftedKey, *, probability: float, entropy: Entropy) -> SiftedKey:
    """Return ``key`` with every bit flipped with ``probability``, independently and in secret.

    Args:
        key: Alice's sifted key.
        probability: In [0, 1/2]; at 0 no randomness is drawn.
        entropy: Alice's own randomness; the flips are never announced.

    Source:
        Ho et al., Phys. Rev. Lett. 124, 230502 (2020), arXiv:2005.13015.

    Examples:
        >>> import numpy as np
        >>> from e91.model.randomness import seeded_entropy
        >>> key = SiftedKey(np.zeros(10_000, np.uint8))
        >>> flipped = flip(key, probability=0.1, entropy=seeded_entropy(1))
        >>> 800 < int(flipped.bits.sum()) < 1_200
        True
    """
    if probability == 0:
        return key
    return SiftedKey(key.bits ^ random_choice(entropy, (1 - probability, probability), len(key)))
