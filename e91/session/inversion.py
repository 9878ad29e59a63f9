"""Outcomes that look inverted: 0 and 1 exchanged at one party, or the pairs of a singlet source."""

import numpy as np

from e91.model.bits import NO_CLICK
from e91.model.records import DetectionRecord
from e91.model.settings import Settings

ERROR_RATE_IF_INVERTED = 0.9
"""Above it, and with S at most -2, no eavesdropper but a convention explains the outcomes."""

_PIECE = 2**20
"""Rounds counted at once, so that memory does not grow with the recording."""


def looks_inverted(
    *, chsh_value: float | None, error_rate: float | None, bell_test: bool = True
) -> bool:
    """Return whether one party's outcomes look inverted.

    Inverting one party's outcomes turns S into -S and an error rate Q into 1 - Q.

    Args:
        chsh_value: S, in [-4, 4]; None if a pair never occurred.
        error_rate: Of the key rounds, in [0, 1]; None if there are none.
        bell_test: Whether there is a Bell test; else the error rate alone decides.

    Examples:
        >>> looks_inverted(chsh_value=-2.7, error_rate=0.99)
        True
        >>> looks_inverted(chsh_value=-2.7, error_rate=0.5)
        False
    """
    if error_rate is None or not error_rate > ERROR_RATE_IF_INVERTED:
        return False
    return not bell_test or (chsh_value is not None and chsh_value <= -2)


def record_looks_inverted(record: DetectionRecord, settings: Settings) -> bool:
    """Return whether one party's outcomes look inverted, judged by all rounds with two clicks.

    Args:
        record: Both parties' rounds; its settings are indices of ``settings``.
        settings: Which pairs make the key and the Bell test.

    Examples:
        >>> from e91.model.records import PartyRecord
        >>> from e91.model.settings import EKERT
        >>> x, y = [1, 0, 0, 2, 2], [0, 0, 2, 0, 2]  # a key round, then the four of the Bell test
        >>> alice, bob = PartyRecord(x, [0] * 5), PartyRecord(y, [1, 1, 0, 1, 1])
        >>> record_looks_inverted(DetectionRecord(alice, bob), EKERT)
        True
        >>> record_looks_inverted(DetectionRecord(alice, bob).flipped("bob"), EKERT)
        False
    """
    shape = len(settings.alice_angles), len(settings.bob_angles), 3, 3
    counts = np.zeros(shape, np.int64)
    alice, bob = record.alice, record.bob
    for start in range(0, len(record), _PIECE):
        piece = slice(start, start + _PIECE)
        columns = alice.setting[piece], bob.setting[piece], alice.outcome[piece], bob.outcome[piece]
        cells = np.ravel_multi_index(tuple(column.astype(np.intp) for column in columns), shape)
        counts += np.bincount(cells, minlength=counts.size).reshape(shape)
    clicks = counts[:, :, :NO_CLICK, :NO_CLICK]
    same = clicks[:, :, 0, 0] + clicks[:, :, 1, 1]
    rounds = clicks.sum(axis=(2, 3))
    key_rounds = sum(int(rounds[pair]) for pair in settings.key_pairs)
    if key_rounds == 0 or any(rounds[pair] == 0 for pair, _ in settings.chsh_pairs):
        return False
    agreed = sum(
        int(same[pair] if sign > 0 else rounds[pair] - same[pair])
        for pair, sign in settings.signed_key_pairs
    )
    value = sum(sign * (2 * same[pair] / rounds[pair] - 1) for pair, sign in settings.chsh_pairs)
    return looks_inverted(
        chsh_value=float(value),
        error_rate=1 - agreed / key_rounds,
        bell_test=bool(settings.chsh_pairs),
    )
