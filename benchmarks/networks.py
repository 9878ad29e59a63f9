"""How fast a network runs: ``python -m benchmarks.networks [--hours H] [--quick]``.

Each row is a process of its own, from its start to its end.

* ``bits``: two minutes of jinan-2017 with every round drawn and real keys at both ends, after its
  stores were filled; how many times real time, and 256-bit keys delivered a simulated second.
* ``tenfold``: seconds of jinan-2017-tenfold, 40,000 keys a second, in the same way, after stores of
  two seconds were filled; what light it takes is in its file.
* ``counts``: hours of jinan-2017 at depth counts, 24 by default.
* ``alarms``: a year of all its alarms, by the hour.
* ``one by one``: minutes at depth counts with every request an event of its own, for growing
  networks, an hour for the largest: requests a second of the time that drawing, routing and serving
  them takes, and of the whole run's time, its blocks and alarms included.

Below a row stands what it shall reach; ``missed`` where it does not on this machine.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace

from benchmarks.machine import headed, machine, whole_process
from e91.network import NetworkPlan, alarm_life, begin, generate, load, run

SIZES = ((50, 3, 100.0), (200, 8, 4_000.0), (1_000, 20, 4_000.0), (5_000, 40, 4_000.0))
"""Users, relays, and keys a second of the networks that are compared."""


GOALS = {
    "bits": {"times_real_time": (">=", 3.0), "keys_per_simulated_second": (">=", 3_990.0)},
    "tenfold": {"keys_per_simulated_second": (">=", 39_000.0)},
    "counts": {"running_seconds": ("<=", 120.0)},
    "alarms": {"running_seconds": ("<=", 60.0)},
    "one by one": {"requests_per_second": (">=", 100_000.0), "running_seconds": ("<=", 300.0)},
}
"""What rows shall reach on two cores; keys a second are a Poisson number about the demand."""

MOST_MEGABYTES = 500.0  # of the networks that are compared
FIRST_STORES_S = 2.0  # of jinan-2017-tenfold


def bits(minutes: float) -> dict[str, float]:
    """Run jinan-2017 with real keys."""
    return _with_keys(load("jinan-2017"), minutes)


def tenfold(minutes: float) -> dict[str, float]:
    """Run jinan-2017-tenfold with real keys, from small stores."""
    return _with_keys(replace(load("jinan-2017-tenfold"), store_s=FIRST_STORES_S), minutes)


def _with_keys(plan: NetworkPlan, minutes: float) -> dict[str, float]:
    simulation = begin(plan, depth="bits", seed=1, workers=None)
    try:
        start = time.perf_counter()
        simulation.advance(0.0)
        filled = time.perf_counter()
        simulation.advance(60 * minutes)
        ran = time.perf_counter() - filled
    finally:
        simulation.close()
    done = simulation.history.delivered
    assert simulation.ledger.is_conserved
    assert not done.unequal
    return {
        "times_real_time": 60 * minutes / ran,
        "keys_per_simulated_second": done.served / (60 * minutes),
        "missed": done.missed,
        "coincidences_per_simulated_second": simulation.history.rounds
        / (60 * minutes + plan.store_s),
        "filling_seconds": filled - start,
        "running_seconds": ran,
    }


def counts(hours: float) -> dict[str, float]:
    """Run jinan-2017 at depth counts."""
    report = run(load("jinan-2017"), minutes=60 * hours, depth="counts", seed=1)
    assert report.is_conserved
    return {
        "hours": hours,
        "running_seconds": report.seconds,
        "requests": report.served + report.missed,
        "missed": report.missed,
        "blocks": report.blocks,
    }


def alarms() -> dict[str, float]:
    """Watch jinan-2017 for a year."""
    start = time.perf_counter()
    life = alarm_life(load("jinan-2017"), days=365, seed=1)
    return {"running_seconds": time.perf_counter() - start, "false_alarms": len(life.rang)}


def one_by_one(users: int, relays: int, keys_per_second: float, minutes: float) -> dict[str, float]:
    """Run a network with every request an event, and once more without requests."""
    plan = generate(
        users=users,
        relays=relays,
        switches_per_relay=max(1, users // relays // 12),
        chords=relays // 2 if relays > 3 else 0,
        seed=1,
        keys_per_second=keys_per_second,
    )
    simulation = begin(plan, depth="counts", seed=1)
    simulation.users.together = False
    simulation.advance(0.0)
    serving = timed(simulation.users, ("second", "serve_until"))
    start = time.perf_counter()
    simulation.advance(60 * minutes)
    took = time.perf_counter() - start
    done = simulation.history.delivered
    asked = done.served + done.missed
    return {
        "users": users,
        "links": len(plan.links),
        "mean_hops": done.hops / done.served,
        "running_seconds": took,
        "requests_per_second": asked / serving[0],
        "requests_per_second_with_links": asked / took,
    }


def timed(owner: object, methods: tuple[str, ...]) -> list[float]:
    """Let methods of an object note their time; return the list that holds the sum."""
    total = [0.0]

    def noting(method: Callable[..., None]) -> Callable[..., None]:
        def noted(*given: object) -> None:
            start = time.perf_counter()
            method(*given)
            total[0] += time.perf_counter() - start

        return noted

    for name in methods:
        setattr(owner, name, noting(getattr(owner, name)))
    return total


def main() -> None:
    """Print the rows, or be one of their processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0, help="simulated hours of `counts`")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--only", metavar="ROW", help="the rows of this name alone")
    parser.add_argument("--here", help="run one row in this process")
    arguments = parser.parse_args()
    if arguments.here:
        name, *given = json.loads(arguments.here)
        print(json.dumps({"bits": bits, "tenfold": tenfold, "counts": counts, "alarms": alarms,
                          "one by one": one_by_one}[name](*given)))  # fmt: skip
        return
    part = 0.1 if arguments.quick else 1.0
    print(headed(machine()))
    rows: list[tuple[object, ...]] = [("bits", 2.0 * part), ("tenfold", part / 6)]
    rows += [("counts", arguments.hours * part), ("alarms",)]
    rows += [("one by one", *size, (60.0 if size == SIZES[-1] else 2.0) * part) for size in SIZES]
    for row in rows:
        if arguments.only not in (None, row[0]):
            continue
        ended = whole_process([__file__, "--here", json.dumps(row)])
        found = json.loads(ended.output)
        figures = ", ".join(f"{key.replace('_', ' ')} {value:,.4g}" for key, value in found.items())
        print(
            f"{row[0]:12}{figures}; {ended.seconds:.1f} s and {ended.megabytes:.0f} MB", flush=True
        )
        print(f"{'':12}{_judged(str(row[0]), found, ended.megabytes)}", flush=True)


def _judged(name: str, found: dict[str, float], megabytes: float) -> str:
    """Say which goals a row reaches."""
    wanted = [(key, sign, goal, found[key]) for key, (sign, goal) in GOALS[name].items()]
    if name == "one by one":
        wanted.append(("megabytes", "<=", MOST_MEGABYTES, megabytes))
    return ", ".join(
        f"{key.replace('_', ' ')} {sign} {goal:,g}: "
        + ("reached" if (value >= goal) == (sign == ">=") or value == goal else "missed")
        for key, sign, goal, value in wanted
    )


if __name__ == "__main__":
    main()
