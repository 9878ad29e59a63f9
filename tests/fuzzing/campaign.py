"""A campaign: many cases with their scratch folders, what was wrong with them, and a summary."""

import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

from tests.fuzzing.forked_runs import Case, Outcome, remove, run_all, warm_up
from tests.fuzzing.specimens import make_specimens
from tests.fuzzing.verdicts import faults

_FIRST_LINES = Path(__file__).with_name("first_lines.txt").read_text().splitlines()
"""Lines that need, together, most of what is loaded when it is first used."""


class Maker(Protocol):
    """Makes the cases of a campaign."""

    def case(self, number: int, folder: Path) -> Case:
        """Return a case, and put what it needs into an empty folder."""


@dataclass
class Tally:
    """What came of a campaign's cases.

    Attributes:
        statuses: How often a command ended with a status.
        wrong: Cases with something wrong: name, words, what, and the end of standard error.
        failures: Sentences of status 1, and how often.
        slowest: Seconds and name of the slowest case.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    commands: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)
    wrong: list[dict[str, object]] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, str] = (0.0, "")

    @property
    def cases(self) -> int:
        """How many cases there were."""
        return sum(self.statuses.values())

    def add(self, case: Case, outcome: Outcome, found: Sequence[str]) -> None:
        """Count a case."""
        self.statuses[outcome.status] += 1
        self.commands[f"{_command_of(case)} {outcome.status}"] += 1
        self.seconds[_command_of(case)] += outcome.seconds
        self.slowest = max(self.slowest, (outcome.seconds, case.name))
        if outcome.status == 1:
            self.failures[outcome.err.decode(errors="replace").strip()[-150:]] += 1
        if found:
            self.wrong.append(_described(case, outcome, found))

    def text(self) -> str:
        """Return the tally in lines."""
        statuses = ", ".join(
            f"{number:,} of status {status}" for status, number in sorted(self.statuses.items())
        )
        lines = [f"{self.cases:,} cases: {statuses}; {len(self.wrong):,} wrong."]
        lines += [f"slowest: {self.slowest[0]:.1f} s, {self.slowest[1]}"]
        lines += [f"{name}: {spent:.0f} s" for name, spent in self.seconds.most_common(8)]
        lines += [
            f"status 1, {number:,} times: {text}" for text, number in self.failures.most_common(12)
        ]
        return "\n".join(lines)


def _command_of(case: Case) -> str:
    words = [word for word in case.words[:2] if word.isalpha()]
    return " ".join(words)


def _described(case: Case, outcome: Outcome, found: Sequence[str]) -> dict[str, object]:
    return {
        "name": case.name,
        "words": list(case.words),
        "status": outcome.status,
        "faults": list(found),
        "seconds": round(outcome.seconds, 1),
        "err": outcome.err.decode(errors="replace")[-3000:],
        "out": outcome.out.decode(errors="replace")[-500:],
    }


class Place:
    """A folder for scratch, with the specimens in it; removed at the end."""

    def __init__(self, kept: Path | None = None) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="e91-fuzzing-"))
        self.specimens = self.root / "specimens" if kept is None else kept
        self._number = 0

    def __enter__(self) -> Self:
        self.root.chmod(0o755)
        if not self.specimens.exists():
            make_specimens(self.specimens, self._run)
        warm_up(_FIRST_LINES, Path(shutil.copytree(self.specimens, self.root / "warm")))
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.root, ignore_errors=True)

    def _run(self, *words: str) -> int:
        case = Case("specimens", words, self.specimens, is_patient="serve" in words)
        ((_, outcome),) = run_all([case], jobs=1)
        shutil.rmtree(self.specimens.with_name(f"{self.specimens.name}.home"))
        return outcome.status

    def folder(self) -> Path:
        """Return a new folder for a case."""
        self._number += 1
        made = self.root / f"case-{self._number}"
        made.mkdir()
        return made


def secrets_in(folder: Path) -> list[bytes]:
    """Return the key bytes of the key files below a folder."""
    import base64

    found = []
    for file in folder.rglob("*.key"):
        if not file.is_file():  # a pipe would wait
            continue
        try:
            state = json.loads(file.read_bytes())
            text = state.get("remaining") if isinstance(state, dict) else None
            found.append(base64.b64decode(text) if isinstance(text, str) else b"")
        except (ValueError, OSError, RecursionError):
            continue
    return [secret for secret in found if len(secret) >= 16]


def campaign(
    maker: Maker,
    place: Place,
    *,
    numbers: Sequence[int],
    jobs: int,
    log: Path | None = None,
    say: bool = False,
) -> Tally:
    """Run the cases of these numbers, and return what came of them.

    Args:
        maker: Makes the cases.
        place: Where they run.
        numbers: Which cases.
        jobs: How many at once.
        log: A file for wrong cases, a JSON object a line.
        say: Whether progress is printed.
    """
    tally, started = Tally(), time.monotonic()

    def cases() -> Iterator[Case]:
        for number in numbers:
            yield maker.case(number, place.folder())

    for case, outcome in run_all(cases(), jobs=jobs):
        found = faults(case, outcome, secrets_in(case.folder))
        tally.add(case, outcome, found)
        remove(case)
        if found and log is not None:
            with log.open("a") as file:
                file.write(json.dumps(tally.wrong[-1]) + "\n")
        if say and tally.cases % 500 == 0:
            rate = tally.cases / (time.monotonic() - started)
            print(
                f"{tally.cases:,} cases, {len(tally.wrong)} wrong, {rate:.1f} a second",
                file=sys.stderr,
            )
    return tally
