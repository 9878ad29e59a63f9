"""The line of numbers and the verdict beside the sliders, as HTML."""

from html import escape

from e91.widgets.expected_sessions import ExpectedSession

_CELL = "padding:0.1em 1.4em 0.1em 0;text-align:left"


def reading_of(found: ExpectedSession) -> str:
    """Return S, QBER, what Eve knows, the key and the verdict.

    Examples:
        >>> from e91.widgets.expected_sessions import expected_under
        >>> "NO KEY" in reading_of(expected_under("intercept-resend", 1.0))
        True
    """
    cells = {
        "S": f"{found.chsh_value:.3f} ± {found.standard_error:.3f}",
        "QBER": f"{found.qber:.2%}",
        "key": f"{found.secret_bits:,} bits of {found.rounds:,} pairs",
        "Eve may know": f"{found.may_know:.3f} of each key bit, at most",
    }
    if found.guess_rate is not None:
        cells["Eve guesses"] = f"{found.guess_rate:.1%} of the bits"
    if found.information is not None:
        cells["Eve knows"] = f"{found.information:.3f} of each key bit"
    heads = "".join(f"<th style='{_CELL}'>{escape(name)}</th>" for name in cells)
    row = "".join(f"<td style='{_CELL}'>{escape(text)}</td>" for text in cells.values())
    sign = "✘" if found.abort else "✔"
    verdict = f"<p><b>{sign} {escape(found.verdict)}</b></p>"
    return f"<table><tr>{heads}</tr><tr>{row}</tr></table>{verdict}"
