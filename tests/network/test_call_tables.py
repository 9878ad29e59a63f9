"""The tables of `docs/calls.md` are those that the program prints."""

from pathlib import Path

import pytest

from e91.cli.network_calls import carried_table, needs_table
from e91.network import carried_calls, load, names

DOCUMENT = Path(__file__).parents[2] / "docs" / "calls.md"


def printed(first):
    """Return the table whose first column is called so, a list of cells a row."""
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    begin = next(n for n, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows = []
    for line in lines[begin:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return [rows[0], *rows[2:]]


def test_the_table_of_needs_is_what_the_module_says():
    assert printed("medium") == needs_table()


def test_every_network_is_in_the_table():
    assert [row[0] for row in printed("network")[1:]] == list(names())


QUICK = {"cambridge-2019", "hefei-2021", "jinan-2012", "secoqc-2008", "tokyo-2010"}


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names()],
)
def test_a_network_carries_what_the_table_says(name):
    header, row = carried_table([carried_calls(load(name))])
    table = printed("network")
    assert table[0] == header
    assert next(cells for cells in table if cells[0] == name) == row
