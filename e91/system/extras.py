"""Packages that only some users need, and the sentence that tells how to install a missing one."""

from importlib import import_module
from typing import Any

_EXTRA_OF = {
    "matplotlib": "plot",
    "ipywidgets": "notebook",
    "ldpc.bp_decoder": "ldpc",
    "pyarrow": "data",
    "pyarrow.parquet": "data",
    "h5py": "data",
    "qiskit_ibm_runtime": "ibm",
    "qiskit_ibm_runtime.fake_provider": "ibm",
    "distributed": "study",
    "xarray": "study",
    "aiohttp": "network",
    "asyncpg": "delivery",
    "httptools": "delivery",
}


class MissingPackage(ModuleNotFoundError, ValueError):
    """A package of an extra is wanted, but not installed; the sentence has the line to install it.

    Whoever asks for what cannot be done here is refused like one who gives a wrong argument.
    """


def extra(module: str, *, what: str) -> Any:
    """Return a module of one of the extras; call it before the work that will need it.

    Args:
        module: Its full name.
        what: What needs it, to begin a sentence with.

    Raises:
        MissingPackage: It cannot be imported.

    Examples:
        >>> from unittest import mock
        >>> with mock.patch.dict("sys.modules", {"xarray": None}):
        ...     extra("xarray", what="A study")
        Traceback (most recent call last):
            ...
        e91.system.extras.MissingPackage: A study must have the package xarray, but it is not ...
    """
    try:
        import_module(module.partition(".")[0])
        return import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0].replace("_", "-")
        raise MissingPackage(
            f"{what} must have the package {package}, but it is not installed: "
            f"pip install 'e91[{_EXTRA_OF[module]}]'.",
            name=error.name,
        ) from None
