"""Room in the address space for the libraries of linear algebra, asked for before they are loaded.

Under a limit (``ulimit -v``, a batch system) OpenBLAS takes a buffer and a stack for every thread
when NumPy or SciPy loads it, and tries for ever if it gets none; a thread of C++ that gets none
ends the process.  Neither can be caught, so too little room is refused beforehand.
"""

import mmap
import os
import resource
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_OF_LIBRARIES = 256 * 2**20
_OF_A_THREAD = 64 * 2**20  # a buffer of 32 MiB, a stack of 8 MiB, and an arena of malloc
_MOST_THREADS = 64  # for which OpenBLAS is built in the wheels
_LOADERS = ("numpy", "scipy", "qiskit_aer", "pyarrow")


def room_needed() -> int:
    """Return how many bytes of address space must be free before such a library is loaded."""
    return _OF_LIBRARIES + _OF_A_THREAD * min(os.cpu_count() or 1, _MOST_THREADS)


class RoomFirst(MetaPathFinder):
    """Finds nothing, but raises `MemoryError` where a library would be loaded without room."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - the interpreter passes them
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Return None: others find it.

        Raises:
            MemoryError: It belongs to linear algebra, and too little room is left.
        """
        if fullname.partition(".")[0] in _LOADERS:
            try:
                mmap.mmap(-1, room_needed()).close()
            except OSError as error:
                raise MemoryError(str(error)) from error
        return None


def ask_for_room() -> None:
    """Let imports ask for room first, if this process has a limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    is_asked = any(isinstance(finder, RoomFirst) for finder in sys.meta_path)
    if limit != resource.RLIM_INFINITY and not is_asked:
        sys.meta_path.insert(0, RoomFirst())
