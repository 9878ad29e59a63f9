"""``python -m benchmarks.encryption``: files and pads beside the cipher itself and a plain copy.

Everything is read from a file of 512 MiB in the page cache and written nowhere, but for the raw
cipher and the copy, which have their bytes in memory: that is the highest mark there is.  With
``--memory 10e9`` the commands encrypt and decrypt that many bytes in a pipe; their peak memory is
printed.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import click
import numpy as np
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.poly1305 import Poly1305

from benchmarks.machine import headed, machine
from benchmarks.table import aligned
from benchmarks.timing import Peer, Row, Stage, Timing, Work
from e91.encryption.chapters import decrypt_chapters, encrypt_chapters
from e91.encryption.key_sources import KeyBytesLeft, KeyReference, NamedKey
from e91.encryption.pad_segments import (
    PAD_SEGMENT_SIZE,
    PadWriter,
    decrypt_segments,
    encrypt_segments,
)
from e91.encryption.stream_headers import Part, StreamHeader
from e91.encryption.tink_streams import SEGMENT_SIZE, TAG_SIZE, decrypt_stream, encrypt_stream

SIZE = 2**29
QUICK_SIZE = 2**27
CHAPTER = 2**26
REPEATS = 7


class Nowhere:
    """A target that takes everything and keeps nothing."""

    def write(self, content: memoryview, /) -> int:
        """Forget the content."""
        return len(content)


class FixedKeys:
    """Keys that cost nothing: the same bytes again and again, which is for timing alone."""

    def __init__(self, size: int) -> None:
        self._key = NamedKey(KeyReference(UUID(int=1)), os.urandom(size), "none", None, True)

    def fresh(self, size: int, *, least: int | None = None) -> NamedKey:
        """Return the key, or its front."""
        return self.named(self._key.reference, size if least is None else max(size, least))

    def named(self, reference: KeyReference, size: int) -> NamedKey:
        """Return the key, or its front."""
        if size == len(self._key.content):
            return self._key
        return NamedKey(reference, self._key.content[:size], "none", None, True)

    def keep(self) -> None:
        """Do nothing."""

    def protected(self, key: NamedKey, size: int) -> None:
        """Do nothing."""

    def expect(self, size: int) -> None:
        """Do nothing."""

    def left(self) -> KeyBytesLeft:
        """Return that this is not known."""
        return KeyBytesLeft(None, None)


def stages(folder: Path, size: int) -> Iterator[Stage]:
    """Yield the stages; the files that they read are made in ``folder``."""
    plain = folder / "plain"
    plain.write_bytes(np.random.default_rng(1).bytes(size))
    words = f"{size >> 20} MiB"
    raw = Peer("raw AES-256-GCM", lambda: raw_aes(plain))
    key = os.urandom(32)
    encrypt, decrypt = partial(encrypt_stream, key), partial(decrypt_stream, key)
    yield stage("encrypt a stream", f"{words}, segments of 128 KiB", encrypt, plain, raw)
    yield stage("decrypt it", words, decrypt, made(folder / "stream", encrypt, plain), raw)

    keys, chapters = FixedKeys(32), StreamHeader.new(
        "aes-256-gcm", segment_size=SEGMENT_SIZE, bytes_per_key=CHAPTER
    )  # fmt: skip
    seal = partial(encrypt_chapters, keys=keys, header=chapters)
    yield stage("encrypt chapters of 64 MiB", words, seal, plain, raw)
    sealed = made(folder / "chapters", seal, plain)
    whole = partial(decrypt_chapters, size=sealed.stat().st_size - StreamHeader.SIZE)
    yield stage("decrypt them", words, partial(reopened, whole, keys), sealed, raw)

    pad_keys = FixedKeys(PAD_SEGMENT_SIZE + 32)
    pads = StreamHeader.new("one-time-pad", segment_size=PAD_SEGMENT_SIZE)
    pad = partial(encrypt_segments, keys=pad_keys, header=pads)
    copy, xor = (
        Peer("np.copyto", lambda: copied(plain)),
        Peer("np.bitwise_xor", lambda: xored(plain)),
    )
    tag = Peer("Poly1305 alone", lambda: tagged(plain))
    memory = (copy, xor, tag)
    yield stage("one-time pad with tags", f"{words}, segments of 1 MiB", pad, plain, *memory)
    yield stage("undo it", words, partial(reopened, decrypt_segments, pad_keys),
                made(folder / "pad", pad, plain), *memory)  # fmt: skip
    yield Stage("the same, data in memory", words, "byte",
                lambda: in_memory(plain, pads, pad_keys), memory, REPEATS)  # fmt: skip


def stage(name: str, size: str, work: Callable[..., object], source: Path, *peers: Peer) -> Stage:
    """Return a stage that reads a file and writes nowhere."""
    done = source.stat().st_size

    def prepare() -> Work:
        def run() -> int:
            with source.open("rb", buffering=0) as file:
                work(file, Nowhere())
            return done

        return run

    return Stage(name, size, "byte", prepare, peers, REPEATS)


def made(target: Path, work: Callable[..., object], source: Path) -> Path:
    """Write what a stage makes of a file, once.

    In one piece, as every file here: how a file was written decides in which pieces the page cache
    holds it, and unaligned ones are read at half the speed.
    """
    written = io.BytesIO()
    with source.open("rb", buffering=0) as file:
        work(file, written)
    target.write_bytes(written.getbuffer())
    return target


def reopened(
    decrypt: Callable[..., object], keys: FixedKeys, source: object, target: Nowhere
) -> None:
    """Decrypt a ciphertext of version 2 from its header on."""
    decrypt(source, target, keys, header=StreamHeader.read(source))  # type: ignore[arg-type]


def raw_aes(plain: Path) -> Work:
    """Return the cipher alone, over bytes in memory, in segments of the same size."""
    data = memoryview(plain.read_bytes())
    cipher, room = AESGCM(os.urandom(32)), SEGMENT_SIZE - TAG_SIZE
    out = memoryview(bytearray(SEGMENT_SIZE))

    def run() -> int:
        for number, start in enumerate(range(0, len(data), room)):
            part = data[start : start + room]
            nonce = number.to_bytes(12, "big")
            cipher.encrypt_into(nonce, part, None, out[: len(part) + TAG_SIZE])
        return len(data)

    return run


def copied(plain: Path) -> Work:
    """Return a copy in memory of as many bytes."""
    source = np.frombuffer(plain.read_bytes(), np.uint8)
    target = np.zeros_like(source)

    def run() -> int:
        np.copyto(target, source)
        return len(source)

    return run


def xored(plain: Path) -> Work:
    """Return the XOR of as many bytes with a pad of their length: the pad alone, in one piece."""
    source = np.frombuffer(plain.read_bytes(), np.uint8)
    key, target = np.ones_like(source), np.zeros_like(source)

    def run() -> int:
        np.bitwise_xor(source, key, out=target)
        return len(source)

    return run


def tagged(plain: Path) -> Work:
    """Return the tags alone, of as many bytes in memory: the fastest that they allow."""
    data = memoryview(plain.read_bytes())
    key = os.urandom(32)

    def run() -> int:
        for start in range(0, len(data), PAD_SEGMENT_SIZE):
            Poly1305.generate_tag(key, data[start : start + PAD_SEGMENT_SIZE])
        return len(data)

    return run


def in_memory(plain: Path, header: StreamHeader, keys: FixedKeys) -> Work:
    """Return the sealing of segments that are in memory already, as what is copied is."""
    data = memoryview(plain.read_bytes())
    key = keys.fresh(PAD_SEGMENT_SIZE + 32)

    def run() -> int:
        writer = PadWriter(Nowhere(), header)
        for start in range(0, len(data), PAD_SEGMENT_SIZE):
            writer.write(data[start : start + PAD_SEGMENT_SIZE], key, Part.INNER)
        return len(data)

    return run


def in_turn(stage: Stage) -> list[Row]:
    """Time a stage and its peers call by call in turn, so that what else runs slows all alike."""
    works = [stage.prepare(), *(peer.prepare() for peer in stage.peers if peer.prepare)]
    seconds: list[list[float]] = [[] for _ in works]
    for number in range(stage.repeats + 1):
        for place, work in zip(seconds, works, strict=True):
            start = time.perf_counter()
            done = work()
            if number:
                place.append(time.perf_counter() - start)
    own, *others = (Timing(tuple(all_), tuple(done / one for one in all_)) for all_ in seconds)
    shared = (stage.name, stage.size, stage.unit, own)
    return [Row(*shared, peer.name, other) for peer, other in zip(stage.peers, others, strict=True)]


_COMMAND = """
import re, sys
from pathlib import Path
from e91 import cli
try:
    cli.main(sys.argv[1:])
