"""Packages that only some users need, and the sentence that tells how to install a missing one."""

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
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
            f"{_pip()} install {_wanted(package, _EXTRA_OF[module])}.",
            name=error.name,
        ) from None


def _pip() -> str:
    """Return the command that installs where this program runs, and not elsewhere."""
    found = shutil.which("pip")
    if found is not None and Path(found).parent == Path(sys.executable).parent:
        return "pip"
    return f"{shlex.quote(sys.executable)} -m pip"


def _wanted(package: str, extra: str) -> str:
    """Return what pip must install so that a package of an extra is there."""
    try:
        origin = distribution("e91").read_text("direct_url.json")
    except PackageNotFoundError:  # run from its source, without being installed
        return package
    return requirement(extra, json.loads(origin) if origin else None)


def requirement(extra: str, origin: Mapping[str, Any] | None) -> str:
    """Return what pip must be given to add an extra to this package, however it was installed.

    Args:
        extra: Its name.
        origin: What pip noted of a direct installation; None if the package is of an index.

    Returns:
        The argument, quoted for a shell.

    Source:
        Python packaging's specification "Recording the Direct URL Origin of installed
        distributions" (PEP 610).

    Examples:
        >>> requirement("plot", None)
        "'e91[plot]'"
        >>> requirement("plot", {"url": "file:///home/ada/e91", "dir_info": {"editable": True}})
        "-e '/home/ada/e91[plot]'"
        >>> git = {"vcs": "git", "commit_id": "4c965d9"}
        >>> requirement("plot", {"url": "https://example.org/e91", "vcs_info": git})
        "'e91[plot] @ git+https://example.org/e91@4c965d9'"
    """
    if origin is None:
        return shlex.quote(f"e91[{extra}]")
    url = str(origin["url"])
    if origin.get("dir_info", {}).get("editable"):
        return "-e " + shlex.quote(f"{_folder(url)}[{extra}]")
    if "vcs_info" in origin:
        git = origin["vcs_info"]
        url = f"{git['vcs']}+{url}@{git['commit_id']}"
    return shlex.quote(f"e91[{extra}] @ {url}")


def _folder(url: str) -> str:
    """Return the folder of a ``file:`` address, whose special bytes are written as %20."""
    path = url.removeprefix("file://").encode()
    return os.fsdecode(
        re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), path)
    )
