"""What a user reads of a wrong command line: one sentence that names the option that was typed.

The library's refusals name arguments (`visibility`), click's have a voice of their own.  Both are
put into words here, for all commands: each line names its command, and a command its options.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import click

from e91.cli.options import Count

_LONGEST_SHOWN = 60  # characters of a wrong value that a sentence repeats
_WRONG_VALUE = re.compile(r"(['\"])(.*)\1 is not ", re.DOTALL)
_ONE_OF = re.compile(r" one of ([^;`]+), but is [`'\"]([^`'\"]+)[`'\"]\.?$")
_ARGUMENT = re.compile(r"`([a-z_]+)`(?! in )")  # not a key in a file
_UNIT = re.compile("_p?s$")
_FOUND = re.compile(r",? but |; ")
_EXTRA = re.compile(r"unexpected extra arguments? \((.*)\)", re.DOTALL)
_DEMANDS = {
    "count": f"a whole number of at most {Count.most_digits} digits, such as 2500000 or 2.5e6",
    "integer": "a whole number",
    "float": "a number",
}


def asked(group: click.Group, line: Sequence[str]) -> tuple[click.Command, list[str]]:
    """Return the command that a line asks for, and the line's words from its name on.

    Examples:
        >>> from e91.cli import commands
        >>> command, words = asked(commands, ["attack", "run", "local", "--rounds", "5"])
        >>> command.name, words
        ('run', ['attack', 'run'])
    """
    command: click.Command = group
    names: list[str] = []
    for word in line:
        if not isinstance(command, click.Group):
            break
        found = command.get_command(click.Context(command), word)
        if found is None:
            break
        command = found
        names.append(word)
    return command, names


def wants_json(group: click.Group, line: Sequence[str]) -> bool:
    """Return whether a line asks for JSON: then standard output is for that alone."""
    command, _ = asked(group, line)
    words = line[: line.index("--")] if "--" in line else line
    unknown = isinstance(command, click.Group)  # no command of that name: the wish counts
    return "--json" in words and (unknown or "--json" in _flags(command))


def sentence_of(error: Exception, group: click.Group, line: Sequence[str]) -> str:
    """Return what the user of a refused line reads.

    Args:
        error: A refusal of the library, or an exception of click's.
        group: All commands.
        line: The words of the line.
    """
    command, names = asked(group, line)
    path = " ".join(["e91", *names])
    if isinstance(error, click.ClickException):
        return _of_click(error, command, path, line[len(names) :])
    return _with_hint(_with_options(str(error), command, line))


def _of_click(
    error: click.ClickException, command: click.Command, path: str, rest: Sequence[str]
) -> str:
    """Return in our voice what click found wrong with a line."""
    match error:
        case click.NoSuchOption(option_name=name):
            hint = _hint(name, _flags(command), otherwise=f"; see `{path} --help`.")
            return f"`{path}` must be given its own options, but `{_cut(name)}` is none{hint}"
        case click.MissingParameter(param=click.Parameter() as missing):
            return f"`{path}` must be given {_shown(missing)}, but is not."
        case click.BadParameter(param=click.Parameter() as wrong):
            return _of_value(error.message, wrong)
        case click.BadOptionUsage(option_name=name) if "requires" in error.message:
            return f"`{name}` must be followed by a value, but is not."
    if isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        known = command.list_commands(click.Context(command))
        hint = _hint(rest[0], known, otherwise=f"; see `{path} --help`.")
        return f"`{path}` must be given one of its commands, but `{_cut(rest[0])}` is none{hint}"
    if extra := _EXTRA.search(error.message):
        return f"`{path}` must be given no more arguments, but there is `{_cut(extra[1])}`."
    return error.format_message()


def _of_value(message: str, wrong: click.Parameter) -> str:
    """Return what is wrong with an option's value."""
    found = _WRONG_VALUE.match(message)
    if found is None:
        return f"{_shown(wrong)}: {message}"
    value = _cut(found[2])
    kind: Any = wrong.type
    if isinstance(kind, click.Choice):
        return _with_hint(
            f"{_shown(wrong)} must be one of {', '.join(kind.choices)}, but is `{value}`."
        )
    demand = _DEMANDS.get(kind.name, kind.name)
    return f"{_shown(wrong)} must be {demand}, but is `{value}`."


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _shown(parameter: click.Parameter) -> str:
    """Return an option or an argument as people type it."""
    if isinstance(parameter, click.Option):
        return f"`{max(parameter.opts, key=len)}`"
    return parameter.human_readable_name.strip("[].")


def _with_options(sentence: str, command: click.Command, line: Sequence[str]) -> str:
    """Return a refusal with the options in place of the arguments that they become.

    What was found stays as it is, and so does a word of the line, e.g. a file of that name; a
    sentence about a key of a file begins with the file.  Times may have another unit, so `window_s`
    is ``--window-ps``; the sentence says which unit its numbers have.
    """
    if sentence.startswith("In `"):
        return sentence
    options = {}
    for option in command.params:
        if isinstance(option, click.Option):
            flag = max(option.opts, key=len)
            for name in (option.name or "", flag.lstrip("-").replace("-", "_")):
                options[_UNIT.sub("", name)] = flag
    values = {part for word in line for part in (word, word.partition("=")[2])}

    def typed(name: re.Match[str]) -> str:
        """Return the option that an argument comes from, in the argument's place."""
        option = options.get(_UNIT.sub("", name[1]))
        return name[0] if option is None or name[1] in values else f"`{option}`"

    found = _FOUND.search(sentence)
    end = len(sentence) if found is None else found.start()
    return _ARGUMENT.sub(typed, sentence[:end]) + sentence[end:]


def _with_hint(sentence: str) -> str:
    """Return a sentence that lists what must be with the word that was probably meant."""
    listed = _ONE_OF.search(sentence)
    if listed is None:
        return sentence
    known = [word for word in re.split(r", | or ", listed[1]) if word]
    return sentence.rstrip(".") + _hint(listed[2], known)


def _hint(word: str, known: Iterable[str], *, otherwise: str = ".") -> str:
    from e91.system.documents import did_you_mean

    hint = did_you_mean(word, known)
    return otherwise if hint == "." else hint


def _flags(command: click.Command) -> list[str]:
    """Return the options of a command that its help shows."""
    options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
    return ["--help", *(flag for one in options for flag in (*one.opts, *one.secondary_opts))]
