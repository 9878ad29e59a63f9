"""Running a network, and the report of what became of it."""

import math
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from itertools import starmap
from typing import Any, Literal, get_args

import numpy as np

from e91.distillation.authentication import AUTHENTICATION_BITS
from e91.model.numbers import check_positive, check_whole, check_within
from e91.model.settings import EKERT
from e91.network.blocks import bit_by_bit
from e91.network.counted_blocks import Counted
from e91.network.demand import RandomRequests
from e91.network.fluid import rate_of
from e91.network.layout import LONGEST_DAYS, NetworkPlan, RateMode, Requests
from e91.network.light import Practice, practice_of, quality_of
from e91.network.link_alarms import LinkAlarms
from e91.network.link_events import BlockMaker, Simulation
from e91.network.link_life import LinkLife
from e91.network.network_report import LinkBits, NetworkReport
from e91.network.plan_checks import check_ways
from e91.network.resident_stores import ResidentStores
from e91.network.rules import rule_named
from e91.network.steady import largest_share, shortages
from e91.network.traffic import Traffic
from e91.network.weather import Weather
from e91.session.expectation import Link
from e91.session.planning import expected_length
from e91.system.processes import checked_cores
from e91.system.progress import progress_bar

Depth = Literal["bits", "counts"]

DEPTHS: tuple[Depth, ...] = get_args(Depth)
"""How deep a link is simulated."""

_ROWS = 2_000  # of levels in a long run

FALSE_ALARM = 1e-4
"""Probability that the alarm of a link ever rings while it keeps its promise."""


def lives_of(plan: NetworkPlan, *, seed: int | None) -> list[LinkLife]:
    """Return the links of a plan before the first photon."""
    weather, roots = Weather(plan), np.random.SeedSequence(seed).spawn(len(plan.links))
    practices = practices_of(plan, weather)
    lives = []
    for index, (link, root) in enumerate(zip(plan.links, roots, strict=True)):
        light = plan.light.get(link.light)
        life = LinkLife(
            index,
            link,
            light,
            practices.get(link.light),
            np.random.Generator(np.random.Philox(root)),
        )
        if life.light is None:
            life.bits_per_second = rate_of(life)
        elif life.practice is not None:
            state = weather.state(link.name, 0.0)
            life.quality = quality_of(link, life.light, state, settings=life.practice.settings)
            life.expected_bits = _expected_bits(
                life.practice,
                life.light.block_rounds,
                round(life.quality.chsh_value, 3),
                round(life.quality.error_rate, 4),
            )
        lives.append(life)
    _limit_stores(plan, lives)
    return lives


