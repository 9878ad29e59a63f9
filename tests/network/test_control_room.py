"""The server of the control room: what it tells, what it does, whom it refuses; no browser."""

import asyncio
import base64
import json
import math
import re
import socket
import time
from dataclasses import replace
from importlib.resources import files

import pytest
from aiohttp.test_utils import TestClient, TestServer
from small_networks import lit, network_of

from e91.adversaries import ATTACKS, conditions_of
from e91.network import begin, load
from e91.network.key_ledger import Pool
from e91.network.page import serve
from e91.network.page.control_room import Room, application
from e91.network.page.live_figures import ALARM, DOWN, IDLE, LOW, UP, Figures
from e91.network.page.network_view import channels, map_of, route_now
from e91.network.page.pilot import Running

SQUARE = lit(network_of("A B", "R S T", "A-R B-S R-S R-T T-S"))
LINKS = [link.name for link in SQUARE.links]
JSON = {"Content-Type": "application/json"}


class Stream:
    """The events of one tab, and what else the client was sent."""

    def __init__(self, client):
        self.client, self.sent = client, []

    async def __aenter__(self):
        self.response = await self.client.get("/events")
        assert self.response.status == 200
        self.hello = await self.until("hello")
        return self

    async def __aexit__(self, *_):
        self.response.close()

    async def until(self, name, holds=lambda _: True):
        """Return the next event of a name that holds."""
        while True:
            lines = []
            while line := (await self.response.content.readline()).strip():
                lines.append(line)
            self.sent += lines
            text = b"\n".join(lines).decode()
            if text.startswith(f"event: {name}\n"):
                what = json.loads(text.partition("data: ")[2])
                if holds(what):
                    return what


def visit(tour, plan=SQUARE, **given):
    """Open the control room of a network and let a coroutine visit it."""

    async def visiting():
        given.setdefault("depth", "bits")
        running = Running.of(plan, seed=1, workers=1, ends=False, **given)
        room = Room(running, seed=1, workers=1)
        client = TestClient(TestServer(application(room, host="127.0.0.1")))
        async with client:
            room.pilot.start()
            try:
                await asyncio.wait_for(tour(room, client), timeout=120)
            finally:
                await client.close()
                await asyncio.to_thread(room.pilot.close)

    asyncio.run(visiting())


async def said(client, verb, body, **given):
    answer = await client.post(f"/api/{verb}", json=body, **given)
    return answer.status, await answer.json()


async def order(client, verb, /, **body):
    assert await said(client, verb, body) == (200, {"ok": True})


def test_a_tab_shows_what_the_simulation_knows():
    async def tour(room, client):
        async with Stream(client) as stream:
            assert [link["id"] for link in stream.hello["network"]["links"]] == LINKS
            assert stream.hello["network"]["pair"] == ["A", "B"]
            await stream.until("tick", lambda tick: tick["head"]["total"]["served"] > 20)
            await order(client, "clock", running=False)
            tick = await stream.until("tick", lambda tick: not tick["running"])
            simulation = room.pilot.now.simulation
            done, ledger = simulation.history.delivered, simulation.ledger
            assert tick["t"] == round(simulation.now_s, 2)
            assert tick["head"]["total"] == {
                "served": done.served, "late": done.late, "missed": 0, "bits": 256 * done.served,
            }  # fmt: skip
            assert tick["head"]["stored"] == sum(ledger.stored)
            assert tick["head"]["unequal"] == 0
            assert tick["head"]["conserved"]
            assert tick["head"]["states"] == [5, 0, 0, 0, 0, 0]
            rows = (await (await client.get("/api/history?link=R-S")).json())["rows"]
            life = simulation.lives[LINKS.index("R-S")]
            assert len(rows) == life.number - (life.block is not None)
            assert rows[-1][1:4] == [
                round(life.last.chsh_value, 4),
                round(life.last.lower_bound, 4),
                round(life.last.error_rate, 5),
            ]
            assert rows[-1][6] == round(life.last.watched.log_evidence, 3)

    visit(tour)


