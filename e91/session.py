"""One run of the protocol, from settings to key."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass

from e91.bell import chsh, phase_errors
from e91.distillation import amplification, authentication, cascade, sifting, verification
from e91.model.bits import Bits, Device, pack
from e91.model.entropy import (
    Entropy,
    operating_system_entropy,
    random_bits,
    random_choice,
    seeded_entropy,
)
from e91.model.errors import Abort, AuthenticationFailed
from e91.model.evidence import Evidence
from e91.model.messages import Channel, Message, Party, Transmission, honest_transmission
from e91.model.policy import Policy, SecurityModel
from e91.model.records import (
    ChshEstimate,
    DetectionRecord,
    PartyRecord,
    QberEstimate,
    ReconciledKey,
    Release,
    SecretKey,
    SecretLength,
    VerifiedKey,
)
from e91.model.settings import EKERT, Settings
from e91.report import Keys, SessionReport
from e91.security import sampling, secret_length

MAXIMUM_ROUNDS = 50_000_000
"""A session keeps every round in memory, about 60 bytes each."""


def run(
    device: Device,
    *,
    rounds: int = 1_000_000,
    settings: Settings | None = None,
    policy: Policy | None = None,
    seed: int | None = None,
    authentication_key: bytes | None = None,
    transmission: Transmission = honest_transmission,
) -> SessionReport:
    """Run one session of E91 on ``device`` and report it.

    Args:
        device: From settings to outcomes, e.g. `e91.aer_device()`; any function will do.
        rounds: Photon pairs to send, 1 to 50,000,000.
        settings: Angles, probabilities and roles; the device's own by default, else Ekert's.
        policy: Security model, epsilon, revealed fraction; the defaults of `Policy`.
        seed: Replaces the operating system's entropy, for tests only: the report and the key
            say that the key is reproducible and not secret.
        authentication_key: 64 pre-shared secret bytes; drawn for the simulation by default.
        transmission: What happens to classical messages on their way; honest by default.

    Returns:
        The report.  An abort is a value of it, not an error; reading its key then raises.

    Raises:
        ValueError: An argument leaves its range, the settings are not the device's, or the
            device answers with something that is no record.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> report = run(exact_device(visibility=0.97, seed=1), rounds=100_000, seed=2)
        >>> report.abort is None, report.chsh.lower_bound > 2, report.key
        (True, True, SecretKey(6658 bits))
    """
    started = time.perf_counter()
    settings = _settings_of(device, settings)
    policy = policy or Policy()
    _check(rounds, settings, policy)
    entropy = operating_system_entropy if seed is None else seeded_entropy(seed)
    record = measure(device, rounds, settings=settings, entropy=entropy)
    channel = Channel(transmission)
    secret = authentication_key or entropy(authentication.AUTHENTICATION_BITS // 8)
    outcome = distil(
        record, settings=settings, policy=policy, entropy=entropy, channel=channel, secret=secret
    )
    tagged = any(message.subject == "tag" for message in channel.seen[Party.ALICE])
    return SessionReport(
        rounds=rounds,
        settings=settings,
        device=getattr(device, "description", getattr(device, "__name__", type(device).__name__)),
        policy=policy,
        seed=seed,
        evidence=outcome.evidence,
        chsh=outcome.chsh,
        qber=outcome.qber,
        leaked_bits=channel.disclosed_bits,
        authentication_bits=authentication.AUTHENTICATION_BITS if tagged else 0,
        length=outcome.length,
        assumptions=secret_length.STATEMENTS[policy.security],
        abort=outcome.abort,
        seconds=time.perf_counter() - started,
        _keys=_keys(outcome, policy, reproducible=seed is not None),
    )


def measure(
    device: Device, rounds: int, *, settings: Settings, entropy: Entropy
) -> DetectionRecord:
    """Choose both parties' settings at random and let the device answer.

    Raises:
        ValueError: The device does not answer with one outcome a round and party.
    """
    x = random_choice(entropy, settings.alice_probabilities, rounds)
    y = random_choice(entropy, settings.bob_probabilities, rounds)
    a, b = device(x, y)
    return DetectionRecord(PartyRecord(x, a), PartyRecord(y, b))


@dataclass(frozen=True, eq=False)
class Outcome:
    """What `distil` found; either ``abort`` or both key halves are set."""

    evidence: Evidence
    chsh: ChshEstimate
    qber: QberEstimate
    length: SecretLength | None = None
    abort: Abort | None = None
    alice: Bits | None = None
    bob: Bits | None = None
    key_id: str = ""


def distil(
    record: DetectionRecord,
    *,
    settings: Settings,
    policy: Policy,
    entropy: Entropy,
    channel: Channel,
    secret: bytes,
) -> Outcome:
    """Sift, test, reconcile, verify, amplify and authenticate: the protocol on one screen."""
    if policy.security is SecurityModel.DEVICE_INDEPENDENT:
        record = DetectionRecord(*map(sifting.assign_lost_photons, (record.alice, record.bob)))
    session_id = entropy(16)
    evidence = Evidence((0,) * 4, (0,) * 4, 0, 0, 0, 0)
    judged = judge(evidence, settings=settings, policy=policy)
    try:
        channel.send(Message(Party.ALICE, "session", session_id))
        alice, bob = sifting.exchange(
            record,
            settings=settings,
            fraction=policy.revealed_fraction,
            entropy=entropy,
            channel=channel,
        )
        judged = judge(alice.evidence, settings=settings, policy=policy)
        if judged.abort:
            return judged
        keys = cascade.reconcile(
            alice.key,
            bob.key,
            error_rate=_expected_error_rate(alice.evidence),
            permutation_seed=entropy(cascade.SEED_BYTES),
            channel=channel,
        )
        verified = verify(*keys, entropy=entropy, channel=channel)
        judged = judge(
            alice.evidence, settings=settings, policy=policy, leaked_bits=channel.disclosed_bits
        )
        if verified is None:
            return _aborted(judged, Abort.KEYS_DIFFER)
        if judged.abort or judged.length is None:
            return judged
        release = Release(judged.chsh, judged.length)
        secrets = amplify(*verified, release=release, entropy=entropy, channel=channel)
        authentication.exchange_tags(channel, secret)
    except AuthenticationFailed:
        return _aborted(judged, Abort.NOT_AUTHENTIC)
    return Outcome(
        judged.evidence,
        judged.chsh,
        judged.qber,
        judged.length,
        alice=secrets[0],
        bob=secrets[1],
        key_id=str(uuid.UUID(bytes=session_id, version=4)),
    )


def judge(
    evidence: Evidence, *, settings: Settings, policy: Policy, leaked_bits: int = 0
) -> Outcome:
    """Return the verdict on the public evidence: estimates, length, and an abort or none."""
    found = chsh.estimate(
        evidence.same, evidence.different, settings=settings, epsilon=policy.epsilon
    )
    qber = _qber(evidence, policy.epsilon)
    if found.value is None or qber.rate is None or evidence.key_size == 0:
        return Outcome(evidence, found, qber, abort=Abort.TOO_FEW_ROUNDS)
    length = _length(evidence, found, settings, policy, leaked_bits)
    abort = None
    if not found.lower_bound > 2:
        abort = Abort.NO_VIOLATION
    elif length.bits <= authentication.AUTHENTICATION_BITS:
        abort = Abort.NO_SECRET_LEFT
    return Outcome(evidence, found, qber, length, abort)


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
    """Let Alice announce a hash seed and both parties hash their keys with it."""
    size = len(alice) + release.length.bits - 1
    body = random_bits(entropy, size)
    heard = channel.send(Message(Party.ALICE, "hash seed", pack(body))).body
    seed = sifting.read_bits(heard, size)
    return (
        amplification.amplify(alice, release, body),
        amplification.amplify(bob, release, seed),
    )


def _length(
    evidence: Evidence, found: ChshEstimate, settings: Settings, policy: Policy, leaked_bits: int
) -> SecretLength:
    if policy.security is SecurityModel.DEVICE_INDEPENDENT:
        return secret_length.device_independent_length(
            evidence.key_size,
            chsh_lower_bound=found.lower_bound,
            leaked_bits=leaked_bits,
            epsilon=policy.epsilon,
        )
    phase = phase_errors.phase_error_bound(
        evidence,
        settings=settings,
        revealed_fraction=policy.revealed_fraction,
        epsilon=secret_length.split(policy.epsilon).estimation ** 2,
    )
    return secret_length.trusted_analysers_length(
        evidence.key_size, phase_errors=phase, leaked_bits=leaked_bits, epsilon=policy.epsilon
    )


def _qber(evidence: Evidence, epsilon: float) -> QberEstimate:
    errors, revealed = evidence.sample_errors, evidence.sample_size
    bound = 1.0
    if revealed and evidence.key_size:
        bound = sampling.hypergeometric_upper_bound(
            errors, revealed=revealed, hidden=evidence.key_size, epsilon=epsilon
        )
    return QberEstimate(errors / revealed if revealed else None, bound, revealed, errors)


def _expected_error_rate(evidence: Evidence) -> float:
    # Laplace's rule of succession: a sample without an error does not mean a key without one.
    return min(0.5, (evidence.sample_errors + 1) / (evidence.sample_size + 2))


def _aborted(judged: Outcome, abort: Abort) -> Outcome:
    return Outcome(judged.evidence, judged.chsh, judged.qber, judged.length, abort)


def _keys(outcome: Outcome, policy: Policy, *, reproducible: bool) -> Keys | None:
    if outcome.alice is None or outcome.bob is None:
        return None
    # The first bits replace the authentication key that the tags used up.
    spent = authentication.AUTHENTICATION_BITS
    alice, bob = (
        SecretKey(bits[spent:], outcome.key_id, policy.security, policy.epsilon, reproducible)
        for bits in (outcome.alice, outcome.bob)
    )
    return Keys(alice, bob, pack(outcome.alice[:spent]))


def _settings_of(device: Device, settings: Settings | None) -> Settings:
    own = getattr(device, "settings", None)
    if own is None or settings is None:
        return settings or own or EKERT
    if (own.alice_angles, own.bob_angles) != (settings.alice_angles, settings.bob_angles):
        raise ValueError(
            f"`settings` must have the device's angles (`{own.name}`), but are `{settings.name}`."
        )
    return settings


def check_rounds(rounds: int) -> None:
    """Check that a session can have this many rounds.

    Raises:
        ValueError: ``rounds`` is not a whole number from 1 to `MAXIMUM_ROUNDS`.
    """
    if isinstance(rounds, bool) or not isinstance(rounds, int):
        raise ValueError(f"`rounds` must be a whole number, but is {rounds!r}.")
    if not 1 <= rounds <= MAXIMUM_ROUNDS:
        raise ValueError(f"`rounds` must lie in [1, {MAXIMUM_ROUNDS}], but is {rounds}.")


def _check(rounds: int, settings: Settings, policy: Policy) -> None:
    check_rounds(rounds)
    if not settings.chsh_pairs or not settings.key_pairs:
        raise ValueError(
            f"A session's settings must have key and CHSH pairs, but `{settings.name}` has not."
        )
    if policy.security is SecurityModel.TRUSTED_ANALYSERS:
        phase_errors.check_identity(settings)
    else:
        _check_reference(settings)
    budget = secret_length.split(policy.epsilon).hashing
    hashes = 2 * authentication.forgery_probability(16 * rounds)
    if hashes + verification.collision_probability(rounds) > budget:
        raise ValueError(
            f"`epsilon` must be at least 1e-20, what the tags of a session can give, but is "
            f"{policy.epsilon}."
        )


def _check_reference(settings: Settings) -> None:
    tests = [pair for pair, _ in settings.chsh_pairs]
    for x, y in settings.key_pairs:
        if x not in {pair[0] for pair in tests} and y not in {pair[1] for pair in tests}:
            raise ValueError(
                "In the device-independent model each key pair must share a setting with the Bell "
                f"test, but ({x}, {y}) shares none."
            )
