"""Cascade: correct Bob's key with parities of blocks, each disclosed once.

The key is cut into frames of up to 65,536 bits (`cascade.schedule`).  Each iteration (a *pass* in
the papers) takes the bits of a frame in another public order, cuts them into blocks and compares
their parities.  An odd block (with an odd number of errors) is bisected down to one error, whose
correction makes a block of each other iteration odd or even again; odd ones are bisected too, those
of earlier iterations first, until none is left.  A parity once compared cuts its block for good, so
later bisections start from the piece and what follows is inferred.  All frames go on side by side,
so that a message holds the parities of thousands of blocks, and end an iteration before any begins
the next.  At the end random subsets are compared; as long as they differ, all frames go through one
more iteration.

Two parties, two objects (`cascade.parties`): `Alice` has her key only and answers questions, `Bob`
has his key only and asks them.

Disclosure: each message counts its bits.  Alice's are parities.  Bob says for each whether his
differs (a *comparison bit*), as his key was when the iteration began, and which places he asks
about next.  Comparison bits are parities of errors: with the public seed they decide all that
follows, which places are asked and corrected and when it ends.  So the positions depend on the
error pattern, Alice's key XOR Bob's, only, and Bob's messages are a function of it: adding the same
string to both keys changes none of them.
Length, error rate and seed do not depend on the keys; given these, all that is said follows from a
string of Alice's and Bob's bits, whose beginning fixes what is asked next and when it ends.  Such
strings are a prefix-free code: at most 2**L of them have at most L bits (Kraft).  So a listener
who hears at most L bits, *both* parties' together, gains at most L bits (chain rule of the
min-entropy).  Alice's bits alone are no bound, as Bob's depend on his key: Tupkary and
Lutkenhaus, "Using Cascade in Quantum Key Distribution", arXiv 2307.00576.  The comparison bits fix
every corrected position, so the transcript turns one party's key into the other's, and either may
be the reference.

Source: Brassard and Salvail, EUROCRYPT '93, LNCS 765, 410; block sizes in the manner of
Martinez-Mateo et al., arXiv 1407.3257.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from e91.distillation.cascade import wire_format as wire
from e91.distillation.cascade.block_states import Transcript, begin_transcript
from e91.distillation.cascade.parties import Alice, Bob, Kernels, kernels_of
from e91.distillation.cascade.schedule import Words
from e91.model.bits import Bits
from e91.model.messages import Channel, Message, honest_transmission
from e91.model.records import ReconciledKey, SiftedKey
from e91.system.compiled import compiled_code_pays
from e91.system.workspace import Workspace


def reconcile(
    alice_key: SiftedKey,
    bob_key: SiftedKey,
    *,
    error_rate: float,
    permutation_seed: bytes,
    channel: Channel,
    workspace: Workspace | None = None,
) -> tuple[ReconciledKey, ReconciledKey]:
    """Correct Bob's key: let `Alice` and `Bob` talk until both have finished.

    Args:
        alice_key: The reference, unchanged by Cascade; n bits.
        bob_key: Bob's key; n bits.
        error_rate: The estimated QBER, in [0, 0.5]; sets the block sizes.  A wrong one costs bits.
        permutation_seed: 32 uniform bytes, drawn after the quantum phase; they become public.
        channel: Carries and records each message with the key bits it discloses.
        workspace: Lends memory, and says whether the loops are compiled; by default one of this
            call alone, compiled where that pays for a key of n bits.

    Returns:
        Both reconciled keys.  Errors may be left (``benchmarks/cascade.py``); verification tells.

    Raises:
        ValueError: The keys differ in length, or an argument leaves its range.
        AuthenticationFailed: A message arrived that no honest party would have sent.

    Examples:
        >>> alice, bob = (SiftedKey(np.array(b, np.uint8)) for b in ([0, 1, 1, 0], [0, 1, 1, 1]))
        >>> seed, channel = bytes(32), Channel()
        >>> keys = reconcile(alice, bob, error_rate=0.1, permutation_seed=seed, channel=channel)
        >>> np.array_equal(keys[0].bits, keys[1].bits)
        True
    """
    if len(alice_key) != len(bob_key):
        raise ValueError(f"`bob_key` must have {len(alice_key)} bits, but has {len(bob_key)}.")
    workspace = workspace or Workspace(compiled=compiled_code_pays(len(bob_key)))
    kernels = kernels_of(workspace)
    corrected = reconcile_packed(
        _words(alice_key, kernels),
        _words(bob_key, kernels),
        bits=len(bob_key),
        error_rate=error_rate,
        permutation_seed=permutation_seed,
        channel=channel,
        workspace=workspace,
    )
    return (
        ReconciledKey.from_packed(alice_key.packed, len(alice_key)),
        ReconciledKey.from_packed(_octets(corrected, len(bob_key), kernels), len(bob_key)),
    )


def reconcile_packed(
    alice_words: Words,
    bob_words: Words,
    *,
    bits: int,
    error_rate: float,
    permutation_seed: bytes,
    channel: Channel,
    workspace: Workspace | None = None,
) -> Words:
    """Correct Bob's packed key, as `reconcile` does.

    Args:
        alice_words: Bit i of the key is bit i % 64, counted from the lowest, of word i // 64, and
            bits beyond n are 0; uint64, shape (ceil(n / 64),).
        bob_words: Bob's key in the same form.
        bits: Length of either key, n.
        error_rate: As for `reconcile`.
        permutation_seed: As for `reconcile`.
        channel: As for `reconcile`.
        workspace: As for `reconcile`.

    Returns:
        Bob's key after correction, in the same form.

    Raises:
        ValueError: A key does not have the words that n bits need, or an argument leaves its range.
        AuthenticationFailed: A message arrived that no honest party would have sent.

    Examples:
        >>> alice, bob = np.array([0b0110], np.uint64), np.array([0b0111], np.uint64)
        >>> reconcile_packed(alice, bob, bits=4, error_rate=0.1, permutation_seed=bytes(32),
        ...                  channel=Channel())
        array([6], dtype=uint64)
    """
    workspace = workspace or Workspace(compiled=compiled_code_pays(bits))
    bob = Bob(
        bob_words,
        bits=bits,
        error_rate=error_rate,
        permutation_seed=permutation_seed,
        workspace=workspace,
    )
    alice = Alice(alice_words, bits=bits, workspace=workspace)
    return _run_locally(alice, bob, channel, workspace)


def _words(key: SiftedKey, kernels: Kernels) -> Words:
    """Return a key, packed first bit highest, as words, first bit lowest."""
    whole = np.zeros(-(-len(key) // 64) * 8, np.uint8)
    whole[: len(key.packed)] = key.packed
    words = whole.view("<u8").astype(np.uint64, copy=False)
    kernels.turn_bytes(words)
    return words


def _octets(words: Words, bits: int, kernels: Kernels) -> Bits:
    turned = words.copy()
    kernels.turn_bytes(turned)
    octets: Bits = turned.astype("<u8", copy=False).view(np.uint8)[: -(-bits // 8)]
    return octets


def _run_locally(alice: Alice, bob: Bob, channel: Channel, workspace: Workspace) -> Words:
    """Carry messages between both parties until Alice has no more to say; return Bob's key.

    Every message goes through ``channel``.  Where compiled code may run and nobody alters messages,
    a binary search runs to its end in one go, and its messages are recorded after it: they are the
    same.

    Raises:
        AuthenticationFailed: A message arrived that no honest party would have sent.
    """
    # Who alters messages must see one before the next is written.
    at_once = workspace.compiled and channel.transmission is honest_transmission
    message = bob.start()
    while True:
        alice.hear(channel.send(message))
        if at_once and alice.questions.size:
            _search(alice, bob, channel, workspace)
        parities = alice.say()
        if parities is None:
            return bob.finish()
        message = bob.answer(channel.send(parities))


def _search(alice: Alice, bob: Bob, channel: Channel, workspace: Workspace) -> None:
    """Run a binary search to its end, and send what was said in it."""
    from e91.distillation.cascade import search_kernels as kernels

    schedule, states = bob.common.schedule, bob.states
    transcript = begin_transcript(len(states.searched), workspace)
    room = workspace.array("cascade round", (states.searches.shape[1] // 64 + 1,), np.uint64)
    while not (
        done := kernels.search(
            alice.parities,
            schedule.places,
            states,
            bob.iterations,
            schedule.searches_at_once,
            transcript,
            room,
        )
    ):
        transcript = transcript.doubled()
    if done < 0:
        raise wire.malformed()
    if channel.listener:
        said = _by_frames(transcript)
    else:
        merged = transcript.merged()
        kernels.merge_rounds(transcript, merged)
        said = _by_rounds(merged)
    for parities, comparison in said:
        channel.send(parities)
        channel.send(comparison)
    alice.all_answered()
    bob.all_answered()


def _by_frames(transcript: Transcript) -> Iterator[tuple[Message, Message]]:
    """Write a search as one message of each party: each frame's rounds, one behind the other.

    For channels whose listener takes messages away: the bits are the same, and how they divide
    into rounds follows from them.  The questions that were open before are repeated.
    """
    asked = int(transcript.used[2])
    size = (asked + 7) >> 3
    answers = transcript.answers.view("u1").data[:size]
    comparison = transcript.comparison.view("u1").data[:size]
    questions = transcript.questions[:asked].view("u1").data
    yield wire.from_transcript(bytes(answers), b"".join((comparison, questions)), asked)


def _by_rounds(merged: Transcript) -> Iterator[tuple[Message, Message]]:
    """Write the messages of a search as if each round of all frames had been waited for."""
    counts = merged.counts[: merged.used[1]].tolist()
    answers, comparison = merged.answers.view("u1").data, merged.comparison.view("u1").data
    questions = merged.questions.view("u1").data
    start, asked = 0, 4 * counts[0]
    for count, following in pairwise(counts):
        end, after = start + ((count + 7) >> 3), asked + 4 * following
        yield wire.from_transcript(
            bytes(answers[start:end]),
            bytes(comparison[start:end]) + bytes(questions[asked:after]),
            count,
        )
        start, asked = start + 8 * ((count + 63) >> 6), after
