"""Read an experiment from its file, strictly: every refusal names the key at fault."""

from __future__ import annotations

import math
import stat
import tomllib
from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path

from e91.experiments.published import Experiment, Outcome, Parameter
from e91.experiments.vocabulary import PARAMETERS, QUANTITIES, SETTINGS
from e91.model.policy import Theorem
from e91.model.settings import Settings

_LARGEST_FILE = 1_000_000  # bytes; ours have a few thousand
_HEAD = ("title", "reference", "summary", "settings", "theorem", "limits")
_PARAMETER = ("value", "error", "source", "printed", "fitted_to", "note")
_OUTCOME = (
    "quantity", "value", "error", "error_source", "unit", "source", "printed", "theorem", "note",
)  # fmt: skip


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
        return parse(_text(path), name=path.stem)
    if name not in names():
        close = get_close_matches(name, names(), n=1)
        hint = f"; did you mean {close[0]}?" if close else "; see `e91 experiment list`."
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
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"`{name}` must be TOML, but: {error}") from None
    groups = {key.split(".")[0] for key in PARAMETERS}
    _check_known(document, (*_HEAD, *groups, "outcomes"), path="")
    parameters = tuple(_parameters({k: v for k, v in document.items() if k in groups}))
    experiment = Experiment(
        name=name,
        title=_sentence(document, "title", path=""),
        reference=_sentence(document, "reference", path=""),
        summary=_sentence(document, "summary", path=""),
        settings=_settings(document),
        theorem=_theorem(document.get("theorem", Theorem.SHOR_PRESKILL.value), path="theorem"),
        parameters=parameters,
        outcomes=_outcomes(document.get("outcomes")),
        limits=_sentences(document.get("limits", []), path="limits"),
    )
    _check_fits(experiment)
    _check_state(experiment)
    return experiment


def _text(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise ValueError(f"`{path}` must be a readable file, but is no regular file.")
        with path.open("rb") as file:
            raw = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise ValueError(f"`{path}` must be a readable file, but: {error.strerror}.") from None
    if len(raw) > _LARGEST_FILE:
        raise ValueError(f"`{path}` must have at most {_LARGEST_FILE:,} bytes, but has more.")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"`{path}` must be UTF-8 text, but is not.") from None


def _parameters(groups: dict[str, object]) -> Iterable[Parameter]:
    for group, entries in groups.items():
        table = _table(entries, path=group)
        known = [key.split(".")[1] for key in PARAMETERS if key.startswith(f"{group}.")]
        _check_known(table, known, path=f"{group}.")
        for key, entry in table.items():
            yield _parameter(f"{group}.{key}", _table(entry, path=f"{group}.{key}"))


def _parameter(key: str, entry: dict[str, object]) -> Parameter:
    _check_known(entry, _PARAMETER, path=f"{key}.")
    limits = PARAMETERS[key]
    value = _number(entry, "value", path=f"{key}.")
    if not limits.low <= value <= limits.high:
        raise ValueError(
            f"`{key}.value` must lie in [{limits.low:.3g}, {limits.high:g}], but is {value:g}."
        )
    error = _number(entry, "error", path=f"{key}.", default=0.0)
    if error < 0:
        raise ValueError(f"`{key}.error` must not be negative, but is {error:g}.")
    return Parameter(
        key=key,
        value=value,
        error=error,
        source=_sentence(entry, "source", path=f"{key}."),
        printed=_truth(entry, path=f"{key}."),
        fitted_to=_sentence(entry, "fitted_to", path=f"{key}.") if "fitted_to" in entry else None,
        note=_sentence(entry, "note", path=f"{key}.") if "note" in entry else "",
    )


def _outcomes(entries: object) -> tuple[Outcome, ...]:
    if not isinstance(entries, list) or not entries:
        raise ValueError("`outcomes` must be a list of at least one table, but is not.")
    return tuple(
        _outcome(f"outcomes[{i}]", _table(e, path="outcomes")) for i, e in enumerate(entries)
    )


