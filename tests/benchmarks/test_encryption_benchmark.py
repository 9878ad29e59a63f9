"""The timing of files and pads does the work that it says, and shows every peer."""

from benchmarks.encryption import in_turn, stages

SIZE = 2**21


def test_every_stage_does_its_work_beside_a_peer(tmp_path):
    rows = [row for stage in stages(tmp_path, SIZE) for row in in_turn(stage)]
    memory = ["np.copyto", "np.bitwise_xor", "Poly1305 alone"]
    assert [row.peer for row in rows] == ["raw AES-256-GCM"] * 4 + memory * 3
    for row in rows:
        assert len(row.own.rates) == len(row.peers.rates) == 7
        done = [rate * s for rate, s in zip(row.own.rates, row.own.seconds, strict=True)]
        assert all(SIZE <= round(one) < 1.001 * SIZE for one in done)
