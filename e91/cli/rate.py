"""``e91 rate``, what S and the QBER are worth; ``e91 bell``, what counts of the CHSH game prove."""

import json
import math
from dataclasses import dataclass
from typing import Any

import click

from e91.cli.options import ASYMPTOTIC, EPSILON, JSON, as_one, security_option, settings_option
from e91.model.settings import SETTINGS
from e91.model.trust import SecurityModel
from e91.security.policy import Policy


@dataclass(frozen=True)
class Question:
    """What is asked: a link, what is assumed of it, and what may be chosen freely.

    Attributes:
        security: Value of a `SecurityModel`.
        chsh_value: S.
        qber: Error rate of the key.
        rounds: Of a session, or None for the asymptotic rate.
        epsilon: Failure probability of the session.
        theorem: Its name, or None for the security model's own.
        asymptotic: Whether it may be an asymptotic formula.
        tolerated_error: What some theorems want declared beforehand, or None.
        settings_name: One of `SETTINGS`, or None for the theorem's own.
        noisy_preprocessing: Whether Alice flips key bits.
        efficiency: What error correction discloses, over the Shannon limit.
    """

    security: str
    chsh_value: float
    qber: float
    rounds: int | None
    epsilon: float
    theorem: str | None
    asymptotic: bool
    tolerated_error: float | None
    settings_name: str | None
    noisy_preprocessing: bool
    efficiency: float


_ROUNDING = 5e-5  # of an S that is given with four digits

QUESTION = as_one(
    "asked",
    Question,
    security_option(),
    click.option("--chsh", "chsh_value", type=float, required=True, help="S, 0 to 4."),
    click.option("--qber", type=float, required=True, help="Error rate of the key, 0 to 1."),
    click.option("--rounds", type=int,
                 help="Rounds of a session; without it, the asymptotic rate."),
    EPSILON,
    click.option("--theorem", help="Name of the theorem; by default the security model's own."),
    ASYMPTOTIC,
    click.option("--tolerated-error", type=float,
                 help="Declared beforehand, where a theorem asks it."),
    settings_option(default=None, help_text="Angles of the session; asymmetric, or bbm92 where a "
                    "theorem needs it, by default."),
    click.option("--noisy-preprocessing", is_flag=True,
                 help="Alice flips key bits with the best probability."),
    click.option("--efficiency", type=float, default=1.0, show_default=True,
                 help="Error correction discloses this many times the Shannon limit."),
)  # fmt: skip


@click.command()
@QUESTION
@JSON
def rate(*, asked: Question, as_json: bool) -> None:
    """Tell the secret-key rate of a link, asymptotic or for a session of --rounds.

    The asymptotic rate is in secret bits per key round; that of a session in secret bits per round
    of any kind, with the choice probabilities that make the key longest.
    """
    found = _asymptotic(asked) if asked.rounds is None else _finite(asked, asked.rounds)
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


def _asymptotic(asked: Question) -> dict[str, Any]:
    from e91.session.planning import asymptotic_rate

    security = SecurityModel(asked.security)
    Policy(security, epsilon=asked.epsilon)
    for name, value in (("theorem", asked.theorem), ("tolerated-error", asked.tolerated_error),
                        ("settings", asked.settings_name)):  # fmt: skip
        if value is not None:
            raise ValueError(f"`--{name}` must come with `--rounds`, but there is none.")
    found = asymptotic_rate(
        security,
        chsh_value=asked.chsh_value,
        qber=asked.qber,
        efficiency=asked.efficiency,
        noisy_preprocessing=asked.noisy_preprocessing,
    )
    return {
        "rate": found.rate,
        "secret_bits": None,
        "security": security.value,
        "theorem": found.theorem.value,
        "phase_error": found.phase_error,
        "flip_probability": found.flip,
        "remark": _remark(asked),
    }


def _finite(asked: Question, rounds: int) -> dict[str, Any]:
    from e91.session.expectation import Link
    from e91.session.planning import best_plan

    if asked.noisy_preprocessing:
        raise ValueError(
            "`--noisy-preprocessing` must come without `--rounds`: its theorem is asymptotic."
        )
    policy = Policy(
        SecurityModel(asked.security),
        epsilon=asked.epsilon,
        theorem=asked.theorem,
        asymptotic=asked.asymptotic,
        tolerated_error=asked.tolerated_error,
    )
    wants_bases = policy.proof.entry.wants_two_key_bases
    name = asked.settings_name or ("bbm92" if wants_bases else "asymmetric")
    link = Link(asked.chsh_value, asked.qber, asked.efficiency)
    plan = best_plan(link, rounds, settings=SETTINGS[name], policy=policy)
    return {
        "rate": plan.secret_bits / rounds,
        "secret_bits": plan.secret_bits,
        "security": asked.security,
        "theorem": policy.proof.value,
        "phase_error": plan.length.phase_error,
        "flip_probability": 0.0,
        "epsilon": policy.key_epsilon,
        "blocks": plan.blocks,
        "settings": name,
        "alice_probabilities": plan.settings.alice_probabilities,
        "bob_probabilities": plan.settings.bob_probabilities,
        "revealed_fraction": plan.policy.revealed_fraction,
        "limited_by": plan.length.limit[0],
        "remark": _remark(asked),
    }


def _remark(asked: Question) -> str | None:
    """Return what is odd about the question, or None."""
    from e91.session.expectation import quantum_limit

    trusted = asked.security == SecurityModel.TRUSTED_ANALYSERS.value
    limit = quantum_limit(asked.qber, trusted=trusted)
    if asked.chsh_value > limit + _ROUNDING:
        beside = " (1 - QBER) between trusted analysers" if trusted and asked.qber else ""
        return (
            f"S is beyond quantum theory (2 sqrt 2{beside}: {limit:.4f}) and earns no more key "
            "than that."
        )
    if asked.chsh_value <= 2:
        return "S is not above 2: a session with a Bell test releases no key."
    return None


@click.command()
@click.option("--wins", type=int, required=True, help="Rounds of the CHSH game that were won.")
@click.option("--rounds", type=int, required=True, help="Rounds played, fixed beforehand.")
@click.option(
    "--predictability",
    type=float,
    default=0.0,
    show_default=True,
    help="tau: each setting is guessed with probability at most 1/2 + tau.",
)
@click.option(
    "--independent", is_flag=True, help="The two settings are independent, given the past."
)
@JSON
def bell(
    *, wins: int, rounds: int, predictability: float, independent: bool, as_json: bool
) -> None:
    """Test local models against counts of the CHSH game, settings chosen uniformly."""
    from e91.bell import p_values
    from e91.session.report import rounded_up

    local = p_values.local_bound_independent_settings if independent else p_values.local_bound
    bound = local(predictability)
    found = {
        "p_value": p_values.p_value(wins, rounds, bound=bound),
        "log_p_value": p_values.log_p_value(wins, rounds, bound=bound),
        "hoeffding": p_values.hoeffding_p_value(wins, rounds, bound=bound),
        "local_bound": bound,
        "winning_probability": wins / rounds,
        "chsh": p_values.chsh_value(wins / rounds),
    }
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(f"winning probability  {wins / rounds:.6f}   (local models: at most {bound:.6f})")
    click.echo(f"S                    {found['chsh']:.6f}")
    click.echo(f"p-value, exact       {rounded_up(found['p_value'])}")
    click.echo(f"p-value, Hoeffding   {rounded_up(found['hoeffding'])}")
