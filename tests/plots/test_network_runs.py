"""Figures of a network's run: the numbers that they show, and that they show all of them."""

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_rgba
from small_networks import flowing, network_of

from e91.network import Incident, IncidentKind, load, run
from e91.plots import (
    NetworkBudget,
    level_map,
    levels_figure,
    link_series,
    link_series_figure,
    network_budget,
    network_budget_figure,
    network_figure,
    request_series,
    requests_figure,
    route_change,
    routes_figure,
)
from e91.plots.style import COLOURS


@pytest.fixture(autouse=True)
def _closed():
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def attacked():
    """Return a run in which an attack on R-S rings, and the way leads by T until it is back."""
    square = network_of("A B", "R S T", "A-R B-S R-S R-T T-S")
    attack = Incident(IncidentKind.ATTACK, "R-S", 5, 10, "intercept-resend", 1.0)
    rates = dict.fromkeys(square.link, 1000.0)
    return run(flowing(square, rates, store_bits=5000, incidents=(attack,)), minutes=0.5, seed=1)


@pytest.fixture(scope="module")
def conference():
    return load("tokyo-2010").run(seed=1)


@pytest.fixture(scope="module")
def dry():
    return load("secoqc-2008").run(seed=1)


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_links_to_which_something_happened_come_first_and_all_others_are_a_band(dry):
    found = link_series(dry, most=2)
    assert found.names[0] == "ERD-FOR"  # its source fails
    assert found.others == sum(bits.made > 0 for bits in dry.links) - 2
    stored = dry.samples.column("stored")
    assert found.values[-1, 0] == dry.links[3].stored
    assert found.values[:-1, 0].tolist() == stored[:, 3].tolist()
    rest = [n for n, link in enumerate(dry.plan.links)
            if dry.links[n].made and link.name not in found.names]  # fmt: skip
    assert found.lowest[:-1].tolist() == stored[:, rest].min(axis=1).tolist()
    assert found.highest[:-1].tolist() == stored[:, rest].max(axis=1).tolist()


def test_alarms_and_trouble_are_marked_in_the_unit_of_the_axis(conference):
    axes = link_series_figure(link_series(conference))
    assert axes.get_xlabel() == "time (minutes)"
    (alarm,) = [line for line in axes.lines if line.get_marker() == "X"]
    assert alarm.get_xdata().tolist() == [601 / 60]
    assert {"alarm of K1-K2", "trouble on K1-K2", "K1-K2", "O1-O2"} <= set(labels(axes))


def test_ages_are_drawn_as_levels_are(conference):
    found = link_series(conference, "age_s")
    assert found.values.max() == conference.samples.column("age_s").max()
    assert link_series_figure(found).get_ylabel() == "age (minutes)"


@pytest.mark.parametrize("intervals", [1, 7, 60, 10_000])
def test_requests_add_up_in_any_intervals(dry, intervals):
    found = request_series(dry, intervals=intervals)
    assert found.in_time.sum() == dry.served - dry.late
    assert (found.late.sum(), found.missed.sum()) == (dry.late, dry.missed)
    assert (found.edges_s[0], found.edges_s[-1]) == (0, dry.simulated_s)
    assert (np.diff(found.edges_s) > 0).all()


def test_missed_requests_stand_where_no_way_was_left(dry):
    found = request_series(dry, intervals=176)
    assert found.edges_s[:-1][found.missed > 0].min() == pytest.approx(60 * 158.7, abs=60)
    assert f"missed ({dry.missed:,})" in labels(requests_figure(found))


@pytest.mark.parametrize("name", ["attacked", "conference", "dry"])
def test_the_budget_adds_up_to_the_key_that_was_delivered(name, request):
    found = network_budget(request.getfixturevalue(name))
    assert found.made - sum(found.lost.values()) - found.stored == found.spent
    assert found.spent >= found.delivered > 0


@pytest.mark.parametrize("coincidences", [0, 5000])
def test_the_bars_of_a_budget_add_up(coincidences):
    found = NetworkBudget(coincidences, 2000, {"alarm": 100, "rounding": 3}, 897, 1000, 250)
    bars = network_budget_figure(found).patches
    whole = [bar for bar in bars if bar.get_hatch() is None]
    taken = [bar for bar in bars if bar.get_hatch()]
    begin = found.coincidences or found.made
    assert whole[0].get_width() == begin
    assert begin - sum(bar.get_width() for bar in taken) == found.delivered
    assert whole[-1].get_width() == found.delivered


def test_the_map_shows_what_is_in_store_and_who_is_out_of_service(conference):
    found = level_map(conference)
    assert found.out == found.rang == {"K1-K2"}
    most = conference.samples.column("stored").max(axis=0)
    names = [link.name for link in conference.plan.links]
    assert found.levels["K1-O1"] == pytest.approx(
        conference.links[names.index("K1-O1")].stored / most[names.index("K1-O1")]
    )
    axes = levels_figure(found)
    drawn = [line for line in axes.lines if to_rgba(line.get_color()) == to_rgba(COLOURS[2])]
    lengths = [
        np.hypot(*np.ptp(line.get_xydata(), axis=0)) for line in drawn if len(line.get_xydata())
    ]
    whole = np.hypot(14 + 17, 4 - 3)  # K1 to O1, in kilometres of the drawing
    assert np.min(np.abs(np.array(lengths) - found.levels["K1-O1"] * whole)) < 1e-9
    assert "out of service" in labels(axes)


def test_a_link_that_is_back_is_marked_as_such(attacked):
    assert level_map(attacked).out == set()
    assert level_map(attacked).rang == {"R-S"}


def test_the_way_before_an_attack_and_the_one_after_it(attacked, conference, dry):
    found = route_change(attacked)
    assert (found.before, found.after) == ((("R", "S"),), (("R", "T", "S"),))
    assert found.failed == ("R-S",)
    found = route_change(conference)
    assert (found.before, found.after) == ((("K1", "K2", "O2"),), (("K1", "O1", "O2"),))
    assert (found.failed, found.others) == (("K1-K2",), 3)
    axes = routes_figure(found)
    assert {"before: K1, K2, O2", "after: K1, O1, O2"} <= set(labels(axes))
    assert route_change(dry).failed == ()  # it ran dry


def test_no_change_of_ways_is_none():
    report = load("cambridge-2019").run(minutes=1, seed=1)
    assert route_change(report) is None
    assert len(network_figure(report)) == 5


def test_a_report_draws_itself_as_its_stores_and_the_page_has_all(attacked):
    axes = pyplot.subplots()[1]
    assert attacked.plot(axes) is axes
    assert axes.get_title() == "Key in store"
    titles = [axes.get_title() for axes in network_figure(attacked)]
    assert len(set(titles)) == 6
