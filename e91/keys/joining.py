"""Several key files into one, as of a long run's blocks: no key byte is lost, none is there twice.

A crash may come between any two of these steps; the same join then goes on from where it was:

1. Every source is renamed, to ``SOURCE.DIGITS.joining``, under which nobody opens it as a key
   file.  The digits are of the target's path, so that only the same join takes it up again.
2. The sum, which is written by now, gets the name ``TARGET.joining``; nobody opens that either.
3. The sources are removed.
4. The sum gets its name.

After a kill in step 1 or 2 every byte is in a source, under its own name or the other one; in step
3 it is in ``TARGET.joining``, and perhaps in a source under the other name; after step 4 in the
target alone; within step 4 the target may have both names, and is refused as any hard link is.  So
no byte is in two files that can be opened.  A join that was killed before there
is a ``TARGET.joining`` is undone by giving the sources their names again.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from e91.keys.files import JOINING, decode_key, encode_key, lock_key_file
from e91.keys.provenance import (
    WEAKEST_FIRST,
    all_theorems,
    attacks_covered_by_all,
    every_bell_test,
    sum_of_epsilons,
)
from e91.keys.store import KeyLabel, KeyState
from e91.system import durable

_ID_DOMAIN = b"e91 joined keys"


class _Part(NamedTuple):
    """A key file that is joined: its name for sentences, what it is behind all links, and then."""

    named: Path
    file: Path
    renamed: Path


def join_key_files(sources: Iterable[Path | str], target: Path | str) -> KeyLabel:
    """Make one key file of several unused ones of one owner, which are gone afterwards.

    Both ends get the same key, whose identifier is made from those of its parts, in whatever order
    these are named.  The failure probabilities add up.  The key claims the weakest security model,
    attacks and Bell test of its parts, and no epsilon if one of them has none.  Called again after
    a crash, it goes on; see the top of this file.

    Args:
        sources: Two key files or more, all unused: of used ones, the ends need not
            know alike.
        target: The new key file; mode 0600.

    Returns:
        What is public about the new key.

    Raises:
        ValueError: A source is no key file, was used, stands twice or is another owner's; there
            are fewer than two; or ``target`` exists or cannot be written.
        WriteFailed: The disk is full or fails; the same call goes on.

    Source:
        Composable failure probabilities add up: Portmann and Renner, Rev. Mod. Phys. 94, 025008
        (2022), section III.

    Examples:
        >>> import tempfile, numpy as np
        >>> from e91.keys.files import save_new
        >>> from e91.keys.store import KeyStore
        >>> from e91.model.messages import Party
        >>> from e91.model.records import SecretKey
        >>> from e91.model.trust import SecurityModel
        >>> names = ["12345678-1234-4234-8234-%012x" % number for number in (1, 2)]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in names:
        ...         bits = np.ones(1600, np.uint8)
        ...         key = SecretKey(bits, name, SecurityModel.TRUSTED_ANALYSERS, 1e-10, True)
        ...         save_new(KeyStore(key, Party.ALICE), Path(folder, name))
        ...     sources = [Path(folder, name) for name in names]
        ...     label = join_key_files(sources, Path(folder, "all.key"))
        ...     sorted(path.name for path in Path(folder).iterdir())
        ['all.key']
        >>> label.size, label.epsilon
        (400, 2e-10)
    """
    # A link is followed first, as by `open_key_file`.
    target = Path(target)
    if target.is_symlink():
        target = Path(os.path.realpath(target))
    parts = [_part(Path(source), target) for source in sources]
    if len(parts) < 2:
        raise ValueError(f"A join must have at least two key files, but has {len(parts)}.")
    if len({part.file for part in parts}) < len(parts):
        raise ValueError("A join must have each key file once, but has one twice.")
    hidden = target.parent / (target.name + JOINING)  # the root has no name
    if not (hidden.exists() and target.exists() and hidden.samefile(target)):
        durable.check_absent(target)
        durable.sweep(target.parent)
        _sum_up(parts, hidden)
        with durable.writing(target):
            durable.publish(hidden, target)
    with durable.keeping(target):
        durable.flush_folder(target.parent)
        hidden.unlink()
        durable.flush_folder(target.parent)
    return decode_key(durable.read_file(target)).label


def _part(source: Path, target: Path) -> _Part:
    """Return a source with the name that it has while it is joined into ``target``."""
    digits = hashlib.sha256(os.fsencode(os.path.realpath(target))).hexdigest()[:8]
    file = Path(os.path.realpath(source))
    # The root has no name.
    return _Part(source, file, file.parent / f"{file.name}.{digits}{JOINING}")


def _sum_up(parts: Sequence[_Part], hidden: Path) -> None:
    """Write the sum of the sources, unless that was done, and remove them, locked all the time."""
    renamed = [part.renamed for part in parts]
    with ExitStack() as stack:
        # Always in one order, or two joins could wait for each other.
        opened = {}
        for part in sorted(parts, key=lambda part: part.file):
            named, file, other = part
            if hidden.exists() and not other.exists():
                if file.exists():
                    raise ValueError(
                        f"`{named}` must be part of the join that `{hidden}` is left of, but is "
                        "not."
                    )
                continue
            if file.exists() and other.exists():
                raise ValueError(f"`{named}` must not exist beside `{other}`, but does.")
            opened[named] = lock_key_file(other if other.exists() else named)
            stack.callback(opened[named].close)
        if not hidden.exists():
            content = encode_key(_sum({name: key.store.snapshot() for name, key in opened.items()}))
            # What cannot be written is found out before a source is renamed.
            with durable.new_file(hidden, mode=durable.PRIVATE) as write:
                write(content)
                for part in parts:
                    if not part.renamed.exists():
                        _move(part.file, part.renamed)
                _flush_folders(renamed)
        for other in renamed:
            with durable.writing(other):
                other.unlink(missing_ok=True)
        _flush_folders(renamed)


def _move(file: Path, other: Path) -> None:
    with durable.writing(file):
        file.rename(other)


def _flush_folders(files: Iterable[Path]) -> None:
    for folder in {file.parent for file in files}:
        with durable.writing(folder):
            durable.flush_folder(folder)


def _sum(parts: dict[Path, KeyState]) -> KeyState:
    """Return all of several keys as one, unused; the same at both ends.

    Raises:
        ValueError: One was used, they are of two owners, or one key stands twice.
    """
    for file, state in parts.items():
        if state.spent:
            used = state.label.size - len(state.remaining)
            raise ValueError(f"`{file}` must be unused to be joined, but {used:,} bytes are used.")
    # By identifier: the ends need not name their files in one order.
    states = sorted(parts.values(), key=lambda state: UUID(state.label.key_id).int)
    if len({state.label.owner for state in states}) > 1:
        raise ValueError("Key files must have one owner to be joined, but have two.")
    if len({UUID(state.label.key_id) for state in states}) < len(states):
        raise ValueError("Key files must be of different keys to be joined, but two are of one.")
    label = _label([state.label for state in states])
    shares = [state.label.alice_share for state in states]
    alice = b"".join(state.remaining[:n] for state, n in zip(states, shares, strict=True))
    bob = b"".join(state.remaining[n:] for state, n in zip(states, shares, strict=True))
    return KeyState(label, (), alice + bob)


def _label(parts: Sequence[KeyLabel]) -> KeyLabel:
    """Return what the sum of keys may claim: no more than its weakest part."""
    identifiers = b"".join(UUID(part.key_id).bytes for part in parts)
    return KeyLabel(
        key_id=str(UUID(bytes=hashlib.sha256(_ID_DOMAIN + identifiers).digest()[:16])),
        owner=parts[0].owner,
        security=min((part.security for part in parts), key=WEAKEST_FIRST.index),
        epsilon=sum_of_epsilons([part.epsilon for part in parts]),
        reproducible=any(part.reproducible for part in parts),
        size=sum(part.size for part in parts),
        alice_share=sum(part.alice_share for part in parts),
        theorem=all_theorems(part.theorem for part in parts),
        attacks=attacks_covered_by_all({part.attacks for part in parts}),
        bell_test=every_bell_test({part.bell_test for part in parts}),
    )
