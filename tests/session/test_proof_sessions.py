"""What the proofs assume of the protocol: who draws what when, and how much a forger can say."""

import struct

import numpy as np
import pytest

from e91.devices.exact import exact_device
from e91.distillation import authentication, verification
from e91.distillation.cascade.parties import Alice
from e91.distillation.cascade.schedule import CHECK_BITS, MOST_ITERATIONS
from e91.distillation.cascade.wire_format import write_opening
from e91.distillation.sifting import two_party as sifting
from e91.distillation.sifting.by_block import code_table
from e91.model.bits import NO_CLICK
from e91.model.messages import Channel, Message, Party
from e91.model.randomness import seeded_entropy
from e91.model.records import DetectionRecord, PartyRecord
from e91.model.settings import EKERT, SETTINGS
from e91.model.trust import SecurityModel
from e91.security import secret_length
from e91.security.policy import Policy
from e91.session.protocol import Means, distil
from e91.session.session import measure
from e91.session.verdict import check_policy, least_epsilon
from e91.system.workspace import Workspace

# Order --------------------------------------------------------------------------------------------


def story_of(policy, *, settings=EKERT, rounds=60_000):
    """All draws of entropy and all messages of a session, in order."""
    story, source = [], seeded_entropy(3)
    device = exact_device(visibility=0.99, seed=1, settings=settings)
    record = measure(device, rounds, settings=settings, entropy=source)

    def entropy(size):
        drawn = source(size)
        story.append(("drawn", drawn))
        return drawn

    def transmission(message):
        story.append((message.subject, message.body))
        return message

    channel, workspace = Channel(transmission), Workspace(compiled=False)
    made = distil(record, Means(settings, policy, entropy, channel, bytes(64), workspace))
    return story, made


POLICIES = {
    "whole": Policy(epsilon=1e-6),
    "portions": Policy(epsilon=1e-6, portions=4),
    "devices": Policy(SecurityModel.DEVICE_INDEPENDENT, epsilon=1e-2),
}


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_what_eve_must_not_know_is_drawn_when_she_can_no_longer_act_on_it(policy):
    story, made = story_of(policy)
    assert made.verdict.abort is None
    subjects = [subject for subject, _ in story]
    drawn = [i for i, subject in enumerate(subjects) if subject == "drawn"]

    def drawn_before(place):
        return max(i for i in drawn if i < place)

    def last(subject):
        return len(subjects) - 1 - subjects[::-1].index(subject)

    # Alice's choice of the sample: after both parties' settings, before any outcome.
    sample = subjects.index("sample")
    assert last("settings") < drawn_before(sample) < sample < subjects.index("revealed outcomes")
    # The division: after all that fixes where the errors are, and independent of it.
    if policy.portions > 1:
        divided = subjects.index("portions")
        assert last("revealed outcomes") < drawn_before(divided) < divided
        assert divided < subjects.index("cascade-open")
        assert subjects.count("portions") == 1
    # A hash key for every portion, when both keys are fixed.
    hashes = [i for i, subject in enumerate(subjects) if subject == "verification"]
    assert len(hashes) == policy.portions
    assert len({story[i][1][: verification.HASH_KEY_BYTES] for i in hashes}) == policy.portions
    for i in hashes:
        said = max(j for j in range(i) if subjects[j].startswith("cascade"))
        assert said < drawn_before(i)
    # The seed of the matrix: after all else but the tags.
    seed = subjects.index("hash seed")
    assert last("verified") < drawn_before(seed) < seed
    assert set(subjects[seed + 1 :]) == {"tag"}


def test_a_turn_is_drawn_for_every_row_of_a_divided_key():
    story, made = story_of(POLICIES["portions"])
    turns = next(body for subject, body in story if subject == "portions")
    size = made.verdict.evidence.key_size // 4096 * 4096 // 4
    assert len(turns) == size
    values = np.bincount(np.frombuffer(turns, np.uint8) % 4, minlength=4)
    assert values.min() > 0.8 * size / 4  # 8 standard deviations: no constant turn


# What a forger can say ----------------------------------------------------------------------------


