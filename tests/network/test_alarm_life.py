"""False alarms of a network over months: what was promised, and what would be seen."""

from dataclasses import replace

import pytest
from scipy.stats import binom

from e91.network import Variation, Varied, alarm_life, load
from e91.network.alarm_life import _outcomes
from e91.network.light import quality_of
from e91.network.network_run import lives_of


@pytest.mark.parametrize("at_promise", [False, True])
def test_false_alarms_of_a_month_are_within_what_is_promised(at_promise):
    life = alarm_life(load("jinan-2012"), days=30, seed=1, false_alarm=0.05, at_promise=at_promise)
    assert life.links == 53
    assert len(life.rang) <= binom.isf(1e-9, life.links, 0.05)
    assert binom.isf(1e-9, life.links, 0.05) < life.links  # so that too many would be seen


def test_weather_that_the_plan_states_rings_no_alarm():
    plan = load("jinan-2012")
    link = plan.links[0].name
    worse = Variation((link,), Varied.VISIBILITY, (0.0, 86_400.0), (1.0, 0.9))
    lives = alarm_life(replace(plan, variations=(worse,)), days=2, seed=1)
    assert not lives.rang  # the promise is by the worst that the plan has
    assert alarm_life(plan, days=2, seed=1).rang == ()


def test_the_ten_chances_are_those_of_the_table():
    life = lives_of(load("jinan-2012"), seed=1)[5]
    quality = quality_of(life.plan, life.light, settings=life.practice.settings)
    chances, share = _outcomes(life.practice, quality.table, at_promise=False)
    wins, losses, key = chances[:4], chances[4:8], chances[8:]
    assert chances.sum() == pytest.approx(1)
    correlators = (wins - losses) / (wins + losses)
    assert correlators.sum() == pytest.approx(quality.chsh_value, abs=1e-12)
    assert key[1] / key.sum() == pytest.approx(quality.error_rate, abs=1e-12)
    assert 0 < share < 1


def test_published_rates_have_no_bell_test_to_watch():
    with pytest.raises(ValueError, match="simulated to be watched"):
        alarm_life(load("tokyo-2010"), days=1)