finally:
    status = Path("/proc/self/status").read_text()
    print(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1], file=sys.stderr)
"""
"""Its own peak: `getrusage` counts the process that started it, too."""


def peak_memory(size: int, folder: Path) -> list[int]:
    """Return the peak memory of `e91 encrypt -` and `e91 decrypt -` in a pipe, KiB each."""
    from e91.keys.files import save_new
    from e91.keys.store import KeyStore
    from e91.model.messages import Party
    from e91.model.records import SecretKey
    from e91.model.trust import SecurityModel

    bits = np.unpackbits(np.frombuffer(os.urandom(20_000), np.uint8))
    key = SecretKey(bits, str(uuid4()), SecurityModel.TRUSTED_ANALYSERS, None, False)
    for party in Party:
        save_new(KeyStore(key, party), folder / f"{party.value}.key")
    os.environ["E91_KEY_LEDGER"] = str(folder / "ledger")
    pipe = subprocess.PIPE
    start = [sys.executable, "-c", _COMMAND]
    zeros = subprocess.Popen(["head", "-c", str(size), "/dev/zero"], stdout=pipe)
    first = subprocess.Popen(
        [*start, "encrypt", "-", "--cipher", "aes-256-gcm", "--key", str(folder / "alice.key")],
        stdin=zeros.stdout, stdout=pipe, stderr=pipe,
    )  # fmt: skip
    second = subprocess.Popen(
        [*start, "decrypt", "-", "--key", str(folder / "bob.key")],
        stdin=first.stdout, stdout=subprocess.DEVNULL, stderr=pipe,
    )  # fmt: skip
    ended = [second.communicate()[1], first.communicate()[1]]
    if any(process.returncode for process in (first, second)):
        raise RuntimeError(b"".join(ended).decode())
    zeros.wait()
    return [int(said.split()[-1]) for said in reversed(ended)]


@click.command()
@click.option("--quick", is_flag=True, help="A quarter of the bytes.")
@click.option("--memory", type=float, help="Measure peak memory for this many bytes instead.")
def bench(*, quick: bool, memory: float | None) -> None:
    """Print the table in Markdown; rates are medians, with the slowest and the fastest call."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if memory is not None:
            peaks = [f"{peak / 1024:.1f} MiB" for peak in peak_memory(int(memory), folder)]
            click.echo(f"{int(memory):,} bytes: encrypting {peaks[0]}, decrypting {peaks[1]}")
            return
        rows = []
        for one in stages(folder, QUICK_SIZE if quick else SIZE):
            rows += in_turn(one)
    click.echo(headed(machine()))
    click.echo(aligned(rows))


if __name__ == "__main__":
    bench()
