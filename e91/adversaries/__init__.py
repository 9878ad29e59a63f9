"""Adversaries by name: what each does, what it must look like, and how to stage it.

`ATTACKS` holds the entries behind ``e91 attack`` and ``e91 run --attack``; `run_attack` stages a
session under attack and compares it with the closed form.

Examples:
    >>> found = run_attack("intercept-resend", 0.7, rounds=20_000, seed=1)
    >>> round(found.expected.chsh, 4), found.session.abort.name
    (1.8385, 'NO_VIOLATION')
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
