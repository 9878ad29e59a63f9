"""``e91 attack list`` and ``e91 attack run``: what adversaries do, and what they learn."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

import click

from e91.cli.attack_list import WIDTH, attack_row, attack_text, legend
from e91.cli.options import (
    EPSILON,
    JSON,
    basis_option,
    security_option,
    seed_option,
    settings_option,
)
from e91.model.policy import Policy, SecurityModel
from e91.model.settings import SETTINGS

if TYPE_CHECKING:
    from e91.adversaries import AttackReport, Staged


@click.group()
def attack() -> None:
    """Eavesdroppers and dishonest devices: what they do to S, QBER and Eve's knowledge."""


@attack.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
def list_attacks(*, as_json: bool) -> None:
    """List all attacks: their options, where they run, and which theorems allow for them."""
    from e91.adversaries import ATTACKS

    if as_json:
        click.echo(json.dumps([attack_row(found) for found in ATTACKS.values()]))
        return
    click.echo("\n\n".join([legend(), *map(attack_text, ATTACKS.values())]))


@attack.command("run")
@click.argument("name")
@click.option("--strength", type=float, help="See `e91 attack list`.")
@basis_option("Of intercept-resend; random by default.")
@click.option("--flips", type=float,
              help="Of collective: key outcomes that Eve's device flips, 0 to 0.5.")  # fmt: skip
@click.option("--unauthenticated", is_flag=True,
              help="With man-in-the-middle: tags with a key that everybody knows.")  # fmt: skip
@click.option("--rounds", type=int, default=200_000, show_default=True, help="Rounds to run.")
@seed_option("Reproducible run, for tests: its key is not secret.")
@settings_option(
    default="asymmetric", help_text="Angles of the analysers; asymmetric makes key along Z alone."
)
@security_option("What Alice and Bob assume of their equipment.")
@EPSILON
@click.option("--device", type=click.Choice(["exact", "aer", "aer-with-eve"]), default="exact",
              show_default=True,
              help="How photons are simulated, where there are any; aer-with-eve also makes Eve's "
              "qubits part of every shot.")  # fmt: skip
@click.option("--visibility", type=float, default=1.0, show_default=True,
              help="White noise that is not Eve's, 0 to 1.")  # fmt: skip
@JSON
def run_named(
    name: str,
    *,
    strength: float | None,
    rounds: int,
    seed: int | None,
    settings_name: str,
    security: str,
    epsilon: float,
    device: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Run one session under the attack NAME and compare it with what theory expects.

    Exits with 0 whether the attack was caught or not: to show that is what the command is for.
    """
    policy = Policy(SecurityModel(security), epsilon=epsilon)

    from e91.adversaries import AttackReport, attack_named
    from e91.session.session import check_rounds, run
    from e91.system.progress import rounds_bar

    check_rounds(rounds)
    conditions: dict[str, Any] = {
        "settings": SETTINGS[settings_name],
        "rounds": rounds,
        "simulator": device,
    }
    if device != "exact" and not attack_named(name).has_photons:
        raise ValueError(
            f"`--device {device}` must come with an attack on photons, but `{name}` sends none."
        )
    staged = staged_attack(name, strength, seed=seed, **conditions, **options)
    with rounds_bar(rounds) as bar:
        apparatus = staged.device.announcing(bar.update)
        session = run(apparatus, rounds=rounds, policy=policy, seed=seed, **channel_of(staged))
    report = AttackReport(staged, session)
    click.echo(json.dumps(report.to_dict()) if as_json else _text(report))


def staged_attack(
    name: str,
    strength: float | None,
    *,
    basis: str | None,
    flips: float | None,
    unauthenticated: bool,
    **circumstances: Any,
) -> Staged:
    """Return the attack that a command line asks for.

    Args:
        name: Its name.
        strength: Its strength, or None for the table's default.
        basis: Basis of intercept-resend, or None.
        flips: Probability that the collective attack flips a key outcome, or None.
        unauthenticated: Whether everybody knows the authentication key.
        circumstances: Further fields of `e91.adversaries.Conditions`.

    Raises:
        ValueError: There is no such attack, or an option does not belong to it.
    """
    from e91.adversaries import Conditions, attack_named, stage

    found = attack_named(name)
    if strength is not None and not found.meaning:
        raise ValueError(f"`--strength` must not be given with `{name}`, but is {strength:g}.")
    owners = {
        "basis": "intercept-resend",
        "flips": "collective",
        "unauthenticated": "man-in-the-middle",
    }
    given = {
        "basis": basis is not None,
        "flips": flips is not None,
        "unauthenticated": unauthenticated,
    }
    for option, owner in owners.items():
        if given[option] and name != owner:
            raise ValueError(
                f"`--{option}` must come with the attack {owner}, but the attack is {name}."
            )
    if basis is not None:
        circumstances["basis"] = basis
    if flips is not None:
        circumstances["flips"] = flips
    conditions = Conditions(found.default if strength is None else strength, **circumstances)
    return stage(name, conditions, authenticated=not unauthenticated)


def channel_of(staged: Staged) -> dict[str, Any]:
    """Return the arguments of `e91.session.session.run` that are the attack's."""
    return {
        "transmission": staged.transmission,
        "authentication_key": staged.authentication_key,
    }


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
    said = textwrap.wrap(f"Attack {found.name}{strength}: {found.summary}", WIDTH)
    lines = [str(session), "", *said, ""]
    lines.append(f"  {'':<26}{'this session':>14}{'expected':>14}")
    lines += [f"  {name:<26}{_number(seen):>14}{_number(told):>14}" for name, seen, told in rows]
    kept = session.policy.security is SecurityModel.DEVICE_INDEPENDENT
    if kept and min(expected.efficiencies) < 1:
        lines.append("  Expected are the values of coincidences; this session keeps lost photons.")
    lines += ["", *(f"  Not true here: {broken.value}." for broken in report.broken)]
    if report.broken and session.abort is None:
        lines.append("  The key above is not secret: it rests on what is not true.")
    return "\n".join(lines).rstrip()


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
