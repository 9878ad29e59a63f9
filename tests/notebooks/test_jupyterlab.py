"""Two notebooks in a real JupyterLab in a real browser: run all, move Eve's slider, see S fall."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from notebook_files import FOLDER

pytestmark = pytest.mark.slow

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS = 120_000


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("no Chromium here")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield started
        started.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def laboratory(folder):
    """Serve a folder by JupyterLab, with settings and kernels of its own; yield its address."""
    port, token = free_port(), "only-here"
    own = {name: str(folder / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")}
    own |= {name: str(folder / name.lower()) for name in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}
    kernels = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
            *(f"--ServerApp.port={port}", f"--IdentityProvider.token={token}"),
            *(
                f"--ServerApp.root_dir={folder}",
                "--LabApp.news_url=",
                "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
            ),
        ],
        env=os.environ | own | kernels,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(f"{address}/api/status?token={token}")
        yield lambda notebook: f"{address}/lab/tree/{notebook}?token={token}&reset"
    finally:
        server.terminate()
        server.wait(30)


def wait_for(address):
    for _ in range(240):
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.25)
    pytest.fail("JupyterLab did not answer within a minute.")


def opened(browser, address):
    """Return a page with the notebook, its kernel idle, and what its scripts complained of."""
    page, complaints = browser.new_page(viewport={"width": 1400, "height": 1000}), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address, timeout=PATIENCE_MS)
    page.wait_for_selector(".jp-Notebook", timeout=PATIENCE_MS)
    page.locator("#jp-main-statusbar", has_text="| Idle").wait_for(timeout=PATIENCE_MS)
    return page, complaints


def playwright_timeout():
    from playwright.sync_api import TimeoutError as TimedOut

    return TimedOut


def run_all(page):
    """Run all cells by the menu; what is asked before the kernel listens is lost, so ask again."""
    for _ in range(20):
        if (answer := page.locator(".jp-Dialog .jp-mod-accept")).count():
            answer.first.click()  # that the kernel is not there yet
        page.click(".lm-MenuBar-item:has-text('Run')")
        page.click(".lm-Menu-item:has-text('Run All Cells')")
        try:
            page.wait_for_function(
                "() => [...document.querySelectorAll('.jp-InputPrompt')]"
                ".some(one => /[*0-9]/.test(one.innerText))",
                timeout=5_000,
            )
        except playwright_timeout():
            continue
        return
    pytest.fail("JupyterLab runs no cell.")


def reading(page):
    """Return S and the verdict that stand below the sliders, also where they are scrolled away."""
    page.wait_for_function(SHOWS, arg=" ± ", timeout=PATIENCE_MS)
    shown = page.locator(".widget-html").all_text_contents()
    text = next(one for one in shown if " ± " in one)
    return float(re.search(r"(\d\.\d{3}) ±", text)[1]), "NO KEY" in text


SHOWS = (
    "words => [...document.querySelectorAll('.widget-html')]"
    ".some(one => one.textContent.includes(words))"
)


@pytest.mark.parametrize("name", ["04_eve.ipynb", "10_the_jinan_network.ipynb"])
def test_eves_slider_is_moved_by_keyboard_and_s_falls(browser, name, tmp_path):
    shutil.copy(FOLDER / name, tmp_path)
    with laboratory(tmp_path) as address_of:
        page, complaints = opened(browser, address_of(name))
        run_all(page)
        handle = page.locator(".widget-slider .noUi-handle").first
        handle.wait_for(state="attached", timeout=PATIENCE_MS)
        handle.scroll_into_view_if_needed()
        before, refused_before = reading(page)
        handle.focus()
        for _ in range(50):
            page.keyboard.press("ArrowRight")
        for words in ("NO KEY", "1.414 ± "):
            page.wait_for_function(SHOWS, arg=words, timeout=PATIENCE_MS)
        after, refused_after = reading(page)
        assert before > 2.8 > 2 > after
        assert (refused_before, refused_after) == (False, True)
        wait_for_the_end(page, tmp_path / name)
        assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
        assert complaints == []


def wait_for_the_end(page, notebook):
    """Wait until every code cell has been run."""
    cells = [
        cell
        for cell in json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    ]
    page.wait_for_function(
        "() => document.querySelector('.jp-Notebook-ExecutionIndicator')"
        "?.getAttribute('data-status') === 'idle'",
        timeout=PATIENCE_MS,
    )
    page.keyboard.press("Escape")
    page.keyboard.press("Control+s")
    for _ in range(240):
        saved = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
        run = [cell["execution_count"] for cell in saved if cell["cell_type"] == "code"]
        if all(run):
            assert len(run) == len(cells)
            break
        page.keyboard.press("Control+s")
        time.sleep(1)
    else:
        pytest.fail(f"Not all cells were run: {run}.")
    for cell in saved:
        for output in cell.get("outputs", []):
            assert output["output_type"] != "error", output
