"""What one KME knows when a request comes: its name, its limits, who is where, who may ask whom."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class KeyLimits:
    """What the status of clause 6.1 states and every request is held to.

    Attributes:
        key_size: Bits of a key if no size is asked for.
        min_key_size: The least size, bits.
        max_key_size: The largest size, bits.
        max_key_per_request: Keys in one request at most.
        max_key_count: Keys that the store is said to hold at most.
        max_sae_id_count: Additional slave SAEs at most.
    """

    key_size: int = 256
    min_key_size: int = 64
    max_key_size: int = 4_096
    max_key_per_request: int = 128
    max_key_count: int = 1_000_000
    max_sae_id_count: int = 8


@dataclass(frozen=True)
class KeySite:
    """One KME as a request finds it.

    Attributes:
        kme: Its ID.
        sae_kmes: The KME of every known SAE, this one's and others'.
        limits: Of sizes and numbers.
        pairs: Ordered pairs (master, slave) that may share keys; None: any two may.
        blocked: SAEs of this KME that are refused for now.
    """

    kme: str
    sae_kmes: Mapping[str, str]
    limits: KeyLimits = KeyLimits()
    pairs: frozenset[tuple[str, str]] | None = None
    blocked: frozenset[str] = frozenset()

    def serves(self, sae: str) -> bool:
        """Return whether an SAE may call this KME."""
        return self.sae_kmes.get(sae) == self.kme and sae not in self.blocked

    def allows(self, master: str, slave: str) -> bool:
        """Return whether two SAEs may share keys that the first asks for."""
        return self.pairs is None or (master, slave) in self.pairs
