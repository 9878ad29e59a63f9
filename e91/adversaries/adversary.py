"""What an adversary is: one entry with its device, its closed form and all that users choose.

The entries stand beside their devices: `e91.adversaries.interception` and the other families each
end with a tuple ``ATTACKS``.  To add an adversary, add its entry to one of them.

A key is as secret as the assumptions of its theorem are true.  An attack that breaks one of them
may end with a released key that Eve knows; that is no failure of the theorem, and why every report
prints what it assumes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from e91.adversaries.conditions import Conditions, Option, Simulator
from e91.adversaries.notes import Answer, TappedDevice, with_white_noise
from e91.distillation.authentication import PublicKey
from e91.model.device import Device
from e91.model.messages import Transmission, honest_transmission
from e91.model.numbers import check_whole
from e91.model.trust import SecurityModel
from e91.security.theorems import Attacks, Theorem

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from e91.adversaries.channel import ChannelTap
    from e91.adversaries.notes import TappedDevice


class Assumption(Enum):
    """Something a theorem takes for granted; the value is how users read it.

    Examples:
        >>> Assumption.FAIR_SAMPLING.value
        'losses do not depend on setting or outcome'
    """

    ANALYSERS = "both analysers measure one qubit at the declared angles"
    FAIR_SAMPLING = "losses do not depend on setting or outcome"
    INDEPENDENT_ROUNDS = "the rounds are independent and alike"
    SETTINGS = "nobody foresees a setting, and none leaks"
    AUTHENTICATION = "the classical messages are authenticated"


_ALWAYS = frozenset({Assumption.SETTINGS, Assumption.AUTHENTICATION})


def assumed_by(theorem: Theorem) -> frozenset[Assumption]:
    """Return what a theorem assumes; its `statement` says it in words.

    Args:
        theorem: Any of them.

    Returns:
        Its assumptions, those among `Assumption`.

    Examples:
        >>> Assumption.FAIR_SAMPLING in assumed_by(Theorem.PHASE_ERRORS)
        True
        >>> Assumption.FAIR_SAMPLING in assumed_by(Theorem.ENTROPY_ACCUMULATION)
        False
    """
    if theorem.security is SecurityModel.TRUSTED_ANALYSERS:
        return _ALWAYS | {Assumption.ANALYSERS, Assumption.FAIR_SAMPLING}
    if theorem.entry.attacks is Attacks.COHERENT:
        return _ALWAYS
    return _ALWAYS | {Assumption.INDEPENDENT_ROUNDS}


@dataclass(frozen=True)
class Expected:
    """What an attack shows and what it earns, in expectation.

    All closed forms are for phi+ pairs without noise of their own; `seen_with` adds white noise.
    Where Eve is a channel they hold for every Bell state, as she turns her apparatus with it.
    S is the same for every named choice of settings, because each has ``sum s_j A(a_j) x A(b_j) =
    sqrt(2) (ZZ + XX)`` (checked by `e91.bell.chsh.check_identity`).  Error rate and
    knowledge depend on the key's angles and are averaged over the key pairs.

    Attributes:
        chsh: S among the coincidences.
        qber: Error rate of the key.
        guess_rate: Probability that Eve guesses one of Alice's key bits, settings announced.
        information: Bits that she has of each; Holevo's bound if she has a quantum memory.
            None where noise of others makes it no simple expression.
        efficiencies: Probability of a click at Alice and at Bob.
        coincidence: Probability that both click; None for the product of the efficiencies.

    Examples:
        >>> free = Expected(chsh=2.828427, qber=0.0, guess_rate=0.5, information=0.0)
        >>> round(free.seen_with(0.9).chsh, 4), round(free.seen_with(0.9).qber, 4)
        (2.5456, 0.05)
    """

    chsh: float
    qber: float
    guess_rate: float
    information: float | None
    efficiencies: tuple[float, float] = (1.0, 1.0)
    coincidence: float | None = None

    @property
    def coincidences(self) -> float:
        """Probability that both click."""
        return math.prod(self.efficiencies) if self.coincidence is None else self.coincidence

    def seen_with(self, visibility: float) -> Expected:
        """Return the same with white noise that Eve does not see, in every round alike.

        Args:
            visibility: Of the white noise, in [0, 1].
        """
        if visibility == 1:
            return self
        random_half = (1 - visibility) / 2
        return replace(
            self,
            chsh=visibility * self.chsh,
            qber=visibility * self.qber + random_half,
            guess_rate=visibility * self.guess_rate + random_half,
            information=None,
        )


@dataclass(frozen=True)
class ClassicalLine:
    """What an attack does to the classical messages of a session: arguments of its `run`.

    Attributes:
        transmission: What arrives of each message.
        authentication_key: The key of the session's tags if everybody knows it, else None.

    Examples:
        >>> ClassicalLine().authentication_key is None
        True
    """

    transmission: Transmission = field(default=honest_transmission, repr=False)
    authentication_key: PublicKey | None = field(default=None, repr=False)


Build: TypeAlias = Callable[[Conditions], "ChannelTap | TappedDevice"]
"""From the conditions to a device with Eve in it."""

Source: TypeAlias = "Callable[[QuantumCircuit], QuantumCircuit]"
"""From the source that Alice and Bob ordered to the source that they get."""

Change: TypeAlias = Callable[[Device, Conditions], Answer]
"""From a device of honest pairs to what it answers with Eve in it."""

WITHOUT_PHOTONS: tuple[Simulator, ...] = ("exact",)
"""Where an attack runs that needs no photons; noise other than visibility has nothing to act on."""

ON_PHOTONS: tuple[Simulator, ...] = ("exact", "aer")
"""Where an attack runs that is made with honest pairs."""

AS_CHANNEL: tuple[Simulator, ...] = ("exact", "aer", "aer-with-eve")
"""Where an attack runs in which Eve is a channel on the photons, with qubits of her own.

