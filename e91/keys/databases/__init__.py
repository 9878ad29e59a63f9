"""Where the holdings of a KME are kept: SQLite files and PostgreSQL, behind one interface."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
