"""Read a network from its file.

A file may extend another, ``extends = "jinan-2017"``, may have its sites drawn by a
``[generator]``, and may have variants.  Each is a table of the same keys that is laid over what
lies below: tables by their keys, all else replaced whole.  Every refusal names the key at fault.
"""

from importlib.resources import files
from pathlib import Path
from typing import Any

from e91.network.generator import generated
from e91.network.plan_checks import check_plan
from e91.network.plan_format import GeneratorEntry, NetworkFile
from e91.network.plan_records import plan_of
from e91.network.whole_network import Network
from e91.system.documents import did_you_mean, parse_toml, typed
from e91.system.durable import read_file
from e91.system.refusals import refusals_named

_Content = dict[str, Any]

_OPTICS = "lights/city.toml"


def names() -> tuple[str, ...]:
    """Return the names of the networks that come with the package, in order of the alphabet.

    Returns:
        Names that `load` takes, such as ``"jinan-2012"``.

    Examples:
        >>> "jinan-2017" in names()
        True
    """
    found = (entry.name for entry in files("e91.network").iterdir())
    return tuple(sorted(name[:-5] for name in found if name.endswith(".toml")))


def variants(name: str) -> tuple[str, ...]:
    """Return the names of a network's variants, the one that is taken by default first.

    Args:
        name: As of `load`.

    Returns:
        The names; none if the network has no variants.

    Raises:
        ValueError: There is no such network.

    Examples:
        >>> variants("jinan-2017")
        ()
    """
    return _Layers.of(name).variants


def load(name: str | Path, *, variant: str | None = None) -> Network:
    """Return a network by its name, or from the user's own file.

    Args:
        name: A name of `names`, or the path of a file that ends in ``.toml``.
        variant: One of the file's variants; None takes the one that the file says, if any.

    Returns:
        The plan, which shows itself and runs.

    Raises:
        ValueError: There is no such network or variant, or the file cannot be read or is no
            network; the sentence names the key at fault.

    Examples:
        >>> plan = load("jinan-2017")
        >>> len(plan.users), len(plan.links)
        (200, 212)
    """
    return _Layers.of(name).plan(variant)


def generate(
    *,
    users: int,
    relays: int,
    switches_per_relay: int = 2,
    chords: int = 0,
    seed: int = 0,
    keys_per_second: float | None = None,
    second_home: tuple[str, ...] = (),
) -> Network:
    """Return a drawn network: relays in a ring with chords, users behind optical switches.

    The same numbers give the same network.  All of it is assumed, in a city of 16 by 12 km.

    Args:
        users: How many, up to 20,000.
        relays: Trusted relays.
        switches_per_relay: Optical switches at each, with one shared receiver each.
        chords: Links across the ring; the most distant relays first.
        seed: Of the draws.
        keys_per_second: Keys that all users together ask for; None takes one a user.
        second_home: Sectors whose users have a link to the next relay too.

    Returns:
        The plan; the same for the same arguments.

    Raises:
        ValueError: The numbers make no network, or one that is too large.

    Examples:
        >>> plan = generate(users=50, relays=3, seed=1)
        >>> len(plan.sites), len(plan.links), len(plan.receivers)
        (53, 53, 6)
    """
    wanted = float(users if keys_per_second is None else keys_per_second)
    content: _Content = {
        "title": f"Drawn network of {users:,} users",
        "reference": f"drawn here with seed {seed}; all assumed",
        "generator": {
            "users": users, "relays": relays, "switches_per_relay": switches_per_relay,
            "chords": chords, "seed": seed, "second_home": list(second_home),
        },
        "requests": [{"keys_per_second": wanted}],
    }  # fmt: skip
    return _Layers(f"drawn-{users}-{relays}-{seed}", "", content).plan(None)


