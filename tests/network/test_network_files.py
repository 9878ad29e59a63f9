import math
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from e91.network import Quantity, RateMode, SiteKind, check_plan, generate, load, plan_format
from e91.network.plan_files import variants

SMALL = """
title = "Two users and a relay"

[sites]
A = { kind = "user", x_km = 0, y_km = 0 }
B = { kind = "user", x_km = 4, y_km = 0 }
R = { kind = "relay", x_km = 2, y_km = 1 }

[links.A-R]
ends = ["A", "R"]
light = "city-access"
length_km = 3.5

[links.R-B]
ends = ["R", "B"]
light = "city-access"
length_km = { printed = "3500", unit = "m", source = "a paper, table 1", seen = "table" }

[[requests]]
keys_per_second = 10
"""


BEYOND = "must be at most 1,125,899,906,842,624 bit, but is 1e+300."


@pytest.fixture
def written(tmp_path):
    """Write a text as a network's file."""

    def write(text):
        file = tmp_path / "mine.toml"
        file.write_text(text)
        return str(file)

    return write


def refusal(written, text):
    """Return what is wrong in a file, without the file's name."""
    where = written(text)
    with pytest.raises(ValueError) as caught:
        load(where)
    sentence = str(caught.value)
    assert where in sentence
    assert sentence.endswith((".", "?"))
    assert sentence.count(". ") == 0
    return sentence.replace(where, "FILE").removeprefix("In `FILE`: ")


def test_a_users_own_file_is_read(written):
    plan = load(written(SMALL))
    assert (plan.name, plan.rate) == ("mine", RateMode.SIMULATED)
    assert [site.name for site in plan.users] == ["A", "B"]
    assert plan.link["A-R"].length_km == Quantity(3.5, "km", assumed=True)
    assert plan.light["city-access"].detectors[0].efficiency == 0.8


def test_a_number_keeps_its_digits_and_gets_the_unit_of_its_key(written):
    length = load(written(SMALL)).link["R-B"].length_km
    assert (length.value, length.unit, length.printed, length.printed_unit) == (
        3.5, "km", "3500", "m",
    )  # fmt: skip
    assert str(length) == "3500 m"


