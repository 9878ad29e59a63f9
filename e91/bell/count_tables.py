"""Tables of counts by angle, as laboratories and teaching experiments write them down."""

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from e91.model.numbers import same_angle
from e91.system.durable import read_file

POLARISER_DEGREES = "polariser-degrees"
BLOCH_RADIANS = "bloch-radians"
ANGLE_UNITS = {
    POLARISER_DEGREES: math.pi / 90,
    BLOCH_RADIANS: 1.0,
    "bloch-degrees": math.pi / 180,
}
"""Units of angles, with their size in radians on the Bloch sphere."""

_MOST_BYTES = 2**20
_COLUMNS = (("coincidences",), ("coincidences", "accidentals"), ("same", "different"))


@dataclass(frozen=True, eq=False)
class BellTable:
    """Counts at two angles of each party.

    Attributes:
        alice_angles: Alice's two, radians on the Bloch sphere.
        bob_angles: Bob's two.
        counts: As `bell_test` takes them; shape (2, 2, 2, 2), or (2, 2, 2).
        accidentals: The same shape, or None.

    Examples:
        >>> counts = np.array([[[85, 15], [15, 85]], [[85, 15], [85, 15]]], float)
        >>> table = BellTable((0.0, 1.571), (0.785, 2.356), counts, accidentals=None)
        >>> table.counts.sum(axis=2).tolist()
        [[100.0, 100.0], [100.0, 100.0]]
    """

    alice_angles: tuple[float, ...]
    bob_angles: tuple[float, ...]
    counts: NDArray[np.float64]
    accidentals: NDArray[np.float64] | None


def read_table(file: Path | str, *, unit: str = POLARISER_DEGREES) -> BellTable:
    """Read a table of counts: CSV with a line of column names, at most 1 MiB.

    The first two columns are Alice's and Bob's angle, whatever their names.  Then follow

    * ``coincidences`` and perhaps ``accidentals``: sixteen rows.  Two angles of a party that are
      90 degrees apart (of a polariser) are the two outcomes of one setting; the smaller is +1.
    * or ``same`` and ``different``: four rows, counts of equal and unequal outcomes.

    Args:
        file: The table; lines that begin with # are passed over.
        unit: Of the angles, one of `ANGLE_UNITS`.

    Returns:
        The counts of the four pairs of settings; its angles are radians on the Bloch sphere.

    Raises:
        ValueError: The file cannot be read, or is no such table.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "table.csv"
        ...     rows = "a,b,same,different", "0,22.5,85,15", "0,67.5,15,85", "45,22.5,85,15"
        ...     _ = file.write_text(chr(10).join([*rows, "45,67.5,85,15"]))
        ...     read_table(file).counts[0, 1].tolist()
        [15.0, 85.0]
    """
    file = Path(file)
    if unit not in ANGLE_UNITS:
        raise ValueError(f"`unit` must be one of {', '.join(ANGLE_UNITS)}, but is {unit!r}.")
    names, rows = _rows(file)
    columns = tuple(name.strip().lower() for name in names[2:])
    if columns not in _COLUMNS:
        raise ValueError(
            f"`{file}` must begin with a line of column names: two of angles, then coincidences "
            f"(and accidentals), or same and different, but begins with {', '.join(names)[:80]}."
        )
    angles = rows[:, :2] * ANGLE_UNITS[unit]
    if columns == _COLUMNS[2]:
        return _of_pairs(angles, rows[:, 2:], file)
    return _of_outcomes(angles, rows[:, 2:], file)


def _rows(file: Path) -> tuple[list[str], NDArray[np.float64]]:
    try:
        text = read_file(file, most_bytes=_MOST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"`{file}` must be UTF-8 text, but is not.") from None
    numbered = enumerate(text.splitlines(), 1)
    lines = [(at, line) for at, line in numbered if line.strip() and not line.startswith("#")]
    if len(lines) < 2:
        raise ValueError(f"`{file}` must hold rows of numbers, but holds none.")
    try:
        names = next(csv.reader([lines[0][1]]))
    except csv.Error as error:
        raise ValueError(f"`{file}` must be a CSV file, but: {error}.") from None
    return names, np.array([_numbers(file, at, line, len(names)) for at, line in lines[1:]])


def _numbers(file: Path, at: int, line: str, width: int) -> list[float]:
    try:
        numbers = [float(entry) for entry in line.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != width or not all(map(math.isfinite, numbers)):
        raise ValueError(
            f"`{file}` must have {width} numbers in each row, but line {at} is {line[:60]!r}."
        )
    return numbers


def _of_pairs(angles: NDArray[np.float64], counts: NDArray[np.float64], file: Path) -> BellTable:
    alice, bob = (_distinct(column.tolist()) for column in angles.T)
    table = _filled(angles, (alice, bob), counts, file)
    if len(alice) != 2 or len(bob) != 2:
        raise ValueError(f"`{file}` must have two angles of each party in four rows.")
    return BellTable(alice, bob, table, None)


def _of_outcomes(
    angles: NDArray[np.float64], numbers: NDArray[np.float64], file: Path
) -> BellTable:
    """Return the table of sixteen rows: each setting has an angle for each outcome."""
    found = [_with_outcomes(_distinct(column.tolist()), file) for column in angles.T]
    alice, bob = ([angle for pair in party for angle in pair] for party in found)
    filled = _filled(angles, (alice, bob), numbers, file)
    # Axes: Alice's setting and outcome, Bob's setting and outcome, kind of count.
    split = filled.reshape(2, 2, 2, 2, -1).transpose(0, 2, 1, 3, 4)
    return BellTable(
        tuple(pair[0] for pair in found[0]),
        tuple(pair[0] for pair in found[1]),
        split[..., 0],
        split[..., 1] if split.shape[-1] > 1 else None,
    )


def _distinct(angles: Iterable[float]) -> tuple[float, ...]:
    kept: list[float] = []
    for angle in sorted(angles):
        if not any(same_angle(angle, known) for known in kept):
            kept.append(angle)
    return tuple(kept)


def _with_outcomes(angles: Sequence[float], file: Path) -> list[tuple[float, float]]:
    """Return two settings, each the angles of its outcomes +1 and -1, half a turn apart."""
    pairs = [
        (first, second)
        for at, first in enumerate(angles)
        for second in angles[at + 1 :]
        if same_angle(first + math.pi, second)
    ]
    if len(angles) != 4 or len(pairs) != 2:
        raise ValueError(
            f"`{file}` must have four angles of each party, in two pairs of orthogonal ones, but "
            f"has {len(angles)} with {len(pairs)} such pairs."
        )
    return pairs


def _filled(
    angles: NDArray[np.float64],
    known: tuple[Sequence[float], Sequence[float]],
    numbers: NDArray[np.float64],
    file: Path,
) -> NDArray[np.float64]:
    """Return the numbers by the indices of both angles; each pair must occur once."""
    table = np.full((len(known[0]), len(known[1]), numbers.shape[1]), np.nan)
    for (a, b), row in zip(angles.tolist(), numbers, strict=True):
        cell = _index(known[0], a), _index(known[1], b)
        if not np.isnan(table[cell]).any():
            raise ValueError(f"`{file}` must have each pair of angles once, but has one twice.")
        table[cell] = row
    if np.isnan(table).any():
        raise ValueError(f"`{file}` must have each pair of angles once, but lacks one.")
    return table


def _index(known: Sequence[float], angle: float) -> int:
    return next(at for at, other in enumerate(known) if same_angle(angle, other))
