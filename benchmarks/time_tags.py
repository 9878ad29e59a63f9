"""Two files of time tags, correlated and sifted: ``python -m benchmarks.time_tags [MILLIONS]``.

MILLIONS million tags a side (100 by default) are simulated first, which is not timed: a continuous
source, passive receivers of six detectors with jitter, dead time, dark counts and after-pulses, and
a clock of Bob's that is 12.3 ms off, 3 ppm fast and drifting.  A process of its own then opens
both files (content hashes and order checked), finds and follows the clocks, matches, and sifts the
record by the session's own messages.  Printed are the medians of three processes, and the largest
peak memory.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import headed, machine
from e91.devices.exact import exact_device
from e91.distillation.sifting import two_party as sifting
from e91.model.messages import Channel, Party
from e91.model.randomness import seeded_entropy
from e91.model.settings import EKERT
from e91.optics.detectors import BasisChoice, Detector, Receiver
from e91.optics.sources import ContinuousSource
from e91.optics.tags.correlation import correlate
from e91.optics.tags.laboratories import Clock, Laboratory
from e91.optics.tags.simulation import simulate_time_tags
from e91.optics.tags.time_tags import TimeTags
from e91.recorded import load_time_tags, save_time_tags

REPEATS = 3
WINDOW_S = 1e-9
PAIRS_PER_SECOND = 5e6
EFFICIENCY = 0.6
LOSS_DB = 4.8

DETECTOR = Detector(EFFICIENCY, 200.0, 30e-9, 0.01, 300e-12)


def make_files(folder: Path, tags: int) -> tuple[Path, Path]:
    """Simulate both sides and return their files."""
    receiver = Receiver((DETECTOR,) * 6, BasisChoice.PASSIVE)
    clock = Clock(offset_s=0.0123, frequency_error_ppm=3.0, drift_ppm_per_second=0.001)
    alice = Laboratory(receiver, EKERT.alice_probabilities, link_loss_db=LOSS_DB)
    bob = Laboratory(receiver, EKERT.bob_probabilities, link_loss_db=LOSS_DB, clock=clock)
    rate = PAIRS_PER_SECOND * alice.transmission * EFFICIENCY
    intervals = simulate_time_tags(
        ContinuousSource(PAIRS_PER_SECOND),
        alice,
        bob,
        device=exact_device(visibility=0.97, seed=1),
        duration_s=tags / rate,
        seed=1,
    )
    halves: tuple[list[TimeTags], list[TimeTags]] = ([], [])
    for interval in intervals:
        for half, side in zip(halves, interval, strict=True):
            half.append(side)
    files = folder / "alice.npz", folder / "bob.npz"
    for file, half, party in zip(files, halves, Party, strict=True):
        times = np.concatenate([part.times for part in half])
        channels = np.concatenate([part.channels for part in half])
        half.clear()
        save_time_tags(file, TimeTags(times, channels), party=party)
    return files


def timed(work: Callable[[], Any], name: str, seconds: dict[str, float]) -> Any:
    """Do the work and note how long it took."""
    started = time.perf_counter()
    result = work()
    seconds[name] = time.perf_counter() - started
    return result


def peak_mb() -> float:
    """Return the most memory that this process held at a time, in MB; nan but on Linux.

    ``getrusage`` would count what the parent held when it began this process.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return math.nan
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


def work_through(alice: str, bob: str) -> None:
    """Load, correlate and sift two files; print the times as JSON."""
    from concurrent.futures import ThreadPoolExecutor

    seconds: dict[str, float] = {}
    with ThreadPoolExecutor(2) as pool:
        both = timed(
            lambda: list(pool.map(load_time_tags, (Path(alice), Path(bob)))), "open", seconds
        )
    entropy = seeded_entropy(1)
    found = timed(
        lambda: correlate(
            *(side.tags for side in both), window_s=WINDOW_S, dead_time_s=30e-9, entropy=entropy
        ),
        "correlate",
        seconds,
    )
    sifted = timed(
        lambda: sifting.exchange(
            found.record, settings=EKERT, fraction=0.1, entropy=entropy, channel=Channel()
        ),
        "sift",
        seconds,
    )
    seconds["whole"] = sum(seconds.values())
    seconds["CPU, imports too"] = time.process_time()
    print(
        json.dumps(
            {
                "seconds": seconds,
                "tags": [len(side.tags) for side in both],
                "coincidences": len(found.record),
                "lost": found.statistics.lost_intervals,
                "car": found.statistics.car,
                "qber": sifted[0].evidence.sample_errors / sifted[0].evidence.sample_size,
                "peak_mb": peak_mb(),
            }
        )
    )


def main(millions: float) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        files = make_files(Path(folder), int(millions * 1e6))
        command = [sys.executable, __file__, "--one", *map(str, files)]
        runs = [
            json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            for _ in range(REPEATS + 1)
        ][1:]  # the first one compiles and fills the page cache
    print(headed(machine()))
    first = runs[0]
    print(f"tags: {first['tags'][0]:,} and {first['tags'][1]:,}; coincidences "
          f"{first['coincidences']:,}, QBER {first['qber']:.2%}, CAR {first['car']:.0f}, "
          f"{first['lost']} intervals lost")  # fmt: skip
    for stage in first["seconds"]:
        times = sorted(run["seconds"][stage] for run in runs)
        print(f"{stage:18s}{statistics.median(times):8.2f} s ({times[0]:.2f}-{times[-1]:.2f})")
    print(f"peak memory {max(run['peak_mb'] for run in runs):,.0f} MB")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        work_through(*sys.argv[2:4])
    else:
        main(float(sys.argv[1]) if sys.argv[1:] else 100.0)
