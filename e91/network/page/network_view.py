"""What a page shows of a network, as plain values: its map, its headline, a link, a route."""

import copy
import math
from collections import Counter
from typing import Any

from e91.adversaries import ATTACKS, Attack, assumed_by, conditions_of
from e91.model.settings import SETTINGS
from e91.network.layout import (
    KEY_BITS,
    Call,
    LinkPlan,
    Measure,
    NetworkPlan,
    Quantity,
    RateMode,
    RequestList,
    Requests,
    Rotation,
    Site,
    SiteKind,
    pairs_of,
)
from e91.network.link_events import Simulation
from e91.network.link_life import LinkLife
from e91.network.network_run import Depth
from e91.network.page.live_figures import STATES, Figures, model_of
from e91.network.plan_format import size_of
from e91.network.rules import Router

_KINDS = {SiteKind.USER: "user", SiteKind.STATION: "ground"}


def key_bits_of(plan: NetworkPlan) -> int:
    """Return the bits of a key that users of a network ask for: those of its first demand."""
    match plan.demand[0] if plan.demand else None:
        case Requests() | Rotation() as keys:
            return keys.key_bits
        case Call() as call:
            return max(1, round(call.bits_per_second * call.chunk_s))
        case RequestList() as listed if listed.requests:
            return listed.requests[0].bits
        case _:
            return KEY_BITS


def title_of(plan: NetworkPlan) -> str:
    """Return a network's title, with the variant if there are several."""
    return plan.title + (f" ({plan.variant})" if plan.variant else "")


# The map.


def map_of(simulation: Simulation, figures: Figures, depth: Depth) -> dict[str, Any]:
    """Return everything about a network that does not change while it runs."""
    plan = simulation.plan
    switches = _switches_of(plan)
    at_switch = {user for switch in switches for user in switch["members"]}
    home = {user: switch["id"] for switch in switches for user in switch["members"]}
    named = {switch["id"]: switch for switch in switches}
    links = [
        _link_entry(life, figures, named.get(life.plan.receiver or "")) for life in simulation.lives
    ]
    return {
        "name": plan.name,
        "title": title_of(plan),
        "provenance": ". ".join(filter(None, (plan.summary, _depth_words(plan, depth)))),
        "reference": plan.reference,
        "limits": list(plan.limits),
        "published": plan.rate is RateMode.PUBLISHED,
        "start": -plan.store_s if plan.rate is RateMode.SIMULATED else 0.0,
        "states": STATES,
        "assumed": all(site.assumed for site in plan.sites),
        "nodes": [
            _site_entry(site)
            for site in plan.sites
            if site.name not in at_switch and site.kind is not SiteKind.SWITCH
        ],
        "subnets": [{**switch, "users": len(switch["members"])} for switch in switches],
        "users": [_site_entry(user) | {"subnet": home.get(user.name)} for user in plan.users],
        "sectors": sorted({user.sector for user in plan.users if user.sector}),
        "links": links,
        "adversaries": {name: _adversary_entry(ATTACKS[name]) for name in channels()},
        "marks": marks_of(plan),
        "false_alarm": simulation.false_alarm,
        "key_bits": key_bits_of(plan),
        "pair": _first_pair(plan),
        "first": _first_link(simulation),
    }


def _depth_words(plan: NetworkPlan, depth: Depth) -> str:
    if plan.rate is RateMode.PUBLISHED:
        return "Published rates flow; no photon is simulated."
    if depth == "bits":
        return "Every round is drawn, every key distilled."
    return "The counts of every block are drawn and judged; no key bytes."


def _site_entry(site: Site) -> dict[str, Any]:
    return {
        "id": site.name,
        "kind": _KINDS.get(site.kind, "relay"),
        "x": site.x_km,
        "y": -site.y_km,  # a page counts downwards
        "sector": site.sector,
    }