def test_lights_that_no_link_names_are_left_out(written):
    assert [light.name for light in load(written(SMALL)).lights] == ["city-access"]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            'ends = ["A", "R"]',
            'ends = ["A", "A"]',
            "`links.A-R.ends` must be two sites, but both are `A`.",
        ),
        (
            'ends = ["A", "R"]',
            'ends = ["A", "RR"]',
            (
                "`links.A-R.ends[1]` must be a site of the network, but 'RR' is none; did you "
                "mean `R`?"
            ),
        ),
        (
            "length_km = 3.5",
            "length_km = -3.5",
            "`links.A-R.length_km` must be finite and not negative, but is -3.5.",
        ),
        (
            "length_km = 3.5",
            "",
            "`links.A-R.length_km` must be given to simulate it, but is missing.",
        ),
        (
            "length_km = 3.5",
            "length_km = { value = 3.5, assumed = true }",
            "`links.A-R.length_km.unit` must be a text that is not empty, but is missing.",
        ),
        (
            "length_km = 3.5",
            'length_km = { value = 3.5, unit = "miles", assumed = true }',
            "`links.A-R.length_km.unit` must be one of km, m, but is 'miles'.",
        ),
        (
            "length_km = 3.5",
            'length_km = { value = 3.5, unit = "km" }',
            (
                "`links.A-R.length_km.printed` must be given of a number that is not `assumed`,"
                " but is missing."
            ),
        ),
        (
            "length_km = 3.5",
            'length_km = { printed = "3.5", unit = "km", seen = "text" }',
            (
                "`links.A-R.length_km.source` must be given of a number that is not `assumed`, "
                "but is missing."
            ),
        ),
        (
            "length_km = 3.5",
            'length_km = { printed = "few", unit = "km", seen = "text", source = "a paper" }',
            ("`links.A-R.length_km.value` must say what number 'few' stands for, but is missing."),
        ),
        (
            "length_km = 3.5",
            'length_km = { unit = "km", assumed = true }',
            ("`links.A-R.length_km.value` must be a number where it is assumed, but is missing."),
        ),
        (
            "length_km = 3.5",
            'length_km = { printed = "3", value = 3, unit = "km", assumed = true }',
            ("`links.A-R.length_km.assumed` must not be true of digits that are printed, but is."),
        ),
        (
            'light = "city-access"\nlength_km = 3.5',
            'light = "city-acess"\nlength_km = 3.5',
            (
                "`links.A-R.light` must be a kind of light, but 'city-acess' is none; did you "
                "mean `city-access`?"
            ),
        ),
        (
            "[links.R-B]",
            "[links.A-R]",
            (
                "`FILE` must be a TOML file, but: Cannot declare ('links', 'A-R') twice (at line "
                "14, "
                "column 11)."
            ),
        ),
        (
            "[links.R-B]",
            "[links.R]",
            "`links.R` must not be called as a site is, but is.",
        ),
        (
            "[[requests]]",
            '[sites.C]\nkind = "user"\nx_km = 1\ny_km = 1\n[[requests]]',
            "`sites.C` must have a link, as it is a user, but has none.",
        ),
        (
            "[[requests]]",
            (
                '[links.A-S]\nends = ["A", "S"]\nlength_km = 1\nlight = "city-access"\n'
                '[sites.S]\nkind = "switch"\nx_km = 1\ny_km = 1\n[[requests]]'
            ),
            (
                "`links.A-S.ends[1]` must be where a key can be kept, but `S` is an optical "
                "switch: name it as `receiver`."
            ),
        ),
        (
            'light = "city-access"\nlength_km = 3.5',
            'receiver = "R.OS1"\nlength_km = 3.5',
            "`links.A-R.receiver` must be a receiver of the network, but 'R.OS1' is none.",
        ),
        (
            "keys_per_second = 10",
            'keys_per_second = 10\nsectors = ["bank"]',
            ("`requests[0].sectors[0]` must be a sector that users have, but 'bank' is none."),
        ),
        (
            'kind = "user"',
            'kind = "usr"',
            "`sites.A.kind` must be one of user, relay, switch, station, but is 'usr'.",
        ),
        (
            "keys_per_second = 10",
            "keys_per_secnd = 10",
            (
                "Every key must be a documented one, but `requests[0].keys_per_secnd` is not; "
                "did you mean `requests[0].keys_per_second`?"
            ),
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(written, old, new, sentence):
    assert old in SMALL
    assert refusal(written, SMALL.replace(old, new, 1)) == sentence


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (
            '[[incidents]]\nkind = "cut"\ntarget = "A-B"\nstart_s = 5',
            (
                "`incidents[0].target` must be a link of the network, but 'A-B' is none; did you "
                "mean "
                "`R-B`?"
            ),
        ),
        (
            '[[incidents]]\nkind = "cut"\ntarget = "A-R"\nstart_s = -5',
            "`incidents[0].start_s` must not lie before the start, at 0, but is -5.",
        ),
        (
            '[[incidents]]\nkind = "cut"\ntarget = "A-R"\nstart_s = 5\nend_s = 5',
            "`incidents[0].end_s` must lie after its start at 5 s, but is 5.",
        ),
        (
            '[[incidents]]\nkind = "relay-dies"\ntarget = "A"\nstart_s = 5',
            "`incidents[0].target` must be a relay of the network, but 'A' is none.",
        ),
        (
            '[[incidents]]\nkind = "attack"\ntarget = "A-R"\nstart_s = 5',
            "`incidents[0].attack` must name the adversary of kind `attack`, but is missing.",
        ),
        (
            '[[incidents]]\nkind = "cut"\ntarget = "A-R"\nstart_s = 5\nattack = "cloner"',
            "`incidents[0].attack` must be left out of kind `cut`, but is `cloner`.",
        ),
        (
            (
                '[[incidents]]\nkind = "attack"\ntarget = "A-R"\nstart_s = 5\nattack = '
                '"intercept-resent"'
            ),
            (
                "`incidents[0].attack` must be an adversary of `e91 attack list`, but "
                "'intercept-resent' "
                "is none; did you mean `intercept-resend`?"
            ),
        ),
        (
            '[[incidents]]\nkind = "attack"\ntarget = "A-R"\nstart_s = 5\nattack = "gisin"',
            "`incidents[0].attack` must act on each pair alike, but `gisin` does not.",
        ),
        (
            (
                '[[incidents]]\nkind = "attack"\ntarget = "A-R"\nstart_s = 5\nattack = "cloner"\n'
                "strength = 2"
            ),
            "`incidents[0].strength` must lie in [0, 0.5] for `cloner`, but is 2.",
        ),
        (
            (
                '[[variations]]\nlinks = ["A-R"]\nvaried = "visibility"\ntimes_s = [0, 9, 5]\n'
                "values = [1, 1, 1]"
            ),
            "`variations[0].times_s` must ascend, but 5 follows 9.",
        ),
        (
            (
                '[[variations]]\nlinks = ["A-R"]\nvaried = "visibility"\ntimes_s = [1, 9]\n'
                "values = [1, 1]"
            ),
            "`variations[0].times_s` must begin at 0, but begins at 1.",
        ),
        (
            (
                '[[variations]]\nlinks = ["A-R"]\nvaried = "visibility"\ntimes_s = [0, '
                "9]\nvalues = [1]"
            ),
            "`variations[0].values` must be one for each of its 2 times, but are 1.",
        ),
        (
            (
                '[[variations]]\nlinks = ["A-R"]\nvaried = "visibility"\ntimes_s = [0, 9]\n'
                "values = [1, 2]"
            ),
            "`variations[0].values` must lie in [0, 1], but one is 2.",
        ),
        (
            (
                '[[variations]]\nlinks = ["A-R"]\nvaried = "visibility"\ntimes_s = [0, 9]\n'
                "values = [1, 1]\nperiod_s = 9"
            ),
            "`variations[0].period_s` must exceed its last time, 9, but is 9.",
        ),
        (
            '[[variations]]\nlinks = ["A-Q"]\nvaried = "visibility"\ntimes_s = [0]\nvalues = [1]',
            (
                "`variations[0].links[0]` must be a link of the network, but 'A-Q' is none; did "
                "you mean "
                "`A-R`?"
            ),
        ),
        (
            (
                '[[variations]]\nlinks = ["A-R"]\nvaried = "visibility"\ntimes_s = [0]\nvalues = '
                "[1]\n"
                '[[variations]]\nlinks = ["R-B", "A-R"]\nvaried = "visibility"\ntimes_s = [0]\n'
                "values = [1]"
            ),
            (
                "`variations[1]` must not overlap another, but `variations[0]` varies visibility "
                "of "
                "`A-R` too."
            ),
        ),
        (
            '[[calls]]\nsource = "A"\ntarget = "C"\nbits_per_second = 10',
            "`calls[0].target` must be a site of the network, but 'C' is none.",
        ),
        (
            '[[calls]]\nsource = "A"\ntarget = "A"\nbits_per_second = 10',
            "`calls[0].target` must be another site than its source, but is not.",
        ),
        (
            '[[calls]]\nsource = "A"\ntarget = "B"\nbits_per_second = 10\nstart_s = 7\nend_s = 3',
            "`calls[0].end_s` must lie after its start at 7 s, but is 3.",
        ),
        (
            '[[transfers]]\nsource = "A"\ntarget = "B"\nsize = 0',
            "`transfers[0].size` must be a bit or more, but is 0.",
        ),
        (
            '[[rotations]]\nsource = "A"\ntarget = "B"\nevery_s = 2\nstore_keys = 5\nrefill_at = 9',
            "`rotations[0].refill_at` must be at most its store of 5 keys, but is 9.",
        ),
    ],
)
def test_what_cannot_happen_is_refused_with_its_place(written, table, sentence):
    assert refusal(written, f"{SMALL}\n{table}\n") == sentence


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("links.A-R.store = 1e300", f"`links.A-R.store` {BEYOND}"),
        ("links.A-R.store = -5", "`links.A-R.store` must not be negative, but is."),
        (
            'links.A-R.store = { value = 1e308, unit = "MB", assumed = true }',
            "`links.A-R.store` must be finite in bit, but is 1E+308 MB.",
        ),
        (
            'facts.x = { printed = "NaN", unit = "1", source = "a", seen = "text" }',
            "`facts.x.value` must say what number 'NaN' stands for, but is missing.",
        ),
        (
            'links.A-R.qber = { value = 300, unit = "%", assumed = true }',
            "`links.A-R.qber` must be at most 100 %, but is 300.",
        ),
        (
            'rate = "published"',
            "`rate` must be simulated where no link has a rate or a store, but is published.",
        ),
        (
            'links."".ends = ["A", "B"]\nlinks."".light = "city-access"\nlinks."".length_km = 1',
            "`links` must have names, but one is empty.",
        ),
        (
            "lights.city-access.alice_probabilities = [0.5, 0.25, 0.25]",
            (
                "`lights.city-access.alice_probabilities` must be given with "
                "`bob_probabilities`, but "
                "one is missing."
            ),
        ),
        (
            (
                "lights.city-access.alice_probabilities = [0.5, 0.25, 0.25]\n"
                "lights.city-access.bob_probabilities = [2, 0, -1]"
            ),
            "`lights.city-access.bob_probabilities` must lie in [0, 1], but is (2.0, 0.0, -1.0).",
        ),
        (
            'rotations = [{ source = "A", target = "B", every_s = 0 }]',
            "`rotations[0].every_s` must be finite and positive, but is 0.0.",
        ),
        (
            'transfers = [{ source = "A", target = "B", size = 5, start_s = -1 }]',
            "`transfers[0].start_s` must not lie before the start, at 0, but is -1.",
        ),
        (
            (
                'variations = [{ links = ["A-R", "A-R"], varied = "visibility", times_s = [0], '
                "values = [1] }]"
            ),
            "`variations[0].links` must name `A-R` once, but does twice.",
        ),
        (
            'links.A-R.medium = "satellite"',
            "`satellite` must be given, as `links.A-R` is of that medium, but is missing.",
        ),
        (
            "lights.city-access.window_s = 1e-6",
            (
                "`lights.city-access.window_s` must not be above a detector's dead time of 3e-08 "
                "s, but is 1e-06."
            ),
        ),
        (
            'rule = "shortest"',
            (
                "`rule` must be one of fewest-hops, widest, cheapest, or disjoint=k with k of 2 or "
                "more, but is `shortest`."
            ),
        ),
    ],
)
def test_numbers_beyond_all_networks_are_refused(written, line, sentence):
    tables = """
links.A-R.ends = ["A", "R"]
links.A-R.light = "city-access"
links.A-R.length_km = 3.5
links.R-B.ends = ["R", "B"]
links.R-B.light = "city-access"
links.R-B.length_km = 3.5
sites.A = { kind = "user", x_km = 0, y_km = 0 }
sites.B = { kind = "user", x_km = 4, y_km = 0 }
sites.R = { kind = "relay", x_km = 2, y_km = 1 }
"""
    assert refusal(written, f'title = "Small"\n{tables}\n{line}\n') == sentence


