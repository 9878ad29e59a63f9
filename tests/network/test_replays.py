"""Published incidents: what a run gives beside what was printed, and what must make it differ."""

import doctest
import json
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from small_networks import network_of

from e91.network import Incident, IncidentKind, Measure, Quantity, RateMode, load
from e91.network.history import Way
from e91.network.replays import sites_passed

MIB, DEMAND = 2**23, 8192


@cache
def story(name, variant=None):
    """Return the run of a preset's story."""
    return load(name, variant=variant).run(seed=1)


def ways(report):
    """Return the relays of the ways that keys took, each with its first minute."""
    return [
        (round(way.time_s / 60, 1), relays(report.plan, way))
        for way in report.ways
        if not way.of_relays
    ]


def relays(plan, way):
    return "none" if way.links is None else "-".join(sites_passed(plan, way)[0][1:-1])


def verdicts(report):
    return {row.quantity: row.verdict for row in report.replay}


def changed(plan, **links):
    """Return a plan with other values of the links named with `_` for `-`."""
    given = {name.replace("_", "-"): fields for name, fields in links.items()}
    new = tuple(replace(link, **given.get(link.name, {})) for link in plan.links)
    return replace(plan, links=new)


def cut(plan, **times):
    """Return a plan in which these links are cut from so many seconds to so many."""
    given = tuple(
        Incident(IncidentKind.CUT, name.replace("_", "-"), *span) for name, span in times.items()
    )
    return replace(plan, incidents=given)


def test_secoqcs_three_routes_run_dry_when_arithmetic_says_so():
    found = ways(story("secoqc-2008"))
    assert [way for _, way in found] == ["ERD", "ERD-SIE", "ERD-GUD", "none"]
    spare = (0, 5.5 - 2, 6 - 2, 3.8 - 2)  # MiB of the link that ends each route
    minutes = [sum(spare[: n + 1]) * MIB / DEMAND / 60 for n in range(4)]
    assert [minute for minute, _ in found] == pytest.approx(minutes, abs=0.1)


def test_secoqc_without_generation_agrees_but_for_minute_144_and_what_hangs_on_it():
    found = verdicts(story("secoqc-2008"))
    assert [name for name, verdict in found.items() if verdict == "no"] == [
        "end of route 2, by SIE", "no route any more", "brief returns to route 1",
    ]  # fmt: skip


def test_secoqcs_fitted_rates_bring_two_brief_returns_to_the_first_route():
    report = story("secoqc-2008", "fitted")
    found = ways(report)
    assert [way for _, way in found] == [
        "ERD", "ERD-SIE", "ERD", "ERD-SIE", "ERD", "ERD-SIE", "ERD-GUD", "ERD-SIE", "none",
    ]  # fmt: skip
    expected = [0, 60.5, 88.9, 89.7, 133.3, 134.1, 143.8, 174.5, 175.2]
    assert [minute for minute, _ in found] == pytest.approx(expected, abs=0.2)
    assert "no" not in verdicts(report).values()


def test_what_was_fitted_is_not_said_to_agree():
    found = verdicts(story("secoqc-2008", "fitted"))
    assert {name for name, verdict in found.items() if verdict == "by construction"} == {
        "routes, in order of first use", "end of route 2, by SIE", "brief returns to route 1",
    }  # fmt: skip


def test_secoqcs_devices_cannot_have_run_at_their_rated_means():
    found = verdicts(story("secoqc-2008", "rated"))
    assert found["end of route 1"] == found["end of route 2, by SIE"] == "no"
    assert found["no route any more"] == "no"


def test_no_secoqc_link_is_used_below_two_mebibytes():
    for variant in ("zero", "fitted"):
        report = story("secoqc-2008", variant)
        stored, spent = (report.samples.column(name) for name in ("stored", "spent"))
        used = spent[-1] > 0
        assert used.sum() == 6
        assert stored[:, used].min() >= 2 * MIB


