"""``e91 rate``: what S and the QBER are worth."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from e91.cli.figures import FIGURE
from e91.cli.light_options import LinkOptions, light_options, refuse_beside_light
from e91.cli.options import (
    ASYMPTOTIC,
    COUNT,
    EPSILON,
    JSON,
    as_one,
    refuse_given,
    security_option,
    settings_named,
    settings_option,
)
from e91.cli.outcome import FigureFile
from e91.model.numbers import check_whole
from e91.model.trust import SecurityModel
from e91.security.policy import Policy, Reconciler
from e91.security.theorems import Theorem
from e91.system.progress import waiting

if TYPE_CHECKING:
    from e91.model.device import Pace
    from e91.optics.link_files import LinkNumbers
    from e91.session.expectation import Link
    from e91.session.planning import SessionPlan


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
        settings_name: A name, a TOML file, or None for the theorem's own.
        noisy_preprocessing: Whether Alice flips key bits.
        efficiency: What error correction discloses, over the Shannon limit, or None.
        reconciler: Value of a `Reconciler`.
        block_rounds: Most rounds of a block, or None for one block.
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
    efficiency: float | None
    reconciler: str
    block_rounds: int | None


_ROUNDING = 5e-5  # of an S that is given with four digits

QUESTION = as_one(
    "asked",
    dict,
    security_option(),
    click.option("--chsh", "chsh_value", type=float, help="S, 0 to 4; needed without light."),
    click.option("--qber", type=float,
                 help="Error rate of the key, 0 to 1; needed without light."),
    click.option("--rounds", type=COUNT,
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
    click.option("--efficiency", type=float,
                 help="Error correction discloses this many times the Shannon limit; by default "
                 "1.1 in a session and 1 in the asymptotic rate."),
    click.option("--reconciler", type=click.Choice([known.value for known in Reconciler]),
                 default=Reconciler.CASCADE.value, show_default=True,
                 help="Error correction; without trust cascade costs both parties' bits."),
    click.option("--block-rounds", type=COUNT,
                 help="Cut the session into blocks of at most this number of rounds."),
)  # fmt: skip


@click.command()
@QUESTION
@light_options("--detector-efficiency")
@click.option("--visibility", type=float, default=0.97, show_default=True,
              help="Light: of the pairs, where no file says it.")  # fmt: skip
@FIGURE
@JSON
def rate(
    *,
    asked: dict[str, Any],
    light: LinkOptions,
    visibility: float,
    figure: FigureFile,
    as_json: bool,
) -> None:
    """Tell the secret-key rate of a link, asymptotic or for a session of --rounds.

    The asymptotic rate is in secret bits per key round; that of a session also in secret bits per
    round of any kind, with the choice probabilities that make the key longest.  With light, which
    then says S and the error rate, both are in secret bits per second too.
    """
    figure.check()
    refuse_beside_light(("chsh_value", "qber"), light=light)
    link, pace = light.numbers(visibility=visibility), None
    if link is None:
        question = _question(asked)
    else:
        question, pace = _question_of_light(asked, link)
    rounds = question.rounds
    with waiting("Finding the best session" if rounds else "Finding the rate"):
        found = _asymptotic(question) if rounds is None else _finite(question, rounds)
    if pace is not None:
        found = _in_time(found, question, pace) | found
    _show(found, as_json=as_json)
    figure.save(partial(_draw, question, found, link))


def _draw(asked: Question, found: dict[str, Any], light: LinkNumbers | None) -> Any:
    """Draw light against distance and brightness, else the rate against error rate or rounds."""
    from e91 import plots

    if light is not None:
        return _draw_light(asked, found, light)
    if asked.rounds is None:
        most = min(0.5, max(0.12, 1.2 * asked.qber))
        curves = plots.rates_by_qber([most * step / 240 for step in range(241)])
        label = f"asked: S = {asked.chsh_value:g}, {asked.security}"
        mark = plots.Mark(asked.qber, max(0.0, found["secret_bits_per_key_round"]), label)
        return plots.qber_figure(curves, mark=mark)
    policy, settings = _policy(asked), settings_named(found["settings"])
    planned = plots.planned_rates(
        _steps(asked), link=_link(asked), settings=settings, policy=policy
    )
    label = f"asked: {asked.rounds:.4g} rounds"
    mark = plots.Mark(asked.rounds, found["secret_bits_per_round"], label)
    return plots.rounds_figure(planned, mark=mark)


def _draw_light(asked: Question, found: dict[str, Any], light: LinkNumbers) -> Any:
    from e91 import plots

    session_s = 3600.0
    if asked.rounds is not None:
        session_s = asked.rounds / found["coincidences_per_second"]
    rates = plots.rates_by_distance(
        light,
        session_s=session_s,
        policy=_policy(asked),
        settings=settings_named(_settings_name(asked.settings_name, asked.theorem)),
        efficiency=asked.efficiency,
    )
    here = plots.distance_of(light), max(0.0, found["secret_bits_per_second"])
    brightness = plots.statistics_by_brightness(light)
    return plots.link_figure(rates, brightness, mark=plots.Mark(*here, "this link"))


def _steps(asked: Question) -> list[int]:
    """Return numbers of rounds about the one asked for, three decades to each side."""
    from e91.session import least_epsilon

    exponent = math.log10(asked.rounds or 1)
    about = {max(1, round(10 ** (exponent + step / 2))) for step in range(-6, 7)}
    return sorted(rounds for rounds in about if least_epsilon(rounds) <= asked.epsilon)


def _show(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found))
        return
    for name, value in found.items():
        if value is not None:
            title, unit = _LINES.get(name, (name.replace("_", " "), ""))
            click.echo(f"{title:<22}{_text(value)} {unit}".rstrip())


def _question(options: dict[str, Any]) -> Question:
    """Return what is asked without light.

    Raises:
        ValueError: S or the error rate is missing.
    """
    refuse_given(["visibility"], "must come with light (`--distance-km`, ...), but there is none.")
    for option, name in (("chsh", "chsh_value"), ("qber", "qber")):
        if options[name] is None:
            raise ValueError(
                f"`--{option}` must be given, or a link that says it (`--link`, `--distance-km`, "
                "...), but neither is."
            )
    return Question(**options)


def _question_of_light(options: dict[str, Any], link: LinkNumbers) -> tuple[Question, Pace | None]:
    """Return what is asked of a link, whose S and QBER it says, and how many coincidences it has.

    Raises:
        ValueError: Coincidences alone prove nothing under the security model.
    """
    from e91.bell.expected import chsh_terms, error_rate, mean_products
    from e91.devices.link_devices import counted, link_device

    if options["security"] == SecurityModel.DEVICE_INDEPENDENT.value:
        raise ValueError(
            "`--security` must be trusted-analysers with light, but is device-independent: S and "
            "the error rate are those of coincidences, which prove nothing without trust."
        )
    name = _settings_name(options["settings_name"], options["theorem"])
    device = link_device(link, settings=settings_named(name))
    products = mean_products(device.table)
    # Without a Bell test S is what one at the best angles would show.
    terms = chsh_terms(products, device.settings) or (counted(link).chsh_value,)
    seen = {"chsh_value": math.fsum(terms), "qber": error_rate(products, device.settings)}
    return Question(**(options | seen)), device.info.pace


def _in_time(found: dict[str, Any], asked: Question, pace: Pace) -> dict[str, Any]:
    """Return what a link gives in a second; asymptotically, all coincidences are key rounds."""
    from e91.session.report import rates_of

    per_second = pace.coincidences_per_second
    rates: dict[str, Any] = {"coincidences_per_second": per_second}
    if asked.rounds is None:
        rates["secret_bits_per_second"] = per_second * found["secret_bits_per_key_round"]
        found["remark"] = found["remark"] or _ALL_KEY
    else:
        rates = rates_of(pace, rounds=asked.rounds, secret_bits=found["secret_bits"])
    return rates | {"chsh": asked.chsh_value, "qber": asked.qber}


_ALL_KEY = "Bits per second are those of long sessions, in which nearly all coincidences make key."

_LINES = {
    "secret_bits_per_key_round": ("rate", "secret bits per key round"),
    "secret_bits_per_round": ("rate of all rounds", "secret bits per round"),
    "secret_bits": ("secret key", "bits, authentication paid for"),
    "coincidences_per_second": ("coincidences", "per second"),
    "link_seconds": ("time on the link", "s"),
    "secret_bits_per_second": ("secret key", "bits per second"),
    "chsh": ("S", "of the coincidences"),
    "qber": ("QBER", "of the key bits"),
    "charged_parties": ("charged for errors", "parties: their bits in error correction cost key"),
    "efficiency": ("efficiency", "times n h(QBER) are disclosed"),
    "phase_error": ("phase error", "of the key bits"),
    "flip_probability": ("flip probability", "of each of Alice's key bits"),
    "epsilon": ("epsilon", "(failure probability of the run)"),
    "block_epsilon": ("epsilon of a block", "(failure probability)"),
    "block_rounds": ("block", "rounds"),
    "rounds": ("rounds", "pairs"),
    "alice_probabilities": ("Alice's settings", "(probabilities)"),
    "bob_probabilities": ("Bob's settings", "(probabilities)"),
    "revealed_fraction": ("revealed fraction", "of the key rounds"),
}
"""How a line calls a value, and its unit."""


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
    for name, value in (
        ("theorem", asked.theorem),
        ("tolerated-error", asked.tolerated_error),
        ("settings", asked.settings_name),
        ("block-rounds", asked.block_rounds),
    ):
        if value is not None:
            raise ValueError(f"`--{name}` must come with `--rounds`, but there is none.")
    efficiency = 1.0 if asked.efficiency is None else asked.efficiency
    found = asymptotic_rate(
        security,
        chsh_value=asked.chsh_value,
        qber=asked.qber,
        efficiency=efficiency,
        noisy_preprocessing=asked.noisy_preprocessing,
        reconciler=Reconciler(asked.reconciler),
    )
    return {
        "secret_bits_per_key_round": found.rate,
        "security": security.value,
        "theorem": found.theorem.value,
        "reconciler": asked.reconciler,
        "charged_parties": found.charged_parties,
        "efficiency": efficiency,
        "phase_error": found.phase_error,
        "flip_probability": found.flip,
        "remark": _remark(asked),
    }


def _finite(asked: Question, rounds: int) -> dict[str, Any]:
    from e91.session.planning import best_plan
    from e91.session.streaming import MAXIMUM_ROUNDS

    if asked.noisy_preprocessing:
        raise ValueError(
            "`--noisy-preprocessing` must come without `--rounds`: its theorem is asymptotic."
        )
    check_whole(least=1, most=MAXIMUM_ROUNDS, rounds=rounds)
    if asked.block_rounds is not None:
        check_whole(least=1, block_rounds=asked.block_rounds)
    policy = _policy(asked)
    name, link = _settings_name(asked.settings_name, asked.theorem), _link(asked)
    plan = best_plan(
        link, rounds, settings=settings_named(name), policy=policy, largest_block=asked.block_rounds
    )
    return _values_of(plan, rounds, efficiency=link.efficiency) | {
        "epsilon": policy.key_epsilon,
        "settings": name,
        "remark": _remark(asked) or _session_remark(plan),
    }


def _policy(asked: Question) -> Policy:
    return Policy(
        SecurityModel(asked.security),
        epsilon=asked.epsilon,
        theorem=asked.theorem,
        asymptotic=asked.asymptotic,
        tolerated_error=asked.tolerated_error,
        reconciler=asked.reconciler,
    )


def _settings_name(name: str | None, theorem: str | None) -> str:
    """Return the settings that were asked for, or those that the theorem wants."""
    wants_bases = {known.value for known in Theorem if known.entry.wants_two_key_bases}
    return name or ("bbm92" if theorem in wants_bases else "asymmetric")


def _link(asked: Question) -> Link:
    from e91.session.expectation import Link

    if asked.efficiency is None:
        return Link(asked.chsh_value, asked.qber)
    if asked.reconciler == Reconciler.LDPC.value:
        raise ValueError(
            "`--efficiency` must come with cascade, but is given with ldpc, whose code says what "
            "it discloses."
        )
    return Link(asked.chsh_value, asked.qber, asked.efficiency)


def _values_of(plan: SessionPlan, rounds: int, *, efficiency: float) -> dict[str, Any]:
    """Return what a plan says, as plain values with their units in the names."""
    policy, cascade = plan.policy, plan.policy.reconciler is Reconciler.CASCADE
    untrusting = policy.security is SecurityModel.DEVICE_INDEPENDENT
    return {
        "secret_bits": plan.secret_bits,
        "secret_bits_per_round": plan.secret_bits / rounds,
        "secret_bits_per_key_round": plan.secret_bits / (rounds * plan.settings.key_probability),
        "rounds": rounds,
        "blocks": plan.blocks,
        "block_rounds": plan.block_rounds,
        "block_epsilon": policy.key_epsilon,
        "security": policy.security.value,
        "theorem": policy.proof.value,
        "reconciler": Reconciler(policy.reconciler).value,
        "charged_parties": 2 if untrusting and cascade else 1,
        "efficiency": efficiency if cascade else None,
        "phase_error": plan.length.phase_error,
        "flip_probability": policy.flip_probability,
        "alice_probabilities": plan.settings.alice_probabilities,
        "bob_probabilities": plan.settings.bob_probabilities,
        "revealed_fraction": policy.revealed_fraction,
        "limited_by": plan.length.limit[0],
    }


def _session_remark(plan: SessionPlan) -> str | None:
    from e91.session.session import MAXIMUM_ROUNDS

    if plan.block_rounds <= MAXIMUM_ROUNDS:
        return None
    return (
        f"A session here has at most {MAXIMUM_ROUNDS:,} rounds; --block-rounds says what a run of "
        "blocks earns."
    )


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
