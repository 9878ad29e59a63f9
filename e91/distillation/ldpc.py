"""LDPC reconciliation: one syndrome from Alice, and Bob corrects his key with it.

Alice sends the syndrome of her key under a published code; Bob looks for the likeliest errors that
explain how it differs from his own (belief propagation by the package `ldpc`).  It discloses more
than Alice does in Cascade and may fail, but takes one message instead of some hundred: the right
choice where a message is slow, as over a satellite or between storage and a later day.  On an
ordinary network Cascade leaves more key between trusted analysers.  Without trust Bob's messages in
Cascade cost key too, and from about 1 % of errors on this leaves more.

The code is 5G New Radio's base graph 1, lifted to the length of the frame.  Its first rows and
columns alone form good codes of every rate between 1/3 and 11/12, so that the rate follows the
error rate check by check; what a lifting leaves over is shortened (Elkouss, Martinez-Mateo and
Martin, Quantum Inf. Comput. 11, 226 (2011), "Information reconciliation for quantum key
distribution").

Disclosure: the columns of the first two block columns, 2 Z of them, carry no key (they are
*punctured*): Alice fills them with private random bits R.  With key bits X the syndrome of c bits
is S = H X + P R.  P has full column rank, so an invertible change of the c bits makes the first
2 Z of them R plus a function of X, which is uniform whatever X is, and the others a function of X
alone.  A listener gains at most these c - 2 Z bits, whatever he knew before (chain rule of the
min-entropy); they are what the message counts.  Bob discloses nothing, so Alice's key is the
reference, and a bound that speaks of Bob's key only does not serve here.

Source: 3GPP TS 38.212 (V18.6.0), section 5.3.2 with tables 5.3.2-1 and 5.3.2-2; design:
Richardson and Kudekar, IEEE Commun. Mag. 56 (3), 28 (2018).
"""

import math
import struct
from functools import cache
from importlib import resources
from statistics import NormalDist
from typing import NamedTuple, Protocol, cast

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from e91.model.bits import Bits, pack, unpack
from e91.model.errors import AuthenticationFailed
from e91.model.messages import Channel, Message, Party
from e91.model.numbers import check_whole, check_within
from e91.model.randomness import Entropy, operating_system_entropy, random_bits
from e91.model.records import ReconciledKey, SiftedKey
from e91.system.extras import extra

SEED_BYTES = 32  # of the public seed of the shuffle
_ITERATIONS = 100

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
_ERRORS_ALLOWED_FOR = 1e-3  # But for this probability no frame of a key has more of them.
# Codes fail at scattered error rates, as if the variance of a frame's errors were this many
# times as large: measured with 2,000 bits, whose rate ten times as many revealed ones gave.
_SCATTER = 2.3
_PARAMETERS = struct.Struct("<dQ")  # error rate, and bits of the sample; 0 if it is known


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


def reconcile(
    alice_key: SiftedKey,
    bob_key: SiftedKey,
    *,
    error_rate: float,
    sample_size: int = 0,
    permutation_seed: bytes,
    channel: Channel,
    entropy: Entropy = operating_system_entropy,
) -> tuple[ReconciledKey, ReconciledKey]:
    """Carry Alice's one message to Bob.

    Args:
        alice_key: The reference; n bits.
        bob_key: Bob's key; n bits.
        error_rate: The estimated QBER, in [0, 1]; fixes the rate of the code, with `sample_size`.
            One too low leaves errors, one too high costs bits.
        sample_size: Revealed bits that the estimate rests on; the fewer, the more errors are
            allowed for.  0 if the rate is known.
        permutation_seed: 32 uniform bytes, drawn after the quantum phase; they become public.
        channel: Carries and records the message with the key bits it discloses.
        entropy: Where Alice's private bits come from.

    Returns:
        Both reconciled keys.  Frames may be left with errors (``benchmarks/ldpc_frames.py``);
        verification tells.

    Raises:
        ValueError: The keys differ in length, or an argument leaves its range.
        AuthenticationFailed: A message arrived that no honest party would have sent.
        ModuleNotFoundError: The package `ldpc` is not installed.
    """
    if len(alice_key) != len(bob_key):
        raise ValueError(f"`bob_key` must have {len(alice_key)} bits, but has {len(bob_key)}.")
    message = announce(
        alice_key,
        error_rate=error_rate,
        sample_size=sample_size,
        permutation_seed=permutation_seed,
        entropy=entropy,
    )
    return ReconciledKey(alice_key.bits), correct(bob_key, channel.send(message))


