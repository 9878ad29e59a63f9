"""What a published experiment is made of, and how it is read from its file.

Reading is strict: every refusal names the key at fault.
"""

import math
import tomllib
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from msgspec import Meta, field, structs

from e91.experiments.vocabulary import QUANTITIES, SETTINGS, Numbers
from e91.model.settings import Settings
from e91.security.theorems import Theorem
from e91.system.documents import (
    MOST_BYTES,
    Document,
    Finite,
    NotNegative,
    Text,
    did_you_mean,
    parse_toml,
    typed,
)
from e91.system.durable import read_file


@dataclass(frozen=True)
class ModelParameter:
    """One number that the simulation starts from.

    Attributes:
        key: Its place in the file, with the unit in the name: ``"state.visibility"``,
            ``"alice.loss_db"``.
        value: The number.
        error: One standard deviation of it, 0 if taken as exact.
        source: Where it stands: paper, then page, table or figure; or how it was derived.
        printed: Whether somebody who wrote the file read it in a page.
        fitted_to: The published outcome it was chosen to match (``"qber"``, or
            ``"yin-2017: coincidences_per_second"`` for one of another experiment), or None.
        note: A remark, or empty.
        digits: The number with its error in the file's own digits.

    Examples:
        >>> found = load("yin-2017").parameters[0]
        >>> found.key, found.value, found.digits
        ('state.visibility', 0.91382, '0.91382 ± 0.001')
    """

    key: str
    value: float
    error: float
    source: str
    printed: bool
    fitted_to: str | None = None
    note: str = ""
    digits: str = ""


@dataclass(frozen=True)
class Outcome:
    """One number that an experiment reported.

    Attributes:
        quantity: What it is; a name of `e91.experiments.vocabulary.QUANTITIES`.
        value: The published number.
        error: One standard deviation of it.
        error_source: Where the error comes from: printed, counted, or the last digit given.
        unit: Its unit.
        source: Paper, then page, table or figure.
        printed: Whether somebody who wrote the file read the value in a page.
        theorem: For keys, the theorem to compute them with; None takes the experiment's.
        note: Why simulation and publication differ, if they do, or empty.
        digits: The number with its error in the file's own digits: ``"2.40 ± 0.09"``.

    Examples:
        >>> found = next(one for one in load("yin-2017").outcomes if one.quantity == "chsh")
        >>> found.value, found.error, found.digits, found.printed
        (2.37, 0.09, '2.37 ± 0.09', True)
    """

    quantity: str
    value: float
    error: float
    error_source: str
    unit: str
    source: str
    printed: bool
    theorem: Theorem | None = None
    note: str = ""
    digits: str = ""


class _Outcome(Document, frozen=True):
    """An outcome as a file gives it."""

    quantity: Text
    value: Finite
    error: NotNegative
    error_source: Text
    unit: Text
    source: Text
    printed: bool
    theorem: Theorem | None = None
    note: Text = ""

    def __post_init__(self) -> None:
        if self.quantity not in QUANTITIES:
            raise ValueError(
                f"`quantity` must be one of {', '.join(QUANTITIES)}, but is {self.quantity!r}."
            )
        unit = QUANTITIES[self.quantity]
        if self.unit != unit:
            raise ValueError(f"`unit` must be {unit!r} for {self.quantity}, but is {self.unit!r}.")


@dataclass(frozen=True)
class Experiment:
    """A published experiment as data.

    Attributes:
        name: What users call it.
        title: Of the paper.
        reference: Authors, journal, year.
        summary: What was done, in a sentence.
        settings: Angles of both analysers.
        theorem: With which keys are computed.
        parameters: What the simulation starts from.
        outcomes: What was published.
        limits: What the model does not cover here, a sentence each.

    Examples:
        >>> found = load("yin-2017")
        >>> found.name, found.settings.name, found.theorem.value, len(found.outcomes)
        ('yin-2017', 'bbm92', 'shor-preskill-2000', 4)
    """

    name: str
    title: str
    reference: str
    summary: str
    settings: Settings
    theorem: Theorem
    parameters: tuple[ModelParameter, ...]
    outcomes: tuple[Outcome, ...]
    limits: tuple[str, ...] = ()

    @cached_property
    def numbers(self) -> Numbers:
        """The values of the parameters, by group and name: ``numbers.state.visibility``."""
        values: dict[str, dict[str, float]] = {}
        for parameter in self.parameters:
            group, _, name = parameter.key.partition(".")
            values.setdefault(group, {})[name] = parameter.value
        empty = structs.asdict(Numbers())
        return Numbers(
            **{group: structs.replace(empty[group], **values[group]) for group in values}
        )

    def shifted(self, key: str, by: float) -> Self:
        """Return the experiment with one parameter changed by ``by``.

        Args:
            key: Name of the parameter in the file.
            by: What is added to it, in its unit.
        """
        return replace(
            self,
            parameters=tuple(
                replace(p, value=p.value + by) if p.key == key else p for p in self.parameters
            ),
        )

    @property
    def fitted(self) -> frozenset[str]:
        """Quantities of this experiment that a parameter was fitted to."""
        return frozenset(p.fitted_to for p in self.parameters if p.fitted_to)


