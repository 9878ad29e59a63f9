"""``e91 key``: what a key file holds, its bytes for use outside, and several files as one."""

from __future__ import annotations

import base64
import json
import textwrap
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from e91.cli.fetch_keys import fetch, list_keys
from e91.cli.options import COUNT, JSON, as_one
from e91.cli.outcome import columns, flush_output, refuse_terminal, write_output
from e91.keys.files import saying_what_was_spent
from e91.model.messages import Party
from e91.system.durable import PRIVATE, new_file, new_folder
from e91.system.report_layout import WIDTH, Layout

if TYPE_CHECKING:
    from e91.keys import ExportedKey, KeyLabel, KeyState, KeyUsage

FORMATS = ("hex", "base64", "pem", "raw")
_BOTH = "both"

_WHY_HALF = (
    "Either direction has bytes of its own, so that no two messages can ever be encrypted with the "
    "same ones, however they cross: what is there to send at this end is there to receive at the "
    "other."
)
_WHY_MASKS = "they mask the keys of messages, and are never sent or exported"


@click.group()
def key() -> None:
    """What a key file holds; its bytes for use outside; keys of servers."""


key.add_command(fetch)
key.add_command(list_keys)


@key.command()
@click.argument("file", type=click.Path(path_type=Path))
@JSON
def info(file: Path, *, as_json: bool) -> None:
    """Tell what the key file FILE holds and claims; no key bit is printed or used."""
    from e91.keys import read_key_file

    found = described(read_key_file(file))
    click.echo(json.dumps(found) if as_json else _text(file, found))


def described(state: KeyState) -> dict[str, Any]:
    """Return what a key file holds and claims, as plain values; sizes in bytes."""
    from e91.keys import KeyStore

    label, store = state.label, KeyStore.restore(state)
    peer = label.owner.peer
    return {
        "key_id": label.key_id,
        "owner": label.owner.value,
        "size": label.size,
        "to_send": _direction(label, label.owner, store.left),
        "to_receive": _direction(label, peer, store.peer_left),
        "exported": sum(store.exported),
        "exportable": {party.value: store.left_at_back(party) for party in Party},
        "masks": sum(len(label.share(p)) - len(label.message_bytes(p)) for p in Party),
        "security": label.security.value,
        "theorem": label.theorem,
        "attacks_covered": label.attacks,
        "bell_test": label.bell_test,
        "epsilon": label.epsilon,
        "reproducible": label.reproducible,
        "digest_was_stated": state.is_checked,
    }


def _direction(label: KeyLabel, sender: Party, left: int) -> dict[str, Any]:
    """Return the bytes that are for messages of a party: how many, where, and how many are left."""
    share = label.message_bytes(sender)
    return {"left": left, "of": len(share), "start": share.start, "stop": share.stop}


def _text(file: Path, found: dict[str, Any]) -> str:
    page = Layout(columns(WIDTH + 2) - 2)
    attacks = f": {found['attacks_covered']}" if found["attacks_covered"] else ""
    tested = {True: "had to pass", False: "none was made", None: "not stated"}
    epsilon = "none is proved" if found["epsilon"] is None else f"{found['epsilon']:.3g}"
    seeded = "yes: whoever knows the seed has the key" if found["reproducible"] else "no"
    return "\n".join(
        [
            page.title(f"Key file of {found['owner']}"),
            page.row("file", str(file)),
            page.row("key id", found["key_id"]),
            page.row("whole key", f"{found['size']:,} bytes"),
            page.row("left to send", _left(found["to_send"])),
            page.row("left to receive", _left(found["to_receive"])),
            page.row("kept as masks", f"{found['masks']:,} bytes; {_WHY_MASKS}"),
            page.row("exported", f"{found['exported']:,} bytes"),
            "",
            *page.text(_WHY_HALF),
            "",
            page.title("Claim"),
            page.row("security model", found["security"]),
            page.row("theorem", f"{found['theorem'] or 'not stated'}{attacks}"),
            page.row("Bell test", tested[found["bell_test"]]),
            page.row("epsilon", epsilon),
            page.row("reproducible", seeded),
            page.row("digest", "right" if found["digest_was_stated"] else "none (format 1)"),
        ]
    )


def _left(direction: dict[str, Any]) -> str:
    where = f"bytes {direction['start']:,} to {direction['stop']:,} of the key"
    return f"{direction['left']:,} of {direction['of']:,} bytes ({where})"


PIECES = as_one(
    "pieces",
    dict,
    click.option("--format", "form", type=click.Choice(FORMATS), default=FORMATS[0],
                 show_default=True, help="How the bytes are written; pem is base64 in a frame."),
    click.option("--bits", type=COUNT,
                 help="Cut into keys of this number of bits, a line each; a multiple of 8."),
    click.option("--keys", type=COUNT, help="How many of those; as many as are left by default."),
    click.option("--from", "share", type=click.Choice([_BOTH, *(p.value for p in Party)]),
                 default=_BOTH, show_default=True,
                 help="Whose direction gives the bytes, from its end; both: half each."),
)  # fmt: skip
"""What is exported, and how it is written."""


