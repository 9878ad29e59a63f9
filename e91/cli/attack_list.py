"""What ``e91 attack list`` says of each attack: its options, where it runs, what notices it."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from e91.model.settings import ASYMMETRIC, SETTINGS
from e91.model.trust import SecurityModel
from e91.security.theorems import Theorem

if TYPE_CHECKING:
    from e91.adversaries.adversary import Attack, Expected

WIDTH = 80
"""Columns of the text: those of an ordinary terminal."""

_LABEL = 18  # columns of the labels


def legend() -> str:
    """Return what stands above the list, in lines of at most `WIDTH` columns."""
    limits = [theorem.value for theorem in Theorem if not theorem.entry.finite]
    return textwrap.fill(
        "Eavesdroppers and dishonest devices, for `e91 attack run NAME` and `e91 run --attack "
        "NAME`. What an attack shows is for its default strength, the settings asymmetric and no "
        "noise. With a safe theorem a session makes no key, or one that Eve does not know. An "
        "unsafe one makes an assumption that the attack violates, and may release a key that "
        "she knows. "
        f"For the formulas {', '.join(limits)} safe means: in the limit of endless keys.",
        WIDTH,
        break_on_hyphens=False,
    )


def attack_row(attack: Attack) -> dict[str, Any]:
    """Return what the list says of an attack as plain values, ready for JSON.

    Examples:
        >>> from e91.adversaries import ATTACKS
        >>> row = attack_row(ATTACKS["probe"])
        >>> row["options"], row["devices"], row["unsafe_with"]
        (['strength'], ['exact', 'aer', 'aer-with-eve'], {})
    """
    strong, expected = bool(attack.meaning), _expected(attack)
    broken = {theorem: _broken(attack, theorem) for theorem in Theorem}
    return {
        "name": attack.name,
        "summary": attack.summary,
        "strength": attack.meaning or None,
        "low": attack.low if strong else None,
        "high": attack.high if strong and math.isfinite(attack.high) else None,
        "default": attack.default if strong else None,
        "settings": list(attack.settings or SETTINGS),
        "options": [option for option, _ in _options(attack)],
        "devices": list(attack.simulators),
        "blocks": attack.is_channel,
        "shows": {"chsh": expected.chsh, "qber": expected.qber},
        "guess_rate": expected.guess_rate,
        "safe_with": [theorem.value for theorem, why in broken.items() if not why],
        "unsafe_with": {theorem.value: why for theorem, why in broken.items() if why},
    }


def attack_text(attack: Attack) -> str:
    """Return what the list says of an attack, in lines of at most `WIDTH` columns."""
    expected = _expected(attack)
    rows = [(f"--{option}", meaning) for option, meaning in _options(attack)]
    shown = f"S = {expected.chsh:.2f}, QBER {expected.qber:.0%}{_clicks(expected)}"
    rows.append(("shows", f"{shown}; Eve guesses {expected.guess_rate:.0%} of the key"))
    rows.append(("settings", ", ".join(attack.settings or SETTINGS)))
    rows.append(("devices", _where(attack)))
    groups: dict[str, list[Theorem]] = {}
    for theorem in Theorem:
        groups.setdefault("; that ".join(_broken(attack, theorem)), []).append(theorem)
    for why, theorems in sorted(groups.items()):
        violated = f"{_named(theorems)}: this attack violates its assumption that {why}"
        rows.append(("unsafe with", violated) if why else ("safe with", _named(theorems)))
    lines = textwrap.wrap(f"{attack.name}: {attack.summary}", WIDTH, break_on_hyphens=False)
    for label, text in rows:
        first, later = f"  {label:<{_LABEL}}", " " * (_LABEL + 2)
        lines += textwrap.wrap(
            text, WIDTH, initial_indent=first, subsequent_indent=later, break_on_hyphens=False
        )
    return "\n".join(lines)


def _broken(attack: Attack, theorem: Theorem) -> list[str]:
    """Return the theorem's assumptions that the attack violates; its tags are in use."""
    from e91.adversaries.adversary import Assumption, assumed_by

    assumed = assumed_by(theorem) - {Assumption.AUTHENTICATION}
    return [broken.value for broken in attack.breaks if broken in assumed]


def _options(attack: Attack) -> list[tuple[str, str]]:
    """Return the options that belong to an attack, and what each means."""
    found = []
    if attack.meaning:
        high = f"to {attack.high:.6g}" if math.isfinite(attack.high) else "or more"
        scope = f"{attack.low:.6g} {high}, {attack.default:.6g} by default"
        found.append(("strength", f"{attack.meaning} ({scope})"))
    return found + [(option.flag, option.text) for option in attack.options]


def _expected(attack: Attack) -> Expected:
    from e91.adversaries.conditions import Conditions

    return attack.expected(Conditions(attack.default, settings=ASYMMETRIC))


def _clicks(expected: Expected) -> str:
    """Return what is lost, for attacks that hide in losses."""
    lost = 1 - min(expected.efficiencies)
    return f", {lost:.0%} of the photons lost" if lost > 0 else ""


def _where(attack: Attack) -> str:
    if attack.is_channel:
        return "exact (also by the block), aer, aer-with-eve (`attack run`)"
    if attack.has_photons:
        return "exact, aer"
    return "exact; sends no photons, so --visibility is the only noise"


def _named(theorems: Iterable[Theorem]) -> str:
    """Return theorems by name, or all of a security model by the model's."""
    left, names = list(theorems), []
    for model in SecurityModel:
        group = [theorem for theorem in Theorem if theorem.security is model]
        if set(group) <= set(left):
            names.append(f"{model.value} (all)")
            left = [theorem for theorem in left if theorem not in group]
    return ", ".join([*names, *(theorem.value for theorem in left)]) or "none"
