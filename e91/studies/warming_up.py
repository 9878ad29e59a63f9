"""Compile everything once, before the clock runs or several processes would."""

import numpy as np

from e91.devices.exact import exact_device
from e91.security.policy import Policy
from e91.session.session import run
from e91.session.streaming import stream
from e91.system.compiled import compiled_code_may_run
from e91.system.workspace import Workspace

_ENOUGH_FOR_A_KEY = 200_000  # rounds


def warm_up() -> None:
    """Load the compiled code of every stage, and compile what is not on disk yet.

    Compiling takes some seconds once a machine, loading half a second in every process.  Without
    this call each stage does so when it is first used.  Nothing is done where compiled code may
    not run (`e91.system.compiled.compiled_code_may_run`).

    Examples:
        >>> from unittest import mock
        >>> with mock.patch.dict("os.environ", NUMBA_DISABLE_JIT="1"):
        ...     warm_up()
    """
    if not compiled_code_may_run():
        return
    # Sessions with errors that make a key take every step there is.
    device = exact_device(visibility=0.97, seed=0)
    run(device, rounds=_ENOUGH_FOR_A_KEY, seed=0, workspace=Workspace(compiled=True))
    for portions in (1, 2):
        policy = Policy(portions=portions)
        list(stream(device, rounds=_ENOUGH_FOR_A_KEY, policy=policy, threads=1, seed=0))
    _match_tags()


def _match_tags() -> None:
    from e91.optics.tags import matching, tag_kernels

    times, one = np.arange(3.0), np.zeros(1)
    matching.match_times(times, times, window_s=0.5)
    matching.count_pairs(times, times, delay_s=0.0, window_s=0.5)
    clock = (one, one, one)
    matching.align(np.arange(3), base=0, resolution_s=1.0, since_s=0.0, ahead_s=0.0, clock=clock)
    detectors, room = np.zeros(3, np.uint8), np.zeros(4)
    tag_kernels.register_clicks(
        times,
        detectors,
        4.0,
        np.ones(4),
        one,
        one,
        1.0,
        np.full(1, -1.0),
        room,
        np.zeros(4, np.uint8),
        np.zeros(2, np.int64),
        np.zeros(4),
        np.zeros(4, np.uint8),
    )
