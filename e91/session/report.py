"""The report of a session: what was sent, measured, tested, lost and gained."""

import itertools
import math
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Context
from functools import cached_property
from typing import Any, Protocol

from e91.distillation.authentication import AuthenticationKey
from e91.model.device import Pace
from e91.model.drawn import Drawn
from e91.model.errors import Abort, ProtocolAborted
from e91.model.evidence import Evidence
from e91.model.numbers import TSIRELSON
from e91.model.records import ChshEstimate, Leak, QberEstimate, SecretKey, SecretLength
from e91.model.settings import Settings
from e91.security.policy import Policy
from e91.security.secret_length import split
from e91.session.expectation import completeness_of
from e91.session.inversion import looks_inverted


class RaisedAlarm(Protocol):
    """An alarm that rang."""

    @property
    def round(self) -> int:
        """Pairs that had been sent when the evidence sufficed, over the life of the link."""

    @property
    def named(self) -> str | None:
        """Name of the cause; None as long as no cause stands out."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, ready for JSON."""


class LinkWatch(Protocol):
    """A link under watch; printing it says what was promised and what was seen."""

    @property
    def alarm(self) -> RaisedAlarm | None:
        """What rang; None if nothing did."""

    def to_dict(self) -> dict[str, Any]:
        """Return the watch as plain values, ready for JSON; the alarm stands beside it."""


_WIDTH = 72


def titled(title: str) -> str:
    """Return a rule with a title."""
    return f"── {title} " + "─" * max(0, _WIDTH - len(title) - 4)


def row(name: str, value: str) -> str:
    """Return a name with what it has, over several lines if need be."""
    first, *rest = wrapped(value, width=_WIDTH - 24)
    return "\n".join([f"  {name:<22}{first.strip()}", *(" " * 22 + line for line in rest)])


def wrapped(text: str, *, width: int = _WIDTH) -> list[str]:
    """Return the lines of a text, indented."""
    lines = [""]
    for word in text.split(" "):
        if len(lines[-1]) + len(word) + 1 > width and lines[-1]:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return [f"  {line}" for line in lines]


def rates_of(pace: Pace | None, *, rounds: int, secret_bits: int) -> dict[str, float]:
    """Return what a session is worth in time, as JSON has it; nothing if the device has no pace.

    Examples:
        >>> rates_of(Pace(2.5, 2.0), rounds=1000, secret_bits=100)
        {'coincidences_per_second': 2.0, 'link_seconds': 400.0, 'secret_bits_per_second': 0.25}
    """
    if pace is None:
        return {}
    seconds = pace.seconds_for(rounds)
    return {
        "coincidences_per_second": pace.coincidences_per_second,
        "link_seconds": seconds,
        "secret_bits_per_second": secret_bits / seconds,
    }


def rate_lines(rates: dict[str, float]) -> dict[str, str]:
    """Return what `rates_of` gives as text, by the names of lines; key rates are rounded down.

    Examples:
        >>> rate_lines(rates_of(Pace(0.5, 0.5), rounds=100_000, secret_bits=12_345))
        {'coincidences': '0.5 per second', 'time on the link': '200,000 s (2.3 days)', \
'secret key': '0.06172 bits per second'}
    """
    if not rates:
        return {}
    seconds, days = rates["link_seconds"], rates["link_seconds"] / 86_400
    long = f" ({days:,.1f} days)" if days >= 1 else ""
    return {
        "coincidences": f"{_four_digits(rates['coincidences_per_second'])} per second",
        "time on the link": f"{_four_digits(seconds)} s{long}",
        "secret key": f"{_four_digits(rates['secret_bits_per_second'])} bits per second",
    }


def _four_digits(value: float) -> str:
    """Return four digits of a rate, or all of a larger number's, never more than it is."""
    digits = 3 - math.floor(math.log10(value)) if value > 0 else 0
    if digits <= 0:
        return f"{math.floor(value):,}"
    return f"{math.floor(value * 10.0**digits) / 10.0**digits:g}"


def rounded_down(value: float) -> str:
    """Return a lower bound with four decimals, never larger than it is."""
    return f"{math.floor(value * 1e4) / 1e4:.4f}"


