"""Key bytes for use outside: spent in the key file, on the disk, before they are handed out."""

from dataclasses import dataclass, field
from pathlib import Path

from e91.keys.files import open_key_file
from e91.keys.store import Interval, KeyLabel, KeyStore
from e91.model.errors import KeyUnavailable
from e91.model.messages import Party
from e91.model.numbers import check_whole


@dataclass(frozen=True, eq=False)
class ExportedKey:
    """Key bytes that a key file has no more.

    Attributes:
        label: What is public about the key that they are of.
        intervals: Their offsets in it, half-open; the same at the other end, or the bytes differ.
        content: The bytes, in the order of the key; they are not printed.
        left: Bytes left to send and to receive.

    Examples:
        >>> from e91.model.trust import SecurityModel
        >>> label = KeyLabel("12345678-1234-4234-8234-123456789abc", Party.ALICE,
        ...     SecurityModel.TRUSTED_ANALYSERS, 1e-10, True, size=200, alice_share=100)
        >>> ExportedKey(label, ((64, 68),), bytes(4), (64, 68)).intervals  # 4 bytes before the mask
        ((64, 68),)
    """

    label: KeyLabel
    intervals: tuple[Interval, ...]
    content: bytes = field(repr=False)
    left: tuple[int, int]


def export_key(
    key_file: Path | str, size: int | None = None, *, share: Party | None = None, unit: int = 1
) -> ExportedKey:
    """Take bytes for use outside from the ends of the shares of a key file.

    When this returns, the file says that they are used, and a power failure does not undo it; a
    crash before loses them and lets nobody use them twice.  The peer gets the same bytes with the
    same call, if both have exported the same before and no message is under way that has come as
    far as these bytes.  Without ``size`` that holds if no message is under way at all.

    Args:
        key_file: Either end's key file.
        size: How many bytes, or None for all that are left.
        share: Whose share they come from; half of them from each, Alice's first, if not given.
        unit: Without ``size``: their number is a multiple of this.

    Returns:
        The bytes, their place in the key, and how many are left.

    Raises:
        ValueError: A number is below 1, or ``key_file`` is none.
        KeyUnavailable: Too little is left; nothing is used.
        WriteFailed: The disk is full or fails; the bytes are not handed out.

    Examples:
        >>> import tempfile, numpy as np
        >>> from e91.keys.files import save_new
        >>> from e91.model.records import SecretKey
        >>> from e91.model.trust import SecurityModel
        >>> bits, name = np.ones(1600, np.uint8), "12345678-1234-4234-8234-123456789abc"
        >>> key = SecretKey(bits, name, SecurityModel.TRUSTED_ANALYSERS, 1e-10, True)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for party in Party:
        ...         save_new(KeyStore(key, party), Path(folder, party.value))
        ...     alice, bob = (export_key(Path(folder, party.value), 32) for party in Party)
        >>> alice.intervals, alice.content == bob.content
        (((52, 68), (152, 168)), True)
    """
    check_whole(least=1, unit=unit)
    if size is not None:
        check_whole(least=1, size=size)
    with open_key_file(key_file) as opened:
        store = opened.store
        alice, bob = _all_left(store, share, unit) if size is None else _halves(size, share)
        if not alice + bob:
            raise KeyUnavailable(f"At least {unit:,} key bytes must be left, but are not.")
        intervals, content = store.export(alice, bob)
        opened.commit()
        return ExportedKey(store.label, intervals, content, (store.left, store.peer_left))


def _halves(size: int, share: Party | None) -> tuple[int, int]:
    """Return how many bytes each share gives: it depends on nothing that the ends see apart."""
    if share is not None:
        return (size, 0) if share is Party.ALICE else (0, size)
    return size - size // 2, size // 2


def _all_left(store: KeyStore, share: Party | None, unit: int) -> tuple[int, int]:
    """Return how many bytes each share has left at its back, together a multiple of ``unit``."""
    left = [store.left_at_back(party) if share in (None, party) else 0 for party in Party]
    over = sum(left) % unit
    from_bob = min(over, left[1])
    return left[0] - (over - from_bob), left[1] - from_bob
