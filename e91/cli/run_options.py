"""The options of ``e91 run`` in groups; each group reaches it as one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from e91.adversaries.catalogue import ATTACKS, all_options
from e91.adversaries.conditions import ARM_NOISE
from e91.cli.alarm_command import AlarmCommand
from e91.cli.attack import choices_of_attacks, given_choices
from e91.cli.figures import FIGURE_OPTIONS
from e91.cli.light_options import LinkOptions, light_options
from e91.cli.options import (
    ALICE_PROBABILITIES,
    BOB_PROBABILITIES,
    COUNT,
    PROBABILITY,
    Angles,
    as_one,
    refuse_given,
    settings_option,
)
from e91.cli.outcome import Files, files_of
from e91.model.bell_states import BellState
from e91.model.numbers import check_finite
from e91.model.settings import Settings
from e91.security.policy import Policy

if TYPE_CHECKING:
    from e91.alarm.promise import Promise


DEVICES = "{aer,exact,fake:NAME,ibm:NAME}"

_PHOTONS = ("visibility", *ARM_NOISE)
_OF_PHOTONS = (*_PHOTONS, "attack", "strength", *(option.name for option in all_options()))
_ELSEWHERE = (*_OF_PHOTONS, "state")


def device_kind(device: str) -> tuple[str, str]:
    """Return what ``--device`` names: its kind, and the machine of a `fake:` or `ibm:` one.

    Raises:
        ValueError: It is none of `DEVICES`.

    Examples:
        >>> device_kind("fake:marrakesh"), device_kind("aer")
        (('fake', 'marrakesh'), ('aer', ''))
    """
    kind, colon, machine = device.partition(":")
    known = kind in ("fake", "ibm") if colon else kind in ("aer", "exact")
    if not known or bool(colon) != bool(machine):
        raise ValueError(
            f"`--device` must be one of {DEVICES}, but is `{device}`; `e91 snapshots list` lists "
            "the machines that NAME can be after `fake:`."
        )
    return kind, machine


def ibm_machine(device: str) -> str | None:
    """Return the machine of an ``ibm:`` device, or None for any other device.

    Raises:
        ValueError: Options that only one of both kinds knows came with the other.
    """
    kind, machine = device_kind(device)
    if kind == "ibm":
        _refuse_photons(device)
        return machine
    refuse_given(
        ("leave", "confirmed"),
        f"must come with `--device ibm:NAME`, but the device is `{device}`.",
    )
    return None


def _refuse_photons(device: str) -> None:
    """Refuse options that describe photons, where a machine's own errors are in their place."""
    refuse_given(
        _OF_PHOTONS,
        f"must come with `--device aer` or `exact`, but the device is `{device}`, which has its "
        "own errors.",
    )


def _attacked(attack: str, strength: float | None, **conditions: Any) -> tuple[Any, dict[str, Any]]:
    """Return the device with an adversary, and what that does to the classical channel."""
    from e91.adversaries.attacked_session import conditions_of, stage

    staged = stage(attack, conditions_of(attack, strength, **conditions))
    return staged.device, vars(staged.line)


def session_device(
    *,
    device: str,
    settings: Settings,
    seed: int | None,
    rounds: int,
    light: LinkOptions,
    slots: bool,
    attack: str | None,
    strength: float | None,
    state: BellState | None = None,
    **photons: Any,
) -> tuple[Any, dict[str, Any]]:
    """Return the device, and what an attack does to the classical channel.

    Args:
        device: What ``--device`` names.
        settings: The angles of both parties.
        seed: Root of the physical randomness.
        rounds: Length of the session.
        light: What the command line says of a link, which then is the device.
        slots: With a link: whether rounds are all its slots or pulses, not coincidences alone.
        attack: Name of an attack, or None.
        strength: Its strength, or None for its default.
        state: Bell state of the pairs; by default the settings'.
        photons: Noise of the pairs, and options of the attack or None.

    Raises:
        ValueError: An option is impossible, or none of the device's.
    """
    noise = {name: photons[name] for name in _PHOTONS}
    choices = given_choices(**{name: value for name, value in photons.items() if name not in noise})
    _check_probabilities(noise)
    link = light.numbers(visibility=noise["visibility"])
    if link is not None:
        from e91.devices.link_devices import link_device

        return link_device(link, settings=settings, slots=slots, seed=seed), {}
    if device_kind(device)[0] == "fake":
        _refuse_photons(device)
    if attack is not None:
        return _attacked(
            attack, strength, settings=settings, rounds=rounds, simulator=device, state=state,
            seed=seed, **noise, **choices,
        )  # fmt: skip
    refuse_given(
        ("strength", *(option.name for option in all_options())),
        "must come with `--attack NAME`, but there is none.",
    )
    return _honest_device(device, settings=settings, seed=seed, state=state, **noise), {}


