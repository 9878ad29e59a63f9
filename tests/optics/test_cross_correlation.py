"""g2 of two lists of tags and of heralded photons, against loops over all pairs."""

import numpy as np
import pytest
from statistical import assert_binomial

from e91.optics.tags import photon_statistics
from e91.optics.tags.correlation import known_clock
from e91.optics.tags.photon_statistics import cross_correlation, heralded_autocorrelation
from e91.optics.tags.time_tags import TimeTags

OFFSET_PS = 5_000_000


@pytest.fixture(autouse=True, params=[50, 2**18])
def piece(request, monkeypatch):
    monkeypatch.setattr(photon_statistics, "_PIECE", request.param)


def random_tags(seed, *, size=400, longest=20_000, offset=0):
    generator = np.random.default_rng(seed)
    times = np.cumsum(generator.integers(1, longest, size)) + offset
    return TimeTags(times, generator.integers(0, 4, size).astype(np.uint8))


def pairs_by_delay(alice, bob, *, bin_ps, bins, alice_channels, bob_channels):
    """Count pairs by their delay; delays of whole odd picoseconds are at no edge of an even bin."""
    counts = [0] * (2 * bins + 1)
    for t, c in zip(alice.times.tolist(), alice.channels.tolist(), strict=True):
        for u, d in zip(bob.times.tolist(), bob.channels.tolist(), strict=True):
            place = round((u - OFFSET_PS - t) / bin_ps)
            if abs(place) <= bins and c in alice_channels and d in bob_channels:
                counts[place + bins] += 1
    return tuple(counts)


@pytest.mark.parametrize("channels", [((0, 1, 2, 3), (0, 1, 2, 3)), ((0, 2), (1,))])
def test_pairs_are_counted_by_their_delay(channels):
    alice, bob = random_tags(1), random_tags(2, offset=OFFSET_PS)
    named = dict(zip(("alice_channels", "bob_channels"), channels, strict=True))
    found = cross_correlation(
        alice, bob, clock=known_clock(alice, bob, offset_s=OFFSET_PS * 1e-12),
        bin_s=2001e-12, reach_s=10 * 2001e-12, **named,
    )  # fmt: skip
    assert found.counts == pairs_by_delay(alice, bob, bin_ps=2001, bins=10, **named)
    assert found.delays_s[10] == 0
    assert len(found.delays_s) == len(found.values) == 21


def poisson_tags(seed, *, size=400_000, mean_ps=10**6):
    times = np.cumsum(
        np.rint(np.random.default_rng(seed).exponential(mean_ps, size)).astype(int) + 1
    )
    return TimeTags(times, np.zeros(size, np.uint8))


def test_independent_clicks_have_g2_one(monkeypatch):
    monkeypatch.setattr(photon_statistics, "_PIECE", 2**18)
    alice, bob = poisson_tags(3), poisson_tags(4)
    clock = known_clock(alice, bob)
    found = cross_correlation(alice, bob, clock=clock, bin_s=2e-10, reach_s=2e-9)
    # 1,700 of 1.6e11 pairs within 2.1 ns; they share a click too seldom, 0.4 %, to matter for the
    # spread.  False alarm 1e-9; a quarter more pairs would be seen.
    pairs = 400_000**2
    chance = 21 * found.by_chance / pairs
    assert_binomial(sum(found.counts), pairs, chance, must_detect=1.3 * chance)


def test_g2_that_cannot_be_is_refused():
    tags = random_tags(5)
    clock = known_clock(tags, tags)
    with pytest.raises(ValueError, match="`reach_s` must be at least `bin_s`"):
        cross_correlation(tags, tags, clock=clock, bin_s=1e-9, reach_s=1e-10)
    with pytest.raises(ValueError, match="`bin_s` must be finite and positive"):
        cross_correlation(tags, tags, clock=clock, bin_s=0.0, reach_s=1e-10)
    with pytest.raises(ValueError, match="`second` must have no channel of `first`"):
        heralded_autocorrelation(tags, tags, (0, 1), second=(1,), clock=clock, window_s=1e-9)


def test_heralded_clicks_are_counted_as_the_definition_says():
    herald, tags = random_tags(6), random_tags(7, longest=4000, size=2000, offset=OFFSET_PS)
    found = heralded_autocorrelation(
        herald, tags, (0,), second=(1, 3), window_s=4001e-12,
        clock=known_clock(herald, tags, offset_s=OFFSET_PS * 1e-12),
    )  # fmt: skip
    seen = [
        [
            any(
                abs(u - OFFSET_PS - t) <= 2000 and d in group
                for u, d in zip(tags.times.tolist(), tags.channels.tolist(), strict=True)
            )
            for group in ((0,), (1, 3))
        ]
        for t in herald.times.tolist()
    ]
    assert (found.heralds, found.first, found.second, found.both) == (
        400, sum(a for a, _ in seen), sum(b for _, b in seen), sum(a and b for a, b in seen)
    )  # fmt: skip
    assert found.value == found.both * 400 / (found.first * found.second)


def test_one_photon_never_clicks_twice():
    times = np.arange(100) * 10**6
    channels = (np.arange(100) % 2).astype(np.uint8)
    tags = TimeTags(times, channels)
    found = heralded_autocorrelation(
        tags, tags, (0,), second=(1,), clock=known_clock(tags, tags), window_s=1e-9
    )
    assert (found.value, found.first, found.second) == (0.0, 50, 50)
