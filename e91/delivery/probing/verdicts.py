"""What a look at a server says of one clause of the standard, and all of it together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


class ProbeVerdict(Enum):
    """How a server stands to a clause; the value is what is printed.

    Attributes:
        PASS: It does what the clause demands.
        FAIL: It breaks what the text demands.
        NOTE: It departs from what the text advises, or allows to read otherwise.
        INFO: What was seen is nothing that the text speaks about.
        NOT_TESTED: It could not be looked at.

    Examples:
        >>> ProbeVerdict("NOT TESTED")
        <ProbeVerdict.NOT_TESTED: 'NOT TESTED'>
    """

    PASS = "PASS"
    FAIL = "FAIL"
    NOTE = "NOTE"
    INFO = "INFO"
    NOT_TESTED = "NOT TESTED"


@dataclass(frozen=True)
class Observation:
    """What was seen, and what that means.

    Attributes:
        verdict: For the clause.
        words: What was seen; never a key.
    """

    verdict: ProbeVerdict
    words: str


def passed(words: str) -> Observation:
    """Return that the server does what the clause demands."""
    return Observation(ProbeVerdict.PASS, words)


def failed(words: str) -> Observation:
    """Return that it breaks what the text demands."""
    return Observation(ProbeVerdict.FAIL, words)


def noted(words: str) -> Observation:
    """Return that it departs from what the text allows to read otherwise, or advises."""
    return Observation(ProbeVerdict.NOTE, words)


def informed(words: str) -> Observation:
    """Return an observation that the standard does not judge."""
    return Observation(ProbeVerdict.INFO, words)


def judged(*, good: bool, words: str) -> Observation:
    """Return that a demand is kept or broken, and what was seen."""
    return passed(words) if good else failed(words)


def advised(*, good: bool, words: str) -> Observation:
    """Return that an advice is kept or not, and what was seen."""
    return passed(words) if good else noted(words)


class NotTestable(Exception):
    """A clause cannot be looked at; the message says why."""


@dataclass(frozen=True)
class ProbeRow:
    """A clause of the standard and what was seen of it.

    Attributes:
        name: For programs; stays the same from version to version.
        clause: Of ETSI GS QKD 014 V1.1.1.
        demand: What it demands, in our words.
        verdict: What the server does of it.
        words: What was seen.

    Examples:
        >>> row = ProbeRow("status-fields", "6.1", "Has all fields.", ProbeVerdict.PASS, "All.")
        >>> row.clause, row.verdict.value
        ('6.1', 'PASS')
    """

    name: str
    clause: str
    demand: str
    verdict: ProbeVerdict
    words: str


@dataclass(frozen=True)
class ProbeReport:
    """What a probe saw of a server.

    Attributes:
        url: Of the server.
        rows: A row for every clause, in the order of the text.
        keys_taken: How many keys the probe has used up.

    Examples:
        >>> row = ProbeRow("status-fields", "6.1", "Has all fields.", ProbeVerdict.PASS, "All.")
        >>> report = ProbeReport("https://kme.example:8443", (row,), keys_taken=0)
        >>> report.conforms, report.counts["PASS"]
        (True, 1)
    """

    url: str
    rows: tuple[ProbeRow, ...]
    keys_taken: int

    @property
    def conforms(self) -> bool:
        """Whether nothing that the text demands was seen broken."""
        return all(row.verdict is not ProbeVerdict.FAIL for row in self.rows)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many rows have each verdict."""
        return counts_of(row.verdict for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, ready for JSON."""
        return {
            "url": self.url,
            "standard": "ETSI GS QKD 014 V1.1.1",
            "conforms": self.conforms,
            "counts": dict(self.counts),
            "keys_taken": self.keys_taken,
            "rows": [
                {
                    "name": row.name,
                    "clause": row.clause,
                    "demand": row.demand,
                    "verdict": row.verdict.value,
                    "seen": row.words,
                }
                for row in self.rows
            ],
        }


def counts_of(verdicts: Iterable[ProbeVerdict]) -> dict[str, int]:
    """Return how often each verdict occurs.

    Examples:
        >>> counts_of([ProbeVerdict.PASS, ProbeVerdict.PASS])["PASS"]
        2
    """
    found = list(verdicts)
    return {verdict.value: found.count(verdict) for verdict in ProbeVerdict}
