"""Key files: a `KeyStore` on disk; no two processes can use the same bytes of it.

It is one JSON object in UTF-8 with exactly these fields; files of format 1, which E91 0.1 wrote,
lack five of them:

=============  ====================================================================================
format         ``"e91-key"``
version        2, or 1
sha256         SHA-256 of the whole file with 64 zeros in its own place; absent in format 1
warning        What a human reader should know; not interpreted
key_id         UUID of the key, the same at both ends
owner          ``"alice"`` or ``"bob"``: whose stock it is
security       The security model by name, e.g. ``"trusted-analysers"``
epsilon        Composable failure probability of the key; null if no theorem gives one
reproducible   Whether whoever knows the session's seed can make the key again
size           Bytes of the whole key, used ones included
alice_share    How many of them, from the front, are for Alice's messages
theorem        Name of the theorem that gave the key's length; null or absent if not known
attacks        Which attacks it covers, e.g. ``"coherent attacks"``; null or absent if not known
bell_test      Whether a Bell test had to pass for the key; null or absent if not known
spent          The used bytes: increasing, disjoint ``[start, stop]`` with stop excluded
exported       How many bytes of Alice's and of Bob's share were taken for use outside, at their
               backs, before the masks; absent for ``[0, 0]``
remaining      All other bytes in order, base64 (RFC 4648)
=============  ====================================================================================

Used bytes are not in it any more.

Not promised: that used bytes cannot be recovered from the disk itself (journals and flash memory
keep old blocks), or that a copy or backup of the file knows what was used since.  **Never restore
a key file from a backup, and never copy one to use both.**
"""

import base64
import fcntl
import json
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from io import FileIO
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, structs, to_builtins

from e91.keys.store import Interval, KeyLabel, KeyState, KeyStore
from e91.model.messages import Party
from e91.model.trust import SecurityModel
from e91.system import durable
from e91.system.digests import PLACE, is_whole, sealed
from e91.system.documents import Document, parse_json
from e91.system.refusals import is_refusal, refusals_named

SIMULATED = "SIMULATED: made by a simulator; secret only within the simulation"
REPRODUCIBLE = "; whoever knows the seed can make it again"
NOT_PROVED = "; no epsilon is proved for it"
NO_BELL_TEST = "; no Bell test was made, the analysers are trusted"

MOST_BYTES = 2**26
"""Bytes of a whole key that a file may be of; a session of 50 million rounds makes at most 2**23.

A small file may be that of a long key, mostly used.  So it must not be able to ask for all
memory: at most some 400 MB are taken.
"""


class _KeyFile(Document, frozen=True, kw_only=True):
    """The object of a key file; its fields are described above."""

    format: Literal["e91-key"]
    version: Literal[1, 2]
    sha256: str | None = None
    warning: str
    key_id: str
    owner: Party
    security: SecurityModel
    epsilon: float | None
    reproducible: bool
    size: Annotated[int, Meta(ge=1, le=MOST_BYTES)]
    alice_share: int
    spent: tuple[Interval, ...]
    remaining: str
    bell_test: bool | None = None
    theorem: str | None = None
    attacks: str | None = None
    exported: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if (self.version == 1) != (self.sha256 is None):
            raise ValueError("`sha256` must be there from format 2 on, but is not so.")