def percent_rounded_up(rate: float) -> str:
    """Return an upper bound on a rate in percent, never smaller than it is."""
    return f"{math.ceil(rate * 1e4) / 1e2:.2f} %"


def rounded_up(probability: float) -> str:
    """Return ``probability`` with two digits, never smaller than it is.

    Examples:
        >>> rounded_up(0.03912), rounded_up(0.0), rounded_up(0.998), rounded_up(9.96e-5)
        ('4.0e-02', 'below 1e-308', '1', '1.0e-04')
    """
    if not probability > 0:
        return "below 1e-308"
    if probability >= 1:
        return "1"
    up = Context(prec=2, rounding=ROUND_CEILING).create_decimal_from_float(probability)
    power = up.adjusted()
    return "1" if up >= 1 else f"{up.scaleb(-power):.1f}e{power:+03d}"


@dataclass(frozen=True, eq=False)
class Keys:
    """What a released session made; held by the report, reached only through its guards.

    Attributes:
        alice: Alice's copy of the key.
        bob: Bob's copy.
        authentication_key: 64 secret bytes that replace the spent pre-shared ones, for the next
            session.
    """

    alice: SecretKey
    bob: SecretKey
    authentication_key: AuthenticationKey


@dataclass(frozen=True, eq=False)
class SessionReport(Drawn):
    """What happened in a session.  Reading `key` of an aborted session raises.

    Printing it gives the report as text; `plot` draws S with its error bar and bound between the
    classical and the quantum limit.

    Attributes:
        rounds: Photon pairs sent, or rounds of the recording.
        settings: The settings, with their choice probabilities.
        device: One sentence that describes the device.
        policy: Security model, epsilon and revealed fraction.
        seed: The seed of the protocol's randomness, or None if it came from the operating system.
        evidence: The public counts after sifting.
        chsh: The Bell test.
        qber: The error estimate.
        leak: Key bits in all messages, by party.
        authentication_bits: Pre-shared key bits that were consumed.
        length: How the key length came about, before authentication; None if the session ended
            before, or if what it rests on is refuted.
        assumptions: What the security model assumes, in a sentence.
        abort: Why there is no key, or None if there is one.
        seconds: How long the session took.
        processor_seconds: Processor time of it: of its process, or in a run of blocks of the
            thread that made the block.
        block: Its number in a run of several blocks, from 0.
        recorded: Whether the rounds were measured elsewhere, as `e91.analyse` takes them.
        reproducible: Whether protocol or physics was seeded: its key is not secret.
        uncovered: Whether it rests on an assumption that no theorem covers, e.g. on probabilities
            that were estimated from the same rounds; its key carries no epsilon then.
        watch: The watch over the link up to the end of this session; None if nobody watched.
        pace: How fast its source and links make rounds; None if the device does not say.
    """

    rounds: int
    settings: Settings
    device: str
    policy: Policy
    seed: int | None
    evidence: Evidence
    chsh: ChshEstimate
    qber: QberEstimate
    leak: Leak
    authentication_bits: int
    length: SecretLength | None
    assumptions: str
    abort: Abort | None
    seconds: float
    processor_seconds: float
    block: int
    _keys: Keys | None = field(repr=False)
    recorded: bool = False
    reproducible: bool = False
    uncovered: bool = False
    watch: LinkWatch | None = None
    pace: Pace | None = None

    @property
    def alarm(self) -> RaisedAlarm | None:
        """What rang while the link was watched; None if nothing did, or nobody watched."""
        return self.watch.alarm if self.watch else None

    @property
    def epsilon(self) -> float | None:
        """The failure probability that a key carries; None if no theorem gives one."""
        return None if self.uncovered else self.policy.key_epsilon

    @property
    def keys(self) -> Keys:
        """Both parties' keys and the next session's authentication key.

        Raises:
            ProtocolAborted: The session ended without a key.
        """
        if self.abort is not None or self._keys is None:
            raise ProtocolAborted(self.abort or Abort.NO_SECRET_LEFT)
        return self._keys

    @property
    def key(self) -> SecretKey:
        """The key, Alice's copy; Bob's is equal.

        Raises:
            ProtocolAborted: The session ended without a key.
        """
        return self.keys.alice

    @property
    def secret_bits(self) -> int:
        """Net length of the key; 0 if the session was aborted."""
        return 0 if self.abort is not None else len(self.keys.alice)

    @property
    def rates(self) -> dict[str, float]:
        """Coincidences per second, seconds on the link, secret bits per second; empty without pace.

        The time is that of the light, not of the simulation.
        """
        return rates_of(self.pace, rounds=self.rounds, secret_bits=self.secret_bits)

    @property
    def leaked_bits(self) -> int:
        """Key bits in all messages of both parties."""
        return self.leak.total

    @property
    def sifted_bits(self) -> int:
        """Key rounds, the revealed ones included."""
        return self.evidence.key_size + self.evidence.sample_size

    @cached_property
    def completeness(self) -> float | None:
        """Bound on how often an honest link like this one is refused; None if none is stated.

        Made when it is first asked for: it takes as long as a session of 10,000 rounds.
        """
        return completeness_of(
            self.evidence,
            chsh=self.chsh,
            qber=self.qber,
            settings=self.settings,
            policy=self.policy,
            rounds=self.rounds,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the public contents as plain values, ready for JSON; no key bits."""
        proved = self.epsilon
        return {
            "rounds": self.rounds,
            "settings": self.settings.name,
            "device": self.device,
            "security": self.policy.security.value,
            "theorem": self.policy.proof.value,
            "attacks_covered": self.policy.proof.entry.attacks.value,
            "assumptions": self.assumptions,
            "epsilon": proved,
            "bounds_epsilon": self.policy.epsilon,
            "budget": None if proved is None else vars(split(proved)),
            "completeness": self.completeness,
            "seed": self.seed,
            "reproducible": self.reproducible,
            "chsh": vars(self.chsh),
            "qber": {
                "rate": self.qber.rate,
                "upper_bound": self.qber.upper_bound,
                "revealed": self.qber.revealed,
            },
            "coincidences": self.evidence.coincidences,
            "sifted_bits": self.sifted_bits,
            "leaked_bits": self.leaked_bits,
            "leaked_by_alice": self.leak.alice,
            "authentication_bits": self.authentication_bits,
            "phase_error": self.length.phase_error if self.length else None,
            "length_terms": dict(self.length.terms) if self.length else None,
            "limited_by": self.length.limit[0] if self.length else None,
            "secret_bits": self.secret_bits,
            **self.rates,
            "abort": self.abort.name if self.abort else None,
            "reason": self.abort.value if self.abort else None,
            "block": self.block,
            "watch": self.watch.to_dict() if self.watch else None,
            "alarm": self.alarm.to_dict() if self.alarm else None,
            "seconds": round(self.seconds, 3),
            "processor_seconds": round(self.processor_seconds, 3),
        }

    def __str__(self) -> str:
        sections = [_sent(self), _tested(self)]
        if self.length is not None:
            sections.append(_budget(self))
        if self.pace is not None:
            sections.append(
                [titled("Rates"), *itertools.starmap(row, rate_lines(self.rates).items())]
            )
        sections.append(_verdict(self))
        return "\n".join(line for section in sections for line in [*section, ""]).rstrip()


def _sent(report: SessionReport) -> list[str]:
    evidence = report.evidence
    test = sum(evidence.same) + sum(evidence.different)
    return [
        titled(f"E91 session - {report.settings.name} settings"),
        row("device", report.device),
        row("rounds recorded" if report.recorded else "pairs sent", f"{report.rounds:,}"),
        row("coincidences", f"{evidence.coincidences:,}"),
        row("Bell-test rounds", f"{test:,}"),
        row("key rounds", f"{report.sifted_bits:,}, of which {evidence.sample_size:,} revealed"),
    ]


def _tested(report: SessionReport) -> list[str]:
    found, qber = report.chsh, report.qber
    value = "-" if found.value is None else f"{found.value:.4f} ± {found.standard_error:.4f}"
    limits = f"(local models: at most 2, quantum: {TSIRELSON:.4f})"
    if found.value is not None and found.value > TSIRELSON:
        limits = f"({_beyond(found)}; it earns no more key than {TSIRELSON:.4f})"
    rate = "-" if qber.rate is None else f"{qber.rate:.2%} ± {_sampling_error(qber):.2%}"
    if qber.rate == 0:
        rate = f"no error in {qber.revealed:,} bits"
    most = None if qber.upper_bound is None else percent_rounded_up(qber.upper_bound)
    watched = [row("alarm", str(report.watch))] if report.watch else []
    return [
        titled("Bell test"),
        row("S", f"{value}   {limits}"),
        *_bounds(found, report.policy, error_rate=qber.rate),
        row("QBER", rate if most is None else f"{rate}   (at most {most} of the key)"),
        *watched,
    ]


def _bounds(found: ChshEstimate, policy: Policy, *, error_rate: float | None) -> list[str]:
    if found.lower_bound is None or found.p_value is None:
        nothing = "not stated: what it rests on is refuted, as the verdict says"
        return [row("S is at least", nothing), row("p-value, local model", nothing)]
    if looks_inverted(chsh_value=found.value, error_rate=error_rate):
        nothing = "not stated: outcomes look inverted, as the verdict says"
        return [row("S is at least", nothing), row("p-value, local model", nothing)]
    bound = rounded_down(found.lower_bound)
    return [
        row("S is at least", f"{bound}   except with probability {policy.epsilon:g}"),
        row("p-value, local model", rounded_up(found.p_value)),
    ]


def _budget(report: SessionReport) -> list[str]:
    assert report.length is not None
    terms = [
        *report.length.terms,
        ("next session's authentication", -float(report.authentication_bits)),
    ]
    lines = [titled("Key budget, bits")]
    lines += [f"  {name:<40}{bits:>+14,.0f}" for name, bits in terms if bits]
    return [*lines, f"  {'secret key':<40}{report.secret_bits:>14,}"]


def _verdict(report: SessionReport) -> list[str]:
    policy = report.policy
    if report.abort is None:
        promise = "no epsilon is proved"
        if report.epsilon is not None:
            promise = f"epsilon {report.epsilon:g}"
        verdict = f"KEY RELEASED: {report.secret_bits:,} bits, {promise}"
    else:
        verdict = f"NO KEY: {report.abort.value}"
    lines = [titled("Verdict"), *wrapped(verdict)]
    if report.abort is None and report.epsilon is not None:
        lines += wrapped(_epsilons(report))
    if report.length is not None:
        name, bits = report.length.limit
        lines += wrapped(f"Limited most by the term '{name}': {-bits:,.0f} bits.")
    lines += wrapped(
        f"Security model {policy.security.value}, theorem {policy.proof.value}. "
        f"{report.assumptions}"
    )
    if report.reproducible:
        lines += wrapped(f"{_seeded(report.seed)}: reproducible, and therefore not secret.")
    return [*lines, f"  {report.seconds:.2f} s"]


def _seeded(seed: int | None) -> str:
    return "The device or the recording was seeded" if seed is None else f"Seeded with {seed}"


def _epsilons(report: SessionReport) -> str:
    budget, refused = split(report.policy.epsilon), report.completeness
    honest = (
        "no completeness is stated"
        if refused is None or refused >= 1
        else f"an honest link like this one is refused with probability at most "
        f"{rounded_up(refused)}"
    )
    return (
        f"One block, one run: secrecy {budget.secrecy:.2g}, correctness {budget.correctness:.2g}, "
        f"authentication {budget.authentication:.2g}; {honest}."
    )


def _sampling_error(qber: QberEstimate) -> float:
    rate = qber.rate or 0.0
    return math.sqrt(rate * (1 - rate) / qber.revealed)


def _beyond(found: ChshEstimate) -> str:
    excess = (found.value or 0.0) - TSIRELSON
    if not found.standard_error:
        return f"beyond quantum theory by {excess:.4f}, with no error bar"
    return f"beyond quantum theory by {excess / found.standard_error:.1f} standard errors"