@key.command()
@click.argument("file", type=click.Path(path_type=Path))
@PIECES
@JSON
def show(file: Path, *, pieces: dict[str, Any], as_json: bool) -> None:
    """Print bytes of the key file FILE, which are then used up.

    All that are left, or keys of --bits.  FILE says on the disk that they are used before they are
    printed: a crash in between loses them.  The other end gets the same bytes with the same
    command, if no message is under way; compare the places in the key that it prints.
    """
    if pieces["form"] == "raw":
        if as_json:
            raise click.UsageError("`--format raw` must come without `--json`, which is text.")
        refuse_terminal("`--format raw`")
    with saying_what_was_spent(file) as note:
        taken = _taken(file, note, **pieces)
        if as_json:
            keys = written(taken.content, pieces["form"], pieces["bits"])
            click.echo(json.dumps({"keys": [text.decode() for text in keys], **_use(taken)}))
            flush_output()
            return
        write_output(_joined(taken, **pieces))
    click.echo(f"e91: {_sentence(file, taken)}", err=True)


@key.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True,
              help="The new file; its mode is 0600.  With --each, the new folder.")  # fmt: skip
@click.option("--each", is_flag=True,
              help="A file for every key of --bits, of one name at both ends.")  # fmt: skip
@PIECES
@JSON
def export(file: Path, *, out: Path, each: bool, pieces: dict[str, Any], as_json: bool) -> None:
    """Write bytes of the key file FILE to a new file, and use them up.

    All that are left, or keys of --bits: a line each, packed (--format raw), or a file each
    (--each), as key servers read them.  FILE says on the disk that they are used before they are
    written: a crash in between loses them.  The other end gets the same bytes with the same
    command, if no message is under way; compare the places in the key that it prints.
    """
    if out == Path("-"):
        raise click.UsageError("`--out` must be a new file; `e91 key show` prints.")
    if each and pieces["bits"] is None:
        raise click.UsageError("`--each` must come with `--bits`, but there is none.")
    with saying_what_was_spent(file) as note:
        if each:
            with new_folder(out) as folder:
                taken = _taken(file, note, **pieces)
                number = _write_each(taken, folder, form=pieces["form"], bits=pieces["bits"])
        else:
            with new_file(out, mode=PRIVATE) as write:
                taken = _taken(file, note, **pieces)
                write(_joined(taken, **pieces))
    if as_json:
        found = {"file": str(out), **({"files": number} if each else {})}
        click.echo(json.dumps(found | _use(taken)))
        return
    files = f" in {number:,} files" if each else ""
    click.echo(f"{out}: {len(taken.content):,} bytes, {pieces['form']}{files}.")
    for line in textwrap.wrap(_sentence(file, taken), columns(WIDTH)):
        click.echo(line)


_ENDINGS = {"hex": "hex", "base64": "b64", "pem": "pem", "raw": "bin"}


