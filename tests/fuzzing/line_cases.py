"""Cases of random command lines, in a folder with the files that they name."""

import os
import shutil
from pathlib import Path

from tests.fuzzing.command_lines import LineMaker
from tests.fuzzing.forked_runs import Case


class LineCases:
    """Makes cases of random lines.

    Args:
        seed: Of all lines.
        specimens: The folder of valid files.
    """

    def __init__(self, seed: int, specimens: Path) -> None:
        self._maker = LineMaker(seed)
        self._seed = seed
        self._specimens = specimens
        self._names = sorted(path.name for path in specimens.iterdir())

    def case(self, number: int, folder: Path) -> Case:
        """Return the case of a number, and copy the files that it names into ``folder``."""
        line = self._maker.line(number)
        for name in self._names:
            if any(name in word for word in line.words):
                copy(self._specimens / name, folder / name)
        if "network.toml" in line.words:
            copy(self._specimens / "load.csv", folder / "load.csv")
        if "fifo" in line.words:
            os.mkfifo(folder / "fifo")
        return Case(
            f"lines --seed {self._seed} --first {number}",
            line.words,
            folder,
            is_patient=line.is_patient,
            stdin=b"hello\n",
        )


def copy(source: Path, target: Path) -> None:
    """Copy a file or a folder."""
    if target.exists():
        return
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)
