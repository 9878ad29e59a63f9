"""Where the alarm rings, to the round and the last digit of its wealth."""

import math
from dataclasses import replace

import numpy as np
import pytest

from e91.alarm.bets import Bets, growth_optimal_payoff, stake_left
from e91.alarm.link import LinkBehaviour, OutcomeCounts, outcome_counts, werner_link
from e91.alarm.promise import Promise
from e91.alarm.watching import AnnouncementRecorder, watch_blocks, watch_rounds
from e91.alarm.wealth import NAMING_ODDS, finding, initial_wealth, place_bets, update
from e91.devices.exact import exact_device
from e91.model.errors import Abort
from e91.model.messages import Message, Party
from e91.model.settings import BBM92, EKERT
from e91.security.policy import Policy
from e91.session.session import run

LINK = werner_link(EKERT, visibility=0.97, revealed_fraction=0.1)
BETS = place_bets(LINK)
LOST = OutcomeCounts((0, 0, 0, 0), (3, 3, 3, 3), sample=2, errors=2)
FEW = OutcomeCounts((3, 0, 0, 0), (5, 0, 0, 0), sample=0, errors=0)


def test_alarm_rings_at_the_inverse_of_its_false_alarm_probability():
    for false_alarm in (0.5, 1e-3, 1e-9):
        bets = place_bets(LINK, false_alarm=false_alarm)
        assert bets.threshold == math.log(1 / false_alarm)


def test_alarm_rings_when_the_wealth_reaches_its_threshold_and_not_before():
    """Ville's inequality covers "at least"; a promise of exactly the wealth rings."""
    evidence = update(initial_wealth(BETS), LOST).log_evidence  # in one period: nothing moves
    for threshold, rings in (
        (math.nextafter(evidence, 0), True),
        (evidence, True),
        (math.nextafter(evidence, math.inf), False),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Bets, "threshold", threshold)
            after = update(initial_wealth(BETS), LOST)
        assert (after.alarm_round is not None) is rings


def test_round_of_the_alarm_stays_that_of_the_first_ring():
    test = Promise(0.97).sequential_test(settings=EKERT, policy=Policy())
    test = test.after(LOST, pairs=100)
    assert (test.rang, test.wealth.alarm_round) == (100, 14)
    later = test.after(LOST, pairs=70)
    assert (later.sent, later.rang, later.wealth.alarm_round) == (170, 100, 14)
    assert later.alarm.round == 100


def test_pairs_that_were_all_tallied_are_enough():
    test = Promise(0.97).sequential_test(settings=EKERT, policy=Policy())
    assert test.after(FEW, pairs=8).sent == 8
    assert test.after(FEW, pairs=9).after(FEW, pairs=20).sent == 29


@pytest.mark.parametrize(("settings", "fraction"), [(EKERT, 0.1), (BBM92, 0.3)])
def test_plan_counts_the_rounds_that_are_tallied(settings, fraction):
    policy = Policy(revealed_fraction=fraction)
    test = Promise(0.9).sequential_test(settings=settings, policy=policy, planned_pairs=64_000)
    tallied = settings.chsh_probability + fraction * settings.key_probability
    assert test.wealth.bets.planned == math.ceil(round(64_000 * tallied) / 32)
    declared = test.wealth.bets.declared
    assert declared.key_share == pytest.approx(fraction * settings.key_probability / tallied)
    assert declared.chsh == pytest.approx(2 * math.sqrt(2) * 0.9)
    assert declared.qber == pytest.approx(0.05)


@pytest.mark.parametrize("planned", [0, 1000])
def test_new_stakes_are_placed_when_a_period_is_full_and_not_before(planned):
    bets = place_bets(LINK, planned_rounds=planned)
    for rounds, placed in ((31, False), (32, True), (33, True)):
        counts = OutcomeCounts((rounds, 0, 0, 0), (0, 0, 0, 0), sample=0, errors=0)
        before = initial_wealth(bets)
        after = update(before, counts)
        payoffs = rounds * bets.log_payoffs[0].reshape(before.log_wealth.shape)
        unmoved = np.array_equal(after.log_wealth, before.log_wealth + payoffs)
        assert unmoved is not placed
    left = stake_left(0, planned=bets.planned)
    total = np.exp(initial_wealth(bets).log_wealth).sum() + left
    assert total == pytest.approx(1, rel=1e-14)


def test_shares_of_the_families_add_up_to_one():
    assert np.exp(BETS.log_shares).sum() == pytest.approx(1, rel=1e-14)


def test_no_bet_is_made_on_fewer_errors_than_were_promised():
    better = LinkBehaviour(LINK.correlators, LINK.qber / 2, LINK.test_shares)
    payoff = growth_optimal_payoff(better, declared=LINK)
    assert payoff.tolist() == [1.0] * 10


def test_cause_is_named_from_its_odds_on(monkeypatch):
    rang = update(initial_wealth(BETS), LOST)
    odds = finding(rang).odds
    assert rang.alarm_round is not None
    monkeypatch.setattr("e91.alarm.wealth.NAMING_ODDS", odds)
    assert finding(rang).cause is not None
    monkeypatch.setattr("e91.alarm.wealth.NAMING_ODDS", math.nextafter(odds, math.inf))
    assert finding(rang).cause is None
    assert NAMING_ODDS == 300


def test_recorder_sees_what_alice_sends_and_what_she_hears():
    def transmission(message):
        return Message(message.sender, message.subject, message.body + b"!")

    recorder = AnnouncementRecorder(transmission)
    for party in Party:
        recorder(Message(party, "settings", b"said"))
    assert recorder.announcements == {
        (Party.ALICE, "settings"): b"said",
        (Party.BOB, "settings"): b"said!",
    }


def reports():
    for seed in (1, 2):
        device = exact_device(visibility=0.9, seed=seed)
        yield run(device, rounds=1_000, seed=seed)


def test_wealth_is_carried_from_block_to_block_and_is_that_of_all_counts():
    promise = Promise(0.95)
    found = list(watch_blocks(reports(), promise))
    assert all(report.abort is not Abort.NOT_AUTHENTIC for report in found)
    test = promise.sequential_test(settings=EKERT, policy=Policy())
    for report in found:
        test = test.after(outcome_counts(report.evidence), pairs=report.rounds)
        assert report.watch.wealth.log_evidence == test.wealth.log_evidence
        assert (report.watch.sent, report.watch.rang) == (test.sent, test.rang)
    assert found[1].watch.sent == 2_000


def test_watched_link_keeps_its_revealed_fraction_as_well():
    first, second = reports()
    changed = replace(second, policy=Policy(revealed_fraction=0.2))
    with pytest.raises(ValueError, match="must keep its settings and revealed fraction"):
        list(watch_blocks([first, changed], Promise(0.95)))


def test_alarm_names_the_pair_of_the_first_short_interval_that_rings():
    """Wins, then losses; every third pair is tallied, so an interval of 32 ends at pair 3 j + 1."""
    kinds = np.repeat([0, 4], [2_000, 2_000])
    rounds = 3 * np.arange(len(kinds))
    test = Promise(0.97).sequential_test(settings=EKERT, policy=Policy())
    found = watch_rounds(kinds, rounds, test)
    assert found.rang % 96 == 94
    assert found.rang > 6_000
