"""The picture of a call shows what came, what did not, and the keys."""

import numpy as np
import pytest

from e91.encryption.rtp import KeyChanges, UnreliablePath
from e91.encryption.sound import Sound, SoundTrack, simulate_call
from e91.plots import sound_figure, sound_levels


def heard(seconds=3.0, loss=0.0):
    """Return a tone after a call with a key a second."""
    samples = np.round(16_384 * np.sin(np.arange(round(8000 * seconds)) * 0.3)).astype("<i2")
    sound = Sound(8000, 1, 16, samples.tobytes())
    path = UnreliablePath(loss=loss)
    return simulate_call(sound, path=path, seed=1, changes=KeyChanges(1.0, 0.5)).recovered()


def test_levels_come_with_the_keys_and_the_gaps():
    found = heard(loss=0.2)
    levels = sound_levels(found)
    assert len(levels.key_starts_s) == 3
    assert all(0 <= begin - number < 0.2 for number, begin in enumerate(levels.key_starts_s))
    assert levels.gaps_s == tuple((a / 8000, b / 8000) for a, b in found.gaps)
    assert levels.gaps_s
    assert np.abs(levels.highest).max() == pytest.approx(0.5, abs=1e-4)
    assert np.abs(levels.lowest).max() == pytest.approx(0.5, abs=1e-4)


def test_a_column_holds_the_extremes_of_its_samples():
    found = heard()
    levels = sound_levels(found)
    level = found.sound.samples()[:, 0] / 32_768
    for number in (0, 500, 999):
        part = level[24 * number : 24 * number + 24]
        assert (levels.lowest[number], levels.highest[number]) == (part.min(), part.max())


def test_a_short_sound_has_a_column_for_every_frame():
    track = SoundTrack("L16/8000/1")
    assert len(sound_levels(track.recovered(5)).times_s) == 5


def test_a_figure_names_everything_once():
    axes = sound_figure(sound_levels(heard(loss=0.2)))
    named = [text.get_text() for text in axes.get_legend().get_texts()]
    assert sorted(named) == ["did not come", "every other key", "sound"]
    assert axes.get_title() == "3 s of sound under 3 keys"


def test_a_sound_without_samples_is_refused():
    with pytest.raises(ValueError, match="must have samples to be drawn"):
        sound_levels(SoundTrack("L16/8000/1").recovered())
