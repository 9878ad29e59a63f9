"""What a session is to expect, at once: S, QBER, key and verdict of its mean counts.

No photon is thrown.  The counts are those that the formulas of an attack, or of a link, expect; the
verdict on them is that of every session (`e91.session.verdict`).  Half of all sessions do worse.
"""

from dataclasses import dataclass

from e91.adversaries.attacked_session import conditions_of
from e91.adversaries.catalogue import attack_named
from e91.devices.link_devices import counted
from e91.distillation.authentication import AUTHENTICATION_BITS
from e91.model.errors import Abort
from e91.model.numbers import TSIRELSON
from e91.model.settings import ASYMMETRIC, Settings
from e91.optics.link_files import LinkNumbers
from e91.security.policy import Policy
from e91.security.shannon import binary_entropy
from e91.session.expectation import Link, expected_case
from e91.session.report_text import released
from e91.session.verdict import verdict_of


@dataclass(frozen=True)
class ExpectedSession:
    """The mean of a session.

    Attributes:
        rounds: Coincidences.
        chsh_value: S.
        standard_error: Of S, one standard deviation.
        qber: Error rate of the key.
        secret_bits: Net length of the key; 0 without.
        abort: Why there is no key, or None.
        may_know: Bits of each key bit that Eve may know at most, if S and QBER were known exactly.
        guess_rate: Probability that Eve guesses a key bit; None without an attack.
        information: Bits that she has of each key bit; None without an attack, and where noise of
            others makes it no simple expression.

    Examples:
        >>> ExpectedSession(10**6, 2.8, 0.004, 0.01, 150_000, None, 0.1).verdict
        'KEY: 150,000 secret bits: 18,750 bytes, half of them for each direction.'
    """

    rounds: int
    chsh_value: float
    standard_error: float
    qber: float
    secret_bits: int
    abort: Abort | None
    may_know: float
    guess_rate: float | None = None
    information: float | None = None

    @property
    def verdict(self) -> str:
        """What the session is to end with, in a sentence."""
        if self.abort is not None:
            return f"NO KEY: {self.abort.value}"
        return f"KEY: {released(self.secret_bits)}."


def expected_under(
    attack: str,
    strength: float,
    *,
    rounds: int = 1_000_000,
    visibility: float = 1.0,
    settings: Settings = ASYMMETRIC,
    policy: Policy | None = None,
    **options: object,
) -> ExpectedSession:
    """Return what a session under an attack is to expect, from the attack's closed form.

    Args:
        attack: Its name in `e91.adversaries.ATTACKS`.
        strength: How strong it is.
        rounds: Pairs that are sent.
        visibility: White noise that is not Eve's, 0 to 1.
        settings: Angles and choice probabilities.
        policy: What a released key must promise; the defaults of `Policy`.
        options: Of the attack, e.g. ``basis`` of intercept-resend.

    Returns:
        Mean numbers; rounds, secret bits and S as the record says.

    Raises:
        ValueError: There is no such attack, or it cannot be this strong or have these options.

    Examples:
        >>> honest, tapped = (expected_under("intercept-resend", p) for p in (0.0, 1.0))
        >>> honest.verdict.split(":")[0], tapped.verdict.split(":")[0]
        ('KEY', 'NO KEY')
        >>> round(tapped.chsh_value, 4), round(tapped.qber, 4)
        (1.4142, 0.25)
    """
    conditions = conditions_of(
        attack, strength, settings=settings, visibility=visibility, rounds=rounds, **options
    )
    entry = attack_named(attack)
    entry.check(conditions)
    expected = entry.expected(conditions).seen_with(visibility)
    seen = Link(expected.chsh, expected.qber)
    coincidences = round(rounds * expected.coincidences)
    return _expected(
        seen,
        coincidences,
        settings=settings,
        policy=policy or Policy(),
        eve=(expected.guess_rate, expected.information),
    )


def expected_on(
    link: LinkNumbers,
    *,
    session_s: float = 3600.0,
    settings: Settings = ASYMMETRIC,
    policy: Policy | None = None,
) -> ExpectedSession:
    """Return what a session on a link is to expect.

    Args:
        link: Its numbers; see `e91.optics.read_link`.
        session_s: Length of the session, seconds.
        settings: Angles and choice probabilities.
        policy: What a released key must promise, with trusted analysers; the defaults of `Policy`.

    Returns:
        Mean numbers, without those of an attack.

    Raises:
        ValueError: A number that the link needs is missing.

    Examples:
        >>> from e91.optics.link_files import Detection, SideNumbers, SourceNumbers
        >>> side = SideNumbers(detector_efficiency=0.8, dark_counts_per_second=100)
        >>> link = LinkNumbers(source=SourceNumbers(pairs_per_second=1e6), alice=side, bob=side,
        ...                    detection=Detection(coincidence_window_s=1e-9))
        >>> found = expected_on(link, session_s=1.0)
        >>> 600_000 < found.rounds < 700_000, found.abort
        (True, None)
    """
    seen = counted(link)
    of_link = Link(max(0.0, seen.chsh_value), seen.error_rate)
    rounds = round(seen.per_second * session_s)
    return _expected(of_link, rounds, settings=settings, policy=policy or Policy())


def _expected(
    link: Link,
    rounds: int,
    *,
    settings: Settings,
    policy: Policy,
    eve: tuple[float | None, float | None] = (None, None),
) -> ExpectedSession:
    phase_error = min(0.5, max(0.0, 1 - link.chsh_value / TSIRELSON - link.qber))
    case = expected_case(link, max(1, rounds), settings, policy)
    verdict = verdict_of(case.evidence, settings=settings, policy=policy, leak=case.leak)
    bits = verdict.length.bits - AUTHENTICATION_BITS if verdict.length else 0
    return ExpectedSession(
        rounds,
        link.chsh_value,
        case.chsh.standard_error or 0.0,
        link.qber,
        0 if verdict.abort else max(0, bits),
        verdict.abort,
        binary_entropy(phase_error),
        *eve,
    )
