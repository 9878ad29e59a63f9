"""What a device is, and the one value by which it says what it is.

A device is the black box of Bell's theorem: any function from both parties' settings to both
parties' outcomes.  One that also has an `info` says more than its name in reports.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Protocol, Self, TypeAlias, runtime_checkable

from numpy.typing import ArrayLike

from e91.model.bits import Bits, frozen_array
from e91.model.settings import EKERT, Settings

Device: TypeAlias = Callable[[Bits, Bits], tuple[Bits, Bits]]
"""Settings (x, y) of every round in, outcomes (a, b) of every round out; uint8, shape (n,) each.

An outcome is 0 (eigenvalue +1), 1 (eigenvalue -1) or `e91.model.bits.NO_CLICK`.
"""

Progress: TypeAlias = Callable[[int], object]
"""Is called with the number of rounds that were measured since the last call."""


def no_progress(rounds: int) -> None:
    """Ignore how many rounds were measured.

    Args:
        rounds: Rounds since the last call.
    """


@dataclass(frozen=True)
class Pace:
    """How fast a source, its links and its detectors make rounds.

    Attributes:
        rounds_per_second: Rounds: coincidences, pulses, slots or heralds, whatever counts as one.
        coincidences_per_second: Those in which both parties see a photon, in expectation.

    Examples:
        >>> Pace(2.0, 2.0).seconds_for(6200)
        3100.0
    """

    rounds_per_second: float
    coincidences_per_second: float

    def seconds_for(self, rounds: int) -> float:
        """Return how long the light takes to make this number of rounds."""
        return rounds / self.rounds_per_second


@dataclass(frozen=True)
class DeviceInfo:
    """What a device is: all that a session and its report want to know of it.

    Attributes:
        settings: The angles that its setting indices mean, or None if any will do.
        description: One sentence for the report.
        assumption: What the report adds to the assumptions of the theorem; empty for nothing.
        recorded: Whether the rounds were measured before, elsewhere.
        reproducible: Whether the physical randomness was seeded, so that it can be had again.
        uncovered: Whether ``assumption`` is one that no theorem covers: a key carries no epsilon.
        pace: How fast it would make rounds in a laboratory, or None if it does not say.

    Examples:
        >>> info = DeviceInfo(settings=None, description="Two analysers in the next room.")
        >>> info.reproducible, info.recorded
        (False, False)
    """

    settings: Settings | None
    description: str
    assumption: str = ""
    recorded: bool = False
    reproducible: bool = False
    uncovered: bool = False
    pace: Pace | None = None


@runtime_checkable
class HasInfo(Protocol):
    """Anything that says what it is."""

    @property
    def info(self) -> DeviceInfo:
        """What it is."""


def checked_choices(x: ArrayLike, y: ArrayLike, *, settings: Settings) -> tuple[Bits, Bits]:
    """Return both parties' choices as uint8 arrays of one shape (n,), n = 0 included.

    Raises:
        ValueError: A choice is no index of ``settings``, or the lengths differ.

    Examples:
        >>> checked_choices([0, 2], [1, 1], settings=EKERT)
        (array([0, 2], dtype=uint8), array([1, 1], dtype=uint8))
    """
    alice = frozen_array(x, top=len(settings.alice_angles) - 1, name="x")
    bob = frozen_array(y, top=len(settings.bob_angles) - 1, name="y")
    if len(alice) != len(bob):
        raise ValueError(f"`y` must have the length of `x`, {len(alice)}, but has {len(bob)}.")
    return alice, bob


@dataclass(frozen=True, eq=False)
class Apparatus:
    """The part that devices share: `info`, what users read of it most, and progress.

    Attributes:
        info: What the device is.
        progress: Is called after each step of a long measurement; it changes no outcome.
    """

    info: DeviceInfo
    progress: Progress = field(default=no_progress, repr=False, kw_only=True)

    @property
    def settings(self) -> Settings:
        """The angles that the indices x and y mean."""
        return self.info.settings or EKERT

    @property
    def description(self) -> str:
        """One sentence for the report."""
        return self.info.description

    def announcing(self, progress: Progress) -> Self:
        """Return the same device, its randomness included, that announces its progress.

        Args:
            progress: Is called with the number of rounds of every step, e.g. a bar's ``update``.
        """
        return replace(self, progress=progress)


def info_of(device: object) -> DeviceInfo:
    """Return what a device says of itself; of a plain function, its name and no settings.

    Examples:
        >>> def always_zero(x, y):
        ...     return 0 * x, 0 * y
        >>> info_of(always_zero)
        DeviceInfo(settings=None, description='always_zero', assumption='', recorded=False, \
reproducible=False, uncovered=False, pace=None)
        >>> always_zero.info = DeviceInfo(EKERT, "Zeros.", assumption="Nobody looks.")
        >>> info_of(always_zero).assumption
        'Nobody looks.'
    """
    if isinstance(device, HasInfo) and isinstance(device.info, DeviceInfo):
        return device.info
    if isinstance(device, FunctionType | MethodType | BuiltinFunctionType):
        return DeviceInfo(None, device.__name__)
    return DeviceInfo(None, type(device).__name__)
