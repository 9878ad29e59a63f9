"""Keys handed to applications: standards without sockets, then HTTP, clients and a probe."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
