import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot

from e91.network import load, names
from e91.plots import map_figure, network_map

matplotlib.use("agg")


@pytest.fixture(autouse=True)
def _closed():
    yield
    pyplot.close("all")


@pytest.mark.parametrize("name", names())
def test_every_site_and_link_is_on_the_map_once(name):
    plan = load(name)
    shown = network_map(plan)
    sites = [site for group in shown.sites for site in group.names]
    links = [link for group in shown.links for link in group.names]
    assert sorted(sites) == sorted(plan.site)
    assert sorted(links) == sorted(plan.link)


def test_a_link_is_led_through_its_switch():
    plan = load("hefei-2021")
    (access, backbone) = network_map(plan).links
    switch = plan.site["OS-1"]
    through = dict(zip(access.names, access.paths_km, strict=True))
    assert through["TR-1-UA-1"][1].tolist() == [switch.x_km, switch.y_km]
    assert through["TR-1-UB-1"].shape == (2, 2)
    assert {path.shape for path in backbone.paths_km} == {(2, 2)}


def test_links_are_distinguished_by_medium_and_ends():
    kinds = {
        name: {group.kind for group in network_map(load(name)).links}
        for name in ("secoqc-2008", "thuringia-2026", "micius", "joshi-2020")
    }
    assert kinds == {
        "secoqc-2008": {"between relays", "free space"},
        "thuringia-2026": {"access link", "between relays", "from a store"},
        "micius": {"by satellite"},
        "joshi-2020": {"link between users"},
    }


def test_sectors_and_kinds_have_a_shape_of_their_own_not_a_colour_alone():
    axes = map_figure(network_map(load("jinan-2017")))
    drawn = [line for line in axes.lines if line.get_marker() not in ("None", None)]
    assert len(drawn) == 5
    assert len({line.get_marker() for line in drawn}) == 5
    assert [text.get_text() for text in axes.texts if text.get_text().startswith("R")] == [
        f"R{number}" for number in range(1, 9)
    ]


def test_few_links_have_their_lengths_as_printed_written_beside_them():
    texts = [text.get_text() for text in map_figure(network_map(load("secoqc-2008"))).texts]
    assert {"80 m", "85 km", "ERD", "FOR"} <= set(texts)
    many = [text.get_text() for text in map_figure(network_map(load("joshi-2020"))).texts]
    assert "Ivan" in many
    assert not [text for text in many if text.endswith(" km")]


def test_a_bar_says_how_long_a_kilometre_is_where_places_are_known():
    axes = map_figure(network_map(load("micius")))
    (text,) = [text.get_text() for text in axes.texts if text.get_text() == "500 km"]
    (bar,) = [line for line in axes.lines if line.get_marker() == "None"]
    assert float(np.ptp(bar.get_xdata())) == float(text.split()[0])
    assert "drawing" in map_figure(network_map(load("tokyo-2010"))).get_xlabel()


def test_a_network_draws_itself_into_given_axes():
    axes = pyplot.subplots()[1]
    assert load("cambridge-2019").plot(axes) is axes
    assert axes.get_title() == "Cambridge quantum network, 2019"
