"""Live sound and pictures: RTP packets under SRTP or one-time pad, with keys that change."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