def _switches_of(plan: NetworkPlan) -> list[dict[str, Any]]:
    """Return the optical switches: receivers that give one site's light to several users."""
    served: dict[str, list[LinkPlan]] = {receiver.name: [] for receiver in plan.receivers}
    for link in plan.links:
        if link.receiver is not None:
            served[link.receiver].append(link)
    found = []
    for name, links in served.items():
        ends = Counter(end for link in links for end in link.ends)
        hubs = [end for end, times in ends.items() if times == len(links)]
        hubs = [end for end in hubs if plan.site[end].kind is not SiteKind.USER]
        members = [_far(link, hubs[0]) for link in links] if hubs else []
        if len(members) > 1 and all(plan.site[m].kind is SiteKind.USER for m in members):
            x_km, y_km = _place_of_switch(plan, name, members)
            place = {"x": x_km, "y": -y_km}
            found.append({"id": name, "relay": hubs[0], **place, "members": members})
    return found


def _place_of_switch(plan: NetworkPlan, name: str, members: list[str]) -> tuple[float, float]:
    """Where a switch stands: where the plan says, or else amid its users."""
    if name in plan.site:
        return plan.site[name].x_km, plan.site[name].y_km
    sites = [plan.site[member] for member in members]
    return (
        round(math.fsum(site.x_km for site in sites) / len(sites), 3),
        round(math.fsum(site.y_km for site in sites) / len(sites), 3),
    )


def _far(link: LinkPlan, near: str) -> str:
    return link.ends[1] if link.ends[0] == near else link.ends[0]


def _link_entry(life: LinkLife, figures: Figures, switch: dict[str, Any] | None) -> dict[str, Any]:
    plan, model, quality = life.plan, model_of(life), life.quality
    user = _far(plan, switch["relay"]) if switch is not None else None
    sky = plan.medium == "satellite"
    entry = {
        "id": plan.name,
        "a": plan.ends[0],
        "b": plan.ends[1],
        "name": f"{plan.ends[0]} – {plan.ends[1]}",
        "kind": "access" if switch is not None else "sky" if sky else "core",
        "subnet": switch["id"] if switch is not None else None,
        "user": user,
        "medium": plan.medium,
        "length": str(plan.length_km),
        "loss": _loss_words(life),
        "model": model.value if model is not None else f"{plan.protocol or 'no'} rate, published",
        "capacity": figures.capacity(life),
        "block_s": 1.0,
        "attacks": attacks_on(life),
    }
    if life.light is not None and quality is not None and quality.per_second > 0:
        entry["block_s"] = round(life.light.block_rounds / quality.per_second, 3)
    return entry


def _loss_words(life: LinkLife) -> str:
    plan, light = life.plan, life.light
    if plan.loss_db is not None:
        return str(plan.loss_db)
    if light is None or plan.length_km.value is None:
        return ""
    return str(Quantity(round(plan.length_km.value * light.db_per_km, 2), "dB", assumed=True))


