"""What happens to a key after its session: key stores and key files, every byte used once."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
