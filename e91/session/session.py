"""One run of the protocol, from settings to key: at once, of a record, or in two halves.

`run` asks a device that answers at once.  Where the rounds are measured elsewhere, by a job that
takes hours, a prepared session is kept in between; see `e91.devices.ibm`.
"""

import math
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import numpy as np

from e91.distillation import authentication
from e91.distillation.authentication import AuthenticationKey
from e91.distillation.cascade.parties import compiled_kernels_are_loaded
from e91.model.bits import NO_CLICK, Bits
from e91.model.device import Apparatus, Device, DeviceInfo, Pace, info_of, no_progress
from e91.model.errors import AlreadyUsed
from e91.model.messages import Channel, Party, Transmission, honest_transmission
from e91.model.numbers import check_positive, check_whole
from e91.model.randomness import Entropy, operating_system_entropy, random_settings, seeded_entropy
from e91.model.records import DetectionRecord, Leak, PartyRecord, SecretKey
from e91.model.settings import EKERT, Settings
from e91.recorded.fingerprints import fingerprints_of
from e91.recorded.ledger import use_up
from e91.security.policy import Policy, PreparedSession
from e91.session.inversion import record_looks_inverted
from e91.session.protocol import Distilled, Means, distil, survey
from e91.session.report import Keys, SessionReport, assumptions_of
from e91.session.verdict import check_policy
from e91.system.compiled import compiled_code_may_run, compiled_code_pays
from e91.system.progress import progress_bar, waiting
from e91.system.stopwatch import Stopwatch
from e91.system.workspace import Workspace

MAXIMUM_ROUNDS = 50_000_000
"""A session keeps every round in memory, about 60 bytes each."""

_CLICKS_WITH_ZERO = 64
"""Clicks among which an honest detector's outcome 0 is missing with probability 2^-64."""


def run(
    device: Device,
    *,
    rounds: int = 1_000_000,
    settings: Settings | None = None,
    policy: Policy | None = None,
    seed: int | None = None,
    authentication_key: AuthenticationKey | bytes | None = None,
    transmission: Transmission = honest_transmission,
    workspace: Workspace | None = None,
    keep_record: bool = False,
) -> SessionReport:
    """Run one session of E91 on ``device`` and report it.

    Args:
        device: From settings to outcomes, e.g. `e91.aer_device()`; any function will do.
        rounds: Photon pairs to send, 1 to 50,000,000.
        settings: Angles, probabilities and roles; the device's own by default, else Ekert's.
        policy: Security model, epsilon, revealed fraction; the defaults of `Policy`.
        seed: Replaces the operating system's entropy, for tests only: the report and the key
            say that the key is reproducible and not secret.
        authentication_key: 64 pre-shared secret bytes, or the key that the last session made; it
            is used up.  Drawn for the simulation by default.
        transmission: What happens to classical messages on their way; honest by default.
        workspace: Arrays that several sessions use one after the other, and whether compiled code
            runs; by default one of its own, with compiled code if that pays for one session.
        keep_record: Hand out the rounds as ``report.record``.  They hold the key bits of both
            parties, and are used up: `analyse` makes no second key of them, only statistics.
            Rounds that no seed makes again are entered in the ledger on the disk, so that a file
            of them is refused too (`e91.recorded.ledger`).

    Returns:
        The report.  An abort is a value of it, not an error; reading its key then raises.

    Raises:
        ValueError: An argument leaves its range, the settings are not the device's, or the
            device answers with something that is no record; or a record is to be kept and the
            ledger cannot be written.
        AlreadyUsed: The authentication key was used before.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> report = run(exact_device(visibility=0.97, seed=1), rounds=100_000, seed=2)
        >>> report.abort is None, report.chsh.lower_bound > 2, len(report.key) > 8_000
        (True, True, True)
    """
    stopwatch = Stopwatch()
    settings = settings_of(device, settings)
    policy = policy or Policy()
    check_rounds(rounds)
    authentication_key = authentication.unused(authentication_key)
    check_policy(rounds, settings=settings, policy=policy)
    entropy = operating_system_entropy if seed is None else seeded_entropy(seed)
    record = measure(device, rounds, settings=settings, entropy=entropy)
    if keep_record:
        record = _handed_out(record, is_seeded=seed is not None or record.reproducible)
    report = _concluded(
        record,
        device=info_of(device),
        settings=settings,
        policy=policy,
        seed=seed,
        entropy=entropy,
        authentication_key=authentication_key,
        transmission=transmission,
        workspace=workspace,
        stopwatch=stopwatch,
    )
    return replace(report, record=record) if keep_record else report


