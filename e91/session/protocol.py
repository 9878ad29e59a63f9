"""The protocol after the photons: from both records to equal secret bits, or an abort."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from e91.distillation import authentication, ldpc, preprocessing, verification
from e91.distillation.amplification import hashing as amplification
from e91.distillation.cascade import reconciler as cascade
from e91.distillation.cascade.wire_format import SEED_BYTES
from e91.distillation.portions import partition
from e91.distillation.sifting import two_party as sifting
from e91.model.bits import Bits
from e91.model.errors import Abort, AuthenticationFailed
from e91.model.evidence import Evidence
from e91.model.messages import Channel, Message, Party
from e91.model.portion_sizes import portion_size
from e91.model.randomness import Entropy
from e91.model.records import (
    DetectionRecord,
    Leak,
    ReconciledKey,
    Release,
    SiftedKey,
    VerifiedKey,
)
from e91.model.settings import Settings
from e91.model.trust import SecurityModel
from e91.security.policy import Policy, Reconciler
from e91.session.verdict import Verdict, judge, verdict_of
from e91.system.workspace import Workspace


@dataclass(frozen=True, eq=False, repr=False)
class Means:
    """What both parties of a session work with after the photons.

    Attributes:
        settings: Angles, probabilities and roles.
        policy: What a released key must promise.
        entropy: The protocol's randomness.
        channel: The public classical channel.
        secret: 64 pre-shared bytes for the two tags; used up.
        workspace: Arrays that the run uses again, and whether compiled code runs.
    """

    settings: Settings
    policy: Policy
    entropy: Entropy
    channel: Channel
    secret: bytes
    workspace: Workspace


@dataclass(frozen=True, eq=False, repr=False)
class Distilled:
    """What `distil` made.

    Attributes:
        verdict: On the evidence, with the final abort or none.
        secrets: Alice's and Bob's secret bits, packed; None if the session was aborted.
        key_id: 16 public bytes that name the key: a hash of the session's name and of both tags,
            so that no other conversation gives them, with the same seed neither; None without a
            key.
        tagged: Whether tags were sent, which uses up the pre-shared key.
    """

    verdict: Verdict
    secrets: tuple[Bits, Bits] | None
    key_id: bytes | None
    tagged: bool


def distil(record: DetectionRecord, means: Means) -> Distilled:
    """Sift both laboratories' records by messages, then `conclude`."""
    return conclude(lambda: _sift(record, means), means)


def survey(record: DetectionRecord, means: Means) -> Distilled:
    """Judge both laboratories' records where they lie together; nothing leaves the room.

    The counts are those of a session with the same randomness.
    """
    means.entropy(16)  # a session's name
    alice, _ = _sift(record, replace(means, channel=Channel()))
    verdict = judge(alice.evidence, settings=means.settings, policy=means.policy)
    # What error correction would disclose is not known, so there is no length to speak of.
    abort = verdict.abort or Abort.STATISTICS_ONLY
    verdict = replace(verdict, length=None, portions=(), abort=abort)
    return Distilled(verdict, None, None, tagged=False)


def _sift(record: DetectionRecord, means: Means) -> tuple[sifting.Sifted, sifting.Sifted]:
    """Exchange settings, and keep the key rounds of each party."""
    policy = means.policy
    if policy.security is SecurityModel.DEVICE_INDEPENDENT:
        record = DetectionRecord(*map(sifting.assign_lost_photons, (record.alice, record.bob)))
    return sifting.exchange(
        record,
        settings=means.settings,
        fraction=policy.revealed_fraction,
        entropy=means.entropy,
        channel=means.channel,
    )


def conclude(sift: Callable[[], tuple[sifting.Sifted, sifting.Sifted]], means: Means) -> Distilled:
    """Sift, test, reconcile, verify, amplify and authenticate: the protocol on one screen.

    Args:
        sift: Lets both parties sift over the channel.
        means: What they work with.
    """
    settings, policy, channel = means.settings, means.policy, means.channel
    session_id, secrets, key_id, tagged = means.entropy(16), None, None, False
    verdict = judge(Evidence.empty(settings), settings=settings, policy=policy)
    try:
        channel.send(Message(Party.ALICE, "session", session_id))
        alice, bob = sift()
        evidence = alice.evidence
        verdict = judge(evidence, settings=settings, policy=policy)
        if verdict.abort is None:
            portions = divide(alice, bob, means=means)
            del alice, bob  # long keys: what is divided need not be kept
            verified, bits_disclosed_per_portion = reconcile(portions, evidence, means=means)
            leak = leak_of(channel, bits_disclosed_per_portion)
            verdict = verdict_of(evidence, settings=settings, policy=policy, leak=leak)
            if None in verified:
                verdict = replace(verdict, abort=Abort.KEYS_DIFFER)
            elif verdict.abort is None:
                amplified = amplify([pair for pair in verified if pair], verdict, means=means)
                tagged = True
                tags = authentication.exchange_tags(channel, means.secret)
                key_id = hashlib.sha256(session_id + tags).digest()[:16]
                secrets = amplified
    except AuthenticationFailed:
        verdict = verdict.refuted(Abort.NOT_AUTHENTIC)
    return Distilled(verdict, secrets, key_id, tagged)