def test_what_there_was_to_see_is_seen_again():
    async def tour(room, client):
        async with Stream(client) as stream:
            first = await stream.until("tick", lambda tick: tick["t"] > 0.5)
            await order(client, "cut", link="R-S")
            await stream.until("tick", lambda tick: tick["head"]["states"][DOWN])
        outline = await (await client.get("/api/recording")).json()
        assert outline["t"] == sorted(outline["t"])
        assert (outline["bad"][0], outline["bad"][-1]) == (0, 1)
        cut = [mark for mark in outline["marks"] if mark[1] == "cut"]
        assert [mark[2:] for mark in cut] == [["R-S", "R-S is cut."]]
        then = await (await client.get(f"/api/past?t={first['t'] + 1e-4}")).json()
        assert (then["t"], then["head"]) == (first["t"], first["head"])
        assert [row[:2] for row in then["rows"]] == [[link, UP] for link in range(5)]
        assert "cut" not in {entry["kind"] for entry in then["log"]}
        now = await (await client.get("/api/past?t=1e9")).json()
        assert [entry["text"] for entry in now["log"] if entry["kind"] == "cut"] == ["R-S is cut."]
        for wrong in ("", "x", "nan", "inf"):
            assert (await client.get(f"/api/past?t={wrong}")).status == 400

    visit(tour, depth="counts")


def test_an_attack_rings_the_alarm_moves_the_route_and_is_the_simulators_secret():
    async def tour(room, client):
        async with Stream(client) as stream:
            tab = stream.hello["client"]
            await order(client, "focus", client=tab, link="R-S", pair=["A", "B"])
            route = await stream.until("route", lambda route: route["ok"])
            assert route["ways"] == [
                {"nodes": ["A", "R", "S", "B"], "links": ["A-R", "R-S", "B-S"]}
            ]
            assert route["hops"] == 3
            assert route["model"] == "trusted-analysers"
            assert route["epsilon"] == pytest.approx(1e-10 * route["blocks"])
            await stream.until("tick", lambda tick: tick["t"] > 0)
            attack = {"link": "R-S", "adversary": "intercept-resend", "strength": 0.5}
            await order(client, "attack", **attack)
            begins = await stream.until("log", lambda entry: entry["kind"] == "attack")
            assert begins["level"] == "truth"
            rings = await stream.until("log", lambda entry: entry["kind"] == "alarm")
            assert (rings["level"], rings["link"]) == ("alarm", "R-S")
            link = await stream.until("link", lambda link: link["state"] == ALARM)
            assert link["rang"] == pytest.approx(rings["t"], abs=0.01)
            watched = room.pilot.now.simulation.lives[LINKS.index("R-S")].last.watched
            assert link["threshold"] == pytest.approx(watched.threshold)
            assert link["row"][6] >= link["threshold"]
            assert link["cause"].startswith("Named eavesdropper: S fell")
            assert "bit of each sifted bit" in link["truth"]
            route = await stream.until("route", lambda r: r.get("hops") == 4)
            assert route["ways"][0]["nodes"] == ["A", "R", "T", "S", "B"]
            assert (await stream.until("tick"))["head"]["false"] == 0
            await order(client, "attack", link="R-S", adversary=None)
            await stream.until("log", lambda entry: entry["kind"] == "back")
            assert (await stream.until("link"))["truth"] == "Nobody is on this link."

    visit(tour)


def test_links_are_cut_and_mended_and_a_user_without_one_has_no_route():
    async def tour(room, client):
        async with Stream(client) as stream:
            await order(client, "focus", client=stream.hello["client"], link="A-R", pair=["A", "B"])
            await order(client, "cut", link="A-R")
            await stream.until("link", lambda link: link["state"] == DOWN and link["cut"])
            route = await stream.until("route", lambda route: not route["ok"])
            assert route["why"] == "A has no link that may be used: it is down"
            await order(client, "mend", link="A-R")
            await stream.until("route", lambda route: route["ok"])

    visit(tour)


def test_the_real_pace_is_said_where_the_machine_is_too_slow():
    async def tour(room, client):
        async with Stream(client) as stream:
            await stream.until("tick", lambda tick: tick["t"] > 0)
            simulation = room.pilot.now.simulation
            advance = simulation.advance

            def slowly(until_s):
                time.sleep((until_s - simulation.now_s) / 10)
                advance(until_s)

            await room.ask(lambda: setattr(simulation, "advance", slowly))
            await order(client, "clock", speed=60)
            tick = await stream.until("tick", lambda tick: tick["t"] > 2 and tick["pace"])
            assert tick["speed"] == 60
            assert 0 < tick["pace"] < 11

    visit(tour, depth="counts")


