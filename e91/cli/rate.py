"""``e91 rate``: what S and the QBER are worth."""

from __future__ import annotations

import json
import math
from typing import Any

import click

from e91.model.policy import Policy, SecurityModel, Theorem
from e91.model.settings import SETTINGS


@click.command()
@click.option(
    "--security",
    type=click.Choice([model.value for model in SecurityModel]),
    default=SecurityModel.TRUSTED_ANALYSERS.value,
    show_default=True,
    help="What is assumed of the equipment.",
)
@click.option("--chsh", "chsh_value", type=float, required=True, help="S, 0 to 4.")
@click.option("--qber", type=float, required=True, help="Error rate of the key, 0 to 1.")
@click.option("--rounds", type=int, help="Rounds of a session; without it, the asymptotic rate.")
@click.option("--epsilon", type=float, default=1e-10, show_default=True,
              help="Failure probability of the session.")  # fmt: skip
@click.option("--theorem", help="Name of the theorem; by default the security model's own.")
@click.option("--tolerated-error", type=float, help="Declared beforehand, where a theorem asks it.")
@click.option("--settings", "settings_name", type=click.Choice(sorted(SETTINGS)),
              help="Angles of the session; asymmetric, or bbm92 where a theorem needs "
              "it, by default.")  # fmt: skip
@click.option("--noisy-preprocessing", is_flag=True,
              help="Alice flips key bits with the best probability.")  # fmt: skip
@click.option("--efficiency", type=float, default=1.0, show_default=True,
              help="Error correction discloses this many times the Shannon limit.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def rate(*, as_json: bool, rounds: int | None, **asked: Any) -> None:
    """Tell the secret-key rate of a link, asymptotic or for a session of --rounds.

    The asymptotic rate is in secret bits per key round; that of a session in secret bits per round
    of any kind, with the choice probabilities that make the key longest.
    """
    found = _asymptotic(**asked) if rounds is None else _finite(rounds, **asked)
    if as_json:
        click.echo(json.dumps(found))
        return
    for name, value in found.items():
        if value is not None:
            click.echo(f"{name.replace('_', ' '):<22}{_text(value)}")


def _text(value: Any) -> str:
    match value:
        case int():
            return f"{value:,}"
        case float():
            return f"{math.floor(value * 1e6) / 1e6:g}" if value >= 1e-5 else f"{value:.2g}"
        case tuple():
            return ", ".join(f"{part:.4g}" for part in value)
    return str(value)


def _asymptotic(
    *,
    security: str,
    chsh_value: float,
    qber: float,
    noisy_preprocessing: bool,
    efficiency: float,
    theorem: str | None,
    tolerated_error: float | None,
    settings_name: str | None,
    epsilon: float,
) -> dict[str, Any]:
    from e91.planning import asymptotic_rate

    Policy(SecurityModel(security), epsilon=epsilon)
    for name, value in (("theorem", theorem), ("tolerated-error", tolerated_error),
                        ("settings", settings_name)):  # fmt: skip
        if value is not None:
            raise ValueError(f"`--{name}` must come with `--rounds`, but there is none.")
    found = asymptotic_rate(
        SecurityModel(security),
        chsh_value=chsh_value,
        qber=qber,
        efficiency=efficiency,
        noisy_preprocessing=noisy_preprocessing,
    )
    return {
        "rate": found.rate,
        "secret_bits": None,
        "security": security,
        "theorem": found.theorem.value,
        "phase_error": found.phase_error,
        "flip_probability": found.flip,
        "remark": _remark(chsh_value),
    }


def _finite(
    rounds: int,
    *,
    security: str,
    chsh_value: float,
    qber: float,
    noisy_preprocessing: bool,
    efficiency: float,
    theorem: str | None,
    tolerated_error: float | None,
    settings_name: str | None,
    epsilon: float,
) -> dict[str, Any]:
    from e91.planning import Link, best_plan

    if noisy_preprocessing:
        raise ValueError(
            "`--noisy-preprocessing` must come without `--rounds`: its theorem is asymptotic."
        )
    policy = Policy(
        SecurityModel(security), epsilon=epsilon, theorem=theorem, tolerated_error=tolerated_error
    )
    wants_bases = policy.proof.fixes_errors_beforehand or policy.proof is Theorem.RANDOM_BASIS
    name = settings_name or ("bbm92" if wants_bases else "asymmetric")
    plan = best_plan(
        Link(chsh_value, qber, efficiency), rounds, settings=SETTINGS[name], policy=policy
    )
    return {
        "rate": plan.secret_bits / rounds,
        "secret_bits": plan.secret_bits,
        "security": security,
        "theorem": policy.proof.value,
        "phase_error": plan.length.phase_error,
        "flip_probability": 0.0,
        "epsilon": epsilon,
        "blocks": plan.blocks,
        "settings": name,
        "alice_probabilities": plan.settings.alice_probabilities,
        "bob_probabilities": plan.settings.bob_probabilities,
        "revealed_fraction": plan.policy.revealed_fraction,
        "limited_by": plan.length.limit[0],
        "remark": _remark(chsh_value),
    }


def _remark(chsh_value: float) -> str | None:
    if chsh_value <= 2 * 2**0.5:
        return None
    return "S is beyond quantum theory (2 sqrt 2) and earns no more key than that."