def test_a_plan_made_by_a_program_is_checked_by_the_same_rules(written):
    plan = load(written(SMALL))
    twice = replace(plan, links=(*plan.links, plan.links[0]))
    with pytest.raises(ValueError, match=r"^`links.A-R` must be one, but there are 2\.$"):
        check_plan(twice)


ISLANDS = """
title = "Two halves"
sites.A = { kind = "user", x_km = 0, y_km = 0 }
sites.B = { kind = "user", x_km = 4, y_km = 0 }
sites.R = { kind = "relay", x_km = 2, y_km = 1 }
sites.S = { kind = "relay", x_km = 2, y_km = 1 }
links.A-R = { ends = ["A", "R"], light = "city-access", length_km = 1 }
links.S-B = { ends = ["S", "B"], light = "city-access", length_km = 1 }
"""


@pytest.mark.parametrize(
    ("demand", "place"),
    [
        ("requests = [{ keys_per_second = 1 }]", "requests[0]"),
        ('calls = [{ source = "A", target = "B", bits_per_second = 9 }]', "calls[0]"),
    ],
)
def test_a_demand_that_no_route_can_serve_is_refused_with_the_cut(written, demand, place):
    assert refusal(written, ISLANDS + demand) == (
        f"`{place}` must be between sites that a route joins, but from A to B there is "
        "none: relays join A, R with nobody else."
    )