def test_a_delivery_gives_secoqc_its_first_route_for_24_seconds_and_then_the_second_again():
    # 200 kbit at minute 100: a rule that chose the widest again would go on by GUD.
    rate = Quantity(200_000 / 5999.5, "bit/s", assumed=True)
    plan = changed(load("secoqc-2008"), ERD_BRT={"bits_per_second": rate, "delivery_bits": 200_000})
    found = ways(plan.run(minutes=160, seed=1))
    assert [way for _, way in found] == ["ERD", "ERD-SIE", "ERD", "ERD-SIE", "ERD-GUD", "none"]
    minutes = [minute for minute, _ in found]
    assert minutes == pytest.approx([0, 59.7, 100.0, 100.4, 128.4, 159.1], abs=0.1)


def test_a_rule_that_looks_at_width_again_does_not_replay_secoqc():
    report = replace(load("secoqc-2008"), minutes=2).run(seed=1, rule="widest")
    assert verdicts(report)["routes, in order of first use"] == "no"


def test_tokyos_conference_outlives_the_attack():
    report = story("tokyo-2010")
    assert set(verdicts(report).values()) == {"yes", "by construction"}
    assert [way for _, way in ways(report)] == ["K2", "O1"]
    assert len(report.alarms) == 1


@pytest.mark.parametrize("links", [("K1_K2",), ("O1_O2",), ("K1_K2", "O1_O2")])
def test_tokyo_loses_seconds_with_stores_three_per_cent_below_the_least(links):
    least = {"K1_K2": 9.52, "O1_O2": 9.22}  # MB, for an attack at 600 s and an end at 1,200 s
    low = {name: {"store_bits": round(0.97 * 8e6 * least[name])} for name in links}
    report = changed(load("tokyo-2010"), **low).run(seed=1)
    rows = {row.quantity: row for row in report.replay}
    assert rows["conference without key"].simulated_value > 10
    assert not rows["conference without key"].agrees


def test_cambridges_outage_is_bridged_over_the_third_node():
    report = story("cambridge-2019")
    assert set(verdicts(report).values()) == {"yes", "by construction"}
    times = [refill.asked_s for refill in report.refills]
    assert {later - earlier for earlier, later in pairwise(times)} == {400.0}
    others = report.samples.column("spent")[-1][1:]
    assert others.tolist() == [4 * 51_200] * 2  # TREL-ENGI and ENGI-CAPE, during the outage


def test_the_other_reading_refills_cambridges_store_every_1600_seconds():
    report = story("cambridge-2019", "text")
    assert [refill.before for refill in report.refills] == [200, 200]
    assert report.missed == 0


def test_cambridge_fails_requests_only_if_both_links_are_down_too_long():
    plan = load("cambridge-2019")
    long = cut(plan, CAPE_TREL=(1200, 3300), ENGI_CAPE=(1200, 3300)).run(seed=1)
    short = cut(plan, CAPE_TREL=(1200, 2700), ENGI_CAPE=(1200, 2700)).run(seed=1)
    assert long.missed > 0 == short.missed
    assert verdicts(long)["requests that failed"] == "no"


def test_a_refill_that_takes_1700_seconds_to_find_its_way_fails_50_requests():
    # Asked at 1,598 s, when 800 keys are left: they last for 1,600 s.  The way by ENGI opens late.
    plan = cut(load("cambridge-2019"), CAPE_TREL=(1200, 3400), ENGI_CAPE=(1200, 1598 + 1700))
    report = plan.run(seed=1)
    slow = max(report.refills, key=lambda refill: refill.came_s - refill.asked_s)
    assert (slow.asked_s, slow.came_s, slow.before) == (1598.0, 3298.0, 0)
    assert report.missed == pytest.approx(50, abs=1)


def test_a_run_that_ends_before_its_story_is_compared_with_nothing():
    report = load("cambridge-2019").run(minutes=10, seed=1)
    assert report.replay == ()
    assert "The story takes 70 minutes" in report.text()


