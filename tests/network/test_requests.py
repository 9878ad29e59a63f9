"""What becomes of requests: served at once or late, missed, void, or waiting still."""

from dataclasses import replace

import numpy as np
import pytest
from small_networks import flowing, lit, network_of

from e91.network import Call, Incident, IncidentKind, Rotation, Transfer, begin, report_of, run
from e91.network.history import Delivered
from e91.network.key_ledger import Pool
from e91.network.traffic import Asked, Traffic

NAMES = network_of("A B", "R S T", "A-R B-S R-S R-T T-S")
SQUARE = lit(NAMES)


def figures(simulation):
    return vars(simulation.history.delivered) | {"stored": list(simulation.ledger.stored)}


@pytest.mark.parametrize("rule", ["fewest-hops", "widest"])
def test_what_is_served_ahead_is_what_would_be_served_one_by_one(monkeypatch, rule):
    """Links come and go within seconds, and a relay turns."""
    incidents = (
        Incident(IncidentKind.CUT, "R-S", 1.313, 2.717),
        Incident(IncidentKind.ATTACK, "R-T", 3.3, 3.9, "intercept-resend", 1.0),
        Incident(IncidentKind.RELAY_TURNS, "S", 4.5, 4.6),
        Incident(IncidentKind.CUT, "A-R", 5.2, 5.9),
    )
    plan = replace(lit(NAMES, keys_per_second=60.0, rule=rule), incidents=incidents)
    together = begin(plan, depth="counts", seed=3)
    ahead = counted_calls(monkeypatch, together.users)
    together.advance(7.0)
    assert bool(ahead) == (rule == "fewest-hops")
    monkeypatch.setattr(Traffic, "_serve_together", lambda *_: False)
    one_by_one = begin(plan, depth="counts", seed=3)
    one_by_one.advance(7.0)
    assert figures(together) == figures(one_by_one)
    assert vars(together.ledger) == vars(one_by_one.ledger)
    assert together.history.delivered.betrayed > 0


def counted_calls(monkeypatch, traffic):
    served = []
    plain = traffic._serve_together
    monkeypatch.setattr(
        traffic, "_serve_together", lambda *given: plain(*given) and not served.append(1)
    )
    return served


def test_a_request_that_waits_for_ever_hides_no_other_that_is_missed():
    plan = replace(
        flowing(NAMES, dict.fromkeys(NAMES.link, 100.0), keys_per_second=3.0, patience_s=1.0),
    )
    plan = replace(plan, demand=(Transfer("A", "B", 10**6), *plan.demand))
    report = run(plan, minutes=0.5, seed=1)
    asked = sum(len(process.second()[0]) for process in begin(plan, seed=1).users.random * 30)
    assert report.served + report.missed + report.waiting == asked + 1
    assert report.waiting <= 20  # the file, and the requests of the last second or two
    assert f"{report.waiting} waiting still of {asked + 1}" in report.text()


def test_a_request_wakes_when_a_link_comes_back_and_not_only_when_one_is_filled():
    rates = dict.fromkeys(NAMES.link, 0.0)
    plan = flowing(NAMES, rates, store_bits=10_000, keys_per_second=0.0, patience_s=100.0)
    plan = replace(plan, demand=(Call("A", "B", 256.0, 1.0, 1.5),))
    plan = replace(
        plan,
        links=tuple(
            replace(link, store_bits=0) if link.name == "R-T" else link for link in plan.links
        ),
        incidents=(Incident(IncidentKind.CUT, "R-S", 0.5, 2.0),),
    )
    simulation = begin(plan, seed=1)
    simulation.advance(2.1)
    assert simulation.history.delivered.served == simulation.history.delivered.late == 1


def in_flight(*, late, counts=True, real=False, bits=12):
    """Return a network in which a key is on its way over all links, and the news of it."""
    simulation = begin(lit(NAMES, keys_per_second=0.0), depth="bits" if real else "counts", seed=1)
    simulation.advance(0.5)
    heard = []
    asked = Asked(0, 1, bits, 9.0, lambda *done: heard.append(done), counts=counts, is_late=late)
    simulation.users.ask(asked, now_s=0.5)
    return simulation, heard


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("counts", [False, True])
def test_a_void_key_leaves_no_trace_but_a_missed_request(late, counts):
    simulation, heard = in_flight(late=late, counts=counts)
    done = simulation.history.delivered
    assert (done.served, done.late, done.deliveries) == (counts, late and counts, 1)
    simulation.cut("R-S")
    assert vars(done) == vars(Delivered(missed=int(counts), most_hops=3))
    assert heard == [(0.5, True), (0.5, False)]
    assert simulation.ledger.is_conserved