def test_users_pass_nothing_on(written):
    text = ISLANDS + 'links.B-R = { ends = ["B", "R"], light = "city-access", length_km = 1 }\n'
    text += 'sites.C = { kind = "user", x_km = 0, y_km = 0 }\n'
    text += 'links.S-C = { ends = ["S", "C"], light = "city-access", length_km = 1 }\n'
    load(written(text + 'calls = [{ source = "A", target = "B", bits_per_second = 9 }]'))
    sentence = refusal(written, text + "requests = [{ keys_per_second = 1 }]")
    assert "from A to C there is none" in sentence


def test_a_network_without_users_is_refused(written):
    text = 'title = "Nobody"\nsites.R = { kind = "relay", x_km = 0, y_km = 0 }'
    assert refusal(written, text) == (
        "`sites` must have a user, or a call, transfer or rotation name two sites, but "
        "there is none."
    )


def test_an_unknown_network_is_refused_with_the_likely_one():
    with pytest.raises(ValueError, match="but is 'jinan-2071'; did you mean `jinan-2017`"):
        load("jinan-2071")


def test_a_file_may_extend_a_preset(written):
    plan = load(written('extends = "jinan-2012"\ntitle = "Mine"\nlinks.R1-R2.length_km = 40\n'))
    assert (plan.title, plan.name, len(plan.users)) == ("Mine", "mine", 50)
    assert plan.link["R1-R2"].length_km.value == 40


