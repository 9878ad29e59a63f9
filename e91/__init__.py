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

from typing import TYPE_CHECKING

import lazy_loader

from e91.model.drawn import Drawn
from e91.system.moved import keep_old_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

keep_old_names()


def _draw(result: Drawn, ax: "Axes | None") -> "Axes":
    """Draw a result; figures are loaded only here."""
    from e91.plots.drawing import draw

    return draw(result, ax)


Drawn.draw_by(_draw)
