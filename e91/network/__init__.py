"""Networks of E91 links in simulated time: users, relays, routes, incidents.

A network is a `layout.NetworkPlan`; nothing in it happens until it is run.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
