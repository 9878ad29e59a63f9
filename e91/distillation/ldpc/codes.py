"""The LDPC codes of 5G New Radio: base graph 1, lifted, and cut to the rate that a key needs.

Source: 3GPP TS 38.212 (V18.6.0), section 5.3.2 with tables 5.3.2-1 and 5.3.2-2.
"""

import math
from functools import cache
from importlib import resources
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

_KEY_COLUMNS, _CORE_ROWS, _ROWS = 22, 4, 46  # of the base graph, in blocks
_PUNCTURED = 2
# Table 5.3.2-1: liftings are these numbers, one for each set, times a power of two up to 384.
_LIFTING_SETS = (2, 3, 5, 7, 9, 11, 13, 15)
_LIFTINGS = sorted(a << k for a in _LIFTING_SETS for k in range(8) if a << k <= 384)
# Below the first rate an estimate rests on a handful of errors; beyond the second no rate of the
# code corrects, and verification will say so.
_LEAST_RATE, _LARGEST_RATE = 1e-3, 0.2
# Where belief propagation begins to succeed, over the entropy: measured with frames of 10^4 bits
# (``benchmarks/ldpc_frames.py`` measures what is left).  1 would be Shannon's limit.
_OVERHEAD_RATES = (0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.08, 0.11)
_OVERHEAD = (1.40, 1.33, 1.29, 1.23, 1.18, 1.135, 1.08, 1.06)
_FAILURE = 1e-3  # Probability that a key has a frame with more errors than are allowed for.


class Shape(NamedTuple):
    """How a key is cut into frames, and the code of a frame.

    Attributes:
        frames: Number of frames.
        bits: Key bits of a frame.
        lifting: Z, the size of a block of the base graph.
        checks: Rows of the parity-check matrix, from 4 Z to 46 Z.
    """

    frames: int
    bits: int
    lifting: int
    checks: int

    @property
    def punctured(self) -> int:
        """Private random bits in a frame."""
        return _PUNCTURED * self.lifting

    @property
    def disclosed_bits(self) -> int:
        """Key bits that all syndromes together give away."""
        return self.frames * (self.checks - self.punctured)


def shape(length: int, error_rate: float) -> Shape:
    """Return the frames and the code for a key of ``length`` bits: public, as its arguments are.

    Examples:
        >>> shape(10_000, 0.02).frames
        1
    """
    if length == 0:
        return Shape(0, 0, 0, 0)
    # No frame is longer than this, which is three times its message part.
    frames = -(-length // (_KEY_COLUMNS + _ROWS) // _LIFTINGS[-1])
    while (code := _lifted(frames, -(-length // frames), error_rate)) is None:
        frames += 1
    return code


def _lifted(frames: int, bits: int, error_rate: float) -> Shape | None:
    """Return the smallest code for frames of ``bits`` key bits, or None if they are too long."""
    disclosed = math.floor(bits * _share(error_rate, bits, frames))
    for lifting in _LIFTINGS:
        if _KEY_COLUMNS * lifting >= bits - disclosed:
            least = (_CORE_ROWS - _PUNCTURED) * lifting
            return Shape(frames, bits, lifting, max(disclosed, least) + _PUNCTURED * lifting)
    return None


def believed_rate(error_rate: float) -> float:
    """Return the error rate that a code can be chosen for and its decoder can make use of.

    Examples:
        >>> believed_rate(0.0), believed_rate(0.03), believed_rate(1.0)
        (0.001, 0.03, 0.2)
    """
    return min(max(error_rate, _LEAST_RATE), _LARGEST_RATE)


def _share(error_rate: float, bits: int, frames: int) -> float:
    """Return which share of each of ``frames`` frames of ``bits`` key bits to disclose.

    The number of errors fluctuates, and with it what they take to describe: a frame of n bits
    needs n h + z sqrt(n v) where v is the variance of the information of a bit and z the number
    of standard deviations to allow for (Tomamichel, Martinez-Mateo, Pacher and Elkouss, Quantum
    Inf. Process. 16, 280 (2017)).  The code needs `_OVERHEAD` times h.
    """
    rate = believed_rate(error_rate)
    surprise = math.log2((1 - rate) / rate)
    entropy = -math.log2(1 - rate) + rate * surprise
    deviation = math.sqrt(rate * (1 - rate) / bits) * surprise
    overhead = np.interp(math.log(rate), np.log(_OVERHEAD_RATES), _OVERHEAD)
    allowed = NormalDist().inv_cdf(1 - _FAILURE / frames)
    share = float(overhead) * entropy + allowed * deviation
    least, most = (rows / (_KEY_COLUMNS + rows) for rows in (_CORE_ROWS - 2, _ROWS - 2))
    return min(max(share, least), most)


@cache
def _base_graph() -> NDArray[np.int64]:
    """Return table 5.3.2-2: row, column and shifts V for each set; shape (316, 10)."""
    table = resources.files("e91.distillation").joinpath("codes/base_graph_1.csv")
    with table.open() as lines:
        return np.loadtxt(lines, np.int64, delimiter=",")


def parity_checks(code: Shape) -> csr_matrix:
    """Return the parity-check matrix of a frame: first the punctured columns, then the key's.

    The key fills the columns of the parity bits, then those of the message from the first on;
    what is left of these is shortened, that is, left out.

    Returns:
        0/1 entries, uint8, shape (checks, punctured + bits).

    Examples:
        >>> code = shape(1000, 0.05)
        >>> parity_checks(code).shape == (code.checks, code.punctured + 1000)
        True
    """
    size, graph = code.lifting, _base_graph()
    lifting_set = next(k for k, a in enumerate(_LIFTING_SETS) if _is_power_of_two(size / a))
    offsets = np.arange(size)
    rows = (graph[:, :1] * size + offsets).ravel()
    shifts = graph[:, 2 + lifting_set][:, None]
    columns = (graph[:, 1:2] * size + (offsets + shifts) % size).ravel()
    kept = rows < code.checks
    shape = (code.checks, (_KEY_COLUMNS + _ROWS) * size)
    entries = np.ones(np.count_nonzero(kept), np.uint8)
    lifted = csr_matrix((entries, (rows[kept], columns[kept])), shape=shape)
    message, parity = np.split(np.arange(_KEY_COLUMNS * size + code.checks), [_KEY_COLUMNS * size])
    punctured, rest = np.split(message, [code.punctured])
    return csr_matrix(lifted[:, np.concatenate([punctured, np.append(parity, rest)[: code.bits]])])


def _is_power_of_two(ratio: float) -> bool:
    return ratio >= 1 and math.log2(ratio).is_integer()
