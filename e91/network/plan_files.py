"""Read a network from its file.

A file may extend another, ``extends = "jinan-2017"``, may have its sites drawn by a
``[generator]``, and may have variants.  Each is a table of the same keys that is laid over what
lies below: tables by their keys, all else replaced whole.  Every refusal names the key at fault.
"""

from importlib.resources import files
from pathlib import Path
from typing import Any

from msgspec import structs

from e91.network.generator import generated
from e91.network.layout import (
    Call,
    Demand,
    Incident,
    Light,
    LinkPlan,
    NetworkPlan,
    Quantity,
    RateMode,
    Requests,
    Rotation,
    SharedReceiver,
    Site,
    Transfer,
    Variation,
)
from e91.network.plan_checks import check_plan
from e91.network.plan_format import (
    GeneratorEntry,
    LightEntry,
    LinkEntry,
    NetworkFile,
    Number,
    NumberEntry,
)
from e91.optics import ContinuousSource, Detector
from e91.system.documents import did_you_mean, parse_toml, typed
from e91.system.durable import read_file
from e91.system.refusals import refusals_named

_Content = dict[str, Any]

_OPTICS = "lights/city.toml"


def names() -> tuple[str, ...]:
    """Return the names of the networks that come with the package, in order of the alphabet.

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

    Raises:
        ValueError: There is no such network.

    Examples:
        >>> variants("jinan-2017")
        ()
    """
    return _Layers.of(name).variants


