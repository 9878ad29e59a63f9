"""Raw records of blocks on disk: every round's settings and outcomes, one byte each."""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from e91.model.bits import Bits
from e91.model.records import DetectionRecord, PartyRecord


def save_block(folder: Path, number: int, *, codes: Bits, shape: tuple[int, ...]) -> Path:
    """Write the rounds of a block to ``folder / block-000042.npz``, whole or not at all.

    A raw record holds the key bits of both parties: keep it as you would keep the key.

    Args:
        folder: An existing folder.
        number: Number of the block.
        codes: The rounds, as `e91.devices.rounds` codes them; uint8, shape (n,).
        shape: (nx, ny, k, k), which the codes are numbered by.

    Returns:
        Where it was written.

    Raises:
        OSError: It cannot be written; nothing is left then.
    """
    target = folder / f"block-{number:06d}.npz"
    handle, name = tempfile.mkstemp(dir=folder, prefix=".block-", suffix=".npz")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, codes=codes, shape=np.array(shape, np.int64))
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return target


def load_block(file: Path) -> DetectionRecord:
    """Return the record of a block that `save_block` wrote.

    Raises:
        ValueError: The file is no such record.
        OSError: It cannot be read.

    Examples:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     codes = np.array([0, 5], np.uint8)
        ...     file = save_block(Path(folder), 0, codes=codes, shape=(1, 2, 2, 2))
        ...     record = load_block(file)
        >>> record.bob.setting.tolist(), record.bob.outcome.tolist()
        ([0, 1], [0, 1])
    """
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as stored:
            codes, shape = stored["codes"], tuple(stored["shape"].tolist())
        x, y, a, b = np.unravel_index(codes, shape)
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"A record must be one that a run kept, but `{file}` is not.") from error
    return DetectionRecord(PartyRecord(x, a), PartyRecord(y, b))
