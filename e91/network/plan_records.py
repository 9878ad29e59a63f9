"""From the tables of a network's file to its plan."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from msgspec import structs

from e91.encryption.key_needs import medium_named
from e91.encryption.pad_segments import pad_key_bytes
from e91.model.settings import EKERT
from e91.network.layout import (
    Call,
    Demand,
    Incident,
    Light,
    LinkPlan,
    PrintedOutcome,
    Quantity,
    RateMode,
    Requests,
    Rotation,
    Satellite,
    SharedReceiver,
    Site,
    Transfer,
    Variation,
)
from e91.network.plan_format import (
    CallEntry,
    LightEntry,
    LinkEntry,
    NetworkFile,
    Number,
    NumberEntry,
    SatelliteEntry,
    TransferEntry,
    size_of,
)
from e91.network.request_files import read_requests
from e91.network.whole_network import Network
from e91.optics import ContinuousSource, Detector, Downlink
from e91.optics.satellites import Station
from e91.optics.two_line_orbits import TwoLineOrbit
from e91.system.documents import did_you_mean
from e91.system.refusals import is_refusal

_MOST_BITS = 2**50  # 140 terabytes


def plan_of(file: NetworkFile, *, name: str, variant: str, folder: Path) -> Network:
    """Return the plan that a file describes; `check_plan` says whether it makes sense.

    Args:
        file: The file's tables.
        name: What to call the network.
        variant: Which variant of the file this is, or empty.
        folder: Where the files are that it names.

    Raises:
        ValueError: A number has a unit that is none of its key's, or no detector is called so.
    """
    published = file.rate is RateMode.PUBLISHED
    links = tuple(_link_plan(name, entry, published) for name, entry in file.links.items())
    return Network(
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
        lights=() if published else _lights(file),
        receivers=tuple(
            SharedReceiver(name, entry.switch_s) for name, entry in file.receivers.items()
        ),
        demand=_demand(file, folder),
        incidents=_incidents(file),
        variations=tuple(Variation(**structs.asdict(entry)) for entry in file.variations),
        satellite=None if file.satellite is None else _satellite(file.satellite),
        claims=file.claims,
        facts=_facts(file),
        limits=file.limits,
        printed=_printed(file, variant) if published else (),
        minutes=file.minutes,
        rule=file.rule,
        store_s=file.store_s,
        store_limit_s=file.store_limit_s,
        patience_s=file.patience_s,
        good_blocks=file.good_blocks,
        keep_store_after_alarm=file.keep_store_after_alarm,
    )


def _quantity(given: Number, unit: str, place: str) -> Quantity:
    if isinstance(given, NumberEntry):
        return given.as_quantity(unit, place=place)
    return Quantity(float(given), unit, assumed=True)


def _whole(given: Number, unit: str, place: str) -> int:
    """Return a number of bits or keys."""
    value = _value(given, unit, place)
    if abs(value) > _MOST_BITS:
        raise ValueError(f"`{place}` must be at most {_MOST_BITS:,} {unit}, but is {value:g}.")
    return round(value)


@contextmanager
def _inside(place: str) -> Iterator[None]:
    """Let a refusal name the place of the table whose key it names."""
    try:
        yield
    except ValueError as error:
        if not is_refusal(error):
            raise
        raise ValueError(f"`{place}.{str(error).removeprefix('`')}") from None


def _value(given: Number, unit: str, place: str) -> float:
    found = _quantity(given, unit, place).value
    assert found is not None, "an entry without a number does not exist"
    return found


def _link_plan(name: str, entry: LinkEntry, published: bool) -> LinkPlan:
    place = f"links.{name}"

    def quantity(key: str, unit: str) -> Quantity | None:
        given = getattr(entry, key)
        return None if given is None else _quantity(given, unit, f"{place}.{key}")

    rated, story = (quantity(f"{part}bits_per_second", "bit/s") for part in ("", "story_"))
    return LinkPlan(
        name=name,
        ends=entry.ends,
        light="" if published else _light_name(entry),
        length_km=quantity("length_km", "km") or Quantity(None, "km"),
        loss_db=quantity("loss_db", "dB"),
        medium=entry.medium,
        receiver=entry.receiver,
        protocol=entry.protocol,
        bits_per_second=rated if story is None else story,
        rated_bits_per_second=None if story is None else rated,
        qber=quantity("qber", "%"),
        delivery_bits=entry.delivery_bits,
        store_bits=None if entry.store is None else _whole(entry.store, "bit", f"{place}.store"),
        least_store_bits=_whole(entry.least_store, "bit", f"{place}.least_store"),
    )


def _light_name(link: LinkEntry) -> str:
    """Return what a link's light is called: one whose source stands elsewhere is another kind."""
    at = "" if link.source_position is None else f"@{link.source_position:g}"
    return f"{link.light}{at}"


def _lights(file: NetworkFile) -> tuple[Light, ...]:
    """Return the kinds of light that links have, in the order in which they are first named."""
    found: dict[str, Light] = {}
    for link in file.links.values():
        name = _light_name(link)
        if link.light in file.lights and name not in found:
            found[name] = _light(link.light, file.lights[link.light], file)
            if link.source_position is not None:
                found[name] = replace(found[name], name=name, source_position=link.source_position)
    return tuple(found.values())


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
    with _inside(f"lights.{name}"):
        _check_choice(entry)
        return Light(name, source, detectors=(detectors[0], detectors[1]), **values)