def _check_probabilities(noise: dict[str, float]) -> None:
    """Refuse impossible noise by the name that it has on the command line."""
    check_finite(misalignment=noise["misalignment"])
    for name, value in noise.items():
        if name != "misalignment" and not 0 <= value <= 1:
            option = name.replace("_", "-")
            raise ValueError(f"`--{option}` must lie in [0, 1], but is {value:g}.")


def _honest_device(device: str, *, settings: Settings, seed: int | None, **source: Any) -> Any:
    kind, machine = device_kind(device)
    if kind == "fake":
        from e91.devices.samplers.snapshots import snapshot_device

        state = source["state"] or settings.state
        return snapshot_device(machine, settings=settings.turned_for(state), seed=seed)
    from e91.devices.aer import aer_device
    from e91.devices.exact import exact_device

    make: Callable[..., Any] = aer_device if device == "aer" else exact_device
    return make(settings=settings, seed=seed, **source)


def block_device(*, attack: str | None, **options: Any) -> Any:
    """Return a device for a run of blocks, which must have a table of probabilities.

    Args:
        attack: Name of an attack, or None.
        options: As for `session_device`.

    Raises:
        ValueError: The attack has no such table.
    """
    device, _ = session_device(rounds=1, attack=attack, **options)
    if attack is not None and not hasattr(device, "outcome_source"):
        able = ", ".join(name for name, found in ATTACKS.items() if found.is_channel)
        raise ValueError(
            f"A run of blocks must be honest or, with `--device exact`, under one of {able}, but "
            f"is under `{attack}` with `--device {options['device']}`: run a session of at most "
            "50,000,000 pairs."
        )
    return device


@dataclass(frozen=True)
class Watch:
    """A link under watch.

    Attributes:
        promise: What it promises.
        command: What is run when the alarm rings, or None.
    """

    promise: Promise
    command: AlarmCommand | None


def watch_of(
    *, watch: float | None, false_alarm: float | None, on_alarm: str | None
) -> Watch | None:
    """Return how the link is watched, or None if it is not.

    Raises:
        ValueError: There is something for the alarm, but nothing to watch; a number is impossible,
            or the command is none.
    """
    if watch is None:
        for name, value in (("--false-alarm", false_alarm), ("--on-alarm", on_alarm)):
            if value is not None:
                raise ValueError(f"`{name}` must come with `--watch V`, but there is none.")
        return None
    from e91.alarm.promise import Promise
    from e91.model.numbers import check_between_zero_and_one

    check_between_zero_and_one(watch=watch)
    promise = Promise(watch, **({} if false_alarm is None else {"false_alarm": false_alarm}))
    return Watch(promise, None if on_alarm is None else AlarmCommand.parsed(on_alarm))


WATCH = as_one(
    "watch",
    dict,
    click.option("--watch", type=float, metavar="V",
                 help="Sound the alarm if the link is worse than pairs of visibility V."),
    click.option("--false-alarm", type=float,
                 help="With --watch: probability of ever ringing without cause; 0.001."),
    click.option("--on-alarm", metavar="COMMAND",
                 help="With --watch: run it when the alarm rings, without a shell, with what rang "
                 "by E91_ALARM_TEXT, _ROUND, _NAMED, _ODDS, _CHSH and _QBER."),
)  # fmt: skip
"""Arguments of `watch_of`."""


@dataclass(frozen=True)
class Blocks:
    """How a run of blocks is worked off.

    Attributes:
        block_rounds: Rounds of a block.
        threads: Blocks in work at once, or None for as many as cores.
        processes: Whether they are made in processes.
        keep: New folder for the raw record of every block, or None.
    """

    block_rounds: int
    threads: int | None
    processes: bool
    keep: Path | None


