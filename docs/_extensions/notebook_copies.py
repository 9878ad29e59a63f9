"""Copies of the notebooks for the site, which keep the outputs of a run until a cell changes."""

import json
from pathlib import Path


def copy_notebooks(source: Path, target: Path) -> None:
    """Copy every notebook whose copy is missing or has other cells; remove what has no source."""
    target.mkdir(exist_ok=True)
    wanted = {path.name: path for path in source.glob("*.ipynb")}
    for old in target.glob("*.ipynb"):
        if old.name not in wanted:
            old.unlink()
    for name, path in wanted.items():
        copy, text = target / name, moved(path.read_text(encoding="utf-8"))
        if not copy.exists() or _cells(copy.read_text(encoding="utf-8")) != _cells(text):
            copy.write_text(text, encoding="utf-8")


def moved(text: str) -> str:
    """Return a notebook's text with links to pages as they are from a folder beside the pages."""
    return text.replace("](../docs/", "](../")


def run_before(folder: Path) -> list[str]:
    """Return the names of the notebooks whose code cells have all been run."""
    return [path.name for path in sorted(folder.glob("*.ipynb")) if _was_run(path)]


def _cells(text: str) -> list[tuple[str, str]]:
    cells = json.loads(text)["cells"]
    return [(cell["cell_type"], "".join(cell["source"])) for cell in cells]


def _was_run(notebook: Path) -> bool:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return all(
        cell.get("execution_count")
        for cell in cells
        if cell["cell_type"] == "code" and "".join(cell["source"]).strip()
    )


def write_index(folder: Path) -> None:
    """Write the page that lists the notebooks of ``folder``."""
    names = "\n".join(sorted(path.stem for path in folder.glob("*.ipynb")))
    page, text = folder / "index.md", INDEX.format(names=names)
    if not page.exists() or page.read_text(encoding="utf-8") != text:
        page.write_text(text, encoding="utf-8")


INDEX = """\
# Notebooks

They tell the story from the first photon to a network under delivered keys. They lie in the folder
`notebooks/` of a checkout: `pip install -c constraints.txt '.[notebook]'`, then `jupyter lab`.

```{{toctree}}
:maxdepth: 1

{names}
```
"""


if __name__ == "__main__":
    ROOT = Path(__file__).parents[2]
    copy_notebooks(ROOT / "notebooks", ROOT / "docs" / "notebooks")
