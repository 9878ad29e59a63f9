"""The notebooks: no outputs, our interface alone, exercises whose solutions run, any folder."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from notebook_files import NOTEBOOKS, cells_of, contents_of, solutions_of

# What a notebook may import besides the standard library: this project, arrays, and figures.
OWN = {"e91", "e91_circuits"}
PLAIN = {"numpy", "matplotlib", "IPython"}


def each(function):
    return pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)(
        function
    )


def imports_in(code):
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.partition(".")[0]


def test_notebooks_are_numbered_in_order():
    assert [notebook.stem[:3] for notebook in NOTEBOOKS] == [
        f"{number:02}_" for number in range(len(NOTEBOOKS))
    ]


@each
def test_a_notebook_has_no_outputs_and_its_cells_are_numbered(notebook):
    found = contents_of(notebook)
    assert [cell["id"] for cell in found["cells"]] == [str(n) for n in range(len(found["cells"]))]
    for cell in found["cells"]:
        assert cell["metadata"] == {}
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)


@each
def test_a_notebook_imports_our_interface_alone(notebook):
    for code in [*cells_of(notebook, "code"), *solutions_of(notebook)]:
        foreign = set(imports_in(code)) - OWN - PLAIN - sys.stdlib_module_names
        assert foreign == set()


def test_a_foreign_package_would_be_found():
    assert OWN.isdisjoint(sys.stdlib_module_names)
    assert "qiskit" in packages_distributions()


@each
def test_a_notebook_asks_before_it_shows_and_has_three_exercises(notebook):
    prose = "\n\n".join(cells_of(notebook, "markdown"))
    assert "**The question.**" in prose
    assert prose.count("**Predict") >= 2
    assert "does not show" in prose
    assert len(solutions_of(notebook)) == prose.count("<details>") == 3
    assert all("assert " in code or "AssertionError" in code for code in solutions_of(notebook))


@each
def test_every_file_that_a_notebook_links_exists(notebook):
    prose = "\n\n".join(cells_of(notebook, "markdown"))
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", prose):
        if not target.startswith("http"):
            assert (notebook.parent / target).exists(), target


@pytest.mark.slow
@each
def test_a_notebook_runs_anywhere_and_twice_and_its_solutions_too(notebook, tmp_path, monkeypatch):
    import nbformat  # takes seconds, which every run of the fast tests would wait for
    from nbclient import NotebookClient

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    source = Path(notebook).read_text(encoding="utf-8")
    whole = nbformat.reads(source, as_version=4)
    solutions = [nbformat.v4.new_code_cell(code) for code in solutions_of(notebook)]
    again = [cell for cell in nbformat.reads(source, as_version=4).cells if cell.source]
    whole.cells += [*solutions, *again]
    for place, cell in enumerate(whole.cells):
        cell.id = str(place)
    client = NotebookClient(
        whole, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
