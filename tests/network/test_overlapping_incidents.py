"""Incidents that overlap on one link, and steering that does the same as a plan."""

from dataclasses import replace

import pytest
from small_networks import flowing, lit, network_of

from e91.network import Incident, IncidentKind, Variation, Varied, begin, check_plan, run
from e91.network.link_life import Condition

DARK = network_of("A B", "R S T", "A-R B-S R-S R-T T-S")
SQUARE = lit(DARK)
LISTEN = ("intercept-resend", 1.0)


def begun(plan=SQUARE, **given):
    return begin(plan, depth="counts", seed=1, **given)


def attacked(simulation, *, upto_s=1.0):
    """Let an adversary listen on R-S until it rings."""
    simulation.advance(0.01)
    simulation.attack("R-S", *LISTEN)
    simulation.advance(upto_s)
    return simulation.lives[2]


def test_a_cut_does_not_end_the_trial_of_a_link_that_rang():
    simulation = begun()
    life = attacked(simulation)
    assert life.condition is Condition.RANG
    simulation.cut("R-S")
    assert life.condition is Condition.CUT
    simulation.mend("R-S")
    assert life.condition is Condition.RANG
    simulation.advance(3.0)
    assert life.condition is Condition.RANG  # somebody listens still
    assert simulation.ledger.stored[2] == 0


def test_who_mends_a_line_revives_no_relay_and_the_other_way_round():
    simulation = begun()
    simulation.advance(0.0)
    simulation.cut("R-S")
    simulation.darken("R-T")
    simulation.kill_relay("R")
    simulation.mend("R-S")
    life = simulation.lives[2]
    assert life.dark
    assert not simulation.router.up[2]
    simulation.revive_relay("R")
    assert simulation.router.up[2]
    assert not life.dark
    assert simulation.lives[3].dark  # its source fails still


def test_a_link_with_a_dead_relay_at_either_end_needs_both():
    simulation = begun()
    simulation.advance(0.0)
    simulation.kill_relay("R")
    simulation.kill_relay("S")
    simulation.revive_relay("R")
    blocks = simulation.lives[2].number
    simulation.advance(1.0)
    assert simulation.lives[2].number == blocks
    assert not simulation.router.up[2]


def test_incidents_of_different_kinds_end_by_themselves():
    plan = replace(
        SQUARE,
        incidents=(
            Incident(IncidentKind.CUT, "R-S", 0.2, 0.4),
            Incident(IncidentKind.SOURCE_FAILS, "R-S", 0.3, 0.8),
        ),
    )
    simulation = begun(plan)
    simulation.advance(0.6)
    assert simulation.router.up[2]
    assert simulation.lives[2].dark
    simulation.advance(0.9)
    assert not simulation.lives[2].dark


def test_an_incident_that_begins_as_another_ends_goes_on():
    later = Incident(IncidentKind.CUT, "R-S", 0.4, 0.6)
    plan = replace(SQUARE, incidents=(later, Incident(IncidentKind.CUT, "R-S", 0.2, 0.4)))
    simulation = begun(plan)
    simulation.advance(0.5)
    assert simulation.lives[2].is_cut
    simulation.advance(0.7)
    assert not simulation.lives[2].is_cut


def test_incidents_of_one_kind_at_one_place_do_not_overlap():
    plan = replace(
        SQUARE,
        incidents=(
            Incident(IncidentKind.ATTACK, "R-S", 5.0, 9.0, *LISTEN),
            Incident(IncidentKind.ATTACK, "R-S", 1.0, 6.0, "cloner", 0.1),
        ),
    )
    with pytest.raises(ValueError, match=r"`incidents\[0\]` must not overlap another of its kind"):
        check_plan(plan)


def test_a_plan_does_not_end_the_attack_of_a_hand():
    plan = replace(SQUARE, incidents=(Incident(IncidentKind.ATTACK, "R-S", 0.1, 0.5, *LISTEN),))
    simulation = begun(plan)
    simulation.advance(0.3)
    simulation.attack("R-S", "cloner", 0.2)
    simulation.advance(0.6)
    assert simulation.lives[2].eve == ("cloner", 0.2)


