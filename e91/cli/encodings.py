"""Output where the terminal's encoding lacks a character: with plain ones, never an error."""

import codecs
import io
import re
import sys
import unicodedata

_PLAIN = {
    "±": "+-", "−": "-", "─": "-", "├": "|", "└": "`", "√": "sqrt", "ε": "epsilon", "η": "eta",
    "²": "^2", "×": "x", "≤": "<=", "≥": ">=", "→": "->", "…": "...",
}  # fmt: skip
_HANDLER = "e91-plain"
_LONG_QUOTATION = re.compile(r"((?<!\w)[`'\"])((?:(?!\1).){300})(?:(?!\1).)+\1", re.DOTALL)


def print_what_can_be_printed() -> None:
    """Let standard output and error replace what their encodings lack, instead of failing.

    A session would else be lost to its printing (Latin-1, code page 1252), and a file's name that
    is no text could not be named.  Other streams, such as those of a test, stay as they are.
    """
    codecs.register_error(_HANDLER, plain_characters)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def printable(text: str) -> str:
    r"""Return a text of somebody else on one line, without what would move a terminal's cursor.

    Line breaks, control characters and marks that turn the direction of writing become the escapes
    by which Python writes them.

    Examples:
        >>> printable("hello\x1b[2J, na\xefve\nand more")
        'hello\\x1b[2J, na\xefve\\nand more'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def on_one_line(sentence: str) -> str:
    """Return a sentence of one line, in which what was typed or found is not endless.

    Examples:
        >>> on_one_line("`" + 500 * "x" + "` must be a name, but is none.") == (
        ...     "`" + 300 * "x" + "...` must be a name, but is none."
        ... )
        True
    """
    return printable(_LONG_QUOTATION.sub(r"\1\2...\1", sentence))


def plain_characters(error: UnicodeError) -> tuple[str, int]:
    """Return plain characters for those that cannot be encoded, and where to go on.

    Raises:
        UnicodeError: The one that is given, if it is not about encoding.

    Examples:
        >>> codecs.register_error("e91-example", plain_characters)
        >>> "S = 2.75 ± 0.01 ─ é 猫".encode("ascii", "e91-example")
        b'S = 2.75 +- 0.01 - e ?'
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(character: str) -> str:
    if character in _PLAIN:
        return _PLAIN[character]
    base = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return base or "?"
