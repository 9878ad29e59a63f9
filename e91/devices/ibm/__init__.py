"""IBM Quantum machines: choose qubits, submit a job, leave it and come back for it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
