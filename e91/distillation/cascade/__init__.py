"""Cascade: reconciliation by parities of blocks and binary search."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
