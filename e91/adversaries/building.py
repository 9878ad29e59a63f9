"""From what Eve does to a device: to the photons, or to a device of honest pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from e91.adversaries.adversary import Build
from e91.adversaries.conditions import Conditions
from e91.adversaries.notes import TappedDevice, with_white_noise
from e91.model.device import Device

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from e91.adversaries.channel import ChannelTap

Source: TypeAlias = "Callable[[QuantumCircuit], QuantumCircuit]"
"""From the source that Alice and Bob ordered to the source that they get."""

Change: TypeAlias = Callable[[Device, Conditions], TappedDevice]
"""From a device of honest pairs to the same with Eve in it."""


def acting_on_photons(transformation: Callable[[Conditions], Source]) -> Build:
    """Return what builds an attack that is a transformation of the source; it loads Qiskit."""

    def build(conditions: Conditions) -> ChannelTap | TappedDevice:
        from e91.adversaries.eve_in_circuits import tapped_device

        return tapped_device(transformation(conditions), conditions)

    return build


def acting_on_noisy_pairs(change: Change) -> Build:
    """Return what builds an attack on honest pairs with the conditions' white noise."""
    return lambda conditions: change(_honest_pairs(conditions, conditions.visibility), conditions)


def acting_on_perfect_pairs(change: Change) -> Build:
    """Return what builds an attack on honest pairs, with white noise over all of it afterwards."""

    def build(conditions: Conditions) -> TappedDevice:
        device = change(_honest_pairs(conditions, visibility=1.0), conditions)
        return with_white_noise(device, conditions)

    return build


def _honest_pairs(conditions: Conditions, visibility: float) -> Device:
    from e91.devices.aer import aer_device
    from e91.devices.exact import exact_device

    make = aer_device if conditions.simulator == "aer" else exact_device
    device = make(
        attack=None,
        settings=conditions.settings,
        visibility=visibility,
        seed=conditions.seed,
        **conditions.arm_noise,
    )
    return device.announcing(conditions.progress)
