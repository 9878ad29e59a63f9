"""What the messages of Cascade look like, and how they are read without trust.

Bits stand first bit lowest, numbers lowest byte first (the machine's own order on all that NumPy
supports and numba compiles for; a big-endian machine is refused).  A word of parities, one bit per
frame, takes a whole number of bytes.  A question is pass, frame and place in 32 bits.
"""

from __future__ import annotations

import struct

import numpy as np

from e91.distillation.cascade.schedule import CHECK_BITS, Plan, Questions, Words
from e91.model.errors import AuthenticationFailed
from e91.model.messages import Message, Party

SEED_BYTES = 32
"""Length of the public seed of the shuffles."""

_CHECK_BYTES = -(-CHECK_BITS // 8)
_EQUAL, _DIFFERENT = b"\x00", b"\x01"


def malformed() -> AuthenticationFailed:
    """Return the error for a message that no honest party would have sent."""
    return AuthenticationFailed("A message of Cascade is missing or malformed.")


def write_opening(seed: bytes, error_rate: float) -> Message:
    """Return Bob's first message."""
    return Message(Party.BOB, "cascade-open", seed + struct.pack("<d", error_rate))


def read_opening(message: Message) -> tuple[bytes, float]:
    """Return seed and error rate.

    Raises:
        AuthenticationFailed: The message is malformed, or the rate leaves [0, 0.5].
    """
    seed, rate = message.body[:SEED_BYTES], message.body[SEED_BYTES:]
    if len(rate) != 8 or not 0 <= (error_rate := struct.unpack("<d", rate)[0]) <= 0.5:
        raise malformed()
    return seed, error_rate


def write_parities(
    sender: Party, answers: Words, count: int, told: Words, *, plan: Plan
) -> Message:
    """Return parities (of Alice) or comparison bits (of Bob) with their number as disclosed bits.

    Args:
        sender: Who says it.
        answers: Bits, 64 to a word.
        count: How many.
        told: Words of parities, one bit per frame; uint64, (groups, edges).
        plan: The plan of the key.
    """
    body, disclosed = answers.tobytes()[: (count + 7) >> 3], count
    if told.size:
        body += told.astype(plan.lane_type).tobytes()
        disclosed += told.size * plan.lanes
    subject = "cascade-parities" if sender is Party.ALICE else "cascade-comparison"
    return Message(sender, subject, body, disclosed)


def parities_size(count: int, edges: int, *, plan: Plan, groups: int) -> int:
    """Return the bytes that `write_parities` takes for ``count`` answers and words at edges."""
    return ((count + 7) >> 3) + groups * edges * plan.lane_type.itemsize


def read_parities(
    message: Message | None, count: int, edges: int, *, plan: Plan, groups: int
) -> tuple[Words, Words]:
    """Return answers and words of parities, as `write_parities` took them.

    Raises:
        AuthenticationFailed: The message is missing or has another size, or speaks of a frame that
            does not exist.
    """
    body, middle = b"" if message is None else message.body, (count + 7) >> 3
    if len(body) != parities_size(count, edges, plan=plan, groups=groups):
        raise malformed()
    answers = np.frombuffer(bytearray(body[:middle] + bytes(-middle % 8)), np.uint64)
    told = np.frombuffer(body[middle:], plan.lane_type).astype(np.uint64)
    if plan.lanes < 8 and (told >> np.uint64(plan.lanes)).any():
        raise malformed()
    return answers, told.reshape(groups, edges)


def add_questions(comparison: Message, questions: Questions) -> Message:
    """Return Bob's comparison bits with what he asks next.

    The questions follow from the comparison bits by a public rule, and spare Alice to follow it:
    they disclose no further bit.
    """
    body = comparison.body + questions.tobytes()
    return Message(comparison.sender, comparison.subject, body, comparison.disclosed_bits)


def from_log(answers: bytes, comparison: bytes, count: int) -> tuple[Message, Message]:
    """Return Alice's answers, and Bob's comparison bits with what he asks next, of one round."""
    return (
        Message(Party.ALICE, "cascade-parities", answers, count),
        Message(Party.BOB, "cascade-comparison", comparison, count),
    )


def read_questions(message: Message | None, skip: int) -> Questions:
    """Return Bob's questions, which follow ``skip`` bytes of comparison bits.

    Whether they make sense is seen when they are answered.

    Raises:
        AuthenticationFailed: The message is missing or too short, or questions are cut off.
    """
    body = b"" if message is None else message.body
    if len(body) < skip or (len(body) - skip) % 4:
        raise malformed()
    # A bytearray can be written to: kernels are compiled for such arrays.
    return np.frombuffer(bytearray(body[skip:]), np.uint32)


def write_check(parities: int) -> Message:
    """Return Alice's parities of random subsets."""
    body = parities.to_bytes(_CHECK_BYTES, "little")
    return Message(Party.ALICE, "cascade-parities", body, CHECK_BITS)


def read_check(message: Message | None) -> int:
    """Return Alice's parities of random subsets.

    Raises:
        AuthenticationFailed: The message is missing or malformed.
    """
    if message is None or len(message.body) != _CHECK_BYTES:
        raise malformed()
    return int.from_bytes(message.body, "little")


def write_verdict(*, differs: bool) -> Message:
    """Return Bob's word on the check: one comparison bit."""
    return Message(Party.BOB, "cascade-comparison", _DIFFERENT if differs else _EQUAL, 1)


def read_verdict(message: Message | None) -> bool:
    """Return whether the check differed.

    Raises:
        AuthenticationFailed: The message is missing or malformed.
    """
    if message is None or message.body not in (_EQUAL, _DIFFERENT):
        raise malformed()
    return message.body == _DIFFERENT