With "exact" its rounds come at the speed of a device without her, by the session and by the block.
"""


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One adversary.

    Attributes:
        name: What users call it.
        summary: What Eve does, in a sentence.
        meaning: What its strength is; empty if it has none.
        low: Smallest strength.
        high: Largest strength; may be infinite, which is then excluded.
        default: Strength if none is given.
        options: What else users can choose.
        settings: Names of the settings under which it exists; empty for all.
        simulators: Where it can run.
        breaks: Assumptions of theorems that are false under it.
        expected: S, QBER and Eve's knowledge in closed form, without noise.
        build: How to make the device.
        line: What it does to the classical messages.

    Examples:
        >>> from e91.adversaries.catalogue import attack_named
        >>> attack = attack_named("intercept-resend")
        >>> attack.name, attack.low, attack.high, attack.is_channel
        ('intercept-resend', 0.0, 1.0, True)
    """

    name: str
    summary: str
    meaning: str = ""
    low: float = 0.0
    high: float = 1.0
    default: float = 1.0
    options: tuple[Option, ...] = ()
    settings: tuple[str, ...] = ()
    simulators: tuple[Simulator, ...] = ON_PHOTONS
    breaks: tuple[Assumption, ...] = ()
    expected: Callable[[Conditions], Expected]
    build: Build
    line: Callable[[Conditions], ClassicalLine] = lambda _: ClassicalLine()

    @property
    def has_photons(self) -> bool:
        """Whether noise other than visibility has something to act on."""
        return self.simulators != WITHOUT_PHOTONS

    @property
    def is_channel(self) -> bool:
        """Whether Eve is a channel on the photons: then it also runs by the block."""
        return self.simulators == AS_CHANNEL

    def check(self, conditions: Conditions) -> None:
        """Check that the attack can be staged under these conditions, without its device.

        Args:
            conditions: Strength, settings, noise, simulator and options.

        Raises:
            ValueError: It cannot be this strong, or does not exist for these settings, this
                simulator or this noise, or an option is none of its own or impossible.
        """
        self.check_strength(conditions.strength)
        if self.settings and conditions.settings.name not in self.settings:
            raise ValueError(
                f"`{self.name}` must be run with the settings {' or '.join(self.settings)}, for "
                f"which it is defined, but they are {conditions.settings.name}."
            )
        self._check_state(conditions)
        self._check_simulator(conditions.simulator)
        self._check_options(conditions)
        if conditions.seed is not None:
            check_whole(seed=conditions.seed)
        for name, value in conditions.arm_noise.items():
            if value and not self.has_photons:
                raise ValueError(
                    f"`{name}` must be 0 with `{self.name}`, which sends no photons, but is "
                    f"{value}."
                )

    def check_strength(self, strength: float) -> None:
        """Check that the attack can be this strong.

        Args:
            strength: As `meaning` says.

        Raises:
            ValueError: It cannot.
        """
        if not (self.low <= strength <= self.high and math.isfinite(strength)):
            high = "infinity)" if math.isinf(self.high) else f"{self.high:.6g}]"
            raise ValueError(
                f"`strength` of `{self.name}` must lie in [{self.low:.6g}, {high} "
                f"({self.meaning}), but is {strength:g}."
            )

    def _check_state(self, conditions: Conditions) -> None:
        settings = conditions.settings
        if self.is_channel:
            return
        if not settings.chsh_pairs:
            raise ValueError(
                f"`{self.name}` must come with settings of a Bell test, which its answers are made "
                f"for, but `{settings.name}` have none."
            )
        if settings.state != "phi+" or -1 in settings.key_signs:
            raise ValueError(
                f"`{self.name}` must come with settings for phi+ pairs, as its answers are written "
                f"for equal outcomes, but `{settings.name}` are for others."
            )
        if conditions.state not in (None, "phi+") and not self.has_photons:
            raise ValueError(
                f"`state` must come with an attack on photons, but `{self.name}` sends none."
            )

    def _check_simulator(self, simulator: str) -> None:
        if simulator not in AS_CHANNEL:
            raise ValueError(
                f"`{self.name}` must come with the device exact or aer, as no other lets Eve hold "
                f"the photons, but the device is {simulator}."
            )
        # Under "aer" an attack that needs no photons runs just as under "exact".
        if simulator == "aer-with-eve" and not self.is_channel:
            raise ValueError(
                f"The device aer-with-eve must come with an attack in which Eve has qubits of her "
                f"own, but `{self.name}` has none."
            )

    def _check_options(self, conditions: Conditions) -> None:
        known = ", ".join(option.name for option in self.options) or "none"
        for name in conditions.options:
            if name not in known.split(", "):
                raise ValueError(
                    f"`{name}` must come with an attack that has this option, but `{self.name}` "
                    f"has {known}."
                )
        for option in self.options:
            option.chosen(conditions)


