"""Links by satellite in a run: dark but in passes, and a block waits from one pass for the next.

On the evening of 19 December 2016 Delingha and Lijiang have two passes, 95 minutes apart.
"""

import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from e91.network import Incident, IncidentKind, begin, entangled_key, load
from e91.network.light import LinkState, quality_of
from e91.network.weather import STEP_S, Weather

PLAN = load("micius")
NAME = "Delingha-Lijiang"
START = datetime(2016, 12, 19, 16, 50, tzinfo=UTC)


def evening(block_rounds=8_192, incidents=()):
    """Return the plan of that evening, with the one link only."""
    satellite = replace(PLAN.satellite, orbit=replace(PLAN.satellite.orbit, start=START))
    lights = tuple(replace(light, block_rounds=block_rounds) for light in PLAN.lights)
    demand = tuple(one for one in PLAN.demand if one.target == "Lijiang")
    return replace(
        PLAN, satellite=satellite, lights=lights, links=(PLAN.link[NAME],), demand=demand,
        incidents=incidents,
    )  # fmt: skip


@pytest.fixture(scope="module")
def passes():
    return entangled_key(evening(), ("Delingha", "Lijiang"), days=0.1).passes


def test_light_comes_while_the_passes_last(passes):
    weather, time_s, shone = Weather(evening()), 0.0, []
    while time_s < 8_000:
        then_s = weather.next_look_s(NAME, time_s)
        if weather.state(NAME, time_s).sky is not None:
            shone.append((time_s, then_s))
        time_s = then_s
    assert len(passes) == 2
    assert shone[0][0] == passes[0].seen.time_s[0]
    assert shone[-1][1] == passes[1].seen.time_s[-1] + 1
    assert sum(end - start for start, end in shone) == sum(one.seen.duration_s for one in passes)


def test_out_of_sight_is_dark():
    link, light = PLAN.link[NAME], PLAN.light["downlink-2017"]
    assert quality_of(link, light, LinkState()).per_second == 0


def test_a_link_on_the_ground_is_looked_at_every_minute():
    plan = load("jinan-2012")
    weather = Weather(plan)
    assert not any(weather.changes(link.name) for link in plan.links)
    assert weather.next_look_s(plan.links[0].name, 5.0) == 5.0 + STEP_S


def test_block_waits_for_the_next_pass(passes):
    simulation = begin(evening(), depth="counts", seed=1)
    (life,) = simulation.lives
    simulation.advance(200.0)
    assert life.block is None  # nothing in sight yet
    collected = []
    for end_s in (3_000.0, 7_000.0):
        simulation.advance(end_s)
        assert life.waits_for_a_pass
        assert life.block.end_s == math.inf
        collected.append(life.block.exposed)
    counted = [one.coincidences for one in passes]
    assert collected[0] == pytest.approx(counted[0], rel=0.03)  # pieces of 10 s, three settings
    assert collected[1] == pytest.approx(sum(counted), rel=0.03)
    assert 0 < sum(seen for seen, _ in life.block.pieces) < life.block.rounds
    simulation.close()


def test_block_of_two_passes_is_judged_in_the_second():
    simulation = begin(evening(block_rounds=30), depth="counts", seed=1)
    simulation.advance(3_000.0)
    assert simulation.history.blocks == 0
    simulation.advance(7_000.0)
    assert (simulation.history.blocks, simulation.history.rounds) == (1, 30)
    assert simulation.ledger.is_conserved
    simulation.close()


def test_what_was_collected_is_lost_in_a_cut():
    cut = Incident(IncidentKind.CUT, NAME, 1_000.0, 1_100.0)
    simulation = begin(evening(incidents=(cut,)), depth="counts", seed=1)
    (life,) = simulation.lives
    simulation.advance(999.0)
    assert life.block is not None
    simulation.advance(2_000.0)
    assert life.block is None
    assert not life.shines
    simulation.close()


def test_bits_and_counts_see_the_same_passes():
    simulation = begin(evening(block_rounds=30), depth="bits", seed=1)
    simulation.advance(7_000.0)
    assert (simulation.history.blocks, simulation.history.rounds) == (1, 30)
    simulation.close()