class SimulatedBy(Enum):
    """What gives a simulated number; the value is its name.

    CLOSED_FORM: a formula of other numbers, mostly of one visibility.  LINK: a model of source,
    links and detectors.  SESSION: a session of the protocol, pair by pair.

    Examples:
        >>> SimulatedBy("link")
        <SimulatedBy.LINK: 'link'>
    """

    CLOSED_FORM = "closed form"
    LINK = "link"
    SESSION = "session"


@dataclass(frozen=True)
class Comparison:
    """A simulated number beside the published one.

    Attributes:
        outcome: What was published.
        simulated: The same quantity, simulated; None if the model cannot give it.
        simulated_error: One standard deviation of it: of the parameters, and of a repetition
            with the experiment's own number of counts, as far as that is known.
        fitted: Whether a parameter was fitted to this outcome; then agreement proves nothing.
        route: What gives the simulated number.
        reason: Why there is no simulated number, or empty.
        counting_error: The part of ``simulated_error`` that is chance in a session's own counts.

    Examples:
        >>> outcome = next(one for one in load("yin-2017").outcomes if one.quantity == "chsh")
        >>> found = Comparison(outcome, simulated=2.40, simulated_error=0.01, fitted=False)
        >>> round(found.published_sigmas, 2), found.reproduced
        (0.33, True)
    """

    outcome: Outcome
    simulated: float | None
    simulated_error: float
    fitted: bool
    route: SimulatedBy = SimulatedBy.CLOSED_FORM
    reason: str = ""
    counting_error: float = 0.0

    @property
    def sigmas(self) -> float | None:
        """(simulated - published) / sqrt(both errors squared), or None."""
        spread = math.hypot(self.simulated_error, self.outcome.error)
        return self._deviation(spread)

    @property
    def published_sigmas(self) -> float | None:
        """(simulated - published) / published error, or None: the stricter measure."""
        return self._deviation(self.outcome.error)

    @property
    def reproduced(self) -> bool:
        """Whether nothing was fitted to it and it lies within two published errors.

        A session whose own counts scatter more than a published error may come close by chance: it
        reproduces nothing.
        """
        strict = self.published_sigmas
        if self.fitted or strict is None or self.counting_error > self.outcome.error:
            return False
        return abs(strict) <= 2

    def _deviation(self, spread: float) -> float | None:
        if self.simulated is None or spread == 0:
            return None
        return (self.simulated - self.outcome.value) / spread


class _Entry(Document, frozen=True):
    """A parameter as a file gives it; its range is that of its key."""

    value: Finite
    source: Text
    printed: bool
    error: NotNegative = 0.0
    fitted_to: Text | None = None
    note: Text = ""


_Group = dict[str, _Entry]


class _File(Document, frozen=True):
    """An experiment file: what the experiment was, parameters by group, outcomes."""

    title: Text
    reference: Text
    summary: Text
    settings: Literal["ekert", "asymmetric", "bbm92", "wigner"]
    outcomes: Annotated[tuple[_Outcome, ...], Meta(min_length=1)]
    theorem: Theorem = Theorem.SHOR_PRESKILL
    limits: tuple[Text, ...] = ()
    state: _Group = field(default_factory=dict)
    source: _Group = field(default_factory=dict)
    detection: _Group = field(default_factory=dict)
    measured: _Group = field(default_factory=dict)
    orbit: _Group = field(default_factory=dict)
    alice: _Group = field(default_factory=dict)
    bob: _Group = field(default_factory=dict)
    protocol: _Group = field(default_factory=dict)