def load(name: str | Path, *, variant: str | None = None) -> NetworkPlan:
    """Return a network by its name, or from the user's own file.

    Args:
        name: A name of `names`, or the path of a file that ends in ``.toml``.
        variant: One of the file's variants; None takes the one that the file says, if any.

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
) -> NetworkPlan:
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

    def plan(self, variant: str | None) -> NetworkPlan:
        """Return the plan of a variant."""
        if variant is not None and variant not in self.variants:
            known = ", ".join(self.variants) or "none"
            hint = did_you_mean(variant, self.variants)
            raise ValueError(
                f"A variant of `{self.name}` must be one of it ({known}), but is {variant!r}{hint}"
            )
        chosen = self.default if variant is None else variant
        content = laid_over(self.content, self._tables[chosen] if chosen else {})
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
            plan = _plan(file, name=self.name, variant=chosen or "")
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


def _quantity(given: Number, unit: str, place: str) -> Quantity:
    if isinstance(given, NumberEntry):
        return given.as_quantity(unit, place=place)
    return Quantity(float(given), unit, assumed=True)


def _value(given: Number, unit: str, place: str) -> float:
    found = _quantity(given, unit, place).value
    assert found is not None, "an entry without a number does not exist"
    return found


def _plan(file: NetworkFile, *, name: str, variant: str) -> NetworkPlan:
    """Return the plan that a file describes; `check_plan` says whether it makes sense."""
    published = file.rate is RateMode.PUBLISHED
    links = tuple(_link_plan(name, entry, published) for name, entry in file.links.items())
    used = {link.light for link in links}
    return NetworkPlan(
        name=name,
        title=file.title,
        reference=file.reference,
        summary=file.summary,
        variant=variant,
        licence=file.licence,
        rate=file.rate,
        sites=tuple(
            Site(name, site.kind, site.x_km, site.y_km, site.sector, site.assumed)
            for name, site in file.sites.items()
        ),
        links=links,
        lights=tuple(
            _light(name, entry, file) for name, entry in file.lights.items() if name in used
        ),
        receivers=tuple(
            SharedReceiver(name, entry.switch_s) for name, entry in file.receivers.items()
        ),
        demand=_demand(file),
        incidents=_incidents(file),
        variations=tuple(Variation(**structs.asdict(entry)) for entry in file.variations),
        claims=file.claims,
        facts=_facts(file),
        limits=file.limits,
        rule=file.rule,
        store_s=file.store_s,
        store_limit_s=file.store_limit_s,
        patience_s=file.patience_s,
        good_blocks=file.good_blocks,
        keep_store_after_alarm=file.keep_store_after_alarm,
    )


def _link_plan(name: str, entry: LinkEntry, published: bool) -> LinkPlan:
    place = f"links.{name}"

    def quantity(key: str, unit: str) -> Quantity | None:
        given = getattr(entry, key)
        return None if given is None else _quantity(given, unit, f"{place}.{key}")

    rated, story = (quantity(f"{part}bits_per_second", "bit/s") for part in ("", "story_"))
    return LinkPlan(
        name=name,
        ends=entry.ends,
        light="" if published else entry.light,
        length_km=quantity("length_km", "km") or Quantity(None, "km"),
        loss_db=quantity("loss_db", "dB"),
        medium=entry.medium,
        receiver=entry.receiver,
        protocol=entry.protocol,
        bits_per_second=rated if story is None else story,
        rated_bits_per_second=None if story is None else rated,
        qber=quantity("qber", "%"),
        delivery_bits=entry.delivery_bits,
        store_bits=None
        if entry.store is None
        else round(_value(entry.store, "bit", f"{place}.store")),
        least_store_bits=round(_value(entry.least_store, "bit", f"{place}.least_store")),
    )


def _light(name: str, entry: LightEntry, file: NetworkFile) -> Light:
    values = structs.asdict(entry)
    source = ContinuousSource(
        values.pop("pairs_per_second"),
        coherence_time_s=values.pop("coherence_time_s"),
        bandwidth_nm=values.pop("bandwidth_nm"),
    )
    detectors = []
    for number, detector in enumerate(values.pop("detectors")):
        if detector not in file.detectors:
            hint = did_you_mean(detector, file.detectors)
            raise ValueError(
                f"`lights.{name}.detectors[{number}]` must be a detector of the file, but is "
                f"{detector!r}{hint}"
            )
        given = structs.asdict(file.detectors[detector])
        detectors.append(
            Detector(**{key: given[key] for key in given if key not in ("assumed", "note")})
        )
    with refusals_named(f"In `lights.{name}`: "):
        return Light(name, source, detectors=(detectors[0], detectors[1]), **values)


def _demand(file: NetworkFile) -> tuple[Demand, ...]:
    found: list[Demand] = []
    for number, requests in enumerate(file.requests):
        values = structs.asdict(requests)
        place = f"requests[{number}].keys_per_second"
        values["keys_per_second"] = _value(requests.keys_per_second, "1/s", place)
        found.append(Requests(**values))
    for number, call in enumerate(file.calls):
        place = f"calls[{number}]"
        end_s = float("inf") if call.end_s is None else _value(call.end_s, "s", f"{place}.end_s")
        rate = _value(call.bits_per_second, "bit/s", f"{place}.bits_per_second")
        start_s = _value(call.start_s, "s", f"{place}.start_s")
        with refusals_named(f"In `{place}`: "):
            found.append(Call(call.source, call.target, rate, start_s, end_s, call.chunk_s))
    for number, transfer in enumerate(file.transfers):
        place = f"transfers[{number}]"
        bits = round(_value(transfer.size, "bit", f"{place}.size"))
        start_s = _value(transfer.start_s, "s", f"{place}.start_s")
        found.append(Transfer(transfer.source, transfer.target, bits, start_s))
    for number, rotation in enumerate(file.rotations):
        place = f"rotations[{number}]"
        every_s = _value(rotation.every_s, "s", f"{place}.every_s")
        bits = round(_value(rotation.key_bits, "bit", f"{place}.key_bits"))
        counts = [
            round(_value(getattr(rotation, key), "keys", f"{place}.{key}"))
            for key in ("store_keys", "refill_at")
        ]
        with refusals_named(f"In `{place}`: "):
            found.append(Rotation(rotation.source, rotation.target, every_s, bits, *counts))
    return tuple(found)


def _incidents(file: NetworkFile) -> tuple[Incident, ...]:
    found = []
    for number, entry in enumerate(file.incidents):
        place = f"incidents[{number}]"
        end = entry.end_s
        found.append(
            Incident(
                kind=entry.kind,
                target=entry.target,
                start_s=_value(entry.start_s, "s", f"{place}.start_s"),
                end_s=float("inf") if end is None else _value(end, "s", f"{place}.end_s"),
                attack=entry.attack,
                strength=entry.strength,
            )
        )
    return tuple(found)


def _facts(file: NetworkFile) -> dict[str, Quantity]:
    """Return the file's facts, and every other number with a source that no record carries."""
    found = {
        name: entry.as_quantity(None, place=f"facts.{name}") for name, entry in file.facts.items()
    }
    for link, entry in file.links.items():
        numbers = {"store": entry.store, "least_store": entry.least_store, **entry.facts}
        found |= _sourced(f"links.{link}", numbers)
    for kind in ("requests", "calls", "transfers", "rotations", "incidents"):
        for number, entry in enumerate(getattr(file, kind)):
            found |= _sourced(f"{kind}[{number}]", structs.asdict(entry))
    return found


def _sourced(place: str, numbers: dict[str, Any]) -> dict[str, Quantity]:
    return {
        f"{place}.{key}": number.as_quantity(None, place=f"{place}.{key}")
        for key, number in numbers.items()
        if isinstance(number, NumberEntry)
    }
