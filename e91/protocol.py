"""The protocol after the photons: from both records to equal secret bits, or an abort."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from e91.distillation import (
    amplification,
    authentication,
    cascade,
    ldpc,
    preprocessing,
    sifting,
    verification,
)
from e91.model.bits import Bits
from e91.model.entropy import Entropy
from e91.model.errors import Abort, AuthenticationFailed
from e91.model.evidence import Evidence
from e91.model.messages import Channel, Message, Party
from e91.model.policy import Policy, Reconciler, SecurityModel
from e91.model.records import DetectionRecord, Leak, ReconciledKey, Release, VerifiedKey
from e91.model.settings import Settings
from e91.verdict import Verdict, judge, verdict_of

NOTHING_YET = Evidence(((0,) * 4,) * 4, (), ())
"""The evidence before the first announcement."""


@dataclass(frozen=True, eq=False, repr=False)
class Distilled:
    """What `distil` made.

    Attributes:
        verdict: On the evidence, with the final abort or none.
        secrets: Alice's and Bob's secret bits, packed; None if the session was aborted.
        session_id: 16 public bytes that name the session and its key.
        tagged: Whether tags were sent, which uses up the pre-shared key.
    """

    verdict: Verdict
    secrets: tuple[Bits, Bits] | None
    session_id: bytes
    tagged: bool


def distil(
    record: DetectionRecord,
    *,
    settings: Settings,
    policy: Policy,
    entropy: Entropy,
    channel: Channel,
    secret: bytes,
) -> Distilled:
    """Sift two records by messages, then `conclude`.

    Args:
        record: Both laboratories' records.
        settings: Angles, probabilities and roles.
        policy: What a released key must promise.
        entropy: The protocol's randomness.
        channel: The public classical channel.
        secret: 64 pre-shared bytes for the two tags; used up.
    """
    if policy.security is SecurityModel.DEVICE_INDEPENDENT:
        record = DetectionRecord(*map(sifting.assign_lost_photons, (record.alice, record.bob)))

    def sift() -> tuple[sifting.Sifted, sifting.Sifted]:
        return sifting.exchange(
            record,
            settings=settings,
            fraction=policy.revealed_fraction,
            entropy=entropy,
            channel=channel,
        )

    return conclude(
        sift, settings=settings, policy=policy, entropy=entropy, channel=channel, secret=secret
    )


def conclude(
    sift: Callable[[], tuple[sifting.Sifted, sifting.Sifted]],
    *,
    settings: Settings,
    policy: Policy,
    entropy: Entropy,
    channel: Channel,
    secret: bytes,
) -> Distilled:
    """Sift, test, reconcile, verify, amplify and authenticate: the protocol on one screen.

    Args:
        sift: Lets both parties sift over ``channel``.
        settings: Angles, probabilities and roles.
        policy: What a released key must promise.
        entropy: The protocol's randomness.
        channel: The public classical channel.
        secret: 64 pre-shared bytes for the two tags; used up.
    """
    session_id, secrets, tagged = entropy(16), None, False
    verdict = judge(NOTHING_YET, settings=settings, policy=policy)
    try:
        channel.send(Message(Party.ALICE, "session", session_id))
        alice, bob = sift()
        verdict = judge(alice.evidence, settings=settings, policy=policy)
        if verdict.abort is None:
            keys = reconcile(alice, bob, policy=policy, entropy=entropy, channel=channel)
            verified = verify(*keys, entropy=entropy, channel=channel)
            leak = Leak(*map(channel.disclosed_by, Party))
            verdict = verdict_of(alice.evidence, settings=settings, policy=policy, leak=leak)
            if verified is None:
                verdict = replace(verdict, abort=Abort.KEYS_DIFFER)
            elif verdict.abort is None and verdict.length is not None:
                release = Release(verdict.chsh, verdict.length)
                made = amplify(*verified, release=release, entropy=entropy, channel=channel)
                tagged = True
                authentication.exchange_tags(channel, secret)
                secrets = made
    except AuthenticationFailed:
        verdict = replace(verdict, abort=Abort.NOT_AUTHENTIC)
    return Distilled(verdict, secrets, session_id, tagged)


def reconcile(
    alice: sifting.Sifted,
    bob: sifting.Sifted,
    *,
    policy: Policy,
    entropy: Entropy,
    channel: Channel,
) -> tuple[ReconciledKey, ReconciledKey]:
    """Let Alice preprocess her key and the parties correct errors as the policy says."""
    flip = policy.flip_probability
    key = preprocessing.flip(alice.key, probability=flip, entropy=entropy)
    error_rate = _expected_error_rate(alice.evidence, flip=flip)
    if policy.reconciler is Reconciler.LDPC:
        return ldpc.reconcile(
            key,
            bob.key,
            error_rate=error_rate,
            permutation_seed=entropy(ldpc.SEED_BYTES),
            channel=channel,
            entropy=entropy,
        )
    return cascade.reconcile(
        key,
        bob.key,
        error_rate=error_rate,
        permutation_seed=entropy(cascade.SEED_BYTES),
        channel=channel,
    )


def verify(
    alice: ReconciledKey, bob: ReconciledKey, *, entropy: Entropy, channel: Channel
) -> tuple[VerifiedKey, VerifiedKey] | None:
    """Let the parties compare hashes of their keys; None if they differ."""
    announcement = verification.announce(alice, entropy(verification.HASH_KEY_BYTES))
    checked = verification.check(bob, channel.send(announcement))
    confirmed = verification.confirm(alice, channel.send(verification.answer(checked)))
    return None if checked is None or confirmed is None else (confirmed, checked)


def amplify(
    alice: VerifiedKey, bob: VerifiedKey, *, release: Release, entropy: Entropy, channel: Channel
) -> tuple[Bits, Bits]:
    """Let Alice announce a hash seed and both parties hash their keys with it, all packed."""
    size = -(-(len(alice) - 1) // 8)
    body = entropy(size)
    heard = channel.send(Message(Party.ALICE, "hash seed", body)).body
    if len(heard) != size:
        raise AuthenticationFailed("An announcement was altered.")
    return (
        amplification.amplify(alice, release, np.frombuffer(body, np.uint8)),
        amplification.amplify(bob, release, np.frombuffer(heard, np.uint8)),
    )


def _expected_error_rate(evidence: Evidence, *, flip: float) -> float:
    # Laplace's rule of succession: a sample without an error does not mean a key without one.
    error = min(0.5, (evidence.sample_errors + 1) / (evidence.sample_size + 2))
    return error + flip - 2 * error * flip
