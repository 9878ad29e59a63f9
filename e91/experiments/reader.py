"""Read an experiment from its file, strictly: every refusal names the key at fault."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, field, structs

from e91.experiments.published import Experiment, ModelParameter, Outcome
from e91.experiments.vocabulary import SETTINGS, Numbers
from e91.security.theorems import Theorem
from e91.system.documents import (
    Document,
    Finite,
    NotNegative,
    Text,
    did_you_mean,
    parse_toml,
    read_toml,
    typed,
)


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
    outcomes: Annotated[tuple[Outcome, ...], Meta(min_length=1)]
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

    Raises:
        ValueError: There is no such experiment, or the file cannot be read or is not in the
            documented format.

    Examples:
        >>> load("yin-2017").reference
        'Yin et al., Science 356, 1140 (2017), arXiv:1707.01339'
    """
    if name.endswith(".toml"):
        path = Path(name)
        return _experiment(read_toml(path, _File), name=path.stem, where=name)
    if name not in names():
        hint = did_you_mean(name, names())
        hint = "; see `e91 experiment list`." if hint == "." else hint
        raise ValueError(
            f"An experiment must be a known name or a .toml file, but is {name!r}{hint}"
        )
    return parse(files("e91.experiments").joinpath(f"{name}.toml").read_text("utf-8"), name=name)


def parse(text: str, *, name: str) -> Experiment:
    """Return the experiment that a TOML text describes; the format is in ``docs/experiments.md``.

    Args:
        text: The file's contents.
        name: What to call the experiment.

    Raises:
        ValueError: The text is no TOML, a key is unknown or missing, or a value cannot be.
    """
    return _experiment(parse_toml(text, _File, where=name), name=name, where=name)


def _experiment(file: _File, *, name: str, where: str) -> Experiment:
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
            ModelParameter(f"{group}.{key}", **structs.asdict(entry))
            for group, table in groups.items()
            for key, entry in table.items()
        ),
        outcomes=file.outcomes,
        limits=file.limits,
    )
    _check_fits(experiment, where)
    return experiment


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
