"""Why mitigated values certify nothing: a local source gets an S beyond quantum theory.

Read-out mitigation inverts the confusion of the outcomes that a calibration claims.  It gives
quasi-probabilities that no shot has, and believes the calibration.
"""

import numpy as np
import pytest
from statistical import assert_binomial

import e91
from e91.devices.exact import ExactDevice
from e91.model.device import DeviceInfo
from e91.model.settings import EKERT

TSIRELSON = 2 * np.sqrt(2)
TRUE_FLIPS, CLAIMED_FLIPS = 0.03, 0.12

# The best local strategy for Ekert's four pairs: both answers are fixed beforehand, S = 2.
ALICE, BOB = (0, 0, 0), (0, 0, 0)


def confusion(flips):
    """Read outcome (row) given true outcome (column), for both parties' bits as (a, b)."""
    one = np.array([[1 - flips, flips], [flips, 1 - flips]])
    return np.kron(one, one)


def local_table(flips):
    """Outcomes of the local strategy, read with the given chance of a flip at each party."""
    table = np.zeros((3, 3, 4))
    for x, y in np.ndindex(3, 3):
        table[x, y, 2 * ALICE[x] + BOB[y]] = 1
    return (table @ confusion(flips).T).reshape(3, 3, 2, 2)


def mitigated(table, claimed):
    inverse = np.linalg.inv(confusion(claimed))
    return (table.reshape(3, 3, 4) @ inverse.T).reshape(table.shape)


def chsh(table):
    e = table[..., 0, 0] + table[..., 1, 1] - table[..., 0, 1] - table[..., 1, 0]
    return sum(sign * e[pair] for pair, sign in EKERT.chsh_pairs)


def test_mitigation_lifts_a_local_source_beyond_quantum_theory():
    raw = chsh(local_table(TRUE_FLIPS))
    lifted = chsh(mitigated(local_table(TRUE_FLIPS), CLAIMED_FLIPS))
    assert raw == pytest.approx(2 * 0.94**2)  # 1.767, as every local source: below 2
    assert lifted == pytest.approx(raw / 0.76**2)  # each correlator is divided by (1 - 2 q)^2
    assert lifted == pytest.approx(3.0596, abs=5e-5)
    assert lifted > TSIRELSON


def test_mitigated_values_are_no_probabilities():
    assert mitigated(local_table(TRUE_FLIPS), CLAIMED_FLIPS).min() < -0.05


def test_mitigation_with_the_true_confusion_gives_back_the_local_bound_and_no_more():
    assert chsh(mitigated(local_table(TRUE_FLIPS), TRUE_FLIPS)) == pytest.approx(2)


def test_session_of_the_same_source_looks_at_raw_shots_and_gives_no_key():
    table, rng = local_table(TRUE_FLIPS), np.random.default_rng(1)
    report = e91.run(
        ExactDevice(DeviceInfo(EKERT, "a local cheat"), table, rng.bytes), rounds=100_000, seed=1
    )
    assert report.abort is e91.Abort.NO_VIOLATION
    won = round((report.chsh.value + 4) / 8 * report.chsh.rounds)
    p = (2 * 0.94**2 + 4) / 8
    assert_binomial(won, report.chsh.rounds, p, must_detect=p - 0.02)


def test_mitigation_leaves_the_key_as_noisy_as_it_was():
    # The QBER of an honest pair read with 12 % flips can be mitigated to nothing; the bits cannot.
    honest = e91.exact_device(readout_error=CLAIMED_FLIPS).table
    errors = mitigated(honest, CLAIMED_FLIPS)[EKERT.key_pairs[0]][[0, 1], [1, 0]].sum()
    assert errors == pytest.approx(0, abs=1e-12)
    report = e91.run(e91.exact_device(readout_error=CLAIMED_FLIPS, seed=1), rounds=100_000, seed=1)
    q = 2 * CLAIMED_FLIPS * (1 - CLAIMED_FLIPS)
    errors = round(report.qber.rate * report.qber.revealed)
    assert_binomial(errors, report.qber.revealed, q, must_detect=q - 0.09)
    assert report.abort is not None
