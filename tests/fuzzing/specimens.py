"""A folder with a small, valid file of every format that the command line reads.

The command line itself makes most of them; laboratories' files come from a second writer, and what
old versions wrote is written out.
"""

import base64
import csv
import json
import shutil
import struct
import uuid
import wave
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from e91.devices.exact import exact_device
from e91.model.messages import Party
from e91.model.settings import EKERT
from e91.optics.detectors import BasisChoice, Detector, Receiver
from e91.optics.sources import ContinuousSource
from e91.optics.tags import TimeTags
from e91.optics.tags.laboratories import Clock, Laboratory
from e91.optics.tags.simulation import record_time_tags
from e91.recorded.ledger import UsedRecording
from e91.recorded.record_files import save_time_tags
from e91.system.digests import PLACE, sealed
from tests import tagger_writers as writers

Run = Callable[..., int]
"""Run words in the folder of specimens; return the exit status."""

CHANNELS = ("--alice-channels", "1,2,3,4,5,6", "--bob-channels", "7,8,9,10,11,12")

LINK = """
[source]
pairs_per_second = 1e6
coherence_time_s = 4e-12
[state]
visibility = 0.97
[detection]
coincidence_window_s = 1e-9
[alice]
loss_db = 10
dark_counts_per_second = 100
[bob]
loss_db = 15
dark_counts_per_second = 1000
"""

SETTINGS = """
unit = "bloch-degrees"
state = "psi-"
alice.angles = [0, 90]
bob.angles = [0, 45, 135]
key = [{pair = [0, 0], sign = -1}]
chsh = [
    {pair = [0, 1], sign = -1}, {pair = [0, 2], sign = 1},
    {pair = [1, 1], sign = -1}, {pair = [1, 2], sign = -1},
]
"""

STUDY = """
title = "Key against visibility"
rounds = 3000
repeats = 1

[settings]
name = "bbm92"

[[sweep]]
device.visibility = { from = 0.9, to = 1.0, points = 2 }
"""

NETWORK = """
extends = "cambridge-2019"
title = "Cambridge with a recorded load"
rotations = []

[[request_files]]
file = "load.csv"
"""

TABLE_OF_FOUR = (
    "alice,bob,same,different\n0,22.5,850,150\n0,67.5,160,840\n45,22.5,840,160\n45,67.5,855,145\n"
)


def make_specimens(folder: Path, run: Run) -> None:
    """Fill a folder; ``run`` runs the command line in it.

    Raises:
        AssertionError: The command line refuses what is right.
    """
    folder.mkdir(parents=True)
    _write_texts(folder)
    (folder / "home").mkdir()
    for line, statuses in _LINES:
        status = run(*line.split())
        assert status in statuses, f"e91 {line}: {status}"
    shutil.copy(folder / "session" / "plain.txt.e91", folder / "message.e91")
    shutil.copy(folder / "usage.sqlite", folder / "home" / "key-usage.sqlite")
    _write_tags(folder)
    _write_columns(folder)
    for name in ("alice", "bob"):  # megabytes
        (folder / "samples" / f"{name}_tags.npz").unlink()
    _write_old_ones(folder)
    _write_sound(folder)
    _write_odd_ones(folder)


_SESSION = "run --rounds 150000 --device exact --settings asymmetric --seed"
_ENCRYPT = "encrypt plain.txt --key fresh/alice.key"
_LINES: Sequence[tuple[str, tuple[int, ...]]] = (
    (f"{_SESSION} 1 --out session --encrypt plain.txt", (0,)),
    (f"{_SESSION} 2 --block-rounds 150000 --keep records --out blocks", (0,)),
    (f"{_SESSION} 3 --out fresh", (0,)),
    (f"{_SESSION} 4 --out other", (0,)),
    ("analyse --sample samples --settings asymmetric --seed 5", (0,)),
    (f"{_ENCRYPT} --cipher one-time-pad --out pad.e91", (0,)),
    (f"{_ENCRYPT} --cipher aes-256-gcm --rekey-every 100 --out chapters.e91", (0,)),
    (f"{_ENCRYPT} --cipher aes-256-gcm --ledger usage.sqlite --out sealed.e91", (0,)),
    ("kme init kme --kme alice=127.0.0.1:0 --kme bob=127.0.0.1:0 --health 127.0.0.1:0", (0,)),
    ("kme serve kme/kme.toml --session session --ends alice,bob", (0, 1)),
)  # fmt: skip


