"""Announcements: whole, or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e91.encryption.rtp import Announcement, mki_of, read_announcement

NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=100)
SAID = Announcement(81, 70_000, 5, 48_000, "L24/11025/7", ("one", "two"), is_last=True)


@given(
    st.builds(
        Announcement,
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**48),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**60),
        NAMES,
        st.lists(NAMES, max_size=4).map(tuple),
        st.booleans(),
    ),
    st.binary(max_size=30),
)
def test_an_announcement_comes_back_whatever_stands_behind_it(said, behind):
    encoded = said.encode()
    assert read_announcement(encoded + behind) == said
    # RFC 3550, section 6.4.1: the length counts words, less one.
    assert int.from_bytes(encoded[2:4], "big") == len(encoded) // 4 - 1


@given(st.binary(max_size=100))
def test_anything_is_an_announcement_or_refused(content):
    try:
        read_announcement(content)
    except ValueError as error:
        assert "must be whole and of version 1" in str(error)  # noqa: PT017 - either is right


def test_a_cut_announcement_is_refused():
    encoded = SAID.encode()
    for size in range(len(encoded) - 3):  # zeros may end it
        with pytest.raises(ValueError, match="must be whole"):
            read_announcement(encoded[:size])


@pytest.mark.parametrize("place", [0, 1, 8, 12])
def test_another_kind_of_packet_is_refused(place):
    encoded = bytearray(SAID.encode())
    encoded[place] ^= 0x40
    with pytest.raises(ValueError, match="must be whole"):
        read_announcement(bytes(encoded))


def test_identifiers_differ_as_their_names_do():
    assert len({mki_of(f"key {number}") for number in range(1000)}) == 1000
