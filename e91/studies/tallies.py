"""What blocks add up to, in plain numbers: all that workers return."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, cast

import msgspec

from e91.model.evidence import Evidence
from e91.model.settings import Settings
from e91.security.policy import Policy
from e91.session.report import SessionReport
from e91.session.totals import RunSummary, Totals, totals_of


@dataclass(frozen=True, kw_only=True)
class Tally(Totals):
    """Public totals of some blocks of one session, without settings, policy or key.

    Attributes:
        session: Number of the session in its study; 0 in a run of its own.
        eve: Fraction of Alice's bits that Eve guesses, and bits that she has per key bit; None
            where nobody looked at her notes.

    Examples:
        >>> from e91.model.evidence import KeySample
        >>> counts = Evidence(((3, 1, 0, 4),), (KeySample(2, 1, 0),), ((11,),), signs=(+1,))
        >>> block = Tally(session=0, evidence=counts, blocks=1, rounds=11)
        >>> whole = joined([block, block])
        >>> whole.rounds, whole.evidence.tests, tally_from(to_numbers(whole)) == whole
        (22, ((6, 2, 0, 8),), True)
    """

    session: int
    eve: tuple[float | None, float | None] | None = None

    def summary(
        self, *, settings: Settings, policy: Policy, device: str, seed: int | None
    ) -> RunSummary:
        """Return the summary of the run that these blocks are; arguments as its attributes."""
        nothing = Evidence.empty(settings)
        before = RunSummary(
            evidence=nothing, settings=settings, policy=policy, device=device, seed=seed
        )
        return before + self


def tally_of(
    report: SessionReport, *, session: int = 0, eve: tuple[float | None, float | None] | None = None
) -> Tally:
    """Return the tally of one block; arguments as the attributes of `Tally`."""
    nothing = Evidence.empty(report.settings)
    return Tally(session=session, eve=eve, evidence=nothing) + totals_of(report)


def joined(tallies: Iterable[Tally]) -> Tally:
    """Return the tally of blocks of one session together.

    Raises:
        ValueError: They are of several sessions.
    """
    parts = list(tallies)
    if len({part.session for part in parts}) > 1:
        raise ValueError("Tallies must be of one session to be added, but are not.")
    return reduce(add, parts)


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
