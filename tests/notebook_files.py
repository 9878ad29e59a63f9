"""The notebooks as the tests read them: their cells, and the solutions hidden in their prose."""

import json
import re
from pathlib import Path

import e91

FOLDER = Path(e91.__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

_SOLUTION = re.compile(
    r"^<details><summary>Solution</summary>\n\n```python\n(.*?)^```\n(.*?)^</details>$",
    re.MULTILINE | re.DOTALL,
)


def contents_of(notebook):
    return json.loads(notebook.read_text(encoding="utf-8"))


def cells_of(notebook, kind):
    """Return the sources of all cells of a kind, ``"code"`` or ``"markdown"``."""
    return [
        "".join(cell["source"])
        for cell in contents_of(notebook)["cells"]
        if cell["cell_type"] == kind
    ]


def solutions_of(notebook):
    """Return the code of the exercises' solutions, in order."""
    prose = "\n\n".join(cells_of(notebook, "markdown"))
    return [code for code, _ in _SOLUTION.findall(prose)]