def test_a_part_of_a_file_that_becomes_void_is_sent_again():
    plan = flowing(NAMES, dict.fromkeys(NAMES.link, 0.0), store_bits=10**6, keys_per_second=0.0)
    plan = replace(
        plan,
        demand=(Transfer("A", "B", 3 * 2**16, 1.0),),
        incidents=(Incident(IncidentKind.CUT, "R-S", 1.001, 5.0),),
    )
    report = run(plan, minutes=0.1, seed=1)
    assert report.delivered_bits == 3 * 2**16
    assert "coincidences" not in report.text()  # published rates have no blocks
    assert f"made {report.total.made:,}, the stores at the start included" in " ".join(
        report.text().split()
    )
    assert (report.served, report.missed) == (3, 3)
    assert report.is_conserved


def test_refills_of_encryptors_are_no_requests_but_deliveries():
    plan = flowing(NAMES, dict.fromkeys(NAMES.link, 10_000.0), keys_per_second=0.0)
    plan = replace(plan, demand=(Rotation("A", "B", 0.1, 256, 10, 3),))
    report = run(plan, minutes=0.5, seed=1)
    assert report.served > 200
    assert report.deliveries == len(report.refills)
    assert report.to_dict()["hops"] == {"mean": 3.0, "most": 3}


@pytest.mark.parametrize("bits", [1, 7, 12, 256, 1001])
def test_keys_of_any_number_of_bits_are_equal_at_both_ends_and_use_each_bit_once(bits):
    simulation, _ = in_flight(late=False, real=True, bits=bits)
    simulation.users.listener = (keys := []).append
    for _ in range(5):
        simulation.users.ask(Asked(1, 0, bits, 9.0), now_s=0.5)
    assert len({key.at_source for key in keys}) > (1 if bits > 1 else 0)
    for key in keys:
        assert key.at_source == key.at_target < 2**bits
    report = report_of(simulation, depth="bits", seconds=1.0)
    assert report.delivered_bits == 6 * bits
    assert report.total.spent == 3 * report.delivered_bits
    for link, pool in enumerate(simulation.pools):
        left = 8 * len(pool.first) - pool.used_of_byte
        assert left == simulation.ledger.stored[link] == pool.filled - pool.taken


def test_a_pool_gives_its_bits_in_order_whatever_the_sizes():
    rng = np.random.default_rng(1)
    key = rng.bytes(200)
    pool = Pool()
    pool.put(1600, now_s=0.0, number=0, key=(key, key[::-1]))
    sizes = [int(size) for size in rng.integers(1, 40, 70)]
    taken = [pool.take(size) for size in sizes]
    for end, whole in enumerate((key, key[::-1])):
        text = "".join(f"{value[end]:0{size}b}" for value, size in zip(taken, sizes, strict=True))
        assert f"{int.from_bytes(whole, 'big'):01600b}".startswith(text)


def test_a_share_served_is_never_rounded_up_and_what_is_claimed_is_said_in_full():
    plan = lit(NAMES, keys_per_second=2000.0, patience_s=0.0)
    report = run(plan, minutes=0.1, seed=1, depth="counts")
    text = " ".join(report.text().split())
    almost = replace(report, served=99_999, missed=1, waiting=0)
    assert "0.9999 of all requests served" in " ".join(almost.text().split())
    assert f"{report.blocks:,} with {report.rounds:,} coincidences; none without key" in text
    assert f"at most 1e-10, some key of all blocks with {1e-10 * report.blocks:.2g}" in text
    assert (
        "ever rings with probability at most 0.0001, and again so after each start of its test"
        in text
    )


@pytest.mark.parametrize("light", [{"visibility": 0.0}, {"bit_error": 1.0}, {"block_rounds": 2}])
def test_light_that_leaves_no_key_leaves_the_network_running(light):
    plan = lit(NAMES, store_s=0.0, patience_s=0.0)
    plan = replace(plan, lights=(replace(plan.lights[0], **light),))
    report = run(
        plan, minutes=0.0003 if light == {"block_rounds": 2} else 0.01, seed=1, depth="counts"
    )
    assert report.blocks == sum(report.aborts.values()) > 0
    assert report.served == 0 == report.total.made
    assert f"without key: {report.blocks:,} (" in " ".join(report.text().split())
