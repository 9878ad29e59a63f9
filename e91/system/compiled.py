"""Whether loops may run as machine code, asked in one place by every stage that has some.

Whatever is compiled has a second route, in NumPy or plain Python, which gives the same results.
"""

from __future__ import annotations

import os
import sys
import warnings
from functools import cache


def compiled_code_may_run() -> bool:
    """Return whether numba is there, may compile, and counts bytes as the kernels do.

    The environment is asked at every call.  The first call that it does not settle imports numba,
    which takes a tenth of a second.

    Returns:
        False if the user wishes so, by ``NUMBA_DISABLE_JIT=1`` or numba's own file of settings, or
        on a big-endian machine, for which numba does not exist; or if numba cannot be imported.

    Warns:
        RuntimeWarning: numba cannot be imported; once a process.  Where numba is wanted that is a
            fault in the installation, and a slow run should not be the only sign of it.

    Examples:
        >>> from unittest import mock
        >>> with mock.patch.dict("os.environ", NUMBA_DISABLE_JIT="1"):
        ...     compiled_code_may_run()
        False
    """
    if sys.byteorder == "big" or os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        return False
    return _numba_compiles()


@cache
def _numba_compiles() -> bool:
    try:
        from numba import config
    except (ImportError, OSError) as failure:  # OSError: llvmlite's library does not load
        warnings.warn(
            f"numba cannot be imported ({type(failure).__name__}: {failure}), so nothing is "
            "compiled: the results are the same, but come up to a hundred times more slowly.",
            RuntimeWarning,
            stacklevel=1,
        )
        return False
    return not config.DISABLE_JIT  # type: ignore[attr-defined]
