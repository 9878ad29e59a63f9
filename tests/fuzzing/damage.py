"""Damage to the bytes of a file: what disks, transfers, other programs and enemies do to it."""

import base64
import io
import json
import random
import re
import zipfile
from collections.abc import Callable, Sequence

from e91.system.digests import PLACE, sealed

Damage = Callable[[random.Random, bytes], bytes]

_LENGTHS = (b"\xff" * 4, b"\xff" * 8, b"\x00\x00\x00\x7f", b"\x7f\xff\xff\xff", b"\x00" * 8,
            b"\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x80\x00\x00\x00",
            b"\x00\x00\x01\x00")  # fmt: skip
_TEXTS = ("9" * 400, "1e400", "nan", "NaN", "inf", "-1", "-0.0", "1e-400", "", " ", "null", "true",
          "½", "١٢", "🐈", "\u202e", "\x00", "\x1b[2J", "\ufeff", "\r", "[]", "{}", '"', "'", "#",
          "=", "18446744073709551616", "-9223372036854775809", "1979-05-27", "0x7f", "1_0",
          "a" * 5000, "../../etc/passwd", "/dev/zero", "%s", "\\u0000", "\\ud800",
          "1.7976931348623157e308")  # fmt: skip
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_WORD = re.compile(rb"[A-Za-z_][A-Za-z_0-9]*")


def flip_bits(rng: random.Random, content: bytes) -> bytes:
    """Return the bytes with 1 to 8 bits flipped."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def truncate(rng: random.Random, content: bytes) -> bytes:
    """Return the beginning, mostly without little."""
    return content[
        : rng.choice((rng.randrange(len(content)), max(0, len(content) - rng.randint(1, 9))))
    ]


def without_beginning(rng: random.Random, content: bytes) -> bytes:
    """Return the end."""
    return content[rng.choice((rng.randrange(len(content)), rng.randint(1, 9))) :]


def double(rng: random.Random, content: bytes) -> bytes:
    """Return the bytes with a part of them twice, or all of them."""
    start, stop = _part(rng, content)
    return rng.choice((content[:stop] + content[start:], content + content))


def insert(rng: random.Random, content: bytes) -> bytes:
    """Return the bytes with some put in."""
    place = rng.randint(0, len(content))
    return (
        content[:place]
        + rng.choice((rng.randbytes(rng.randint(1, 64)), bytes(64)))
        + content[place:]
    )


def cut_out(rng: random.Random, content: bytes) -> bytes:
    """Return the bytes without a part."""
    start, stop = _part(rng, content)
    return content[:start] + content[stop:]


def swap_blocks(rng: random.Random, content: bytes) -> bytes:
    """Return the bytes with two parts exchanged."""
    one, two, three, four = sorted(rng.randint(0, len(content)) for _ in range(4))
    return (
        content[:one] + content[three:four] + content[two:three] + content[one:two] + content[four:]
    )


def blank(rng: random.Random, content: bytes) -> bytes:
    """Return the bytes with a part of zeros or ones, as a disk's lost sector."""
    start, stop = _part(rng, content)
    return content[:start] + rng.choice((b"\0", b"\xff")) * (stop - start) + content[stop:]


def huge_length(rng: random.Random, content: bytes) -> bytes:
    """Return the bytes with a number of four or eight bytes in others' place, near the head."""
    number = rng.choice(_LENGTHS)
    place = rng.randrange(min(len(content), rng.choice((64, 512, len(content)))))
    return content[:place] + number + content[place + len(number) :]


def another_number(rng: random.Random, content: bytes) -> bytes:
    """Return a text with another thing in the place of a number."""
    return _in_place_of(_NUMBER, rng, content)


def another_word(rng: random.Random, content: bytes) -> bytes:
    """Return a text with another thing in the place of a word."""
    return _in_place_of(_WORD, rng, content)


def _in_place_of(pattern: re.Pattern[bytes], rng: random.Random, content: bytes) -> bytes:
    found = list(pattern.finditer(content[:200_000]))
    if not found:
        return flip_bits(rng, content)
    chosen = rng.choice(found)
    new = rng.choice((rng.choice(_TEXTS).encode(), rng.choice(found)[0]))
    return content[: chosen.start()] + new + content[chosen.end() :]


def put_text(rng: random.Random, content: bytes) -> bytes:
    """Return a text with odd characters somewhere."""
    place = rng.randint(0, len(content))
    return content[:place] + rng.choice(_TEXTS).encode() + content[place:]


def deep_nesting(rng: random.Random, content: bytes) -> bytes:
    """Return a text with brackets in brackets."""
    depth, place = rng.choice((50, 2000, 200_000)), rng.randint(0, len(content))
    opened, closed = rng.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"{a=", b"}"), (b"a.", b"")))
    nest = opened * depth + b"1" + closed * depth
    return rng.choice((nest, b"x = " + nest, content[:place] + nest + content[place:]))


