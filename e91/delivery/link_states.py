"""What a server says of its links and KMEs: to people, and to programs that watch it."""

from collections.abc import Iterable
from typing import Any

from e91.delivery.service import KmeState, LinkKeyState


def status_of(states: Iterable[KmeState], *, key_size: int) -> dict[str, Any]:
    """Return what ``e91 kme status --json`` prints.

    Args:
        states: Of all KMEs.
        key_size: Bits of a key, for how many keys the bits are.

    Returns:
        ``links``, an entry for each end of a link (``kme, peer, keys, bits, model, epsilon, alarm``
        and more), and ``kmes`` with what was delivered.
    """
    found = list(states)
    return {
        "links": [
            link_status(link, kme=state.kme, key_size=key_size)
            for state in found
            for link in state.links
        ],
        "kmes": [_kme_status(state) for state in found],
    }


def link_status(link: LinkKeyState, *, kme: str, key_size: int) -> dict[str, Any]:
    """Return the state of one end of a link as plain values; sizes in bits."""
    origin = link.provenance
    return {
        "kme": kme,
        "peer": link.peer,
        "keys": link.free // key_size,
        "bits": link.free,
        "reserved_bits": link.reserved,
        "delivered_bits": link.delivered,
        "voided_bits": link.voided,
        "model": None if origin is None else origin.security.value,
        "epsilon": None if origin is None else origin.epsilon,
        "chsh": None if origin is None else origin.chsh,
        "reproducible": None if origin is None else origin.reproducible,
        "alarm": link.alarm,
        "silent": link.silent,
    }


def _kme_status(state: KmeState) -> dict[str, Any]:
    return {
        "kme": state.kme,
        "keys_given": state.keys_given,
        "keys_fetched": state.keys_fetched,
        "keys_waiting": state.keys_waiting,
        "keys_voided": state.keys_voided,
        "failed": state.failed,
    }