def _handed_out(record: DetectionRecord, *, is_seeded: bool) -> DetectionRecord:
    """Return a record that a report may hold: its rounds are used before anybody speaks of them."""
    used, origin = fingerprints_of(record), "the session that handed them out"
    if is_seeded:
        with suppress(AlreadyUsed):  # a seed makes the same rounds in the next session
            use_up(used, origin=origin, from_files=False)
    else:
        use_up(used, origin=origin, from_files=True)
    return replace(record, reproducible=is_seeded)


def analyse(
    record: DetectionRecord,
    *,
    settings: Settings = EKERT,
    policy: Policy | None = None,
    seed: int | None = None,
    authentication_key: AuthenticationKey | bytes | None = None,
    transmission: Transmission = honest_transmission,
    origin: str = "recorded detections",
    statistics_only: bool = False,
    estimate_probabilities: bool = False,
    flip: Party | str | None = None,
    duration_s: float | None = None,
) -> SessionReport:
    """Run the protocol on detections that were made elsewhere, and report it.

    The same steps as `run` after its measurement.  What a recording cannot show is taken on trust:
    that the settings were chosen at random when the photons arrived, with the declared
    probabilities, and that the rounds are all that were measured.  The report says so.

    The record is used up, whether a key comes of it or not: a second conversation about the same
    rounds, copied, cut or read again, is refused (`e91.recorded.ledger`).

    Args:
        record: Both laboratories' rounds, 1 to 50,000,000.
        settings: Angles, probabilities and roles with which they were measured.
        policy: As for `run`, and so are the following.
        seed: Of the protocol's randomness.
        authentication_key: Pre-shared.
        transmission: Of classical messages.
        origin: Where the record comes from, for the report.
        statistics_only: Make the Bell test and the error estimate, but say nothing to anybody and
            make no key.  The record is not used up, and may be analysed as often as one likes.
        estimate_probabilities: Take how often each party had which setting from the record, see
            `estimated_settings`, in place of what ``settings`` declare.  No theorem covers that,
            so the key carries no epsilon.
        flip: The party whose outcomes 0 and 1 are exchanged first, "alice" or "bob", as for a
            singlet source.  Without it, a record whose outcomes look inverted ends as
            ``Abort.OUTCOMES_INVERTED`` before anybody says anything, and is not used up.
        duration_s: How long the measurement took, for rates per second in a report that may have a
            key.

    Returns:
        The report, with or without a key.

    Raises:
        ValueError: An argument leaves its range, or the record has a setting that ``settings``
            has not, or never the outcome 0.
        AlreadyUsed: The rounds, or some of them, took part in a conversation before, or the
            authentication key was used.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> device = exact_device(visibility=0.97, seed=1)
        >>> record = measure(device, 100_000, settings=EKERT, entropy=seeded_entropy(1))
        >>> analyse(record, seed=2, statistics_only=True).abort.name
        'STATISTICS_ONLY'
        >>> analyse(record, seed=2).abort is None
        True
        >>> analyse(record, seed=3)
        Traceback (most recent call last):
            ...
        e91.model.errors.AlreadyUsed: A recording must make one key only, but these rounds, ...
    """
    stopwatch = Stopwatch()
    policy = policy or Policy()
    check_rounds(len(record))
    pace = None if statistics_only else _pace_of(record, duration_s)
    authentication_key = authentication.unused(authentication_key)
    _check_settings(record, settings)
    _check_outcomes(record)
    assumption = ESTIMATED if estimate_probabilities else ""
    settings = estimated_settings(record, settings) if estimate_probabilities else settings
    check_policy(len(record), settings=settings, policy=policy)
    record, origin = _flipped(record, origin, flip)
    speaks = not statistics_only and not record_looks_inverted(record, settings)
    if speaks:
        _use_up(record, origin)
    return _concluded(
        record,
        device=replace(_recording(record, settings, origin, assumption), pace=pace),
        settings=settings,
        policy=policy,
        seed=seed,
        entropy=operating_system_entropy if seed is None else seeded_entropy(seed),
        authentication_key=authentication_key,
        transmission=transmission,
        stopwatch=stopwatch,
        distilled=distil if speaks else survey,
    )


def _flipped(
    record: DetectionRecord, origin: str, flip: Party | str | None
) -> tuple[DetectionRecord, str]:
    """Return the record with one party's outcomes inverted, if any, and words that say so."""
    if flip is None:
        return record, origin
    party = Party(flip).value.capitalize()
    return record.flipped(flip), f"{origin}, {party}'s outcomes inverted"