BLOCKS = as_one(
    "blocks",
    Blocks,
    click.option("--block-rounds", type=COUNT, default=2**22, show_default=True,
                 help="Rounds of a block, in a run of more than 50 million pairs or with --keep."),
    click.option("--threads", type=COUNT,
                 help="Of a run of blocks: how many are in work at once; all cores by default."),
    click.option("--processes", is_flag=True,
                 help="Of a run of blocks: make them in processes: faster, for more memory."),
    click.option("--keep", type=click.Path(path_type=Path), metavar="DIR",
                 help="New folder for the raw records; makes any run one of blocks."),
)  # fmt: skip


FILES = as_one(
    "files",
    files_of,
    click.option("--encrypt", "plain", type=click.Path(path_type=Path), metavar="FILE",
                 help="Encrypt FILE with the key; needs --out."),
    click.option("--out", type=click.Path(path_type=Path), metavar="DIR",
                 help="New folder for both key files, the report and the ciphertext."),
    *FIGURE_OPTIONS,
)  # fmt: skip

DEVICE = click.option(
    "--device",
    metavar=DEVICES,
    default="aer",
    show_default=True,
    help="aer: every round is a shot of the Aer simulator; exact: rounds are drawn from the "
    "probabilities that Aer computes; fake: from those of the best two qubits of an IBM machine's "
    "snapshot, offline; ibm: one job on the machine itself, with your account.",
)

ANGLES = as_one(
    "angles",
    Angles,
    settings_option(default="ekert", help_text="Angles of the analysers."),
    ALICE_PROBABILITIES,
    BOB_PROBABILITIES,
)

PHOTONS = as_one(
    "photons",
    dict,
    click.option("--visibility", type=float, default=0.97, show_default=True,
                 help="Werner visibility of the pairs, 0 to 1."),
    click.option("--state", type=click.Choice(get_args(BellState)),
                 help="Bell state of the pairs, for which Bob's analyser stands; by default the "
                 "settings', phi+ unless a file says otherwise."),
    click.option("--dephasing", type=float, default=0.0,
                 help=f"Phase flip on Bob's arm, {PROBABILITY}."),
    click.option("--misalignment", type=float, default=0.0,
                 help="Rotation of Bob's arm, radians on the Bloch sphere."),
    click.option("--amplitude-damping", type=float, default=0.0,
                 help=f"Decay of Bob's photon to outcome +1, {PROBABILITY}."),
    click.option("--readout-error", type=float, default=0.0,
                 help=f"Flip of each outcome, both parties, {PROBABILITY}."),
    click.option("--attack", metavar="NAME",
                 help="Put an eavesdropper on the line; see `e91 attack list`."),
    click.option("--strength", type=float,
                 help="Of the attack; `e91 attack list` says what it is."),
    *choices_of_attacks(),
)  # fmt: skip
"""Arguments of `e91.cli.run_options.session_device`: noise, and who listens."""


LIGHT = light_options("--efficiency", "--detector-efficiency")
"""What the command line says of a link."""

BESIDE_LIGHT = ("device", *(name for name in _ELSEWHERE if name != "visibility"))
"""Options that a link leaves nothing to say for; see `refuse_beside_light`."""

JOB = as_one(
    "job",
    dict,
    click.option("--yes", "confirmed", is_flag=True,
                 help="With ibm: submit the job without asking."),
    click.option("--leave", is_flag=True,
                 help="With ibm: do not wait for the job; --resume later."),
    click.option("--resume", metavar="ID", help="Go on with a session whose job was left."),
)  # fmt: skip
"""How a job at IBM's is handled: ``confirmed`` and ``leave``, and which one to ``resume``."""


@dataclass(frozen=True)
class Request:
    """What is asked for, whatever makes the rounds.

    Attributes:
        rounds: How many.
        settings: Angles, probabilities and roles.
        policy: What is assumed, tested and promised.
        seed: Seed of a reproducible run, or None.
        watch: How the link is watched, or None.
        files: What becomes of the key.
        as_json: Print one JSON object.
    """

    rounds: int
    settings: Settings
    policy: Policy
    seed: int | None
    watch: Watch | None
    files: Files
    as_json: bool