def test_a_replay_is_watched_while_the_network_waits():
    async def tour(room, client):
        async with Stream(client) as stream:
            replays = [(each["id"], each["variant"]) for each in stream.hello["replays"]]
            assert {("secoqc-2008", "fitted"), ("tokyo-2010", "published")} <= set(replays)
            assert ("tokyo-2010", "simulated") not in replays  # no incident was published of it
            await stream.until("tick", lambda tick: tick["t"] > 0)
            waits = room.pilot.now
            await order(client, "replay", id="cambridge-2019")
            hello = await stream.until("hello")
            assert hello["replay"]
            assert hello["network"]["key_bits"] == 256
            assert hello["network"]["published"]
            assert [mark[:2] for mark in hello["network"]["marks"]] == [
                [1200, "CAPE-TREL: cut"], [3000, "CAPE-TREL: cut ends"],
            ]  # fmt: skip
            await order(client, "clock", speed=60)
            await stream.until("tick", lambda tick: tick["t"] > 5)
            stood = waits.simulation.now_s
            await order(client, "replay", id=None)
            hello = await stream.until("hello")
            assert hello["network"]["name"] == "small"
            assert hello["t"] == pytest.approx(stood, abs=1.0)

    visit(tour, depth="counts")


# No key byte leaves.

_HEX = re.compile(rb"[0-9a-fA-F]{16,}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{12,}")


def leaks(sent, keys):
    """Return whether eight bytes of a key are in what was sent: raw, as text, or as a number."""
    windows = {key[at : at + 8] for key in keys for at in range(len(key) - 8)}
    coded = {base64.b64encode(key[at : at + 9]) for key in keys for at in range(len(key) - 9)}
    found = any(sent[at : at + 8] in windows for at in range(len(sent) - 8))
    for run in _HEX.findall(sent):
        found |= any(
            bytes.fromhex(run[at : at + 16].decode()) in windows for at in range(len(run) - 15)
        )
    for run in _BASE64.findall(sent):
        found |= any(run[at : at + 12] in coded for at in range(len(run) - 11))
    return found or re.search(rb"\d{19,}|[01]{24,}|(\d{1,3}[,\s]+){24,}", sent) is not None


def test_the_search_for_key_bytes_finds_them():
    key = bytes(range(100, 140))
    innocent = b'{"t":1.25,"row":[0.4125931768084611,9840384],"id":"a3f09b1c2d4e"}'
    assert not leaks(innocent, [key])
    encoded = [
        key[3:20], key[5:].hex().encode(), base64.b64encode(key), base64.b64encode(key[1:]),
        str(int.from_bytes(key[:9])).encode(), str(list(key)).encode(),
        f"{int.from_bytes(key):b}".encode(),
    ]  # fmt: skip
    for hidden in encoded:
        assert leaks(innocent + hidden + innocent, [key])


def test_no_key_byte_is_ever_sent(monkeypatch):
    keys, put = [], Pool.put

    def noted(pool, bits, *, key, **given):
        keys.extend(key)
        put(pool, bits, key=key, **given)

    monkeypatch.setattr(Pool, "put", noted)

    async def tour(room, client):
        async with Stream(client) as stream:
            await order(client, "focus", client=stream.hello["client"], link="R-S", pair=["A", "B"])
            await stream.until("tick", lambda tick: tick["t"] > 0)
            await order(client, "attack", link="R-S", adversary="cloner", strength=0.2)
            await stream.until("tick", lambda tick: tick["head"]["alarms"] > 0)
            for path in (*map("/export/{}".format, EXPORTS), "/api/history?link=R-S"):
                stream.sent.append(await (await client.get(path)).read())
        sent = b"\n".join(stream.sent)
        assert len(keys) > 20
        assert len(sent) > 10_000
        assert not leaks(sent, keys)

    visit(tour)


EXPORTS = ("links.csv", "log.csv", "state.json")


