"""Runs that write, killed at a random moment, and the next run in that place.

After the next run nothing is hidden there, whatever has a name is whole, and no key byte was used
twice.  A kill strikes the whole group of processes, at a moment that is uniform over somewhat more
than the run takes.
"""

import json
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from tests.fuzzing.campaign import Place
from tests.fuzzing.forked_runs import Case, Outcome, listing, remove, run_all, started
from tests.fuzzing.line_cases import copy

_RUN = "run --rounds 120000 --device exact --settings asymmetric"
_BLOCKS = f"{_RUN} --block-rounds 40000 --threads 1"


@dataclass(frozen=True)
class Killed:
    """A run that is killed.

    Attributes:
        line: Its words.
        then: The words of the next run in that place; ``line`` again if it is the same.
        statuses: What the next run may end with.
        needs: Specimens that both find.
        check: Returns what is wrong afterwards.
        is_server: Whether it serves until it is stopped.
    """

    line: str
    then: str
    check: Callable[[Path], list[str]]
    needs: Sequence[str] = ()
    statuses: Sequence[int] = (0,)
    is_server: bool = False


def case_of(number: int, *, seed: int, seconds: dict[int, float], place: Place) -> list[str]:
    """Kill a run, run the next one, and return what is wrong.

    Args:
        number: Which case.
        seed: Of the campaign.
        seconds: How long each kind of run takes; measured at its first case, which is not killed.
        place: Where it happens.
    """
    rng = random.Random(f"kills {seed} {number}")
    kind = number % len(KINDS)
    killed, folder = KINDS[kind], place.folder()
    for name in killed.needs:
        copy(place.specimens / name, folder / name)
    for store in folder.glob("kme/*.sqlite") if killed.is_server else ():
        store.unlink()
    case = Case(f"kills --seed {seed} --first {number}", tuple(killed.line.split()), folder)
    known = seconds.get(kind)
    taken = _killed(case, None if known is None else rng.uniform(0, 1.2 * known), killed)
    if known is None or taken > known:
        seconds[kind] = taken
    then = Case(case.name, tuple(killed.then.split()), folder, is_patient=killed.is_server)
    ((_, outcome),) = run_all([then], jobs=1)
    found = [*_of_next(outcome, killed), *_of_files(folder), *killed.check(folder)]
    remove(case)
    return [f"{case.name}: e91 {killed.line}: {fault}" for fault in found]


def _killed(case: Case, after: float | None, killed: Killed) -> float:
    """Run a case and kill it after some seconds; return how long it ran."""
    begun = time.monotonic()
    running = started(case)
    if after is None and not killed.is_server:
        os.waitpid(running.pid, 0)
        os.close(running.descriptor)
        return time.monotonic() - begun
    time.sleep(1.0 if after is None else after)
    os.killpg(running.pid, signal.SIGKILL) if _is_there(running.pid) else None
    os.waitpid(running.pid, 0)
    os.close(running.descriptor)
    return time.monotonic() - begun


def _is_there(group: int) -> bool:
    """Wait for a child to have a group of its own; return whether it does."""
    for _ in range(200):
        try:
            if os.getpgid(group) == group:
                return True
        except ProcessLookupError:
            return False
        time.sleep(0.001)
    return False


def _of_next(outcome: Outcome, killed: Killed) -> list[str]:
    if outcome.status in killed.statuses and not outcome.hung:
        return []
    said = outcome.err.decode(errors="replace")[-400:]
    return [f"The next run ends with {outcome.status}: {said}"]


def _of_files(folder: Path) -> list[str]:
    """Return what is hidden, or has a name and is not whole."""
    hidden = [name for name in listing(folder) if Path(name).name.startswith(".")]
    found = [f"`{name}` is left." for name in hidden]
    torn = [file for file in folder.rglob("*") if file.is_file() and not _is_whole(file)]
    return found + [f"`{file.relative_to(folder)}` is not whole." for file in torn]


def _is_whole(file: Path) -> bool:
    from e91.keys.files import read_key_file
    from e91.recorded import load_detections, load_time_tags

    try:
        match file.suffix:
            case ".key" if file.read_bytes()[:1] == b"{":
                return read_key_file(file).is_checked
            case ".json":
                return isinstance(json.loads(file.read_text()), dict)
            case ".npz":
                load = load_time_tags if "tags" in file.name else load_detections
                return load(file).is_stored
            case ".png":
                return file.read_bytes().endswith(b"IEND\xaeB`\x82")
            case ".crt" | ".crl":
                return file.read_text().rstrip().endswith("-----")
    except ValueError:
        return False
    return True


def _messages_are_apart(folder: Path) -> list[str]:
    """Return which messages, under one key and of one sender, share key bytes."""
    from e91.encryption.cipher import read_header

    used = []
    for file in folder.rglob("*.e91"):
        content = file.read_bytes()
        header = read_header(content)
        size = 32 + (len(content) - 48 if header.cipher == "one-time-pad" else 0)
        used.append((file.name, header.key_id, range(header.offset, header.offset + size)))
    return [
        f"`{one}` and `{other}` use the same key bytes."
        for (one, key, part), (other, again, rest) in combinations(used, 2)
        if key == again and range(max(part.start, rest.start), min(part.stop, rest.stop))
    ]


def _exports_are_apart(folder: Path) -> list[str]:
    """Return which exported keys are the same, by lines."""
    lines = [line for file in folder.glob("*.hex") for line in file.read_text().split()]
    again = len(lines) - len(set(lines))
    return [f"{again} exported keys are there twice."] if again else []