def encode_key(state: KeyState) -> bytes:
    """Return the content of a key file.  It holds the key.

    Raises:
        ValueError: The key is longer than a file may hold.
    """
    label = state.label
    if label.size > MOST_BYTES:
        raise ValueError(
            f"A key in a file must have at most {MOST_BYTES:,} bytes, but has {label.size:,}."
        )
    document = _KeyFile(
        format="e91-key",
        version=2,
        sha256=PLACE,
        warning=SIMULATED
        + REPRODUCIBLE * label.reproducible
        + NOT_PROVED * (label.epsilon is None)
        + NO_BELL_TEST * (label.bell_test is False),
        key_id=label.key_id,
        owner=label.owner,
        security=label.security,
        epsilon=None if label.epsilon is None else float(label.epsilon),
        reproducible=label.reproducible,
        size=label.size,
        alice_share=label.alice_share,
        spent=state.spent,
        remaining=base64.b64encode(state.remaining).decode("ascii"),
        theorem=label.theorem,
        attacks=label.attacks,
        bell_test=label.bell_test,
        exported=state.exported,
    )
    plain = to_builtins(document)
    if not any(state.exported):
        del plain["exported"]
    return sealed(json.dumps(plain, indent=1).encode() + b"\n")


def decode_key(content: bytes) -> KeyState:
    """Return the state in the content of a key file, compared with the digest if it states one.

    Raises:
        ValueError: It is not of this format, or was damaged.  The sentence repeats no text of the
            content, and the exception leads to none.
    """
    document = parse_json(content, _KeyFile, where="", secret=True)
    if document.sha256 is not None and not is_whole(content, stated=document.sha256):
        raise ValueError("Its content must have the digest that it states, but is damaged.")
    known = structs.asdict(document)
    label = KeyLabel(**{field.name: known[field.name] for field in fields(KeyLabel)})
    return KeyState(
        label,
        document.spent,
        _unarmoured(document.remaining),
        is_checked=document.sha256 is not None,
        exported=document.exported,
    )


# It does not raise inside `except`: the exception of the parser carries the text that it could not
# read, and that text may be key.
def _unarmoured(text: str) -> bytes:
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError:
        content = None
    if content is None:
        raise ValueError("`remaining` must be base64, but is not.")
    return content


_KIND = "a readable key file of E91"


class _BytesLeft(NamedTuple):
    """How much of a store is left: what tells whether its file is to be written anew."""

    to_send: int
    to_receive: int
    exported: tuple[int, int]


def _bytes_left(store: KeyStore) -> _BytesLeft:
    return _BytesLeft(store.left, store.peer_left, store.exported)


JOINING = ".joining"
"""Ending of key files, and of their sum, while they are being joined; none of them is opened."""


class KeyFile:
    """A key file that this process holds locked; made by `open_key_file`.

    Attributes:
        path: Where it is, as it was named; sentences of errors name it so.
        store: Its stock.  What is taken from it counts as used on disk after `commit`.

    Examples:
        >>> import tempfile, numpy as np
        >>> from e91.model.records import SecretKey
        >>> bits, name = np.ones(1600, np.uint8), "12345678-1234-4234-8234-123456789abc"
        >>> key = SecretKey(bits, name, SecurityModel.TRUSTED_ANALYSERS, 1e-10, True)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_new(KeyStore(key, Party.ALICE), Path(folder, "alice.key"))
        ...     with open_key_file(Path(folder, "alice.key")) as key_file:
        ...         offset, content = key_file.store.take(40)
        ...         print(key_file.has_taken, key_file.has_changed)
        ...         key_file.commit()
        ...         print(key_file.has_taken, key_file.store.left)
        True True
        False 28
    """

    def __init__(self, path: Path, store: KeyStore, file: FileIO, *, place: Path) -> None:
        self.path = path
        self._place = place
        self.store = store
        self._file = file  # open, and thereby locked, until `close`
        self._written = _bytes_left(store)

    def __repr__(self) -> str:
        return f"KeyFile({str(self.path)!r}, {self.store!r})"

    @property
    def has_taken(self) -> bool:
        """Whether bytes for sending, or for use outside, were taken since the last writing."""
        now = _bytes_left(self.store)
        return (now.to_send, now.exported) != (self._written.to_send, self._written.exported)

    @property
    def has_changed(self) -> bool:
        """Whether any bytes were taken or claimed since the file was last written."""
        return _bytes_left(self.store) != self._written

    def commit(self) -> None:
        """Write down what is used.  When this returns, a power failure does not undo it.

        Call it before anything made with the bytes leaves the block; the end of the block calls
        it otherwise.

        Raises:
            WriteFailed: The disk is full or fails; nothing may leave the block then.
            RuntimeError: The block has ended: another process may have the file.
        """
        if self._file.closed:
            raise RuntimeError("A key file must be written inside its block, but that has ended.")
        before = _bytes_left(self.store)
        folder = self._place.parent
        # Locked before it has the name: others must wait for the end of the block, not only for
        # the first commit in it.
        temporary, file = durable.create_hidden(folder, mode=durable.PRIVATE, ending=".new")
        try:
            with durable.writing(self.path):
                durable.write_all(file, encode_key(self.store.snapshot()))
                temporary.replace(self._place)
            self._file, file = file, self._file
        finally:
            file.close()
            temporary.unlink(missing_ok=True)
        with durable.keeping(self.path):
            durable.flush_folder(folder)
        self._written = before

    def close(self) -> None:
        """Unlock the file; `open_key_file` calls this."""
        self._file.close()


