"""The words of the protocol: records, settings, messages, errors.  No Qiskit, no files."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
