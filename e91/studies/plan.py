"""The plan of a study: what is fixed, what is swept, how often each point is repeated."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from e91.model.numbers import check_whole
from e91.studies.points import NONE, PARAMETERS, Point, Value, checked, point_of
from e91.system.documents import read_toml, typed
from e91.system.refusals import refusals_named

MAXIMUM_SESSIONS = 1_000_000
"""Points times repeats of one study: what its result and its journal hold comfortably."""

_RANGE = {"from", "to", "points", "spacing"}


@dataclass(frozen=True)
class Axis:
    """Parameters that are swept together: one dimension of the result.

    Attributes:
        parameters: Their names; the first gives the dimension its name.
        places: Their values at each place of the axis, in the order of ``parameters``.

    Examples:
        >>> axis = Axis(("device.visibility", "rounds"), ((0.9, 100_000), (0.98, 20_000)))
        >>> axis.dimension, len(axis.places)
        ('visibility', 2)
    """

    parameters: tuple[str, ...]
    places: tuple[tuple[Value, ...], ...]

    @property
    def dimension(self) -> str:
        """What the result calls this axis."""
        return PARAMETERS[self.parameters[0]].dimension


@dataclass(frozen=True)
class Study:
    """A sweep over all combinations of the axes' places; made by `plan_study` or `read_study`.

    Attributes:
        title: What the study is called; may be empty.
        fixed: Names and values of what is the same at all points.
        axes: What is swept; the last runs fastest.
        repeats: Sessions at each point.

    Examples:
        >>> study = plan_study({"rounds": 100_000}, sweep=[{"device.visibility": [0.9, 0.98]}])
        >>> study.shape, study.sessions, study.fixed
        ((2, 1), 2, (('rounds', 100000),))
    """

    title: str
    fixed: tuple[tuple[str, Value], ...]
    axes: tuple[Axis, ...]
    repeats: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis, then the repeats."""
        return (*(len(axis.places) for axis in self.axes), self.repeats)

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Name of each axis, then ``repeat``."""
        return (*(axis.dimension for axis in self.axes), "repeat")

    @property
    def sessions(self) -> int:
        """Points times repeats; each has a number from 0, its place in C order of `shape`."""
        return math.prod(self.shape)

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """Every point, the last axis fastest."""
        return tuple(self._points())

    def _points(self) -> Iterator[Point]:
        for place in np.ndindex(*self.shape[:-1]):
            values = dict(self.fixed)
            for axis, index in zip(self.axes, place, strict=True):
                values |= zip(axis.parameters, axis.places[index], strict=True)
            yield point_of(values)

    def point_of_session(self, number: int) -> Point:
        """Return the point that a session repeats.

        Args:
            number: Of the session, from 0.

        Raises:
            ValueError: There is no session of this number.
        """
        if not 0 <= number < self.sessions:
            raise ValueError(f"`number` must lie in [0, {self.sessions - 1}], but is {number}.")
        return self.points[number // self.repeats]

    @property
    def rounds(self) -> int:
        """Pairs sent in the whole study."""
        return self.repeats * sum(point.rounds for point in self.points)

    def to_json(self) -> str:
        """Return the plan as one line of JSON; equal plans give equal lines."""
        return json.dumps(
            {
                "title": self.title,
                "repeats": self.repeats,
                "fixed": dict(self.fixed),
                "sweep": [
                    dict(zip(axis.parameters, zip(*axis.places, strict=True), strict=True))
                    for axis in self.axes
                ],
            },
            ensure_ascii=True,
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the plan, 64 hexadecimal digits; the title does not count."""
        plan = json.loads(self.to_json()) | {"title": ""}
        return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


def plan_study(
    fixed: Mapping[str, object] | None = None,
    *,
    sweep: Sequence[Mapping[str, object]] = (),
    repeats: int = 1,
    title: str = "",
) -> Study:
    """Return a study.

    Args:
        fixed: Parameters that are the same at all points, by dotted name (``device.visibility``)
            or as tables in tables, as a file has them.
        sweep: One table for each axis.  A parameter has a list of values, or a range
            ``{"from": a, "to": b, "points": n}``, evenly spaced, by factors with ``"spacing":
            "log"``.  Parameters of one table change together and have lists of one length; several
            tables are combined in every way.
        repeats: Sessions at each point, from 1.
        title: What the study is called.

    Returns:
        The study: its points, each with its parameters and repeats, checked before anything runs.

    Raises:
        ValueError: A name is unknown or twice there, a value leaves its range, lists differ in
            length, no session can be run at a point, or there are more than `MAXIMUM_SESSIONS`.

    Examples:
        >>> study = plan_study(
        ...     {"rounds": 100_000, "settings": {"name": "bbm92"}},
        ...     sweep=[{"device.visibility": {"from": 0.9, "to": 1, "points": 3}}],
        ...     repeats=2,
        ... )
        >>> study.dimensions, study.shape, study.points[1].noise["visibility"]
        (('visibility', 'repeat'), (3, 2), 0.95)
    """
    chosen = {
        name: checked(name, value, path=name) for name, value in _flat(fixed or {}, path="").items()
    }
    axes = tuple(_axis(table, path=f"sweep[{place}]") for place, table in enumerate(sweep))
    _check_names([*chosen, *(name for axis in axes for name in axis.parameters)])
    check_whole(repeats=repeats, least=1)
    if type(title) is not str:
        raise ValueError(f"`title` must be a text, but is {title!r}.")
    study = Study(title, tuple(chosen.items()), axes, repeats)
    if study.sessions > MAXIMUM_SESSIONS:
        raise ValueError(
            f"A study must have at most {MAXIMUM_SESSIONS:,} sessions, but has {study.sessions:,}."
        )
    _check_points(study)
    return study


