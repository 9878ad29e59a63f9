"""What the blocks of a run add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

from e91.model.device import Pace
from e91.model.errors import Abort
from e91.model.evidence import Evidence
from e91.model.records import ChshEstimate, QberEstimate
from e91.model.settings import Settings
from e91.security.policy import Policy
from e91.session import report_text
from e91.session.report import LinkWatch, RaisedAlarm, SessionReport, rates_of
from e91.session.verdict import chsh_estimate, qber_estimate, refuted_premise
from e91.system.report_layout import WIDTH, Layout
from e91.system.stopwatch import Stopwatch


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Public sums over blocks, without settings, policy or key.

    Attributes:
        evidence: The counts of all blocks together.
        blocks: How many blocks.
        rounds: Their rounds.
        aborts: How many blocks ended for which reason, by name, in the order of names.
        leaked_by_alice: Key bits in Alice's messages.
        leaked_by_bob: Key bits in Bob's messages.
        authentication_bits: Pre-shared key bits that were consumed.
        secret_bits: Net secret bits of the released blocks.
        processor_seconds: Processor time of the blocks, all threads and workers together.
    """

    evidence: Evidence
    blocks: int = 0
    rounds: int = 0
    aborts: tuple[tuple[str, int], ...] = ()
    leaked_by_alice: int = 0
    leaked_by_bob: int = 0
    authentication_bits: int = 0
    secret_bits: int = 0
    processor_seconds: float = field(default=0.0, compare=False)

    def __add__(self, other: Totals) -> Self:
        """Return these with the sums of both; whatever else they have stays."""
        sums = {
            part.name: getattr(self, part.name) + getattr(other, part.name)
            for part in fields(Totals)
            if part.name != "aborts"
        }
        aborts = Counter(dict(self.aborts)) + Counter(dict(other.aborts))
        return replace(self, aborts=tuple(sorted(aborts.items())), **sums)


def totals_of(report: SessionReport) -> Totals:
    """Return the totals of one block."""
    return Totals(
        evidence=report.evidence,
        blocks=1,
        rounds=report.rounds,
        aborts=() if report.abort is None else ((report.abort.name, 1),),
        leaked_by_alice=report.leak.alice,
        leaked_by_bob=report.leak.bob,
        authentication_bits=report.authentication_bits,
        secret_bits=report.secret_bits,
        processor_seconds=report.processor_seconds,
    )