def names() -> tuple[str, ...]:
    """Return the names of the experiments that come with the package, in order of the alphabet.

    Returns:
        Names that `load` takes, such as ``"ecker-2021"``.

    Examples:
        >>> "yin-2020" in names()
        True
    """
    found = (entry.name for entry in files("e91.experiments").iterdir())
    return tuple(sorted(name[:-5] for name in found if name.endswith(".toml")))


def load(name: str) -> Experiment:
    """Return an experiment by its name, or from the user's own file.

    Args:
        name: A name of `names`, or the path of a file that ends in ``.toml``.

    Returns:
        The experiment's numbers with their sources; nothing is simulated.

    Raises:
        ValueError: There is no such experiment, or the file cannot be read or is not in the
            documented format.

    Examples:
        >>> load("yin-2017").reference
        'Yin et al., Science 356, 1140 (2017), arXiv:1707.01339'
    """
    if name.endswith(".toml"):
        path = Path(name)
        return _experiment(read_file(path, most_bytes=MOST_BYTES), name=path.stem, where=name)
    if name not in names():
        hint = did_you_mean(name, names())
        hint = "; see `e91 experiment list`." if hint == "." else hint
        raise ValueError(
            f"An experiment must be a known name or a .toml file, but is `{name}`{hint}"
        )
    return parse(files("e91.experiments").joinpath(f"{name}.toml").read_text("utf-8"), name=name)


def parse(text: str, *, name: str) -> Experiment:
    """Return the experiment that a TOML text describes; the format is in ``docs/experiments.md``.

    Args:
        text: The file's contents.
        name: What to call the experiment.

    Returns:
        The experiment; its numbers are checked, and none of its outcomes is simulated yet.

    Raises:
        ValueError: The text is no TOML, a key is unknown or missing, or a value cannot be.

    Examples:
        >>> from importlib.resources import files
        >>> text = (files("e91.experiments") / "yin-2017.toml").read_text(encoding="utf-8")
        >>> parse(text, name="satellite").reference
        'Yin et al., Science 356, 1140 (2017), arXiv:1707.01339'
    """
    return _experiment(text, name=name, where=name)


def _experiment(text: str | bytes, *, name: str, where: str) -> Experiment:
    file = parse_toml(text, _File, where=where)
    digits = _digits(text)
    tables = structs.asdict(file)
    groups: dict[str, _Group] = {group: tables[group] for group in Numbers.__struct_fields__}
    values = {
        group: {key: entry.value for key, entry in table.items()} for group, table in groups.items()
    }
    typed(values, Numbers, where=where)
    experiment = Experiment(
        name=name,
        title=file.title,
        reference=file.reference,
        summary=file.summary,
        settings=SETTINGS[file.settings],
        theorem=file.theorem,
        parameters=tuple(
            ModelParameter(
                f"{group}.{key}", **structs.asdict(entry), digits=_in_digits(digits[group][key])
            )
            for group, table in groups.items()
            for key, entry in table.items()
        ),
        outcomes=tuple(
            Outcome(**structs.asdict(outcome), digits=_in_digits(table))
            for outcome, table in zip(file.outcomes, digits["outcomes"], strict=True)
        ),
        limits=file.limits,
    )
    _check_fits(experiment, where)
    return experiment


def _digits(text: str | bytes) -> dict[str, Any]:
    """Return the values of a file that was read before, its numbers as they are written."""
    decoded = text if isinstance(text, str) else text.decode("utf-8-sig")
    return tomllib.loads(decoded, parse_float=str)


def _in_digits(table: dict[str, Any]) -> str:
    """Return a number and its error as a file writes them, in groups of three if it is whole."""
    numbers = (table["value"], table.get("error", 0))
    value, error = (f"{n:,}" if isinstance(n, int) else n for n in numbers)
    return f"{value} ± {error}" if float(numbers[1]) else str(value)


def _check_fits(experiment: Experiment, where: str) -> None:
    """Check that every fit is to an outcome that exists, here or, with a name, elsewhere."""
    here = {outcome.quantity for outcome in experiment.outcomes}
    for parameter in experiment.parameters:
        target = parameter.fitted_to
        if target is not None and ": " not in target and target not in here:
            raise ValueError(
                f"In `{where}`: `{parameter.key}.fitted_to` must name an outcome of the file, or "
                f"'experiment: outcome' of another, but is {target!r}."
            )
