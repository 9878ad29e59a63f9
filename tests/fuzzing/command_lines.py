"""Random command lines, made from the tree of commands and the types of their options.

A line is first made right, of small sizes, and then mostly damaged.  Excluded by rule: values that
are right and take long.  What makes work (`_WORK`) has right values that are small, and is given
wherever its default is long; addresses are of this machine; a command that waits for somebody is
stopped (`is_patient`).
"""

import random
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from e91.cli import commands

_VALUES = tomllib.loads(Path(__file__).with_name("values.toml").read_text(encoding="utf-8"))

RIGHT: dict[str, list[str]] = _VALUES["options"]
"""Values that an option takes, or might."""

OF_COMMANDS: dict[str, dict[str, list[str]]] = _VALUES["commands"]
"""Values of arguments, and of options that mean something else in one command."""

ODD_FILES: list[str] = _VALUES["wrong"]["files"]
"""Places that are of another kind, or none."""

_WORK = {"--rounds", "--shots", "--minutes", "--days", "--workers", "--threads", "--processes",
         "--speed", "--patience", "--timeout", "--block-rounds", "--maximum-offset-s", "--page",
         "--portions", "--every", "--pad-bytes", "--maximum-frequency-error-ppm"}  # fmt: skip
"""Options of which large right values take long: of numbers, they get wrong and small ones only."""

_GIVEN = {
    "run": ("--rounds", "--device"), "attack run": ("--rounds",), "conformance": ("--shots",),
    "network run": ("--minutes", "--workers"), "network alarms": ("--days",),
    "network passes": ("--days",), "experiment run": ("--rounds", "--session"),
    "kme serve": (), "study": ("--processes",), "call receive": ("--patience",),
    "call relay": ("--patience",), "key fetch": ("--timeout",), "key list": ("--timeout",),
    "kme probe": ("--timeout",),
}  # fmt: skip
"""Options that are always given, as their defaults take long."""

_NOT_RUN = {("attack", "list"), ("experiment", "list"), ("snapshots", "table"), ("network", "list")}
_PATIENT = {"call receive", "call relay", "call send", "chat", "kme serve"}

WRONG = (
    "", " ", "nan", "NaN", "inf", "-inf", "1e400", "-1", "0", "-0.0", "1.5", "9" * 400,
    "1e999999999", "0x10", "1_0", "½", "١٢", "🐈", "\u202e", "a\nb", "-", "--", "..", "/",
    "a" * 5000, "%s%n", "{}", "\udcff", "$(true)", "nan,nan", "1,,2", ",", ",".join("1" * 400),
    "true", "None", "1e-400", "18446744073709551616", "-9223372036854775809",
    "\x7f\x1b[2J", "'", '"', "\\", "a=b", "a=b@c",
    "=", "@", ":", "a:b", "::1", "1:2:3", "x" * 300, "é" * 200, "\x01", "1e18",
    "999999999999999999", "0.1.2", "1 2", "+1", "1e", "e1", "∞", "１２", "\u2028", "*",
    "~", "@plain.txt",
)  # fmt: skip
"""What people, scripts and enemies type."""

_TYPING_ERRORS = ("--", "-x", "--nothing", "--jsn", "--rouns", "--=1", "---", "-", "--help", "-h",
                  "--seed=", "--rounds=", "--version", "--json=1")  # fmt: skip


@dataclass(frozen=True)
class Line:
    """A command line.

    Attributes:
        words: Behind ``e91``.
        is_patient: Whether it may wait without end.
    """

    words: tuple[str, ...]
    is_patient: bool


def leaves() -> dict[str, click.Command]:
    """Return every command by its words, but the groups."""
    found: dict[str, click.Command] = {}

    def walk(command: click.Command, names: tuple[str, ...]) -> None:
        if not isinstance(command, click.Group):
            found[" ".join(names)] = command
            return
        for name in command.list_commands(click.Context(command)):
            walk(command.get_command(click.Context(command), name), (*names, name))

    walk(commands, ())
    return found


