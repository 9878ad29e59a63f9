"""What a kernel shows and survives: bars, a missing extra, an interruption in the middle."""

import pytest
from notebook_files import FOLDER

pytestmark = pytest.mark.slow


# nbformat and nbclient take seconds to load, so only tests that run load them: every run of the
# fast tests reads this file too.


def client_of(notebook, folder):
    from nbclient import NotebookClient

    resources = {"metadata": {"path": str(folder)}}
    return NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources)


def contents_of(stem):
    import nbformat

    return nbformat.read(FOLDER / f"{stem}.ipynb", as_version=4)


def executed(*sources, folder):
    """Run cells in a kernel and return the notebook with its outputs."""
    from nbformat import v4

    cells = [v4.new_code_cell(source, id=str(n)) for n, source in enumerate(sources)]
    notebook = v4.new_notebook(cells=cells)
    client_of(notebook, folder).execute()
    return notebook


LONG_WORK = {
    "session": "e91.run(e91.aer_device(seed=1), rounds=300_000, seed=1)",
    "session under attack": """
from e91.adversaries import run_attack
run_attack("cloner", rounds=100_000, seed=1)""",
    "network": """
e91.network.load("cambridge-2019").run(minutes=2, seed=1)""",
    "study": """
from e91.studies import plan_study, study
study(plan_study({"rounds": 50_000}, repeats=3), seed=1, processes=1)""",
}


@pytest.mark.parametrize("work", LONG_WORK)
def test_long_work_has_a_bar_that_comes_to_its_end(work, tmp_path):
    at_once = "import e91, e91.system.progress as progress\nprogress._PATIENCE_S = 0.0"
    done = executed(at_once, f"{LONG_WORK[work]};", folder=tmp_path)
    widgets = done.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    bars = [one["state"] for one in widgets.values() if one["model_name"] == "FloatProgressModel"]
    assert bars
    for bar in bars:
        assert bar["value"] == pytest.approx(bar["max"])


def test_short_work_makes_no_widget(tmp_path):
    done = executed(
        "import e91",
        "for _ in range(5):\n    e91.run(e91.exact_device(seed=1), rounds=1_000)",
        folder=tmp_path,
    )
    assert "widgets" not in done.metadata


def test_outside_a_notebook_nothing_is_drawn(capsys):
    from e91.system.progress import in_notebook, progress_bar

    with progress_bar(3, unit="pairs") as drawn:
        drawn(3)
    assert not in_notebook()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("stem", "missing"),
    [
        ("00_a_key_in_five_minutes", "matplotlib"),
        ("04_eve", "ipywidgets"),
        ("09_on_an_ibm_backend", "qiskit_ibm_runtime"),
        ("12_studies_and_clusters", "xarray"),
    ],
)
def test_a_notebook_without_its_extra_says_what_to_install(stem, missing, tmp_path):
    from nbclient.exceptions import CellExecutionError

    sources = [cell.source for cell in contents_of(stem).cells if cell.cell_type == "code"]
    hidden = f"import sys\nsys.modules[{missing!r}] = None"
    with pytest.raises(CellExecutionError) as refused:
        executed(hidden, *sources, folder=tmp_path)
    package = missing.replace("_", "-")
    assert f"must have the package {package}, but it is not installed" in str(refused.value)
    assert "pip install" in str(refused.value)


def test_a_notebook_runs_after_an_interruption_in_the_middle(tmp_path):
    from nbclient.exceptions import CellTimeoutError
    from nbformat import v4

    notebook = contents_of("00_a_key_in_five_minutes")
    source = "import e91\ne91.run(e91.aer_device(seed=1), rounds=50_000_000)"
    long = v4.new_code_cell(source, id="long", metadata={"tags": ["raises-exception"]})
    notebook.cells.insert(0, long)
    client = client_of(notebook, tmp_path)
    client.interrupt_on_timeout = True
    with client.setup_kernel():
        client.timeout = 6
        try:
            client.execute_cell(long, 0)
        except CellTimeoutError:
            pytest.fail("The kernel did not heed the interruption.")
        assert "KeyboardInterrupt" in str(long.outputs)
        client.timeout = 120
        for place, cell in enumerate(notebook.cells[1:], 1):
            client.execute_cell(cell, place)
