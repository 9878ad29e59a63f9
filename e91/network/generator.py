"""Networks that are drawn: relays in a ring with chords, users behind optical switches.

Nobody publishes where the fibres of a city's network lie, so whoever wants two hundred users has to
draw them.  All that comes out is marked as assumed.
"""

import math
from typing import Any

import numpy as np

from e91.model.numbers import check_whole
from e91.network.plan_format import GeneratorEntry

DETOUR = 1.4
"""Fibre over straight line; assumed."""

SECTORS = {"government": 0.5, "military": 0.1, "finance": 0.2, "electricity": 0.2}
"""The four sectors that the press names for Jinan; their shares are assumed."""

MOST_USERS = 20_000
"""Users that a drawn network has at most."""

_BYTES_PER_USER = 2_500  # at the peak of drawing a plan, measured with 5,000
_USERS_PER_RECEIVER = 12
_COINCIDENCES_PER_RECEIVER = 7e5  # a second, of the light `city-access`
_FAN = math.radians(210)  # over which a relay's users are spread, away from the middle


def generated(asked: GeneratorEntry, *, place: str) -> dict[str, Any]:
    """Return the sites, links and receivers of a drawn network, as a file has them.

    Relay ``R1`` and the others stand on an ellipse, each joined to the next; chords join the most
    distant ones first.  Users take turns among the relays and there among the switches; each
    switch, ``R1.OS1``, gives the relay's receiver to one of its users after the other.

    Args:
        asked: How many of each, and the seed.
        place: What a sentence calls it.

    Raises:
        ValueError: The numbers make no network, or one that is too large.
    """
    _check(asked, place)
    relays = {
        f"R{number + 1}": (
            asked.city_km[0] / 2 * math.cos(angle),
            asked.city_km[1] / 2 * math.sin(angle),
        )
        for number, angle in enumerate(
            np.linspace(0, 2 * math.pi, asked.relays, endpoint=False).tolist()
        )
    }
    content: dict[str, Any] = {
        "sites": {name: _site("relay", at) for name, at in relays.items()},
        "links": {},
        "receivers": {},
    }
    for a, b in _backbone(list(relays), asked.chords):
        km = max(1.0, _half(DETOUR * math.dist(relays[a], relays[b])))
        content["links"][f"{a}-{b}"] = _link(a, b, km, asked.backbone_light)
    _add_users(content, asked, relays)
    return content


def _check(asked: GeneratorEntry, place: str) -> None:
    if asked.users > MOST_USERS:
        gigabytes = asked.users * _BYTES_PER_USER / 1e9
        receivers = math.ceil(asked.users / _USERS_PER_RECEIVER)
        billions = receivers * _COINCIDENCES_PER_RECEIVER / 1e9
        raise ValueError(
            f"`{place}users` must be at most {MOST_USERS:,}, but is {asked.users:,}: that would "
            f"take {gigabytes:.1f} GB to draw, {receivers:,} shared receivers, and {billions:,.0f} "
            "billion coincidences in every simulated second; draw regions of it, each a network."
        )
    check_whole(least=1, most=1_000, **{f"{place}relays": asked.relays})
    most = max(0, asked.relays * (asked.relays - 3) // 2)
    check_whole(most=most, **{f"{place}chords": asked.chords})
    check_whole(least=1, most=1_000, **{f"{place}switches_per_relay": asked.switches_per_relay})
    if asked.access_km[0] > asked.access_km[1]:
        raise ValueError(
            f"`{place}access_km` must be the shortest and the longest, but is "
            f"{list(asked.access_km)}."
        )
    known = asked.sectors or SECTORS
    for sector in asked.second_home:
        if sector not in known:
            raise ValueError(
                f"`{place}second_home` must name sectors ({', '.join(known)}), but names "
                f"{sector!r}."
            )
    if asked.second_home and asked.relays < 2:
        raise ValueError(f"`{place}relays` must be 2 or more for second homes, but is 1.")


def _backbone(names: list[str], chords: int) -> list[tuple[str, str]]:
    """Return the ring, then the chords: the most distant relays first."""
    count = len(names)
    spans = [1, *range(count // 2, 1, -1)]
    pairs = [(i, (i + span) % count) for span in spans for i in range(count)]
    distinct = dict.fromkeys(tuple(sorted(pair)) for pair in pairs if pair[0] != pair[1])
    ring = count if count > 2 else count - 1
    # The order in which a pair was met is the way round that its name has.
    first = {tuple(sorted(pair)): pair for pair in reversed(pairs)}
    chosen = list(distinct)[: ring + chords]
    return [(names[first[pair][0]], names[first[pair][1]]) for pair in chosen]


def _add_users(
    content: dict[str, Any], asked: GeneratorEntry, relays: dict[str, tuple[float, float]]
) -> None:
    """Draw the users: length of the fibre, place on the map, sector."""
    rng, names = np.random.default_rng(asked.seed), list(relays)
    shares = asked.sectors or SECTORS
    weights = np.array(list(shares.values())) / sum(shares.values())
    width = len(str(asked.users))
    homes, switches = asked.relays, asked.switches_per_relay
    of_relay = [math.ceil((asked.users - home) / homes) for home in range(homes)]
    for number in range(asked.users):
        home, place = number % homes, number // homes
        km = _half(rng.uniform(*asked.access_km))
        wobble = rng.uniform(-0.5, 0.5)
        sector = str(rng.choice(list(shares), p=weights))
        # Users of one switch stand side by side on the map.
        row = place % switches * math.ceil(of_relay[home] / switches) + place // switches
        turn = 2 * math.pi * home / homes + _FAN * ((row + 0.5 + wobble) / of_relay[home] - 0.5)
        relay = names[home]
        at = tuple(
            middle + km / DETOUR * step
            for middle, step in zip(relays[relay], (math.cos(turn), math.sin(turn)), strict=True)
        )
        user = f"U{number + 1:0{max(3, width)}d}"
        content["sites"][user] = _site("user", at) | {"sector": sector}
        second = [names[(home + 1) % homes]] if sector in asked.second_home else []
        for one in (relay, *second):
            away = km if one == relay else _half(DETOUR * math.dist(relays[one], at))
            switch = f"{one}.OS{place % switches + 1}"
            content["receivers"].setdefault(switch, {"switch_s": asked.switch_s})
            content["links"][f"{one}-{user}"] = _link(one, user, away, asked.access_light) | {
                "receiver": switch
            }


def _half(km: float) -> float:
    """Return a length to half a kilometre: links of one length share their optics."""
    return round(2 * km) / 2


def _site(kind: str, at: tuple[float, ...]) -> dict[str, Any]:
    return {"kind": kind, "x_km": round(at[0], 2), "y_km": round(at[1], 2)}


def _link(a: str, b: str, km: float, light: str) -> dict[str, Any]:
    return {"ends": [a, b], "length_km": km, "light": light}