class LineMaker:
    """Makes lines; `line` gives the one of a seed and a number."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._leaves = leaves()
        self._names = sorted(self._leaves)

    def line(self, number: int) -> Line:
        """Return the line of a number, from 0; the same one for the same seed."""
        rng = random.Random(f"lines {self._seed} {number}")
        name = rng.choice(self._names)
        if tuple(name.split()) in _NOT_RUN and rng.random() < 0.8:  # seconds each
            name = rng.choice(self._names)
        words = [*name.split(), *self._right(rng, name)]
        while rng.random() < 0.6:
            words = _damaged(rng, words, len(name.split()))
        words += self._missing(rng, name, words)
        is_patient = name in _PATIENT or any(word.startswith("--pag") for word in words)
        return Line(tuple(words), is_patient)

    def _missing(self, rng: random.Random, name: str, words: list[str]) -> list[str]:
        """Return what must be given and no longer is."""
        given = {word.partition("=")[0] for word in words}
        found: list[str] = []
        for parameter in self._leaves[name].params:
            flag = max(parameter.opts, key=len)
            if flag in _GIVEN.get(name, ()) and flag not in given:
                found += (
                    [flag]
                    if getattr(parameter, "is_flag", False)
                    else [flag, rng.choice(RIGHT[flag])]
                )
        return found

    def _right(self, rng: random.Random, name: str) -> Iterator[str]:
        """Yield arguments and options that are right one by one, in random order."""
        groups: list[list[str]] = []
        density = rng.choice((0.03, 0.1, 0.1, 0.3))
        for parameter in self._leaves[name].params:
            flag = max(parameter.opts, key=len)
            if isinstance(parameter, click.Argument):
                least = 1 if parameter.required or parameter.nargs < 0 else int(rng.random() < 0.7)
                most = 3 if parameter.nargs < 0 else least
                count = (
                    rng.randint(least, most)
                    if parameter.nargs >= 0
                    else rng.choice((0, 1, 1, 2, 2, most))
                )
                groups.append([self._value(rng, name, parameter) for _ in range(count)])
            elif (
                parameter.required
                or flag in _GIVEN.get(name, ())
                or rng.random() < density
                or (flag == "--json" and rng.random() < 0.4)
            ):
                groups.append(self._option(rng, name, parameter, flag))
        rng.shuffle(groups)
        for group in groups:
            yield from group

    def _option(
        self, rng: random.Random, name: str, option: click.Parameter, flag: str
    ) -> list[str]:
        if getattr(option, "is_flag", False):
            return [rng.choice([*option.opts, *option.secondary_opts])]
        value = self._value(rng, name, option)
        return [f"{flag}={value}"] if rng.random() < 0.15 else [flag, value]

    def _value(self, rng: random.Random, name: str, parameter: click.Parameter) -> str:
        flag = max(parameter.opts, key=len)
        chance = rng.random()
        if chance < 0.06:
            return rng.choice(WRONG) if flag not in _WORK or chance < 0.03 else "nonsense"
        if isinstance(parameter.type, click.Path) and chance < 0.12:
            return rng.choice(ODD_FILES)
        known = OF_COMMANDS.get(name, {}).get(flag) or RIGHT.get(flag)
        if isinstance(parameter.type, click.Choice) and not known:
            return rng.choice([str(choice) for choice in parameter.type.choices])
        if known:
            return rng.choice(known)
        if flag not in _WORK and parameter.type.name in ("float", "integer", "count"):
            return rng.choice(("0", "1", "-1", "0.5", "1e6", "1e18", "nan", "1e-9"))
        return rng.choice(("x", "1", *ODD_FILES))


def _damaged(rng: random.Random, words: list[str], first: int) -> list[str]:
    """Return a line with one thing wrong, behind the words of its command mostly."""
    words = list(words)
    place = rng.randint(first, len(words))
    match rng.randrange(10):
        case 0:
            words.insert(place, rng.choice(_TYPING_ERRORS))
        case 1 | 2:
            words = _with_wrong_value(rng, words, first)
        case 3 if len(words) > first:
            del words[rng.randrange(first, len(words))]
        case 4 if len(words) > first:
            again = rng.randrange(first, len(words))
            words[place:place] = words[again : again + 2]
        case 5:
            words.insert(place, rng.choice(ODD_FILES))
        case 6:
            words = words[: max(place, 1)]
        case 7 if len(words) > first + 1:
            one, other = rng.sample(range(first, len(words)), 2)
            words[one], words[other] = words[other], words[one]
        case 8 if rng.random() < 0.2:
            words[rng.randrange(first)] = rng.choice((*WRONG, "rnu", "Run", "help"))
        case _:
            flag = rng.choice(sorted(RIGHT.keys() - _WORK))
            words[place:place] = [flag, rng.choice((*RIGHT[flag], "1"))]
    return words


def _with_wrong_value(rng: random.Random, words: list[str], first: int) -> list[str]:
    """Return a line with another value somewhere, but none that is right and takes long."""
    if len(words) == first:
        return [*words, rng.choice(WRONG)]
    place = rng.randrange(first, len(words))
    flag, equals, _ = words[place].partition("=")
    value = rng.choice(WRONG)
    if equals and flag.startswith("--"):
        is_work = flag in _WORK
        words[place] = f"{flag}={value}"
    else:
        is_work = words[place - 1] in _WORK
        words[place] = value
    if is_work and _is_long(value):
        words[place] = f"{flag}=nonsense" if equals else "nonsense"
    return words


def _is_long(value: str) -> bool:
    """Return whether a value would be right where work is counted, and is large."""
    try:
        return float(value) > 1e4
    except ValueError:
        return False
