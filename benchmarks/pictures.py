"""What a picture looks like at a budget of key: ``python -m benchmarks.pictures [--keep FOLDER]``.

Under one-time pad a picture costs as many key bits as it has.  ffmpeg's test picture, which is
harder than a face, is encoded at some budgets; its peak signal-to-noise ratio (PSNR, dB) tells how
near it comes.  Needs ffmpeg with libwebp, libx264 and libvpx.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

STILL_BUDGETS = (10_000, 16_000, 32_000, 64_000, 128_000)
"""Bits of one picture of 320 x 240."""


@dataclass(frozen=True)
class Clip:
    """A video that is encoded at a rate.

    Attributes:
        size: Of a frame, e.g. ``"320x240"``.
        rate: Frames a second.
        kilobits: A second, as the encoder is asked for.
        encoder: Options of ffmpeg.
    """

    size: str
    rate: int
    kilobits: int
    encoder: tuple[str, ...]


CLIPS = (
    Clip("160x120", 10, 32, ("libx264", "-preset", "fast", "-tune", "zerolatency")),
    Clip("320x240", 15, 128, ("libx264", "-preset", "fast", "-tune", "zerolatency")),
    Clip("320x240", 15, 128, ("libvpx", "-cpu-used", "8", "-deadline", "realtime")),
    Clip("1280x720", 25, 2000, ("libx264", "-preset", "veryfast", "-tune", "zerolatency")),
)
SECONDS = 10


def source(size: str, rate: int, seconds: int) -> list[str]:
    """Return ffmpeg's options for the test picture."""
    return ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}"]


def ffmpeg(*options: str) -> str:
    """Run ffmpeg; return what it says."""
    command = ["ffmpeg", "-y", "-hide_banner", *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stderr


def psnr(file: Path, size: str, rate: int, seconds: int) -> float:
    """Return the ratio of a file to the test picture, dB, as ffmpeg computes it."""
    compared = ffmpeg("-i", str(file), *source(size, rate, seconds), "-lavfi",
                      "[0:v]format=yuv420p[a];[1:v]format=yuv420p[b];[a][b]psnr", "-f", "null",
                      "-")  # fmt: skip
    found = re.search(r"average:([0-9.]+|inf)", compared)
    assert found is not None
    return float(found[1])


def still(budget: int, folder: Path) -> tuple[int, float] | None:
    """Return bits and PSNR of the best WebP picture within a budget, or None if none fits."""
    best = None
    for quality in range(0, 101, 4):
        file = folder / f"still-{budget}.webp"
        trial = folder / "trial.webp"
        ffmpeg(*source("320x240", 1, 1), "-frames:v", "1", "-c:v", "libwebp", "-quality",
               str(quality), str(trial))  # fmt: skip
        bits = 8 * trial.stat().st_size
        if bits > budget:
            break
        file.write_bytes(trial.read_bytes())
        best = bits, file
    return None if best is None else (best[0], psnr(best[1], "320x240", 1, 1))


def clip(made: Clip, folder: Path) -> tuple[float, float]:
    """Return bits a second and PSNR of an encoded clip."""
    file = folder / f"clip-{made.size}-{made.kilobits}-{made.encoder[0]}.mkv"
    limit = f"{made.kilobits}k"
    ffmpeg(*source(made.size, made.rate, SECONDS), "-pix_fmt", "yuv420p", "-c:v", *made.encoder,
           "-b:v", limit, "-maxrate", limit, "-bufsize", limit, str(file))  # fmt: skip
    sizes = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", "packet=size", "-of", "csv=p=0", str(file)],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    bits = 8 * sum(int(size.strip(",")) for size in sizes.split())
    return bits / SECONDS, psnr(file, made.size, made.rate, SECONDS)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="Write the pictures into this folder.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        print("| budget (bit) | picture (bit) | PSNR (dB) |\n|---|---|---|")
        for budget in STILL_BUDGETS:
            found = still(budget, folder)
            cells = "does not fit | -" if found is None else f"{found[0]:,} | {found[1]:.1f}"
            print(f"| {budget:,} | {cells} |")
        print("\n| video | asked (kbit/s) | made (kbit/s) | PSNR (dB) |\n|---|---|---|---|")
        for made in CLIPS:
            rate, ratio = clip(made, folder)
            name = f"{made.size}, {made.rate}/s, {made.encoder[0]}"
            print(f"| {name} | {made.kilobits:,} | {rate / 1000:,.1f} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
