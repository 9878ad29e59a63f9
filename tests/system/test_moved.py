"""What the documents of version 0.1 import is found, is the module of today, and warns."""

import ast
import sys
import warnings
from importlib import import_module
from pathlib import Path

import pytest

import e91
from e91.system.moved import MOVED, new_name

# Every import that README, docs, changelog and notebooks of version 0.1 showed, by a script.
# `e91.model.policy` was shown by docstrings.
SHOWN = {
    "e91.alarms": ["Promise"],
    "e91.attacks": ["run_attack"],
    "e91.attacks.closed_forms": [],
    "e91.bell.alarm": [],
    "e91.completeness": ["refusal_bound"],
    "e91.devices.dishonest": [],
    "e91.devices.dishonest_detectors": [],
    "e91.devices.sampler": ["sampler_device"],
    "e91.model.policy": ["Policy", "SecurityModel", "Theorem"],
    "e91.optics.autocorrelation": ["autocorrelation"],
    "e91.optics.correlation": ["correlate", "known_clock"],
    "e91.optics.laboratories": ["Laboratory"],
    "e91.optics.orbits": ["DELINGHA", "NANSHAN", "orbit_over"],
    "e91.optics.passes": ["coincidences_along", "harvest", "pass_over"],
    "e91.optics.tag_simulation": ["record_time_tags"],
    "e91.planning": ["Link", "best_plan", "expected_length"],
    "e91.plots.experiments": ["deviations", "deviations_figure"],
    "e91.recorded.files": ["save_detections"],
    "e91.recorded.tags": ["load_time_tags"],
    "e91.theorems": [],
    "e91.watching": ["Replay", "run_watched", "watch_blocks"],
    "e91.worker_processes": [],
}
UNMOVED = {
    "e91.devices.exact": ["exact_device"],
    "e91.devices.optical": ["optical_device", "optical_slot_device"],
    "e91.encryption": ["KeyStore", "decrypt", "decrypt_file", "encrypt", "encrypt_file"],
    "e91.experiments": ["described", "load", "names", "run"],
    "e91.optics.arms": ["arm_over"],
    "e91.optics.coincidences": ["coincidences"],
    "e91.optics.detectors": ["BasisChoice", "Detector", "Receiver"],
    "e91.optics.links": ["Downlink", "Fibre"],
    "e91.optics.sources": ["ContinuousSource", "quantum_dot_of"],
    "e91.plots": ["correlation_curve", "efficiency_figure", "qber_figure", "scan"],
    "e91.security.device_dependent": ["bbm92_rate"],
    "e91.security.device_independent": ["werner_chsh"],
    "e91.studies": ["connected", "load_study", "plan_study", "read_study", "save_study",
                    "session_again", "stream_on", "study"],
}  # fmt: skip


@pytest.fixture(autouse=True)
def fresh():
    """Each import is the first of its old name."""
    for name in list(sys.modules):
        if new_name(name):
            del sys.modules[name]


@pytest.mark.parametrize("name", sorted(MOVED.keys() | SHOWN.keys()))
def test_old_name_is_the_module_of_today_and_warns(name):
    with warnings.catch_warnings(record=True, action="always") as found:
        old = import_module(name)
    assert {warning.category for warning in found} == {DeprecationWarning}
    assert str(found[-1].message) == f"`{name}` is now `{old.__name__}`."
    assert old is sys.modules[old.__name__]
    assert old.__spec__.name == old.__name__ == new_name(name)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in SHOWN.items() for name in names]
)
def test_names_that_a_document_showed_are_in_the_moved_module(module, name):
    assert hasattr(import_module(module), name)


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in UNMOVED.items() for name in names]
)
def test_names_that_a_document_showed_are_where_they_were(module, name):
    assert hasattr(import_module(module), name)


def test_warning_points_at_the_line_that_imports():
    with warnings.catch_warnings(record=True, action="always") as found:
        exec(compile("import e91.planning", "notebook.py", "exec"), {})
    assert [warning.filename for warning in found] == ["notebook.py"]


def test_what_never_was_is_not_found():
    for name in ("e91.unheard", "e91.attacks.unheard", "e91.planning.unheard"):
        with warnings.catch_warnings(action="ignore"), pytest.raises(ModuleNotFoundError):
            import_module(name)


def test_every_old_name_is_free():
    root = Path(e91.__file__).parents[1]
    for name in MOVED:
        place = root.joinpath(*name.split("."))
        assert not place.with_suffix(".py").exists()
        assert not (place / "__init__.py").exists()


def test_package_imports_no_old_name_itself():
    for file in Path(e91.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                assert new_name(node.module) is None, file
