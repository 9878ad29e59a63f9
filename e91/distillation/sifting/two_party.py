"""Sifting: agree on what each round is for, and reveal what the tests need.

Alice and Bob announce their settings (and which rounds they lost), Alice announces which key
rounds she reveals, and both reveal their outcomes in those and in the Bell-test rounds.  Each
function here is one party's; `exchange` only carries their messages.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from e91.model.bits import NO_CLICK, Bits, pack, unpack
from e91.model.errors import AuthenticationFailed
from e91.model.evidence import Evidence, JointCounts, KeySample
from e91.model.messages import Channel, Message, Party
from e91.model.randomness import Entropy, random_choice
from e91.model.records import DetectionRecord, PartyRecord, SiftedKey
from e91.model.settings import Settings

Counts = NDArray[np.int64]

_What = TypeVar("_What")

_LOST = 255


class Role(IntEnum):
    """What a round is for; both parties work it out from the announced settings alone.

    Attributes:
        DISCARDED: Nothing: a photon was lost, or the pair of settings has no use.
        KEY: One bit of each party's key.
        REVEALED: A key round that Alice has chosen to estimate the error rate.
        BELL_TEST: The estimate of S.

    Examples:
        >>> [role.name for role in Role if role >= Role.REVEALED]  # whose outcomes are announced
        ['REVEALED', 'BELL_TEST']
    """

    DISCARDED = 0
    KEY = 1
    REVEALED = 2
    BELL_TEST = 3


@dataclass(frozen=True, eq=False)
class Sifted:
    """One party's result of sifting.

    Attributes:
        key: That party's outcomes in the key rounds.
        evidence: What the public announcements say, as that party heard them.

    Examples:
        >>> from e91.model.settings import BBM92
        >>> found = Sifted(SiftedKey(np.array([0, 1, 1], np.uint8)), Evidence.empty(BBM92))
        >>> len(found.key), found.evidence.sample_size
        (3, 0)
    """

    key: SiftedKey
    evidence: Evidence


def assign_lost_photons(record: PartyRecord) -> PartyRecord:
    """Return ``record`` with every missing click counted as outcome 0.

    Device-independent security allows no post-selection: a lost photon is an outcome like any
    other, and a fixed assignment is a strategy that the device could have followed itself.

    Args:
        record: A party's settings and outcomes; an outcome is 0, 1, or 2 for no click.

    Returns:
        A new record of the same length, whose outcomes are 0 and 1 alone.

    Examples:
        >>> record = PartyRecord(np.array([0, 1], np.uint8), np.array([1, 2], np.uint8))
        >>> assign_lost_photons(record).outcome
        array([1, 0], dtype=uint8)
    """
    return PartyRecord(record.setting, np.where(record.outcome == NO_CLICK, 0, record.outcome))


def announce_settings(record: PartyRecord) -> bytes:
    """Return one byte a round: the setting, or 255 where no photon was seen.

    Args:
        record: The party's own settings and outcomes.

    Returns:
        One byte a round.

    Examples:
        >>> record = PartyRecord(np.array([0, 1], np.uint8), np.array([1, 2], np.uint8))
        >>> list(announce_settings(record))
        [0, 255]
    """
    return np.where(record.outcome == NO_CLICK, np.uint8(_LOST), record.setting).tobytes()


def read_settings(announced: bytes, *, rounds: int, choices: int) -> Bits:
    """Return the peer's announced settings.

    Args:
        announced: What was heard.
        rounds: How many rounds there were.
        choices: How many settings the peer has.

    Returns:
        Settings, 255 where the peer saw no photon; uint8, shape (rounds,).

    Raises:
        AuthenticationFailed: The announcement is not one that an honest peer makes.

    Examples:
        >>> read_settings(bytes([0, 255]), rounds=2, choices=3)
        array([  0, 255], dtype=uint8)
    """
    heard = np.frombuffer(announced, np.uint8)
    if len(heard) != rounds or not np.all((heard < choices) | (heard == _LOST)):
        raise AuthenticationFailed("A settings announcement was altered.")
    return heard


def assign_roles(alice: Bits, bob: Bits, *, settings: Settings) -> Bits:
    """Return the `Role` of every round from both announcements, before any key is revealed.

    Args:
        alice: Alice's announced settings, 255 for a lost photon; uint8, shape (n,).
        bob: Bob's.
        settings: Which pairs of settings are for the key and for the Bell test.

    Returns:
        Roles; uint8, shape (n,).

    Examples:
        >>> from e91.model.settings import BBM92
        >>> alice, bob = np.array([0, 0, 255], np.uint8), np.array([0, 2, 0], np.uint8)
        >>> [Role(role).name for role in assign_roles(alice, bob, settings=BBM92)]
        ['KEY', 'BELL_TEST', 'DISCARDED']
    """
    table = np.full((256, 256), Role.DISCARDED, np.uint8)
    for pair in settings.key_pairs:
        table[pair] = Role.KEY
    for pair, _ in settings.chsh_pairs:
        table[pair] = Role.BELL_TEST
    roles: Bits = table[alice, bob]
    return roles


def choose_sample(roles: Bits, *, fraction: float, entropy: Entropy) -> bytes:
    """Choose key rounds at random; return one packed bit each, 1 for "reveal it".

    Args:
        roles: Role of every round; uint8, shape (n,).
        fraction: Probability that a key round is revealed, in [0, 1].
        entropy: The protocol's randomness.

    Returns:
        Bits of the key rounds in their order, eight to a byte, the first one highest.

    Examples:
        >>> import os
        >>> roles = np.array([Role.KEY, Role.BELL_TEST, Role.KEY], np.uint8)
        >>> choose_sample(roles, fraction=1.0, entropy=os.urandom).hex()  # 11 and six zeros
        'c0'
    """
    chosen = random_choice(entropy, (1 - fraction, fraction), int(np.sum(roles == Role.KEY)))
    return pack(chosen)


def mark_sample(roles: Bits, sample: bytes) -> Bits:
    """Return ``roles`` with the sampled key rounds marked as revealed.

    Args:
        roles: Role of every round; uint8, shape (n,).
        sample: Alice's announcement, from `choose_sample`.

    Returns:
        The new roles; uint8, shape (n,).

    Raises:
        AuthenticationFailed: The announcement does not fit the number of key rounds.

    Examples:
        >>> roles = np.array([Role.KEY, Role.BELL_TEST, Role.KEY], np.uint8)
        >>> [Role(role).name for role in mark_sample(roles, bytes([0b01000000]))]
        ['KEY', 'BELL_TEST', 'REVEALED']
    """
    key_rounds = np.flatnonzero(roles == Role.KEY)
    marked = roles.copy()
    marked[key_rounds[read_bits(sample, len(key_rounds)) == 1]] = Role.REVEALED
    return marked


def reveal(record: PartyRecord, roles: Bits) -> bytes:
    """Return this party's outcomes in the revealed and Bell-test rounds, packed.

    Args:
        record: That party's half.
        roles: Role of every round, with the sample marked; uint8, shape (n,).

    Returns:
        The outcomes in the order of the rounds, eight to a byte, the first one highest.

    Examples:
        >>> record = PartyRecord(np.zeros(3, np.uint8), np.array([1, 0, 1], np.uint8))
        >>> roles = np.array([Role.REVEALED, Role.KEY, Role.BELL_TEST], np.uint8)
        >>> reveal(record, roles).hex()  # 11 and six zeros; the key bit stays
        'c0'
    """
    return pack(record.outcome[roles >= Role.REVEALED])


def key_of(record: PartyRecord, roles: Bits, *, inverted: Bits | None = None) -> SiftedKey:
    """Return this party's outcomes in the key rounds that stay secret.

    Args:
        record: That party's half.
        roles: Role of every round.
        inverted: 1 where opposite outcomes are equal key bits; Bob's, or None.

    Returns:
        The key, one bit for each round of the role KEY.

    Examples:
        >>> record = PartyRecord(np.zeros(3, np.uint8), np.array([1, 0, 1], np.uint8))
        >>> roles = np.array([Role.KEY, Role.KEY, Role.BELL_TEST], np.uint8)
        >>> key_of(record, roles).bits
        array([1, 0], dtype=uint8)
    """
    kept = roles == Role.KEY
    bits = record.outcome[kept]
    return SiftedKey(bits if inverted is None else bits ^ inverted[kept])


def inverted_rounds(alice: Bits, bob: Bits, *, settings: Settings) -> Bits | None:
    """Return 1 for each round in which Bob inverts his key bit; None if he never does."""
    if -1 not in settings.key_signs:
        return None
    table = np.zeros((256, 256), np.uint8)
    for pair, sign in settings.signed_key_pairs:
        table[pair] = sign < 0
    rounds: Bits = table[alice, bob]
    return rounds


def tally(
    roles: Bits, alice: Bits, bob: Bits, *, revealed: tuple[bytes, bytes], settings: Settings
) -> Evidence:
    """Count what the revealed rounds show.

    Args:
        roles: Role of every round, with the sample marked.
        alice: Alice's announced settings.
        bob: Bob's announced settings.
        revealed: What the two parties revealed.
        settings: Which pairs make the CHSH sum.

    Returns:
        The public counts: Bell tests, sample and errors, rounds of each pair of settings.

    Raises:
        AuthenticationFailed: A party revealed another number of bits than there are rounds.

    Examples:
        >>> from e91.model.settings import BBM92
        >>> alice = bob = np.zeros(2, np.uint8)
        >>> roles = np.array([Role.REVEALED, Role.KEY], np.uint8)
        >>> found = tally(roles, alice, bob, revealed=(bytes([128]), bytes([0])), settings=BBM92)
        >>> found.sample_size, found.sample_errors
        (1, 1)
    """
    open_rounds = np.flatnonzero(roles >= Role.REVEALED)
    first, second = (read_bits(body, len(open_rounds)) for body in revealed)
    pairs = alice.astype(np.int64) * 256 + bob
    outcomes = np.bincount(pairs[open_rounds] * 4 + 2 * first + second, minlength=4 * 256 * 256)
    shown = outcomes.reshape(256, 256, 2, 2)
    seen = np.bincount(pairs, minlength=256 * 256).reshape(256, 256)
    hidden = np.bincount(pairs[roles == Role.KEY], minlength=256 * 256).reshape(256, 256)
    seen = seen[: len(settings.alice_angles), : len(settings.bob_angles)]
    return evidence_of(seen, shown, shown, hidden, settings)


def evidence_of(
    seen: Counts, tested: Counts, shown: Counts, hidden: Counts, settings: Settings
) -> Evidence:
    """Return the public counts.

    Args:
        seen: Rounds in which both parties saw a photon, ``seen[x, y]`` for all settings.
        tested: Outcomes of the Bell tests, ``tested[x, y, a, b]``.
        shown: Those of the revealed key rounds, likewise.
        hidden: How many key rounds stay hidden: ``hidden[x, y]``, or by outcomes.
        settings: Which pairs make the CHSH sum and the key.
    """
    return Evidence(
        tests=tuple(_table(tested[pair]) for pair, _ in settings.chsh_pairs),
        samples=tuple(
            KeySample(
                int(hidden[pair].sum()),
                int(shown[pair].sum()),
                _errors(shown[pair], sign),
            )
            for pair, sign in settings.signed_key_pairs
        ),
        pair_counts=tuple(tuple(row) for row in seen.tolist()),
        signs=settings.signs,
    )


def _errors(counts: Counts, sign: int) -> int:
    """Return how many of these outcomes are not the key bits' agreement."""
    wrong = [(0, 1), (1, 0)] if sign > 0 else [(0, 0), (1, 1)]
    return sum(int(counts[cell]) for cell in wrong)


