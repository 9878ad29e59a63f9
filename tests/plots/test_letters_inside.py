"""Every letter lies within the figure and no two pieces of text beside the axes meet.

Slides have the largest letters for a figure's size, and so the least room.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot

import e91
from e91 import plots
from e91.adversaries.attacked_session import run_attack
from e91.encryption.rtp import KeyChanges, UnreliablePath
from e91.encryption.sound import Sound, simulate_call
from e91.model.settings import ASYMMETRIC
from e91.network import CarriedCalls, load, report_passes
from e91.network.alarm_life import AlarmLife
from e91.optics.detectors import Detector, Receiver
from e91.optics.link_files import Detection, LinkNumbers, PairState, SideNumbers, SourceNumbers
from e91.optics.links import Downlink
from e91.optics.satellites import DELINGHA, NANSHAN, coincidences_along, orbit_over, pass_over
from e91.optics.sources import ContinuousSource
from e91.plots import (
    CorrelationScan,
    Deviation,
    Mark,
    Sweep,
    SweepLine,
    alarm_life_figure,
    attack_figure,
    bell_scale,
    correlation_curve,
    deviations_figure,
    drawn_scene,
    efficiency_figure,
    game_scale,
    level_map,
    levels_figure,
    link_figure,
    link_series,
    link_series_figure,
    map_figure,
    network_budget,
    network_budget_figure,
    network_figure,
    network_map,
    pass_figure,
    passes_figure,
    pictures_at_budgets,
    pictures_figure,
    planned_rates,
    qber_figure,
    rates_by_distance,
    rates_by_efficiency,
    rates_by_qber,
    request_series,
    requests_figure,
    rounds_figure,
    route_change,
    routes_figure,
    session_figure,
    sound_figure,
    sound_levels,
    statistics_by_brightness,
    study_figure,
    styled,
)
from e91.session import Link


def curve():
    angles = np.linspace(0, 2 * np.pi, 9)
    return correlation_curve(CorrelationScan(angles, np.cos(angles), np.full(9, 0.02)))


# What takes time is worked out once for all styles.


@cache
def session(visibility):
    return e91.run(e91.exact_device(visibility=visibility, seed=1), rounds=40_000, seed=1)


def unfitted():
    known = [("reproduced", 0.3), ("agrees", -7.0), ("differs", 9.0)]
    return deviations_figure(
        [Deviation(f"yin-2020-forecast  secret bits per {name}", sigmas, 0.5, False, name)
         for name, sigmas in known]
    )  # fmt: skip


def study():
    values = np.array([1e4, 2e6])
    ends = np.stack([values / 2, values * 2])
    lines = [
        SweepLine(f"theorem {name}, rounds 1000000", 2 + values / 1e7, 2 + ends / 1e7, values, ends)
        for name in ("phase-errors", "entropy-accumulation", "tomamichel-leverrier-2017")
    ]
    return study_figure(Sweep("misalignment (rad)", (0.0, 0.1), tuple(lines), 9, "A study of all"))


@cache
def light():
    side = SideNumbers(loss_db=3.0, dark_counts_per_second=100)
    link = LinkNumbers(source=SourceNumbers(pairs_per_second=1e6), alice=side, bob=side,
                       detection=Detection(coincidence_window_s=1e-9),
                       state=PairState(visibility=0.97))  # fmt: skip
    rates = rates_by_distance(link, [0, 300, 500], session_s=20.0)
    return rates, statistics_by_brightness(link)


@cache
def rounds():
    return planned_rates([10**4, 10**7], link=Link(2.7, 0.02), settings=ASYMMETRIC,
                         policy=e91.Policy(e91.SecurityModel.DEVICE_INDEPENDENT))  # fmt: skip


@cache
def errors():
    return rates_by_qber([0, 0.05, 0.1])


@cache
def efficiencies():
    return rates_by_efficiency([0.78, 0.9, 1.0])


@cache
def attacked():
    return run_attack("detection-loophole", rounds=30_000, seed=1)


@cache
def over_the_stations():
    links = (Downlink(5e-6, 1.2, optics_loss_db=12.0), Downlink(5e-6, 1.0, optics_loss_db=12.0))
    seen = pass_over(orbit_over(40.5, 92.6), (DELINGHA, NANSHAN), step_s=10.0)
    receiver = Receiver((Detector(0.5, 100.0),) * 2)
    slices = coincidences_along(seen, ContinuousSource(5.9e6), links=links, window_s=2.5e-9,
                                receivers=(receiver, receiver), bit_error=0.01)  # fmt: skip
    return seen, slices, links


def one_pass():
    seen, slices, links = over_the_stations()
    return pass_figure(seen, slices, links=links)


@cache
def call():
    samples = np.round(16_384 * np.sin(np.arange(24_000) * 0.3)).astype("<i2")
    heard = simulate_call(Sound(8000, 1, 16, samples.tobytes()), path=UnreliablePath(loss=0.2),
                          changes=KeyChanges(1.0, 0.5), seed=1)  # fmt: skip
    return sound_levels(heard.recovered())


def false_alarms():
    rang = (("Jinan-Nanshan", 100), ("a link of a rather long name", 700))
    life = AlarmLife("ring", 720, 3, 10**9, false_alarm=1e-3, rang=rang, at_promise=True)
    return alarm_life_figure(life)


@cache
def nights():
    return report_passes(load("micius"), ("Delingha", "Nanshan"), days=6, clear=0.6, seed=2)


@cache
def outage():
    """Return a run in which a link is cut."""
    return e91.network.load("cambridge-2019").run(minutes=30, seed=1)


@cache
def pictures():
    return pictures_at_budgets(drawn_scene(), [2_000, 16_000])


THREE_USERS = CarriedCalls("three", 3, 64_000.0, 16_000.0, 1.0)
COUNTS = [[[53, 8], [16, 51]], [[42, 20], [50, 5]]]
FIGURES = {
    "curve": curve,
    "session": lambda: session_figure(session(0.97)),
    "session without a key": lambda: session_figure(session(0.5)),
    "game": lambda: game_scale(800, 1000),
    "counts": lambda: bell_scale(
        e91.bell.bell_test(COUNTS, signs=(1, -1, 1, 1), random_settings=True)
    ),
    "attack": lambda: attack_figure(attacked()),
    "unfitted": unfitted,
    "study": study,
    "light": lambda: link_figure(*light(), mark=Mark(300, 0.0, "this link")),
    "qber": lambda: qber_figure(
        errors(), mark=Mark(0.03, 0.5, "asked: S = 2.7, device-independent")
    ),
    "rounds": lambda: rounds_figure(rounds(), mark=Mark(10**6, 0.2, "asked: 1e+06 rounds")),
    "stores": lambda: link_series_figure(link_series(outage())),
    "requests": lambda: requests_figure(request_series(outage())),
    "network's budget": lambda: network_budget_figure(network_budget(outage())),
    "stores on the map": lambda: levels_figure(level_map(outage())),
    "ways": lambda: routes_figure(route_change(outage())),
    "map": lambda: map_figure(network_map(load("jinan-2017"))),
    "network's page": lambda: network_figure(outage()),
    "pass": one_pass,
    "false alarms": false_alarms,
    "passes": lambda: passes_figure(nights()),
    "pictures": lambda: pictures_figure(drawn_scene(), pictures(), network=THREE_USERS),
    "call": lambda: sound_figure(call()),
    "efficiency": lambda: efficiency_figure(efficiencies()),
}


def letters(figure):
    """Yield every piece of text that is drawn, with its place in dots."""
    for text in figure.texts:
        yield text, text.get_window_extent()
    for axes in figure.findobj(pyplot.Axes):
        shown = [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        if axes.get_legend():
            shown += axes.get_legend().get_texts()
        for axis in (axes.xaxis, axes.yaxis) if axes.axison else ():
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks():
                if low <= tick.get_loc() <= high:
                    shown += [tick.label1, tick.label2]
        for text in shown:
            if text.get_visible() and text.get_text():
                yield text, text.get_window_extent()


# Parts of others: of "session", "light" and "session without a key".
PARTS = {"chsh_scale", "budget_figure", "distance_figure", "brightness_figure"}


def test_every_drawing_is_looked_at():
    source = Path(__file__).read_text("utf-8")
    drawings = {name for name in plots.__all__ if name.endswith(("_figure", "_scale", "_curve"))}
    drawings -= {"save_figure", *PARTS}
    assert len(drawings) > 15
    assert {name for name in drawings if f"{name}(" not in source} == set()


@pytest.mark.parametrize("style", ["notebook", "slide", "print"])
@pytest.mark.parametrize("name", FIGURES)
def test_every_letter_is_inside_and_none_over_another(name, style):
    with styled(style):
        axes = FIGURES[name]()
        figure = (axes[0] if isinstance(axes, tuple) else axes).get_figure()
        figure.draw_without_rendering()
        found = list(letters(figure))
        width, height = figure.bbox.size
        outside = [
            text.get_text()
            for text, box in found
            if box.x0 < -2 or box.y0 < -2 or box.x1 > width + 2 or box.y1 > height + 2
        ]
        meeting = [
            (one.get_text(), other.get_text())
            for place, (one, box) in enumerate(found)
            for other, beside in found[:place]
            if box.padded(-1).overlaps(beside.padded(-1))
        ]
    pyplot.close("all")
    assert len(found) > 3
    assert outside == []
    assert meeting == []