def change_lines(rng: random.Random, content: bytes) -> bytes:
    """Return a text with a line gone, twice, or elsewhere."""
    lines = content.splitlines(keepends=True)
    place = rng.randrange(len(lines))
    match rng.randrange(4):
        case 0:
            del lines[place]
        case 1:
            lines[place:place] = [lines[place]] * rng.choice((1, 1, 1000))
        case 2:
            lines.insert(rng.randrange(len(lines)), lines.pop(place))
        case _:
            rng.shuffle(lines)
    return b"".join(lines)


def other_encoding(rng: random.Random, content: bytes) -> bytes:
    """Return a text in an encoding that nobody expects, or with other ends of lines."""
    text = content.decode("latin-1")
    return rng.choice((
        text.encode("utf-16"), b"\xef\xbb\xbf" + content, content.replace(b"\n", b"\r\n"),
        content.replace(b"\n", b"\r"), text.encode("utf-32"), content.replace(b",", b";"),
        content.replace(b"\n", b"\0"), content.swapcase(),
    ))  # fmt: skip


BINARY: Sequence[Damage] = (
    flip_bits, flip_bits, truncate, without_beginning, double, insert, cut_out, swap_blocks, blank,
    huge_length, huge_length,
)  # fmt: skip
"""What any file can meet."""

TEXT: Sequence[Damage] = (
    *BINARY, another_number, another_number, another_number, another_word, put_text, deep_nesting,
    change_lines, change_lines, other_encoding,
)  # fmt: skip
"""What a text can meet."""


def damaged(rng: random.Random, content: bytes, *, name: str) -> bytes:
    """Return a damaged file, whose outer checks may be right nevertheless.

    Args:
        rng: Chooses.
        content: A whole file.
        name: Its ending says what it is.
    """
    if not content:
        return rng.randbytes(rng.randint(1, 100))
    if name.endswith(".npz") and rng.random() < 0.6:
        return _in_archive(rng, content)
    if name.endswith((".crt", ".crl", ".pem")) and rng.random() < 0.5:
        return _in_pem(rng, content)
    if name.endswith((".key", ".json", ".job")) and content[:1] == b"{" and rng.random() < 0.6:
        return _in_json(rng, content)
    kinds = BINARY if _is_binary(content) else TEXT
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        content = rng.choice(kinds)(rng, content) or b"\0"
    return content


def _is_binary(content: bytes) -> bool:
    return b"\0" in content[:4096] or not content[:4096].decode("utf-8", "ignore").strip()


def _in_archive(rng: random.Random, content: bytes) -> bytes:
    """Damage a member of an archive whose checksums are then right."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    chosen = rng.choice(sorted(members))
    match rng.randrange(5):
        case 0:
            del members[chosen]
        case 1:
            members[rng.choice(("extra.npy", "../out.npy", "x.npy"))] = members[chosen]
        case _:
            kinds = (flip_bits, truncate, huge_length, blank, another_number, another_word)
            members[chosen] = rng.choice(kinds)(rng, members[chosen])
    sink = io.BytesIO()
    with zipfile.ZipFile(
        sink, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    ) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return sink.getvalue()


def _in_pem(rng: random.Random, content: bytes) -> bytes:
    """Damage what stands in a frame of text, in base64."""
    head, _, rest = content.partition(b"-----\n")
    body, dashes, tail = rest.partition(b"-----END")
    inner = damaged_bytes(rng, base64.b64decode(body))
    return head + b"-----\n" + base64.encodebytes(inner) + dashes + tail


def damaged_bytes(rng: random.Random, content: bytes) -> bytes:
    """Return bytes with one damage that any file can meet."""
    return rng.choice(BINARY)(rng, content)


def _in_json(rng: random.Random, content: bytes) -> bytes:
    """Damage one value of an object, and make its digest right, if it has one."""
    state = json.loads(content)
    name = rng.choice(sorted(state))
    odd = (None, True, -1, 0, 1e300, 10**30, "", "x", [], {}, [[]], "\ud800", "1" * 5000,
           [0] * 1000, float("nan"), {"a": {"b": []}},
           state[rng.choice(sorted(state))])  # fmt: skip
    match rng.randrange(5):
        case 0:
            del state[name]
        case 1 if isinstance(state[name], list) and state[name]:
            state[name][rng.randrange(len(state[name]))] = rng.choice(odd)
        case 2 if isinstance(state[name], str) and state[name]:
            state[name] = damaged_bytes(rng, state[name].encode()).decode("latin-1")
        case 3 if isinstance(state[name], int | float):
            state[name] = rng.choice((state[name] + 1, -state[name], state[name] * 10**9, 10**19))
        case _:
            state[name] = rng.choice(odd)
    if "sha256" not in state or rng.random() < 0.2:
        return json.dumps(state).encode()
    return sealed(json.dumps(state | {"sha256": PLACE}, indent=1).encode())


def _part(rng: random.Random, content: bytes) -> tuple[int, int]:
    """Return where a part begins and ends, mostly a short one."""
    start = rng.randrange(len(content))
    return start, min(len(content), start + rng.choice((1, 4, 16, 512, len(content))))