def practices_of(plan: NetworkPlan, weather: Weather) -> dict[str, Practice]:
    """Return how the links of every kind are run, by the worst that the plan has for them."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for link in plan.links:
        if link.light in plan.light:
            for state in weather.extremes(link.name):
                quality = quality_of(link, plan.light[link.light], state, settings=EKERT)
                found[link.light].append((quality.chsh_value, quality.error_rate))
    return {
        name: practice_of(replace(plan.light[name], name=""), tuple(qualities))
        for name, qualities in found.items()
    }


@lru_cache(maxsize=1024)
def _expected_bits(practice: Practice, rounds: int, chsh: float, error: float) -> int:
    length = expected_length(
        Link(max(0.0, chsh), error, 1.05),
        rounds,
        settings=practice.settings,
        policy=practice.policy,
    )
    return max(0, length.bits - AUTHENTICATION_BITS)


def _limit_stores(plan: NetworkPlan, lives: list[LinkLife]) -> None:
    """Let stores be full at some seconds of their own rate, but hold two blocks."""
    turns = turn_seconds(plan, lives)
    for life in lives:
        if period_s := turns.get(life.index):
            blocks = max(2.0, plan.store_limit_s / period_s)
            if life.expected_bits:  # a link without key today may have some in better weather
                life.store_limit = blocks * life.expected_bits
            life.bits_per_second = life.expected_bits / period_s


def turn_seconds(plan: NetworkPlan, lives: list[LinkLife]) -> dict[int, float]:
    """Return the time from one block of a link to its next, if its receiver never pauses.

    Args:
        plan: The network.
        lives: Its links; those without light have no turns.
    """
    switch_s = {receiver.name: receiver.switch_s for receiver in plan.receivers}
    turn_s: dict[str | int, float] = defaultdict(float)
    lit = {}
    for life in lives:
        if life.light is not None and life.quality is not None and life.quality.per_second > 0:
            lit[life.index] = name = life.plan.receiver or life.index
            turn_s[name] += life.light.block_rounds / life.quality.per_second
            turn_s[name] += switch_s.get(str(name), 0.0)
    return {link: turn_s[name] for link, name in lit.items()}


def begin(
    plan: NetworkPlan,
    *,
    depth: Depth = "bits",
    seed: int | None = None,
    workers: int | None = 1,
    rule: str | None = None,
    disjoint: int = 1,
    false_alarm: float = FALSE_ALARM,
    client: Any = None,
) -> Simulation:
    """Return a network before its first second, which can be let go step by step.

    Close it when it is done: it may hold worker processes.

    Args:
        plan: The network.
        depth: As of `run`.
        seed: Root of all randomness; None takes the operating system's.
        workers: Processes that make blocks; None takes one a core.
        rule: Name of a routing rule; the plan's by default.
        disjoint: Into how many shares keys are divided.
        false_alarm: Probability that the alarm of a link ever rings while it keeps its promise.
        client: Dask client whose workers make the blocks; as of `run`.

    Returns:
        The simulation at its start, before time zero.

    Raises:
        ValueError: An argument leaves its range, or the network cannot be run so.

    Examples:
        >>> from e91.network import load
        >>> simulation = begin(load("secoqc-2008"))
        >>> simulation.advance(60.0)
        >>> simulation.ledger.is_conserved
        True
        >>> simulation.close()
    """
    if depth not in DEPTHS:
        raise ValueError(f"`depth` must be one of {', '.join(DEPTHS)}, but is {depth!r}.")
    chosen = _rule(plan, rule, disjoint)
    real = depth == "bits" and plan.rate is RateMode.SIMULATED
    lives = lives_of(plan, seed=seed)
    maker = _maker(
        lives, seed=seed, workers=workers, real=real, client=client, false_alarm=false_alarm
    )
    simulation = Simulation(
        plan,
        lives,
        maker=maker,
        router=rule_named(chosen),
        rule=chosen,
        seed=seed,
        false_alarm=false_alarm,
    )
    root = np.random.SeedSequence(seed, spawn_key=(2**31,))
    requests = _random_requests(plan, simulation, root)
    check_ways(plan, simulation.router)
    stores = maker if isinstance(maker, ResidentStores) else None
    traffic = Traffic(simulation, requests, real=real and stores is None, stores=stores)
    simulation.start(traffic)
    traffic.begin(plan.demand)
    return simulation


def _maker(
    lives: list[LinkLife],
    *,
    seed: int | None,
    workers: int | None,
    real: bool,
    client: Any,
    false_alarm: float,
) -> BlockMaker:
    """Return who makes the blocks of all links."""
    cores = checked_cores(workers, name="workers")
    practices = {life.index: life.practice for life in lives if life.practice is not None}
    alarms = LinkAlarms.of(practices, false_alarm=false_alarm)
    if real and client is not None:
        return ResidentStores(alarms, client)
    if real:
        return bit_by_bit(alarms, workers=cores)
    entropy = np.random.SeedSequence(seed).entropy
    assert isinstance(entropy, int)
    return Counted(alarms, entropy, None if client is None else client.get_executor())


def checked_minutes(plan: NetworkPlan, minutes: float | None) -> float:
    """Return the time of a run, minutes: the plan's own if none is given.

    Raises:
        ValueError: It is not positive, or more than a thousand years.
    """
    minutes = plan.minutes if minutes is None else minutes
    check_positive(minutes=minutes)
    check_within(0, 24 * 60 * LONGEST_DAYS, minutes=minutes)
    return minutes


def run(
    plan: NetworkPlan,
    *,
    minutes: float | None = None,
    depth: Depth = "bits",
    seed: int | None = None,
    workers: int | None = None,
    rule: str | None = None,
    disjoint: int = 1,
    false_alarm: float = FALSE_ALARM,
    client: Any = None,
    each_minute: Callable[[Simulation], None] = lambda _: None,
) -> NetworkReport:
    """Let time pass in a network, and return what became of it.

    Before time zero the stores are filled with `NetworkPlan.store_s` seconds of blocks.

    Args:
        plan: The network.
        minutes: Simulated time; None takes the plan's.
        depth: ``"bits"`` draws every round and makes every key; ``"counts"`` draws every block's
            public counts from their exact distribution and judges them by the same verdict.
        seed: Root of all randomness; None takes the operating system's.
        workers: Processes that make blocks; one a core by default.
        rule: Name of a routing rule; the plan's by default.
        disjoint: Into how many shares keys are divided, which take ways without a common relay.
        false_alarm: Probability that the alarm of a link ever rings while it keeps its promise.
        client: A `distributed.Client`, not an asynchronous one, whose workers make the blocks
            instead of ``workers``.  At depth ``"bits"`` each keeps the key of the links that it
            serves to the end of the run; counts and the numbers of keys travel, never key bits.
        each_minute: Called after every minute of simulated time.

    Returns:
        The report: bits of every link, requests, alarms and events; its key bits are not kept.

    Raises:
        ValueError: An argument leaves its range, or the network cannot be run so.

    Examples:
        >>> from e91.network import load
        >>> report = run(load("secoqc-2008"), minutes=1, seed=1)
        >>> report.depth, report.simulated_s, report.is_conserved
        ('published', 60.0, True)
    """
    minutes = checked_minutes(plan, minutes)
    started, end_s = time.monotonic(), 60.0 * minutes
    simulation = begin(
        plan,
        depth=depth,
        seed=seed,
        workers=workers,
        rule=rule,
        disjoint=disjoint,
        false_alarm=false_alarm,
        client=client,
    )
    simulation.history.samples.step_s = max(1.0, end_s // _ROWS)
    try:
        with progress_bar(end_s, unit="s of the network") as passed:
            simulation.advance(0.0)
            for minute in range(1, math.ceil(minutes) + 1):
                simulation.advance(min(60.0 * minute, end_s))
                each_minute(simulation)
                passed(min(60.0, end_s - 60.0 * (minute - 1)))
        return report_of(simulation, depth=depth, seconds=time.monotonic() - started)
    finally:
        simulation.close()


def report_of(simulation: Simulation, *, depth: Depth, seconds: float) -> NetworkReport:
    """Return what became of a network up to now.

    Args:
        simulation: From `begin`, at any time of it.
        depth: As that of `begin`.
        seconds: What it took here; only reported.

    Returns:
        The report of the time that has passed; the simulation may go on.

    Examples:
        >>> from e91.network import load
        >>> simulation = begin(load("secoqc-2008"), seed=1)
        >>> simulation.advance(60.0)
        >>> report = report_of(simulation, depth="bits", seconds=0.1)
        >>> report.simulated_s, report.rule
        (60.0, 'fewest-hops')
        >>> simulation.close()
    """
    simulation.users.settle()
    plan, ledger, history = simulation.plan, simulation.ledger, simulation.history
    done = history.delivered
    return NetworkReport(
        plan=plan,
        depth="published" if plan.rate is RateMode.PUBLISHED else depth,
        seed=simulation.seed,
        rule=simulation.rule,
        simulated_s=max(0.0, simulation.now_s),
        seconds=seconds,
        served=done.served,
        late=done.late,
        missed=done.missed,
        waiting=done.waiting,
        deliveries=done.deliveries,
        delivered_bits=done.bits,
        hops=done.hops,
        most_hops=done.most_hops,
        unequal=done.unequal,
        betrayed=done.betrayed,
        links=tuple(starmap(LinkBits, ledger.by_link())),
        lost_by=dict(ledger.reasons),
        blocks=history.blocks,
        rounds=history.rounds,
        aborts=dict(history.aborts),
        alarms=tuple(history.alarms),
        routes_changed=history.routes_changed,
        events=tuple(history.events),
        ways=tuple(history.ways),
        refills=tuple(history.refills),
        samples=history.samples,
        is_conserved=ledger.is_conserved,
        false_alarm=simulation.false_alarm,
        bound=largest_share(simulation),
        shortages=shortages(simulation),
        expected_bits_per_second=tuple(life.bits_per_second for life in simulation.lives),
    )


def _rule(plan: NetworkPlan, rule: str | None, disjoint: int) -> str:
    """Return the name of the rule by which keys find their way."""
    check_whole(least=1, disjoint=disjoint)
    if disjoint == 1:
        return rule or plan.rule
    if rule is not None:
        raise ValueError(
            f"`rule` must not be given with `disjoint`, which is a rule itself, but is `{rule}`."
        )
    return f"disjoint={disjoint}"


def _random_requests(
    plan: NetworkPlan, simulation: Simulation, root: np.random.SeedSequence
) -> list[RandomRequests]:
    wanted = [demand for demand in plan.demand if isinstance(demand, Requests)]
    number = simulation.graph.site_number
    found = []
    for requests, seed in zip(wanted, root.spawn(len(wanted)), strict=True):
        users = [
            user for user in plan.users if not requests.sectors or user.sector in requests.sectors
        ]
        names = sorted({user.sector or "" for user in users})
        found.append(
            RandomRequests(
                requests,
                np.array([number[user.name] for user in users]),
                np.array([names.index(user.sector or "") for user in users]),
                seed,
            )
        )
    return found
