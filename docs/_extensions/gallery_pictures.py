"""The gallery: each picture is drawn by the command that is printed under it."""

from __future__ import annotations

import shlex
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE, STDOUT, run
from sys import executable

from sphinx.application import Sphinx
from written import write_pages

FOLDER = Path(__file__).parents[1] / "reference" / "gallery"
ABORTED = 3

PICTURES = {
    "session": ("A session: S, and where its bits went", "run --device exact --seed 1"),
    "cloner": ("An eavesdropper", "attack run cloner --strength 0.05 --rounds 1e5 --seed 1"),
    "game": ("A Bell test without a key", "bell --wins 800 --rounds 1000"),
    "rate": ("What a link is worth", "rate --chsh 2.7 --qber 0.02"),
    "finite": ("How long it must run", "rate --chsh 2.7 --qber 0.02 --rounds 1e6"),
    "distance": ("Fibre", "rate --distance-km 50"),
    "experiment": ("A published experiment beside its simulation", "experiment run yin-2020"),
    "map": ("A network's map", "network show jinan-2017"),
    "tokyo": ("A network's day, with an alarm", "network run tokyo-2010 --seed 1"),
    "pictures": ("What a picture looks like at a budget of key", "network calls hefei-2021"),
    "passes": ("A satellite's passes", "network passes micius"),
}
"""What each picture shows, and the command that draws it."""


def draw(name: str) -> None:
    """Draw one picture, unless it has been drawn by the same command."""
    command = PICTURES[name][1]
    picture, note = FOLDER / f"{name}.svg", FOLDER / f"{name}.command"
    if picture.exists() and note.exists() and note.read_text() == command:
        return
    picture.unlink(missing_ok=True)
    arguments = [executable, "-m", "e91", *shlex.split(command), "--figure", str(picture)]
    ended = run(arguments, stdout=PIPE, stderr=STDOUT, text=True, check=False)
    if ended.returncode not in (0, ABORTED):
        raise RuntimeError(f"`e91 {command}` must draw {picture}, but ended so:\n{ended.stdout}")
    note.write_text(command)


def write(_app: Sphinx) -> None:
    """Draw all pictures and write the page that shows them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(draw, PICTURES))
    drawn = {
        f"{name}{ending}": (FOLDER / f"{name}{ending}").read_text(encoding="utf-8")
        for name in PICTURES
        for ending in (".svg", ".command")
    }
    parts = [HEAD]
    for name, (title, command) in PICTURES.items():
        parts.append(
            f"## {title}\n\n```bash\ne91 {command} --figure {name}.svg\n```\n\n"
            f"![{title}]({name}.svg)\n"
        )
    write_pages(FOLDER, {"index.md": "\n".join(parts), **drawn})


HEAD = """\
# Gallery

Every picture of this page is drawn by the command above it while the site is built. The same
figures in Python, in three sizes and with axes of your own: [figures](../../figures.md).
"""


def setup(app: Sphinx) -> dict[str, bool]:
    """Draw the pictures before Sphinx looks for their page."""
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
