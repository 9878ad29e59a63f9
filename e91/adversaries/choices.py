"""What users can choose of an attack beside its strength.

An option belongs to the entry of its attack; the command line, studies and Python take it from
there.
"""

from dataclasses import dataclass
from typing import TypeAlias

from e91.adversaries.conditions import Conditions
from e91.model.numbers import check_within


@dataclass(frozen=True)
class _Named:
    """What all options have.

    Attributes:
        name: What Python and studies call it.
        meaning: What it chooses, without a full stop.
    """

    name: str
    meaning: str

    @property
    def flag(self) -> str:
        """What a command line calls it."""
        return self.name


@dataclass(frozen=True)
class Word(_Named):
    """A choice between words, by default the one of that name."""

    words: tuple[str, ...]
    default: str

    @property
    def text(self) -> str:
        """Meaning, words and default, for lists."""
        return f"{self.meaning}: {', '.join(self.words)} ({self.default} by default)"

    def chosen(self, conditions: Conditions) -> str:
        """Return the word that the conditions choose, or raise `ValueError`."""
        value = conditions.options.get(self.name, self.default)
        if not isinstance(value, str) or value not in self.words:
            known = ", ".join(self.words)
            raise ValueError(f"`{self.name}` must be one of {known}, but is {value}.")
        return value


@dataclass(frozen=True)
class Share(_Named):
    """A share of something from 0, the default, to ``high``."""

    high: float = 1.0

    @property
    def text(self) -> str:
        """Meaning, range and default, for lists."""
        return f"{self.meaning} (0 to {self.high:g}, 0 by default)"

    def chosen(self, conditions: Conditions) -> float:
        """Return the share that the conditions choose, or raise `ValueError`."""
        value = conditions.options.get(self.name, 0.0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"`{self.name}` must be a number, but is {value!r}.")
        check_within(0, self.high, **{self.name: value})
        return float(value)


@dataclass(frozen=True)
class Switch(_Named):
    """Something that is so unless it is turned off; ``text`` says what that means, for lists."""

    text: str

    @property
    def flag(self) -> str:
        """What a command line says to turn it off."""
        return f"un{self.name}"

    def chosen(self, conditions: Conditions) -> bool:
        """Return whether the conditions leave it on, or raise `ValueError`."""
        value = conditions.options.get(self.name, True)
        if not isinstance(value, bool):
            raise ValueError(f"`{self.name}` must be true or false, but is {value!r}.")
        return value


Option: TypeAlias = Word | Share | Switch
