"""Networks in simulated time: what they make, keep, spend and lose."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import distributed
import numpy as np
import pytest
from small_networks import lit, network_of
from statistical import assert_binomial

from e91.model.trust import SecurityModel
from e91.network import Incident, IncidentKind, begin, load, run
from e91.network.key_ledger import Pool
from e91.network.light import LinkState, quality_of
from e91.network.link_life import BlockInWork

SQUARE = lit(network_of("A B", "R S T", "A-R B-S R-S R-T T-S"))


def after(plan, seconds, *, seed=1, depth="counts", workers=1, **given):
    return run(plan, minutes=seconds / 60, seed=seed, depth=depth, workers=workers, **given)


@pytest.fixture(scope="module")
def quiet():
    return after(SQUARE, 1, depth="bits")


def test_every_key_arrives_at_both_ends_and_every_bit_is_accounted_for(quiet):
    assert quiet.missed == 0
    assert quiet.unequal == 0
    assert quiet.is_conserved
    assert quiet.hops == 3 * quiet.served  # A-R-S-B
    assert quiet.total.spent == 256 * quiet.hops == 3 * quiet.delivered_bits
    assert_requests(quiet.served, seconds=1, per_second=100)


def test_a_run_shows_itself_with_what_was_found_first(quiet):
    page = quiet._repr_html_()
    assert f"<b>{quiet.served:,} keys delivered in 1 seconds, 0 requests missed" in page
    titles = ("Keys", "Alarms and routes", "Key bits of all links", "What this claims")
    places = [page.index(f">{title}</summary>") for title in titles]
    assert places == sorted(places)


def assert_requests(count, *, seconds, per_second):
    """A Poisson number within its exact tails at 1e-9; three times the rate must not pass."""
    from scipy.stats import poisson

    mean = seconds * per_second
    low, high = poisson.ppf(5e-10, mean), poisson.isf(5e-10, mean)
    assert low <= count <= high < poisson.ppf(1e-3, 3 * mean)


def test_the_same_seed_gives_the_same_run_and_another_does_not(quiet):
    again, other = (after(SQUARE, 1, depth="bits", seed=seed) for seed in (1, 2))
    assert again.links == quiet.links
    assert again.samples.times_s == quiet.samples.times_s
    assert again.served == quiet.served
    assert other.links != quiet.links


@pytest.mark.slow  # processes, each of which loads all
def test_workers_change_nothing(quiet):
    assert after(SQUARE, 1, depth="bits", workers=2).links == quiet.links


def test_full_stores_stop_their_links():
    small = replace(SQUARE, demand=(), store_limit_s=0.1)
    idle, longer = after(small, 2), after(small, 9)
    assert idle.blocks == longer.blocks
    assert all(bits.stored == bits.made - bits.lost for bits in idle.links)


def test_a_shared_receiver_serves_one_link_after_the_other():
    names = network_of("A B", "R", "A-R B-R")
    alone = after(lit(names, store_limit_s=100.0), 1)
    shared = after(lit(names, shared="A-R B-R", store_limit_s=100.0), 1)
    for link in (0, 1):
        assert 0.3 * alone.links[link].made < shared.links[link].made < 0.6 * alone.links[link].made


def test_an_attack_rings_and_no_key_of_it_is_released():
    attack = Incident(IncidentKind.ATTACK, "R-S", 0.5, 1.5, "intercept-resend", 1.0)
    plan = replace(SQUARE, incidents=(attack,))
    report = after(plan, 3)
    (alarm,) = report.alarms
    assert alarm.link == "R-S"
    assert 0 < alarm.delay_s < 0.4  # a block and the rest of the one in work
    assert alarm.reason == "eavesdropper"
    assert report.missed == 0  # keys go by T
    assert report.most_hops == 4
    assert report.is_conserved
    assert any(event.kind == "back" and event.time_s > 1.5 for event in report.events)


def test_a_link_that_rang_keeps_its_store_if_the_plan_says_so():
    attack = Incident(IncidentKind.ATTACK, "R-S", 0.5, 1.5, "intercept-resend", 1.0)
    kept = after(replace(SQUARE, incidents=(attack,), keep_store_after_alarm=True), 1)
    dropped = after(replace(SQUARE, incidents=(attack,)), 1)
    assert kept.links[2].stored > 0 == dropped.links[2].stored


@pytest.mark.parametrize(("seed", "depth"), [(0, "bits"), *((n, "counts") for n in range(12))])
def test_bits_are_conserved_whatever_happens(seed, depth):
    rng = np.random.default_rng(seed)
    incidents = []
    for _ in range(8):
        kind = rng.choice(list(IncidentKind))
        relay = kind in (IncidentKind.RELAY_DIES, IncidentKind.RELAY_TURNS)
        target = rng.choice(["R", "S", "T"] if relay else ["A-R", "B-S", "R-S", "R-T", "T-S"])
        start = float(rng.uniform(0, 1.5))
        end = start + float(rng.exponential(0.5))
        incidents.append(Incident(kind, str(target), start, end, "intercept-resend", 0.5))
    report = after(replace(SQUARE, incidents=tuple(incidents)), 2, seed=seed, depth=depth)
    assert report.is_conserved
    assert report.unequal == 0
    assert report.total.spent == 256 * report.hops
    assert report.delivered_bits == 256 * report.served


def test_shares_take_ways_without_a_common_relay():
    plan = lit(network_of("A B", "R S T", "A-R A-T B-S B-T R-S"))
    report = after(plan, 1, disjoint=2, depth="bits")
    assert report.served
    assert report.unequal == 0
    assert report.hops == 5 * report.served


def test_dishonest_relays_know_what_they_pass_on_but_not_a_share_alone():
    plan = lit(network_of("A B", "R S T", "A-R A-T B-S B-T R-S"))
    turned = Incident(IncidentKind.RELAY_TURNS, "T", 0.0)
    one_way = after(replace(plan, incidents=(turned,)), 1)
    shares = after(replace(plan, incidents=(turned,)), 1, disjoint=2)
    assert one_way.betrayed == one_way.served > 0
    assert shares.betrayed == 0
    both = replace(turned, target="R")
    assert after(replace(plan, incidents=(turned, both)), 1, disjoint=2).betrayed > 0


def test_a_relay_that_dies_takes_its_links_along():
    death = Incident(IncidentKind.RELAY_DIES, "S", 0.5)
    report = after(replace(SQUARE, incidents=(death,)), 3)
    assert report.missed > 0  # B has no other relay
    assert report.is_conserved


def test_a_source_that_fails_leaves_its_store_in_use():
    failure = Incident(IncidentKind.SOURCE_FAILS, "A-R", 0.1)
    report = after(replace(SQUARE, incidents=(failure,)), 1)
    assert report.missed == 0
    assert report.links[0].made < report.links[1].made


def test_light_that_changes_within_a_block_splits_it_as_a_poisson_process_does():
    link, light = SQUARE.links[0], SQUARE.lights[0]
    bright = quality_of(link, light)
    dim = quality_of(link, light, LinkState(extra_loss_db=3.0))
    rounds, seen = 10_000, 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        block = BlockInWork(0, rounds, rounds, 0.0, 0.0, bright)
        block.change(0.3 * rounds / bright.per_second, dim, rng)
        seen += block.pieces[0][0]
        left = 0.7 * rounds / dim.per_second
        assert block.end_s == pytest.approx(0.3 * rounds / bright.per_second + left, rel=1e-12)
        assert sum(piece for piece, _ in block.all_pieces) == rounds
    assert_binomial(seen, 40 * (rounds - 1), 0.3, must_detect=0.31)


def test_a_link_cut_in_the_middle_of_a_block_loses_the_block():
    with_cut = begin(SQUARE, seed=1)
    with_cut.advance(0.05)
    with_cut.cut("R-S")
    assert with_cut.lives[2].block is None
    made = with_cut.ledger.made[2]
    with_cut.advance(0.5)
    assert with_cut.ledger.made[2] == made
    with_cut.mend("R-S")
    with_cut.advance(1.2)
    assert with_cut.ledger.made[2] > made
    with_cut.close()


def test_an_adversary_that_is_none_leaves_the_network_as_it_was():
    simulation = begin(SQUARE, seed=1)
    with pytest.raises(ValueError, match="`attack` must be one of"):
        simulation.attack("R-S", "nobody")
    with pytest.raises(ValueError, match="act on each photon alike, but `gisin` does not"):
        simulation.attack("R-S", "gisin")
    assert simulation.lives[2].eve is None
    simulation.close()


def test_requests_served_together_are_those_served_one_by_one():
    found, one_by_one = [], []
    for together in (True, False):
        simulation = begin(SQUARE, depth="counts", seed=1)
        users, singly = simulation.users, []
        users.together = together
        deliver = users._deliver
        users._deliver = lambda *key, to=singly, do=deliver: (to.append(key), do(*key))
        simulation.advance(3.0)
        found.append((vars(simulation.ledger), vars(simulation.history.delivered)))
        one_by_one.append(len(singly))
    assert found[0] == found[1]
    served = found[0][1]["served"]
    assert one_by_one[0] < served / 2 < served == one_by_one[1]


def test_keys_go_another_way_when_a_link_rings():
    attack = Incident(IncidentKind.ATTACK, "R-S", 0.5, 1.5, "intercept-resend", 1.0)
    report = after(replace(SQUARE, incidents=(attack,)), 4)
    ways = [event for event in report.events if event.kind == "route"]
    assert [event.value for event in ways] == [1, 1]  # R to S by T, and back
    assert report.routes_changed == 2


def test_whoever_watches_sees_every_block_judged_before_a_new_test_begins():
    attack = Incident(IncidentKind.ATTACK, "R-S", 0.5, 1.0, "intercept-resend", 1.0)
    simulation, seen = begin(replace(SQUARE, incidents=(attack,)), seed=1), []
    simulation.watch = lambda life: seen.append((life.plan.name, life.last.watched.rang))
    simulation.advance(1.5)
    assert len(seen) == simulation.history.blocks
    assert len(simulation.history.alarms) == 1
    assert ("R-S", True) in seen
    assert all(name == "R-S" for name, rang in seen if rang)


def test_whoever_watches_published_rates_sees_every_second():
    simulation, seen = begin(load("cambridge-2019"), seed=1), []
    simulation.watch = lambda life: seen.append((simulation.now_s, life.index, life.tested > 0))
    simulation.advance(3.5)
    assert seen == [(second, link, True) for second in (1.0, 2.0, 3.0) for link in range(3)]


def test_a_delivered_key_says_where_it_comes_from():
    simulation, keys = begin(SQUARE, seed=1), []
    simulation.users.listener = keys.append
    simulation.advance(0.5)
    simulation.close()
    assert len(keys) == simulation.history.delivered.served > 10
    for key in keys:
        assert key.at_source == key.at_target < 2**256
        assert key.route.trusts in ((("R", "S"),), (("S", "R"),))
        assert key.route.weakest is SecurityModel.TRUSTED_ANALYSERS
        assert key.route.epsilon > 2.999e-10  # three links, a block or two each
        assert key.age_s > 0
        assert f"{key.at_source}" not in repr(key)
    assert len({key.at_source for key in keys}) == len(keys)


def test_a_key_that_straddles_two_blocks_rests_on_both():
    pool = Pool()
    for number, bits in enumerate([1000, 1000]):
        pool.put(bits, now_s=float(number), number=number, key=None)
    assert [block.number for block in pool.next_blocks(256, stored=2000)] == [0]
    assert [block.number for block in pool.next_blocks(256, stored=1256)] == [0]
    assert [block.number for block in pool.next_blocks(256, stored=1255)] == [0, 1]
    assert [block.number for block in pool.next_blocks(256, stored=1000)] == [1]
    assert pool.oldest_s(stored=1000) == 1.0
    assert pool.oldest_s(stored=0) is None


def test_blocks_drawn_elsewhere_are_the_same():
    attack = Incident(IncidentKind.ATTACK, "R-S", 0.5, 1.5, "intercept-resend", 1.0)
    plan = replace(SQUARE, incidents=(attack,))
    with ThreadPoolExecutor(3) as pool:
        elsewhere = after(plan, 3, client=SimpleNamespace(get_executor=lambda: pool))
    here = after(plan, 3)
    assert elsewhere.links == here.links
    assert elsewhere.alarms == here.alarms
    assert elsewhere.events == here.events


@pytest.mark.slow
def test_blocks_drawn_on_a_cluster_are_the_same():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        elsewhere = after(SQUARE, 2, client=client)
    assert elsewhere.links == after(SQUARE, 2).links


def test_a_user_is_informed_that_a_link_rang():
    attack = Incident(IncidentKind.ATTACK, "A-R", 0.5, 1.0, "intercept-resend", 1.0)
    report = after(replace(SQUARE, incidents=(attack,)), 1)
    (rang,) = [event for event in report.events if event.kind == "alarm"]
    assert rang.words.endswith(" A is informed.")


@pytest.mark.parametrize(("strength", "some"), [(1.0, False), (0.06, True)])
def test_an_alarm_says_what_was_released_since_the_attack_began(strength, some):
    attack = Incident(IncidentKind.ATTACK, "R-S", 0.5, 30.0, "intercept-resend", strength)
    simulation = begin(replace(SQUARE, incidents=(attack,)), depth="counts", seed=1)
    simulation.advance(0.5)
    before = simulation.ledger.made[2]
    while not simulation.history.alarms:
        released = simulation.ledger.made[2] - before
        simulation.advance(simulation.now_s + 0.01)
    (alarm,) = simulation.history.alarms
    assert alarm.bits_released == released
    assert (released > 0) == some
