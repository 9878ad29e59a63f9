"""A link's figures: the points are the link's own rates, and what is drawn are the points."""

import math

import numpy as np
import pytest
from matplotlib import pyplot
from msgspec.structs import replace

import e91
from e91.bell.expected import chsh_terms, error_rate, mean_products
from e91.devices.link_devices import counted, link_device
from e91.model.settings import ASYMMETRIC
from e91.optics.link_files import Detection, LinkNumbers, PairState, SideNumbers, SourceNumbers
from e91.plots import (
    Mark,
    brightness_figure,
    distance_figure,
    distance_of,
    link_figure,
    rates_by_distance,
    statistics_by_brightness,
)
from e91.session import Link, best_plan

SIDE = SideNumbers(fibre_length_km=10, fibre_attenuation_db_per_km=0.25, detector_efficiency=0.8,
                   dark_counts_per_second=100, loss_db=1.0)  # fmt: skip
LINK = LinkNumbers(
    source=SourceNumbers(pairs_per_second=1e6),
    detection=Detection(coincidence_window_s=1e-9),
    state=PairState(visibility=0.97),
    alice=SIDE,
    bob=replace(SIDE, fibre_length_km=30.0),
)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    pyplot.close("all")


def drawn(axes, label):
    (found,) = (line for line in axes.lines if str(line.get_label()).startswith(label))
    return found.get_xydata().T


def entropy(p):
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p)


def test_rates_at_the_links_own_distance_are_those_of_its_device():
    found = rates_by_distance(LINK, [distance_of(LINK)], session_s=60.0)
    device = link_device(LINK, settings=ASYMMETRIC)
    products = mean_products(device.table)
    s, qber = math.fsum(chsh_terms(products, ASYMMETRIC)), error_rate(products, ASYMMETRIC)
    pace = device.info.pace.coincidences_per_second
    assert found.coincidences_per_second[0] == pytest.approx(pace)
    phase = 1 - s / math.sqrt(8) - qber  # Shor and Preskill, written out
    assert found.asymptotic[0] == pytest.approx(pace * (1 - entropy(qber) - entropy(phase)))
    rounds = int(60 * found.coincidences_per_second[0])
    plan = best_plan(Link(s, qber), rounds, settings=ASYMMETRIC, policy=e91.Policy())
    assert found.finite[0] == pytest.approx(plan.secret_bits / 60, rel=1e-3)
    assert found.loss_db[0] == pytest.approx(40 * 0.25 + 2)


def test_every_fibre_keeps_its_share_and_its_attenuation():
    found = rates_by_distance(LINK, [0, 80])
    assert found.loss_db == pytest.approx([2, 80 * 0.25 + 2])
    longer = replace(LINK, alice=replace(SIDE, fibre_length_km=20.0),
                     bob=replace(SIDE, fibre_length_km=60.0))  # fmt: skip
    assert found.coincidences_per_second[1] == pytest.approx(counted(longer).per_second)
    bare = SideNumbers(loss_db=3.0)
    without = replace(LINK, alice=bare, bob=bare)
    assert rates_by_distance(without, [100]).loss_db == pytest.approx([26])


def test_rates_go_by_default_to_where_the_key_ends_and_sessions_end_before():
    found = rates_by_distance(LINK, session_s=1.0)
    assert found.asymptotic[-1] == 0
    assert found.asymptotic[-3] > 0
    assert (found.finite <= found.asymptotic).all()
    assert (found.finite > 0).sum() < (found.asymptotic > 0).sum()


def test_without_trust_coincidences_are_refused():
    policy = e91.Policy(e91.SecurityModel.DEVICE_INDEPENDENT)
    with pytest.raises(ValueError, match="must be of trusted-analysers, as coincidences prove"):
        rates_by_distance(LINK, [1], policy=policy)


def test_no_rate_is_claimed_without_a_violation():
    noisy = replace(LINK, state=PairState(bit_error=0.001, phase_error=0.3))
    assert counted(noisy).chsh_value < 2
    assert rates_by_distance(noisy, [0, 10]).asymptotic.tolist() == [0, 0]


def test_brightness_spoils_the_error_rate_by_accidentals():
    found = statistics_by_brightness(LINK)
    assert found.here == 1e6
    assert (np.diff(found.chsh_values[found.pairs_per_second > 1e6]) < 0).all()
    assert found.asymptotic[-1] == 0
    assert 0 < found.asymptotic.argmax() < 80
    for pairs, qber, s in zip(
        found.pairs_per_second[::20], found.qber[::20], found.chsh_values[::20], strict=True
    ):
        device = link_device(replace(LINK, source=SourceNumbers(pairs_per_second=pairs)))
        products = mean_products(device.table)
        assert qber == pytest.approx(error_rate(products, e91.EKERT), abs=1e-9)
        assert s == pytest.approx(math.fsum(chsh_terms(products, e91.EKERT)), abs=1e-9)


def test_figures_draw_the_points():
    rates = rates_by_distance(LINK, [0, 40, 80, 1000])
    axes = distance_figure(rates, mark=Mark(40, 1e4, "this link"))
    x, y = drawn(axes, "asymptotic, f = 1")
    assert x == pytest.approx([0, 40, 80, 1000])
    assert y[:3] == pytest.approx(rates.asymptotic[:3])
    assert np.isnan(y[3])
    assert drawn(axes, "this link").T.tolist() == [[40, 1e4]]
    (upper,) = axes.child_axes
    losses = [float(text.get_text()) for text in upper.get_xticklabels()]
    assert losses == pytest.approx([2 + 0.25 * far for far in upper.get_xticks()], abs=0.5)
    assert "dB" in upper.get_xlabel()
    light = statistics_by_brightness(LINK)
    below = brightness_figure(light)
    assert drawn(below, "QBER")[1] == pytest.approx(light.qber)
    assert drawn(below, "most key")[0] == light.pairs_per_second[light.asymptotic.argmax()]
    both = link_figure(rates, light)
    assert both[0].get_figure() is both[1].get_figure()


def test_link_without_a_key_is_marked_at_the_edge():
    dark = replace(LINK, state=PairState(visibility=0.5))
    rates = rates_by_distance(dark, [0, 40])
    axes = distance_figure(rates, mark=Mark(40, 0.0, "this link"))
    assert drawn(axes, "this link: no key")[1] == axes.get_ylim()[0]
    assert "no key" in " ".join(axes.get_legend_handles_labels()[1])
    axes.get_figure().canvas.draw()
