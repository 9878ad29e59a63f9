"""Numbers of bytes as people write them: 268435456, 256MiB or 100MB."""

import re
from typing import Any

import click

_UNITS = {"": 1, "B": 1}
_UNITS |= {f"{prefix}iB": 2 ** (10 * i) for i, prefix in enumerate("KMGT", 1)}
_UNITS |= {f"{prefix}B": 10 ** (3 * i) for i, prefix in enumerate("kMGT", 1)}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?) ?([A-Za-z]*)", re.ASCII)


class ByteSize(click.ParamType):  # type: ignore[type-arg]  # click 8.1 has no ParamType[int]
    """A positive number of bytes, with a unit or without."""

    name = "a number of bytes, such as 1000000 or 256MiB"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of bytes.

        Raises:
            click.BadParameter: It is none, or not positive.

        Examples:
            >>> [ByteSize().convert(text, None, None) for text in ("256MiB", "1.5 kB", "7")]
            [268435456, 1500, 7]
        """
        if isinstance(value, int):
            return value
        found = _SIZE.fullmatch(value)
        size = float(found[1]) * _UNITS.get(found[2], 0) if found else 0.0
        if size < 1 or size != int(size):
            self.fail(f"{value!r} is not {self.name}.", param, ctx)
        return int(size)


BYTES = ByteSize()
"""The type of every option that is a number of bytes."""
