"""A session in two halves: what comes before its measurement, and what comes after.

`e91.run` does both with a device that answers at once.  Where the rounds are measured elsewhere,
by a job that takes hours, a prepared session is kept in between; see `e91.devices.ibm`.
"""

import time

from e91.model.bits import Bits
from e91.model.device import DeviceInfo
from e91.model.randomness import operating_system_entropy, random_settings, seeded_entropy
from e91.model.records import DetectionRecord, PartyRecord
from e91.model.settings import EKERT, Settings
from e91.security.policy import Policy, PreparedSession
from e91.session.report import SessionReport
from e91.session.session import check_rounds, conclude_record
from e91.session.verdict import check_policy


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

    With a seed it is the report that `e91.run` makes of the same outcomes.  Conclude a session
    once: a second key from the same rounds would give away the first.

    Args:
        prepared: What `prepare_session` returned.
        a: Alice's outcome in each round; uint8, shape (n,).
        b: Bob's.
        device: What measured them.
        seconds: What it took so far.

    Raises:
        ValueError: The outcomes are none, or not one for each round.
    """
    started = time.perf_counter() - seconds
    settings, seed = prepared.settings, prepared.seed
    entropy = operating_system_entropy if seed is None else seeded_entropy(seed)
    if seed is not None:  # these bytes chose the settings: use none twice
        random_settings(entropy, settings, len(prepared.x))
    return conclude_record(
        DetectionRecord(PartyRecord(prepared.x, a), PartyRecord(prepared.y, b)),
        device=device,
        settings=settings,
        policy=prepared.policy,
        seed=seed,
        entropy=entropy,
        started=started,
    )