def _first_pair(plan: NetworkPlan) -> list[str]:
    """The pair of users whose route is shown first: those who call, or two of the same sector."""
    for demand in plan.demand:
        for pair in pairs_of(demand):
            return [*pair]
    first, *others = plan.users
    alike = [user for user in others if user.sector == first.sector] or others
    return [first.name, alike[len(alike) // 2].name] if alike else []


def _first_link(simulation: Simulation) -> str:
    """The link that is shown first: the first on the way between the first pair's relays."""
    plan, graph = simulation.plan, simulation.graph
    attacked = [i.target for i in plan.incidents if i.target in plan.link]
    if attacked:
        return attacked[0]
    return graph.links[graph.between_relays[0] if graph.between_relays else 0]


def marks_of(plan: NetworkPlan) -> list[tuple[float, str, bool]]:
    """Return what a plan says of times: seconds, words, and whether somebody printed it.

    These are the incidents that it stages, and the times that were printed of what came of them.
    """
    found = [
        (outcome.number.value * size_of(outcome.number.unit)[1], outcome.quantity, True)
        for outcome in plan.printed
        if outcome.measure is Measure.FIRST_USE
        and outcome.number is not None
        and outcome.number.value is not None
    ]
    for number, incident in enumerate(plan.incidents):
        kind = incident.kind.value.replace("-", " ")
        for key, time_s, words in (
            ("start_s", incident.start_s, kind),
            ("end_s", incident.end_s, f"{kind} ends"),
        ):
            stated = plan.facts.get(f"incidents[{number}].{key}")
            if math.isfinite(time_s):
                printed = stated is not None and not stated.assumed
                found.append((time_s, f"{incident.target}: {words}", printed))
    return sorted(found)


# Adversaries.


def channels() -> tuple[str, ...]:
    """Return the names of the adversaries that act on each photon alike, as a link's must."""
    return tuple(name for name, attack in ATTACKS.items() if attack.is_channel)


def attacks_on(life: LinkLife) -> list[str]:
    """Return the adversaries that a link's settings allow."""
    if life.practice is None:
        return [name for name in channels() if not ATTACKS[name].settings]
    named = life.practice.settings.name
    return [
        name for name in channels() if not ATTACKS[name].settings or named in ATTACKS[name].settings
    ]


def _adversary_entry(attack: Attack) -> dict[str, Any]:
    """Return an adversary with the strengths at which it does nothing and its most."""
    high = attack.high if math.isfinite(attack.high) else 10 * attack.default
    ends = sorted(
        (attack.low, high),
        key=lambda strength: (
            -attack.expected(conditions_of(attack.name, strength, **_settings_for(attack))).chsh
        ),
    )
    return {
        "title": attack.name.replace("-", " ").capitalize(),
        "says": attack.summary,
        "meaning": attack.meaning,
        "none": ends[0],
        "most": ends[1],
    }


def _settings_for(attack: Attack) -> dict[str, Any]:
    return {"settings": SETTINGS[attack.settings[0]]} if attack.settings else {}


def check_attack(simulation: Simulation, link: str, name: str, strength: float) -> None:
    """Refuse an adversary that this link cannot have.

    Raises:
        ValueError: There is none of this name, not with this link's settings, or not so strong.
    """
    life = simulation.lives[simulation.graph.link_number[link]]
    allowed = attacks_on(life)
    if name not in allowed:
        raise ValueError(f"An adversary must be one of {', '.join(allowed)}, but is {name!r}.")
    ATTACKS[name].check_strength(strength)


# The chosen link.


def link_now(simulation: Simulation, figures: Figures, link: int) -> dict[str, Any]:
    """Return a link as the page's side panel shows it."""
    life, rows = simulation.lives[link], figures.rows[link]
    state = figures.state(life)
    rang = figures.rang.get(link)
    return {
        "id": life.plan.name,
        "t": round(simulation.now_s, 2),
        "row": rows[-1] if rows else None,
        "state": state,
        "stored": simulation.ledger.stored[link],
        "capacity": figures.capacity(life),
        "rate": figures.rate(life),
        "full": life.light is not None and simulation.is_full(life),
        "threshold": None if life.practice is None else -math.log(simulation.false_alarm),
        "rang": rang[0] if rang else None,
        "cause": rang[1] if rang else "",
        "good": life.good,
        "need": simulation.plan.good_blocks,
        "cut": life.condition.value == "cut",
        "adversary": life.eve[0] if life.eve else None,
        "strength": life.eve[1] if life.eve else None,
        "since": life.attacked_s,
        "truth": truth_of(life),
    }


def truth_of(life: LinkLife) -> str:
    """Return what only the simulator knows of a link, in words."""
    if life.eve is None:
        return "Nobody is on this link."
    name, strength = life.eve
    attack = ATTACKS[name]
    words = name.replace("-", " ").capitalize()
    words += f", {attack.meaning} {attack.default if strength is None else strength:.3g}."
    if life.practice is None:
        return f"{words} It raises the error rate of the bits that are tested."
    found = attack.expected(conditions_of(name, strength, settings=life.practice.settings))
    if found.information is None:
        return words
    broken = assumed_by(life.practice.policy.proof).intersection(attack.breaks)
    knows = f"Eve has {found.information:.2f} bit of each sifted bit"
    if broken:
        return f"{words} {knows}, and it is false that {min(b.value for b in broken)}."
    return f"{words} {knows}; the key is shortened by all that S and errors allow her."


# Routes.


def route_now(simulation: Simulation, figures: Figures, source: str, target: str) -> dict[str, Any]:
    """Return the way that a key of two sites would take now, and on what it rests.

    Nothing is taken and nothing remembered: a network that is looked at is one that is not.
    """
    graph, bits = simulation.graph, key_bits_of(simulation.plan)
    pair = {"a": source, "b": target, "ok": False}
    if source == target:
        return pair | {"why": "choose two different users"}
    ends = graph.site_number[source], graph.site_number[target]
    path = _unremembered(simulation.router).find(*ends, bits)
    if path is None:
        return pair | {"why": _why_none(simulation, figures, *ends)}
    lives = [simulation.lives[link] for link in path]
    models = [model_of(life) for life in simulation.lives]
    blocks = [part for life in lives for part in _pads_of(simulation, life, bits)]
    route = graph.route(*ends, path, stores=simulation.ledger.stored, models=models, blocks=blocks)
    claimed = route.weakest is not None  # of a way with a link that claims nothing, nothing is
    narrow = graph.link_number[route.bottleneck]
    return pair | {
        "ok": True,
        "ways": [
            {"nodes": [source, *relays, target], "links": links}
            for relays, links in zip(route.trusts, route.links, strict=True)
        ],
        "words": str(route),
        "model": route.weakest.value
        if route.weakest
        else "none: a link of the way claims no model",
        "epsilon": route.epsilon if claimed else None,
        "blocks": len(set(blocks)),
        "bottleneck": route.bottleneck,
        "bottleneck_name": " – ".join(simulation.lives[narrow].plan.ends),
        "rate": figures.rate(simulation.lives[narrow]),
        "stored": simulation.ledger.stored[narrow],
        "hops": route.hops,
        "bits": bits,
    }


def _unremembered(router: Router) -> Router:
    """Return a copy of a router that may forget and remember what it likes."""
    twin = copy.copy(router)
    for name, value in vars(router).items():
        if name != "stores" and isinstance(value, dict | set | list):
            setattr(twin, name, copy.copy(value))
    return twin


def _pads_of(simulation: Simulation, life: LinkLife, bits: int) -> list[tuple[int, int, float]]:
    """Return the blocks that a link's next bits come from, with their failure probabilities."""
    if life.practice is None:
        return []
    stored, epsilon = simulation.ledger.stored[life.index], life.practice.policy.epsilon
    blocks = simulation.pools[life.index].next_blocks(bits, stored=stored)
    return [(life.index, block.number, epsilon) for block in blocks]


def _why_none(simulation: Simulation, figures: Figures, source: int, target: int) -> str:
    graph, stored = simulation.graph, simulation.ledger.stored
    for site in (source, target):
        access = [link for _, links in graph.homes[site] for link in links]
        shut = [link for link in access if not simulation.router.up[link]]
        if access and len(shut) == len(access):
            word = STATES[figures.state(simulation.lives[shut[0]])]
            words = {"alarm": "its alarm rang", "proving": "it is on trial"}.get(word, "it is down")
            return f"{graph.sites[site]} has no link that may be used: {words}"
        if access and all(stored[link] < key_bits_of(simulation.plan) for link in access):
            return f"the store of {graph.sites[site]} is empty"
    return "no links that may be used and hold a key join them"
