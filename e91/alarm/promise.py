"""What a link promises for life, and the sequential test of that promise.

The null hypothesis is that a `Promise`, declared once, is kept.  A `SequentialTest` of it is
carried from session to session or from block to block; an `Alarm` is its rejection.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from e91.model.settings import Settings
from e91.security.policy import Policy

if TYPE_CHECKING:
    from e91.alarm.link import OutcomeCounts
    from e91.alarm.wealth import Finding, Wealth


@dataclass(frozen=True)
class Promise:
    """A link promises to be as good as Werner pairs of a declared visibility.

    That is S >= 2 sqrt 2 V and QBER <= (1 - V) / 2 in every round, whatever happened before.
    Declare a little less than the link does: a lasting excess is reported, rightly, in the end.

    Attributes:
        visibility: V, in (0, 1).
        false_alarm: Probability that the alarm *ever* rings while the promise is kept, over the
            whole life of the link, in (0, 1).

    Raises:
        ValueError: A number leaves its range.

    Examples:
        >>> Promise(0.95).false_alarm
        0.001
    """

    visibility: float
    false_alarm: float = 1e-3

    def __post_init__(self) -> None:
        for name, value in (("visibility", self.visibility), ("false_alarm", self.false_alarm)):
            if not 0 < value < 1:
                raise ValueError(f"`{name}` of a promise must lie in (0, 1), but is {value:g}.")

    def sequential_test(
        self, *, settings: Settings, policy: Policy, planned_pairs: int = 0
    ) -> SequentialTest:
        """Return the sequential test of this promise, before the link's first round.

        Args:
            settings: With which pairs are measured; their probabilities are part of the promise.
            policy: Says how many key rounds are revealed.
            planned_pairs: How many pairs the link is to send, 0 if that is open; a plan makes late
                changes ring sooner, and need not be kept.

        Raises:
            ValueError: The settings have no Bell test or no key.
        """
        from e91.alarm.link import werner_link
        from e91.alarm.wealth import initial_wealth, place_bets

        link = werner_link(
            settings, visibility=self.visibility, revealed_fraction=policy.revealed_fraction
        )
        tallied = settings.chsh_probability
        tallied += settings.key_probability * policy.revealed_fraction
        bets = place_bets(
            link, false_alarm=self.false_alarm, planned_rounds=round(planned_pairs * tallied)
        )
        return SequentialTest(self, initial_wealth(bets))


@dataclass(frozen=True)
class Alarm:
    """The alarm rang: the sequential test rejects the promise.

    Attributes:
        round: Pairs that had been sent when the evidence sufficed, over the life of the link;
            found out at the end of an interval or block, at which the alarm rings.
        finding: What it has seen up to now; rounds after the alarm sharpen the name.

    Examples:
        >>> from e91.alarm.link import OutcomeCounts
        >>> from e91.model.settings import EKERT
        >>> test = Promise(0.97).sequential_test(settings=EKERT, policy=Policy())
        >>> eve = OutcomeCounts((748,) * 4, (200,) * 4, sample=188, errors=16)
        >>> alarm = test.after(eve, pairs=8_600).alarm
        >>> alarm.round, alarm.named
        (8600, 'EAVESDROPPER')
    """

    round: int
    finding: Finding

    @property
    def named(self) -> str | None:
        """Name of the cause, e.g. "EAVESDROPPER"; None as long as no cause stands out."""
        return self.finding.cause.name if self.finding.cause else None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, ready for JSON."""
        return {
            "round": self.round,
            "named": self.named,
            "odds": min(self.finding.odds, 1e12),
            "chsh": self.finding.chsh,
            "qber": self.finding.qber,
        }

    def __str__(self) -> str:
        return f"The alarm rang after {self.round:,} pairs: {self.finding}"


@dataclass(frozen=True, eq=False)
class SequentialTest:
    """A sequential test of a promise.  A value: `after` returns a new one.

    Attributes:
        promise: The null hypothesis.
        wealth: The test martingale: some hundred numbers, however long the link lives.
        sent: Pairs sent so far.
        rang: Pairs that had been sent when the alarm rang first; None if it has not.

    Examples:
        >>> from e91.alarm.link import OutcomeCounts
        >>> from e91.model.settings import EKERT
        >>> test = Promise(0.97).sequential_test(settings=EKERT, policy=Policy())
        >>> honest = OutcomeCounts((200, 200, 200, 200), (37, 37, 37, 37), sample=47, errors=1)
        >>> test = test.after(honest, pairs=2_150)
        >>> test.sent, test.alarm is None
        (2150, True)
    """

    promise: Promise
    wealth: Wealth = field(repr=False)
    sent: int = 0
    rang: int | None = None

    @property
    def alarm(self) -> Alarm | None:
        """What rang; None if nothing did.  It is never unset."""
        if self.rang is None:
            return None
        from e91.alarm.wealth import finding

        return Alarm(self.rang, finding(self.wealth))

    def after(self, counts: OutcomeCounts, *, pairs: int) -> SequentialTest:
        """Return the test after one more interval of the link's life.

        Args:
            counts: Outcomes of its tallied rounds.
            pairs: Pairs that were sent in it, at least the tallied rounds.

        Raises:
            ValueError: ``pairs`` is less than the tallied rounds.
        """
        if pairs < counts.rounds:
            raise ValueError(f"`pairs` must be at least {counts.rounds}, but is {pairs}.")
        from e91.alarm.wealth import update

        wealth, sent = update(self.wealth, counts), self.sent + pairs
        rings = self.rang is None and wealth.alarm_round is not None
        return replace(self, wealth=wealth, sent=sent, rang=sent if rings else self.rang)

    def __str__(self) -> str:
        seen = f"silent over {self.wealth.rounds:,} rounds that were tallied"
        if (alarm := self.alarm) is not None:
            seen = f"rang after {alarm.round:,} pairs: {alarm.named or 'no cause yet'}"
        return (
            f"{seen}; promised is visibility {self.promise.visibility:g}, false alarms in "
            f"{self.promise.false_alarm:g} of all lives"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return promise and evidence as plain values, ready for JSON, without the alarm."""
        return {
            "visibility": self.promise.visibility,
            "false_alarm": self.promise.false_alarm,
            "tallied_rounds": self.wealth.rounds,
            "log_evidence": self.wealth.log_evidence,
        }
