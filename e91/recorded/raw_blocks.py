"""Raw records of blocks on disk: files of detections, as `e91.recorded` documents them."""

from pathlib import Path

import numpy as np

from e91.model.bits import Bits
from e91.model.records import DetectionRecord, PartyRecord
from e91.recorded.record_files import save_detections

PARQUET = ".parquet"


def save_block(folder: Path, number: int, *, codes: Bits, shape: tuple[int, ...]) -> Path:
    """Write the rounds of a block to ``folder / block-000042.npz``, whole or not at all.

    In a folder whose name ends in ``.parquet`` the blocks are Parquet, so that the folder is what
    other programs call a Parquet data set; else they are `.npz`.

    A raw record holds the key bits of both parties: keep it as you would keep the key.

    Args:
        folder: An existing folder.
        number: Number of the block.
        codes: The rounds, as `e91.devices.rounds.round_sampler` codes them; uint8, shape (n,).
        shape: (nx, ny, k, k), which the codes are numbered by.

    Returns:
        Where it was written.

    Raises:
        ValueError: The file exists, or pyarrow is wanted and not installed.
        OSError: It cannot be written; nothing is left then.

    Examples:
        >>> import tempfile
        >>> from e91.recorded import load_detections
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     codes = np.array([0, 5], np.uint8)
        ...     file = save_block(Path(folder), 0, codes=codes, shape=(1, 2, 2, 2))
        ...     record = load_detections(file).record
        >>> record.bob.setting.tolist(), record.bob.outcome.tolist()
        ([0, 1], [0, 1])
    """
    ending = PARQUET if folder.suffix == PARQUET else ".npz"
    target = folder / f"block-{number:06d}{ending}"
    # One look-up a round and column: the codes are few.
    meaning = np.array(np.unravel_index(np.arange(np.prod(shape)), shape), np.uint8)
    x, y, a, b = (column[codes] for column in meaning)
    record = DetectionRecord(PartyRecord(x, a), PartyRecord(y, b))
    save_detections(target, record, metadata={"block": number})
    return target