def test_a_variant_is_laid_over_the_file(written):
    text = SMALL.replace("[sites]", 'default_variant = "long"\n[sites]', 1)
    text += "[variants.long.links.A-R]\nlength_km = 7\n[variants.plain]\n"
    where = written(text)
    assert variants(where) == ("long", "plain")
    lengths = {v: load(where, variant=v).link["A-R"].length_km.value for v in (None, "plain")}
    assert lengths == {None: 7.0, "plain": 3.5}
    assert load(where).variant == "long"
    with pytest.raises(ValueError, match=r"one of long, plain, but is 'plian'; did you"):
        load(where, variant="plian")


def test_jinan_2017_has_the_counts_that_it_says():
    plan = load("jinan-2017")
    kinds = Counter(site.kind for site in plan.sites)
    assert kinds == {SiteKind.USER: 200, SiteKind.RELAY: 8}
    access = [link for link in plan.links if link.receiver is not None]
    backbone = [link for link in plan.links if link.receiver is None]
    assert (len(access), len(backbone), len(plan.receivers)) == (200, 12, 16)
    assert set(Counter(link.receiver for link in access).values()) == {12, 13}
    assert len({site.sector for site in plan.users}) == 4
    assert all(1.5 <= link.length_km.value <= 8 for link in access)
    assert all(7 <= link.length_km.value <= 22.5 for link in backbone)
    assert plan.demand[0].keys_per_second == 4000
    assert len([claim for claim in plan.claims if "4,000" in claim.words]) == 5
    assert plan.facts["terminals"].value == len(plan.users)


def test_jinan_2012_has_the_counts_that_it_says():
    plan = load("jinan-2012")
    assert (len(plan.users), len(plan.links), len(plan.receivers)) == (50, 53, 6)
    assert plan.facts["users"].value == len(plan.users)


@pytest.mark.parametrize("relays", [1, 2, 3, 4, 5, 8])
def test_a_backbone_may_be_a_ring_a_mesh_or_anything_between(relays):
    complete = relays * (relays - 1) // 2
    ring = relays if relays > 2 else relays - 1
    for chords in range(max(0, complete - ring) + 1):
        plan = generate(users=relays + 1, relays=relays, chords=chords)
        backbone = [link.ends for link in plan.links if link.receiver is None]
        assert len({frozenset(ends) for ends in backbone}) == len(backbone) == ring + chords


