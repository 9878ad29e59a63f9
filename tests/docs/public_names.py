"""Every function and class that a room lists, once, by the shortest path that leads to it."""

import inspect
import pkgutil
from functools import cache
from importlib import import_module

import e91_circuits

import e91


def rooms():
    """Yield the packages that list names."""
    yield e91
    yield e91_circuits
    for found in pkgutil.walk_packages(e91.__path__, "e91."):
        if found.ispkg:
            yield import_module(found.name)


@cache
def public_names():
    """Return the public functions and classes by their paths."""
    found = {}
    for room in rooms():
        for name in getattr(room, "__all__", ()):
            thing = getattr(room, name)
            if inspect.isroutine(thing) or inspect.isclass(thing):
                found.setdefault(id(thing), (f"{room.__name__}.{name}", thing))
    return dict(found.values())