def test_an_alarm_after_a_short_attack_is_not_called_false():
    simulation = begun(lit(SQUARE, keys_per_second=0.0, store_limit_s=100.0))
    simulation.advance(0.01)
    block = simulation.lives[2].block
    begins_s = simulation.now_s
    simulation.attack("R-S", *LISTEN)
    simulation.advance((begins_s + 9 * simulation.lives[2].block.end_s) / 10)
    simulation.end_attack("R-S")
    assert simulation.lives[2].block is block  # it rings when nobody listens any more
    simulation.advance(0.5)
    (alarm,) = simulation.history.alarms
    assert alarm.attacked_s == begins_s
    assert simulation.lives[2].attacked_s is None  # the test that began anew saw nobody


@pytest.mark.parametrize("step_s", [0.0073, 0.31, 2.5])
def test_time_may_pass_in_any_steps_and_steering_does_what_plans_do(step_s):
    whole, stepped = begun(planned()), begun(lit(SQUARE))
    whole.advance(2.5)
    acts = [
        (0.111, lambda: stepped.attack("R-S", *LISTEN)),
        (0.222, lambda: stepped.cut("R-T")),
        (0.75, lambda: stepped.cut("R-S")),
        (0.9, lambda: stepped.end_attack("R-S")),
        (1.3, lambda: stepped.mend("R-S")),
        (1.4, lambda: stepped.mend("R-T")),
    ]
    for at_s, act in acts:
        in_steps(stepped, at_s, step_s)
        act()
    in_steps(stepped, 2.5, step_s)
    assert vars(stepped.ledger) == vars(whole.ledger)
    assert stepped.history.events == whole.history.events
    assert vars(stepped.history.delivered) == vars(whole.history.delivered)


def planned():
    return replace(
        lit(SQUARE),
        incidents=(
            Incident(IncidentKind.ATTACK, "R-S", 0.111, 0.9, *LISTEN),
            Incident(IncidentKind.CUT, "R-T", 0.222, 1.4),
            Incident(IncidentKind.CUT, "R-S", 0.75, 1.3),
        ),
    )


def in_steps(simulation, until_s, step_s):
    while simulation.now_s + step_s < until_s:
        simulation.advance(simulation.now_s + step_s)
    simulation.advance(until_s)


def test_a_block_ends_by_the_light_that_it_has_now():
    """Two changes of one instant: the end that the first one set is void."""
    simulation = begun(lit(SQUARE, keys_per_second=0.0, store_limit_s=100.0))
    simulation.advance(0.0)
    life = simulation.lives[2]
    simulation.weather.of_link["R-S"] = (loss(1.0, 20.0),)
    simulation.relight(life)  # in the same instant: brighter than it will be
    number, ends_s = life.block.number, life.block.end_s
    simulation.weather.of_link["R-S"] = (loss(20.0, 20.0),)
    simulation.relight(life)
    assert life.block.end_s > 10 * ends_s
    simulation.advance(2 * ends_s)
    assert life.block.number == number


def loss(first_db, last_db):
    return Variation(("R-S",), Varied.LOSS_DB, (0.0, 1e9), (first_db, last_db))


def test_time_does_not_go_back():
    simulation = begun()
    simulation.advance(1.0)
    for wrong in (0.5, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="must not lie before the present, 1 s"):
            simulation.advance(wrong)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda s: s.attack("R-X", *LISTEN), "`link` must be a link of the network, but 'R-X'"),
        (lambda s: s.attack("R-S", "gisin"), "must act on each photon alike, but `gisin`"),
        (lambda s: s.attack("R-S", "cloner", 7.0), "7"),
        (lambda s: s.kill_relay("A"), "`site` must be a relay of the network, but 'A' is none"),
        (lambda s: s.turn_relay("Q", honest=False), "`site` must be a relay"),
    ],
)
@pytest.mark.parametrize("kind", ["lit", "published"])
def test_what_is_not_there_cannot_be_broken(act, words, kind):
    rates = dict.fromkeys(SQUARE.link, 1000.0)
    simulation = begun(SQUARE if kind == "lit" else flowing(DARK, rates))
    simulation.advance(0.5)
    before = len(simulation.history.events)
    with pytest.raises(ValueError, match=words):
        act(simulation)
    assert len(simulation.history.events) == before


def test_published_rates_go_on_with_their_trial_after_a_cut():
    rates = dict.fromkeys(SQUARE.link, 100_000.0)
    plan = replace(
        flowing(DARK, rates),
        incidents=(
            Incident(IncidentKind.ATTACK, "R-S", 1.0, 20.0, *LISTEN),
            Incident(IncidentKind.CUT, "R-S", 5.0, 6.0),
        ),
    )
    report = run(plan, minutes=0.25, seed=1)
    assert len(report.alarms) == 1
    assert report.links[2].stored == 0