def test_chords_join_the_most_distant_relays_first():
    plan = generate(users=8, relays=8, chords=4)
    chords = [link.name for link in plan.links if link.receiver is None][8:]
    assert chords == ["R1-R5", "R2-R6", "R3-R7", "R4-R8"]


def test_the_same_numbers_draw_the_same_network():
    asked = {"users": 60, "relays": 4, "chords": 2, "seed": 5}
    assert generate(**asked) == generate(**asked)
    assert generate(**asked).links != generate(**(asked | {"seed": 6})).links


def test_a_user_stands_as_far_from_its_relay_as_its_fibre_says():
    plan = generate(users=300, relays=7, seed=3)
    for link in plan.links:
        a, b = (plan.site[end] for end in link.ends)
        straight = math.dist((a.x_km, a.y_km), (b.x_km, b.y_km))
        assert abs(max(1.0, 1.4 * straight) - link.length_km.value) < 0.3


def test_second_homes_give_two_ways_to_the_relays():
    plan = generate(users=100, relays=5, seed=1, second_home=("military", "government"))
    homes = Counter(link.ends[1] for link in plan.links if link.receiver is not None)
    for site in plan.users:
        assert homes[site.name] == (2 if site.sector in ("military", "government") else 1)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (
            {"users": 10**6, "relays": 200},
            (
                "`users` must be at most 20,000, but is 1,000,000: that would take 2.5 GB to "
                "draw, 83,334 "
                "shared receivers, and 58 billion coincidences in every simulated second; draw "
                "regions "
                "of it, each a network."
            ),
        ),
        ({"users": 9, "relays": 4, "chords": 3}, "`chords` must lie in [0, 2], but is 3."),
        ({"users": 0, "relays": 4}, "`users` must be at least 1, but is 0."),
        (
            {"users": 9, "relays": 3, "second_home": ("navy",)},
            (
                "`second_home` must name sectors (government, military, finance, electricity), "
                "but names "
                "'navy'."
            ),
        ),
        (
            {"users": 9, "relays": 1, "second_home": ("military",)},
            "`relays` must be 2 or more for second homes, but is 1.",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(asked, sentence):
    with pytest.raises(ValueError) as caught:
        generate(**asked)
    assert str(caught.value) == sentence


def test_the_files_of_the_documents_are_networks(written):
    page = (Path(__file__).parents[2] / "docs" / "network_files.md").read_text()
    whole, short = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert [site.name for site in load(written(whole)).users] == ["North", "South"]
    assert load(written(short)).incidents[0].target == "R1-R2"


def test_the_documents_name_every_key_of_the_format():
    page = (Path(__file__).parents[2] / "docs" / "network_files.md").read_text()
    rows = dict(re.findall(r"^\| (.*?) \| (.*) \|$", page, re.MULTILINE))
    tables = {
        "`sites.NAME`": plan_format.SiteEntry,
        "`links.NAME`": plan_format.LinkEntry,
        "`lights.NAME`": plan_format.LightEntry,
        "`detectors.NAME`": plan_format.DetectorEntry,
        "`receivers.NAME`": plan_format.ReceiverEntry,
        "`[[requests]]`": plan_format.RequestsEntry,
        "`[[calls]]`": plan_format.CallEntry,
        "`[[transfers]]`": plan_format.TransferEntry,
        "`[[rotations]]`": plan_format.RotationEntry,
        "`[[incidents]]`": plan_format.IncidentEntry,
        "`[[variations]]`": plan_format.VariationEntry,
        "`generator`": plan_format.GeneratorEntry,
    }
    for row, shape in tables.items():
        named = set(re.findall(r"`(\w+)`", rows[row]))
        assert named >= {key for key in shape.__struct_fields__ if key != "assumed"}, row
        assert named <= {*shape.__struct_fields__, "receiver"}, row
    own = set(plan_format.NetworkFile.__struct_fields__)
    shown = set(re.findall(r"`(\w+)`", rows["the file"])) | {
        re.findall(r"\w+", row)[0] for row in rows if row.startswith("`")
    }
    assert own <= shown