def _pace_of(record: DetectionRecord, duration_s: float | None) -> Pace | None:
    """Return how fast the rounds of a record were made."""
    if duration_s is None:
        return None
    check_positive(duration_s=duration_s)
    seen = (record.alice.outcome != NO_CLICK) & (record.bob.outcome != NO_CLICK)
    return Pace(len(record) / duration_s, int(np.count_nonzero(seen)) / duration_s)


def _recording(
    record: DetectionRecord, settings: Settings, origin: str, assumption: str
) -> DeviceInfo:
    """Return what stands for the device of a recording; an assumption is one no theorem covers."""
    word = "that settings were random and nothing is left out, is the laboratory's word"
    return DeviceInfo(
        settings,
        f"{origin}; {word}",
        assumption,
        recorded=True,
        reproducible=record.reproducible,
        uncovered=bool(assumption),
    )


def conclude_record(
    record: DetectionRecord,
    *,
    device: DeviceInfo,
    settings: Settings,
    policy: Policy,
    seed: int | None,
    entropy: Entropy,
    authentication_key: AuthenticationKey | bytes | None = None,
    transmission: Transmission = honest_transmission,
    stopwatch: Stopwatch,
) -> SessionReport:
    """Return the report of a session whose rounds are recorded, and use these up.

    Arguments as `run`'s; ``entropy`` continues after what chose the settings, and ``stopwatch`` was
    started with it.

    Raises:
        AlreadyUsed: The rounds, or some of them, took part in a conversation before.
    """
    _use_up(record, device.description)
    return _concluded(
        record,
        device=device,
        settings=settings,
        policy=policy,
        seed=seed,
        entropy=entropy,
        authentication_key=authentication_key,
        transmission=transmission,
        stopwatch=stopwatch,
    )


def _use_up(record: DetectionRecord, origin: str) -> None:
    used = fingerprints_of(record) | (record.read_from or frozenset())
    use_up(used, origin=origin, from_files=record.read_from is not None)


def _concluded(
    record: DetectionRecord,
    *,
    device: DeviceInfo,
    settings: Settings,
    policy: Policy,
    seed: int | None,
    entropy: Entropy,
    authentication_key: AuthenticationKey | bytes | None = None,
    transmission: Transmission = honest_transmission,
    workspace: Workspace | None = None,
    stopwatch: Stopwatch,
    distilled: Callable[[DetectionRecord, Means], Distilled] = distil,
) -> SessionReport:
    channel = Channel(transmission)
    preshared = authentication.unused(authentication_key)
    size = authentication.AUTHENTICATION_BITS // 8
    # Statistics say nothing to anybody, so that nothing is to be authenticated.
    secret = preshared.take() if preshared and distilled is distil else entropy(size)
    workspace = workspace or _workspace_for(len(record), settings)
    means = Means(settings, policy, entropy, channel, secret, workspace)
    with waiting("Making the key" if distilled is distil else "Testing the rounds"):
        made = distilled(record, means)
    return report_of(made, means, rounds=len(record), device=device, seed=seed, stopwatch=stopwatch)


def _workspace_for(rounds: int, settings: Settings) -> Workspace:
    pays = compiled_code_pays(round(rounds * settings.key_probability))
    loaded = compiled_kernels_are_loaded() and compiled_code_may_run()
    return Workspace(compiled=pays or loaded)


def _check_settings(record: DetectionRecord, settings: Settings) -> None:
    for half, angles, name in (
        (record.alice, settings.alice_angles, "Alice"),
        (record.bob, settings.bob_angles, "Bob"),
    ):
        highest = int(half.setting.max())
        if highest >= len(angles):
            raise ValueError(
                f"{name}'s settings must be indices of the {len(angles)} angles of "
                f"`{settings.name}`, but go up to {highest}."
            )


ESTIMATED = (
    "The probabilities of the settings were not declared beforehand but taken from these rounds: "
    "bounds and key rest on the assumption that each round's settings were random with exactly "
    "them, the parties' independent of each other, and that losses depend on nobody's choice."
)
"""What is assumed where `estimated_settings` are used."""


