"""The alarms of many links at once: those of the links one by one, to the last bit."""

import math
from dataclasses import replace

import numpy as np
import pytest

from e91.alarm.bets import place_bets
from e91.alarm.link import OutcomeCounts, intercepted, outcome_counts, werner_link
from e91.alarm.many import SILENT, Watches, ten_counts
from e91.alarm.wealth import after_payoffs, finding, initial_wealth, log_total, update
from e91.devices.exact import exact_device
from e91.model.settings import EKERT
from e91.security.policy import Policy
from e91.session.block_counts import draw_counts

SETTINGS = EKERT.biased((0.05, 0.05, 0.9), (0.05, 0.9, 0.05))
PROMISED = werner_link(SETTINGS, visibility=0.95, revealed_fraction=0.05)
KEPT = werner_link(SETTINGS, visibility=0.96, revealed_fraction=0.05)
LINKS = 12


def blocks_of(count, *, seed):
    """Blocks of all links, of any size; every third link is attacked from the tenth block on."""
    rng, attacked = np.random.default_rng(seed), intercepted(KEPT, 0.3)
    for number in range(count):
        sizes = rng.choice([0, 5, 40, 3_000, 30_000], LINKS) + rng.integers(0, 9, LINKS)
        links = [attacked if number >= 10 and k % 3 == 0 else KEPT for k in range(LINKS)]
        yield rng.multinomial(sizes, [link.probabilities for link in links])


def assert_identical(watches, link, wealth):
    assert np.array_equal(watches.log_wealth[link], wealth.log_wealth)
    assert watches.log_evidence[link] == wealth.log_evidence
    assert watches.rounds[link] == wealth.rounds
    alarm = SILENT if wealth.alarm_round is None else wealth.alarm_round
    assert watches.alarm_rounds[link] == alarm
    assert watches.cause(link) == finding(wealth).cause


@pytest.mark.parametrize("planned", [0, 400_000])
def test_many_links_are_watched_as_each_alone_to_the_last_bit(planned):
    bets = place_bets(PROMISED, planned_rounds=planned)
    watches, alone = Watches.of(bets, links=LINKS), [initial_wealth(bets)] * LINKS
    for counts in blocks_of(40, seed=1):
        watches = watches.after(counts)
        alone = [update(w, OutcomeCounts.from_array(c)) for w, c in zip(alone, counts, strict=True)]
        for link in range(LINKS):
            assert_identical(watches, link, alone[link])
    assert watches.rang.tolist() == [True, False, False] * 4
    assert any(watches.cause(link) for link in range(LINKS))


def test_some_links_have_a_block_and_some_return_to_service():
    bets, rng = place_bets(PROMISED), np.random.default_rng(2)
    watches, alone = Watches.of(bets, links=LINKS), [initial_wealth(bets)] * LINKS
    for number, counts in enumerate(blocks_of(40, seed=3)):
        links = rng.permutation(LINKS)[: rng.integers(0, LINKS)]
        watches = watches.after(counts[links], links=links)
        for link in links:
            alone[link] = update(alone[link], OutcomeCounts.from_array(counts[link]))
        if number % 7 == 6:
            rang = np.flatnonzero(watches.rang)
            watches = watches.restarted(rang)
            for link in rang:
                alone[link] = initial_wealth(bets)
            assert not watches.rang.any()
    for link in range(LINKS):
        assert_identical(watches, link, alone[link])


def test_alarm_rings_by_the_stake_that_was_held_back_before_the_block():
    bets, attacked = place_bets(PROMISED), intercepted(KEPT, 0.3)
    counts = np.rint(400 * attacked.probabilities).astype(np.int64)[None]
    paid = after_payoffs(initial_wealth(bets).log_wealth, counts[0], bets=bets)
    early, late = (float(log_total(paid, rounds=n, bets=bets)) for n in (0, int(counts.sum())))
    assert early > late > 0
    between = replace(bets, false_alarm=math.exp(-(early + late) / 2))
    assert Watches.of(between, links=1).after(counts).rang.all()
    ten = OutcomeCounts.from_array(counts[0])
    assert update(initial_wealth(between), ten).alarm_round is not None


def test_watches_are_values():
    before = Watches.of(place_bets(PROMISED), links=2)
    rounds, wealth = before.rounds.copy(), before.log_wealth.copy()
    after = before.after(np.full((2, 10), 100))
    after.restarted([0, 1])
    assert np.array_equal(before.rounds, rounds)
    assert np.array_equal(before.log_wealth, wealth)
    assert after.rounds.tolist() == [1_000, 1_000]


def test_ten_counts_of_blocks_are_those_of_their_evidence():
    table, policy = exact_device(visibility=0.9, settings=SETTINGS).table, Policy()
    rng = np.random.default_rng(4)
    counts = draw_counts(rng, table, [0, 50, 70_000], settings=SETTINGS, policy=policy)
    for block, ten in enumerate(ten_counts(counts)):
        assert np.array_equal(ten, outcome_counts(counts.evidence(block)).array)


@pytest.mark.parametrize(
    "counts", [np.full((3, 10), 1), np.full((2, 9), 1), np.full((2, 10), -1), np.full((2, 10), 0.5)]
)
def test_counts_that_are_none_are_refused(counts):
    with pytest.raises(ValueError, match="must be whole numbers from 0 of shape"):
        Watches.of(place_bets(PROMISED), links=2).after(counts)
