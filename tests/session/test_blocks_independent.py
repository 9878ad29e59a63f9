"""No interval of a run is another one again: a repeated block would be a repeated key."""

from itertools import combinations

import numpy as np
import pytest
from statistical import assert_binomial

from e91.devices.exact import exact_device
from e91.recorded import load_detections
from e91.session.streaming import PART_ROUNDS, stream

BLOCK = 2 * PART_ROUNDS


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Three blocks of two parts: their reports, and the parts of their records in order."""
    folder = tmp_path_factory.mktemp("run") / "kept"
    folder.mkdir()
    device = exact_device(visibility=0.98, seed=1)
    reports = list(stream(device, rounds=3 * BLOCK, block_rounds=BLOCK, seed=1, keep=folder))
    records = [load_detections(file).record for file in sorted(folder.glob("*.npz"))]
    parts = [
        tuple(column[start : start + PART_ROUNDS] for column in columns)
        for columns in ((record.alice.setting, record.alice.outcome) for record in records)
        for start in (0, PART_ROUNDS)
    ]
    return reports, parts


def test_parts_of_all_blocks_have_settings_and_outcomes_of_their_own(run):
    _, parts = run
    assert len(parts) == 6
    for (x, a), (other_x, other_a) in combinations(parts, 2):
        same = int(np.sum(x == other_x))
        assert_binomial(same, PART_ROUNDS, 1 / 3, must_detect=0.35)
        equal = int(np.sum(a == other_a))
        assert_binomial(equal, PART_ROUNDS, 1 / 2, must_detect=0.52)


def test_keys_of_all_blocks_are_unrelated(run):
    reports, _ = run
    keys = [report.key.bits for report in reports]
    for one, other in combinations(keys, 2):
        size = min(len(one), len(other))
        equal = int(np.sum(one[:size] == other[:size]))
        assert_binomial(equal, size, 1 / 2, must_detect=0.53)
    assert len({report.key.key_id for report in reports}) == 3