def test_exports_say_what_the_report_says():
    async def tour(room, client):
        async with Stream(client) as stream:
            await stream.until("tick", lambda tick: tick["t"] > 0)
            await order(client, "clock", running=False)
            answer = await client.get("/export/links.csv")
            assert 'filename="small-links.csv"' in answer.headers["Content-Disposition"]
            table = [line.split(",") for line in (await answer.text()).splitlines()]
            assert [row[0] for row in table] == ["link", *LINKS]
            state = json.loads(await (await client.get("/export/state.json")).text())
            made = [int(row[table[0].index("made_bits")]) for row in table[1:]]
            assert sum(made) == state["report"]["link_bits"]["made"] > 0
            assert (await client.get("/export/keys.bin")).status == 404

    visit(tour)


# Whom it refuses.

REFUSED = {
    "no such link": ("cut", {"link": "A-B"}, "`link` must name a link of the network"),
    "no such adversary": (
        "attack", {"link": "R-S", "adversary": "blinding", "strength": 1}, "must be one of",
    ),
    "too strong": (
        "attack", {"link": "R-S", "adversary": "cloner", "strength": 2}, r"must lie in \[0, 0.5\]",
    ),
    "no number": (
        "attack", {"link": "R-S", "adversary": "cloner", "strength": "1"}, "must be a number",
    ),
    "speed": ("clock", {"speed": 2}, "must be one of 1, 10, 60"),
    "running": ("clock", {"running": 1}, "must be true or false"),
    "tab": ("focus", {"client": "nobody", "link": "R-S"}, "must name an open tab"),
    "replay": ("replay", {"id": "jinan-2017"}, "must be one of secoqc-2008"),
    "no object": ("cut", ["A-R"], "must be a JSON object"),
}  # fmt: skip


def test_nonsense_and_strangers_are_refused_in_a_sentence():
    async def tour(room, client):
        for verb, body, words in REFUSED.values():
            status, answer = await said(client, verb, body)
            assert status == 400
            assert re.search(words, answer["error"])
        assert (await client.post("/api/cut", data=b"{", headers=JSON)).status == 400
        assert (await client.post("/api/cut", data=b"\xff", headers=JSON)).status == 400
        assert (await client.post("/api/cut", data="link=A-R")).status == 415
        assert (await client.post("/api/erase", json={})).status == 404
        assert (await client.get("/pilot.py")).status == 404
        assert (await client.get("/api/history?link=A-B")).status == 404
        for headers in (
            {"Host": "evil.example"},
            {"Host": f"evil.example:{client.port}"},
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
        ):
            assert (await client.get("/", headers=headers)).status == 403
            assert (
                await client.post("/api/cut", json={"link": "A-R"}, headers=headers)
            ).status == 403
        own = {"Origin": f"http://127.0.0.1:{client.port}"}
        answer = await client.get("/", headers=own)
        assert answer.status == 200
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'; ")
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert room.pilot.now.simulation.history.events[-1].kind != "cut"

    visit(tour, depth="counts")


def test_a_taken_port_is_said_in_one_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=rf"must be free, but {port} is taken"):
            serve(SQUARE, depth="counts", port=port)


def test_an_address_of_another_computer_is_refused_in_one_sentence():
    with pytest.raises(ValueError, match=r"but 192\.0\.2\.1 is none"):
        serve(SQUARE, depth="counts", host="192.0.2.1", port=0)


def test_a_tab_that_sleeps_gets_everything_anew():
    async def tour(room, client):
        async with Stream(client) as stream:
            (tab,) = room.tabs.values()
            for _ in range(2 * tab.waiting.maxsize):
                room._put(tab, "tick", {})
            assert tab.stale
            await stream.until("hello")

    visit(tour, depth="counts")


def test_a_tab_that_is_closed_is_forgotten():
    async def tour(room, client):
        async with Stream(client), Stream(client) as other:
            assert len(room.tabs) == 2
        async with Stream(client) as stream:
            assert stream.hello["client"] != other.hello["client"]
            await stream.until("tick", lambda _: len(room.tabs) == 1)  # when it is written to

    visit(tour, depth="counts")


def test_a_simulation_that_fails_ends_the_server():
    async def tour(room, client):
        def fail():
            room.pilot.now.simulation.watch = fails

        def fails(_):
            raise ZeroDivisionError

        await room.ask(fail)
        with pytest.raises(ZeroDivisionError):
            await room.ended

    visit(tour, depth="counts")