def _check_choice(entry: LightEntry) -> None:
    """Refuse probabilities that are none of Ekert's settings, or of one party alone."""
    alice, bob = entry.alice_probabilities, entry.bob_probabilities
    if bool(alice) != bool(bob):
        raise ValueError(
            "`alice_probabilities` must be given with `bob_probabilities`, but one is missing."
        )
    if alice:
        EKERT.biased(alice, bob)


def _call(call: CallEntry, place: str) -> Call:
    end_s = float("inf") if call.end_s is None else _value(call.end_s, "s", f"{place}.end_s")
    start_s = _value(call.start_s, "s", f"{place}.start_s")
    with _inside(place):
        if (call.carries is None) == (call.bits_per_second is None):
            raise ValueError("`carries` or `bits_per_second` must be given, one of the two.")
        if call.bits_per_second is not None:
            rate, carries = _value(call.bits_per_second, "bit/s", "bits_per_second"), ""
        else:
            carries = call.carries or ""
            rate = medium_named(carries, argument="carries").call_bits_per_second
        return Call(call.source, call.target, rate, start_s, end_s, call.chunk_s, carries)


def _transfer(transfer: TransferEntry, place: str) -> Transfer:
    start_s = _value(transfer.start_s, "s", f"{place}.start_s")
    with _inside(place):
        if transfer.content is not None and transfer.size is None:
            size = _whole(transfer.content, "bit", "content") // 8
            bits = 8 * pad_key_bytes(size)
        elif transfer.size is not None and transfer.content is None:
            bits = _whole(transfer.size, "bit", "size")
        else:
            raise ValueError("`content` or `size` must be given, one of the two.")
    return Transfer(transfer.source, transfer.target, bits, start_s)


def _demand(file: NetworkFile, folder: Path) -> tuple[Demand, ...]:
    found: list[Demand] = []
    for number, requests in enumerate(file.requests):
        values = structs.asdict(requests)
        place = f"requests[{number}].keys_per_second"
        values["keys_per_second"] = _value(requests.keys_per_second, "1/s", place)
        with _inside(f"requests[{number}]"):
            found.append(Requests(**values))
    found += [read_requests(folder / entry.file, name=entry.file) for entry in file.request_files]
    found += [_call(call, f"calls[{number}]") for number, call in enumerate(file.calls)]
    found += [_transfer(one, f"transfers[{number}]") for number, one in enumerate(file.transfers)]
    for number, rotation in enumerate(file.rotations):
        place = f"rotations[{number}]"
        every_s = _value(rotation.every_s, "s", f"{place}.every_s")
        bits = _whole(rotation.key_bits, "bit", f"{place}.key_bits")
        counts = [
            _whole(getattr(rotation, key), "keys", f"{place}.{key}")
            for key in ("store_keys", "refill_at")
        ]
        with _inside(place):
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


def _printed(file: NetworkFile, variant: str) -> tuple[PrintedOutcome, ...]:
    """Return the printed outcomes of a variant."""
    found = []
    for name, entry in file.printed.items():
        place = f"printed.{name}"
        given = structs.asdict(entry)
        variants = given.pop("variants")
        if entry.number is not None:
            given["number"] = entry.number.as_quantity(None, place=f"{place}.number")
            own, shown = entry.number.unit, entry.shown_in or entry.number.unit
            if size_of(shown)[0] != size_of(own)[0]:
                raise ValueError(f"`{place}.shown_in` must be a unit like {own}, but is {shown!r}.")
            given["shown_in"] = shown
        if entry.link and entry.link not in file.links:
            hint = did_you_mean(entry.link, file.links)
            raise ValueError(f"`{place}.link` must be a link, but is {entry.link!r}{hint}")
        if not variants or variant in variants:
            found.append(PrintedOutcome(**given))
    return tuple(found)


def _satellite(entry: SatelliteEntry) -> Satellite:
    given = structs.asdict(entry)
    stations = [
        Station(name, station.latitude_deg, station.longitude_deg, station.altitude_m)
        for name, station in entry.stations.items()
    ]
    downlinks = [
        Downlink(
            entry.divergence_half_angle_rad,
            station.telescope_diameter_m,
            pointing_jitter_rad=entry.pointing_jitter_rad,
            zenith_loss_db=station.zenith_loss_db,
            optics_loss_db=station.optics_loss_db,
            background_photons_at_receiver_per_second=(
                station.background_photons_at_receiver_per_second
            ),
        )
        for station in entry.stations.values()
    ]
    of_stations = (
        f"stations.{name}.{key}" for name, one in entry.stations.items() for key in one.assumed
    )
    with _inside("satellite"):
        orbit = TwoLineOrbit(entry.two_lines, entry.start)
    given |= {
        "orbit": orbit,
        "stations": tuple(stations),
        "downlinks": tuple(downlinks),
        "assumed": (*entry.assumed, *of_stations),
    }
    names = {field.name for field in fields(Satellite)}
    return Satellite(**{key: value for key, value in given.items() if key in names})


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