def announce(
    key: SiftedKey,
    *,
    error_rate: float,
    sample_size: int = 0,
    permutation_seed: bytes,
    entropy: Entropy = operating_system_entropy,
) -> Message:
    """Play Alice: return the one message.  For the arguments see `reconcile`.

    Returns:
        Seed, error rate, size of its sample, and the syndromes of all frames.

    Raises:
        ValueError: ``error_rate``, ``sample_size`` or ``permutation_seed`` leaves its range.

    Examples:
        >>> key = SiftedKey(np.zeros(10_000, np.uint8))
        >>> message = announce(key, error_rate=0.02, sample_size=900, permutation_seed=bytes(32))
        >>> message.disclosed_bits == shape(10_000, 0.02, 900).disclosed_bits
        True
    """
    check_within(0, 1, error_rate=error_rate)
    check_whole(most=2**63, sample_size=sample_size)
    if len(permutation_seed) != SEED_BYTES:
        raise ValueError(
            f"`permutation_seed` must have {SEED_BYTES} bytes, but has {len(permutation_seed)}."
        )
    code = shape(len(key), error_rate, sample_size)
    private = random_bits(entropy, code.frames * code.punctured)
    private = private.reshape(code.frames, code.punctured)
    frames = _cut(key.bits, _shuffle(len(key), permutation_seed), code)
    syndromes = _syndromes(np.hstack([private, frames]), code)
    parameters = _PARAMETERS.pack(error_rate, sample_size)
    body = permutation_seed + parameters + pack(syndromes.ravel())
    return Message(Party.ALICE, "ldpc-syndrome", body, code.disclosed_bits)


def correct(key: SiftedKey, message: Message) -> ReconciledKey:
    """Play Bob: return his key, corrected with Alice's ``message`` as it arrived.

    A frame that the decoder cannot explain is left as it was.

    Raises:
        AuthenticationFailed: The message is missing or malformed.
        ModuleNotFoundError: The package `ldpc` is not installed.
    """
    seed, start = message.body[:SEED_BYTES], SEED_BYTES + _PARAMETERS.size
    try:
        error_rate, sample_size = _PARAMETERS.unpack(message.body[SEED_BYTES:start])
        check_within(0, 1, error_rate=error_rate)
        code = shape(len(key), error_rate, sample_size)
        heard = unpack(message.body[start:], code.frames * code.checks)
    except (ValueError, struct.error):
        raise AuthenticationFailed("The message of LDPC is missing or malformed.") from None
    order = _shuffle(len(key), seed)
    frames = _cut(key.bits, order, code)
    nothing = np.zeros((code.frames, code.punctured), np.uint8)
    own = _syndromes(np.hstack([nothing, frames]), code)
    errors = _explain(own ^ heard.reshape(own.shape), code, error_rate)
    bits = key.bits.copy()
    bits[order] ^= errors.ravel()[: len(key)]
    return ReconciledKey(bits)


def _shuffle(length: int, seed: bytes) -> NDArray[np.int64]:
    """Return a public order of the bits, so that errors in a row fall into all frames.

    The words are sorted stably, which gives the same order on every machine.
    """
    stream = Cipher(algorithms.AES(seed), modes.CTR(bytes(16))).encryptor()
    return np.argsort(np.frombuffer(stream.update(bytes(8 * length)), "<u8"), kind="stable")


def _cut(bits: Bits, order: NDArray[np.int64], code: Shape) -> Bits:
    """Return the shuffled key as frames, shape (frames, bits); zeros fill the last one."""
    filled = np.zeros(code.frames * code.bits, np.uint8)
    filled[: len(bits)] = bits[order]
    return filled.reshape(code.frames, code.bits)


def _syndromes(words: Bits, code: Shape) -> Bits:
    """Return the syndrome of each word; shapes (frames, columns) and (frames, checks)."""
    if not code.frames:
        return np.zeros((0, 0), np.uint8)
    # A row has at most 19 ones, so that bytes hold the sums.
    return np.asarray((parity_checks(code) @ words.T).T & 1, np.uint8)


