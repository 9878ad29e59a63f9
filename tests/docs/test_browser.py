"""The built site in a headless Chromium, opened from its folder and without the internet."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
PAGES = ["index.html", "tutorial.html", "reference/gallery/index.html", "key_rates.html"]
WIDTHS = (1280, 390)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
]


@pytest.fixture(scope="module")
def site():
    """Return the built site, brought up to date, every warning an error.

    What `.ci/run` has built is nearly up to date.  Without it the site is built without the
    notebooks' outputs, as running them takes minutes and has tests of its own.
    """
    pytest.importorskip("sphinx", reason="the site's builder is not installed")
    folder = ROOT / "docs" / "_build"
    quick = [] if (folder / "index.html").exists() else ["-D", "nb_execution_mode=off"]
    ended = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", *quick,
         ROOT / "docs", folder],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return folder


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser, site):
    """Open a page of the site, and end with what it asked for and what went wrong in it."""
    asked, wrong, contexts = [], [], []

    def visit(name, width=1280):
        context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto((site / name).as_uri())
        return page

    yield visit
    for context in contexts:
        context.close()
    assert wrong == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_page_fits_its_window_and_shows_its_pictures(opened, name, width):
    page = opened(name, width)
    assert page.locator("h1").first.inner_text()
    wider = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wider <= 0
    broken = page.evaluate("[...document.images].filter(i => !i.naturalWidth).map(i => i.src)")
    assert broken == []


def test_search_finds_a_term_and_leads_to_its_page(opened):
    page = opened("index.html")
    page.locator("input[name=q]").first.fill("privacy amplification")
    page.keyboard.press("Enter")
    found = page.locator("#search-results li a", has_text="Glossary").first
    found.wait_for(timeout=20_000)  # results come one by one
    found.click()
    page.wait_for_selector("dl.glossary")
    assert "privacy amplification" in " ".join(page.locator("dl.glossary dt").all_inner_texts())


def test_doors_of_the_first_page_lead_where_they_say(opened):
    page = opened("index.html")
    page.get_by_role("link", name="tutorial").first.click()
    assert page.locator("h1").first.inner_text().startswith("Tutorial")


def test_formulas_are_drawn_by_the_browser_itself(opened, site):
    pages = [path for path in (site / "notebooks").glob("*.html") if "<math" in path.read_text()]
    assert pages
    page = opened(pages[0].relative_to(site).as_posix())
    assert page.evaluate("document.querySelector('math').getBoundingClientRect().width") > 5


def test_every_link_inside_the_site_leads_somewhere(site):
    pages = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    places = {path: set(re.findall(r'\bid="([^"]+)"', text)) for path, text in pages.items()}
    lost = []
    for path, text in pages.items():
        for target in re.findall(r'<a [^>]*href="([^"]+)"', text):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            found = (path.parent / name.partition("?")[0]).resolve() if name else path
            if not found.exists() or (anchor and found in places and anchor not in places[found]):
                lost.append(f"{path.relative_to(site)}: {target}")
    assert lost == []
