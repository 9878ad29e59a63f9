"""Cases of damaged files: each format, by each command that reads it.

Excluded by rule: what a damage makes valid and long.  Numbers of a file that says how much work is
done are changed by bytes only, and a case that uses up its processor time is looked at by itself.
"""

import os
import random
import shutil
import tomllib
from pathlib import Path

from tests.fuzzing.damage import damaged
from tests.fuzzing.forked_runs import Case
from tests.fuzzing.line_cases import copy

READERS: dict[str, list[str]] = tomllib.loads(
    Path(__file__).with_name("readers.toml").read_text(encoding="utf-8")
)
"""The commands that read a specimen; ``{}`` is its place."""

_FEW = {"study.toml"}
"""What starts processes, seconds each, is drawn a tenth as often."""


class FileCases:
    """Makes cases of damaged files.

    Args:
        seed: Of all cases.
        specimens: The folder of valid files.
    """

    def __init__(self, seed: int, specimens: Path) -> None:
        self._seed = seed
        self._specimens = specimens
        self._names = sorted(READERS)
        self._tops = sorted(path.name for path in specimens.iterdir() if path.name != "home")
        self._others = [path for path in sorted(specimens.rglob("*")) if path.is_file()]

    def case(self, number: int, folder: Path) -> Case:
        """Return the case of a number: a folder with what its command reads, one file damaged."""
        rng = random.Random(f"files {self._seed} {number}")
        name = rng.choice(self._names)
        if name in _FEW and rng.random() < 0.9:
            name = rng.choice(self._names)
        line = rng.choice(READERS[name])
        if line.startswith("network run") and rng.random() < 0.8:
            line = rng.choice(READERS[name])
        line = line.replace("{}", name).split()
        is_nobody = False
        for top in self._tops:
            if any(word.partition("/")[0] == top for word in line) or name.partition("/")[0] == top:
                copy(self._specimens / top, folder / top)
        if "network.toml" in line:
            copy(self._specimens / "load.csv", folder / "load.csv")
        if "kme" in line and "session" in line:
            copy(self._specimens / "kme", folder / "kme")
        target = self._target(name, folder)
        how = rng.random()
        if how < 0.9:
            target.write_bytes(damaged(rng, target.read_bytes(), name=name))
        else:
            is_nobody = self._put_otherwise(rng, target)
        stdin = target.read_bytes() if "-" in line and target.is_file() else b""
        return Case(
            f"files --seed {self._seed} --first {number} ({name})",
            tuple(line),
            folder,
            is_patient="serve" in line or "send" in line,
            is_nobody=is_nobody,
            stdin=stdin,
        )

    def _target(self, name: str, folder: Path) -> Path:
        """Return the file that is damaged, whole yet; what lies in the user's home is put there."""
        if not name.startswith("home/"):
            return folder / name
        home = folder.with_name(f"{folder.name}.home")
        shutil.copytree(self._specimens / "home", home, dirs_exist_ok=True)
        return home / name.removeprefix("home/")

    def _put_otherwise(self, rng: random.Random, target: Path) -> bool:
        """Put something else in the place of a file; return whether nobody may read it."""
        if rng.random() < 0.1:
            target.chmod(0)
            return True
        target.unlink()
        match rng.randrange(7):
            case 0:
                target.mkdir()
            case 1:
                os.mkfifo(target)
            case 2:
                target.write_bytes(b"")
            case 3:
                target.symlink_to(
                    rng.choice((target.name, "/dev/zero", "/nowhere", "/dev/null", "."))
                )
            case 4:
                pass  # it is gone
            case _:
                shutil.copy(rng.choice(self._others), target)
        return False
