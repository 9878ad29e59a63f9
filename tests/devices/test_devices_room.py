"""The room's front door: every device by name, and nothing loaded before one is asked for."""

import subprocess
import sys
from types import ModuleType

import e91.devices


def test_importing_the_room_loads_no_qiskit():
    listing = "import e91.devices, e91.devices.ibm, sys; print('qiskit' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, check=True)
    assert done.stdout.strip() == b"False"


def test_every_name_that_the_room_offers_is_a_device_or_a_module():
    assert {"aer_device", "exact_device", "optical_device", "sampler_device"} <= set(
        e91.devices.__all__
    )
    offered = [getattr(e91.devices, name) for name in e91.devices.__all__]
    assert all(callable(found) or isinstance(found, ModuleType) for found in offered)
