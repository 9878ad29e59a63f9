"""How soon the alarm rings and what it names: ``python -m benchmarks.alarm [streams] [folder]``.

``python -m benchmarks.alarm late [streams]`` prints delays after a long honest life alone, and
``python -m benchmarks.alarm blocks`` runs links by the block instead and prints which round within
a block the alarm names.

Prints Markdown tables: delays against the information-theoretic optimum and against a test that
knows the attack; delays after a long honest life; names; the power of the batch tests beside the
alarm.  With a folder, saves the figures there.  Declared link: Ekert's settings, V = 0.97, a
tenth of the key rounds revealed, alpha = 1e-3.
"""

from __future__ import annotations

import math
import sys
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from benchmarks.alarm_figures import delay_figure, power_figure
from benchmarks.batch_power import (
    PowerCurves,
    declared_test_power,
    lower_bound_power,
    p_value_power,
    power_curves,
    simulated_power,
)
from benchmarks.simulated_links import NEVER, Delays, detection_delays, watch_streams
from e91.adversaries import Conditions, stage
from e91.alarm import Replay, watch_blocks
from e91.alarm.bets import Cause, place_bets
from e91.alarm.link import (
    LinkBehaviour,
    OutcomeCounts,
    intercepted,
    relative_entropy,
    werner_link,
    with_higher_qber,
    with_lower_chsh,
)
from e91.alarm.promise import Promise
from e91.devices.exact import exact_device
from e91.model.bits import Bits
from e91.model.device import DeviceInfo
from e91.model.evidence import Evidence, KeySample, outcomes_of
from e91.model.settings import EKERT, Settings
from e91.security.policy import Policy
from e91.session.streaming import BLOCK_ROUNDS, PART_ROUNDS, stream
from e91.session.verdict import verdict_of

REVEALED = 0.1
LINK = werner_link(EKERT, visibility=0.97, revealed_fraction=REVEALED)
BETS = place_bets(LINK, false_alarm=1e-3)
FRACTIONS = (1.0, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02)
HONEST = [(32, LINK)] * 64
# Period by period before the attack: stakes are placed at the ends of blocks, and those of a long
# block would all fall on its first round.
LONG = {
    "10^4": [(32, LINK)] * 312,
    "10^5": [*HONEST, *[(3_200, LINK)] * 29, *HONEST * 3],
    "10^6": [*HONEST, *[(3_200, LINK)] * 310, *HONEST * 3],
}


def informed_delays(fraction: float, *, streams: int, rng: np.random.Generator) -> list[float]:
    """Median and 99th percentile of the likelihood-ratio test that knows attack and start."""
    link = intercepted(LINK, fraction)
    score = np.log(link.probabilities / LINK.probabilities)
    optimum = BETS.threshold / relative_entropy(link, LINK)
    block = max(1, int(optimum / 100))
    counts = rng.multinomial(
        block, link.probabilities, size=(streams, 1 + int(8 * optimum / block))
    )
    above = np.cumsum(counts @ score, axis=1) >= BETS.threshold
    delays = np.where(above.any(axis=1), (above.argmax(axis=1) + 1) * block, np.inf)
    return [float(np.quantile(delays, q, method="inverted_cdf")) for q in (0.5, 0.99)]


def print_delays(delays: Delays, *, streams: int, rng: np.random.Generator) -> None:
    """Print delays from the first round on."""
    ratios = "median | / optimum | 99 % | / optimum | informed: median | informed: 99 %"
    print(f"\n| intercepted | optimum | {ratios} |")
    print("|---" * 8 + "|")
    for fraction, best, median, late in zip(
        delays.fractions, delays.optimum, delays.median, delays.late, strict=True
    ):
        informed = informed_delays(fraction, streams=min(streams, 2_000), rng=rng)
        times = f"{best:,.0f} | {median:,.0f} | {median / best:.2f} | {late:,.0f}"
        known = " | ".join(f"{delay / best:.2f}" for delay in informed)
        print(f"| {fraction:.0%} | {times} | {late / best:.2f} | {known} |")


