"""What blocks add up to, in plain numbers: all that workers return."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from e91.model.evidence import Evidence, KeySample
from e91.model.policy import Policy
from e91.model.settings import Settings
from e91.session.report import SessionReport
from e91.session.totals import RunSummary

_SUMS = (
    "blocks",
    "rounds",
    "leaked_by_alice",
    "leaked_by_bob",
    "authentication_bits",
    "secret_bits",
    "seconds",
)


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
        ValueError: There is none, or they are of several sessions.
    """
    parts = list(tallies)
    if len({part.session for part in parts}) != 1:
        raise ValueError("Tallies must be of one session to be added, but are not.")
    first, *rest = parts
    aborts = sum((Counter(dict(part.aborts)) for part in parts), Counter[str]())
    return replace(
        first,
        evidence=sum((part.evidence for part in rest), first.evidence),
        aborts=tuple(sorted(aborts.items())),
        **{name: sum(getattr(part, name) for part in parts) for name in _SUMS},
    )


def to_numbers(tally: Tally) -> dict[str, Any]:
    """Return a tally as numbers, names of abort reasons and lists of these, ready for JSON."""
    evidence = tally.evidence
    counts = {
        "tests": list(map(list, evidence.tests)),
        "samples": [list(vars(sample).values()) for sample in evidence.samples],
        "pair_counts": list(map(list, evidence.pair_counts)),
        "signs": list(evidence.signs),
    }
    sums = {name: getattr(tally, name) for name in _SUMS}
    eve = None if tally.eve is None else list(tally.eve)
    return {"session": tally.session, "aborts": dict(tally.aborts), "eve": eve} | counts | sums


def tally_from(numbers: Mapping[str, Any]) -> Tally:
    """Return the tally of which `to_numbers` made the numbers.

    Raises:
        ValueError: They are of something else.
    """
    try:
        evidence = Evidence(
            tests=tuple(map(tuple, numbers["tests"])),
            samples=tuple(KeySample(*row) for row in numbers["samples"]),
            pair_counts=tuple(map(tuple, numbers["pair_counts"])),
            signs=tuple(numbers["signs"]),
        )
        return Tally(
            session=int(numbers["session"]),
            evidence=evidence,
            aborts=tuple(sorted(numbers["aborts"].items())),
            eve=None if numbers["eve"] is None else tuple(numbers["eve"]),
            **{name: numbers[name] for name in _SUMS},
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("A tally must have the numbers of one, but has others.") from error
