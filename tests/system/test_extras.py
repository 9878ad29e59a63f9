"""A missing package is named before the work that needs it, with the line that installs it."""

import shlex
import sys
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from e91 import cli
from e91.devices.exact import exact_device
from e91.security.policy import Policy, Reconciler
from e91.session.session import analyse, measure, prepare_session, run
from e91.session.streaming import stream
from e91.studies import plan_study, study
from e91.system.extras import _EXTRA_OF, MissingPackage, _pip, _wanted, extra, requirement

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


class Flown(Exception):
    """Photons were measured although nothing could come of them."""


def device(x, y):
    raise Flown


LDPC = Policy(reconciler=Reconciler.LDPC)
MISSING = {
    "ldpc": ("ldpc", lambda: run(device, rounds=1000, policy=LDPC)),
    "ldpc, later": ("ldpc", lambda: prepare_session(1000, policy=LDPC)),
    "ldpc, blocks": ("ldpc", lambda: stream(exact_device(seed=1), rounds=10**6, policy=LDPC)),
    "ldpc, recorded": ("ldpc", lambda: analyse(RECORD, policy=LDPC)),
    "pyarrow": ("pyarrow", lambda: stream(exact_device(), rounds=10**6, keep=Path("x.parquet"))),
    "xarray": ("xarray", lambda: study(plan_study({"rounds": 10**9}))),
    "matplotlib": ("matplotlib", lambda: __import__("e91.plots")),
}
RECORD = measure(exact_device(seed=1), 1000, settings=exact_device().info.settings, entropy=bytes)


@pytest.mark.parametrize("case", MISSING)
def test_missing_package_is_named_before_the_work(case, monkeypatch):
    package, call = MISSING[case]
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.startswith("e91.plots")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    sentence = rf"must have the package {package}, but it is not installed: .*pip install "
    with pytest.raises(MissingPackage, match=sentence):
        call()


def test_missing_package_is_a_sentence_of_the_command_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "ldpc", None)
    monkeypatch.setitem(sys.modules, "ldpc.bp_decoder", None)
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", "--device", "exact", "--reconciler", "ldpc", "--out", str(tmp_path / "k")])
    assert ended.value.code == 2
    beginning, _, line = capsys.readouterr().err.partition("installed: ")
    assert beginning == "e91: `--reconciler` ldpc must have the package ldpc, but it is not "
    assert line == f"{_pip()} install {_wanted('ldpc', 'ldpc')}.\n"
    assert not list(tmp_path.iterdir())


def test_missing_package_can_be_caught_as_either():
    assert issubclass(MissingPackage, ImportError)
    assert issubclass(MissingPackage, ValueError)


def test_every_extra_has_its_package_and_its_line():
    import tomllib

    extras = tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"]
    for module, name in _EXTRA_OF.items():
        package = module.partition(".")[0].replace("_", "-")
        assert any(wanted.startswith(package) for wanted in extras[name]), module
        if find_spec(package.replace("-", "_")) is not None:
            assert extra(module, what="This test") is sys.modules[module]


WHEEL = {"url": "file:///tmp/e91-0.2.0-py3-none-any.whl", "archive_info": {}}


@pytest.mark.parametrize(
    ("origin", "wanted"),
    [
        ({"url": "file:///a%20b/e91", "dir_info": {}}, "'e91[plot] @ file:///a%20b/e91'"),
        (
            {"url": "file:///a%20b/%C3%A4", "dir_info": {"editable": True}},
            "-e '/a b/ä[plot]'",
        ),
        (WHEEL, f"'e91[plot] @ {WHEEL['url']}'"),
    ],
)
def test_line_installs_from_where_the_package_came(origin, wanted):
    assert requirement("plot", origin) == wanted
    # pip understands it: a folder with an extra, or a requirement with a URL.
    *editable, word = shlex.split(wanted)
    assert editable == ["-e"] or Requirement(word).extras == {"plot"}


def test_a_package_that_is_not_installed_is_asked_for_its_dependency(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("e91.system.extras.distribution", missing)
    assert _wanted("matplotlib", "plot") == "matplotlib"


def test_pip_is_the_one_of_the_running_python(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: "/elsewhere/pip")
    assert _pip() == f"{shlex.quote(sys.executable)} -m pip"
    monkeypatch.setattr("shutil.which", lambda _: str(Path(sys.executable).parent / "pip"))
    assert _pip() == "pip"
