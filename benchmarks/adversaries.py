"""What every adversary shows and learns: ``python -m benchmarks.adversaries [rounds]``.

Prints a Markdown table: one session under each attack at its default strength, beside the closed
form, and what becomes of the key in both security models.  Seeded, so it repeats.
"""

from __future__ import annotations

import sys

from e91.adversaries import ATTACKS, AttackReport, run_attack
from e91.model.trust import SecurityModel
from e91.security.policy import Policy


def verdict(found: AttackReport) -> str:
    """The key in a word, and whether it deserves its name."""
    if found.session.abort is not None:
        return "none"
    return f"{found.session.secret_bits:,}{' (not secret)' if found.broken else ''}"


def number(value: float | None) -> str:
    """Four decimals, or a dash."""
    return "-" if value is None else f"{value:.4f}"


def row(name: str, *, rounds: int) -> str:
    """One attack."""
    reports = [
        run_attack(name, rounds=rounds, seed=1, policy=Policy(model)) for model in SecurityModel
    ]
    first = reports[0]
    expected, eve, session = first.expected, first.eve, first.session
    strength = f"{first.staged.conditions.strength:.4g}" if ATTACKS[name].meaning else ""
    pairs = [
        (session.chsh.value, expected.chsh),
        (session.qber.rate, expected.qber),
        (eve.guess_rate, expected.guess_rate),
        (eve.information, expected.information),
    ]
    cells = [f"{number(seen)} / {number(theory)}" for seen, theory in pairs]
    return " | ".join(["| `" + name + "`", strength, *cells, *map(verdict, reports)]) + " |"


def main() -> None:
    """Print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    models = " | ".join(f"key bits, {model.value}" for model in SecurityModel)
    print(f"| attack | strength | S | QBER | guess rate | bits per key bit | {models} |")
    print("|---" * 8 + "|")
    for name in ATTACKS:
        print(row(name, rounds=rounds), flush=True)


if __name__ == "__main__":
    main()