def save_new(store: KeyStore, path: Path | str) -> None:
    """Write ``store`` to a new key file that only its owner can read (mode 0600).

    From then on use the file, not ``store``: the two do not know of each other.

    Args:
        store: What is written; nothing is taken from it.
        path: The new file.

    Raises:
        ValueError: ``path`` exists, or its folder cannot be written.
        WriteFailed: The disk is full or fails; no file is left.

    Examples:
        >>> import tempfile, numpy as np
        >>> from e91.model.records import SecretKey
        >>> bits, name = np.ones(1600, np.uint8), "12345678-1234-4234-8234-123456789abc"
        >>> key = SecretKey(bits, name, SecurityModel.TRUSTED_ANALYSERS, 1e-10, True)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "alice.key")
        ...     save_new(KeyStore(key, Party.ALICE), file)
        ...     oct(file.stat().st_mode & 0o777)
        '0o600'
    """
    path = Path(path)
    with durable.create(path, mode=durable.PRIVATE) as file:
        try:
            with durable.writing(path):
                durable.write_all(file, encode_key(store.snapshot()))
                durable.flush_folder(path.parent)
        except BaseException:
            path.unlink()
            raise


@contextmanager
def open_key_file(path: Path | str) -> Iterator[KeyFile]:
    """Open a key file for this process alone; others that open it wait until the block ends.

    When the block ends, what was used is written down.  After an exception this is done only if
    bytes for *sending* or for use outside were taken: they may have left already, and must not be
    used again.
    Claimed bytes of the peer are then as before, so that a failed decryption can be repeated.
    Opening the file again inside the block waits for ever.

    Args:
        path: The file; a symbolic link is followed.

    Yields:
        The file, locked; what is taken from its ``store`` is used.

    Raises:
        ValueError: It is no key file, cannot be read, or has a second name (hard link), under
            which its old state would live on.
        WriteFailed: The disk is full or fails.

    Examples:
        >>> import tempfile, numpy as np
        >>> from e91.encryption.cipher import encrypt
        >>> from e91.model.messages import Party
        >>> from e91.model import SecretKey, SecurityModel
        >>> bits, name = np.ones(1600, np.uint8), "12345678-1234-4234-8234-123456789abc"
        >>> key = SecretKey(bits, name, SecurityModel.TRUSTED_ANALYSERS, 1e-10, True)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_new(KeyStore(key, Party.ALICE), Path(folder, "alice.key"))
        ...     with open_key_file(Path(folder, "alice.key")) as key_file:
        ...         ciphertext = encrypt(b"hello", key_file.store)
        ...         key_file.commit()  # from here on, the ciphertext may be sent
        ...         key_file.store
        KeyStore(alice, 31 of 68 bytes left to send, 68 of 68 to receive)
    """
    path = Path(path)
    place = _place_of(path)
    if place.name.endswith(JOINING):
        raise ValueError(
            f"`{path}` must be {_KIND}, but is part of a join that was stopped: `e91 key join` "
            "with the same files goes on."
        )
    durable.sweep(place.parent)
    key_file = lock_key_file(path)
    try:
        yield key_file
        if key_file.has_changed:
            key_file.commit()
    except BaseException:
        if key_file.has_taken:
            key_file.commit()
        raise
    finally:
        key_file.close()