def _outcome(path: str, entry: dict[str, object]) -> Outcome:
    _check_known(entry, _OUTCOME, path=f"{path}.")
    quantity = _sentence(entry, "quantity", path=f"{path}.")
    if quantity not in QUANTITIES:
        raise ValueError(
            f"`{path}.quantity` must be one of {', '.join(QUANTITIES)}, but is {quantity!r}."
        )
    unit = _sentence(entry, "unit", path=f"{path}.")
    if unit != QUANTITIES[quantity]:
        raise ValueError(
            f"`{path}.unit` must be {QUANTITIES[quantity]!r} for {quantity}, but is {unit!r}."
        )
    error = _number(entry, "error", path=f"{path}.")
    if error < 0:
        raise ValueError(f"`{path}.error` must not be negative, but is {error:g}.")
    theorem = entry.get("theorem")
    return Outcome(
        quantity=quantity,
        value=_number(entry, "value", path=f"{path}."),
        error=error,
        error_source=_sentence(entry, "error_source", path=f"{path}."),
        unit=unit,
        source=_sentence(entry, "source", path=f"{path}."),
        printed=_truth(entry, path=f"{path}."),
        theorem=None if theorem is None else _theorem(theorem, path=f"{path}.theorem"),
        note=_sentence(entry, "note", path=f"{path}.") if "note" in entry else "",
    )


def _settings(document: dict[str, object]) -> Settings:
    name = _sentence(document, "settings", path="")
    if name not in SETTINGS:
        raise ValueError(f"`settings` must be one of {', '.join(SETTINGS)}, but is {name!r}.")
    return SETTINGS[name]


def _check_state(experiment: Experiment) -> None:
    both = [experiment.has(f"state.{name}_error") for name in ("bit", "phase")]
    if both[0] != both[1] or (both[0] and experiment.has("state.visibility")):
        raise ValueError(
            "`state` must have either `visibility` or both `bit_error` and `phase_error`, but has "
            "another choice of them."
        )


def _check_fits(experiment: Experiment) -> None:
    """Check that every fit is to an outcome that exists, here or, with a name, elsewhere."""
    here = {outcome.quantity for outcome in experiment.outcomes}
    for parameter in experiment.parameters:
        target = parameter.fitted_to
        if target is not None and ": " not in target and target not in here:
            raise ValueError(
                f"`{parameter.key}.fitted_to` must name an outcome of the file, or 'experiment: "
                f"outcome' of another, but is {target!r}."
            )


def _check_known(table: dict[str, object], known: Iterable[str], *, path: str) -> None:
    allowed = list(known)
    for key in table:
        if key not in allowed:
            close = get_close_matches(key, allowed, n=1)
            hint = f"; did you mean `{path}{close[0]}`?" if close else "."
            raise ValueError(f"Every key must be a documented one, but `{path}{key}` is not{hint}")


def _table(entry: object, *, path: str) -> dict[str, object]:
    if not isinstance(entry, dict):
        raise ValueError(
            f"`{path}` must be a table with value, source and printed, but is {entry!r}."
        )
    return entry


def _sentence(table: dict[str, object], key: str, *, path: str) -> str:
    found = table.get(key)
    if not isinstance(found, str) or not found.strip():
        state = "is missing" if key not in table else f"is {found!r}"
        raise ValueError(f"`{path}{key}` must be a text that is not empty, but {state}.")
    return found


def _sentences(entries: object, *, path: str) -> tuple[str, ...]:
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise ValueError(f"`{path}` must be a list of texts, but is {entries!r}.")
    return tuple(entries)


def _number(
    table: dict[str, object], key: str, *, path: str, default: float | None = None
) -> float:
    found = table.get(key, default)
    number = math.nan
    if isinstance(found, int | float) and not isinstance(found, bool):
        with suppress(OverflowError):  # of a whole number beyond all floats
            number = float(found)
    if not math.isfinite(number):
        state = "is missing" if key not in table else f"is {str(found)[:20]!r}"
        raise ValueError(f"`{path}{key}` must be a finite number, but {state}.")
    return number


def _truth(table: dict[str, object], *, path: str) -> bool:
    found = table.get("printed")
    if not isinstance(found, bool):
        state = "is missing" if "printed" not in table else f"is {found!r}"
        raise ValueError(f"`{path}printed` must be true or false, but {state}.")
    return found


def _theorem(name: object, *, path: str) -> Theorem:
    known = [theorem.value for theorem in Theorem]
    if name not in known:
        raise ValueError(f"`{path}` must be one of {', '.join(known)}, but is {name!r}.")
    return Theorem(name)