def longest_conversation(bits):
    """Bytes of the longest transcript that a forger of Bob's messages gets out of Alice.

    He puts as many questions as she answers in every iteration, each in a message of its own, and
    never agrees, so that she goes through all iterations that there are.
    """
    words = np.zeros(-(-bits // 64), np.uint64)
    alice = Alice(words, bits=bits)
    heard = alice.answer(write_opening(bytes(32), 0.1))
    asked, iterations, total = 0, 0, 0
    while heard is not None:
        checking = heard.disclosed_bits == CHECK_BITS
        began = not checking and heard.disclosed_bits != 1
        iterations += began
        body = b"\x01" if checking else heard.body
        if not checking and asked < iterations * bits:
            body += struct.pack("<I", 1 + asked % (bits - 1))
            asked += 1
        answer = Message(Party.BOB, "cascade-comparison", body)
        total += sum(len(said.head) + len(said.body) for said in (heard, answer))
        heard = alice.answer(answer)
    assert (asked, iterations) == (MOST_ITERATIONS * bits, MOST_ITERATIONS)
    return total


@pytest.mark.parametrize("bits", [64, 500])
def test_longest_transcript_of_a_forger_is_what_the_tags_are_counted_for(bits):
    total = longest_conversation(bits)
    assert 16 * bits < total  # more than any honest one has
    # A key round is one of the rounds; all other messages have 3 bytes a round.
    counted = least_epsilon(bits) * secret_length.split(1.0).authentication / 2
    assert authentication.forgery_probability(total + 3 * bits) <= counted


def test_smallest_epsilon_is_what_hashes_and_tags_give():
    """Both shares of a budget of that epsilon are kept, and one of them would not be by less."""
    for rounds, portions in ((1, 1), (10**6, 1), (2**22, 64), (10**10, 64)):
        budget = secret_length.split(least_epsilon(rounds, portions=portions))
        forged = 2 * authentication.forgery_probability(4096 * rounds)
        collided = portions * verification.collision_probability(rounds)
        shares = (forged / budget.authentication, collided / budget.correctness)
        assert max(shares) == pytest.approx(1, rel=1e-9)


def test_policy_below_the_smallest_epsilon_is_refused():
    least = least_epsilon(10**6)
    check_policy(10**6, settings=EKERT, policy=Policy(epsilon=least * 1.001))
    with pytest.raises(ValueError, match=r"`epsilon` must be at least 1\.0e-21, what hashes"):
        check_policy(10**6, settings=EKERT, policy=Policy(epsilon=least * 0.999))


# What sifting tells of the key --------------------------------------------------------------------


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize(
    ("outcomes", "assign_lost"), [(2, False), (2, True), (3, True), (3, False)]
)
def test_announcement_of_a_key_round_is_the_same_whatever_its_bits_are(
    settings, outcomes, assign_lost
):
    """Where a lost photon counts as an outcome, it must look like the others."""
    meaning = code_table(settings, outcomes=outcomes, assign_lost=assign_lost)
    said = {pair: set() for pair in settings.key_pairs}
    for code, (x, y, a, b) in enumerate(np.ndindex(*meaning.shape)):
        if (x, y) in said and (assign_lost or NO_CLICK not in (a, b)):
            said[x, y].add(int(meaning.says[code]))
    assert [len(announcements) for announcements in said.values()] == [1] * len(said)


def lossy(record, generator):
    """The record of a link that loses a fifth of each party's photons."""
    return DetectionRecord(
        *(
            PartyRecord(
                half.setting,
                np.where(generator.random(len(half)) < 0.2, NO_CLICK, half.outcome).astype(
                    np.uint8
                ),
            )
            for half in (record.alice, record.bob)
        )
    )


def test_messages_of_a_device_independent_sifting_say_no_bit_of_the_key():
    """Two records that differ in the unrevealed key bits only are sifted with the same words."""
    generator = np.random.default_rng(5)
    device = exact_device(visibility=0.99, seed=1)
    record = lossy(measure(device, 4_000, settings=EKERT, entropy=seeded_entropy(2)), generator)

    def said(record):
        channel = Channel()
        halves = map(sifting.assign_lost_photons, (record.alice, record.bob))
        sifted = sifting.exchange(
            DetectionRecord(*halves),
            settings=EKERT,
            fraction=0.1,
            entropy=seeded_entropy(9),
            channel=channel,
        )
        return [message.body for message in channel.seen[Party.ALICE]], sifted

    words, (alice, _) = said(record)
    key_pair = np.zeros((3, 3), bool)
    key_pair[tuple(zip(*EKERT.key_pairs, strict=True))] = True
    kept = key_pair[record.alice.setting, record.bob.setting]
    chosen = np.unpackbits(np.frombuffer(words[2], np.uint8), count=int(kept.sum()))
    hidden = np.flatnonzero(kept)[chosen == 0]
    flipped = record.alice.outcome.copy()
    flipped[hidden] = np.where(flipped[hidden] == 1, NO_CLICK, 1)
    other = DetectionRecord(PartyRecord(record.alice.setting, flipped), record.bob)
    again, (changed, _) = said(other)
    assert not np.array_equal(alice.key.bits, changed.key.bits)
    assert words == again
