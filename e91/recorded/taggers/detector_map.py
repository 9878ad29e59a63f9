"""Which detector, and which party's, each of a tagger's channels is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from e91.model.messages import Party
from e91.recorded.taggers.raw_tags import HIGHEST_CHANNEL, LOWEST_CHANNEL, Channels

PARTY = 256
"""What the second party's detectors are counted from."""

_MOST_DETECTORS = PARTY
_NOBODY = -1
_SIZE = 2**16

DetectorChannels = Sequence[int | None]
"""Channels by detector: outcomes 0 and 1 of setting 0, of setting 1, ...; None for no detector."""


def parse_channels(text: str, name: str) -> tuple[int | None, ...]:
    """Return channels from their words.

    Args:
        text: Numbers with commas between; ``x`` for no detector.
        name: Of the option, for the sentence.

    Returns:
        The channels in the order of the text; None for ``x``.

    Raises:
        ValueError: One is no number.

    Examples:
        >>> parse_channels("1,2,x,4", "alice-channels")
        (1, 2, None, 4)
    """
    words = [word.strip() for word in text.split(",")]
    try:
        return tuple(None if word == "x" else int(word) for word in words)
    except ValueError:
        raise ValueError(
            f"`{name}` must be numbers of channels with commas between, and x for no detector, but "
            f"is `{text[:60]}`."
        ) from None


@dataclass(frozen=True, eq=False)
class DetectorMap:
    """From channels to parties and detectors.

    Attributes:
        alice: Alice's channels, by detector.
        bob: Bob's; none for a file of Alice's alone, and the other way round.
        places: For each channel, 256 * party + 2 * setting + outcome, or -1; negative channels
            count from the end.

    Raises:
        ValueError: A channel is named twice or out of range, or a setting has one outcome only.
    """

    alice: tuple[int | None, ...]
    bob: tuple[int | None, ...]
    places: NDArray[np.int16] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        places = np.full(_SIZE, _NOBODY, np.int16)
        for number, (party, channels) in enumerate(self._sides()):
            _check_count(channels, party)
            for detector, channel in enumerate(channels):
                if channel is None:
                    continue
                if not LOWEST_CHANNEL <= channel <= HIGHEST_CHANNEL:
                    raise ValueError(
                        f"Channels of {party.value.title()} must lie in [{LOWEST_CHANNEL}, "
                        f"{HIGHEST_CHANNEL}], but one is {channel}."
                    )
                if places[channel] != _NOBODY:
                    raise ValueError(
                        f"Every channel must belong to one detector, but channel {channel} is "
                        "named twice."
                    )
                places[channel] = PARTY * number + detector
        object.__setattr__(self, "places", places)

    def _sides(self) -> tuple[tuple[Party, tuple[int | None, ...]], ...]:
        return ((Party.ALICE, self.alice), (Party.BOB, self.bob))

    def of(self, channels: Channels) -> NDArray[np.int16]:
        """Return 256 * party + detector for each tag, or -1; int16, shape (n,)."""
        found: NDArray[np.int16] = self.places[channels]
        return found

    def named(self) -> tuple[int, ...]:
        """Return all channels that are somebody's."""
        return tuple(c for _, side in self._sides() for c in side if c is not None)

    def check_all_click(self, tags: Mapping[int, int]) -> None:
        """Refuse a map that does not fit a file: off by one, it would be a wrong result.

        Args:
            tags: How many tags each channel has.

        Raises:
            ValueError: A channel of the map has none.
        """
        for party, channels in self._sides():
            for channel in channels:
                if channel is not None and not tags.get(channel):
                    found = ", ".join(f"{c} ({n:,})" for c, n in sorted(tags.items())[:40])
                    raise ValueError(
                        f"Channel {channel} of {party.value.title()} must have tags, but has none; "
                        f"the file's channels and their tags: {found or 'none'}."
                    )


def _check_count(channels: tuple[int | None, ...], party: Party) -> None:
    if len(channels) % 2 or len(channels) > _MOST_DETECTORS:
        raise ValueError(
            f"{party.value.title()} must have two channels for each setting, of outcomes 0 and 1, "
            f"at most {_MOST_DETECTORS} in all, but has {len(channels)}."
        )
