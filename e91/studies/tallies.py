"""What blocks add up to, in plain numbers: all that workers return."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any, cast

import msgspec

from e91.model.evidence import Evidence
from e91.model.settings import Settings
from e91.security.policy import Policy
from e91.session.report import SessionReport
from e91.session.totals import RunSummary


@dataclass(frozen=True)
class Tally:
    """Public totals of some blocks of one session, without settings, policy or key.

    Attributes:
        session: Number of the session in its study; 0 in a run of its own.
        blocks: How many blocks.
        rounds: Their rounds.
        evidence: Their counts.
        aborts: How many ended for which reason, by name, in the order of names.
        leaked_by_alice: Key bits in Alice's messages.
        leaked_by_bob: Key bits in Bob's messages.
        authentication_bits: Pre-shared key bits that were consumed.
        secret_bits: Net secret bits.
        seconds: Time that the blocks took.
        eve: Fraction of Alice's bits that Eve guesses, and bits that she has per key bit; None
            where nobody looked at her notes.

    Examples:
        >>> from e91.model.evidence import KeySample
        >>> counts = Evidence(((3, 1, 0, 4),), (KeySample(2, 1, 0),), ((11,),), signs=(+1,))
        >>> whole = joined([Tally(0, 1, 11, counts), Tally(0, 1, 11, counts)])
        >>> whole.rounds, whole.evidence.tests, tally_from(to_numbers(whole)) == whole
        (22, ((6, 2, 0, 8),), True)
    """

    session: int
    blocks: int
    rounds: int
    evidence: Evidence
    aborts: tuple[tuple[str, int], ...] = ()
    leaked_by_alice: int = 0
    leaked_by_bob: int = 0
    authentication_bits: int = 0
    secret_bits: int = 0
    seconds: float = field(default=0.0, compare=False)
    eve: tuple[float | None, float | None] | None = None

    def __add__(self, other: Tally) -> Tally:
        """Return the tally of the blocks of both, which are of one session.

        Raises:
            ValueError: They are of several sessions.
        """
        if self.session != other.session:
            raise ValueError("Tallies must be of one session to be added, but are not.")
        aborts = Counter(dict(self.aborts)) + Counter(dict(other.aborts))
        return Tally(
            session=self.session,
            blocks=self.blocks + other.blocks,
            rounds=self.rounds + other.rounds,
            evidence=self.evidence + other.evidence,
            aborts=tuple(sorted(aborts.items())),
            leaked_by_alice=self.leaked_by_alice + other.leaked_by_alice,
            leaked_by_bob=self.leaked_by_bob + other.leaked_by_bob,
            authentication_bits=self.authentication_bits + other.authentication_bits,
            secret_bits=self.secret_bits + other.secret_bits,
            seconds=self.seconds + other.seconds,
            eve=self.eve,
        )

    def summary(
        self, *, settings: Settings, policy: Policy, device: str, seed: int | None
    ) -> RunSummary:
        """Return the summary of the run that these blocks are; arguments as its attributes."""
        return RunSummary(
            settings=settings,
            device=device,
            policy=policy,
            seed=seed,
            evidence=self.evidence,
            blocks=self.blocks,
            rounds=self.rounds,
            aborts=self.aborts,
            leaked_bits=self.leaked_by_alice + self.leaked_by_bob,
            leaked_by_alice=self.leaked_by_alice,
            authentication_bits=self.authentication_bits,
            secret_bits=self.secret_bits,
            seconds=self.seconds,
        )


def tally_of(
    report: SessionReport, *, session: int = 0, eve: tuple[float | None, float | None] | None = None
) -> Tally:
    """Return the tally of one block; arguments as the attributes of `Tally`."""
    return Tally(
        session=session,
        blocks=1,
        rounds=report.rounds,
        evidence=report.evidence,
        aborts=() if report.abort is None else ((report.abort.name, 1),),
        leaked_by_alice=report.leak.alice,
        leaked_by_bob=report.leak.bob,
        authentication_bits=report.authentication_bits,
        secret_bits=report.secret_bits,
        seconds=report.seconds,
        eve=eve,
    )


def joined(tallies: Iterable[Tally]) -> Tally:
    """Return the tally of blocks of one session together.

    Raises:
        ValueError: They are of several sessions.
    """
    return reduce(add, tallies)


def to_numbers(tally: Tally) -> dict[str, Any]:
    """Return a tally as tables and lists of numbers and names, ready for JSON."""
    return cast(dict[str, Any], msgspec.to_builtins(tally))


def tally_from(numbers: Mapping[str, Any]) -> Tally:
    """Return the tally that `to_numbers` made the numbers from.

    Raises:
        ValueError: They are of something else.
    """
    try:
        return msgspec.convert(numbers, Tally)
    except msgspec.ValidationError as error:
        raise ValueError("A tally must have the numbers of one, but has others.") from error