class _Layers:
    """A network's file laid over what it extends, before a variant is chosen."""

    def __init__(self, name: str, where: str, content: _Content) -> None:
        self.name, self.where = name, where
        self.folder = Path(where).parent  # of a user's file
        below: _Content = {}
        if "extends" in content:
            base = typed(content["extends"], str, where=where, key="extends")
            below = _Layers.of(_known(base)).content
        self.content: _Content = laid_over(
            below, {key: value for key, value in content.items() if key != "extends"}
        )
        tables = self.content.pop("variants", {})
        self._tables = typed(tables, dict[str, dict[str, Any]], where=where, key="variants")
        default = self.content.pop("default_variant", None)
        names = list(self._tables)
        if default is not None and default not in names:
            hint = did_you_mean(str(default), names)
            raise ValueError(
                f"In `{where}`: `default_variant` must be a variant of the file, but is "
                f"{default!r}{hint}"
            )
        self.default: str | None = default
        first = () if self.default is None else (self.default,)
        self.variants = (*first, *(name for name in names if name != default))

    @classmethod
    def of(cls, name: str | Path) -> "_Layers":
        """Return those of a preset, or of a user's file."""
        if str(name).endswith(".toml"):
            path, where = Path(name), str(name)
            return cls(path.stem, where, parse_toml(read_file(path), _Content, where=where))
        text = files("e91.network").joinpath(f"{_known(str(name))}.toml").read_text("utf-8")
        return cls(str(name), str(name), parse_toml(text, _Content, where=str(name)))

    def _table(self, variant: str) -> _Content:
        """Return a variant's table, laid over that of the earlier variant that it extends."""
        table = dict(self._tables[variant])
        if "extends" not in table:
            return table
        base = table.pop("extends")
        earlier = list(self._tables)[: list(self._tables).index(variant)]
        if base not in earlier:
            raise ValueError(
                f"In `{self.where}`: `variants.{variant}.extends` must be a variant above it, but "
                f"is {base!r}{did_you_mean(str(base), earlier)}"
            )
        return laid_over(self._table(base), table)

    def plan(self, variant: str | None) -> Network:
        """Return the plan of a variant."""
        if variant is not None and variant not in self.variants:
            known = ", ".join(self.variants) or "none"
            hint = did_you_mean(variant, self.variants)
            raise ValueError(
                f"A variant of `{self.name}` must be one of {known}, but is {variant!r}{hint}"
            )
        chosen = self.default if variant is None else variant
        content = laid_over(self.content, self._table(chosen) if chosen else {})
        optics = files("e91.network").joinpath(_OPTICS).read_text("utf-8")
        content = laid_over(parse_toml(optics, _Content, where=_OPTICS), content)
        named = f"In `{self.where}`: " if self.where else ""
        if "generator" in content:
            place = "generator" if self.where else ""
            asked = typed(content["generator"], GeneratorEntry, where=self.where, key=place)
            with refusals_named(named):
                drawn = generated(asked, place=place and f"{place}.")
            content = laid_over(drawn, content)
        file = typed(content, NetworkFile, where=self.where)
        with refusals_named(named):
            plan = plan_of(file, name=self.name, variant=chosen or "", folder=self.folder)
            check_plan(plan)
        return plan


def _known(name: str) -> str:
    """Return the name of a preset, or refuse it."""
    if name not in names():
        hint = did_you_mean(name, names())
        hint = "; see `e91 network list`." if hint == "." else hint
        raise ValueError(f"A network must be a known name or a .toml file, but is {name!r}{hint}")
    return name


def laid_over(below: _Content, above: _Content) -> _Content:
    """Return one table laid over another: tables by their keys, all else replaced whole.

    A table with a unit is a number, which is replaced whole.

    Examples:
        >>> laid_over({"a": {"x": 1}, "b": [1]}, {"a": {"y": 2}, "b": [2]})
        {'a': {'x': 1, 'y': 2}, 'b': [2]}
    """
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = value
        if isinstance(under, dict) and isinstance(value, dict):
            number = "unit" in under or "unit" in value
            merged[key] = value if number else laid_over(under, value)
    return merged
