"""Sections that fold: every text is escaped, empty sections are left out, numbers stand."""

import html

import pytest

from e91.system.folding_layout import FoldingLayout, folding_page

HOSTILE = "<script>alert('&')</script>"
PAGE = FoldingLayout()


@pytest.mark.parametrize(
    "made",
    [
        PAGE.title(HOSTILE),
        PAGE.row(HOSTILE, HOSTILE),
        *PAGE.text(HOSTILE),
        PAGE.amount(HOSTILE, HOSTILE),
        *PAGE.table([[HOSTILE], [HOSTILE]]),
        folding_page(HOSTILE, []),
    ],
)
def test_no_text_becomes_a_tag(made):
    assert "<script" not in made
    assert html.escape(HOSTILE) in made


@pytest.mark.parametrize("opened", [0, 1, 2, 5])
def test_as_many_sections_are_open_as_asked(opened):
    sections = [[PAGE.title(str(n)), PAGE.row("name", "value")] for n in range(3)]
    made = folding_page("Headline", [sections[0], [], *sections[1:]], opened=opened)
    assert made.count("<details open>") == min(3, opened)
    assert made.count("<details") == made.count("</details>") == 3
