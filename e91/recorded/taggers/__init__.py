"""Laboratories' files: time taggers' own layouts, and one tagger for both parties."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
