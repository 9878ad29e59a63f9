"""The public counts: they know which outcomes win, and add up."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from e91.model.evidence import Evidence, KeySample, outcomes_of, wins_and_losses
from e91.model.settings import BBM92, EKERT

COUNT = st.integers(0, 10**18)
FOUR = st.tuples(COUNT, COUNT, COUNT, COUNT)
SIGNS = EKERT.signs


def evidence_of(settings=EKERT):
    """Any counts that a session with these settings could have."""
    row = st.tuples(*(COUNT for _ in settings.bob_angles))
    sample = st.builds(KeySample, COUNT, COUNT, COUNT)
    return st.builds(
        Evidence,
        tests=st.tuples(FOUR, FOUR, FOUR, FOUR),
        samples=st.tuples(*(sample for _ in settings.key_pairs)),
        pair_counts=st.tuples(*(row for _ in settings.alice_angles)),
        signs=st.just(settings.signs),
    )


@given(evidence_of(), evidence_of())
def test_every_count_of_a_sum_is_the_sum_of_the_counts(first, second):
    whole = first + second
    for name in ("wins", "losses", "same", "different", "tests", "pair_counts"):
        one, two, both = (np.array(getattr(part, name), object) for part in (first, second, whole))
        assert np.array_equal(one + two, both)
    for name in ("key_size", "sample_size", "sample_errors", "test_size", "coincidences"):
        assert getattr(whole, name) == getattr(first, name) + getattr(second, name)


@given(evidence_of(), evidence_of(), evidence_of())
def test_adding_knows_no_order_and_nothing_adds_nothing(first, second, third):
    assert first + second == second + first
    assert (first + second) + third == first + (second + third)
    assert first + Evidence.empty(EKERT) == first


@pytest.mark.parametrize(
    "other",
    [
        Evidence.empty(BBM92),
        replace(Evidence.empty(EKERT), signs=tuple(-sign for sign in SIGNS)),
        replace(Evidence.empty(EKERT), samples=()),
        replace(Evidence.empty(EKERT), pair_counts=((0, 0),) * 3),
    ],
    ids=["other settings", "other signs", "no key pair", "fewer angles"],
)
def test_evidence_of_other_pairs_or_signs_is_not_added(other):
    with pytest.raises(ValueError, match="must be of the same setting pairs and CHSH signs"):
        Evidence.empty(EKERT) + other


@given(evidence_of())
def test_a_pair_is_won_by_the_outcomes_whose_product_has_its_sign(evidence):
    values = np.array([+1, -1, -1, +1])  # of the product, for outcomes 00, 01, 10, 11
    for index, sign in enumerate(SIGNS):
        counts = np.array(evidence.tests[index], object)
        assert evidence.wins[index] == counts[values == sign].sum()
        assert evidence.losses[index] == counts[values != sign].sum()


@given(FOUR, FOUR)
def test_outcomes_have_the_wins_and_losses_that_they_were_made_from(wins, losses):
    tests = outcomes_of(wins, losses, signs=SIGNS)
    evidence = replace(Evidence.empty(EKERT), tests=tests)
    assert (evidence.wins, evidence.losses) == (wins, losses)
    assert wins_and_losses(evidence.same, evidence.different, signs=SIGNS) == (wins, losses)