def _table(counts: Counts) -> JointCounts:
    both_plus, plus_minus, minus_plus, both_minus = counts.ravel().tolist()
    return both_plus, plus_minus, minus_plus, both_minus


def exchange(
    record: DetectionRecord,
    *,
    settings: Settings,
    fraction: float,
    entropy: Entropy,
    channel: Channel,
) -> tuple[Sifted, Sifted]:
    """Let both parties sift over ``channel``; return Alice's and Bob's results.

    Nothing here discloses a bit of the key: revealed rounds have left it.

    Args:
        record: Settings and outcomes of both parties.
        settings: What each pair of settings is for.
        fraction: Probability that a key round is revealed, in [0, 1].
        entropy: The protocol's randomness for the sample.
        channel: Carries every announcement, and keeps the transcript.

    Returns:
        The key of each party, and the public counts as each of them heard them.

    Raises:
        AuthenticationFailed: A message was altered so that it makes no sense any more.

    Examples:
        >>> import os
        >>> from e91.model.settings import BBM92
        >>> half = PartyRecord(np.zeros(100, np.uint8), np.zeros(100, np.uint8))
        >>> record = DetectionRecord(half, half)
        >>> channel = Channel()
        >>> alice, bob = exchange(
        ...     record, settings=BBM92, fraction=0.5, entropy=os.urandom, channel=channel
        ... )
        >>> len(alice.key) + alice.evidence.sample_size, len(alice.key) == len(bob.key)
        (100, True)
    """
    halves = {Party.ALICE: record.alice, Party.BOB: record.bob}
    choices = {Party.ALICE: len(settings.alice_angles), Party.BOB: len(settings.bob_angles)}
    announced = {party: announce_settings(half) for party, half in halves.items()}
    heard = _swap(announced, subject="settings", channel=channel)
    views: dict[Party, tuple[Bits, Bits]] = {}
    for party in Party:
        own = np.frombuffer(announced[party], np.uint8)
        other = read_settings(heard[party], rounds=len(record), choices=choices[party.peer])
        views[party] = _alices_first(party, own, other)
    roles = {party: assign_roles(*views[party], settings=settings) for party in Party}
    sample = choose_sample(roles[Party.ALICE], fraction=fraction, entropy=entropy)
    sample_heard = channel.send(Message(Party.ALICE, "sample", sample)).body
    roles[Party.ALICE] = mark_sample(roles[Party.ALICE], sample)
    roles[Party.BOB] = mark_sample(roles[Party.BOB], sample_heard)
    revealed = {party: reveal(halves[party], roles[party]) for party in Party}
    answers = _swap(revealed, subject="revealed outcomes", channel=channel)
    inverted = {Party.ALICE: None, Party.BOB: inverted_rounds(*views[Party.BOB], settings=settings)}
    outcomes = {party: _alices_first(party, revealed[party], answers[party]) for party in Party}
    alice, bob = (
        Sifted(
            key_of(halves[party], roles[party], inverted=inverted[party]),
            tally(roles[party], *views[party], revealed=outcomes[party], settings=settings),
        )
        for party in Party
    )
    # Keys of unequal length cannot get through Cascade: the first parities would not fit.
    if len(alice.key) != len(bob.key):
        raise AuthenticationFailed("The parties count different numbers of key rounds.")
    return alice, bob


def _alices_first(party: Party, own: _What, other: _What) -> tuple[_What, _What]:
    """Return what a party has and what it heard, Alice's first."""
    return (own, other) if party is Party.ALICE else (other, own)


def _swap(bodies: dict[Party, bytes], *, subject: str, channel: Channel) -> dict[Party, bytes]:
    """Send each party's body to the other; return what each of them hears."""
    return {
        party.peer: channel.send(Message(party, subject, bodies[party])).body for party in Party
    }


def read_bits(body: bytes, count: int) -> Bits:
    """Return the first ``count`` bits that the peer sent.

    Raises:
        AuthenticationFailed: The body has another number of bytes than that takes.
    """
    try:
        return unpack(body, count)
    except ValueError:
        raise AuthenticationFailed("An announcement was altered.") from None
