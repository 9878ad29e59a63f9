"""From outcomes to equal, secret bits: sifting, estimation, reconciliation, amplification.

Each stage is a room of its own, e.g. `e91.distillation.sifting.exchange`; none imports another.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
