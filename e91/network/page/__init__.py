"""The control room: a live page of a running network, on this computer.

Needs aiohttp: ``pip install 'e91[network]'``.
"""

import lazy_loader

from e91.system.extras import extra

extra("aiohttp", what="A live page")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
