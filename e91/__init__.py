"""Entanglement-based quantum key distribution, from Qiskit circuits to an encrypted file.

The names below are all that a tour needs.  They are loaded when first used, so that importing
this package brings in neither Qiskit nor SciPy.

Examples:
    >>> import e91
    >>> report = e91.run(e91.exact_device(visibility=0.97, seed=1), rounds=100_000, seed=2)
    >>> report.abort is None
    True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from e91.alarm import run_watched, watch_blocks
    from e91.alarm.promise import Promise
    from e91.devices.aer import aer_device, aer_device_of
    from e91.devices.exact import exact_device, exact_device_of
    from e91.devices.optical import optical_device, optical_slot_device
    from e91.devices.samplers.sampler_device import sampler_device
    from e91.devices.samplers.snapshots import snapshot_device
    from e91.encryption import KeyStore, decrypt, encrypt
    from e91.model.errors import Abort, AuthenticationFailed, KeyUnavailable, ProtocolAborted
    from e91.model.messages import Party
    from e91.model.policy import Policy, SecurityModel
    from e91.model.settings import ASYMMETRIC, BBM92, EKERT, SETTINGS, Settings
    from e91.session.report import SessionReport
    from e91.session.session import analyse, run
    from e91.session.streaming import stream
    from e91.session.totals import summary_of

__version__ = "0.1.0"

_HOME = {
    "aer_device": "e91.devices.aer",
    "aer_device_of": "e91.devices.aer",
    "exact_device": "e91.devices.exact",
    "exact_device_of": "e91.devices.exact",
    "optical_device": "e91.devices.optical",
    "optical_slot_device": "e91.devices.optical",
    "sampler_device": "e91.devices.samplers.sampler_device",
    "snapshot_device": "e91.devices.samplers.snapshots",
    "KeyStore": "e91.encryption",
    "decrypt": "e91.encryption",
    "encrypt": "e91.encryption",
    "Abort": "e91.model.errors",
    "AuthenticationFailed": "e91.model.errors",
    "KeyUnavailable": "e91.model.errors",
    "ProtocolAborted": "e91.model.errors",
    "Party": "e91.model.messages",
    "Promise": "e91.alarm.promise",
    "Policy": "e91.model.policy",
    "SecurityModel": "e91.model.policy",
    "ASYMMETRIC": "e91.model.settings",
    "BBM92": "e91.model.settings",
    "EKERT": "e91.model.settings",
    "SETTINGS": "e91.model.settings",
    "Settings": "e91.model.settings",
    "SessionReport": "e91.session.report",
    "analyse": "e91.session.session",
    "run": "e91.session.session",
    "stream": "e91.session.streaming",
    "run_watched": "e91.alarm",
    "summary_of": "e91.session.totals",
    "watch_blocks": "e91.alarm",
}

__all__ = [
    "ASYMMETRIC",
    "BBM92",
    "EKERT",
    "SETTINGS",
    "Abort",
    "AuthenticationFailed",
    "KeyStore",
    "KeyUnavailable",
    "Party",
    "Policy",
    "Promise",
    "ProtocolAborted",
    "SecurityModel",
    "SessionReport",
    "Settings",
    "aer_device",
    "aer_device_of",
    "analyse",
    "decrypt",
    "encrypt",
    "exact_device",
    "exact_device_of",
    "optical_device",
    "optical_slot_device",
    "run",
    "run_watched",
    "sampler_device",
    "snapshot_device",
    "stream",
    "summary_of",
    "watch_blocks",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module `e91` has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
