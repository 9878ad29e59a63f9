"""What both parties know after sifting: the counts on which every verdict rests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Evidence:
    """The public counts of a session.

    Attributes:
        same: Bell-test rounds with equal outcomes, one count per CHSH pair.
        different: Bell-test rounds with unequal outcomes.
        sample_size: Key rounds that were revealed.
        sample_errors: How many of them differed.
        key_size: Key rounds that were not revealed.
        coincidences: Rounds in which both parties saw a photon.
    """

    same: tuple[int, ...]
    different: tuple[int, ...]
    sample_size: int
    sample_errors: int
    key_size: int
    coincidences: int
