"""What ``e91 run --watch V --on-alarm COMMAND`` runs when the alarm rings."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import click

PREFIX = "E91_ALARM_"
_PATIENCE_S = 10.0


@dataclass(eq=False)
class AlarmCommand:
    """A command that is started once, when the alarm rings; what it does changes nothing here.

    It knows whether it was started: the one thing about it that changes.

    Attributes:
        words: The command and its arguments, which no shell sees.
    """

    words: tuple[str, ...]
    _started: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @classmethod
    def parsed(cls, text: str) -> "AlarmCommand":
        """Return the command that the text says, cut into words as a shell cuts them.

        Raises:
            ValueError: It has no words or open quotes, or there is no such command.

        Examples:
            >>> AlarmCommand.parsed("echo 'it rang'").words
            ('echo', 'it rang')
        """
        try:
            words = shlex.split(text)
        except ValueError as error:
            what = str(error).lower().rstrip(".")
            raise ValueError(f"`--on-alarm` must be a command, but: {what}.") from None
        if not words or shutil.which(words[0]) is None:
            found = f"`{words[0]}` is none" if words else "is empty"
            raise ValueError(f"`--on-alarm` must be a command of this machine, but {found}.")
        return cls(tuple(words))

    def start(self, alarm: Any) -> None:
        """Start the command, with what rang in its environment; its output is an error's."""
        values = {**alarm.to_dict(), "text": str(alarm)}
        environment = {
            f"{PREFIX}{name.upper()}": "" if value is None else str(value)
            for name, value in values.items()
        }
        try:
            self._started = subprocess.Popen(
                self.words, env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=2
            )
        except OSError as error:
            click.echo(f"e91: `--on-alarm` could not be run: {error.strerror}.", err=True)

    @contextmanager
    def waited_for(self) -> Iterator[None]:
        """Wait at the end of the block until the command has ended, if it was started.

        It does not wait for ever: after ten seconds the command goes on by itself.
        """
        try:
            yield
        finally:
            self.wait(_PATIENCE_S)

    def wait(self, seconds: float) -> None:
        """Wait for the command, if it was started, and say how it ended if not well."""
        if self._started is None:
            return
        try:
            status = self._started.wait(seconds)
            said = f"ended with status {status}" if status else ""
        except subprocess.TimeoutExpired:
            said = "goes on by itself"
        if said:
            click.echo(f"e91: `--on-alarm` {said}.", err=True)
