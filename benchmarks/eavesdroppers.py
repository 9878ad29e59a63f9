"""What Eve costs in speed: ``python -m benchmarks.eavesdroppers``.

Prints a Markdown table: rounds per second of devices with her as a channel, beside the same
device without her and in turns with it, so that a busy machine slows both.  Once as a device
(settings in, outcomes out), once as the generator of blocks that a stream uses, once with the
session's sifting and Bell test on top, and once as shots of Aer.  The ratio is the median of the
ratios of the turns.  With the argument `aer` only the shots; those are measured in
processor time, which other work disturbs least; `aer-with-eve` beside them makes Eve's qubits part
of every shot.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from e91.adversaries import ATTACKS, Conditions, stage
from e91.devices.aer import aer_device
from e91.devices.exact import exact_device
from e91.model.settings import ASYMMETRIC
from e91.session.session import run
from e91.session.streaming import source_of
from e91.system.cell_draws import BLOCK_ROUNDS

ROUNDS = 2**20
SHOTS = 400_000
BLOCKS = 64  # of 2^18 rounds: a turn must outlast what else the machine does
TURNS = 9


def seconds(work: Callable[[], object]) -> float:
    """Time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def device_work(device: Any) -> Callable[[], object]:
    """Sixteen million rounds by the device, a million at once."""
    generator = np.random.default_rng(1)
    x = generator.integers(3, size=ROUNDS, dtype=np.uint8)
    y = generator.integers(2, size=ROUNDS, dtype=np.uint8)

    def work() -> None:
        for _ in range(BLOCKS * BLOCK_ROUNDS // ROUNDS):
            device(x, y)
            if hasattr(device, "forget"):
                device.forget()

    return work


def block_work(device: Any) -> Callable[[], object]:
    """Sixteen million rounds in the blocks of a stream."""
    sampler = source_of(device, ASYMMETRIC, protocol_key=bytes(32))
    codes = np.empty(BLOCK_ROUNDS, np.uint8)
    return lambda: [sampler.fill(codes, block=n) for n in range(BLOCKS)]


def session_work(device: Any) -> Callable[[], object]:
    """A whole session that aborts or not, as it comes."""
    return lambda: run(device, rounds=ROUNDS, settings=ASYMMETRIC, seed=1)


def row(name: str, make: Callable[[Any], Callable[[], object]], *, strength: float) -> str:
    """Time tapped and honest work in turns; one row of the table."""
    conditions = Conditions(strength, settings=ASYMMETRIC, seed=1)
    tapped = make(stage(name, conditions).device)
    honest = make(exact_device(settings=ASYMMETRIC, seed=1))
    tapped(), honest()
    turns = [(seconds(tapped), seconds(honest)) for _ in range(TURNS)]
    rounds = ROUNDS if make is session_work else BLOCKS * BLOCK_ROUNDS
    with_eve, without = (
        rounds / statistics.median(times) / 1e6 for times in zip(*turns, strict=True)
    )
    ratio = statistics.median(honest / tapped for tapped, honest in turns)
    kind = make.__name__.split("_")[0]
    return f"| `{name}` | {kind} | {with_eve:.1f} | {without:.1f} | {ratio:.2f} |"


def processor_seconds(work: Callable[[], object]) -> float:
    """Processor time of one call."""
    started = time.process_time()
    work()
    return time.process_time() - started


def shot_row(name: str, simulator: Any, *, strength: float) -> str:
    """Time shots with Eve and without in turns; one row of the table."""
    generator = np.random.default_rng(1)
    x = generator.integers(3, size=SHOTS, dtype=np.uint8)
    y = generator.integers(2, size=SHOTS, dtype=np.uint8)
    tapped = stage(
        name, Conditions(strength, settings=ASYMMETRIC, simulator=simulator, seed=1)
    ).device
    honest = aer_device(settings=ASYMMETRIC, seed=1)

    def work(device: Any) -> Callable[[], object]:
        return lambda: device(x, y)

    work(tapped)(), work(honest)()
    turns = []
    for _ in range(TURNS):
        turns.append([processor_seconds(work(device)) for device in (tapped, honest)])
        tapped.forget()
    with_eve, without = (
        SHOTS / statistics.median(times) / 1e6 for times in zip(*turns, strict=True)
    )
    ratio = statistics.median(honest / tapped for tapped, honest in turns)
    return f"| `{name}` | {simulator} | {with_eve:.2f} | {without:.2f} | {ratio:.2f} |"


def main() -> None:
    """Print the table."""
    print("| attack | as | M rounds/s with Eve | without | ratio |\n|---|---|---|---|---|")
    # Strengths so weak that tapped and honest sessions both end with a key of the same length.
    weak = {"intercept-resend": 1e-9, "cloner": 1e-9, "probe": 1 - 1e-9, "separable": 1e-9,
            "collective": 2 * 2**0.5, "photon-number-splitting": 1e-9}  # fmt: skip
    for name, attack in ATTACKS.items():
        if attack.is_channel:
            for make in () if "aer" in sys.argv else (device_work, block_work, session_work):
                print(row(name, make, strength=weak[name]), flush=True)
            for simulator in ("aer", "aer-with-eve"):
                print(shot_row(name, simulator, strength=weak[name]), flush=True)


if __name__ == "__main__":
    main()
