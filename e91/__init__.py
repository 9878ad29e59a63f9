"""Entanglement-based quantum key distribution, from Qiskit circuits to an encrypted file.

The names below are all that a tour needs, and every room (`e91.optics`, `e91.experiments`, ...) is
an attribute.  They are loaded when first used, so that importing this package brings in neither
Qiskit nor SciPy; `__init__.pyi` lists them.

Examples:
    >>> import e91
    >>> report = e91.run(e91.exact_device(visibility=0.97, seed=1), rounds=100_000, seed=2)
    >>> report.abort is None
    True
"""

import lazy_loader

from e91.system.moved import keep_old_names

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

keep_old_names()