def least_delay(
    fraction: float, *, life: float, rng: np.random.Generator, draws: int = 100_000
) -> float:
    """Return a delay that no alarm can beat at every start of an attack within a life, in optima.

    Cut the life into windows of d rounds.  The chances to ring first in one of them on the declared
    link add up to at most alpha.  For an attack that begins with a window, "rings first in it" is
    a test of d rounds, so its power is at most that of the likelihood ratio at that level
    (Neyman and Pearson), which is concave in the level: the mean power over the windows is at most
    the power at alpha d / life.  The least d at which that is one half bounds the largest median.
    """
    link = intercepted(LINK, fraction)
    score = np.log(link.probabilities / LINK.probabilities)
    optimum = BETS.threshold / relative_entropy(link, LINK)
    low, high = 1, math.ceil(8 * optimum)
    while high - low > max(1, optimum / 200):
        window = (low + high) // 2
        ratios = np.sort(rng.multinomial(window, link.probabilities, size=draws) @ score)
        # The level of the test with power one half, by a change of measure; ties are shared.
        level = np.exp(-ratios[draws // 2 :]).sum() / draws
        low, high = (low, window) if level <= BETS.false_alarm * window / life else (window, high)
    return high / optimum


def print_late_delays(*, streams: int, rng: np.random.Generator) -> None:
    """Print delays of attacks that begin after a long honest life, open or half of a plan."""
    print("\n| honest rounds before | life | intercepted | median / optimum | 99 % | least |")
    print("|---" * 6 + "|")
    for name, honest in LONG.items():
        begin = sum(size for size, _ in honest)
        for life, planned in (("open", 0), ("planned, twice as long", 2 * begin)):
            bets = place_bets(LINK, false_alarm=1e-3, planned_rounds=planned)
            for fraction in (1.0, 0.2):
                link = intercepted(LINK, fraction)
                optimum = bets.threshold / relative_entropy(link, LINK)
                blocks = [*honest, *repeat((max(1, int(optimum / 30)), link), 1_500)]
                rang = watch_streams(bets, blocks, streams=streams, rng=rng).alarm_rounds
                delays = np.where(rang == NEVER, np.inf, rang - float(begin))
                late = delays[delays > 0]
                median, slow = (np.quantile(late, q, method="inverted_cdf") for q in (0.5, 0.99))
                least = least_delay(fraction, life=2 * begin, rng=rng)
                print(f"| {name} | {life} | {fraction:.0%} | {median / optimum:.2f} "
                      f"| {slow / optimum:.2f} | {least:.2f} |", flush=True)  # fmt: skip


def ramp(rounds: int, to: float) -> list[tuple[int, LinkBehaviour]]:
    """Return noise that grows evenly, as much as intercept-resend of the fraction ``to``."""
    return [(rounds // 1000, intercepted(LINK, to * (step + 1) / 1000)) for step in range(1000)]


def cases() -> dict[str, tuple[list[tuple[int, LinkBehaviour]], Cause]]:
    """Return what is simulated, and its right name."""
    found = {}
    for fraction in (1.0, 0.5, 0.2, 0.1):
        size = max(1, int(2 / fraction**2))
        for start, before in {"from the start": [], "after 10^5": LONG["10^5"]}.items():
            sudden = {
                "intercept-resend": (intercepted, Cause.EAVESDROPPER),
                "S alone": (with_lower_chsh, Cause.CHANGE),
                "QBER alone": (with_higher_qber, Cause.CHANGE),
            }
            for name, (turn, cause) in sudden.items():
                blocks = [*before, *[(size, turn(LINK, fraction))] * 4_000]
                found[f"{name} {fraction:.0%} {start}"] = (blocks, cause)
    for exponent in (5, 6, 7, 8, 9):
        for to in (1.0, 0.3):
            blocks = ramp(10**exponent, to)
            found[f"noise grows to {to:.0%} in 10^{exponent}"] = (blocks, Cause.NOISE_GROWING)
    return found


def print_names(*, streams: int, rng: np.random.Generator) -> None:
    """Print how often each cause is named, and when."""
    print("\n| what happens | right | wrong | undecided | rounds to the name (median) |")
    print("|---" * 5 + "|")
    for name, (blocks, cause) in cases().items():
        found = watch_streams(BETS, blocks, streams=streams, rng=rng, until_named=True)
        right = np.mean(found.causes == list(Cause).index(cause))
        undecided = np.mean(found.causes == NEVER)
        when = np.where(found.causes == NEVER, np.inf, found.named_rounds)
        print(f"| {name} | {right:.1%} | {max(0, 1 - right - undecided):.1%} | {undecided:.1%} | "
              f"{np.quantile(when, 0.5, method='inverted_cdf'):,.0f} |", flush=True)  # fmt: skip


def verdict_refuses(counts: OutcomeCounts) -> bool:
    """Whether a session with these counts, and no leak yet, is refused a key."""
    tests = outcomes_of(counts.wins, counts.losses, signs=EKERT.signs)
    hidden = round(counts.sample * (1 - REVEALED) / REVEALED)
    samples = (KeySample(hidden, counts.sample, counts.errors), KeySample(0, 0, 0))
    evidence = Evidence(tests, samples, ((1,),), EKERT.signs)
    found = verdict_of(evidence, settings=EKERT, policy=Policy())
    return found.abort is not None


def curves(*, sessions: int, rng: np.random.Generator) -> list[PowerCurves]:
    """Return the power of the three exact batch tests, and of the verdict by simulation."""
    fractions, rounds = np.linspace(0, 1, 101).tolist(), (100, 1_000, 10_000, 100_000)
    exact = {
        "link worse than declared, alpha = 1e-3": lambda link, n: declared_test_power(
            link, declared=LINK, rounds=n, false_alarm=1e-3
        ),
        "p-value against local models above 1e-3": lambda link, n: p_value_power(
            link, rounds=n, significance=1e-3
        ),
        "lower bound on S not above 2, epsilon = 1e-10": lambda link, n: lower_bound_power(
            link, rounds=n, epsilon=1e-10
        ),
    }
    found = [
        power_curves(power, LINK, test=test, fractions=fractions, rounds=rounds)
        for test, power in exact.items()
    ]
    simulated = power_curves(
        lambda link, n: simulated_power(
            verdict_refuses, link, rounds=n, sessions=sessions, rng=rng
        ),
        LINK,
        test="session is refused a key",
        fractions=fractions[::10],
        rounds=rounds[1:],
    )
    return [*found, simulated]


def print_power(tests: list[PowerCurves]) -> None:
    """Print the power at some strengths."""
    shown = (0.0, 0.1, 0.2, 0.5, 1.0)
    print("\n| test | rounds | " + " | ".join(f"{share:.0%}" for share in shown) + " |")
    print("|---" * (2 + len(shown)) + "|")
    for found in tests:
        columns = [int(np.argmin(abs(found.fractions - share))) for share in shown]
        for count, row in zip(found.rounds, found.detected, strict=True):
            values = " | ".join(f"{row[column]:.3g}" for column in columns)
            print(f"| {found.test} | {count:,} | {values} |")


def save_figures(folder: Path, tests: list[PowerCurves], delays: Delays) -> None:
    """Save the figures as PNG."""
    _save(delay_figure(delays), folder / "alarm_delay.png")
    for number, found in enumerate(tests):
        _save(power_figure(found), folder / f"power_{number}.png")


def _save(axes: Axes, path: Path) -> None:
    figure = axes.get_figure(root=True)
    if figure is not None:
        figure.savefig(path, dpi=120)


class Joined:
    """A device of blocks that is another one from some part on."""

    def __init__(self, before: Any, after: Any, *, part: int) -> None:
        self.info = DeviceInfo(EKERT, "One device, then another.")
        self.devices, self.part = (before, after), part

    def outcome_source(self, settings: Settings) -> Any:
        """Return one source that answers as either."""
        before, after = (d.outcome_source(settings) for d in self.devices)

        def answer(pairs: Bits, outcomes: Bits, *, block: int) -> None:
            (before if block < self.part else after).answer(pairs, outcomes, block=block)

        return SimpleNamespace(shape=before.shape, answer=answer)


def print_block_delays(*, runs: int = 12) -> None:
    """Print how long after an attack in mid-block the named round is: two blocks, half a life."""
    begin = 3 * BLOCK_ROUNDS // 2
    print("| intercepted | pairs until the named round: median | longest | until the block's end |")
    print("|---" * 4 + "|")
    for fraction in (1.0, 0.2, 0.05):
        delays = []
        for seed in range(runs):
            honest = exact_device(visibility=0.97, seed=seed)
            conditions = Conditions(fraction, settings=EKERT, visibility=0.97, seed=1_000 + seed)
            tapped = stage("intercept-resend", conditions).device
            device = Replay(Joined(honest, tapped, part=begin // PART_ROUNDS), BLOCK_ROUNDS)
            rounds = 2 * BLOCK_ROUNDS
            blocks = stream(device, rounds=rounds, seed=seed)
            watched = watch_blocks(blocks, Promise(0.97), planned_pairs=rounds, replay=device)
            alarm = [report.alarm for report in watched][-1]
            delays.append(math.inf if alarm is None else alarm.round - begin)
        row = f"{np.median(delays):,.0f} | {max(delays):,} | {BLOCK_ROUNDS // 2:,}"
        print(f"| {fraction:.0%} | {row} |", flush=True)


def main() -> None:
    """Print the tables."""
    if "blocks" in sys.argv:
        print_block_delays()
        return
    if "late" in sys.argv:
        streams = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000
        print_late_delays(streams=streams, rng=np.random.default_rng(21))
        return
    streams = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    rng = np.random.default_rng(20)
    delays = detection_delays(BETS, fractions=FRACTIONS, streams=10 * streams, rng=rng)
    print(f"log(1/alpha) = {math.log(1e3):.2f} nats; {10 * streams} streams")
    print_delays(delays, streams=streams, rng=rng)
    print_late_delays(streams=streams, rng=rng)
    print_names(streams=streams, rng=rng)
    tests = curves(sessions=200, rng=rng)
    print_power(tests)
    if len(sys.argv) > 2:
        save_figures(Path(sys.argv[2]), tests, delays)


if __name__ == "__main__":
    main()
