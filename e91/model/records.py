"""The nouns of the protocol: what each stage gives to the next.

Every class here is frozen and every array in it read-only.  Records that hold key bits print
their length only.  The chain of types is the order of the protocol: a `SiftedKey` becomes a
`ReconciledKey`, that a `VerifiedKey`, and only that, with a verdict that releases it, a
`SecretKey`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from e91.model.bits import NO_CLICK, Bits, frozen_array
from e91.model.messages import Party
from e91.model.numbers import check_whole
from e91.model.trust import SecurityModel


@dataclass(frozen=True, eq=False)
class PartyRecord:
    """What one party's laboratory wrote down: one entry per round, in time order.

    Attributes:
        setting: Index of the angle in each round; uint8, shape (n,).
        outcome: 0 for eigenvalue +1, 1 for -1, 2 for no click; uint8, shape (n,).

    Examples:
        >>> half = PartyRecord([0, 2, 1], [1, 0, 2])
        >>> half.outcome.dtype, int((half.outcome == 2).sum())  # one photon was lost
        (dtype('uint8'), 1)
    """

    setting: Bits
    outcome: Bits

    def __post_init__(self) -> None:
        for name, top in (("setting", 254), ("outcome", NO_CLICK)):
            object.__setattr__(self, name, frozen_array(getattr(self, name), top=top, name=name))
        if len(self.setting) != len(self.outcome):
            raise ValueError(
                f"`outcome` must have the length of `setting`, {len(self.setting)}, but has "
                f"{len(self.outcome)}."
            )

    def __len__(self) -> int:
        return len(self.setting)

    def __repr__(self) -> str:
        return f"PartyRecord({len(self)} rounds)"


@dataclass(frozen=True)
class RoundTable:
    """The first rounds of a record, to be looked at: text, or a table in Jupyter.

    It shows outcomes, key bits of both parties among them.

    Attributes:
        rows: Alice's setting x, Bob's y, her outcome a and his b, round by round.
        rounds: Rounds of the whole record.
    """

    rows: tuple[tuple[int, int, int, int], ...]
    rounds: int

    @property
    def caption(self) -> str:
        """What stands below the table."""
        return f"{len(self.rows):,} of {self.rounds:,} rounds; a, b: 0 is +1, 1 is -1, - no click"

    def __str__(self) -> str:
        lines = ["  ".join(f"{name:>5}" for name in _ROUND_COLUMNS)]
        lines += ["  ".join(f"{cell:>5}" for cell in row) for row in self._cells()]
        return "\n".join([*lines, f"({self.caption})"])

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in _ROUND_COLUMNS)
        body = "".join(
            "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in self._cells()
        )
        return (
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            f"<p>{self.caption}</p>"
        )

    def _cells(self) -> Iterator[tuple[str, ...]]:
        for number, (x, y, a, b) in enumerate(self.rows):
            outcomes = ("-" if outcome == NO_CLICK else str(outcome) for outcome in (a, b))
            yield str(number), str(x), str(y), *outcomes


_ROUND_COLUMNS = ("round", "x", "y", "a", "b")


@dataclass(frozen=True, eq=False)
class DetectionRecord:
    """Both parties' records of the same rounds.

    Attributes:
        alice: Alice's half; nobody else knows it until she announces something.
        bob: Bob's half.
        read_from: Fingerprints (`e91.recorded.ledger`) of the time tags in whose files the rounds
            were found, empty for detections; None if the rounds were made in this process.
        reproducible: Whether a seed makes the rounds again: no key of them is secret.

    Examples:
        >>> record = DetectionRecord(PartyRecord([0, 2], [1, 0]), PartyRecord([0, 1], [1, 1]))
        >>> len(record.alice.setting), record.reproducible
        (2, False)
    """

    alice: PartyRecord
    bob: PartyRecord
    read_from: frozenset[str] | None = field(default=None, repr=False, kw_only=True)
    reproducible: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        if len(self.alice) != len(self.bob):
            raise ValueError(
                f"Both halves must have the same number of rounds, but have {len(self.alice)} "
                f"and {len(self.bob)}."
            )

    def __len__(self) -> int:
        return len(self.alice)

    def head(self, rounds: int = 10) -> RoundTable:
        """Return the first rounds as a table, to be looked at: settings x, y and outcomes a, b.

        The one place that shows key bits of both parties, to whoever asks for it.

        Args:
            rounds: How many, from 1; all if the record has fewer.

        Raises:
            ValueError: ``rounds`` is no whole number from 1.

        Examples:
            >>> alice, bob = PartyRecord([0, 2, 1], [1, 0, 2]), PartyRecord([0, 1, 1], [1, 1, 0])
            >>> print(DetectionRecord(alice, bob).head(2))
            round      x      y      a      b
                0      0      0      1      1
                1      2      1      0      1
            (2 of 3 rounds; a, b: 0 is +1, 1 is -1, - no click)
        """
        check_whole(least=1, rounds=rounds)
        columns = (self.alice.setting, self.bob.setting, self.alice.outcome, self.bob.outcome)
        rows = zip(*(column[:rounds].tolist() for column in columns), strict=True)
        return RoundTable(tuple(rows), len(self))

    def flipped(self, party: Party | str) -> Self:
        """Return the record with one party's outcomes 0 and 1 exchanged; no click stays.

        Args:
            party: `Party.ALICE` or `Party.BOB`, or its name in lower case.

        Raises:
            ValueError: ``party`` is neither.

        Examples:
            >>> half = PartyRecord([0, 1, 2], [0, 1, 2])
            >>> DetectionRecord(half, half).flipped("bob").bob.outcome.tolist()
            [1, 0, 2]
        """
        inverse = np.array((1, 0, NO_CLICK), np.uint8)
        if Party(party) is Party.ALICE:
            alice = PartyRecord(self.alice.setting, inverse[self.alice.outcome])
            return replace(self, alice=alice)
        bob = PartyRecord(self.bob.setting, inverse[self.bob.outcome])
        return replace(self, bob=bob)


@dataclass(frozen=True, eq=False, repr=False)
class _KeyBits:
    """One party's key at some stage.

    Of ``bits`` and ``packed`` one is given and the other made when it is first asked for.

    Attributes:
        bits: The key; uint8 bits, shape (n,), read-only.
        packed: The same in bytes, first bit highest, padded with zeros; uint8, shape
            (ceil(n / 8),), read-only.
    """

    bits: Bits

    def __post_init__(self) -> None:
        object.__setattr__(self, "bits", frozen_array(self.bits, top=1, name="bits"))
        object.__setattr__(self, "_size", len(self.bits))

    @classmethod
    def from_packed(cls, packed: Bits, size: int, **labels: object) -> Self:
        """Return a key from its packed bytes, whose spare bits must be zero.

        Args:
            packed: uint8, shape (ceil(size / 8),), as `numpy.packbits` packs; not copied.
            size: Number of bits.
            labels: The other attributes of the class.

        Raises:
            ValueError: ``packed`` has another shape, or spare bits are set.
        """
        if packed.dtype != np.uint8 or packed.shape != (-(-size // 8),):
            raise ValueError(
                f"`packed` must be uint8 of shape ({-(-size // 8)},), but is {packed.dtype} of "
                f"shape {packed.shape}."
            )
        if size % 8 and packed[-1] & (0xFF >> size % 8):
            raise ValueError("`packed` must end in zeros behind its last bit, but does not.")
        key = object.__new__(cls)
        view = packed.view()
        view.flags.writeable = False
        for name, value in {"packed": view, "_size": size, **labels}.items():
            object.__setattr__(key, name, value)
        return key

    def __getattr__(self, name: str) -> Bits:
        if name == "bits" and "packed" in self.__dict__:
            made = np.unpackbits(self.packed, count=len(self))
        elif name == "packed" and "bits" in self.__dict__:
            made = np.packbits(self.bits)
        else:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}.")
        made.flags.writeable = False
        object.__setattr__(self, name, made)
        return made

    def __setstate__(self, state: dict[str, object]) -> None:
        """Take what another process sent; its arrays arrive writeable and are closed again."""
        for name, value in state.items():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        size: int = self.__dict__["_size"]
        return size

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} bits)"  # never print key bits


class SiftedKey(_KeyBits):
    """One party's outcomes in the key rounds; equal to the other party's up to errors.

    Attributes:
        bits: The key, uint8 of 0 and 1, shape (n,), read-only; never shown by ``repr``.

    Examples:
        >>> SiftedKey(np.array([0, 1, 1], np.uint8))
        SiftedKey(3 bits)
    """


class ReconciledKey(_KeyBits):
    """One party's key after error correction; equal to the other's, but nobody checked yet."""


class VerifiedKey(_KeyBits):
    """One party's key whose hash agreed with the other party's."""


@dataclass(frozen=True, eq=False, repr=False)
class SecretKey(_KeyBits):
    """A finished key, with what was assumed to call it secret.

    Attributes:
        bits: The key itself; uint8, shape (n,).
        key_id: Identifies the key to both parties; a UUID in hexadecimal with hyphens.
        security: The security model under which it is secret.
        epsilon: Its composable failure probability; None if no theorem gives one, as asymptotic
            formulas do not.
        reproducible: Whether physics or protocol was seeded.  Such a key is for tests: whoever
            knows the seed can make it again.
        theorem: Name of the theorem that gave its length; None if that is not known.
        attacks: Which attacks the theorem covers; None if that is not known.
        bell_test: Whether a Bell test had to pass; None if that is not known.

    Examples:
        >>> name = "12345678-1234-4234-8234-123456789abc"
        >>> bits = np.zeros(256, np.uint8)
        >>> SecretKey(bits, name, SecurityModel.TRUSTED_ANALYSERS, 1e-10, reproducible=True)
        SecretKey(256 bits)
    """

    key_id: str
    security: SecurityModel
    epsilon: float | None
    reproducible: bool
    theorem: str | None = None
    attacks: str | None = None
    bell_test: bool | None = None

    def __bytes__(self) -> bytes:
        """Return the key bytes, first bit highest; fewer than 8 bits at the end are dropped.

        As `bits` and `packed` it uses nothing up: a key in hand is a value, and using its bits once
        is then the caller's part.  `e91.keys.KeyStore` sees to it, with the same bytes.

        Examples:
            >>> name = "12345678-1234-4234-8234-123456789abc"
            >>> bits = np.array([0, 1, 0, 0, 0, 0, 0, 1, 1], np.uint8)
            >>> key = SecretKey(bits, name, SecurityModel.TRUSTED_ANALYSERS, 1e-10, True)
            >>> bytes(key), key.hex(), key
            (b'A', '41', SecretKey(9 bits))
        """
        return bytes(self.packed[: len(self) // 8])

    def hex(self) -> str:
        """Return the bytes of `__bytes__` in hexadecimal, two digits each."""
        return bytes(self).hex()


@dataclass(frozen=True)
class ChshEstimate:
    """The CHSH value of a session and how well it is known.

    Attributes:
        value: S, dimensionless; at most 2 for local models, 2 sqrt(2) for quantum theory.  None
            if some setting pair never occurred, or there is no Bell test.
        standard_error: One standard deviation of ``value``, from the binomial counts.
        lower_bound: S, averaged over the rounds, is at least this except with the probability
            that was asked for; None where a test has refuted what the bound rests on, or there
            is no Bell test.
        p_value: Probability that a local model, with memory or without, does as well; None as
            ``lower_bound`` is.
        rounds: Number of rounds that entered, over all four setting pairs.

    Examples:
        >>> found = ChshEstimate(2.7, 0.02, lower_bound=2.55, p_value=1e-30, rounds=40_000)
        >>> found.value, found.lower_bound > 2
        (2.7, True)
    """

    value: float | None
    standard_error: float | None
    lower_bound: float | None
    p_value: float | None
    rounds: int

    @property
    def at_least(self) -> float:
        """The lower bound on S; -4, which no S is below, where none is stated."""
        return -4.0 if self.lower_bound is None else self.lower_bound

    def without_bounds(self) -> Self:
        """Return the estimate alone, for data that refute what the bounds rest on."""
        return replace(self, lower_bound=None, p_value=None)


@dataclass(frozen=True)
class QberEstimate:
    """The error rate of the key rounds, from the revealed sample.

    Attributes:
        rate: Errors over revealed bits; None if nothing was revealed.
        upper_bound: The error rate of the bits that were not revealed is at most this except
            with the probability that was asked for; None where the messages were altered.
        revealed: Number of revealed bits, which have left the key.
        errors: How many of them differed.

    Examples:
        >>> QberEstimate(rate=0.02, upper_bound=0.035, revealed=1_000, errors=20).rate
        0.02
    """

    rate: float | None
    upper_bound: float | None
    revealed: int
    errors: int


@dataclass(frozen=True)
class SecretLength:
    """How long a key may be, as a sum of gains and losses.

    Attributes:
        terms: What each step adds (the sifted key) or takes, in bits, with its name.
        phase_error: The phase-error rate that was assumed of the key, or None if the security
            model knows none.

    Examples:
        >>> terms = ("sifted key", 20_000.0), ("error correction", -4_000.0), ("Eve", -6_000.0)
        >>> SecretLength(terms, phase_error=0.03).bits
        10000
    """

    terms: tuple[tuple[str, float], ...]
    phase_error: float | None

    @property
    def bits(self) -> int:
        """The sum, rounded down; 0 means no key."""
        return max(0, math.floor(math.fsum(bits for _, bits in self.terms)))

    @property
    def limit(self) -> tuple[str, float]:
        """The term that takes most, with its name: what limits this key."""
        return min(self.terms, key=lambda term: term[1])


@dataclass(frozen=True)
class Leak:
    """Key bits that the parties' messages disclosed.

    Attributes:
        alice: Bits that Alice sent about her key.
        bob: Bits that Bob sent about his.
        portions: Alice's bits about each portion of a divided key; empty if it is whole.

    Examples:
        >>> Leak(alice=900, bob=40).total
        940
    """

    alice: int = 0
    bob: int = 0
    portions: tuple[int, ...] = ()

    @property
    def total(self) -> int:
        """Both parties' bits together."""
        return self.alice + self.bob