# What it says of a network.


TWO_WAYS = lit(network_of("A B", "R S T U", "A-R B-S R-T T-S R-U U-S"), store_limit_s=100.0)


def test_keys_a_second_are_those_of_whole_seconds():
    """Requests of a second may be served at its start, so a look between two seconds misleads."""
    users = network_of("A B", "R", "A-R B-R")
    plan = lit(users, keys_per_second=400.0, store_limit_s=100.0, store_s=5.0)
    running = Running.of(plan, depth="counts", seed=1, workers=1, ends=False)
    seen = []
    for tenth in range(75):
        running.simulation.advance(tenth / 10)
        seen.append(running.headline()["keys"])
    served = running.simulation.history.samples.column("served")
    assert seen[-1] == pytest.approx((served[7] - served[2]) / 5, rel=0.05)
    assert max(seen[20:]) < 1.25 * 400 < 4 / 3 * 400  # a second too many would be seen


def test_a_story_that_is_over_is_put_beside_what_was_printed():
    running = Running.of(load("cambridge-2019"), depth="counts", seed=1, workers=1, ends=True)
    assert running.end_s == 70 * 60
    running.simulation.advance(3600.0)
    assert not running.is_over
    assert running.outcomes() == []
    running.simulation.advance(running.end_s)
    assert running.is_over
    rows = running.outcomes()
    assert rows[0]["quantity"] == "requests that failed"
    assert all(row["verdict"] != "no" for row in rows)


@pytest.mark.parametrize("look", [route_now, None])
def test_looking_at_a_route_is_not_remembered(look):
    """Of two equal ways the one that was asked for first is kept: a look must not ask."""
    simulation = begin(replace(TWO_WAYS, demand=()), depth="counts", seed=1)
    simulation.advance(-0.05)
    figures, ledger, number = Figures(simulation), simulation.ledger, simulation.graph.link_number
    ends = [simulation.graph.site_number[name] for name in "AB"]
    ledger.spend((number["R-U"],), ledger.stored[number["R-U"]] - 1000)  # now T is the wider way
    if look is None:
        simulation.router.find(*ends, 256)
    else:
        assert look(simulation, figures, "A", "B")["ways"][0]["nodes"] == list("ARTSB")
    ledger.spend((number["R-T"],), ledger.stored[number["R-T"]] - 500)  # now U is
    path = simulation.router.find(*ends, 256)
    assert [number["R-U"] in path, number["R-T"] in path] == [look is not None, look is None]


def test_a_way_with_a_link_that_claims_nothing_claims_nothing():
    carried = replace(TWO_WAYS.links[1], light="", medium="stored", store_bits=80_000)
    plan = replace(TWO_WAYS, links=(TWO_WAYS.links[0], carried, *TWO_WAYS.links[2:]))
    simulation = begin(replace(plan, demand=()), depth="counts", seed=1)
    simulation.advance(0.6)
    figures = Figures(simulation)
    lit_way, mixed = (route_now(simulation, figures, "A", far) for far in ("S", "B"))
    assert lit_way["model"] == "trusted-analysers"
    assert lit_way["epsilon"] >= 3e-10
    assert mixed["model"] == "none: a link of the way claims no model"
    assert mixed["epsilon"] is None


def test_states_of_links():
    simulation = begin(replace(SQUARE, demand=()), depth="counts", seed=1)
    figures = Figures(simulation)
    states = lambda: [figures.state(life) for life in simulation.lives]  # noqa: E731
    simulation.advance(0.5)
    assert states() == [UP] * 5
    simulation.cut("A-R")
    simulation.darken("B-S")
    simulation.advance(2.0)
    figures.look()
    stored = simulation.ledger.stored
    simulation.ledger.spend((2,), stored[2] - round(0.1 * simulation.lives[2].store_limit))
    assert states()[:3] == [DOWN, IDLE, LOW]
    assert figures.rows[0][-1].chsh is None
    assert figures.rate(simulation.lives[0]) == 0
    full = simulation.lives[3]
    assert figures.short(full)[2] == 100  # nobody asks for keys
    assert figures.rate(full) < full.bits_per_second


