"""Every figure: data first (a function gives a record), then the drawing (a record gives axes).

Needs Matplotlib: ``pip install 'e91[plot]'``.  Every drawing function takes ``ax``, Matplotlib axes
to draw into, and makes a new figure without it.
"""

import lazy_loader

from e91.system.extras import extra

extra("matplotlib", what="A figure")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
