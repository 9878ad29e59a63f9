"""What one key management entity (KME) holds: a pure state, and the events that change it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
