"""How many calls under one-time pad a network carries at once, by its links' average rates.

Nothing is simulated: a link gives the key rate that its light, or its paper, has on average, and
calls are steady flows.  What stores hold at the start is left out, so this is what a network
carries for good.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from e91.encryption.key_needs import MEDIA, Medium
from e91.model.numbers import Floats
from e91.network.bound import Supply, best_served, bottleneck
from e91.network.graph import Graph
from e91.network.layout import NetworkPlan
from e91.network.network_run import lives_of

_MOST_STEPS = 60  # of a search between none of the demand and all of it
_NEAR_ENOUGH = 1e-5
_ALL = 1 - 1e-6


@dataclass(frozen=True)
class CarriedCalls:
    """What a network can give to calls.

    Attributes:
        name: Of the network.
        pairs: Pairs of users.
        best_pair_bits_per_second: What the pair of users that is joined best can exchange alone,
            over all routes.
        worst_pair_bits_per_second: The same of the pair that is joined worst.
        even_bits_per_second: What all pairs together can exchange if all get as much.
    """

    name: str
    pairs: int
    best_pair_bits_per_second: float
    worst_pair_bits_per_second: float
    even_bits_per_second: float

    def calls_at_once(self, medium: Medium) -> int:
        """Return how many calls are carried at once if calls fall evenly on all pairs.

        Both directions are counted.  It is an average over who calls whom: that many calls that
        all pass one link may not be carried.
        """
        return math.floor(self.even_bits_per_second / medium.call_bits_per_second)

    def best_medium(self) -> Medium | None:
        """Return the richest medium that the pair that is joined best can use; None if none."""
        found = [
            medium
            for medium in MEDIA.values()
            if medium.call_bits_per_second <= self.best_pair_bits_per_second
        ]
        return found[-1] if found else None


def carried_calls(plan: NetworkPlan) -> CarriedCalls:
    """Return what a network can give to calls between its users.

    Args:
        plan: The network, in the weather of its beginning; links of satellites give nothing here.

    Raises:
        ValueError: It has fewer than two users.
    """
    if len(plan.users) < 2:
        raise ValueError(f"A network must have two users or more, but has {len(plan.users)}.")
    graph, made = Graph.of(plan), average_rates(plan)
    users = np.array([graph.site_number[user.name] for user in plan.users])
    one, other = np.triu_indices(len(users), k=1)
    pairs = np.stack([users[one], users[other]], axis=1)
    alone = [bottleneck(graph, a, b, made.tolist()).capacity for a, b in pairs.tolist()]
    return CarriedCalls(
        plan.name, len(pairs), max(alone), min(alone), _even(graph, pairs, made=made)
    )


def average_rates(plan: NetworkPlan) -> Floats:
    """Return the key rate of every link while its receiver serves its links in turn, bits a second.

    It is the closed form by which a run's report says what a link is expected to make.
    """
    return np.array([life.bits_per_second for life in lives_of(plan, seed=0)])


def _even(graph: Graph, pairs: NDArray[np.intp], *, made: Floats) -> float:
    """Return the most that all pairs together get if each gets the same, bits a second.

    It is the largest steady demand that the linear program of `best_served` serves wholly, found by
    halving.
    """
    supply = Supply(stored=made, made=np.zeros(len(made)))
    low, high = 0.0, float(made.sum())
    for _ in range(_MOST_STEPS):
        middle = (low + high) / 2
        if high - low < _NEAR_ENOUGH * high:
            break
        wanted = np.full(len(pairs), middle / len(pairs))
        served = best_served(graph, pairs, wanted, supply).served_share
        low, high = (middle, high) if served >= _ALL else (low, middle)
    return low