def estimated_settings(record: DetectionRecord, settings: Settings) -> Settings:
    """Return settings that are as probable as they occur in the rounds that both parties saw.

    For passive receivers whose splitters or dead times nobody knows.  (Where they are known,
    `e91.devices.coincidence_settings` predicts the probabilities.)  No theorem here covers
    probabilities that are taken from the rounds they are used for; the test that settings are as
    declared then finds only how the parties' settings depend on each other.

    Args:
        record: Both laboratories' rounds.
        settings: Angles and roles with which they were measured.

    Raises:
        ValueError: No round was seen by both.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> biased = EKERT.biased((0.5, 0.3, 0.2), (0.2, 0.2, 0.6))
        >>> device = exact_device(settings=biased, seed=1)
        >>> record = measure(device, 100_000, settings=biased, entropy=seeded_entropy(1))
        >>> [round(p, 2) for p in estimated_settings(record, EKERT).alice_probabilities]
        [0.5, 0.3, 0.2]
    """
    seen = (record.alice.outcome != NO_CLICK) & (record.bob.outcome != NO_CLICK)
    if not seen.any():
        raise ValueError("A record must have a round that both parties saw, but has none.")
    shares = (
        np.bincount(half.setting[seen], minlength=len(angles)) / np.count_nonzero(seen)
        for half, angles in (
            (record.alice, settings.alice_angles),
            (record.bob, settings.bob_angles),
        )
    )
    alice, bob = (tuple((share / math.fsum(share)).tolist()) for share in shares)
    return settings.biased(alice, bob)


def _check_outcomes(record: DetectionRecord) -> None:
    """Refuse what looks like another code for outcomes: lone honest rounds may lack 0 by chance."""
    for half, name in ((record.alice, "Alice"), (record.bob, "Bob")):
        clicks = int(np.count_nonzero(half.outcome == 1))
        if clicks >= _CLICKS_WITH_ZERO and clicks < len(half) and half.outcome.all():
            raise ValueError(
                f"{name}'s outcomes must be 0 (+1), 1 (-1) and 2 (no click), but 0 never occurs in "
                f"{len(half):,} rounds: 1 and 2 look like a code for +1 and -1."
            )


def report_of(
    made: Distilled,
    means: Means,
    *,
    rounds: int,
    device: DeviceInfo,
    seed: int | None,
    stopwatch: Stopwatch,
    block: int = 0,
) -> SessionReport:
    """Return the report of what `e91.session.protocol` made; arguments as its attributes."""
    policy, channel = means.policy, means.channel
    verdict = made.verdict
    reproducible = seed is not None or device.reproducible
    return SessionReport(
        rounds=rounds,
        settings=means.settings,
        device=device.description,
        policy=policy,
        seed=seed,
        evidence=verdict.evidence,
        chsh=verdict.chsh,
        leak=Leak(channel.disclosed_by(Party.ALICE), channel.disclosed_by(Party.BOB)),
        authentication_bits=authentication.AUTHENTICATION_BITS if made.tagged else 0,
        length=verdict.length,
        assumptions=assumptions_of(policy, device, means.settings),
        abort=verdict.abort,
        reproducible=reproducible,
        seconds=stopwatch.seconds,
        processor_seconds=stopwatch.processor_seconds,
        block=block,
        uncovered=device.uncovered,
        _keys=_keys(
            made,
            means,
            epsilon=None if device.uncovered else policy.key_epsilon,
            reproducible=reproducible,
        ),
        recorded=device.recorded,
        pace=device.pace,
    )


def measure(
    device: Device, rounds: int, *, settings: Settings, entropy: Entropy
) -> DetectionRecord:
    """Choose both parties' settings at random and let the device answer.

    The device gets copies that it cannot write to, so the record holds what was chosen.

    Args:
        device: From settings to outcomes of both parties.
        rounds: Pairs to send, from 1.
        settings: What the setting indices mean, and how often each is chosen.
        entropy: Random bytes that choose the settings.

    Returns:
        Both parties' records of all rounds, lost photons included.

    Raises:
        ValueError: The device does not answer with one outcome a round and party.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> record = measure(exact_device(seed=1), 1_000, settings=EKERT, entropy=seeded_entropy(1))
        >>> record.alice.setting.shape, record.reproducible
        ((1000,), True)
    """
    with progress_bar(rounds, unit="pairs") as drawn:
        x, y = random_settings(entropy, settings, rounds)
        answer = _announced(device, drawn)(_for_device(x), _for_device(y))
    match answer:
        case (a, b):
            seeded = info_of(device).reproducible
            return DetectionRecord(PartyRecord(x, a), PartyRecord(y, b), reproducible=seeded)
        case other:
            raise ValueError(
                f"A device must answer with two arrays of outcomes, but answered with a "
                f"{type(other).__name__}."
            )


