"""Options that several commands share, and the values that groups of them become.

A command that names thirty options one by one cannot be read; `as_one` lets it take a few values.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import wraps
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from e91.model.settings import NAMED_SETTINGS, Settings
from e91.model.trust import SecurityModel

Decorator = Callable[[Callable[..., None]], Callable[..., None]]

PROBABILITY = "probability, 0 to 1"


class Count(click.ParamType):  # type: ignore[type-arg]  # click 8.1 has no ParamType[int]
    """A whole number as people write large ones: 1000000, 1_000_000, 1e6 or 2.5e6."""

    name = "count"
    most_digits = 18  # beyond any count of rounds; `1e999999999` must not fill the memory

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number.

        Raises:
            click.BadParameter: It is no whole number, or has too many digits.

        Examples:
            >>> Count().convert("1e6", None, None), Count().convert("2_500", None, None)
            (1000000, 2500)
        """
        try:
            number = Decimal(value)
        except InvalidOperation:
            number = Decimal("NaN")
        fits = number.is_finite() and number.adjusted() < self.most_digits
        if not fits or number != number.to_integral_value():
            self.fail(f"{value!r} is not a count.", param, ctx)
        return int(number)


COUNT = Count()
"""The type of every option that counts something."""


def _not_negative(_: click.Context, option: click.Parameter, value: int | None) -> int | None:
    if value is not None and value < 0:
        raise ValueError(f"`{option.opts[0]}` must not be negative, but is {value}.")
    return value


def seed_option(help_text: str) -> Decorator:
    """Return the option ``--seed``, a number from 0 or None."""
    return click.option("--seed", type=int, callback=_not_negative, help=help_text)


class _NamedOrFile(click.Choice):  # type: ignore[type-arg]  # as above
    """The name of settings, or a file of one's own."""

    def convert(self, value: Any, option: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Take any file that ends in .toml; it is read when the settings are wanted."""
        is_file = str(value).endswith(".toml")
        return value if is_file else super().convert(value, option, ctx)


def settings_named(name: str) -> Settings:
    """Return the settings of that name, or those of the file, if it ends in ``.toml``.

    Raises:
        ValueError: The file cannot be read, or is no settings.
    """
    if not name.endswith(".toml"):
        return NAMED_SETTINGS[name]
    from e91.session.settings_files import read_settings

    return read_settings(Path(name))


def settings_option(*, default: str | None, help_text: str) -> Decorator:
    """Return the option ``--settings``, which reaches a command as ``settings_name``."""
    return click.option(
        "--settings", "settings_name", type=_NamedOrFile((*sorted(NAMED_SETTINGS), "FILE.toml")),
        default=default, show_default=default is not None, help=help_text,
    )  # fmt: skip


def security_option(help_text: str = "What is assumed of the equipment.") -> Decorator:
    """Return the option ``--security``."""
    return click.option(
        "--security", type=click.Choice([model.value for model in SecurityModel]),
        default=SecurityModel.TRUSTED_ANALYSERS.value, show_default=True, help=help_text,
    )  # fmt: skip


JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
EPSILON = click.option("--epsilon", type=float, default=1e-10, show_default=True,
                       help="Failure probability of the session.")  # fmt: skip
ASYMPTOTIC = click.option("--asymptotic", is_flag=True,
                          help="Let the theorem be an asymptotic formula: its keys have no "
                          "epsilon.")  # fmt: skip
REVEAL = click.option("--reveal", "revealed_fraction", type=float, default=0.1, show_default=True,
                      help="Fraction of the key revealed to estimate the QBER.")  # fmt: skip
ALICE_PROBABILITIES = click.option(
    "--alice-probabilities", metavar="P,P,...",
    help="Probability of each of Alice's settings; uniform by default.")  # fmt: skip
BOB_PROBABILITIES = click.option(
    "--bob-probabilities", metavar="P,P,...",
    help="Probability of each of Bob's settings; uniform by default.")  # fmt: skip


def as_one(name: str, make: Callable[..., Any], *options: Decorator) -> Decorator:
    """Return a decorator that adds options to a command, which gets one value made of them.

    Args:
        name: The argument of the command that gets the value.
        make: Makes it from the values of the options, given by name; a record or `dict`.
        options: Decorators that `click.option` returns, in the order of the help.

    Examples:
        >>> @click.command()
        ... @as_one("size", dict, click.option("--width", type=int), click.option("--height"))
        ... def draw(size):
        ...     print(size)
        >>> draw.main(["--width", "3"], standalone_mode=False)
        {'width': 3, 'height': None}
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        """Add the options to a command."""

        @wraps(command)
        def with_one(**given: Any) -> None:
            """Call the command with one value in the options' place."""
            value = make(**{key: given.pop(key) for key in names})
            command(**given, **{name: value})

        wrapped: Callable[..., None] = with_one
        for option in reversed(options):
            wrapped = option(wrapped)
        return wrapped

    names = _names(options)
    return decorate


def _names(options: tuple[Decorator, ...]) -> list[str]:
    """Return the arguments under which click passes the values of options."""
    carrier: Any = click.Command(None)
    for option in options:
        option(carrier)
    return [parameter.name for parameter in carrier.params]


def refuse_given(names: Iterable[str], sentence: str) -> None:
    """Refuse options that stand on the command line, whatever their values.

    Args:
        names: Their arguments.
        sentence: What must be and what is, after the name of the option.

    Raises:
        ValueError: One of them was given.
    """
    for option in _given(names):
        raise ValueError(f"`{option.opts[0]}` {sentence}")


def are_given(names: Iterable[str]) -> bool:
    """Return whether one of these options stands on the command line, whatever its value.

    Args:
        names: Their arguments.
    """
    return bool(_given(names))


def _given(names: Iterable[str]) -> list[click.Parameter]:
    context, wanted = click.get_current_context(), set(names)
    return [
        option
        for option in context.command.params
        if option.name in wanted
        and context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
    ]


@dataclass(frozen=True)
class Angles:
    """Which settings a session has.

    Attributes:
        settings_name: A name, or a TOML file, or None for the command's own choice.
        alice_probabilities: Numbers with commas between, or None.
        bob_probabilities: The same.
    """

    settings_name: str | None
    alice_probabilities: str | None
    bob_probabilities: str | None

    def settings(self, default: str = "ekert") -> Settings:
        """Return the settings.

        Raises:
            ValueError: The probabilities are no numbers, or no probabilities of these settings.

        Examples:
            >>> Angles("bbm92", "0.9,0.1", None).settings().alice_probabilities
            (0.9, 0.1)
        """
        chosen = settings_named(self.settings_name or default)
        return chosen.biased(
            _numbers("--alice-probabilities", self.alice_probabilities)
            or chosen.alice_probabilities,
            _numbers("--bob-probabilities", self.bob_probabilities) or chosen.bob_probabilities,
        )


def _numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    try:
        return None if text is None else tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(
            f"`{option}` must be numbers with commas between, but is `{text}`."
        ) from None
