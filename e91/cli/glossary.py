"""The glossary: every term that a report prints or a JSON object names, with what it means."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

from e91.system.documents import Document, Text, parse_toml


class Term(Document, frozen=True):
    """An entry of the glossary.

    Attributes:
        name: The term, as the field's textbooks write it.
        group: The part of the glossary to which it belongs.
        meaning: What it is, in plain sentences.
        words: Other spellings: labels of reports, fields of JSON objects, dotted where they nest.
        unit: Of its values; empty if they have none.
        formula: How it is computed; empty if nothing is.
        proof: The page of the documentation that derives it, with its section; empty if none does.
        source: A publication or a standard, with its clause; empty if none is needed.
        see: Names of related terms.
    """

    name: Text
    group: Text
    meaning: Text
    words: tuple[Text, ...] = ()
    unit: str = ""
    formula: str = ""
    proof: str = ""
    source: str = ""
    see: tuple[Text, ...] = ()


class Glossary(Document, frozen=True):
    """All terms, in the order of their file.

    Attributes:
        term: The entries.
    """

    term: list[Term]

    def __post_init__(self) -> None:
        """Refuse a word that two terms claim, and a reference that leads nowhere."""
        claimed: dict[str, str] = {}
        for term in self.term:
            for word in {plain(each) for each in (term.name, *term.words)}:
                if word in claimed:
                    raise ValueError(
                        f"`term` must claim a word once, but {word!r} is both "
                        f"{claimed[word]!r} and {term.name!r}."
                    )
                claimed[word] = term.name
        names = {term.name for term in self.term}
        for term in self.term:
            if lost := set(term.see) - names:
                raise ValueError(f"`term` must refer to terms, but {term.name!r} refers to {lost}.")


@cache
def glossary() -> Glossary:
    """Return the glossary that the package holds."""
    text = files("e91.cli").joinpath("glossary.toml").read_text(encoding="utf-8")
    return parse_toml(text, Glossary, where="glossary.toml")


def plain(word: str) -> str:
    """Return a word without what readers may spell either way: capitals, underscores, hyphens.

    Examples:
        >>> plain("Sifted_bits"), plain("trusted-analysers")
        ('sifted bits', 'trusted analysers')
    """
    return " ".join(word.lower().replace("_", " ").replace("-", " ").split())


def explained(word: str) -> Term:
    """Return the term that a word names.

    Args:
        word: A term, a label of a report or a field of a JSON object, in any capitals.  A nested
            field may have steps before those that the glossary names, as ``link_table.made``.

    Raises:
        ValueError: The glossary does not hold it; the sentence names what is close.

    Examples:
        >>> explained("qber").name, explained("chsh.lower_bound").name
        ('QBER', 'lower bound on S')
    """
    by_word = {plain(each): term for term in glossary().term for each in (term.name, *term.words)}
    steps = word.split(".")
    for start in range(len(steps)):
        if (inner := plain(".".join(steps[start:]))) in by_word:
            return by_word[inner]
    close = get_close_matches(plain(word), by_word, n=4)
    inside = [each for each in by_word if plain(word) and plain(word) in each]
    names = list(dict.fromkeys(by_word[each].name for each in [*close, *inside]))[:4]
    hint = f"; did you mean {_either(names)}?" if names else "; `e91 explain` lists all terms."
    raise ValueError(f"`TERM` must be a term of the glossary, but is {word!r}{hint}")


def described(term: Term) -> dict[str, Any]:
    """Return a term as plain values for JSON; what it does not have is null."""
    return {
        "term": term.name,
        "group": term.group,
        "meaning": term.meaning,
        "unit": term.unit or None,
        "formula": term.formula or None,
        "proof": term.proof or None,
        "source": term.source or None,
        "words": list(term.words),
        "see": list(term.see),
    }


def _either(names: list[str]) -> str:
    quoted = [f"`{name}`" for name in names]
    return " or ".join(filter(None, [", ".join(quoted[:-1]), quoted[-1]]))
