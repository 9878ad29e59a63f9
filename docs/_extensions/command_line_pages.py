"""A page of the command line's reference for each command, from what its ``--help`` knows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
from sphinx.application import Sphinx
from written import write_pages

from e91.cli import commands

FOLDER = Path(__file__).parents[1] / "reference" / "command_line"


def page(command: click.Command, path: str, *, level: int = 1) -> str:
    """Return the Markdown of a command and of the commands inside it."""
    context = click.Context(command, info_name=path)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    parts = [
        f"{'#' * level} {path}",
        _described(command),
        f"```text\n{usage}\n```",
        *_options(command, context),
    ]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None and not inner.hidden:
                parts.append(page(inner, f"{path} {name}", level=level + 1))
    return "\n\n".join(part for part in parts if part) + "\n"


def _described(command: click.Command) -> str:
    """Return the help of a command; what click must not wrap (its mark is a backspace) is code."""
    paragraphs = (command.help or "").replace("\r", "").split("\n\n")
    return "\n\n".join(
        f"```text\n{part.replace(chr(8), '').strip(chr(10))}\n```"
        if part.strip().startswith("\b")
        else _text(part)
        for part in paragraphs
    )


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    records = [
        record
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option)
        if (record := parameter.get_help_record(context))
    ]
    for name, text in records:
        yield f"`{name}`\n: {_one_line(_text(text)) or 'No help.'}"


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def _text(text: str) -> str:
    """Return prose in which options are code, and nothing is taken for Markdown."""
    text = re.sub(r"([*_<>\[\]])", r"\\\1", text.strip())
    return re.sub(r"(?<![\w`-])(--[a-z][a-z-]*)", r"`\1`", text)


def write(_app: Sphinx) -> None:
    """Write the pages of all commands and the page that lists them."""
    context = click.Context(commands, info_name="e91")
    pages = {}
    for name in commands.list_commands(context):
        command = commands.get_command(context, name)
        assert command is not None
        pages[f"{name}.md"] = page(command, f"e91 {name}")
    listed = "\n".join(name.removesuffix(".md") for name in pages)
    pages["index.md"] = INDEX.format(commands=listed)
    write_pages(FOLDER, pages)


INDEX = """\
# Command line

Every command takes `--help` and `--json`: one JSON object on standard output and nothing else
there. A command that runs longer than two seconds on a terminal shows its progress on standard
error. `e91 explain TERM` explains a word of a report or a field of the JSON output.

| exit status | means |
|---|---|
| 0 | A key was made, or the command did its work. |
| 3 | The protocol aborted. The reason is on standard error; no key and no ciphertext is written. |
| 2 | The command line or an input file is wrong. One sentence says what must be and what is. |
| 1 | Anything else: a bug, with its traceback. |

```{{toctree}}
:maxdepth: 2

{commands}
```
"""


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages before Sphinx looks for them."""
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
