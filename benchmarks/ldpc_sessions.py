"""Honest sessions with LDPC, and why they end: ``python -m benchmarks.ldpc_sessions [SESSIONS]``.

Runs SESSIONS whole sessions (10,000 by default), a quarter on each of four links, and prints how
many were refused for which reason beside what `refusal_bound` states.  The rate of the code comes
from each session's own sample, whose error counts; `benchmarks.ldpc_frames` gives the rate.  It
needs the package `ldpc`.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections import Counter
from importlib.metadata import version

from e91.devices.exact import exact_device
from e91.model.binomial import upper_probability
from e91.model.errors import Abort
from e91.model.settings import BBM92
from e91.security.policy import Policy
from e91.session.expectation import refusal_bound
from e91.session.session import run

LINKS = ((24_000, 0.97), (24_000, 0.99), (40_000, 0.94), (60_000, 0.98))
"""Rounds of a session, and visibility."""


def measure(rounds: int, visibility: float, sessions: int) -> Counter[str]:
    """Run sessions on one link, print a row and return how often each ended for what."""
    policy = Policy(epsilon=1e-6, reconciler="ldpc")
    settings = BBM92.biased((0.5, 0.5), (0.3, 0.3, 0.2, 0.2))
    device = exact_device(settings=settings, visibility=visibility, seed=rounds)
    stated = refusal_bound(settings, rounds=rounds, visibility=visibility, policy=policy)
    started, ends = time.process_time(), Counter[str]()
    for seed in range(sessions):
        report = run(device, rounds=rounds, policy=policy, seed=seed)
        ends[report.abort.name if report.abort else "KEY"] += 1
    each = (time.process_time() - started) / sessions * 1e3
    differ = ends[Abort.KEYS_DIFFER.name]
    most = upper_probability(differ, sessions, epsilon=0.05)
    print(
        f"{rounds:,} rounds, V = {visibility}: {dict(ends)} of {sessions:,}; keys differ in at "
        f"most {most:.1e} (95 %), refusal stated {stated:.2g}; {each:.1f} ms each",
        flush=True,
    )
    return ends


def main() -> None:
    """Print the table."""
    sessions = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
          f"ldpc {version('ldpc')}, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    total = sum((measure(*link, sessions // len(LINKS)) for link in LINKS), Counter[str]())
    differ, made = total[Abort.KEYS_DIFFER.name], sum(total.values())
    most = upper_probability(differ, made, epsilon=0.05)
    print(f"all: keys differ in {differ} of {made:,}, at most {most:.1e} with 95 % confidence")


if __name__ == "__main__":
    main()
