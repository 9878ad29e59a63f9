"""Requests one by one from a CSV file: served as they come, refused by their line."""

from dataclasses import replace

import pytest
from small_networks import flowing, lit, network_of

from e91.network import ListedRequest, RequestList, load, read_requests, run

TOML = """
extends = "cambridge-2019"
title = "Cambridge with a recorded load"
rotations = []

[[request_files]]
file = "load.csv"
"""

HEADER = "time_s,from,to,bits\n"


@pytest.fixture
def asked(tmp_path):
    """Load a network beside whose file a list of requests stands."""

    def write(lines):
        (tmp_path / "mine.toml").write_text(TOML)
        (tmp_path / "load.csv").write_text(lines)
        return load(tmp_path / "mine.toml")

    return write


def with_list(plan, *requests):
    requests = tuple(ListedRequest(*request) for request in requests)
    return replace(plan, demand=(RequestList("load.csv", requests),))


def test_every_line_is_a_key_of_its_size(asked):
    plan = asked(HEADER + "0.5,TREL,CAPE,256\n0.5, ENGI ,CAPE,1000\n59.25,CAPE,TREL,2560\n")
    report = plan.run(minutes=1, seed=1)
    assert (report.served, report.late, report.missed) == (3, 0, 0)
    assert report.delivered_bits == report.total.spent == 256 + 1000 + 2560
    assert report.samples.column("served").ravel()[[0, 1, 59]].tolist() == [0, 2, 2]
    assert "3 requests of `load.csv`, the last one at 59.25 s" in str(plan)


def test_a_request_is_served_late_or_missed_as_any_other_is():
    # 100 bit/s over one link with an empty store: 150 bits are there after 2 s.
    plan = flowing(network_of("A B", "", "A-B"), {"A-B": 100.0}, patience_s=3.0)
    report = run(with_list(plan, (0.5, "A", "B", 150), (5.5, "A", "B", 900)), minutes=1)
    assert (report.served, report.late, report.missed) == (1, 1, 1)


def test_real_keys_go_to_those_who_are_listed():
    plan = lit(network_of("A B", "R", "A-R B-R"))
    report = run(with_list(plan, (0.25, "B", "A", 512)), minutes=1 / 60, seed=1, workers=1)
    assert (report.served, report.unequal, report.delivered_bits) == (1, 0, 512)
    assert report.hops == 2


@pytest.mark.parametrize(
    ("lines", "line", "sentence"),
    [
        ("1,TREL,CAPE", 2, "must have 4 cells, but has 3."),
        ("1,TREL,CAPE,8\n\n", 3, "must have 4 cells, but has 0."),
        ("-1,TREL,CAPE,8", 2, "must have a time from 0, in seconds, but has '-1'."),
        ("inf,TREL,CAPE,8", 2, "must have a time from 0, in seconds, but has 'inf'."),
        ("now,TREL,CAPE,8", 2, "must have a time from 0, in seconds, but has 'now'."),
        ("1,TREL,CAPE,0", 2, "must ask for a whole number of bits from 1, but for '0'."),
        ("1,TREL,CAPE,2.5", 2, "must ask for a whole number of bits from 1, but for '2.5'."),
        ("1,TREL,CAPE,-8", 2, "must ask for a whole number of bits from 1, but for '-8'."),
        ("2,TREL,CAPE,8\n1,TREL,CAPE,8", 3, "must not be earlier than the one before, at 2 s, but"),
        ("1,TREL,CAPE,8\n2,A,CAPE,8", 3, "must be between sites, but 'A' is none."),
        ("1,TREL,CAPO,8", 2, "must be between sites, but 'CAPO' is none; did you mean `CAPE`?"),
        ("1,TREL,TREL,8", 2, "must be between two sites, but both are `TREL`."),
    ],
)
def test_a_line_that_is_no_request_is_refused_by_its_number(asked, lines, line, sentence):
    with pytest.raises(ValueError, match=f"Line {line} of `load.csv` ") as refused:
        asked(HEADER + lines)
    assert sentence in str(refused.value)


def test_a_file_without_its_columns_or_without_requests_is_refused(asked):
    with pytest.raises(ValueError, match="begin with the line time_s,from,to,bits, but begins"):
        asked("time,from,to,bits\n")
    with pytest.raises(ValueError, match="must hold a request or more, but holds none"):
        asked(HEADER)
    with pytest.raises(ValueError, match=r"`load.csv` must be a CSV file, but: field larger than"):
        asked(f"{HEADER}1,{200_000 * 'a'},CAPE,8")


def test_a_file_that_is_missing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must be a readable, non-empty file"):
        read_requests(tmp_path / "none.csv")