def read_key_file(path: Path | str) -> KeyState:
    """Return what a key file holds at this moment; it is neither locked nor written.

    Args:
        path: The file; a symbolic link is followed.

    Returns:
        Its state, which holds the key bytes that are left.

    Raises:
        ValueError: It is no key file, or cannot be read.

    Examples:
        >>> import tempfile, numpy as np
        >>> from e91.model.records import SecretKey
        >>> bits, name = np.ones(1600, np.uint8), "12345678-1234-4234-8234-123456789abc"
        >>> key = SecretKey(bits, name, SecurityModel.TRUSTED_ANALYSERS, 1e-10, True)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_new(KeyStore(key, Party.BOB), Path(folder, "bob.key"))
        ...     read_key_file(Path(folder, "bob.key"))
        KeyState(200 of 200 bytes remain)
    """
    path = Path(path)
    with durable.open_regular(path, kind=_KIND) as file:
        return _read(path, file)


def lock_key_file(path: Path) -> KeyFile:
    """Wait until no other process holds the file with this name, and read it; then close it.

    Raises:
        ValueError: As for `open_key_file`.
    """
    while True:
        place = _place_of(path)
        # For writing, since network file systems lock nothing else.
        file = durable.open_regular(path, writable=True, kind=_KIND)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            # The one before us may have put a new file under this name while we waited: then
            # that is the one to lock.
            if _has_name(file, place):
                return KeyFile(path, KeyStore.restore(_read(path, file)), file, place=place)
        except BaseException:
            file.close()
            raise
        file.close()


def _place_of(path: Path) -> Path:
    """Return what a file is called behind all links.

    Replacing a link itself would leave the old state of the key behind it.
    """
    return Path(os.path.realpath(path))


def _has_name(file: FileIO, place: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), place.stat())
    except FileNotFoundError:
        return False


def _read(path: Path, file: FileIO) -> KeyState:
    """Return the state in an open key file, which a store can be in.

    Raises:
        ValueError: See `open_key_file`.  The sentence repeats no text that the file holds.
    """
    if os.fstat(file.fileno()).st_nlink > 1:
        raise ValueError(f"`{path}` must be a key file with one name, but has a second hard link.")
    with refusals_named(f"`{path}` must be {_KIND}: "):
        state = decode_key(durable.read_all(file))
        state.used()
    if not state.is_checked:
        warnings.warn(
            f"`{path}` is of format 1, which has no digest: damage in it would not be seen.  It "
            "gets one when it is next written.",
            UserWarning,
            stacklevel=2,
        )
    return state


@contextmanager
def saying_what_was_spent(key_file: Path | str) -> Iterator[Callable[[int], None]]:
    """Give a function that notes the key bytes that are used up, for the sentence of a failure.

    Raises:
        ValueError: The one of the block, which says more if something was spent by then.
        WriteFailed: Likewise.
    """
    words = ""

    def note(spent: int) -> None:
        """Note that from here on this number of bytes is used up, whatever happens."""
        nonlocal words
        words = f"{spent:,} bytes of `{key_file}` are used up all the same"

    try:
        yield note
    except durable.WriteFailed as error:
        reason = f"{error.strerror}; {words}" if words else error.strerror
        raise durable.WriteFailed(error.errno, reason, error.filename) from error
    except ValueError as error:
        if not words or not is_refusal(error):
            raise
        raise ValueError(f"{error} {words}.") from None