def acting_on_photons(transformation: Callable[[Conditions], Source]) -> Build:
    """Return what builds an attack that is a transformation of the source; it loads Qiskit."""

    def build(conditions: Conditions) -> ChannelTap | TappedDevice:
        from e91.adversaries.eve_in_circuits import tapped_device

        return tapped_device(transformation(conditions), conditions)

    return build


def answering(answer: Callable[[Conditions], Answer], description: str) -> Build:
    """Return what builds a device from its answers, with white noise over all of it afterwards.

    Args:
        answer: What the device does under given conditions.
        description: One sentence for the report, with a place for the strength.
    """

    def build(conditions: Conditions) -> TappedDevice:
        device = _tapped(answer(conditions), conditions, description)
        return with_white_noise(device, conditions)

    return build


def acting_on_perfect_pairs(change: Change, description: str) -> Build:
    """Return what builds an attack on honest pairs, with white noise over all of it afterwards."""
    return answering(lambda found: change(_honest_pairs(found, visibility=1.0), found), description)


def acting_on_noisy_pairs(change: Change, description: str) -> Build:
    """Return what builds an attack on honest pairs with the conditions' white noise."""

    def build(conditions: Conditions) -> TappedDevice:
        pairs = _honest_pairs(conditions, conditions.visibility)
        return _tapped(change(pairs, conditions), conditions, description)

    return build


def _tapped(answer: Answer, conditions: Conditions, description: str) -> TappedDevice:
    return TappedDevice(conditions.info(description.format(conditions.strength)), answer)


def _honest_pairs(conditions: Conditions, visibility: float) -> Device:
    from e91.devices.aer import aer_device
    from e91.devices.exact import exact_device

    make = aer_device if conditions.simulator == "aer" else exact_device
    device = make(
        attack=None,
        settings=conditions.settings,
        visibility=visibility,
        seed=conditions.seed,
        state=conditions.state,
        **conditions.arm_noise,
    )
    return device.announcing(conditions.progress)
