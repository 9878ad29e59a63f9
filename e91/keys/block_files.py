"""Blocks for key stores out of the two key files of a session, which are used up by that."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from e91.keys.files import open_key_file
from e91.keys.key_blocks import KeyBlock
from e91.keys.provenance import Provenance
from e91.keys.store import Interval, KeyLabel, KeyStore
from e91.model.errors import KeyUnavailable
from e91.model.messages import Party

_DOMAIN = b"e91 block of a key file"


def take_blocks(
    alice: Path | str,
    bob: Path | str,
    *,
    route: tuple[str, str],
    made_at: float,
    chsh: tuple[float, float] | None = None,
) -> tuple[KeyBlock, KeyBlock]:
    """Take all bytes that both key files of a session have left, as one block for each end.

    When this returns, both files say on the disk that the bytes are used.  A crash before a store
    has the blocks loses them, and lets nobody use them twice.  What one file alone has exported
    already is used up in the other one, too.

    Args:
        alice: Alice's key file.
        bob: Bob's, of the same key.
        route: Names of the KMEs or sites at Alice's end and at Bob's.
        made_at: When the session made the key; seconds since 1970, UTC.
        chsh: Its S and the lower bound that released it; None without a Bell test.

    Returns:
        Alice's block and Bob's; of one name, which another call cannot give.

    Raises:
        ValueError: One is no key file, or they are not the two of one key.
        KeyUnavailable: Nothing is left in both.
        WriteFailed: The disk is full or fails; bytes may be lost.

    Source:
        RFC 9562, section 5.8 (UUID of version 8): the name, made of the key's and the offsets.

    Examples:
        >>> import tempfile, numpy as np
        >>> from e91.keys.files import save_new
        >>> from e91.model.records import SecretKey
        >>> from e91.model.trust import SecurityModel
        >>> bits, name = np.ones(1600, np.uint8), "12345678-1234-4234-8234-123456789abc"
        >>> key = SecretKey(bits, name, SecurityModel.TRUSTED_ANALYSERS, 1e-10, True)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = [Path(folder, party.value) for party in Party]
        ...     for party, file in zip(Party, files, strict=True):
        ...         save_new(KeyStore(key, party), file)
        ...     one, other = take_blocks(*files, route=("alice", "bob"), made_at=1.7e9)
        >>> one.block_id == other.block_id, one.content == other.content, len(one.content)
        (True, True, 136)
    """
    with open_key_file(alice) as first, open_key_file(bob) as second:
        _check_pair(first.store.label, second.store.label)
        intervals, contents = _taken((first.store, second.store))
        first.commit()
        second.commit()
        label = first.store.label
    provenance = _provenance_of(label, route=route, made_at=made_at, chsh=chsh)
    block_id = _name_of(label, intervals)
    at_alice, at_bob = (KeyBlock(block_id, content, provenance) for content in contents)
    return at_alice, at_bob


def take_end(
    file: Path | str,
    owner: Party,
    *,
    route: tuple[str, str],
    made_at: float,
    chsh: tuple[float, float] | None = None,
) -> KeyBlock:
    """Take all bytes of one key file, as this end's copy of a block.

    The other end's file, which is on another machine, gives the same block there.  So nothing may
    be used of either but what both have exported: what messages have used at one end, the other one
    cannot know.  When this returns, the file says on the disk that its bytes are used.

    Args:
        file: A key file.
        owner: Whose it must be.
        route: Names of the KMEs or sites at Alice's end and at Bob's.
        made_at: When the session made the key; seconds since 1970, UTC.
        chsh: Its S and the lower bound that released it; None without a Bell test.

    Returns:
        The block, with the name that `take_blocks` would give it.

    Raises:
        ValueError: It is no key file, is the other party's, or has protected messages.
        KeyUnavailable: Nothing is left in it.
        WriteFailed: The disk is full or fails; bytes may be lost.

    Examples:
        >>> import tempfile, numpy as np
        >>> from e91.keys.files import save_new
        >>> from e91.model.records import SecretKey
        >>> from e91.model.trust import SecurityModel
        >>> bits, name = np.ones(1600, np.uint8), "12345678-1234-4234-8234-123456789abc"
        >>> key = SecretKey(bits, name, SecurityModel.TRUSTED_ANALYSERS, 1e-10, True)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "alice.key")
        ...     save_new(KeyStore(key, Party.ALICE), file)
        ...     take_end(file, Party.ALICE, route=("alice", "bob"), made_at=1.7e9)
        KeyBlock(0254ac18-ad8c-88c4-b8c7-48dbdaa26112, 136 bytes)
    """
    with open_key_file(file) as opened:
        store, label = opened.store, opened.store.label
        if label.owner is not owner:
            raise ValueError(
                f"`{file}` must be {owner.value}'s key file, but is {label.owner.value}'s."
            )
        left = [store.left_at_back(party) for party in Party]
        whole = [
            len(label.message_bytes(party)) - exported
            for party, exported in zip(Party, store.exported, strict=True)
        ]
        if left != whole:
            raise ValueError(
                f"`{file}` must have protected no message, as the other end cannot know which "
                "bytes are left, but has."
            )
        if not sum(left):
            raise KeyUnavailable("Key bytes must be left in the key file, but are not.")
        intervals, content = store.export(*left)
        opened.commit()
    provenance = _provenance_of(label, route=route, made_at=made_at, chsh=chsh)
    return KeyBlock(_name_of(label, intervals), content, provenance)


def _provenance_of(
    label: KeyLabel,
    *,
    route: tuple[str, str],
    made_at: float,
    chsh: tuple[float, float] | None,
) -> Provenance:
    """Return where the key with a label comes from."""
    return Provenance(
        security=label.security,
        theorem=label.theorem,
        attacks=label.attacks,
        epsilon=label.epsilon,
        bell_test=label.bell_test,
        chsh=None if chsh is None else chsh[0],
        chsh_lower_bound=None if chsh is None else chsh[1],
        route=route,
        relays=(),
        disjoint_paths=1,
        reproducible=label.reproducible,
        made_at=made_at,
        source=f"session {label.key_id}",
    )


def _check_pair(alice: KeyLabel, bob: KeyLabel) -> None:
    if (alice.owner, bob.owner) != (Party.ALICE, Party.BOB):
        raise ValueError("The key files must be Alice's and Bob's, in this order, but are not.")
    same = (alice.key_id, alice.size, alice.alice_share)
    if same != (bob.key_id, bob.size, bob.alice_share):
        raise ValueError("The two key files must be of one key, but are not.")


def _taken(
    stores: tuple[KeyStore, KeyStore],
) -> tuple[tuple[Interval, ...], tuple[bytes, bytes]]:
    """Export from both stores what both have left at the backs of their shares.

    Raises:
        KeyUnavailable: Nothing.
    """
    _level(stores)
    alice, bob = (min(store.left_at_back(party) for store in stores) for party in Party)
    if not alice + bob:
        raise KeyUnavailable("Key bytes must be left in both key files, but are not.")
    (intervals, first), (same, second) = (store.export(alice, bob) for store in stores)
    assert intervals == same
    return intervals, (first, second)


def _level(stores: Sequence[KeyStore]) -> None:
    """Use up in either store what the other one alone has exported."""
    most = [max(store.exported[index] for store in stores) for index in range(2)]
    for store in stores:
        lacking = [
            min(most[index] - store.exported[index], store.left_at_back(party))
            for index, party in enumerate(Party)
        ]
        if any(lacking):
            store.export(*lacking)
    if any(list(store.exported) != most for store in stores):
        raise KeyUnavailable("The two key files must have exported the same, but cannot any more.")


def _name_of(label: KeyLabel, intervals: Sequence[Interval]) -> UUID:
    """Return a name for these bytes of a key, the same at both ends (RFC 9562, version 8)."""
    digest = hashlib.sha256(_DOMAIN + UUID(label.key_id).bytes + repr(intervals).encode()).digest()
    name = bytearray(digest[:16])
    name[6] = name[6] & 0x0F | 0x80
    name[8] = name[8] & 0x3F | 0x80
    return UUID(bytes=bytes(name))
