"""Other people's programs for single stages, called as their authors intend."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import numpy as np
import scipy.fft

from benchmarks.timing import Work, shared_out, timed
from e91.distillation import ldpc
from e91.model.bits import Bits
from e91.model.messages import Channel
from e91.model.records import SiftedKey

# The settings of the example in TNO's documentation.
_PASSES = 8
_SAMPLING_FRACTION = 0.34
_PERMUTATION_SEED = 42


def faster(work: Callable[[int], int], *, threads: int) -> Work:
    """Return ``work`` on one thread or shared out to ``threads``, whichever is faster here.

    Some peers gain from threads and some lose; each is timed under the better.

    Examples:
        >>> faster(lambda number: 7, threads=1)()
        7
    """
    alone = shared_out(work, threads=1)
    if threads == 1:
        return alone
    shared = shared_out(work, threads=threads)
    rate = {work: timed(work, repeats=1).rates[0] for work in (alone, shared)}
    return max(rate, key=rate.__getitem__)


def one_piece(bits: Bits, length: int, seed: Bits) -> Bits:
    """Return the Toeplitz hash by one real transform of SciPy, of a length that suits it.

    Args:
        bits: The key; uint8, shape (n,).
        length: Bits to keep, m.
        seed: As for `hashing.toeplitz_hash`; uint8, shape (n + m - 1,).

    Returns:
        The hashed bits; uint8, shape (m,).

    Examples:
        >>> one_piece(np.array([1, 0, 1], np.uint8), 2, np.array([1, 1, 0, 1], np.uint8))
        array([1, 0], dtype=uint8)
    """
    points = scipy.fft.next_fast_len(len(seed), real=True)
    spectrum = scipy.fft.rfft(bits.astype(np.float64), points)
    spectrum = spectrum * scipy.fft.rfft(seed.astype(np.float64), points)
    sums = scipy.fft.irfft(spectrum, points)[len(bits) - 1 : len(bits) - 1 + length]
    hashed: Bits = (np.rint(sums).astype(np.int64) & 1).astype(np.uint8)
    return hashed


def randextract(bits: Bits, length: int, seed: Bits) -> Callable[[], Bits]:
    """Return a call of ``randextract`` that hashes as `one_piece`, its arguments prepared.

    Raises:
        ModuleNotFoundError: The package is not installed.
    """
    extractor = import_module("randextract").ToeplitzHashing(len(bits), length)
    field = import_module("galois").GF2
    key, turned = field(bits), field(np.roll(seed, 1 - len(bits)))  # its matrix is seed[i - j]
    return lambda: np.asarray(extractor.extract(key, turned))


def belief_propagation(alice: SiftedKey, bob: SiftedKey, *, error_rate: float) -> int:
    """Reconcile keys with the decoder of the package ``ldpc``; return the number of their bits.

    Raises:
        ModuleNotFoundError: The package is not installed.
    """
    ldpc.reconcile(
        alice,
        bob,
        error_rate=error_rate,
        permutation_seed=bytes(ldpc.SEED_BYTES),
        channel=Channel(),
    )
    return len(alice)


def tno_cascade(alice: SiftedKey, bob: SiftedKey, *, error_rate: float) -> int:
    """Reconcile keys with TNO's Cascade, eight passes as in its example; return their bits.

    Raises:
        ModuleNotFoundError: The package ``tno.quantum.communication.qkd_key_rate`` is missing.
        RuntimeError: It left errors.
    """
    words = import_module("tno.quantum.communication.qkd_key_rate.classical")
    cascade = import_module("tno.quantum.communication.qkd_key_rate.classical.cascade")
    permutations = words.Permutations.random_permutation(
        number_of_passes=_PASSES, message_size=len(alice), random_state=_PERMUTATION_SEED
    )
    strategy = words.ParityStrategy(
        error_rate=error_rate, sampling_fraction=_SAMPLING_FRACTION, number_of_passes=_PASSES
    )
    sender = cascade.CascadeSender(
        message=words.Message(alice.bits.tolist()), permutations=permutations
    )
    receiver = cascade.CascadeReceiver(
        message=words.Message(bob.bits.tolist()),
        permutations=permutations,
        parity_strategy=strategy,
    )
    summary = cascade.CascadeCorrector(alice=sender, bob=receiver).correct_errors()
    if summary.output_error:
        raise RuntimeError(f"Keys must end equal, but {summary.output_error:.2%} are wrong.")
    return len(alice)
