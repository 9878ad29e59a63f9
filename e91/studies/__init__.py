"""Studies: sweeps over any parameters, on all cores or a cluster, with results that add up.

`plan_study` and `read_study` make a plan, `study` runs it, `save_study` and `load_study` keep the
result; `stream_on` spreads one long run over a cluster.  Statistics travel, key bits do not.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
