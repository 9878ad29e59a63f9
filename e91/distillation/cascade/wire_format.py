"""What the messages of Cascade look like, and how they are read without trust.

Bits stand first bit lowest, numbers lowest byte first (the machine's own order on all that NumPy
supports and numba compiles for; a big-endian machine is refused).  A word of parities, one bit per
frame, takes a whole number of bytes.  A question is iteration, frame and place in 32 bits.
"""

import math
import struct

import numpy as np

from e91.distillation.cascade.schedule import CHECK_BITS, Questions, Schedule, Words
from e91.model.errors import AuthenticationFailed
from e91.model.messages import Message, Party

SEED_BYTES = 32
"""Length of the public seed of the shuffles."""

_CHECK_BYTES = -(-CHECK_BITS // 8)
_EQUAL, _DIFFERENT = b"\x00", b"\x01"
_SUBJECTS = {Party.ALICE: "cascade-parities", Party.BOB: "cascade-comparison"}


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


def write_block_parities(sender: Party, parities: Words, *, schedule: Schedule) -> Message:
    """Return the parities with which an iteration begins, or Bob's comparison of them.

    Args:
        sender: Who says it.
        parities: One bit for each frame in a word; uint64, (groups, edges).
        schedule: The schedule of the key.
    """
    body = parities.astype(schedule.lane_type).tobytes()
    return Message(sender, _SUBJECTS[sender], body, parities.size * schedule.lanes)


def read_block_parities(message: Message, shape: tuple[int, int], *, schedule: Schedule) -> Words:
    """Return parities as `write_block_parities` took them; ``shape`` is (groups, edges).

    Raises:
        AuthenticationFailed: The message has another size, or speaks of a frame that does not
            exist.
    """
    if len(message.body) != math.prod(shape) * schedule.lane_type.itemsize:
        raise malformed()
    parities = np.frombuffer(message.body, schedule.lane_type).astype(np.uint64)
    if schedule.lanes < 8 and (parities >> np.uint64(schedule.lanes)).any():
        raise malformed()
    return parities.reshape(shape)


def write_answers(sender: Party, answers: Words, count: int) -> Message:
    """Return Alice's answers to ``count`` questions, or Bob's comparison, 64 bits to a word."""
    return Message(sender, _SUBJECTS[sender], answers.tobytes()[: (count + 7) >> 3], count)


def read_answers(message: Message, count: int) -> Words:
    """Return answers as `write_answers` took them.

    Raises:
        AuthenticationFailed: The message has another size.
    """
    if len(message.body) != (count + 7) >> 3:
        raise malformed()
    # A bytearray can be written to: kernels are compiled for such arrays.
    return np.frombuffer(bytearray(message.body + bytes(-len(message.body) % 8)), np.uint64)


def add_questions(comparison: Message, questions: Questions) -> Message:
    """Return Bob's comparison bits with what he asks next.

    The questions follow from the comparison bits by a public rule, and spare Alice to follow it:
    they disclose no further bit.
    """
    body = comparison.body + questions.tobytes()
    return Message(comparison.sender, comparison.subject, body, comparison.disclosed_bits)


def read_questions(message: Message, skip: int) -> Questions:
    """Return Bob's questions, which follow ``skip`` bytes of comparison bits.

    Whether they make sense is seen when they are answered.

    Raises:
        AuthenticationFailed: The message is too short, or questions are cut off.
    """
    body = message.body
    if len(body) < skip or (len(body) - skip) % 4:
        raise malformed()
    return np.frombuffer(bytearray(body[skip:]), np.uint32)


def from_transcript(answers: bytes, comparison: bytes, count: int) -> tuple[Message, Message]:
    """Return Alice's answers to ``count`` questions, and Bob's comparison with his next ones."""
    return (
        Message(Party.ALICE, _SUBJECTS[Party.ALICE], answers, count),
        Message(Party.BOB, _SUBJECTS[Party.BOB], comparison, count),
    )


def write_check(parities: int) -> Message:
    """Return Alice's parities of random subsets."""
    body = parities.to_bytes(_CHECK_BYTES, "little")
    return Message(Party.ALICE, _SUBJECTS[Party.ALICE], body, CHECK_BITS)


def read_check(message: Message) -> int:
    """Return Alice's parities of random subsets.

    Raises:
        AuthenticationFailed: The message is malformed; a lost one is empty.
    """
    if len(message.body) != _CHECK_BYTES:
        raise malformed()
    return int.from_bytes(message.body, "little")


def write_verdict(*, differs: bool) -> Message:
    """Return Bob's verdict on the check: one comparison bit."""
    return Message(Party.BOB, _SUBJECTS[Party.BOB], _DIFFERENT if differs else _EQUAL, 1)


def read_verdict(message: Message) -> bool:
    """Return whether the check differed.

    Raises:
        AuthenticationFailed: The message is malformed; a lost one is empty.
    """
    if message.body not in (_EQUAL, _DIFFERENT):
        raise malformed()
    return message.body == _DIFFERENT
