"""The glossary's page, from the file that ``e91 explain`` reads."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from sphinx.application import Sphinx
from written import write_pages

from e91.cli.glossary import Term, glossary

FOLDER = Path(__file__).parents[1] / "reference" / "glossary"

HEAD = """\
# Glossary

Every word that a report prints and every field of the JSON output. `e91 explain TERM` prints the
same at the command line, and `e91 explain` lists all terms.
"""


def entry(term: Term) -> str:
    """Return one entry of a definition list in Markdown."""
    details = []
    if term.formula:
        details.append(f"Formula: `{term.formula}`.")
    if term.unit:
        details.append(f"Unit: {term.unit}.")
    if term.proof:
        details.append(f"More in {_link(term.proof)}.")
    if term.source:
        details.append(f"Source: {term.source.rstrip('.')}.")
    if term.words:
        details.append("In reports: " + ", ".join(f"`{word}`" for word in term.words) + ".")
    if term.see:
        details.append("See also " + ", ".join(f"{{term}}`{name}`" for name in term.see) + ".")
    lines = [term.name, f"  {term.meaning}"]
    return "\n".join([*lines, *([f"\n  {' '.join(details)}"] if details else [])])


def _link(proof: str) -> str:
    page, _, section = proof.partition(", section ")
    name = f"{page}, section {section}" if section else page
    return f"[{name}](../../{page})"


def write(_app: Sphinx) -> None:
    """Write the page."""
    parts = [HEAD]
    for group, terms in groupby(glossary().term, key=lambda term: term.group):
        entries = "\n\n".join(entry(term) for term in terms)
        parts.append(f"## {group}\n\n```{{glossary}}\n{entries}\n```\n")
    write_pages(FOLDER, {"index.md": "\n".join(parts)})


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the page before Sphinx looks for it."""
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