def _session_is_whole(folder: Path) -> list[str]:
    """Return which sessions lack a file, a block of a run included."""
    found = []
    for session in [*folder.glob("new*"), *folder.glob("new*/block-*")]:
        names = {path.name for path in session.iterdir()}
        if not session.is_dir() or any(name.startswith("block-") for name in names) or not names:
            continue
        lacking = {"alice.key", "bob.key", "report.json"} - names
        found += [f"`{session.name}` lacks {', '.join(lacking)}."] if lacking else []
    return found


def _plain_is_whole(folder: Path) -> list[str]:
    whole = (folder / "plain.txt").read_bytes()
    read = [path for path in folder.glob("read*") if path.read_bytes() != whole]
    return [f"`{path.name}` is not the plaintext." for path in read]


def _is_joined(folder: Path) -> list[str]:
    parts = folder / "other", folder / "blocks" / "block-000000"
    left = [str(part / "alice.key") for part in parts if (part / "alice.key").exists()]
    joining = [name for name in listing(folder) if name.endswith(".joining")]
    return [f"`{name}` is left of the join." for name in (*left, *joining)]


def _is_studied(folder: Path) -> list[str]:
    return ["There is a journal."] if (folder / "new.nc.journal").exists() else []


def _is_fed_once(folder: Path) -> list[str]:
    """Return whether the stores of both ends do not hold the session's key exactly once."""
    import asyncio

    from e91.delivery.configuration import read_configuration
    from e91.delivery.serving import service_of

    async def bits() -> list[int]:
        service = service_of(read_configuration(folder / "kme" / "kme.toml"))
        await service.start()
        try:
            return [link.free + link.reserved for kme in service.kmes() for link in kme.links]
        finally:
            await service.close()

    found = asyncio.run(bits())
    key = json.loads((folder / "fresh" / "report.json").read_text())["secret_bits"] // 8 * 8
    right = len(found) == 2 and len(set(found)) == 1 and 0 < found[0] <= key
    return [] if right else [f"The ends hold {found} bits of a key of {key}."]


def _nothing(_: Path) -> list[str]:
    return []


_FEED = "kme serve kme/kme.toml --session fresh --ends alice,bob"

KINDS: Sequence[Killed] = (
    Killed(
        f"{_RUN} --out new --encrypt plain.txt",
        f"{_RUN} --out new2",
        _session_is_whole,
        ("plain.txt",),
    ),
    Killed(
        f"{_BLOCKS} --out new --keep kept", f"{_BLOCKS} --out new2 --keep kept2", _session_is_whole
    ),
    Killed(
        "encrypt plain.txt --key fresh/alice.key --cipher one-time-pad --out a.e91",
        "encrypt plain.txt --key fresh/alice.key --cipher one-time-pad --out b.e91",
        _messages_are_apart,
        ("plain.txt", "fresh"),
    ),
    Killed(
        "encrypt plain.txt --key other/alice.key --cipher aes-256-gcm --out a.e91",
        "encrypt plain.txt --key other/alice.key --cipher aes-256-gcm --out b.e91",
        _messages_are_apart,
        ("plain.txt", "other"),
    ),
    Killed(
        "decrypt message.e91 --key session/bob.key --out read",
        "decrypt message.e91 --key session/bob.key --out read2",
        _plain_is_whole,
        ("message.e91", "session", "plain.txt"),
        statuses=(0, 2),
    ),
    Killed(
        "decrypt chapters.e91 --key fresh/bob.key --out read",
        "decrypt chapters.e91 --key fresh/bob.key --out read2",
        _plain_is_whole,
        ("chapters.e91", "fresh", "plain.txt"),
        statuses=(0, 2),
    ),
    Killed(
        "key export other/alice.key --bits 64 --keys 5 --out a.hex",
        "key export other/alice.key --bits 64 --keys 5 --out b.hex",
        _exports_are_apart,
        ("other",),
    ),
    Killed(
        "key join blocks/block-000000/alice.key other/alice.key --out all.key",
        "key join blocks/block-000000/alice.key other/alice.key --out all.key",
        _is_joined,
        ("blocks", "other"),
        statuses=(0, 2),
    ),
    Killed(
        "study study.toml --processes 1 --out new.nc",
        "study study.toml --processes 1 --out new.nc",
        _is_studied,
        ("study.toml",),
        statuses=(0, 2),
    ),
    Killed(
        "network show secoqc-2008 --figure new.png",
        "network show secoqc-2008 --figure new2.png",
        _nothing,
    ),
    Killed(_FEED, _FEED, _is_fed_once, ("kme", "fresh"), is_server=True),
    Killed("kme init site", "kme init site2", _nothing),
    Killed("kme renew --in kme --new-keys", "kme renew --in kme", _nothing, ("kme",)),
    Killed("kme revoke alice-app --in kme", "kme revoke bob-app --in kme", _nothing, ("kme",)),
    Killed(
        "analyse alice_tags.npz bob_tags.npz --out new",
        "analyse detections.csv --out new2",
        _nothing,
        ("alice_tags.npz", "bob_tags.npz", "detections.csv"),
        statuses=(0, 3),
    ),
    Killed("analyse --sample new --settings asymmetric", "analyse --sample new2", _nothing),
    Killed(
        "call simulate sound.wav new.wav",
        "call simulate sound.wav new2.wav",
        _nothing,
        ("sound.wav",),
    ),
)
"""What is killed, and what runs next."""


def kill(
    numbers: Sequence[int], *, seed: int, place: Place, say: Callable[[str], None]
) -> list[str]:
    """Run the cases of these numbers; return what is wrong."""
    seconds: dict[int, float] = {}
    found = []
    for done, number in enumerate(numbers, 1):
        wrong = case_of(number, seed=seed, seconds=seconds, place=place)
        found += wrong
        for fault in wrong:
            say(fault)
        if done % 50 == 0:
            say(f"{done:,} kills, {len(found)} wrong")
    return found
