"""The control room in a browser: headless Chromium drives the page as a person would.

The browser is `$CHROMIUM`, or whatever is called chromium; none is downloaded.
"""

import csv
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
SERVE = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored, as under nohup
from dataclasses import replace
from small_networks import lit, network_of
from e91.network.page import serve

AT = {"R": (0, 0), "S": (4, 0), "T": (2, 3), "A": (-1, 1), "B": (-1, -1), "C": (5, 1), "D": (5, -1)}
plan = network_of("A B C D", "R S T", "R-S R-T T-S A-R B-R C-S D-S")
sites = [replace(s, x_km=AT[s.name][0], y_km=AT[s.name][1], assumed=False) for s in plan.sites]
plan = lit(replace(plan, sites=tuple(sites)), shared="A-R B-R", keys_per_second=30.0)
serve(plan, depth="bits", seed=1, workers=1, port=int(sys.argv[1]))
"""


def browser_path():
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.fail(
            "The page's tests must have a browser, but there is none: install Chromium "
            "(Debian: apt-get install chromium), or name one by $CHROMIUM.",
            pytrace=False,
        )
    return found


class Served:
    """A control room in a process of its own."""

    def __init__(self, port=0):
        here = str(Path(__file__).parent.parent)
        path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", SERVE, str(port)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": path},
        )
        said = self.process.stdout.readline()
        self.url = re.search(r"http://127\.0\.0\.1:\d+/", said)[0]

    @property
    def port(self):
        return int(self.url.rpartition(":")[2][:-1])

    def interrupt(self):
        """End it as Ctrl-C does, and return its exit status and its last words."""
        self.process.send_signal(signal.SIGINT)
        words, _ = self.process.communicate(timeout=60)
        return self.process.returncode, words


@pytest.fixture(scope="module")
def served():
    served = Served()
    yield served
    served.interrupt()


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    path = browser_path()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def errors():
    found = []
    yield found
    assert found == []


@pytest.fixture
def opened(chromium, served, errors):
    """Return a function that opens the page in a tab of its own."""
    contexts = []

    def open_page(**options):
        contexts.append(chromium.new_context(**options))
        page = contexts[-1].new_page()
        page.on(
            "console",
            lambda said: errors.append(said.text) if said.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(served.url)
        until(page, "room.head && room.detail && room.route && room.t > 0")
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def page(opened):
    return opened(viewport={"width": 1440, "height": 900})


def until(page, expression, seconds=90):
    """Wait until an expression holds; the page's own rules forbid Playwright's way to wait."""
    end = time.monotonic() + seconds
    while not page.evaluate(f"() => !!({expression})"):
        assert time.monotonic() < end, f"waited in vain for {expression}"
        page.wait_for_timeout(50)


def leave_the_field(page):
    page.evaluate("() => document.activeElement.blur()")


def test_an_attack_turns_a_link_rings_the_alarm_and_moves_the_route(page):
    assert page.evaluate("() => room.net.links.length") == 7
    foreign = "() => performance.getEntriesByType('resource').map((r) => new URL(r.name).origin)"
    assert set(page.evaluate(foreign)) == {page.url.rstrip("/")}
    page.select_option("#link-choice", "R-S")
    page.select_option("#from", "A")
    page.select_option("#to", "C")
    until(page, "room.route?.ok && room.route.ways[0].links.join() === 'A-R,R-S,C-S'")
    page.select_option("#adversary", "intercept-resend")
    leave_the_field(page)
    page.keyboard.press("a")
    assert page.evaluate("() => document.activeElement.id") == "strength"
    for _ in range(4):
        page.keyboard.press("PageUp")
    assert page.input_value("#strength") == "40"
    assert page.inner_text("#strength-out") == "0.4"
    until(page, "room.detail.state === 2 && document.querySelector('.moved')")
    assert "alarm" in page.inner_text("#chip")
    drawn = (
        "() => getComputedStyle(document.querySelector('#map-svg path.link.s2')).strokeDasharray"
    )
    assert page.evaluate(drawn) != "none"
    badge = "() => document.querySelector('#map-svg .badge.s2').getAttribute('href')"
    assert page.evaluate(badge) == "#i-alarm"
    assert "Alarm on R – S" in page.inner_text("#sentence")
    assert "alarm" in page.title()
    assert "R → S" in page.inner_text(".moved s")
    assert page.locator("#route-body .chain li:not(.hop)").all_inner_texts() == list("ARTSC")
    assert "The alarm of R-S rings (eavesdropper)" in page.inner_text("#log-list .alarm")
    assert "Named eavesdropper" in page.inner_text("#knows-net")
    assert "bit of each sifted bit" in page.inner_text("#knows-sim")
    page.click("#stop")
    until(page, "room.detail.state === 3")
    until(page, "room.detail.state === 0 && room.route.ways[0].links.includes('R-S')")
    assert "back in service" in page.inner_text("#log-list .good")


def test_a_link_is_cut_and_mended_and_the_inspector_says_why_there_is_no_way(page):
    page.select_option("#link-choice", "C-S")
    page.select_option("#from", "A")
    page.select_option("#to", "C")
    until(page, "room.detail.id === 'C-S' && room.route?.b === 'C'")
    leave_the_field(page)
    page.keyboard.press("c")
    until(page, "room.detail.state === 4 && room.route && !room.route.ok")
    assert "C has no link that may be used: it is down" in page.inner_text("#route-body")
    assert page.locator("#map-svg path.link.s4").count() == 1
    page.keyboard.press("c")
    until(page, "room.detail.state === 0 && room.route?.ok")


def test_sites_with_given_coordinates_are_drawn_there(page):
    corners = page.evaluate(
        "() => Object.fromEntries(['R', 'S', 'T'].map((n) => [n, map_place(n)]))".replace(
            "map_place(n)",
            "(({ x, y, width, height }) => [x + width / 2, y + height / 2])"
            "(document.querySelector(`.station[data-node=${n}] .body`).getBoundingClientRect())",
        )
    )
    (rx, ry), (sx, sy), (tx, ty) = (corners[name] for name in "RST")
    scale = (sx - rx) / 4
    assert scale > 20
    assert [sy - ry, tx - rx, ry - ty] == pytest.approx([0, 2 * scale, 3 * scale], abs=1.5)
    assert re.fullmatch(r"\d+(\.\d+)? km", page.inner_text("#scale"))


def test_everything_goes_by_keyboard(page):
    leave_the_field(page)
    page.keyboard.press("m")
    for key in ("ArrowLeft", "ArrowUp", "ArrowRight"):
        page.keyboard.press(key)
    assert page.locator(".focus-ring").count() == 1
    spoken = page.evaluate("() => [...document.querySelectorAll('p.hidden')].pop().textContent")
    assert re.search("trusted relay|user|store", spoken)
    page.keyboard.press("Escape")
    leave_the_field(page)
    page.keyboard.press(" ")
    until(page, "!room.running")
    page.keyboard.press(" ")
    until(page, "room.running")
    page.keyboard.press("2")
    until(page, "room.speed === 10")
    page.keyboard.press("1")
    until(page, "room.speed === 1")
    page.keyboard.press("?")
    assert page.locator("dialog[open]").count() == 1
    page.keyboard.press("Escape")
    leave_the_field(page)
    order = []
    for _ in range(80):
        page.keyboard.press("Tab")
        where = page.evaluate("() => document.activeElement.id || document.activeElement.tagName")
        if where == "BODY":
            break
        order.append(where)
    stops = [
        "pause",
        "theme",
        "map-svg",
        "link-choice",
        "adversary",
        "strength",
        "from",
        "log-list",
    ]
    assert [order.index(stop) for stop in stops] == sorted(order.index(stop) for stop in stops)
    nameless = page.evaluate(
        "() => [...document.querySelectorAll('button,select,input,a,summary,svg[role]')]"
        ".filter((e) => !(e.getAttribute('aria-label') || e.title || e.textContent.trim()"
        " || e.labels?.length)).map((e) => e.outerHTML.slice(0, 60))"
    )
    assert nameless == []


def test_a_switch_unfolds_and_its_users_can_be_chosen(page):
    page.click("g.hub[data-hub='one']")
    assert page.locator("g.user").count() == 2
    page.locator("g.user").first.click()
    until(page, "room.detail.id === room.link && ['A-R', 'B-R'].includes(room.link)")


def test_two_tabs_share_the_clock_and_one_may_be_closed(page, opened):
    other = opened(viewport={"width": 1000, "height": 700})
    other.click("#pause")
    until(page, "!room.running")
    other.context.close()
    page.click("#pause")
    stood = page.evaluate("() => room.t")
    until(page, f"room.running && room.t > {stood}")


def test_the_recording_goes_back_before_the_alarm_and_the_network_goes_on(page):
    page.select_option("#link-choice", "R-S")
    until(page, "room.detail?.id === 'R-S' && room.t > 3")
    assert page.input_value("#moment") == page.get_attribute("#moment", "max")
    page.select_option("#adversary", "intercept-resend")
    leave_the_field(page)
    page.keyboard.press("a")
    page.keyboard.press("End")
    until(page, "room.detail.state === 2")
    rang = page.evaluate("() => room.detail.rang")
    until(page, f"room.t > {rang + 1}")
    leave_the_field(page)
    page.keyboard.press("b")
    assert page.evaluate("() => document.activeElement.id") == "moment"
    page.keyboard.press("Home")
    first = "room.past === Math.floor(room.net.start)"
    until(page, f"{first} && room.t < {rang} && room.head.states[2] === 0")
    assert "live" not in page.inner_text("#moment-out")
    assert page.inner_text("#sentence").startswith("The recording at ")
    assert page.locator("#log-list .alarm").count() == 0
    assert page.evaluate("() => document.getElementById('attack').inert")
    page.click("text=Replay")
    page.click("#own-replays button >> nth=-1")  # plays from five seconds before that alarm
    until(page, f"room.past >= {rang} && room.rows.some((row) => row[1] === 2)")
    leave_the_field(page)
    page.keyboard.press("v")
    until(page, f"room.past === null && room.t > {rang + 1} && room.detail.id === 'R-S'")
    page.click("#stop")
    until(page, "room.detail.state === 0 && room.detail.rang === null")


def test_pictures_and_data_can_be_kept(page, tmp_path):
    import matplotlib.image

    kept = {}
    for what in ("png", "svg", "link"):
        page.click("details.menu.right summary")
        with page.expect_download() as download:
            page.click(f"[data-export={what}]")
        kept[what] = tmp_path / download.value.suggested_filename
        download.value.save_as(kept[what])
    picture = (255 * matplotlib.image.imread(kept["png"])[..., :3]).round()
    blue = (abs(picture - [0, 0x72, 0xB2]).max(axis=-1) < 3).sum()
    assert blue > 1000  # links in service have their colour
    drawing = kept["svg"].read_text()
    assert "</svg>" in drawing
    assert "simulated time" in drawing
    rows = list(csv.DictReader(io.StringIO(kept["link"].read_text())))
    assert float(rows[-1]["S"]) > 2.5
    until(page, "!document.querySelector('details.menu[open]')")


def test_a_published_incident_is_replayed_beside_what_was_printed(page):
    page.click("text=Replay")
    page.click("[data-replay=secoqc-2008][data-variant=zero]")
    until(page, "room.net.name === 'secoqc-2008' && room.t > 0")
    said = page.get_attribute("#replay svg", "aria-label")
    assert "144 min end of route 2" in said
    assert "45 min ERD-FOR: source fails" in said
    assert page.locator("#compare").is_hidden()  # the story is not over
    assert page.locator(".chart.bell").is_hidden()  # these links made no Bell test
    page.click("#leave")
    until(page, "room.net.name === 'small'")
    assert page.locator(".chart.bell").is_visible()


def luminance(colour):
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


TEXTS = """
ink/panel ink/page muted/panel muted/page muted/map up-ink/panel low-ink/low-tint low-ink/panel
alarm-ink/alarm-tint alarm-ink/panel proving-ink/proving-tint proving-ink/panel down-ink/down-tint
eve-ink/eve-tint eve-ink/panel ink/eve-tint
"""
SHAPES = """
up/map low/map alarm/map proving/map down/map idle/map eve/map
up/panel low/panel alarm/panel proving/panel down/panel idle/panel eve/panel
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_stands_out_from_its_ground(opened, scheme):
    page = opened(color_scheme=scheme)
    names = sorted(set(re.findall(r"[\w-]+", TEXTS + SHAPES)))
    colours = page.evaluate(
        "(names) => { const e = document.body.appendChild(document.createElement('i'));"
        "return Object.fromEntries(names.map((n) => { e.style.color = `var(--${n})`;"
        "return [n, getComputedStyle(e).color]; })); }",
        names,
    )
    assert len(set(colours.values())) > 15
    for pairs, least in ((TEXTS, 4.5), (SHAPES, 3.0)):
        for pair in pairs.split():
            one, other = pair.split("/")
            assert contrast(colours[one], colours[other]) >= least, pair


def test_nothing_sticks_out_of_a_telephone(opened):
    phone = opened(viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
    assert phone.evaluate("() => document.documentElement.scrollWidth") <= 360
    phone.tap("#pause")
    until(phone, "!room.running")
    phone.tap("#pause")
    until(phone, "room.running")


def test_nothing_moves_where_that_is_unwanted(opened):
    page = opened(reduced_motion="reduce")
    assert page.evaluate("() => document.getAnimations().length") == 0


def test_a_lost_connection_is_said_and_mended_and_ctrl_c_ends_the_server(chromium):
    first = Served()
    page = chromium.new_page()
    page.goto(first.url)
    until(page, "room.t > 0")
    assert first.interrupt() == (0, "The control room is closed.\n")
    until(page, "!document.getElementById('lost').hidden")
    again = Served(first.port)
    try:
        until(page, "document.getElementById('lost').hidden && room.detail")
    finally:
        again.interrupt()
        page.close()