def _write_each(taken: ExportedKey, folder: Path, *, form: str, bits: int) -> int:
    """Write a file for every key, named by where the key begins; return their number."""
    keys = written(taken.content, form, bits)
    end = b"" if form == "raw" else b"\n"
    for number, text in enumerate(keys):
        place = _place(taken.intervals, number * bits // 8)
        name = f"{taken.label.key_id}-{place:09}.{_ENDINGS[form]}"
        with new_file(folder / name, mode=PRIVATE) as write:
            write(text + end)
    return len(keys)


def _place(intervals: Sequence[tuple[int, int]], index: int) -> int:
    """Return where in the key the byte lies that has this index in its exported parts."""
    for start, stop in intervals:
        if index < stop - start:
            return start + index
        index -= stop - start
    raise AssertionError("An exported byte must lie in an interval, but does not.")


def _taken(
    file: Path,
    note: Callable[[int], None],
    *,
    bits: int | None,
    keys: int | None,
    share: str,
    **_: Any,
) -> ExportedKey:
    """Take the bytes that are asked for out of the key file.

    Raises:
        ValueError: The numbers are impossible, or it is no key file.
        KeyUnavailable: Too little is left.
    """
    from e91.keys.exporting import export_key

    for name, value, step in (("--bits", bits, 8), ("--keys", keys, 1)):
        if value is not None and (value < 1 or value % step):
            must = "be positive and a multiple of 8" if step == 8 else "be at least 1"
            raise ValueError(f"`{name}` must {must}, but is {value}.")
    if keys is not None and bits is None:
        raise click.UsageError("`--keys` must come with `--bits`, but there is none.")
    unit = 1 if bits is None else bits // 8
    size = None if keys is None else keys * unit
    party = None if share == _BOTH else Party(share)
    taken = export_key(file, size, share=party, unit=unit)
    note(len(taken.content))
    return taken


def written(content: bytes, form: str, bits: int | None = None) -> list[bytes]:
    """Return keys as they are written, without the end of their lines.

    Args:
        content: The bytes of all of them.
        form: One of `FORMATS`.
        bits: Of each key; None for one key.

    Examples:
        >>> written(b"E91!", "hex", 16)
        [b'4539', b'3121']
        >>> print(written(b"E91", "pem")[0].decode())
        -----BEGIN E91 KEY-----
        RTkx
        -----END E91 KEY-----
    """
    step = len(content) if bits is None else bits // 8
    parts = [content[start : start + step] for start in range(0, len(content), step)]
    match form:
        case "hex":
            return [part.hex().encode() for part in parts]
        case "base64":
            return [base64.b64encode(part) for part in parts]
        case "pem":
            return [_PEM % b"\n".join(_lines_of_64(part)) for part in parts]
    return parts


_PEM = b"-----BEGIN E91 KEY-----\n%b\n-----END E91 KEY-----"


def _lines_of_64(part: bytes) -> list[bytes]:
    text = base64.b64encode(part)
    return [text[start : start + 64] for start in range(0, len(text), 64)]


def _joined(taken: ExportedKey, *, form: str, bits: int | None, **_: Any) -> bytes:
    end = b"" if form == "raw" else b"\n"
    return b"".join(text + end for text in written(taken.content, form, bits))


def _use(taken: ExportedKey) -> dict[str, Any]:
    """Return what an export has used up, and what its bytes may claim."""
    label = taken.label
    return {
        "key_id": label.key_id,
        "intervals": taken.intervals,
        "key_bytes_used": len(taken.content),
        "left_to_send": taken.left[0],
        "left_to_receive": taken.left[1],
        "security": label.security.value,
        "epsilon": label.epsilon,
        "reproducible": label.reproducible,
    }


def _sentence(file: Path, taken: ExportedKey) -> str:
    places = " and ".join(f"{start:,} to {stop:,}" for start, stop in taken.intervals)
    seeded = "  The key is reproducible, and therefore not secret." * taken.label.reproducible
    size = len(taken.content)
    used = "1 byte of `{}` is" if size == 1 else f"{size:,} bytes of `{{}}` are"
    return (
        f"{used.format(file)} used up, {places} of key "
        f"{taken.label.key_id}; {taken.left[0]:,} are left to send, {taken.left[1]:,} to receive."
        f"{seeded}"
    )


@key.command()
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path)
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The new key file.")
@JSON
def join(files: tuple[Path, ...], *, out: Path, as_json: bool) -> None:
    """Make one key file of several unused ones, which are then gone.

    For the blocks of a long run.  Both ends join the files of the same keys.  The failure
    probabilities add up, and the weakest of what the parts claim is claimed.  After a crash the
    same command goes on: nothing is lost, and nothing can be used twice.
    """
    from e91.keys import join_key_files, read_key_file

    join_key_files(files, out)
    found = described(read_key_file(out))
    if as_json:
        click.echo(json.dumps({"file": str(out), "joined": len(files), **found}))
        return
    click.echo(f"{len(files):,} key files were joined, and are gone.\n\n{_text(out, found)}")


@key.command()
@click.option("--ledger", "file", type=click.Path(path_type=Path),
              help="The ledger; the user's own by default.")  # fmt: skip
@click.option("--key-id", help="Only the uses of this key.")
@JSON
def ledger(file: Path | None, *, key_id: str | None, as_json: bool) -> None:
    """Tell what keys protected: which, when, how much, under which model; no key bits are in it.

    Sizes are in bytes, times in UTC.
    """
    from e91.keys.usage import UsageLedger, usage_ledger_file

    place = usage_ledger_file() if file is None else file
    if not place.exists():
        if file is not None:
            raise ValueError(f"`{file}` must be a key ledger, but does not exist.")
        found = []
    else:
        with UsageLedger(place) as opened:
            found = list(opened.usages(key_id=key_id))
    if as_json:
        click.echo(json.dumps({"ledger": str(place), "uses": [vars(usage) for usage in found]}))
        return
    click.echo(f"{place}: {len(found):,} uses")
    for usage in found:
        click.echo(_used(usage))


def _used(usage: KeyUsage) -> str:
    """Return one use of a key as two lines."""
    when = datetime.fromtimestamp(usage.used_at, UTC).isoformat(sep=" ", timespec="seconds")
    known = usage.protected_bytes is not None
    size = f"{usage.protected_bytes:,} bytes" if known else "a number of bytes not entered"
    peer = f", {'to' if usage.role == 'sent' else 'from'} {usage.peer}" if usage.peer else ""
    epsilon = "none is proved" if usage.epsilon is None else f"{usage.epsilon:.3g}"
    seeded = "; reproducible from a seed" if usage.reproducible else ""
    return (
        f"{when[:19]}  {usage.role} `{usage.name}`{peer}: {size}, {usage.cipher}\n"
        f"    key {usage.key_id}, bytes {usage.start:,} to {usage.stop:,}; {usage.security}, "
        f"epsilon {epsilon}{seeded}"
    )
