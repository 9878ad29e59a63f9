"""How much data a key protects: the bound written out, and what a link pays for."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e91.encryption.rekeying import (
    LEAST_BYTES_PER_KEY,
    bytes_per_key_at,
    bytes_per_key_from,
    most_bytes_per_key,
)
from e91.encryption.tink_streams import SEGMENT_SIZE


def advantage_of(size: int, segment_size: int) -> Fraction:
    """(s + q + 1)**2 / 2**129 of a stream: its segments, and their blocks rounded up."""
    room = segment_size - 16
    segments = math.ceil((size + 40) / room)
    first = math.ceil((room - 40) / 16)
    last = size + 40 - (segments - 1) * room
    blocks = first + (segments - 2) * math.ceil(room / 16) + math.ceil(last / 16)
    return Fraction((blocks + segments + 1) ** 2, 2**129)


@given(st.sampled_from([4096, 2**16, 2**18, 2**20, 2**24]), st.integers(20, 80))
def test_the_most_data_keep_the_bound_and_two_segments_more_break_it(segment, exponent):
    most = most_bytes_per_key(segment, advantage=2.0**-exponent)
    assert advantage_of(most, segment) <= Fraction(1, 2**exponent)
    assert advantage_of(most + 2 * segment, segment) > Fraction(1, 2**exponent)


@given(st.floats(1, 1e9), st.floats(1e3, 1e10))
def test_half_of_what_the_link_makes_pays_for_the_keys(key_rate, data_rate):
    size = bytes_per_key_at(key_rate, data_rate=data_rate)
    spent = 256 * data_rate / size
    most = most_bytes_per_key(SEGMENT_SIZE)
    assert LEAST_BYTES_PER_KEY <= size <= most
    assert spent <= key_rate / 2 * (1 + 1e-12) or size == most
    assert spent * size / (size - 1) > key_rate / 2 * (1 - 1e-9) or size == LEAST_BYTES_PER_KEY


@given(st.integers(128, 10**7), st.integers(1, 10**12))
def test_at_most_half_of_a_stock_is_spent(stock, size):
    per_key = bytes_per_key_from(stock, size)
    keys = -(-size // per_key)
    assert 32 * keys <= stock / 2 or per_key == most_bytes_per_key(SEGMENT_SIZE)


@pytest.mark.parametrize("rate", [0, -1, math.inf, math.nan])
def test_an_impossible_rate_is_refused(rate):
    with pytest.raises(ValueError, match="`key_rate` must be positive and finite"):
        bytes_per_key_at(rate)
    with pytest.raises(ValueError, match="`data_rate` must be positive and finite"):
        bytes_per_key_at(1000, data_rate=rate)


@pytest.mark.parametrize("advantage", [0, 1, -1, math.nan])
def test_an_impossible_advantage_is_refused(advantage):
    with pytest.raises(ValueError, match="`advantage` must lie in"):
        most_bytes_per_key(4096, advantage=advantage)
