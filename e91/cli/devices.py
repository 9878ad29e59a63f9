"""From the options of ``e91 run`` to a device."""

from collections.abc import Callable
from typing import Any

from e91.adversaries.catalogue import all_options
from e91.cli.attack import channel_of, given_choices
from e91.cli.options import refuse_given
from e91.model.device import Progress, no_progress
from e91.model.settings import Settings

DEVICES = "{aer,exact,fake:NAME,ibm:NAME}"

_PHOTONS = ("visibility", "dephasing", "misalignment", "amplitude_damping", "readout_error")
_ELSEWHERE = (*_PHOTONS, "attack", "strength", *(option.name for option in all_options()))


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
        _ELSEWHERE,
        f"must come with `--device aer` or `exact`, but the device is `{device}`, which has its "
        "own errors.",
    )


def session_device(
    *,
    device: str,
    settings: Settings,
    seed: int | None,
    rounds: int,
    attack: str | None,
    strength: float | None,
    progress: Progress = no_progress,
    **photons: Any,
) -> tuple[Any, dict[str, Any]]:
    """Return the device, and what an attack does to the classical channel.

    Args:
        device: What ``--device`` names.
        settings: The angles of both parties.
        seed: Root of the physical randomness.
        rounds: Length of the session.
        attack: Name of an attack, or None.
        strength: Its strength, or None for its default.
        progress: Is called with the rounds of every step of a measurement.
        photons: Noise of the pairs, and options of the attack or None.

    Raises:
        ValueError: An option is impossible, or none of the device's.
    """
    noise = {name: photons[name] for name in _PHOTONS}
    choices = given_choices(**{name: value for name, value in photons.items() if name not in noise})
    _check_probabilities(noise)
    if device_kind(device)[0] == "fake":
        _refuse_photons(device)
    if attack is not None:
        from e91.adversaries.attacked_session import conditions_of, stage

        conditions = conditions_of(
            attack,
            strength,
            settings=settings,
            rounds=rounds,
            simulator=device,
            seed=seed,
            progress=progress,
            **noise,
            **choices,
        )
        staged = stage(attack, conditions)
        return staged.device, channel_of(staged)
    refuse_given(
        ("strength", *(option.name for option in all_options())),
        "must come with `--attack NAME`, but there is none.",
    )
    honest = _honest_device(device, settings=settings, seed=seed, **noise)
    return honest.announcing(progress), {}


def _check_probabilities(noise: dict[str, float]) -> None:
    """Refuse impossible noise by the name that it has on the command line."""
    for name, value in noise.items():
        if name != "misalignment" and not 0 <= value <= 1:
            option = name.replace("_", "-")
            raise ValueError(f"`--{option}` must lie in [0, 1], but is {value:g}.")


def _honest_device(device: str, *, settings: Settings, seed: int | None, **noise: float) -> Any:
    kind, machine = device_kind(device)
    if kind == "fake":
        from e91.devices.samplers.snapshots import snapshot_device

        return snapshot_device(machine, settings=settings, seed=seed)
    from e91.devices.aer import aer_device
    from e91.devices.exact import exact_device

    make: Callable[..., Any] = aer_device if device == "aer" else exact_device
    return make(settings=settings, seed=seed, **noise)


def block_device(*, attack: str | None, **options: Any) -> Any:
    """Return a device for a run of blocks, which must have a table of probabilities.

    Args:
        attack: Name of an attack, or None.
        options: As for `session_device`.

    Raises:
        ValueError: The attack has no such table.
    """
    device, _ = session_device(rounds=1, attack=attack, **options)
    if attack is not None and not hasattr(device, "sampler"):
        from e91.adversaries.catalogue import ATTACKS

        able = ", ".join(name for name, found in ATTACKS.items() if found.is_channel)
        raise ValueError(
            f"A run of blocks must be honest or, with `--device exact`, under one of {able}, but "
            f"is under `{attack}` with `--device {options['device']}`: run a session of at most "
            "50,000,000 pairs."
        )
    return device
