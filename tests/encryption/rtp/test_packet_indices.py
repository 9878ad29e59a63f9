"""Indices of packets: guessed as RFC 3711 does, and each accepted once within the window."""

from hypothesis import given
from hypothesis import strategies as st

from e91.encryption.rtp import PacketIndices
from e91.encryption.rtp.packet_indices import WINDOW


def guessed(newest, sequence):
    """Return the index of RFC 3711, appendix A, written out; the number of wraps from 0."""
    wraps, last = divmod(newest, 65_536)
    if last < 32_768:
        wraps -= sequence - last > 32_768
    else:
        wraps += last - 32_768 > sequence
    return wraps * 65_536 + sequence


@given(st.integers(65_536, 2**40), st.integers(0, 65_535))
def test_an_index_is_that_of_the_rfc(newest, sequence):
    index = PacketIndices(newest).nearest(sequence)
    if abs(guessed(newest, sequence) - newest) != 32_768:  # two are as near
        assert index == guessed(newest, sequence)
    assert index % 65_536 == sequence
    assert abs(index - newest) <= 32_768


def test_there_is_nothing_before_the_first_packet():
    assert [PacketIndices().nearest(sequence) for sequence in (0, 40_000, 65_535)] == [
        0,
        40_000,
        65_535,
    ]
    indices = PacketIndices(3)
    assert indices.nearest(65_535) == 65_535


@given(st.lists(st.integers(0, 4 * WINDOW), max_size=300))
def test_a_packet_is_accepted_once_and_within_the_window(arrivals):
    indices, seen = PacketIndices(), set()
    for index in arrivals:
        newest = max(seen, default=-1)
        is_expected = index not in seen and index > newest - WINDOW
        assert indices.is_fresh(index) == is_expected
        if is_expected:
            indices.note(index)
            seen.add(index)


def test_what_was_announced_may_still_come():
    indices = PacketIndices()
    indices.note(0)
    indices.reach(50)
    assert indices.newest == 50
    assert all(indices.is_fresh(index) for index in range(1, 51))
    assert not indices.is_fresh(0)


def test_the_window_holds_1024_packets():
    indices = PacketIndices()
    indices.note(5000)
    assert indices.is_fresh(5000 - 1023)
    assert not indices.is_fresh(5000 - 1024)
