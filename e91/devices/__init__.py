"""Devices: from the settings of every round to its outcomes.  The only door to Qiskit."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
