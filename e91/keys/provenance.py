"""Where key bits come from: what a key may claim wherever it goes; no key bits are in it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from e91.model.trust import SecurityModel
from e91.system.documents import typed

WEAKEST_FIRST = (SecurityModel.TRUSTED_ANALYSERS, SecurityModel.DEVICE_INDEPENDENT)
"""The security models, what assumes more before what assumes less."""

_ATTACKS = ("coherent attacks", "collective attacks")  # from what covers most to what covers least


@dataclass(frozen=True)
class Provenance:
    """Where a key comes from and what may be said of it.

    Attributes:
        security: The security model under which the key is secret.
        theorem: Name of the theorem that gave its length; None if that is not known.
        attacks: Which attacks the theorem covers; None if that is not known.
        epsilon: Its composable failure probability; None if no theorem gives one.
        bell_test: Whether a Bell test had to pass; None if that is not known.
        chsh: The estimate of S of the session that made it; None if there is none.
        chsh_lower_bound: The lower bound on S that released it; None if there is none.
        route: Names of KMEs or sites from end to end; a link is a route of two.
        relays: Trusted relays that knew the key.
        disjoint_paths: Number of paths without a common relay that it was shared over; 1 for one.
        reproducible: Whether whoever knows a seed can make it again: then it is not secret.
        made_at: When it was made, of parts the oldest; seconds since 1970, UTC.
        source: Who made it, in words, e.g. ``"session 12345678-..."``.

    Raises:
        ValueError: ``epsilon`` is no probability, ``disjoint_paths`` is below 1, or ``made_at`` is
            no finite number.

    Examples:
        >>> link = Provenance(SecurityModel.DEVICE_INDEPENDENT, "EAT", "coherent attacks", 1e-10,
        ...     True, 2.7, 2.6, ("alice", "bob"), (), 1, False, 1.7e9, "session 1")
        >>> Provenance.from_json(link.as_json()) == link
        True
        >>> Provenance.joined([link, link]).epsilon
        2e-10
    """

    security: SecurityModel
    theorem: str | None
    attacks: str | None
    epsilon: Annotated[float, Meta(ge=0, le=1)] | None
    bell_test: bool | None
    chsh: float | None
    chsh_lower_bound: float | None
    route: tuple[str, ...]
    relays: tuple[str, ...]
    disjoint_paths: Annotated[int, Meta(ge=1)]
    reproducible: bool
    made_at: float
    source: str

    def __post_init__(self) -> None:
        if self.epsilon is not None and not 0 <= self.epsilon <= 1:
            raise ValueError(f"`epsilon` must lie in [0, 1], but is {self.epsilon}.")
        if self.disjoint_paths < 1:
            raise ValueError(f"`disjoint_paths` must be at least 1, but is {self.disjoint_paths}.")
        if not math.isfinite(self.made_at):
            raise ValueError(f"`made_at` must be a finite number, but is {self.made_at}.")

    def as_json(self) -> dict[str, object]:
        """Return it as plain values, ready for JSON; `from_json` reads them."""
        plain: dict[str, object] = msgspec.to_builtins(self)
        return plain

    @classmethod
    def from_json(cls, plain: object) -> Provenance:
        """Return what `as_json` gave.

        Args:
            plain: Plain values, as JSON gives them.

        Raises:
            ValueError: It is something else.
        """
        return typed(plain, cls)

    @classmethod
    def joined(cls, many: Iterable[Provenance]) -> Provenance:
        """Return what a key of several parts may claim: no more than its weakest part.

        The failure probabilities of the parts add up (each part once: pass every block once), the
        relays of all are named, the oldest moment counts.  S and its bound are of the part with the
        smallest bound, and absent if a part has none.  Where routes differ, the longest is given.

        Args:
            many: Of the parts, in any order.

        Raises:
            ValueError: There is no part.

        Source:
            Composable failure probabilities add up: Portmann and Renner, Rev. Mod. Phys. 94,
            025008 (2022), section III.
        """
        parts = list(many)
        if not parts:
            raise ValueError("`many` must hold at least one provenance, but is empty.")
        if len(parts) == 1:
            return parts[0]
        chsh, bound = _weakest_violation(parts)
        return cls(
            security=min((part.security for part in parts), key=WEAKEST_FIRST.index),
            theorem=all_theorems(part.theorem for part in parts),
            attacks=attacks_covered_by_all({part.attacks for part in parts}),
            epsilon=sum_of_epsilons([part.epsilon for part in parts]),
            bell_test=every_bell_test({part.bell_test for part in parts}),
            chsh=chsh,
            chsh_lower_bound=bound,
            route=max((part.route for part in parts), key=len),
            relays=tuple(dict.fromkeys(relay for part in parts for relay in part.relays)),
            disjoint_paths=min(part.disjoint_paths for part in parts),
            reproducible=any(part.reproducible for part in parts),
            made_at=min(part.made_at for part in parts),
            source=", ".join(dict.fromkeys(part.source for part in parts)),
        )

    def crosses(self, one: str, other: str) -> bool:
        """Return whether the link between two neighbours is part of the route.

        Args:
            one: Name of a site.
            other: Name of its neighbour.
        """
        ends = {one, other}
        return any({*pair} == ends for pair in zip(self.route, self.route[1:], strict=False))


def _weakest_violation(parts: list[Provenance]) -> tuple[float | None, float | None]:
    """Return S and its lower bound where that is smallest; None for both if a part has none."""
    found = [(part.chsh_lower_bound, part.chsh) for part in parts]
    if any(bound is None for bound, _ in found):
        return None, None
    bound, chsh = min(found, key=lambda pair: pair[0] or 0.0)
    return chsh, bound


def sum_of_epsilons(epsilons: list[float | None]) -> float | None:
    """Return the sum of failure probabilities, at most 1; None if one is not known."""
    known = [epsilon for epsilon in epsilons if epsilon is not None]
    return min(1.0, math.fsum(known)) if len(known) == len(epsilons) else None


def all_theorems(theorems: Iterable[str | None]) -> str | None:
    """Return the names of all theorems that a sum of keys rests on; None if one is not known."""
    names = set(theorems)
    return None if None in names else ", ".join(sorted(name for name in names if name is not None))


def attacks_covered_by_all(covered: set[str | None]) -> str | None:
    """Return which attacks all theorems cover; None if one's are not known."""
    if len(covered) == 1:
        return covered.pop()
    known = [_ATTACKS.index(attacks) for attacks in covered if attacks in _ATTACKS]
    return _ATTACKS[max(known)] if len(known) == len(covered) else None


def every_bell_test(tested: set[bool | None]) -> bool | None:
    """Return whether every part had to pass a Bell test; None if that is not known of one."""
    return False if False in tested else None if None in tested else True