def _explain(syndromes: Bits, code: Shape, error_rate: float) -> Bits:
    """Return the likeliest errors of each frame, or none where the decoder finds none that fit."""
    errors = np.zeros((code.frames, code.bits), np.uint8)
    if not code.frames:
        return errors
    decoder = _decoder(code, error_rate)
    for frame, syndrome in zip(errors, syndromes, strict=True):
        found = decoder.decode(np.ascontiguousarray(syndrome))
        if decoder.converge:
            frame[:] = found[code.punctured :]
    return errors


class _Decoder(Protocol):
    converge: bool

    def decode(self, syndrome: Bits) -> Bits:
        """Return the likeliest errors that have the syndrome."""


def _decoder(code: Shape, error_rate: float) -> _Decoder:
    """Return belief propagation that knows the error rate, and nothing of the punctured bits."""
    package = extra("ldpc.bp_decoder", what="LDPC reconciliation")
    rate = believed_rate(error_rate)
    decoder = package.BpDecoder(
        parity_checks(code),
        error_channel=[0.5] * code.punctured + [rate] * code.bits,
        max_iter=_ITERATIONS,
        bp_method="product_sum",
        schedule="parallel",
        input_vector_type="syndrome",
    )
    return cast(_Decoder, decoder)


def shape(length: int, error_rate: float, sample_size: int = 0) -> Shape:
    """Return the frames and the code for a key of ``length`` bits: public, as its arguments are.

    Args:
        length: Key bits.
        error_rate: Their estimated error rate, in [0, 1].
        sample_size: Revealed bits that the estimate rests on; 0 if the rate is known.

    Examples:
        >>> shape(10_000, 0.02).frames
        1
        >>> shape(10_000, 0.02, 1_000).disclosed_bits > 1.2 * shape(10_000, 0.02).disclosed_bits
        True
    """
    if length == 0:
        return Shape(0, 0, 0, 0)
    # No frame is longer than this, which is three times its message part.
    frames = -(-length // (_KEY_COLUMNS + _ROWS) // _LIFTINGS[-1])
    while True:
        bits = -(-length // frames)
        share = _share(error_rate, bits, frames=frames, sample_size=sample_size)
        if (code := _lifted(frames, bits, share)) is not None:
            return code
        frames += 1


def _lifted(frames: int, bits: int, share: float) -> Shape | None:
    """Return the smallest code for frames of ``bits`` key bits, or None if they are too long."""
    disclosed = math.floor(bits * share)
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


def _share(error_rate: float, bits: int, *, frames: int, sample_size: int) -> float:
    """Return which share of each of ``frames`` frames of ``bits`` key bits to disclose.

    The code needs `_OVERHEAD` times h of the errors that a frame has, which differ from those of
    the sample as one random sample from another: their share is taken for Wilson's upper limit at
    the size of both together, z standard deviations away, `_SCATTER` included.  For a rate that is
    known, and codes without scatter, that is to first order the fluctuation of a frame alone
    (Tomamichel, Martinez-Mateo, Pacher and Elkouss, Quantum Inf. Process. 16, 280 (2017)).

    Source:
        Wilson, J. Am. Stat. Assoc. 22, 209 (1927).
    """
    deviations = NormalDist().inv_cdf(1 - _ERRORS_ALLOWED_FOR / frames)
    both = 1 / (_SCATTER / bits + (1 / sample_size if sample_size else 0.0))
    rate = believed_rate(_wilson_limit(believed_rate(error_rate), both, deviations))
    overhead = np.interp(math.log(rate), np.log(_OVERHEAD_RATES), _OVERHEAD)
    share = float(overhead) * (-rate * math.log2(rate) - (1 - rate) * math.log2(1 - rate))
    least, most = (rows / (_KEY_COLUMNS + rows) for rows in (_CORE_ROWS - 2, _ROWS - 2))
    return min(max(share, least), most)


def _wilson_limit(rate: float, size: float, deviations: float) -> float:
    """Return the rate from which an observed one is this number of its standard deviations away."""
    half = deviations**2 / (2 * size)
    spread = deviations * math.sqrt(rate * (1 - rate) / size + half / (2 * size))
    return (rate + half + spread) / (1 + 2 * half)


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
