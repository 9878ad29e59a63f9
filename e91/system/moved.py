"""Modules under their old names: what documents of version 0.1 import still works, and warns.

Goes with version 0.3, which knows the new names alone.
"""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    "e91.alarms": "e91.alarm.promise",
    "e91.attacks": "e91.adversaries",
    "e91.attacks.closed_forms": "e91.adversaries.adversary",
    "e91.attacks.scene": "e91.adversaries.conditions",
    "e91.attacks.staging": "e91.adversaries.attacked_session",
    "e91.attacks.table": "e91.adversaries.catalogue",
    "e91.bell.alarm": "e91.alarm.wealth",
    "e91.completeness": "e91.session.expectation",
    "e91.devices.conformance": "e91.devices.samplers.conformance.suite",
    "e91.devices.dishonest": "e91.adversaries.local_models",
    "e91.devices.dishonest_detectors": "e91.adversaries.detector_attacks",
    "e91.devices.ibm_jobs": "e91.devices.ibm.left_jobs",
    "e91.devices.sampler": "e91.devices.samplers.sampler_device",
    "e91.devices.snapshots": "e91.devices.samplers.snapshots",
    "e91.encryption.key_files": "e91.keys.files",
    "e91.encryption.keystore": "e91.keys.store",
    "e91.expectation": "e91.session.expectation",
    "e91.model.policy": "e91.security.policy",
    "e91.optics.autocorrelation": "e91.optics.tags.photon_statistics",
    "e91.optics.clock_finder": "e91.optics.tags.clock_track",
    "e91.optics.correlation": "e91.optics.tags.correlation",
    "e91.optics.laboratories": "e91.optics.tags.laboratories",
    "e91.optics.orbits": "e91.optics.satellites",
    "e91.optics.passes": "e91.optics.satellites",
    "e91.optics.tag_simulation": "e91.optics.tags.simulation",
    "e91.optics.time_tags": "e91.optics.tags.time_tags",
    "e91.planning": "e91.session.planning",
    "e91.plots.experiments": "e91.plots.drawing",
    "e91.progress": "e91.system.progress",
    "e91.recorded.files": "e91.recorded.record_files",
    "e91.recorded.sample": "e91.recorded.examples",
    "e91.recorded.tags": "e91.recorded.tag_files",
    "e91.report": "e91.session.report",
    "e91.run_summary": "e91.session.totals",
    "e91.session_folder": "e91.session.folder",
    "e91.streaming": "e91.session.streaming",
    "e91.theorems": "e91.security.theorems",
    "e91.verdict": "e91.session.verdict",
    "e91.watching": "e91.alarm",
    "e91.watching.blocks": "e91.alarm.watching",
    "e91.watching.sessions": "e91.alarm.watching",
    "e91.worker_processes": "e91.system.processes",
}
"""Every old name that a document showed, and what one of them imports in turn."""


def new_name(module: str) -> str | None:
    """Return what a module is called today, or None if its name is no old one.

    Examples:
        >>> new_name("e91.planning"), new_name("e91.attacks.notes"), new_name("e91.session")
        ('e91.session.planning', 'e91.adversaries.notes', None)
    """
    if module in MOVED:
        return MOVED[module]
    folder, _, file = module.rpartition(".")
    return f"{MOVED[folder]}.{file}" if folder in MOVED else None


class _OldNames:
    """Finds and loads modules by their old names, each as the one module that it is today."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to load an old name, and warn; for other names nothing."""
        del path, target
        new = new_name(name)
        if new is None:
            return None
        # Two levels up, not counting the import system, is the line that imports.
        warnings.warn(f"`{name}` is now `{new}`.", DeprecationWarning, stacklevel=2)
        return ModuleSpec(name, _OldNames)  # type: ignore[arg-type]

    @staticmethod
    def create_module(spec: ModuleSpec) -> None:
        """Let the import system make an empty module, which does not stay."""

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Put the module of today in the place of the empty one."""
        new = new_name(module.__name__)
        assert new is not None, "find_spec found it"
        sys.modules[module.__name__] = import_module(new)


def keep_old_names() -> None:
    """Let the import system know the old names.

    They are asked first: a module that moved along with its folder would else be found in the
    folder's new place and be loaded twice.
    """
    if _OldNames not in sys.meta_path:
        sys.meta_path.insert(0, _OldNames)
