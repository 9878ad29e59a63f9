"""The wheel that the project builds works in an environment of its own, without the repository."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def run(*command, **options):
    ended = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build wheel and source distribution as a release does, with the installed back end."""
    pytest.importorskip("build", reason="the builder is not installed")
    pytest.importorskip("hatchling", reason="the build's back end is not installed")
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    (source,) = folder.glob("*.tar.gz")
    return wheel, source


@pytest.fixture(scope="module")
def bare_python(built, tmp_path_factory):
    """Install the wheel alone in a new environment; its dependencies are those of this one."""
    home = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", home)
    python = home / "bin" / "python"
    target = run(python, "-c", "import site; print(site.getsitepackages()[0])").strip()
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-compile",
        "--target", target, built[0])  # fmt: skip
    # After the wheel, so that e91 is the wheel's; without the repository's own path.
    dependencies = Path(sys.executable).parents[1] / "lib"
    (others,) = dependencies.glob("python3.*/site-packages")
    (Path(target) / "dependencies.py").write_text(f"import sys; sys.path.append({str(others)!r})\n")
    (Path(target) / "dependencies.pth").write_text("import dependencies\n")
    return python


def alone(folder):
    """Return an environment in which no variable leads to the repository."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {"cwd": folder, "env": kept | {"PYTHONSAFEPATH": "1"}}


def test_twine_finds_nothing_to_say(built):
    pytest.importorskip("twine", reason="the checker is not installed")
    assert "PASSED" in run(sys.executable, "-m", "twine", "check", "--strict", *built)


def test_wheel_holds_every_file_of_the_package_and_no_other(built):
    names = set(zipfile.ZipFile(built[0]).namelist())
    own = {name for name in names if not re.match(r"e91-[\d.]+\.dist-info/", name)}
    tracked = run("git", "-C", ROOT, "ls-files", "e91", "circuits/e91_circuits").splitlines()
    assert own == {name.removeprefix("circuits/") for name in tracked}


def test_readme_example_prints_what_it_shows_without_the_repository(bare_python, tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.search(r"^```python\n(import e91.*?)^```", text, re.MULTILINE | re.DOTALL)[1]
    shown = re.search(r"^```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[1]
    (tmp_path / "example.py").write_text(f"{code}\nprint(e91.__file__)\n", encoding="utf-8")
    *printed, place = run(bare_python, "example.py", **alone(tmp_path)).splitlines()
    assert "\n".join(printed) + "\n" == shown
    assert Path(place).is_relative_to(bare_python.parents[1])


def test_data_files_are_there_without_the_repository(bare_python, tmp_path):
    for command in ("explain S", "experiment list", "network show tokyo-2010"):
        assert run(bare_python, "-m", "e91", *command.split(), **alone(tmp_path))


def test_missing_package_names_the_wheel(bare_python, built, tmp_path):
    code = "from e91.system.extras import _wanted; print(_wanted('matplotlib', 'plot'))"
    line = run(bare_python, "-c", code, **alone(tmp_path))
    assert built[0].name in line
    assert line.startswith("'e91[plot] @ file://")
