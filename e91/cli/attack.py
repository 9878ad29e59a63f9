"""``e91 attack list`` and ``e91 attack run``: what adversaries do, and what they learn."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from e91.adversaries.adversary import AS_CHANNEL, Assumption, Attack, Expected, assumed_by
from e91.adversaries.catalogue import ATTACKS, all_options, attack_named
from e91.adversaries.conditions import Conditions, Option, Switch, Word
from e91.cli.figures import FIGURE
from e91.cli.options import (
    COUNT,
    EPSILON,
    JSON,
    Decorator,
    as_one,
    security_option,
    seed_option,
    settings_named,
    settings_option,
)
from e91.cli.outcome import FigureFile, as_text, columns
from e91.model.settings import ASYMMETRIC, SETTINGS
from e91.model.trust import SecurityModel
from e91.security.policy import Policy
from e91.security.theorems import Theorem

if TYPE_CHECKING:
    from e91.adversaries.attacked_session import AttackReport


WIDTH = 80
"""Columns of the text that goes anywhere but to a terminal: those of an ordinary one."""

_LABEL = 18  # columns of the labels


def legend(*, width: int = WIDTH) -> str:
    """Return what stands above the list, in lines of at most ``width`` columns."""
    limits = [theorem.value for theorem in Theorem if not theorem.entry.finite]
    return textwrap.fill(
        "Eavesdroppers and dishonest devices, for `e91 attack run NAME` and `e91 run --attack "
        "NAME`. What an attack shows is for its default strength, the settings asymmetric and no "
        "noise. With a safe theorem a session makes no key, or one that Eve does not know. An "
        "unsafe one makes an assumption that the attack violates, and may release a key that "
        "she knows. "
        f"For the formulas {', '.join(limits)} safe means: in the limit of endless keys.",
        width,
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


def attack_text(attack: Attack, *, width: int = WIDTH) -> str:
    """Return what the list says of an attack, in lines of at most ``width`` columns."""
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
    lines = textwrap.wrap(f"{attack.name}: {attack.summary}", width, break_on_hyphens=False)
    for label, text in rows:
        first, later = f"  {label:<{_LABEL}}", " " * (_LABEL + 2)
        lines += textwrap.wrap(
            text, width, initial_indent=first, subsequent_indent=later, break_on_hyphens=False
        )
    return "\n".join(lines)


def _broken(attack: Attack, theorem: Theorem) -> list[str]:
    """Return the theorem's assumptions that the attack violates; its tags are in use."""
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


def _click_option(option: Option, owners: str) -> Decorator:
    flag, text = f"--{option.flag}", f"Of {owners}: {option.text}."
    if isinstance(option, Switch):
        return click.option(flag, option.name, flag_value=False, default=None, help=text)
    kind = click.Choice(option.words) if isinstance(option, Word) else float
    return click.option(flag, option.name, type=kind, help=text)


def choices_of_attacks() -> list[Decorator]:
    """Return the options that belong to attacks; what is not given arrives as None."""
    return [
        _click_option(option, ", ".join(attack.name for attack in attacks))
        for option, attacks in all_options().items()
    ]


def given_choices(**choices: Any) -> dict[str, Any]:
    """Return the choices of an attack that were given."""
    return {name: value for name, value in choices.items() if value is not None}


@click.group()
def attack() -> None:
    """Eavesdroppers and dishonest devices: what they do to S, QBER and Eve's knowledge."""


@attack.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
def list_attacks(*, as_json: bool) -> None:
    """List all attacks: their options, where they run, and which theorems allow for them."""
    if as_json:
        click.echo(json.dumps([attack_row(found) for found in ATTACKS.values()]))
        return
    width = columns(WIDTH)
    rows = (attack_text(found, width=width) for found in ATTACKS.values())
    click.echo("\n\n".join([legend(width=width), *rows]))


@attack.command("run")
@click.argument("name")
@as_one(
    "asked",
    given_choices,
    click.option("--strength", type=float, help="See `e91 attack list`."),
    *choices_of_attacks(),
)
@click.option("--rounds", type=COUNT, default=200_000, show_default=True, help="Rounds to run.")
@seed_option("Reproducible run, for tests: its key is not secret.")
@settings_option(
    default="asymmetric", help_text="Angles of the analysers; asymmetric makes key along Z alone."
)
@security_option("What Alice and Bob assume of their equipment.")
@EPSILON
@click.option(
    "--device",
    type=click.Choice(AS_CHANNEL),
    default="exact",
    show_default=True,
    help="How photons are simulated, where there are any; aer-with-eve also makes Eve's qubits "
    "part of every shot.",
)
@click.option(
    "--visibility",
    type=float,
    default=1.0,
    show_default=True,
    help="White noise that is not Eve's, 0 to 1.",
)
@FIGURE
@JSON
def run_named(
    name: str,
    *,
    asked: dict[str, Any],
    rounds: int,
    seed: int | None,
    settings_name: str,
    security: str,
    epsilon: float,
    device: str,
    visibility: float,
    figure: FigureFile,
    as_json: bool,
) -> None:
    """Run one session under the attack NAME and compare it with what theory expects.

    Exits with 0 whether the attack was caught or not: to show that is what the command is for.
    """
    policy = Policy(SecurityModel(security), epsilon=epsilon)
    figure.check()

    from e91.adversaries.attacked_session import run_attack
    from e91.session.session import check_rounds

    check_rounds(rounds)
    if device != "exact" and not attack_named(name).has_photons:
        raise ValueError(
            f"`--device {device}` must come with an attack on photons, but `{name}` sends none."
        )
    report = run_attack(
        name,
        rounds=rounds,
        policy=policy,
        seed=seed,
        settings=settings_named(settings_name),
        visibility=visibility,
        simulator=device,
        **asked,
    )
    click.echo(json.dumps(report.to_dict()) if as_json else _text(report))
    figure.save(partial(_draw, report))


def _draw(report: AttackReport) -> Any:
    from e91.plots import attack_figure

    return attack_figure(report)


def _text(report: AttackReport) -> str:
    expected, eve, session = report.expected, report.eve, report.session
    found = report.staged.attack
    strength = f", strength {report.staged.conditions.strength:.6g}" if found.meaning else ""
    rows = (
        ("S", session.chsh.value, expected.chsh),
        ("QBER", session.qber.rate, expected.qber),
        ("Eve guesses a key bit", eve.guess_rate, expected.guess_rate),
        ("Eve's bits per key bit", eve.information, expected.information),
    )
    title = textwrap.wrap(f"Attack {found.name}{strength}: {found.summary}", columns(WIDTH))
    lines = [*_violated(report), as_text(session), "", *title, ""]
    lines.append(f"  {'':<26}{'this session':>14}{'expected':>14}")
    lines += [f"  {name:<26}{_number(seen):>14}{_number(value):>14}" for name, seen, value in rows]
    kept = session.policy.security is SecurityModel.DEVICE_INDEPENDENT
    if kept and min(expected.efficiencies) < 1:
        lines.append("  Expected are the values of coincidences; this session keeps lost photons.")
    return "\n".join(lines)


def _violated(report: AttackReport) -> list[str]:
    """Return which assumptions do not hold, and what the key is worth: first things first."""
    if not report.broken:
        return []
    lines = [f"  Not true here: {broken.value}." for broken in report.broken]
    if report.session.abort is None:
        lines.insert(0, "THE KEY BELOW IS NOT SECRET: it rests on an assumption that is violated.")
    return [*lines, ""]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
