"""What a run of a network comes down to on average, to hold its routing against the best one."""

import numpy as np

from e91.network.bound import Bound, Supply, best_served, bottleneck
from e91.network.layout import Call, Rotation
from e91.network.light import quality_of
from e91.network.link_events import Simulation
from e91.network.link_life import LinkLife
from e91.network.weather import Weather

_MOST_USERS = 1_000  # a linear program of more takes minutes


def largest_share(simulation: Simulation) -> Bound | None:
    """Return what the best routing could serve of the random demand, with every link in service.

    Shared receivers take the best turns for it.  It is an average, which chance may put a run a
    little above.

    Returns:
        None without random demand alone, with light that changes by a plan, before time zero, or
        with more than a thousand users.
    """
    plan, random = simulation.plan, simulation.users.random
    if not random or len(random) < len(plan.demand) or plan.variations:
        return None
    if len(plan.users) > _MOST_USERS or not simulation.now_s > 0:
        return None
    means = [process.mean() for process in random]
    pairs, wanted = (np.concatenate(each) for each in zip(*means, strict=True))
    return best_served(simulation.graph, pairs, wanted, supply_of(simulation))


def shortages(simulation: Simulation) -> tuple[str, ...]:
    """Say which calls and encryptors ask for more than any routing brings, and what limits them.

    Each is taken by itself, with every link in service.
    """
    if not simulation.now_s > 0:
        return ()
    graph, capacity, found = simulation.graph, supply_of(simulation).capacity, []
    for wanted in simulation.plan.demand:
        match wanted:
            case Call():
                asked = wanted.bits_per_second
            case Rotation():
                asked = wanted.key_bits / wanted.every_s
            case _:
                continue
        ends = graph.site_number[wanted.source], graph.site_number[wanted.target]
        cut = bottleneck(graph, *ends, capacity.tolist())
        if cut.capacity < asked:
            found.append(
                f"{wanted.source} to {wanted.target} asks for {asked:,.0f} bit/s, but {cut} can "
                f"give {cut.capacity:,.0f} on average, stores included"
            )
    return tuple(found)


def supply_of(simulation: Simulation) -> Supply:
    """Return what links that nothing happens to can give on average, from time zero up to now."""
    plan, lives = simulation.plan, simulation.lives
    switch_s, shared = np.zeros(len(lives)), []
    for receiver in plan.receivers:
        links = [number for number, link in enumerate(plan.links) if link.receiver == receiver.name]
        if len(links) > 1:
            shared.append(tuple(links))
            switch_s[links] = receiver.switch_s
    usable = simulation.history.samples.stored_at_start - np.array(simulation.graph.least_stores)
    return Supply(
        stored=np.maximum(usable, 0) / simulation.now_s,
        made=np.array([_made(simulation, life, switch_s[life.index]) for life in lives]),
        shared=tuple(shared),
    )


def _made(simulation: Simulation, life: LinkLife, switch_s: float) -> float:
    """Bits a second of a link whose receiver serves no other."""
    if life.light is None or life.practice is None:
        return life.bits_per_second
    state = Weather(simulation.plan).state(life.plan.name, 0.0)
    quality = quality_of(life.plan, life.light, state, settings=life.practice.settings)
    if not quality.per_second > 0:
        return 0.0
    # A block is planned with a little more disclosed than its error correction then needs.
    bits = max(life.expected_bits, simulation.ledger.made[life.index] / max(1, life.number))
    return bits / (life.light.block_rounds / quality.per_second + switch_s)