def read_study(file: Path | str) -> Study:
    r"""Return the study of a TOML file; ``docs/studies.md`` has the format.

    Args:
        file: Path of the TOML file.

    Returns:
        The study, as `plan_study` makes it.

    Raises:
        ValueError: The file cannot be read, is no TOML, or plans something that `plan_study`
            refuses; the sentence names the place in the file.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "study.toml")
        ...     _ = file.write_text("rounds = 1e5\n[[sweep]]\ndevice.visibility = [0.9, 1.0]")
        ...     read_study(file).shape
        (2, 1)
    """
    file = Path(file)
    content = read_toml(file, dict[str, Any])
    own = {name: content.pop(name) for name in ("title", "repeats", "sweep") if name in content}
    with refusals_named(f"In `{file}`: "):
        sweep = own.setdefault("sweep", [])
        if not isinstance(sweep, list):
            raise ValueError("`sweep` must be tables that begin with [[sweep]], but is a value.")
        typed(sweep, list[dict[str, Any]], key="sweep")
        return plan_study(content, **own)


def _flat(table: Mapping[str, object], *, path: str) -> dict[str, object]:
    """Return the parameters of tables in tables by their dotted names."""
    found: dict[str, object] = {}
    for key, value in table.items():
        name = f"{path}{key}"
        if name in PARAMETERS:
            inner = {name: value}
        elif isinstance(value, Mapping) and any(
            known.startswith(f"{name}.") for known in PARAMETERS
        ):
            inner = _flat(value, path=f"{name}.")
        else:
            raise ValueError(f"`{name}` must be one of {', '.join(PARAMETERS)}, but is none.")
        if twice := found.keys() & inner:
            raise ValueError(f"`{min(twice)}` must be given once, but is given twice.")
        found |= inner
    return found


def _axis(table: Mapping[str, object], *, path: str) -> Axis:
    if not table:
        raise ValueError(f"`{path}` must be a table of parameters, but is {table!r}.")
    with refusals_named(f"In `{path}`: "):
        flat = _flat(table, path="")
    lists = {name: _list(value, path=f"{path}.{name}") for name, value in flat.items()}
    columns = [
        [checked(name, value, path=f"{path}.{name}[{i}]") for i, value in enumerate(values)]
        for name, values in lists.items()
    ]
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        counts = ", ".join(f"{len(values)} of {name}" for name, values in lists.items())
        raise ValueError(f"`{path}` must have lists of one length, but has {counts}.")
    places = tuple(zip(*columns, strict=True))
    if len(set(places)) < len(places):
        raise ValueError(f"`{path}` must have every place once, but one is there twice.")
    return Axis(tuple(lists), places)


def _list(values: object, *, path: str) -> list[object]:
    if isinstance(values, Mapping):
        return _range(values, path=path)
    if not isinstance(values, list | tuple) or not values:
        raise ValueError(f"`{path}` must be a list of values or a range, but is {values!r}.")
    return list(values)


def _range(table: Mapping[str, object], *, path: str) -> list[object]:
    if unknown := sorted(table.keys() - _RANGE):
        raise ValueError(f"`{path}.{unknown[0]}` must be from, to, points or spacing, but is none.")
    numbers = []
    for key in ("from", "to", "points"):
        value = table.get(key)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            raise ValueError(f"`{path}.{key}` must be a number, but is {value!r}.")
        numbers.append(value)
    low, high, points = numbers
    if not isinstance(points, int) or not 2 <= points <= MAXIMUM_SESSIONS:
        raise ValueError(
            f"`{path}.points` must be a whole number from 2 to {MAXIMUM_SESSIONS:,}, but is "
            f"{points}."
        )
    match table.get("spacing", "linear"):
        case "linear":
            found = np.linspace(low, high, points)
        case "log" if low > 0 and high > 0:
            found = np.geomspace(low, high, points)
        case other:
            raise ValueError(f"`{path}.spacing` must be linear, or log between positive numbers, "
                             f"but is {other!r} from {low:g} to {high:g}.")  # fmt: skip
    whole = path.endswith("rounds")
    return [round(value) if whole else float(f"{value:.15g}") for value in found.tolist()]


def _check_names(names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"`{name}` must be fixed or swept once, but is given twice.")


def _check_points(study: Study) -> None:
    for place, point in zip(np.ndindex(*study.shape[:-1]), study.points, strict=True):
        where = ", ".join(
            f"{name} {NONE if value is None else value}"
            for axis, index in zip(study.axes, place, strict=True)
            for name, value in zip(axis.parameters, axis.places[index], strict=True)
        )
        with refusals_named(f"At {where}: " if where else ""):
            point.check()
