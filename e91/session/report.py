"""The report of a session: what was sent, measured, tested, lost and gained."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from e91.distillation.authentication import AuthenticationKey
from e91.model.device import DeviceInfo, Pace
from e91.model.drawn import Drawn
from e91.model.errors import Abort, ProtocolAborted
from e91.model.evidence import Evidence
from e91.model.records import (
    ChshEstimate,
    DetectionRecord,
    Leak,
    QberEstimate,
    SecretKey,
    SecretLength,
)
from e91.model.settings import Settings
from e91.security.policy import Policy
from e91.security.secret_length import split
from e91.session import report_text
from e91.session.expectation import completeness_of
from e91.session.verdict import qber_estimate
from e91.system.folding_layout import FoldingLayout, folding_page
from e91.system.report_layout import WIDTH, Layout


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


NO_BELL_TEST = (
    "No Bell test was made: that both analysers measure one qubit each as declared is trusted, and "
    "nothing here tests it."
)
"""What is said of sessions whose settings have no CHSH pairs."""


def assumptions_of(policy: Policy, device: DeviceInfo, settings: Settings) -> str:
    """Return what a policy's theorem and a device assume, in a sentence or two."""
    untested = "" if settings.chsh_pairs else NO_BELL_TEST
    return " ".join(filter(None, (policy.proof.statement, untested, device.assumption)))


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


@dataclass(frozen=True, eq=False)
class Keys:
    """What a released session made; held by the report, reached only through its guards.

    Attributes:
        alice: Alice's copy of the key.
        bob: Bob's copy.
        authentication_key: 64 secret bytes that replace the spent pre-shared ones, for the next
            session.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> from e91.session.session import run
        >>> keys = run(exact_device(visibility=0.97, seed=1), rounds=100_000, seed=2).keys
        >>> len(keys.alice) == len(keys.bob), keys.alice.reproducible
        (True, True)
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
        record: The rounds, used up, if `e91.run` was asked for them by ``keep_record=True``.  They
            hold the key bits of both parties; `e91.recorded.save_detections` writes them.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> from e91.session.session import run
        >>> report = run(exact_device(visibility=0.6, seed=1), rounds=20_000, seed=2)
        >>> report.abort.name, report.secret_bits, report.chsh.value < 2
        ('NO_VIOLATION', 0, True)
    """

    rounds: int
    settings: Settings
    device: str
    policy: Policy
    seed: int | None
    evidence: Evidence
    chsh: ChshEstimate
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
    record: DetectionRecord | None = field(default=None, repr=False)

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
    def bell_test(self) -> bool:
        """Whether the settings have a Bell test; a key without one says so."""
        return bool(self.settings.chsh_pairs)

    @property
    def sifted_bits(self) -> int:
        """Key rounds, the revealed ones included."""
        return self.evidence.key_size + self.evidence.sample_size

    @cached_property
    def qber(self) -> QberEstimate:
        """The error estimate.

        Its bound is made when it is first asked for: it takes longer than the verdict.
        """
        return qber_estimate(
            self.evidence,
            epsilon=self.policy.epsilon,
            altered=self.abort is Abort.NOT_AUTHENTIC,
        )

    @cached_property
    def completeness(self) -> float | None:
        """Bound on how often an honest link like this one is refused; None if none is stated.

        Made when it is first asked for: it takes as long as a session of 10,000 rounds.
        """
        return completeness_of(
            self.evidence,
            chsh=self.chsh,
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
            "bell_test": self.bell_test,
            "chsh": vars(self.chsh),
            "qber": {
                name: getattr(self.qber, name) for name in ("rate", "upper_bound", "revealed")
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

    def text(self, *, width: int = WIDTH) -> str:
        """Return the report as text whose rules have ``width`` columns, at least 58."""
        page = Layout(width)
        sections = [
            report_text.sent(self, page, title="E91 session", pairs=_pairs(self)),
            report_text.measured(self, page, title="Bell test"),
        ]
        if self.length is not None:
            sections.append(_budget(self, page))
        if self.rates:
            sections.append(report_text.in_time(self.rates, page))
        return report_text.joined(*sections, _verdict(self, page))

    def __str__(self) -> str:
        return self.text()

    @property
    def headline(self) -> str:
        """The verdict in a sentence, for somebody who has never had a key."""
        if self.abort is not None:
            return f"No key. {self.abort.value}"
        return f"A key of {report_text.released(self.secret_bits)}; {_promise(self)}."

    def folding_sections(self, page: FoldingLayout) -> list[list[str]]:
        """Return what was found, the budget and the small print, as sections that fold.

        Args:
            page: Sets the rows of the sections.
        """
        return [
            report_text.measured(self, page, title="What was found"),
            [
                page.title("The budget: from the pairs to the key"),
                page.row(*_pairs(self)),
                *report_text.sifted(self, page),
                *_amounts(self, page),
            ],
            [*report_text.in_time(self.rates, page)] if self.rates else [],
            _fine_print(self, page),
        ]

    def _repr_html_(self) -> str:
        return folding_page(self.headline, self.folding_sections(FoldingLayout()))


def _pairs(report: SessionReport) -> tuple[str, str]:
    name = report_text.rounds_named(recorded=report.recorded, pace=report.pace)
    return name, f"{report.rounds:,}"


def _budget(report: SessionReport, page: Layout) -> list[str]:
    return [page.title("Key budget, bits"), *_amounts(report, page)]


def _amounts(report: SessionReport, page: Layout) -> list[str]:
    if report.length is None:
        return []
    terms = [
        *report.length.terms,
        ("next session's authentication", -float(report.authentication_bits)),
    ]
    lines = [page.amount(name, f"{bits:+,.0f}") for name, bits in terms if bits]
    return [*lines, page.amount("secret key", f"{report.secret_bits:,}")]


def _verdict(report: SessionReport, page: Layout) -> list[str]:
    if report.abort is None:
        verdict = f"KEY RELEASED: {report.secret_bits:,} bits, {_promise(report)}"
    else:
        verdict = f"NO KEY: {report.abort.value}"
    return [page.title("Verdict"), *page.text(verdict), *_reasons(report, page)]


def _promise(report: SessionReport) -> str:
    return "no epsilon is proved" if report.epsilon is None else f"epsilon {report.epsilon:g}"


def _reasons(report: SessionReport, page: Layout) -> list[str]:
    lines = []
    if report.abort is None and report.epsilon is not None:
        lines += page.text(_epsilons(report))
    if report.length is not None:
        name, bits = report.length.limit
        lines += page.text(f"Limited most by the term '{name}': {-bits:,.0f} bits.")
    return [*lines, *report_text.proof(report, page)]


def _fine_print(report: SessionReport, page: Layout) -> list[str]:
    return [
        page.title("The small print: what is assumed, and how it may fail"),
        page.row("settings", report.settings.name),
        page.row("device", report.device),
        *_reasons(report, page),
    ]


def _epsilons(report: SessionReport) -> str:
    budget, refused = split(report.policy.epsilon), report.completeness
    honest = (
        "no completeness is stated"
        if refused is None or refused >= 1
        else f"an honest link like this one is refused with probability at most "
        f"{report_text.rounded_up(refused)}"
    )
    return (
        f"One block, one run: secrecy {budget.secrecy:.2g}, correctness {budget.correctness:.2g}, "
        f"authentication {budget.authentication:.2g}; {honest}."
    )
