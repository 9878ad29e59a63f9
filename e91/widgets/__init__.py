"""Sliders for notebooks: what an eavesdropper does to a key, and what distance does.

Needs ipywidgets: ``pip install 'e91[notebook]'``.  Numbers come first (a function gives a record),
then their drawing, then the sliders that ask for both.  Whatever is turned quickly, the last
position wins.
"""

import lazy_loader

from e91.system.extras import extra

extra("ipywidgets", what="A slider")
extra("matplotlib", what="A slider's figure")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