@dataclass(frozen=True, kw_only=True)
class RunSummary(Totals):
    """Public totals of the blocks of one run; adding a block gives another summary.

    Attributes:
        settings: Angles, probabilities and roles.
        device: One sentence that describes the device.
        policy: The policy of every block.
        seed: Seed of the protocol's randomness, or None.
        assumptions: What the security model assumes, in a sentence.
        reproducible: Whether protocol or physics was seeded: no key of it is secret.
        seconds: How long the run took so far.
        watch: The watch over the link up to the last block; None if nobody watched.
        pace: How fast source and links make rounds; None if the device does not say.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> from e91.session.streaming import stream
        >>> device = exact_device(visibility=0.97, seed=1)
        >>> found = summary_of(stream(device, rounds=200_000, block_rounds=100_000, seed=2))
        >>> found.blocks, found.released, found.qber.rate < 0.03
        (2, 2, True)
    """

    settings: Settings
    device: str
    policy: Policy
    seed: int | None
    assumptions: str
    reproducible: bool = False
    seconds: float = field(default=0.0, compare=False)
    watch: LinkWatch | None = None
    pace: Pace | None = None

    def add(self, report: SessionReport) -> RunSummary:
        """Return the summary with one block more.

        Args:
            report: Of the block.

        Raises:
            ValueError: The block has other settings or another policy.
        """
        if (report.settings, report.policy) != (self.settings, self.policy):
            raise ValueError("A block must have the settings and the policy of its run.")
        return replace(self + totals_of(report), watch=report.watch)

    @classmethod
    def before(cls, report: SessionReport) -> RunSummary:
        """Return the summary of no block yet, for a run that ``report`` is a block of."""
        return cls(
            evidence=Evidence.empty(report.settings),
            settings=report.settings,
            device=report.device,
            policy=report.policy,
            seed=report.seed,
            assumptions=report.assumptions,
            reproducible=report.reproducible,
            pace=report.pace,
        )

    @property
    def released(self) -> int:
        """Blocks that made a key."""
        return self.blocks - sum(count for _, count in self.aborts)

    @property
    def abort(self) -> Abort | None:
        """Why no block made a key, or None if one did."""
        return Abort[self.aborts[0][0]] if self.aborts and not self.released else None

    @property
    def rates(self) -> dict[str, float]:
        """Rates in the time of the light, as of `e91.session.report.SessionReport.rates`."""
        return rates_of(self.pace, rounds=self.rounds, secret_bits=self.secret_bits)

    @property
    def bell_test(self) -> bool:
        """Whether the settings have a Bell test; keys without one say so."""
        return bool(self.settings.chsh_pairs)

    @property
    def leaked_bits(self) -> int:
        """Key bits in all messages of both parties."""
        return self.leaked_by_alice + self.leaked_by_bob

    @property
    def epsilon(self) -> float | None:
        """Failure probability of all released keys together, at most; None if none is proved."""
        proved = self.policy.key_epsilon
        return None if proved is None else proved * self.released

    @property
    def alarm(self) -> RaisedAlarm | None:
        """What rang while the link was watched; None if nothing did, or nobody watched."""
        return self.watch.alarm if self.watch else None

    @property
    def refutes_bounds(self) -> bool:
        """Whether a block, or all blocks together, refute a premise of the bound on S."""
        if any(Abort[name].refutes_bounds for name, _ in self.aborts):
            return True
        return refuted_premise(self.evidence, settings=self.settings) is not None

    @property
    def chsh(self) -> ChshEstimate:
        """The Bell test of all blocks together, its bound at the policy's epsilon.

        No bound and no p-value if `refutes_bounds`.
        """
        found = chsh_estimate(self.evidence, settings=self.settings, epsilon=self.policy.epsilon)
        return found.without_bounds() if self.refutes_bounds else found

    @property
    def qber(self) -> QberEstimate:
        """The error estimate of all blocks together, its bound at the policy's epsilon.

        No bound if a message of some block was altered.
        """
        altered = Abort.NOT_AUTHENTIC.name in dict(self.aborts)
        return qber_estimate(self.evidence, epsilon=self.policy.epsilon, altered=altered)

    def to_dict(self) -> dict[str, Any]:
        """Return the public contents as plain values, ready for JSON; no key bits."""
        qber = self.qber
        return {
            "rounds": self.rounds,
            "blocks": self.blocks,
            "released_blocks": self.released,
            "aborts": dict(self.aborts),
            "settings": self.settings.name,
            "device": self.device,
            "security": self.policy.security.value,
            "theorem": self.policy.proof.value,
            "attacks_covered": self.policy.proof.entry.attacks.value,
            "assumptions": self.assumptions,
            "epsilon": self.epsilon,
            "bounds_epsilon": self.policy.epsilon,
            "seed": self.seed,
            "reproducible": self.reproducible,
            "bell_test": self.bell_test,
            "chsh": vars(self.chsh),
            "qber": {"rate": qber.rate, "upper_bound": qber.upper_bound, "revealed": qber.revealed},
            "coincidences": self.evidence.coincidences,
            "sifted_bits": self.evidence.key_size + self.evidence.sample_size,
            "leaked_bits": self.leaked_bits,
            "leaked_by_alice": self.leaked_by_alice,
            "authentication_bits": self.authentication_bits,
            "secret_bits": self.secret_bits,
            **self.rates,
            "abort": self.abort.name if self.abort else None,
            "reason": self.abort.value if self.abort else None,
            "watch": self.watch.to_dict() if self.watch else None,
            "alarm": self.alarm.to_dict() if self.alarm else None,
            "seconds": round(self.seconds, 3),
            "processor_seconds": round(self.processor_seconds, 3),
        }

    def text(self, *, width: int = WIDTH) -> str:
        """Return the summary as text whose rules have ``width`` columns, at least 58."""
        page = Layout(width)
        name = report_text.rounds_named(recorded=False, pace=self.pace)
        pairs = name, f"{self.rounds:,} in {self.blocks:,} blocks"
        return report_text.joined(
            report_text.sent(self, page, title="E91 run", pairs=pairs),
            report_text.measured(self, page, title="Bell test, all blocks"),
            *([report_text.in_time(self.rates, page)] if self.rates else []),
            _verdict(self, page),
        )

    def __str__(self) -> str:
        return self.text()


def _verdict(run: RunSummary, page: Layout) -> list[str]:
    promise = "no epsilon is proved"
    if run.epsilon is not None:
        promise = f"epsilon {run.epsilon:.3g} ({run.policy.epsilon:g} a block)"
    verdict = f"KEYS RELEASED: {run.secret_bits:,} bits, {promise}"
    if run.abort is not None:
        verdict = f"NO KEY: {run.abort.value}"
    refused = ", ".join(f"{count:,} {name}" for name, count in run.aborts)
    return [
        page.title("Verdict"),
        *page.text(verdict),
        page.row("blocks released", f"{run.released:,}"),
        *([page.row("blocks refused", refused)] if refused else []),
        *report_text.proof(run, page),
    ]


def summary_of(reports: Iterable[SessionReport]) -> RunSummary:
    """Return the summary of the blocks of a run.

    Args:
        reports: Of all blocks of one run, in their order; they are taken one after the other, so a
            stream of any length will do.

    Returns:
        The sums of rounds, counts, disclosed bits and secret bits, with the policy of the whole
        run.

    Raises:
        ValueError: There is no block, or the blocks are of several runs.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> from e91.session.streaming import stream
        >>> device = exact_device(visibility=0.98, seed=1)
        >>> found = summary_of(stream(device, rounds=600_000, block_rounds=300_000, seed=1))
        >>> found.blocks, found.released, found.secret_bits > 50_000
        (2, 2, True)
    """
    found: RunSummary | None = None
    for found in running_sums(reports):  # noqa: B007 - the last is wanted
        pass
    if found is None:
        raise ValueError("A run must have at least one block, but has none.")
    return found


def running_sums(reports: Iterable[SessionReport]) -> Iterator[RunSummary]:
    """Yield the summary of the blocks so far after each; time counts from the first request.

    Raises:
        ValueError: The blocks are of several runs.
    """
    stopwatch = Stopwatch()
    found: RunSummary | None = None
    for report in reports:
        found = (found or RunSummary.before(report)).add(report)
        found = replace(found, seconds=stopwatch.seconds)
        yield found
