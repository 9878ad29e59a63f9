"""The result of a study: an `xarray.Dataset`, and its file."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from e91.model.device import DeviceInfo
from e91.studies.plan import Study
from e91.studies.points import NONE, PARAMETERS, Point, Value, settings_in
from e91.studies.sessions import Tally
from e91.studies.work import versions
from e91.system.digests import PLACE, is_whole, sealed

if TYPE_CHECKING:
    from xarray import Dataset

KIND = "e91 study 2"
"""Attribute ``kind`` of a result."""

_OLD_KIND = "e91 study 1"  # of version 0.1, without a digest

_VARIABLES = {
    "chsh": ("1", "CHSH value S of the Bell-test rounds."),
    "chsh_standard_error": ("1", "Standard error of S."),
    "chsh_lower_bound": ("1", "Lower bound on S at the policy's epsilon."),
    "chsh_p_value": ("1", "How probable a local model makes such an S, at most."),
    "qber": ("1", "Error rate of the revealed key rounds."),
    "qber_upper_bound": ("1", "Bound on that of the others at the policy's epsilon."),
    "coincidences": ("pairs", "Rounds in which both parties saw a photon."),
    "sifted_bits": ("bit", "Key rounds, the revealed ones included."),
    "leaked_bits": ("bit", "Key bits in all messages of both parties."),
    "authentication_bits": ("bit", "Pre-shared key bits that were consumed."),
    "secret_bits": ("bit", "Net secret bits of the released blocks."),
    "blocks": ("1", "Blocks, each with a Bell test and a key of its own."),
    "released_blocks": ("1", "Blocks that made a key."),
    "abort": ("", "Why there is no key at all; empty if there is one."),
    "eve_guess_rate": ("1", "Fraction of Alice's key bits that Eve guesses; NaN if not looked at."),
    "eve_information": ("bit", "Bits that Eve has per key bit; NaN if not looked at."),
    "processor_seconds": ("s", "Processor time of the session; differs from run to run."),
    "session": ("1", "Number from which, with the root, the session is made again."),
}
_WHOLE = {"coincidences", "sifted_bits", "leaked_bits", "authentication_bits", "secret_bits",
          "blocks", "released_blocks", "session"}  # fmt: skip
_EXACT_IN_FLOATS = 2**53


def dataset_of(study: Study, tallies: Mapping[int, Tally], *, root: int) -> Dataset:
    """Return a study's result.

    Args:
        study: The study.
        tallies: The tally of every session, by number.
        root: Root of the study.

    Returns:
        Dimensions: one for each axis, with the parameter's values, then ``repeat``.  Other
        parameters of an axis are coordinates along it; fixed ones are scalar coordinates.
        Variables and their units: see ``docs/studies.md``, or ``variable.attrs``.

    Raises:
        KeyError: A session is missing.
    """
    from xarray import Dataset

    rows = [
        _row(study.point_of_session(number), tallies[number]) for number in range(study.sessions)
    ]
    variables = {
        name: (study.dimensions, _column(name, rows).reshape(study.shape), _attributes(*about))
        for name, about in _VARIABLES.items()
    }
    return Dataset(
        variables,
        coords=_coordinates(study),
        attrs={
            "kind": KIND,
            "title": study.title,
            "plan": study.to_json(),
            "plan_sha256": study.digest,
            # As text: 128 bits fit in no number of the file.
            "root_entropy": str(root),
            "versions": json.dumps(dict(versions())),
        },
    )


_ANY = DeviceInfo(None, "")


def _row(point: Point, tally: Tally) -> dict[str, Any]:
    summary = tally.summary(settings=point.settings, policy=point.policy, device=_ANY, seed=None)
    found, error, eve = summary.chsh, summary.qber, tally.eve or (None, None)
    return {
        "chsh": found.value,
        "chsh_standard_error": found.standard_error,
        "chsh_lower_bound": found.lower_bound,
        "chsh_p_value": found.p_value,
        "qber": error.rate,
        "qber_upper_bound": error.upper_bound,
        "coincidences": tally.evidence.coincidences,
        "sifted_bits": tally.evidence.key_size + tally.evidence.sample_size,
        "leaked_bits": summary.leaked_bits,
        "authentication_bits": tally.authentication_bits,
        "secret_bits": tally.secret_bits,
        "blocks": tally.blocks,
        "released_blocks": summary.released,
        "abort": summary.abort.name if summary.abort else "",
        "eve_guess_rate": eve[0],
        "eve_information": eve[1],
        "processor_seconds": tally.processor_seconds,
        "session": tally.session,
    }


def _column(name: str, rows: list[dict[str, Any]]) -> np.ndarray[Any, Any]:
    values = [row[name] for row in rows]
    if name == "abort":
        return np.array(values, object)
    if name in _WHOLE:
        return np.array(values, np.int64)
    return np.array([math.nan if value is None else value for value in values], np.float64)


def _attributes(unit: str, meaning: str) -> dict[str, str]:
    return ({"units": unit} if unit else {}) | {"long_name": meaning}


def _coordinates(study: Study) -> dict[str, Any]:
    coordinates: dict[str, Any] = {}
    for axis in study.axes:
        for name, values in zip(axis.parameters, zip(*axis.places, strict=True), strict=True):
            about = PARAMETERS[name]
            coordinates[about.dimension] = (
                axis.dimension,
                _coordinate(values),
                _attributes(about.unit, about.meaning),
            )
    coordinates["repeat"] = ("repeat", np.arange(study.repeats))
    for name, value in study.fixed:
        about = PARAMETERS[name]
        shown = _coordinate((value,)).reshape(())
        coordinates[about.dimension] = ((), shown, _attributes(about.unit, about.meaning))
    return coordinates


def _coordinate(values: tuple[Value, ...]) -> np.ndarray[Any, Any]:
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return np.array(values, np.int64)
    if all(value is None or isinstance(value, float) for value in values) and any(values):
        return np.array([math.nan if value is None else value for value in values], np.float64)
    return np.array([_text(value) for value in values], object)


def _text(value: Value) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"{part:.15g}" for part in value)
    if isinstance(value, str) and value.startswith("{"):
        return settings_in(value).name
    return NONE if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def save_study(result: Dataset, file: Path | str) -> None:
    """Write a result as netCDF (classic format, 64-bit offsets); whole or not at all.

    The format has no 64-bit integers: they are stored as floats, which hold them exactly, and
    `load_study` turns them back.

    Args:
        result: From `e91.studies.study`.
        file: Must not exist; any ending.

    Raises:
        ValueError: The file exists, or its folder cannot be written.
        OSError: The disk is full or fails.

    Examples:
        >>> import tempfile
        >>> from e91.studies import plan_study, study
        >>> result = study(plan_study({"rounds": 20_000}, repeats=2), seed=1, processes=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_study(result, Path(folder) / "study.nc")
        ...     load_study(Path(folder) / "study.nc").identical(result)
        True
    """
    file = Path(file)
    from e91.system.durable import PUBLIC, new_file

    stored = result.assign_attrs()
    stored.attrs = {"sha256": PLACE, **result.attrs}
    for name, variable in result.variables.items():
        if variable.dtype == np.int64:
            if variable.size and np.abs(variable.values).max() >= _EXACT_IN_FLOATS:
                raise ValueError(f"`{name}` must be below 2**53 to be stored, but is not.")
            whole = variable.attrs | {"stored_as": "float64 of int64"}
            stored[name] = (variable.dims, variable.values.astype(np.float64), whole)
    content = bytes(stored.to_netcdf(engine="scipy", format="NETCDF3_64BIT"))
    with new_file(file, mode=PUBLIC) as write:
        write(sealed(content))


def load_study(file: Path | str) -> Dataset:
    """Return the result that `save_study` wrote.

    Args:
        file: What `save_study` wrote.

    Returns:
        The dataset, with its coordinates, units and attributes.

    Raises:
        ValueError: The file cannot be read, is no such result, or was damaged.

    Warns:
        UserWarning: It is of version 0.1, which stored no digest.

    Examples:
        >>> import tempfile
        >>> from e91.studies import plan_study, study
        >>> result = study(plan_study({"rounds": 20_000}, repeats=2), seed=1, processes=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_study(result, Path(folder) / "study.nc")
        ...     loaded = load_study(Path(folder) / "study.nc")
        >>> loaded.sizes["repeat"], loaded.attrs["kind"]
        (2, 'e91 study 2')
    """
    file = Path(file)
    import io

    import xarray

    from e91.system.durable import read_file

    content = read_file(file)
    try:
        stored = xarray.load_dataset(io.BytesIO(content), engine="scipy")
    except Exception as error:
        raise ValueError(f"`{file}` must be a study's result, but is no netCDF file.") from error
    if stored.attrs.get("kind") not in (KIND, _OLD_KIND):
        raise ValueError(f"`{file}` must be a study's result, but is something else.")
    if stored.attrs["kind"] == _OLD_KIND:
        words = f"`{file}` is of version 0.1, which stored no digest: damage in it is not seen."
        warnings.warn(words, UserWarning, stacklevel=2)
    elif not is_whole(content, stated=str(stored.attrs.get("sha256"))):
        raise ValueError(f"`{file}` must have the digest that it states, but is damaged.")
    stored.attrs.pop("sha256", None)
    for name, variable in list(stored.variables.items()):
        if "stored_as" in variable.attrs:
            about = {key: value for key, value in variable.attrs.items() if key != "stored_as"}
            stored[name] = (variable.dims, variable.values.astype(np.int64), about)
    return stored