def test_the_replay_is_printed_with_what_it_cannot_claim():
    report = story("secoqc-2008")
    text = report.text()
    line = next(line for line in text.splitlines() if line.startswith("  end of route 1  "))
    assert " ".join(line.split()) == "end of route 1 about 1 h 59.73 min ± 1.5 min yes"
    assert text.index("Printed, and replayed") < text.index("cannot have run at their rated")
    rows = json.loads(json.dumps(report.to_dict(), allow_nan=False))["replay"]
    assert {"quantity", "printed", "simulated", "band", "agrees", "note"} <= set(rows[0])
    assert [row["agrees"] for row in rows] == [row.agrees for row in report.replay]


def test_simulated_rates_replay_nothing_that_was_printed_of_published_ones():
    for name in ("secoqc-2008", "tokyo-2010", "cambridge-2019"):
        plan = load(name, variant="simulated")
        assert plan.rate is RateMode.SIMULATED
        assert plan.printed == ()


def test_every_measure_is_read_off_some_run():
    found = {
        outcome.measure
        for name in ("secoqc-2008", "tokyo-2010", "cambridge-2019")
        for outcome in load(name).printed
    }
    assert found == set(Measure)


def test_the_sites_of_a_way_in_shares_are_those_of_each_strand():
    plan = network_of("A B", "R S", "A-R A-S B-R B-S")
    way = Way(0.0, "A", "B", None, ("A-R", "B-R", "A-S", "B-S"), of_relays=False)
    assert sites_passed(plan, way) == (("A", "R", "B"), ("A", "S", "B"))


NUMBER = 'number = { value = 1, unit = "min", assumed = true }'


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (f'measure = "alarm-delay"\n{NUMBER}', "`printed.x.within` or `limit` must be given, but "),
        (f'measure = "alarm-delay"\n{NUMBER}\nwithin = 1\nlimit = "at most"', "but both are."),
        ('measure = "alarm-delay"\nwithin = 1', "`printed.x.number` must be given of `alarm-"),
        ('measure = "ways"', "`printed.x.words` must be given of `ways`, but is missing."),
        (f'measure = "ways"\nwords = "A"\n{NUMBER}', "must not be given of `ways`, but is given."),
        (f'measure = "alarm-delay"\n{NUMBER}\nwithin = 1\nshown_in = "km"',
         "`printed.x.shown_in` must be a unit like min, but is 'km'."),
        (f'measure = "least-store"\n{NUMBER}\nwithin = 1\nlink = "CAPE-TRAL"',
         "`printed.x.link` must be a link, but is 'CAPE-TRAL'; did you mean `CAPE-TREL`?"),
        (f'measure = "least-store"\n{NUMBER}\nwithin = 1',
         "`printed.x.link` must be given of `least-store`, but is missing."),
        (f'measure = "first-use"\n{NUMBER}\nwithin = 1',
         "`printed.x.way` must be given of `first-use`, but is missing."),
        (f'measure = "first"\n{NUMBER}\nwithin = 1', "`printed.x.measure` must be one of order-of"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(tmp_path, lines, sentence):
    file = tmp_path / "mine.toml"
    file.write_text(f'extends = "cambridge-2019"\n[printed.x]\nquantity = "x"\n{lines}\n')
    with pytest.raises(ValueError, match=r"printed\.x") as refused:
        load(file)
    assert sentence in str(refused.value)


DOCUMENT = Path(__file__).parents[2] / "docs" / "networks.md"


def test_the_document_has_the_tables_of_the_runs():
    text = DOCUMENT.read_text(encoding="utf-8")
    runs = [story("secoqc-2008"), story("secoqc-2008", "fitted"), story("tokyo-2010"),
            story("cambridge-2019")]  # fmt: skip
    rows = [
        f"| {row.quantity} | {row.printed} | {row.simulated} | {row.band} | {row.verdict} |"
        for report in runs
        for row in report.replay
    ]
    head, rule = "| quantity | printed | here | allowed | agrees |", "|---|---|---|---|---|"
    tables = text.split(f"{head}\n{rule}\n")[1:]
    shown = [line for table in tables for line in table.partition("\n\n")[0].splitlines()]
    assert shown == rows


def test_the_document_runs():
    failed, tried = doctest.testfile(str(DOCUMENT), module_relative=False)
    assert (failed, tried > 10) == (0, True)
