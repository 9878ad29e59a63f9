"""WAV files, read and written sample by sample exactly.

The standard library's `wave` reads neither floats nor the extensible header that more than two
channels ask for, and takes a file that was cut for a whole one.

Source:
    Multimedia Programming Interface and Data Specifications 1.0 (IBM, Microsoft 1991), chapter 3;
    Multiple Channel Audio Data and WAVE Files (Microsoft 2007) for the extensible header.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from e91.system.durable import PRIVATE, new_file, read_file

_FORMAT = struct.Struct("<HHIIHH")  # tag, channels, rate, bytes a second, bytes a frame, bits
_CHUNK = struct.Struct("<4sI")  # name, size
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_SUBFORMAT_END = bytes.fromhex("000000001000800000aa00389b71")
_OF_UNKNOWN_SIZE = 0xFFFFFFFF  # what programs write that cannot go back, as into a pipe
_KNOWN_TAGS = {2: "ADPCM", 6: "A-law", 7: "u-law", 0x11: "IMA ADPCM", 0x55: "MP3"}


@dataclass(frozen=True, eq=False, repr=False)
class Sound:
    """Sound as samples of 16 or 24 bits.

    Attributes:
        rate: Frames a second; a frame is one sample of every channel.
        channels: How many.
        bits: Of a sample: 16 or 24.
        pcm: The samples, signed, little-endian, frame by frame.

    Raises:
        ValueError: A number is impossible, or ``pcm`` ends inside a frame.

    Examples:
        >>> Sound(8000, 1, 16, bytes(16_000))
        Sound(1 s, 1 channel, 8,000 Hz, 16 bits)
    """

    rate: int
    channels: int
    bits: int
    pcm: bytes

    def __post_init__(self) -> None:
        if self.bits not in (16, 24):
            raise ValueError(f"`bits` must be 16 or 24, but is {self.bits}.")
        if not (0 < self.rate < 2**32 and 0 < self.channels < 2**16):
            raise ValueError(
                "`rate` and `channels` must be positive, but they are "
                f"{self.rate} and {self.channels}."
            )
        if len(self.pcm) % self.frame_bytes:
            raise ValueError(
                f"`pcm` must hold whole frames of {self.frame_bytes} bytes, but ends inside one."
            )

    def __repr__(self) -> str:
        channels = f"{self.channels} channel{'s' * (self.channels > 1)}"
        return f"Sound({self.seconds:g} s, {channels}, {self.rate:,} Hz, {self.bits} bits)"

    def __len__(self) -> int:
        return len(self.pcm) // self.frame_bytes

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame."""
        return self.channels * self.bits // 8

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self) / self.rate

    def samples(self) -> NDArray[np.int32]:
        """Return the samples; int32, shape (frames, channels), of full scale 2**(bits - 1).

        ``IPython.display.Audio(sound.samples().T, rate=sound.rate)`` plays them.
        """
        width = self.bits // 8
        parts = np.frombuffer(self.pcm, np.uint8).reshape(-1, width)
        wide = np.zeros((len(parts), 4), np.uint8)
        wide[:, 4 - width :] = parts
        return (wide.view("<i4")[:, 0] >> (32 - self.bits)).reshape(-1, self.channels)


@dataclass(frozen=True, eq=False)
class ReadSound:
    """What was read from a WAV file.

    Attributes:
        sound: Its samples.
        note: What is not as in the file, in a sentence; empty if every sample is.

    Examples:
        >>> ReadSound(Sound(8000, 1, 16, bytes(16_000))).note
        ''
    """

    sound: Sound
    note: str = ""


@dataclass(frozen=True)
class WavFormat:
    """What a WAV file says of its samples.

    Attributes:
        tag: 1 for whole numbers, 3 for floats.
        channels: How many.
        rate: Frames a second.
        bits: Of a sample.
    """

    tag: int
    channels: int
    rate: int
    bits: int


def read_wav(path: Path | str) -> ReadSound:
    """Return the sound of a WAV file, for a call.

    Samples of 8, 16 and 24 bits stay as they are (8 bits become 16); 32-bit whole numbers and
    floats are rounded to 24 bits, and ``note`` says so.

    Args:
        path: The file.

    Returns:
        The sound, of 16 or 24 bits, and what was rounded.

    Raises:
        ValueError: It cannot be read, is no WAV file, is cut, holds no sound, or holds what no
            call carries; the sentence says which.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_wav(Path(folder, "second.wav"), Sound(8000, 1, 16, bytes(16_000)))
        ...     read_wav(Path(folder, "second.wav")).sound
        Sound(1 s, 1 channel, 8,000 Hz, 16 bits)
    """
    content, name = read_file(Path(path)), f"`{path}`"
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise ValueError(f"{name} must be a WAV file, but does not begin like one.")
    described, data = _chunks(content, name)
    samples, note = _decoded(data, described, name)
    bits = 16 if described.bits <= 16 else 24
    return ReadSound(Sound(described.rate, described.channels, bits, samples), note)


def write_wav(path: Path | str, sound: Sound) -> None:
    """Write a sound to the new file ``path``, mode 0600.

    The header is the plain one, which every program reads, for any number of channels.

    Args:
        path: The new file.
        sound: What goes into it.

    Raises:
        ValueError: ``path`` exists or cannot be made, or the sound has over 4 GB.
        WriteFailed: The disk is full or fails.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_wav(Path(folder, "second.wav"), Sound(8000, 1, 16, bytes(16_000)))
        ...     Path(folder, "second.wav").stat().st_size
        16044
    """
    with new_file(Path(path), mode=PRIVATE) as write:
        write(wav_bytes(sound))