def test_a_rate_is_that_of_the_blocks():
    simulation = begin(replace(SQUARE, store_limit_s=100.0), depth="counts", seed=1)
    figures = Figures(simulation)
    simulation.advance(3.0)
    life = simulation.lives[0]
    assert figures.rate(life) == pytest.approx(life.bits_per_second, rel=0.1)


def test_a_false_alarm_is_one_of_a_link_that_nobody_touched():
    simulation = begin(SQUARE, depth="counts", seed=1)
    figures = Figures(simulation)
    simulation.advance(0.1)
    simulation.attack("R-S", "intercept-resend", 1.0)
    simulation.advance(0.15)
    simulation.end_attack("R-S")  # within a block, which rings all the same
    simulation.advance(0.5)
    assert len(simulation.history.alarms) == 1
    assert figures.false_alarms == 0
    life = simulation.lives[3]
    simulation._ring(simulation.now_s, life, 0, cause="CHANGE")
    figures.block_is_over(life)
    assert figures.false_alarms == 1


def test_the_weak_end_of_every_adversary_does_nothing():
    layout = _layout_of(SQUARE)
    assert set(layout["adversaries"]) == set(channels())
    for name, entry in layout["adversaries"].items():
        if not ATTACKS[name].settings:
            idle = ATTACKS[name].expected(conditions_of(name, entry["none"])).chsh
            worst = ATTACKS[name].expected(conditions_of(name, entry["most"])).chsh
            assert idle == pytest.approx(2 * math.sqrt(2))
            assert worst < 2.5
    assert "collective" not in layout["links"][0]["attacks"]  # it has settings of its own


def _layout_of(plan):
    simulation = begin(plan, depth="counts", seed=1)
    found = map_of(simulation, Figures(simulation), "counts")
    simulation.close()
    return found


def test_users_behind_a_switch_stand_at_it():
    shared = lit(network_of("A B C", "R", "A-R B-R C-R"), shared="A-R B-R")
    layout = _layout_of(shared)
    (switch,) = layout["subnets"]
    assert (switch["id"], switch["relay"], switch["members"]) == ("one", "R", ["A", "B"])
    assert {node["id"]: node["kind"] for node in layout["nodes"]} == {"C": "user", "R": "relay"}
    assert [link["kind"] for link in layout["links"]] == ["access", "access", "core"]


@pytest.mark.parametrize("name", ["micius", "hefei-2021"])
def test_every_kind_of_network_has_a_map(name):
    layout = _layout_of(load(name))
    placed = {node["id"] for node in layout["nodes"]} | {user["id"] for user in layout["users"]}
    assert all({link["a"], link["b"]} <= placed for link in layout["links"])
    json.dumps(layout, allow_nan=False)


def test_users_who_are_joined_directly_stand_on_the_map():
    layout = _layout_of(lit(network_of("A B C", "", "A-B B-C")))
    assert [node["kind"] for node in layout["nodes"]] == ["user"] * 3
    assert layout["first"] == "A-B"


KINDS = (".html", ".css", ".js", ".svg")
ASSETS = sorted(
    file.name for file in files("e91.network.page").iterdir() if file.name.endswith(KINDS)
)


def test_every_file_of_the_page_is_served_and_nothing_else():
    async def tour(room, client):
        assert len(ASSETS) > 8
        for name in ASSETS:
            answer = await client.get(f"/{name}")
            assert answer.status == 200
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert (
            await (await client.get("/")).text() == await (await client.get("/index.html")).text()
        )
        for name in (
            "pilot.py",
            "__init__.pyi",
            "..%2Fjinan-2017.toml",
            "..%2fpage%2fapp.js",
            "no.js",
        ):
            assert (await client.get(f"/{name}")).status == 404

    visit(tour, depth="counts")


@pytest.mark.parametrize("name", ASSETS)
def test_the_page_asks_for_nothing_from_elsewhere_and_has_nothing_inline(name):
    text = files("e91.network.page").joinpath(name).read_text("utf-8")
    assert set(re.findall(r"https?://[\w.]+", text)) <= {"http://www.w3.org"}
    assert not re.search(r"""style=["']|\son\w+=["']|<style|eval\(|url\((?!#)""", text)
