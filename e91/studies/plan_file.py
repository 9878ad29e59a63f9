"""A study's plan in a TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path

from e91.studies.plan import Study, plan_study
from e91.system.durable import read_file
from e91.system.refusals import refusals_named

_OWN = ("title", "repeats", "sweep")


def read_study(file: Path) -> Study:
    r"""Return the study of a TOML file; ``docs/studies.md`` has the format.

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
    try:
        content = tomllib.loads(read_file(file).decode())
    except UnicodeDecodeError:
        raise ValueError(f"`{file}` must be UTF-8 text, but is not.") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"`{file}` must be a TOML file, but: {error}.") from None
    own = {name: content.pop(name) for name in _OWN if name in content}
    sweep = own.get("sweep", [])
    if not isinstance(sweep, list) or not all(isinstance(axis, dict) for axis in sweep):
        raise ValueError(
            f"`sweep` in `{file}` must be tables that begin with [[sweep]], but is not."
        )
    with refusals_named(f"In `{file}`: "):
        return plan_study(content, **own)
