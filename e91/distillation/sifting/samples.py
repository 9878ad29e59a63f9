"""Samples: which key rounds are revealed, one packed bit for every round."""

import numpy as np

from e91.model.bits import Bits
from e91.model.numbers import check_between_zero_and_one, check_whole
from e91.model.randomness import Entropy
from e91.system.compiled import compiled_code_may_run


def draw_sample(entropy: Entropy, *, fraction: float, rounds: int) -> Bits:
    """Choose rounds at random; return one packed bit a round, 1 for "reveal it if it is key".

    One byte decides unless it lies on the edge, where 56 more bits are drawn: the probability is
    met to 2**-64.

    Args:
        entropy: The protocol's; one byte a round, then eight for each round on the edge.
        fraction: Probability of a 1, strictly between 0 and 1.
        rounds: Number of rounds.

    Returns:
        uint8, shape (ceil(rounds / 8),), padded with zeros.

    Raises:
        ValueError: The fraction leaves its range, or the number of rounds is negative.

    Examples:
        >>> draw_sample(lambda size: bytes(size), fraction=0.1, rounds=9).tolist()
        [255, 128]
    """
    check_between_zero_and_one(fraction=fraction)
    check_whole(rounds=rounds)
    # A float times a power of two is exact, so rounding down is the only step that rounds.
    upper, lower = divmod(int(fraction * 2**64), 2**56)
    body = entropy(rounds)
    if not compiled_code_may_run():
        draws = np.frombuffer(body, np.uint8)
        shown = draws < upper
        edge = np.flatnonzero(draws == upper)
        shown[edge] = np.frombuffer(entropy(8 * len(edge)), "<u8") >> np.uint64(8) < lower
        return np.packbits(shown)
    from e91.distillation.sifting import packing_kernels

    # The bytes that fill the last word are never below the edge, and not looked at on it.
    words = np.frombuffer(body if rounds % 8 == 0 else body + b"\xff" * (-rounds % 8), np.uint64)
    sample, places = np.empty(len(words), np.uint8), np.empty(rounds, np.int32)
    places = places[: packing_kernels.choose(words, upper, rounds, sample, places)]
    further = np.frombuffer(entropy(8 * len(places)), np.uint64)
    packing_kernels.settle(sample, places, further, np.uint64(lower))
    return sample