def _announced(device: Device, drawn: Callable[[int], object]) -> Device:
    """Return the same device, which announces its progress to the bar if to nobody yet."""
    if isinstance(device, Apparatus) and device.progress is no_progress:
        return device.announcing(drawn)
    return device


def _for_device(choices: Bits) -> Bits:
    copy = choices.copy()
    copy.flags.writeable = False
    return copy


def _keys(
    made: Distilled, means: Means, *, epsilon: float | None, reproducible: bool
) -> Keys | None:
    if made.secrets is None or made.verdict.length is None or made.key_id is None:
        return None
    # The first bits replace the authentication key that the tags used up.
    spent = authentication.AUTHENTICATION_BITS // 8
    size = made.verdict.length.bits - authentication.AUTHENTICATION_BITS
    key_id, policy = str(uuid.UUID(bytes=made.key_id, version=4)), means.policy
    alice, bob = (
        SecretKey.from_packed(
            packed[spent:],
            size,
            key_id=key_id,
            security=policy.security,
            epsilon=epsilon,
            reproducible=reproducible,
            theorem=policy.proof.value,
            attacks=policy.proof.entry.attacks.value,
            bell_test=bool(means.settings.chsh_pairs),
        )
        for packed in made.secrets
    )
    return Keys(alice, bob, AuthenticationKey(made.secrets[0][:spent].tobytes()))


def settings_of(device: object, settings: Settings | None) -> Settings:
    """Return the settings of a session: those asked for, else the device's own, else Ekert's.

    Raises:
        ValueError: The device was built for other angles.
    """
    own = info_of(device).settings
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
    check_whole(least=1, most=MAXIMUM_ROUNDS, rounds=rounds)


def prepare_session(
    rounds: int,
    *,
    settings: Settings = EKERT,
    policy: Policy | None = None,
    seed: int | None = None,
) -> PreparedSession:
    """Return a session whose settings are drawn and whose rounds are still to be measured.

    Args:
        rounds: Photon pairs to send, as for `e91.run`.
        settings: Angles, probabilities and roles.
        policy: As for `e91.run`, and so is the following.
        seed: Of the protocol's randomness, for tests only.

    Returns:
        The settings of every round as arrays ``x`` and ``y``; uint8, shape (rounds,).

    Raises:
        ValueError: An argument leaves its range, or no key of that policy can come of it.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> device = exact_device(visibility=0.97, seed=1)
        >>> prepared = prepare_session(100_000, seed=2)
        >>> a, b = device(prepared.x, prepared.y)    # at any time, anywhere
        >>> conclude_session(prepared, a, b, device=device.info).abort is None
        True
    """
    policy = policy or Policy()
    check_rounds(rounds)
    check_policy(rounds, settings=settings, policy=policy)
    entropy = operating_system_entropy if seed is None else seeded_entropy(seed)
    x, y = random_settings(entropy, settings, rounds)
    return PreparedSession(settings, policy, seed, x, y)


def conclude_session(
    prepared: PreparedSession, a: Bits, b: Bits, *, device: DeviceInfo, seconds: float = 0.0
) -> SessionReport:
    """Return the report of a prepared session from the outcomes of its rounds.

    With a seed it is the report that `e91.run` makes of the same outcomes.  The rounds are used
    up, whether a key comes of them or not (`e91.recorded.ledger`).

    Args:
        prepared: What `prepare_session` returned.
        a: Alice's outcome in each round; uint8, shape (n,).
        b: Bob's.
        device: What measured them.
        seconds: What it took so far.

    Returns:
        The report, with or without a key.

    Raises:
        ValueError: The outcomes are none, or not one for each round.
        AlreadyUsed: The session was concluded before.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> device = exact_device(visibility=0.97, seed=1)
        >>> prepared = prepare_session(100_000, seed=5)
        >>> a, b = device(prepared.x, prepared.y)
        >>> report = conclude_session(prepared, a, b, device=device.info)
        >>> report.abort, report.secret_bits > 8_000
        (None, True)
    """
    stopwatch = Stopwatch(already_s=seconds)
    settings, seed = prepared.settings, prepared.seed
    entropy = operating_system_entropy if seed is None else seeded_entropy(seed)
    if seed is not None:  # these bytes chose the settings: use none twice
        random_settings(entropy, settings, len(prepared.x))
    return conclude_record(
        DetectionRecord(
            PartyRecord(prepared.x, a),
            PartyRecord(prepared.y, b),
            read_from=frozenset() if prepared.is_kept else None,
        ),
        device=device,
        settings=settings,
        policy=prepared.policy,
        seed=seed,
        entropy=entropy,
        stopwatch=stopwatch,
    )