def _write_texts(folder: Path) -> None:
    texts = {
        "plain.txt": "Meet me at the old bridge at noon.\n" * 4,
        "link.toml": LINK,
        "settings.toml": SETTINGS,
        "study.toml": STUDY,
        "network.toml": NETWORK,
        "load.csv": "time_s,from,to,bits\n0.5,TREL,CAPE,256\n0.6, ENGI ,CAPE,1000\n",
        "four.csv": TABLE_OF_FOUR,
        "sixteen.csv": _table_of_sixteen(),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    package = Path(__file__).parents[2] / "e91"
    for place in ("experiments/naik-2000", "experiments/yin-2020", "experiments/jennewein-2000"):
        shutil.copy(package / f"{place}.toml", folder / f"{place.rpartition('/')[2]}.toml")
    for name in ("secoqc-2008", "micius"):
        shutil.copy(package / "network" / f"{name}.toml", folder / f"{name}.toml")


def _table_of_sixteen() -> str:
    lines = ["alice,bob,coincidences,accidentals"]
    for alice in (-45, 0, 45, 90):
        for bob in (-22.5, 22.5, 67.5, 112.5):
            together = 1000 * np.cos(np.radians(alice - bob)) ** 2
            lines.append(f"{alice},{bob},{round(together) + 10},10")
    return "\n".join(lines) + "\n"


def _recorded_link() -> tuple[TimeTags, TimeTags]:
    """Return both sides' tags of a passive link of three thousandths of a second."""
    detector = Detector(0.9, 100.0, 30e-9, jitter_fwhm_s=300e-12)
    receiver = Receiver((detector,) * 6, BasisChoice.PASSIVE)
    sides = [
        Laboratory(receiver, probabilities, clock=Clock(offset_s=offset, resolution_s=2e-12))
        for probabilities, offset in (
            (EKERT.alice_probabilities, 0.0),
            (EKERT.bob_probabilities, 1.5e-6),
        )
    ]
    device = exact_device(visibility=0.97, seed=1)
    return record_time_tags(ContinuousSource(5e5), *sides, device=device, duration_s=0.003, seed=1)


def _of_one_tagger(alice: TimeTags, bob: TimeTags) -> list[tuple[int, int]]:
    """Return all tags in order, Alice's detectors at channels 1 to 6, Bob's at 7 to 12."""
    times = np.concatenate([alice.times, bob.times])
    channels = np.concatenate([alice.channels + 1, bob.channels + 7])
    order = np.argsort(times, kind="stable")
    return list(zip(times[order].tolist(), channels[order].tolist(), strict=True))


def _write_tags(folder: Path) -> None:
    alice, bob = _recorded_link()
    for side, party in zip((alice, bob), Party, strict=True):
        save_time_tags(folder / f"{party.value}_tags.npz", side, party=party)
    both = _of_one_tagger(alice, bob)
    _write_laboratory_files(folder, both)
    _write_tag_columns(folder, np.array(both))


def _write_laboratory_files(folder: Path, both: list[tuple[int, int]]) -> None:
    """Write the tags in the layouts of makers."""
    events = [(time, channel, 0) for time, channel in both]
    pulses = [(time // 1000, channel, time % 1000) for time, channel in both]
    words = [writers.s_fifteen_word(time, [channel % 4]) for time, channel in both]
    low = [(time, 1 + channel % 4, 0) for time, channel in both]
    files = {
        "hydraharp.ptu": writers.ptu(writers.HYDRAHARP_T2, events),
        "generic-t3.ptu": writers.ptu(writers.GENERIC_T3, pulses),
        "picoharp.pt2": writers.old_picoharp(low, mode=2),
        "picoharp.pt3": writers.old_picoharp([(t, 1 + c % 4, b) for t, c, b in pulses], mode=3),
        "hydraharp.ht2": writers.old_hydraharp(events, mode=2, version=b"2.0"),
        "hydraharp.ht3": writers.old_hydraharp(pulses, mode=3),
        "tags.a1X": writers.s_fifteen(words, layout="a1X"),
        "tags.a2": writers.s_fifteen(words, layout="a2"),
        "tags.a1": writers.s_fifteen(words, layout="a1"),
        "qutools.bin": writers.qutools(both),
        "qutools-compressed.bin": writers.qutools_compressed([(t, c % 8) for t, c in both]),
        "swabian.dump": writers.swabian_dump(both),
    }  # fmt: skip
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "tags.txt").write_text("".join(f"{time}\t{channel}\n" for time, channel in both))
    (folder / "idq.txt").write_text("".join(f"{time}\n" for time, channel in both if channel == 1))


def _write_columns(folder: Path) -> None:
    """Write the sample's detections in every layout of columns."""
    import pyarrow as pa
    from pyarrow import parquet

    from e91.recorded.tables import DETECTION_COLUMNS

    rng = np.random.default_rng(3)
    values = [rng.integers(0, 2 if "outcome" in name else 3, 500) for name in DETECTION_COLUMNS]
    table = dict(zip(DETECTION_COLUMNS, values, strict=True))
    with (folder / "detections.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(DETECTION_COLUMNS)
        rows.writerows(zip(*values, strict=True))
    parquet.write_table(pa.table(table), folder / "detections.parquet")


def _write_tag_columns(folder: Path, both: np.ndarray) -> None:
    """Write the tags in files of columns."""
    import h5py
    import pyarrow as pa
    from pyarrow import parquet

    with h5py.File(folder / "tags.h5", "w") as file:
        file["time"], file["channel"] = both[:, 0], both[:, 1]
    parquet.write_table(
        pa.table({"time": both[:, 0], "channel": both[:, 1]}), folder / "tags.parquet"
    )
    with (folder / "tags.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("time", "channel"))
        rows.writerows(both.tolist())


def _write_old_ones(folder: Path) -> None:
    """Write a key file of format 1, as version 0.1 wrote it, and the files of a left job."""
    state = json.loads((folder / "other" / "alice.key").read_text())
    for name in ("theorem", "attacks", "sha256"):
        state.pop(name, None)
    (folder / "old.key").write_text(json.dumps(state | {"version": 1}))
    _write_ledger_of_recordings(folder / "home" / "recordings.jsonl")
    jobs = folder / "home" / "e91" / "jobs"
    jobs.mkdir(parents=True)
    name = str(uuid.UUID(int=7))
    plan = {
        "version": 1, "session": name, "machine": "marrakesh", "description": "a machine",
        "settings": "ekert", "alice_probabilities": [1 / 3] * 3, "bob_probabilities": [1 / 3] * 3,
        "policy": {}, "seed": 1, "choices": base64.b64encode(b"none").decode(),
    }  # fmt: skip
    (jobs / f"{name}.json").write_text(json.dumps(plan))
    (jobs / f"{name}.job").write_text(json.dumps({"job_id": "d0job"}))


def _write_ledger_of_recordings(file: Path) -> None:
    entry = UsedRecording(PLACE, "2026-01-01 00:00:00+00:00", "night 7", ["0123456789abcdef"])
    file.write_bytes(2 * (sealed(msgspec.json.encode(entry)) + b"\n"))


def _write_sound(folder: Path) -> None:
    rng = np.random.default_rng(5)
    with wave.open(str(folder / "sound.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(rng.integers(-9000, 9000, 2400, dtype=np.int16).tobytes())
    packets = [
        struct.pack(">BBHII", 0x80, 96, number, 3000 * number, 77) + rng.bytes(90)
        for number in range(20)
    ]
    (folder / "pictures.rtp").write_bytes(
        b"".join(struct.pack(">H", len(packet)) + packet for packet in packets)
    )


def _write_odd_ones(folder: Path) -> None:
    (folder / "empty").write_bytes(b"")
    (folder / "zeros").write_bytes(bytes(4096))
    (folder / "noise").write_bytes(np.random.default_rng(9).bytes(4096))
    (folder / "a folder").mkdir()
