"""Which angles each party may choose, how often, and what each pair of choices is for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import get_args

from e91.model.bell_states import BellState, bobs_angle
from e91.model.numbers import same_angle

Pair = tuple[int, int]

_ROUNDING = 1e-12
"""By which probabilities may miss a sum of 1; what it costs: ``docs/security.md``, section 8."""


@dataclass(frozen=True)
class Settings:
    """Angles, choice probabilities, and the role of each setting pair.

    An angle theta (radians on the Bloch sphere, X-Z plane) selects the observable
    ``cos(theta) Z + sin(theta) X``; a linear polariser stands at theta / 2.  See
    `e91_circuits.pairs` for the convention.  A pair never serves both as key and as Bell test.

    Attributes:
        name: What users call this choice.
        alice_angles: One angle per setting index x, radians.
        bob_angles: One angle per setting index y, radians.
        key_pairs: Pairs (x, y) whose outcomes make the key.  With pairs in ``state`` they are
            always equal, or always opposite, as ``key_signs`` say: of phi+ at equal angles (see
            `e91.model.numbers.same_angle`).
        chsh_pairs: The four pairs of the CHSH sum with their signs, or empty: no Bell test, for
            theorems that need none.
        alice_probabilities: Probability of each x; uniform if not given.
        bob_probabilities: Probability of each y; uniform if not given.
        key_signs: One sign per key pair: with +1 equal outcomes are equal key bits, with -1 (a
            singlet's) opposite ones are, and Bob inverts his; all +1 if not given.
        state: The Bell state for which the roles are written.

    Raises:
        ValueError: Probabilities do not fit the angles or do not sum to 1, a pair does not
            exist or has two roles, the outcomes of a key pair are not always as its sign says, or
            the CHSH pairs are not two settings of Alice crossed with two of Bob with an odd number
            of minus signs.

    Examples:
        >>> EKERT.pair_probability((1, 0))
        0.1111111111111111
        >>> EKERT.biased((0.2, 0.6, 0.2), (0.2, 0.6, 0.2)).pair_probability((2, 1))
        0.12

        One's own angles: a key at 0, tests at 45 and -45 degrees of the Bloch sphere.

        >>> eighth = math.pi / 4
        >>> own = Settings(
        ...     "own", alice_angles=(0.0, 2 * eighth), bob_angles=(0.0, eighth, -eighth),
        ...     key_pairs=((0, 0),),
        ...     chsh_pairs=(((0, 1), +1), ((0, 2), +1), ((1, 1), +1), ((1, 2), -1)),
        ... )
        >>> import e91
        >>> report = e91.run(e91.exact_device(settings=own, seed=1), rounds=60_000, seed=2)
        >>> report.abort is None, report.chsh.value > 2.7
        (True, True)

        Ekert's singlet at the same angles, where every product of outcomes has the other sign.

        >>> singlet = replace(
        ...     EKERT, name="singlet", state="psi-", key_signs=(-1, -1),
        ...     chsh_pairs=tuple((pair, -sign) for pair, sign in EKERT.chsh_pairs),
        ... )
    """

    name: str
    alice_angles: tuple[float, ...]
    bob_angles: tuple[float, ...]
    key_pairs: tuple[Pair, ...] = ()
    chsh_pairs: tuple[tuple[Pair, int], ...] = ()
    alice_probabilities: tuple[float, ...] = field(default=())
    bob_probabilities: tuple[float, ...] = field(default=())
    key_signs: tuple[int, ...] = field(default=())
    state: BellState = "phi+"

    def __post_init__(self) -> None:
        for party in ("alice", "bob"):
            angles = getattr(self, f"{party}_angles")
            _check_angles(f"{party}_angles", angles)
            chosen = getattr(self, f"{party}_probabilities") or (1 / len(angles),) * len(angles)
            object.__setattr__(self, f"{party}_probabilities", tuple(map(float, chosen)))
            _check_probabilities(f"{party}_probabilities", chosen, len(angles))
        self._check_pairs()
        self._check_key()

    def _check_pairs(self) -> None:
        tests = [pair for pair, _ in self.chsh_pairs]
        pairs = [*self.key_pairs, *tests]
        for x, y in pairs:
            if not (0 <= x < len(self.alice_angles) and 0 <= y < len(self.bob_angles)):
                raise ValueError(f"A setting pair must have angles, but ({x}, {y}) has none.")
        if len(set(pairs)) < len(pairs):
            raise ValueError(f"Each setting pair must have one role, but the roles are {pairs}.")
        if tests:
            _check_chsh(self.chsh_pairs)

    def _check_key(self) -> None:
        if self.state not in get_args(BellState):
            known = ", ".join(get_args(BellState))
            raise ValueError(f"`state` must be one of {known}, but is {self.state!r}.")
        signs = self.key_signs
        if signs and (len(signs) != len(self.key_pairs) or not {1, -1}.issuperset(signs)):
            raise ValueError(f"`key_signs` must be +1 or -1 for each key pair, but are {signs}.")
        for (x, y), sign in self.signed_key_pairs:
            wanted = self.bob_directions[y] + (math.pi if sign < 0 else 0.0)
            if not same_angle(self.alice_angles[x], wanted):
                angles = f"({x}, {y}) has {self.alice_angles[x]} and {self.bob_angles[y]}"
                if (self.state, sign) == ("phi+", 1):
                    raise ValueError(f"A key pair must have equal angles, but {angles}.")
                word = "equal" if sign > 0 else "opposite"
                raise ValueError(
                    f"A key pair of sign {sign:+d} must have angles at which {self.state} pairs "
                    f"always have {word} outcomes, but {angles}: `state` says what the source "
                    "emits."
                )

    @property
    def signed_key_pairs(self) -> tuple[tuple[Pair, int], ...]:
        """The key pairs with their signs: -1 where Bob inverts his bit."""
        signs = self.key_signs or (1,) * len(self.key_pairs)
        return tuple(zip(self.key_pairs, signs, strict=True))

    @property
    def bob_directions(self) -> tuple[float, ...]:
        """Bob's angles for phi+ pairs in place of ``state``, with the same outcomes; radians.

        A turn of Bob's qubit makes the one of the other, so whatever holds for phi+ and these
        angles holds for ``state`` and ``bob_angles``.
        """
        return tuple(bobs_angle(angle, self.state) for angle in self.bob_angles)

    @property
    def signs(self) -> tuple[int, ...]:
        """The sign of each of ``chsh_pairs``: +1 is won by equal outcomes, -1 by unequal ones."""
        return tuple(sign for _, sign in self.chsh_pairs)

    def pair_probability(self, pair: Pair) -> float:
        """Return the probability that a round has this setting pair (x, y).

        Args:
            pair: Indices of Alice's and Bob's setting, from 0.
        """
        return self.alice_probabilities[pair[0]] * self.bob_probabilities[pair[1]]

    @property
    def key_probability(self) -> float:
        """Probability that a round has a key pair."""
        return sum(map(self.pair_probability, self.key_pairs))

    @property
    def chsh_probability(self) -> float:
        """Probability that a round belongs to the Bell test."""
        return sum(self.pair_probability(pair) for pair, _ in self.chsh_pairs)

    def turned_for(self, state: BellState) -> Settings:
        """Return the settings with which pairs in another Bell state have the same statistics.

        Bob's analysers are turned; roles and signs stay.

        Args:
            state: What the source emits.

        Examples:
            >>> turned = EKERT.turned_for("psi-")
            >>> turned.name, turned.state, round(turned.bob_angles[0] - EKERT.bob_angles[0], 4)
            ('ekert for psi-', 'psi-', 3.1416)
        """
        if state == self.state:
            return self
        angles = tuple(bobs_angle(angle, state) for angle in self.bob_directions)
        return replace(self, name=f"{self.name} for {state}", state=state, bob_angles=angles)

    def biased(
        self, alice_probabilities: tuple[float, ...], bob_probabilities: tuple[float, ...]
    ) -> Settings:
        """Return the same settings, chosen with other probabilities.

        Args:
            alice_probabilities: Of each of Alice's settings; they sum to 1.
            bob_probabilities: The same of Bob's.
        """
        return replace(
            self, alice_probabilities=alice_probabilities, bob_probabilities=bob_probabilities
        )


def _check_angles(name: str, angles: tuple[float, ...]) -> None:
    if not angles or not all(math.isfinite(angle) for angle in angles):
        raise ValueError(f"`{name}` must be finite numbers, at least one, but is {angles}.")
    if len(angles) > 255:
        raise ValueError(f"`{name}` must hold at most 255 angles, but holds {len(angles)}.")


def _check_probabilities(name: str, probabilities: tuple[float, ...], count: int) -> None:
    if len(probabilities) != count:
        raise ValueError(f"`{name}` must have {count} entries, but has {len(probabilities)}.")
    if not all(0 <= p <= 1 for p in probabilities):
        raise ValueError(f"`{name}` must lie in [0, 1], but is {tuple(probabilities)}.")
    if not math.isclose(math.fsum(probabilities), 1, rel_tol=0, abs_tol=_ROUNDING):
        raise ValueError(f"`{name}` must sum to 1, but sums to {math.fsum(probabilities):.15g}.")


def _check_chsh(chsh_pairs: tuple[tuple[Pair, int], ...]) -> None:
    pairs = {pair for pair, _ in chsh_pairs}
    crossed = {(x, y) for x, _ in pairs for _, y in pairs}
    signs = [sign for _, sign in chsh_pairs]
    if len(chsh_pairs) != 4 or crossed != pairs or {abs(sign) for sign in signs} != {1}:
        raise ValueError(
            "A CHSH sum must cross two settings of Alice with two of Bob, with signs +1 or -1, "
            f"but has {chsh_pairs}."
        )
    if math.prod(signs) != -1:
        raise ValueError(
            f"A CHSH sum must have one or three minus signs (else its local bound is 4), but has "
            f"the signs {signs}."
        )


_DEGREE = math.pi / 180

EKERT = Settings(
    name="ekert",
    alice_angles=(0.0, 45 * _DEGREE, 90 * _DEGREE),
    bob_angles=(45 * _DEGREE, 90 * _DEGREE, 135 * _DEGREE),
    key_pairs=((1, 0), (2, 1)),
    chsh_pairs=(((0, 0), +1), ((0, 2), -1), ((2, 0), +1), ((2, 2), +1)),
)
"""Ekert, Phys. Rev. Lett. 67, 661 (1991): three settings each; 2/9 key, 4/9 Bell test."""

ASYMMETRIC = Settings(
    name="asymmetric",
    alice_angles=(0.0, 45 * _DEGREE, -45 * _DEGREE),
    bob_angles=(0.0, 90 * _DEGREE),
    key_pairs=((0, 0),),
    chsh_pairs=(((1, 0), +1), ((1, 1), +1), ((2, 0), +1), ((2, 1), -1)),
)
"""Acin, Massar and Pironio, New J. Phys. 8, 126 (2006): three settings for Alice, two for Bob."""

BBM92 = Settings(
    name="bbm92",
    alice_angles=(0.0, 90 * _DEGREE),
    bob_angles=(0.0, 90 * _DEGREE, 45 * _DEGREE, 135 * _DEGREE),
    key_pairs=((0, 0), (1, 1)),
    chsh_pairs=(((0, 2), +1), ((0, 3), -1), ((1, 2), +1), ((1, 3), +1)),
)
"""Bennett, Brassard and Mermin, Phys. Rev. Lett. 68, 557 (1992), with two more angles for Bob.

The key comes from the two mutually unbiased bases, the Bell test from Bob's two other angles.
"""

BBM92_PLAIN = Settings(
    name="bbm92-plain",
    alice_angles=(0.0, 90 * _DEGREE),
    bob_angles=(0.0, 90 * _DEGREE),
    key_pairs=((0, 0), (1, 1)),
)
"""Bennett, Brassard and Mermin as they wrote it: two bases, and no Bell test.

A key of these rests on trust in both analysers, which nothing tests.
"""

SETTINGS = {settings.name: settings for settings in (EKERT, ASYMMETRIC, BBM92)}
"""The settings that have a name and a Bell test."""

NAMED_SETTINGS = {**SETTINGS, BBM92_PLAIN.name: BBM92_PLAIN}
"""All settings that have a name."""
