"""Hypothesis: no deadline on a shared machine, and the same examples at every run of the checks."""

import os

from hypothesis import settings

settings.register_profile("explore", deadline=None)
settings.register_profile("checks", deadline=None, derandomize=True)
settings.load_profile("checks" if os.environ.get("CI") else "explore")
