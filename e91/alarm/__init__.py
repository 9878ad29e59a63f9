"""The alarm: a sequential Bell test over the rounds of a session, and over the blocks of a run.

Its null hypothesis is that the link keeps its promise, and all that it needs is public: what the
parties announce, in the order of the rounds, or the counts of each session or block.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
