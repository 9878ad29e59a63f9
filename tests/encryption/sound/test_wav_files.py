"""WAV files against soundfile and the standard library, and whatever is none."""

import io
import struct
import wave

import numpy as np
import pytest

from e91.encryption.sound import Sound, read_wav, wav_bytes, write_wav
from tests.call_ends import noise

soundfile = pytest.importorskip("soundfile")


def written(samples, *, form="WAV", subtype="PCM_16", rate=11_025):
    """Return a WAV file that soundfile writes."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form, subtype=subtype)
    return file.getvalue()


def whole_numbers(bits, channels, count=400):
    """Return samples of some bits at the upper end of 32, as soundfile takes them."""
    drawn = np.random.default_rng(bits).integers(-(2**31), 2**31, (count, channels), np.int64)
    return drawn.astype(np.int32) & ~np.int32((1 << (32 - bits)) - 1)


def read(tmp_path, content):
    """Return what is read from a file of some content."""
    file = tmp_path / "in.wav"
    file.write_bytes(content)
    return read_wav(file)


@pytest.mark.parametrize("form", ["WAV", "WAVEX"])
@pytest.mark.parametrize("channels", [1, 2, 7])
@pytest.mark.parametrize(("subtype", "bits"), [("PCM_U8", 8), ("PCM_16", 16), ("PCM_24", 24)])
def test_whole_numbers_are_read_exactly(tmp_path, form, channels, subtype, bits):
    samples = whole_numbers(bits, channels)
    found = read(tmp_path, written(samples, form=form, subtype=subtype))
    sound = found.sound
    assert found.note == ""
    assert (sound.rate, sound.channels, sound.bits) == (11_025, channels, max(16, bits))
    assert np.array_equal(sound.samples(), samples >> (32 - sound.bits))


@pytest.mark.parametrize("form", ["WAV", "WAVEX"])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_floats_are_rounded_to_24_bits_and_it_is_said(tmp_path, form, subtype):
    samples = np.random.default_rng(0).uniform(-0.99, 0.99, (400, 7))
    if subtype == "FLOAT":
        samples = samples.astype(np.float32)
    found = read(tmp_path, written(samples, form=form, subtype=subtype))
    assert np.array_equal(found.sound.samples(), np.rint(samples.astype(float) * 2**23))
    assert "are floats; a call carries 24 bits, rounded." in found.note


def test_floats_beyond_full_scale_are_cut_off_and_counted(tmp_path):
    found = read(tmp_path, written(np.array([1.5, -1.5, 0.5]), subtype="FLOAT"))
    assert found.sound.samples().ravel().tolist() == [2**23 - 1, -(2**23), 2**22]
    assert found.note.endswith("2 beyond full scale are cut off.")


def test_32_bits_are_rounded_and_it_is_said_if_that_changes_them(tmp_path):
    samples = np.array([[2**31 - 1], [-(2**31)], [128], [127], [-129]], np.int32)
    found = read(tmp_path, written(samples, subtype="PCM_32"))
    assert found.sound.samples().ravel().tolist() == [2**23 - 1, -(2**23), 1, 0, -1]
    assert "have 32 bits; a call carries 24, rounded." in found.note
    assert read(tmp_path, written(samples & ~255, subtype="PCM_32")).note == ""


@pytest.mark.parametrize(("bits", "channels"), [(16, 1), (16, 2), (24, 7)])
def test_what_is_written_is_read_by_others(tmp_path, bits, channels):
    sound = noise(0.1, rate=11_025, channels=channels, bits=bits)
    file = tmp_path / "out.wav"
    write_wav(file, sound)
    found, rate = soundfile.read(file, dtype="int32", always_2d=True)
    assert rate == 11_025
    assert np.array_equal(found >> (32 - bits), sound.samples())
    with wave.open(str(file)) as other:
        assert other.readframes(10**6) == sound.pcm
        assert other.getparams()[:3] == (channels, bits // 8, 11_025)
    assert read_wav(file).sound.pcm == sound.pcm
    assert file.stat().st_mode & 0o777 == 0o600


def test_an_odd_number_of_bytes_is_padded():
    content = wav_bytes(Sound(8000, 1, 24, bytes(3)))
    assert len(content) % 2 == 0
    assert int.from_bytes(content[4:8], "little") == len(content) - 8


def test_a_header_of_a_pipe_takes_the_whole_frames_that_are_there(tmp_path):
    content = bytearray(written(whole_numbers(16, 7)))
    content[40:44] = b"\xff" * 4
    found = read(tmp_path, bytes(content[:-3]))
    assert len(found.sound) == 399


GOOD = written(whole_numbers(16, 7))


def changed(place, value):
    """Return a good file with other bytes at a place."""
    return GOOD[:place] + value + GOOD[place + len(value) :]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "but is empty"),
        (b"hello world" * 9, "must be a WAV file, but does not begin like one"),
        (b"RIFX" + GOOD[4:], "must be a WAV file, but does not begin like one"),
        (GOOD[:12], "but does not say what its samples are"),
        (GOOD[:30], "but is cut where it does"),
        (GOOD[:36], "but holds no samples"),
        (GOOD[:3000], "is cut: it should hold 5,600 bytes of sound and holds 2,956"),
        (changed(40, bytes(4)), "must hold whole frames of 14 bytes, but holds none"),
        (changed(40, struct.pack("<I", 5599)), "whole frames of 14 bytes, but has 5,599 bytes"),
        (changed(22, b"\0\0"), "but has no channels"),
        (changed(24, b"\0\0\0\0"), "but has no frames a second"),
        (changed(34, b"\x0c\0"), "samples of 8, 16, 24, 32 bits, but has 7 of 12 bits"),
        (changed(32, b"\x0d\0"), "in 13 bytes"),
        (written(whole_numbers(16, 1), subtype="ULAW"), "but holds u-law"),
        (written(whole_numbers(16, 1), subtype="ALAW", form="WAVEX"), "but holds A-law"),
        (changed(20, b"\x61\x01"), "but holds format 0x0161"),
        (written(np.array([np.nan]), subtype="FLOAT"), "must hold finite samples"),
    ],
    ids=str.split(
        "empty text big-endian no-chunk cut-format no-data cut-data no-sound part-of-a-frame "
        "no-channels no-rate 12-bits frame-size u-law a-law gsm nan"
    ),
)
def test_what_no_call_can_carry_is_refused_in_a_sentence(tmp_path, content, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        read(tmp_path, content)
    assert "in.wav" in str(error.value)


def test_every_cut_is_found(tmp_path):
    """All of a file of 30 frames: shorter by any number of bytes, it is refused."""
    content = written(whole_numbers(24, 2, 30), subtype="PCM_24", form="WAVEX")
    for size in range(1, len(content)):
        with pytest.raises(ValueError, match=r"in\.wav"):
            read(tmp_path, content[:size])


def test_a_sound_refuses_what_it_cannot_be():
    with pytest.raises(ValueError, match="`bits` must be 16 or 24"):
        Sound(8000, 1, 8, b"")
    with pytest.raises(ValueError, match="must be positive"):
        Sound(8000, 0, 16, b"")
    with pytest.raises(ValueError, match="whole frames of 4 bytes"):
        Sound(8000, 2, 16, bytes(6))