@dataclass(frozen=True)
class Release:
    """A passing verdict: the only thing that lets a verified key become a secret one.

    Attributes:
        chsh: The Bell test that passed; one of no rounds if there was none.
        length: The positive length that the security model allows.
        needs_bell_test: Whether a Bell test must have passed.  It need not where the settings
            have none and the theorem needs none; but one that was made must have passed.

    Raises:
        ValueError: The lower bound on S does not exceed 2 though a Bell test was needed, or made,
            or nothing secret would be left.

    Examples:
        >>> length = SecretLength((("sifted key", 100.0),), phase_error=0.0)
        >>> passed = ChshEstimate(2.7, 0.02, lower_bound=2.55, p_value=1e-30, rounds=40_000)
        >>> Release(passed, length).length.bits
        100
    """

    chsh: ChshEstimate
    length: SecretLength
    needs_bell_test: bool = True

    def __post_init__(self) -> None:
        tested = self.needs_bell_test or self.chsh.rounds > 0
        if tested and not self.chsh.at_least > 2:
            raise ValueError(
                f"A released key must have a lower bound on S above 2, but it is "
                f"{self.chsh.at_least:.4g}."
            )
        if self.length.bits == 0:
            raise ValueError("A released key must have a positive length, but it would be 0 bits.")
