"""The key files of sessions and long runs as stock of a key service."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from e91.delivery.service import KeyService
from e91.model.messages import Party
from e91.session.key_folders import take_folder, take_folder_end


@dataclass(frozen=True)
class FedKey:
    """What a folder of key files gave to a key service.

    Attributes:
        blocks: Sessions with any key left.
        bits: Their key bits, at each end.
    """

    blocks: int
    bits: int


async def deposit_folder(
    service: KeyService, folder: Path | str, *, ends: tuple[str, str]
) -> FedKey:
    """Move the key that a session or a long run left into the stores of two KMEs.

    Each block is used up in its key files first and is then in the stores: a crash between the two
    loses that block, and no byte is ever in both.

    Args:
        service: It is open.
        folder: What ``e91 run --out`` left.
        ends: The KME that gets Alice's key, and the one that gets Bob's; the link's name, too.

    Raises:
        ValueError: There are no key files, or two of a session do not belong together.
        LinkAlarmed: An alarm stops the link; the block that was taken is lost.
        StoreFailed: Likewise.
        WriteFailed: A key file cannot be written.
    """
    blocks = bits = 0
    alice, bob = ends
    taken = take_folder(folder, route=ends)
    while (pair := await asyncio.to_thread(next, taken, None)) is not None:
        await service.deposit({alice: pair[0], bob: pair[1]})
        blocks += 1
        bits += 8 * len(pair[0].content)
    return FedKey(blocks, bits)


async def deposit_folder_end(
    service: KeyService, folder: Path | str, owner: Party, *, ends: tuple[str, str]
) -> FedKey:
    """Move one party's key of a session or a long run into the store of its KME.

    The other party's end of it comes in at the KME of another process, from its own folder.

    Args:
        service: It is open.
        folder: What ``e91 run --out`` left; the other party's key files need not be there.
        owner: Whose key is taken.
        ends: The KME that gets Alice's key, and the one that gets Bob's; the link's name, too.

    Raises:
        ValueError: There are no key files of this party, or one has protected messages.
        LinkAlarmed: An alarm stops the link; the block that was taken is lost.
        StoreFailed: Likewise.
        WriteFailed: A key file cannot be written.
    """
    blocks = bits = 0
    home, peer = ends if owner is Party.ALICE else ends[::-1]
    taken = take_folder_end(folder, owner, route=ends)
    while (block := await asyncio.to_thread(next, taken, None)) is not None:
        await service.deposit_end(home, block, peer=peer)
        blocks += 1
        bits += 8 * len(block.content)
    return FedKey(blocks, bits)
