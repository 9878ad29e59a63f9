"""Two ends of a link after a crash: what only one of them wrote down is void at both.

What was decided together is written to all stores at once, and nothing further is decided before
every store has it.  So a crash leaves at most one row that a store has and its partner lacks, it is
the partner's next one, and nobody has got an answer yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from e91.keys.holdings.events import (
    ID_SIZE,
    Cleared,
    Deposited,
    Dropped,
    Event,
    Granted,
    JournalRow,
    Partner,
    Rang,
    Voided,
    identifiers,
)
from e91.keys.holdings.holdings import Holdings


@dataclass
class Repair:
    """What puts two ends in agreement; those ahead write first, then those behind.

    Attributes:
        ahead: Rows for stores that have a row which a partner lacks, by KME.
        behind: Rows in the place of those that are lacking.
    """

    ahead: dict[str, JournalRow] = field(default_factory=dict)
    behind: dict[str, JournalRow] = field(default_factory=dict)


def repair_of(
    ends: Mapping[str, Holdings], journals: Mapping[str, Mapping[int, JournalRow]]
) -> Repair:
    """Return what puts stores in agreement after a crash.

    A crash amid the repair is repaired by the next one: what those ahead write changes nothing when
    it is done twice, and those behind count as such until their row is there.

    Args:
        ends: What every store of a process holds, by KME.
        journals: The rows of their journals, by number.

    Raises:
        ValueError: A store is older than its partner knows it, as one from a backup, or another
            one; it would give keys a second time.
    """
    repair = Repair()
    for kme, holdings in ends.items():
        for peer, (partner, own_number) in list(holdings.partners.items()):
            if peer in ends and not _is_stranger(holdings, ends[peer], partner):
                lacking = partner.number - ends[peer].number
                if lacking > 1 or (lacking == 1 and own_number not in journals[kme]):
                    raise ValueError(
                        f"The store of `{peer}` must know all that it decided with `{kme}`, but "
                        "is older: never open a backup of a key store."
                    )
                if lacking == 1:
                    _add(repair, holdings, ends[peer], row=journals[kme][own_number])
    return repair


def _is_stranger(holdings: Holdings, peer: Holdings, partner: Partner) -> bool:
    """Return whether a store took the place of the known one, with which no key is left."""
    if partner.store_id == peer.store_id:
        return False
    if any(block.peer == peer.kme for block in holdings.blocks.values()):
        raise ValueError(
            f"The store of `{peer.kme}` must be the one that shares key with that of "
            f"`{holdings.kme}`, but is another."
        )
    return True


def _add(repair: Repair, ahead: Holdings, behind: Holdings, *, row: JournalRow) -> None:
    """Add to a repair what one row means that a partner lacks."""
    undone = _undone(row, ahead, behind.kme)
    if undone:
        known = repair.ahead.get(ahead.kme, JournalRow(ahead.number + 1, {}, []))
        repair.ahead[ahead.kme] = JournalRow(known.number, {}, [*known.events, *undone])
    known = repair.behind.get(behind.kme, JournalRow(behind.number + 1, {}, []))
    partners = {**known.partners, ahead.kme: Partner(ahead.store_id, row.number)}
    events = [*known.events, *_burned(row, ahead.kme, behind)]
    repair.behind[behind.kme] = JournalRow(known.number, partners, events)


def _undone(row: JournalRow, ahead: Holdings, peer: str) -> list[Event]:
    """Return what makes void at the end that is ahead what the other end does not know."""
    undone: list[Event] = []
    for event in row.events:
        match event:
            case Granted(peer=other, ids=ids) if other == peer:
                waiting = b"".join(key for key in identifiers(ids) if key in ahead.keys)
                if waiting:
                    undone.append(Voided(waiting))
            case Deposited(peer=other, block_id=block_id) if other == peer:
                if block_id in ahead.blocks:
                    undone.append(Dropped(block_id))
    return undone


def _burned(row: JournalRow, peer: str, behind: Holdings) -> list[Event]:
    """Return what lets go, at the end that is behind, of key that the other end gave already."""
    burned: list[Event] = []
    for event in row.events:
        match event:
            case Granted(peer=other, parts=parts) if other == behind.kme:
                known = tuple(part for part in parts if part[0] in behind.blocks)
                if known:
                    burned.append(Granted(peer, known, ID_SIZE, b"", "", ()))
            case Rang() | Cleared():
                burned.append(event)
    return burned


def shared_alarms(ends: Mapping[str, Holdings]) -> dict[str, JournalRow]:
    """Return rows that bring the alarms which some stores know to those that do not.

    A KME whose store was not open when an alarm rang gives no key of that link either.
    """
    rows = {}
    alarms = {link: alarm for one in ends.values() for link, alarm in one.alarms.items()}
    for kme, holdings in ends.items():
        unknown = [
            Rang(*link, *alarm) for link, alarm in alarms.items() if link not in holdings.alarms
        ]
        if unknown:
            rows[kme] = JournalRow(holdings.number + 1, {}, list(unknown))
    return rows


def levelled(ends: Mapping[str, Holdings]) -> dict[str, JournalRow]:
    """Return rows after which both ends of every link have the same key left: what both have.

    They differ where an alarm rang while the other end's store was not open.
    """
    rows: dict[str, JournalRow] = {}
    for kme, holdings in ends.items():
        events: list[Event] = []
        for peer in sorted({*holdings.links, *_partners_of(ends, kme)} & {*ends}):
            kept = _free_of(ends[peer], kme)
            for block_id, (front, back) in _free_of(holdings, peer).items():
                first, last = kept.get(block_id, (back, back))
                events += [
                    Granted(peer, ((block_id, start, stop),), stop - start, b"", "", ())
                    for start, stop in ((front, min(first, back)), (max(last, front), back))
                    if start < stop
                ]
        if events:
            rows[kme] = JournalRow(holdings.number + 1, {}, events)
    return rows


def _partners_of(ends: Mapping[str, Holdings], kme: str) -> list[str]:
    return [peer for peer, holdings in ends.items() if kme in holdings.links]


def check_agreement(ends: Mapping[str, Holdings]) -> None:
    """Check that the two ends of every link have the same key left to give.

    Raises:
        ValueError: They do not.
    """
    for kme, holdings in ends.items():
        for peer in {*holdings.links} & {*ends}:
            if _free_of(holdings, peer) != _free_of(ends[peer], kme):
                raise ValueError(
                    f"The stores of `{kme}` and `{peer}` must have the same key left, but do not."
                )


def _free_of(holdings: Holdings, peer: str) -> dict[bytes, tuple[int, int]]:
    blocks = holdings.links.get(peer, {}).values()
    return {block.block_id: (block.front, block.back) for block in blocks}
