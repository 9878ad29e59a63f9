"""Reports fit the width that they are given, and one that is piped stays as it is."""

import os
import pty
import subprocess
import sys
from dataclasses import replace

import pytest

from e91.devices.exact import exact_device
from e91.session.session import run
from e91.session.streaming import stream
from e91.session.totals import summary_of
from e91.system.report_layout import WIDTH, Layout

ROUNDS = 100_000


@pytest.fixture(scope="module")
def reports():
    device = exact_device(visibility=0.97, seed=1)
    blocks = stream(device, rounds=2 * ROUNDS, block_rounds=ROUNDS, seed=1)
    return run(device, rounds=ROUNDS, seed=1), summary_of(blocks)


@pytest.mark.parametrize("width", [58, 72, 98])
def test_no_line_is_wider_than_the_rules_and_their_margin(reports, width):
    for report in reports:
        lines = report.text(width=width).splitlines()
        assert max(map(len, lines)) <= width + 2
        assert {len(line) for line in lines if line.startswith("──")} == {width}


def test_printed_report_has_the_usual_width(reports):
    for report in reports:
        assert str(report) == report.text(width=WIDTH)


def test_words_are_the_same_at_every_width(reports):
    for report in reports:
        narrow, wide = (report.text(width=width).replace("─", "").split() for width in (58, 98))
        assert narrow == wide


def test_run_of_blocks_has_the_layout_of_a_session(reports):
    session, blocks = (report.text().splitlines() for report in reports)
    labels = [
        [line[2:22].strip() for line in text if line[2:3].strip()] for text in (session, blocks)
    ]
    common = labels[0][: labels[0].index("QBER") + 1]
    for label in common:
        assert label in labels[1], label
    assert "  Seeded with 1: reproducible, and therefore not secret." in blocks
    assert any(line.startswith("  KEYS RELEASED: ") for line in blocks)


def test_refused_blocks_come_with_their_reason(reports):
    refused = replace(reports[1], aborts=(("NO_VIOLATION", 2),))
    assert "  blocks refused        2 NO_VIOLATION" in str(refused)
    assert "NO KEY: The lower bound on S" in str(refused)


def test_word_that_is_too_long_stands_alone():
    assert Layout(30).text(f"a {'b' * 40} c") == ["  a", f"  {'b' * 40}", "  c"]


@pytest.mark.parametrize(("columns", "width"), [(40, 58), (80, 78), (200, 98)])
def test_report_on_a_terminal_follows_it_within_bounds(columns, width):
    line = ["-c", "from e91.cli.outcome import columns; print(columns(0))"]
    own, others = pty.openpty()
    environment = os.environ | {"COLUMNS": str(columns)}
    subprocess.run([sys.executable, *line], stdout=others, env=environment, check=True, timeout=60)
    os.close(others)
    assert int(os.read(own, 100)) - 2 == width
    os.close(own)