def divide(
    alice: sifting.Sifted, bob: sifting.Sifted, *, means: Means
) -> list[tuple[SiftedKey, SiftedKey]]:
    """Let Alice preprocess her key, and both divide their keys into the policy's portions alike."""
    policy = means.policy
    key = preprocessing.flip(alice.key, probability=policy.flip_probability, entropy=means.entropy)
    if policy.portions == 1:
        return [(key, bob.key)]
    announced = means.entropy(portion_size(len(key), portions=policy.portions))
    received = means.channel.send(Message(Party.ALICE, "portions", announced)).body
    if len(received) != len(announced):
        raise AuthenticationFailed("An announcement was altered.")
    portions = (
        partition.divide(
            each,
            portions=policy.portions,
            turns=np.frombuffer(turns, np.uint8),
            workspace=means.workspace,
        )
        for each, turns in ((key, announced), (bob.key, received))
    )
    return list(zip(*portions, strict=True))


def reconcile(
    portions: Sequence[tuple[SiftedKey, SiftedKey]], evidence: Evidence, *, means: Means
) -> tuple[list[tuple[VerifiedKey, VerifiedKey] | None], tuple[int, ...]]:
    """Let the parties correct and verify each portion.

    Returns:
        Both parties' keys of each portion, or None where they differ, and how many bits Alice has
        disclosed about each.
    """
    sample = evidence.sample_errors, evidence.sample_size
    error_rate = expected_error_rate(*sample, flip=means.policy.flip_probability)
    # One public shuffle serves all portions: no claim but efficiency rests on it.
    uses_ldpc = means.policy.reconciler is Reconciler.LDPC
    shuffle = means.entropy(ldpc.SEED_BYTES if uses_ldpc else SEED_BYTES)
    verified, disclosed = [], [means.channel.disclosed_by(Party.ALICE)]
    for alice, bob in portions:
        keys = _correct(
            alice, bob, error_rate=error_rate, revealed=sample[1], shuffle=shuffle, means=means
        )
        verified.append(verify(*keys, means=means))
        disclosed.append(means.channel.disclosed_by(Party.ALICE))
    return verified, tuple(after - before for before, after in pairwise(disclosed))


def _correct(
    alice: SiftedKey,
    bob: SiftedKey,
    *,
    error_rate: float,
    revealed: int,
    shuffle: bytes,
    means: Means,
) -> tuple[ReconciledKey, ReconciledKey]:
    if means.policy.reconciler is Reconciler.LDPC:
        return ldpc.reconcile(
            alice,
            bob,
            error_rate=error_rate,
            sample_size=revealed,
            permutation_seed=shuffle,
            channel=means.channel,
            entropy=means.entropy,
        )
    return cascade.reconcile(
        alice,
        bob,
        error_rate=error_rate,
        permutation_seed=shuffle,
        channel=means.channel,
        workspace=means.workspace,
    )


def verify(
    alice: ReconciledKey, bob: ReconciledKey, *, means: Means
) -> tuple[VerifiedKey, VerifiedKey] | None:
    """Let the parties compare hashes of their keys; None if they differ."""
    channel = means.channel
    announcement = verification.announce(alice, means.entropy(verification.HASH_KEY_BYTES))
    checked = verification.check(bob, channel.send(announcement))
    confirmed = verification.confirm(alice, channel.send(verification.answer(checked)))
    return None if checked is None or confirmed is None else (confirmed, checked)


def amplify(
    keys: Sequence[tuple[VerifiedKey, VerifiedKey]], verdict: Verdict, *, means: Means
) -> tuple[Bits, Bits]:
    """Let Alice announce a hash seed and both parties hash their portions with it, all packed.

    One seed serves all portions of a session: ``docs/security.md``, section 5.
    """
    size = -(-(len(keys[0][0]) - 1) // 8)
    announced = means.entropy(size)
    received = means.channel.send(Message(Party.ALICE, "hash seed", announced)).body
    if len(received) != size:
        raise AuthenticationFailed("An announcement was altered.")
    # A portion about which unusually much leaked may leave nothing; the others leave their own.
    kept = [
        (pair, Release(verdict.chsh, length, needs_bell_test=bool(means.settings.chsh_pairs)))
        for pair, length in zip(keys, verdict.portions, strict=True)
        if length.bits
    ]

    def hashed(party: int, seed: bytes) -> Bits:
        """Return one party's portions, hashed and joined."""
        bits = np.frombuffer(seed, np.uint8)
        return np.concatenate(
            [
                amplification.amplify(pair[party], release, bits, workspace=means.workspace)
                for pair, release in kept
            ]
        )

    return hashed(0, announced), hashed(1, received)


def leak_of(channel: Channel, bits_disclosed_per_portion: tuple[int, ...]) -> Leak:
    """Return what the messages so far disclosed, in all and by Alice about each portion."""
    alice, bob = map(channel.disclosed_by, Party)
    several = len(bits_disclosed_per_portion) > 1
    return Leak(alice, bob, bits_disclosed_per_portion if several else ())


def expected_error_rate(errors: int, revealed: int, *, flip: float) -> float:
    """Return the error rate of the key that error correction expects.

    By Laplace's rule of succession: a sample without an error does not mean a key without one.

    Args:
        errors: Errors of the sample.
        revealed: Its bits.
        flip: Probability with which Alice flips each of her key bits.
    """
    error = min(0.5, (errors + 1) / (revealed + 2))
    return error + flip - 2 * error * flip
