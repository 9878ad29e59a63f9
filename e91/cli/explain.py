"""``e91 explain``: the glossary, for whoever reads a report and meets a word."""

from __future__ import annotations

import json
from itertools import groupby

import click

from e91.cli.glossary import Term, described, explained, glossary
from e91.cli.options import JSON
from e91.cli.outcome import columns
from e91.system.report_layout import WIDTH, Layout


@click.command()
@click.argument("words", nargs=-1, metavar="[TERM]...")
@JSON
def explain(words: tuple[str, ...], *, as_json: bool) -> None:
    """Explain a word of a report or a field of the JSON output; without TERM, list all terms.

    TERM may have several words, any capitals, and dots as in `chsh.lower_bound`.
    """
    if not words:
        terms = glossary().term
        click.echo(json.dumps([described(term) for term in terms]) if as_json else listed(terms))
        return
    term = explained(" ".join(words))
    click.echo(json.dumps(described(term)) if as_json else page_of(term))


def page_of(term: Term) -> str:
    """Return what is known of a term as text."""
    page = Layout(columns(WIDTH + 2) - 2)
    rows = {
        "unit": term.unit,
        "formula": term.formula,
        "more in": term.proof and f"docs/{term.proof}",
        "source": term.source,
        "in reports": ", ".join(term.words),
        "see also": ", ".join(term.see),
    }
    return "\n".join(
        [
            page.title(term.name),
            *page.text(term.meaning),
            *[page.row(name, value) for name, value in rows.items() if value],
        ]
    )


def listed(terms: list[Term]) -> str:
    """Return the names of all terms by their groups as text."""
    page = Layout(columns(WIDTH + 2) - 2)
    lines = []
    for group, members in groupby(terms, key=lambda term: term.group):
        names = ", ".join(sorted((term.name for term in members), key=str.lower))
        lines += [page.title(group), *page.text(names), ""]
    return "\n".join([*lines, "`e91 explain TERM` explains one of them."])
