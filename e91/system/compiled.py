"""Whether loops run as machine code, and the one way in which they are compiled.

Whatever is compiled has a second route, in NumPy or plain Python, which gives the same results.
The modules of kernels (``*_kernels.py``) are imported where they are called, and only if compiled
code may run: numba takes a tenth of a second to load, and may be missing.
"""

import os
import sys
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

_Function = TypeVar("_Function", bound=Callable[..., object])

_WORTH_LOADING = 400_000  # bits of a key, which NumPy distils in the time that loading takes


def compiled_code_may_run() -> bool:
    """Return whether numba is there, may compile, and counts bytes as the kernels do.

    The environment is asked at every call.  The first call that it does not settle imports numba,
    which takes a tenth of a second.

    Returns:
        False if the user wishes so, by ``NUMBA_DISABLE_JIT=1`` or numba's own file of settings; on
        a big-endian machine, for which numba does not exist; or if numba cannot be imported or is
        of a version in which `e91.system.numba_internals` does not find what it needs.

    Warns:
        RuntimeWarning: numba cannot be used; once a process.  Where numba is wanted that is a
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


def compiled_code_pays(bits: int) -> bool:
    """Return whether compiled code distils one key sooner, the time to load it included.

    The rule of a single session.  Runs of many sessions load the kernels in any case.

    Args:
        bits: Expected length of the sifted key.

    Returns:
        False for a short key, and where compiled code may not run at all.

    Examples:
        >>> compiled_code_pays(20_000)
        False
    """
    return bits >= _WORTH_LOADING and compiled_code_may_run()


def kernel(function: _Function) -> _Function:
    """Compile ``function`` at its first call, and let other Python threads run meanwhile.

    The machine code is kept on disk for the next process.  Where it cannot be kept (neither the
    package's folder nor the user's can be written to, or the disk is full) every process compiles
    anew, which takes some seconds.  Where compiled code may not run, ``function`` stays as it is.

    Warns:
        RuntimeWarning: Compiled code cannot be kept; once a process.
    """
    if not compiled_code_may_run():
        return function
    from e91.system import numba_internals

    dispatcher = _compile(function)
    try:
        numba_internals.keep_on_disk(dispatcher, function, on_failure=_warn_that_nothing_is_kept)
    except RuntimeError as failure:
        if "cannot cache function" not in str(failure):
            raise
        _warn_that_nothing_is_kept()
    return cast(_Function, dispatcher)


def part(function: _Function) -> _Function:
    """Compile ``function`` into the kernels that call it; Python cannot call it.

    Calls would cost more than small functions: every array that one is given is counted.
    """
    if not compiled_code_may_run():
        return function
    return cast(_Function, _compile(function, no_cpython_wrapper=True))


def _compile(function: Callable[..., object], **options: bool) -> Any:
    from numba import njit

    compiler = cast(Any, njit)  # whose types do not know all its options
    return compiler(nogil=True, no_cfunc_wrapper=True, forceinline=True, **options)(function)


@cache
def _numba_compiles() -> bool:
    try:
        from numba import config

        # Imports what differs between numba's versions.
        from e91.system import numba_internals  # noqa: F401
    except (ImportError, OSError, AttributeError) as failure:  # OSError: llvmlite does not load
        warnings.warn(
            f"numba cannot be imported ({type(failure).__name__}: {failure}), so nothing is "
            "compiled: the results are the same, but come up to a hundred times more slowly.",
            RuntimeWarning,
            stacklevel=1,
        )
        return False
    return not config.DISABLE_JIT  # type: ignore[attr-defined]


@cache
def _warn_that_nothing_is_kept() -> None:
    warnings.warn(
        "Compiled code cannot be kept on disk, so every process compiles it anew, which takes some "
        "seconds; set NUMBA_CACHE_DIR to a folder that can be written to.",
        RuntimeWarning,
        stacklevel=1,
    )