def wav_bytes(sound: Sound) -> bytes:
    """Return a sound as the content of a WAV file.

    Args:
        sound: Less than 4 GB of samples.

    Returns:
        A header of 44 bytes, then the samples; a zero byte behind them if their size is odd.

    Raises:
        ValueError: It has over 4 GB, which no WAV file can hold.

    Source:
        Multimedia Programming Interface and Data Specifications 1.0 (1991), chapter 3.

    Examples:
        >>> content = wav_bytes(Sound(8000, 1, 16, bytes(16_000)))
        >>> content[:4], content[8:16], len(content)
        (b'RIFF', b'WAVEfmt ', 16044)
    """
    size = len(sound.pcm)
    if size > 2**32 - 64:
        raise ValueError(f"A WAV file must have less than 4 GB of sound, but {size:,} bytes came.")
    frame = sound.frame_bytes
    described = _FORMAT.pack(
        _PCM, sound.channels, sound.rate, min(sound.rate * frame, 2**32 - 1), frame, sound.bits
    )
    body = _chunk(b"fmt ", described) + _chunk(b"data", sound.pcm)
    return b"RIFF" + (4 + len(body)).to_bytes(4, "little") + b"WAVE" + body


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + len(content).to_bytes(4, "little") + content + bytes(len(content) % 2)


def _chunks(content: bytes, name: str) -> tuple[WavFormat, bytes]:
    """Return what a WAV file says of its samples, and their bytes."""
    place, described = 12, None
    while place + 8 <= len(content):
        kind, size = _CHUNK.unpack_from(content, place)
        place += _CHUNK.size
        if kind == b"fmt ":
            described = _described(content[place : place + size], name)
        elif kind == b"data":
            if described is None:
                break
            return described, _data(content, place, size, described, name=name)
        place += size + size % 2
    lacks = "does not say what its samples are" if described is None else "holds no samples"
    raise ValueError(f"{name} must be a whole WAV file, but {lacks}.")


def _data(content: bytes, place: int, size: int, described: WavFormat, *, name: str) -> bytes:
    """Return the bytes of the samples, whole frames."""
    there, frame = len(content) - place, described.channels * described.bits // 8
    if size == _OF_UNKNOWN_SIZE:
        size = there - there % frame
    if size > there:
        raise ValueError(
            f"{name} must be whole, but is cut: it should hold {size:,} bytes of sound and holds "
            f"{there:,}."
        )
    if size < frame or size % frame:
        found = "holds none" if size < frame else f"has {size:,} bytes"
        raise ValueError(f"{name} must hold whole frames of {frame} bytes, but {found}.")
    return content[place : place + size]


def _described(chunk: bytes, name: str) -> WavFormat:
    if len(chunk) < _FORMAT.size:
        raise ValueError(f"{name} must say what its samples are, but is cut where it does.")
    tag, channels, rate, _, frame, bits = _FORMAT.unpack_from(chunk)
    if tag == _EXTENSIBLE and len(chunk) >= 40 and chunk[26:40] == _SUBFORMAT_END:
        tag = int.from_bytes(chunk[24:26], "little")
    allowed = {_PCM: (8, 16, 24, 32), _FLOAT: (32, 64)}.get(tag)
    if allowed is None:
        found = _KNOWN_TAGS.get(tag, f"format {tag:#06x}")
        raise ValueError(f"{name} must hold whole numbers or floats, but holds {found}.")
    if not channels or not rate:
        none = "channels" if not channels else "frames a second"
        raise ValueError(f"{name} must have at least one channel and a rate, but has no {none}.")
    if bits not in allowed or frame != channels * bits // 8:
        raise ValueError(
            f"{name} must have samples of {', '.join(map(str, allowed))} bits, but has {channels} "
            f"of {bits} bits in {frame} bytes."
        )
    return WavFormat(tag, channels, rate, bits)


def _decoded(data: bytes, described: WavFormat, name: str) -> tuple[bytes, str]:
    """Return samples of 16 or 24 bits, and what was changed."""
    if described.tag == _FLOAT:
        return _rounded_floats(np.frombuffer(data, f"<f{described.bits // 8}"), name)
    match described.bits:
        case 8:
            wide = (np.frombuffer(data, np.uint8).astype("<i2") - 128) << 8
            return wide.astype("<i2").tobytes(), ""
        case 32:
            wide = np.frombuffer(data, "<i4").astype(np.int64)
            rounded = np.minimum((wide + 128) >> 8, 2**23 - 1)
            note = f"The samples of {name} have 32 bits; a call carries 24, rounded."
            return _three_bytes(rounded), note if np.any(rounded << 8 != wide) else ""
    return data, ""


def _rounded_floats(values: NDArray[Any], name: str) -> tuple[bytes, str]:
    """Return floats as samples of 24 bits."""
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must hold finite samples, but holds others.")
    scaled = np.rint(values.astype(np.float64) * 2**23)
    clipped = np.clip(scaled, -(2**23), 2**23 - 1)
    note = f"The samples of {name} are floats; a call carries 24 bits, rounded."
    if over := int(np.count_nonzero(clipped != scaled)):
        note += f" {over:,} beyond full scale are cut off."
    return _three_bytes(clipped.astype(np.int64)), note


def _three_bytes(values: NDArray[np.int64]) -> bytes:
    return values.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
