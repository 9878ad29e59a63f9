"""Stage an attack, run a session under it, and compare it with the closed form."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from e91.adversaries.assumptions import Assumption, assumed_by
from e91.adversaries.catalogue import Attack, attack_named
from e91.adversaries.closed_forms import Expected
from e91.adversaries.conditions import BASES, Conditions, Simulator
from e91.adversaries.man_in_the_middle import PUBLIC_KEY, impersonating
from e91.model.messages import Party, Transmission, honest_transmission
from e91.model.policy import Policy, Theorem
from e91.session.report import SessionReport

if TYPE_CHECKING:
    from e91.adversaries.channel import ChannelTap
    from e91.adversaries.notes import Knowledge, TappedDevice


@dataclass(frozen=True, eq=False)
class Staged:
    """An attack ready for one session.

    Attributes:
        attack: Which one.
        conditions: Under which circumstances.
        device: The device with Eve in it.
        transmission: What she does to the classical messages.
        authentication_key: The key of the session's tags if everybody knows it, else None.
    """

    attack: Attack
    conditions: Conditions
    device: ChannelTap | TappedDevice
    transmission: Transmission = field(default=honest_transmission, repr=False)
    authentication_key: bytes | None = field(default=None, repr=False)

    @property
    def expected(self) -> Expected:
        """The closed form, with the conditions's visibility."""
        return self.attack.expected(self.conditions).seen_with(self.conditions.visibility)

    def broken(self, theorem: Theorem) -> tuple[Assumption, ...]:
        """Return the theorem's assumptions that are false under this attack."""
        assumed = assumed_by(theorem)
        if self.authentication_key is None:
            assumed -= {Assumption.AUTHENTICATION}
        return tuple(found for found in self.attack.breaks if found in assumed)


@dataclass(frozen=True, eq=False)
class AttackReport:
    """A session under attack beside what it should have shown.

    Attributes:
        staged: The attack.
        session: What Alice and Bob report.
    """

    staged: Staged
    session: SessionReport

    @property
    def expected(self) -> Expected:
        """What theory says."""
        return self.staged.expected

    @property
    def eve(self) -> Knowledge:
        """What Eve knows of the sifted key, from her notes or her quantum memory."""
        return self.staged.device.knowledge

    @property
    def broken(self) -> tuple[Assumption, ...]:
        """Assumptions of the session's theorem that the attack makes false."""
        return self.staged.broken(self.session.policy.proof)

    def to_dict(self) -> dict[str, Any]:
        """Return the session's public contents with ``attack``, ``expected`` and ``eve``."""
        attack = self.staged.attack
        strength = self.staged.conditions.strength if attack.meaning else None
        return self.session.to_dict() | {
            "attack": {"name": attack.name, "strength": strength},
            "broken_assumptions": [broken.value for broken in self.broken],
            "expected": asdict(self.expected),
            "eve": asdict(self.eve),
        }


def stage(name: str, conditions: Conditions, *, authenticated: bool = True) -> Staged:
    """Return an attack made ready for one session.

    Args:
        name: Its name in `ATTACKS`.
        conditions: Strength, settings, noise, simulator and seed.
        authenticated: Whether the messages are tagged with a key that Eve does not have;
            matters to ``man-in-the-middle`` alone.

    Raises:
        ValueError: There is no such attack, it cannot be this strong, or does not exist for
            these settings or this noise.

    Examples:
        >>> stage("gisin", Conditions(strength=0.7)).device.description
        'Planar local model, efficiency 0.7.'
    """
    attack = attack_named(name)
    check_conditions(attack, conditions)
    device = attack.build(conditions)
    if name != "man-in-the-middle":
        return Staged(attack, conditions, device)
    # Without the key Eve can only try another; the public one is as good as any.
    forger = impersonating(Party.BOB, PUBLIC_KEY)
    return Staged(attack, conditions, device, forger, None if authenticated else PUBLIC_KEY)


def check_conditions(attack: Attack, conditions: Conditions) -> None:
    """Check that an attack can be staged in a conditions, without making its device.

    Raises:
        ValueError: It cannot be this strong, or does not exist for these settings or this noise.
    """
    attack.check_strength(conditions.strength)
    if attack.settings and conditions.settings.name not in attack.settings:
        raise ValueError(
            f"`{attack.name}` must be run with the settings {' or '.join(attack.settings)}, for "
            f"which it is defined, but they are {conditions.settings.name}."
        )
    if conditions.simulator not in get_args(Simulator):
        raise ValueError(
            f"`{attack.name}` must come with the device exact or aer, as no other lets Eve hold "
            f"the photons, but the device is {conditions.simulator}."
        )
    if conditions.simulator == "aer-with-eve" and not attack.is_channel:
        raise ValueError(
            f"The device aer-with-eve must come with an attack in which Eve has qubits of her own, "
            f"but `{attack.name}` has none."
        )
    if conditions.basis not in BASES:
        raise ValueError(f"`basis` must be one of {', '.join(BASES)}, but is {conditions.basis}.")
    if conditions.seed is not None and conditions.seed < 0:
        raise ValueError(f"`seed` must not be negative, but is {conditions.seed}.")
    if conditions.flips and attack.name != "collective":
        raise ValueError(
            f"`flips` must be 0 with `{attack.name}`; only `collective` flips, but it is "
            f"{conditions.flips:g}."
        )
    if not 0 <= conditions.flips <= 0.5:
        raise ValueError(f"`flips` must lie in [0, 1/2], but is {conditions.flips:g}.")
    for name, value in conditions.arm_noise.items():
        if value and not attack.has_photons:
            raise ValueError(
                f"`{name}` must be 0 with `{attack.name}`, which sends no photons, but is {value}."
            )


def run_attack(
    name: str,
    strength: float | None = None,
    *,
    rounds: int = 1_000_000,
    policy: Policy | None = None,
    authenticated: bool = True,
    seed: int | None = None,
    **circumstances: Any,
) -> AttackReport:
    """Run one session under attack.

    Args:
        name: Which attack; see `ATTACKS`.
        strength: How strong; the table's default if not given.
        rounds: Photon pairs, or rounds of a device that has none.
        policy: What a released key must promise; the defaults of `Policy`.
        authenticated: As for `stage`.
        seed: Replaces the operating system's entropy, for tests only.
        circumstances: Further fields of `Conditions`: settings, visibility, simulator, basis, ...

    Raises:
        ValueError: As for `stage` and `e91.session.session.run`.

    Examples:
        >>> found = run_attack("local", 2, rounds=20_000, seed=1)
        >>> found.session.abort.name, found.eve.guess_rate
        ('NO_VIOLATION', 1.0)
    """
    from e91.session.session import check_rounds, run

    check_rounds(rounds)
    chosen = attack_named(name).default if strength is None else strength
    conditions = Conditions(float(chosen), rounds=rounds, seed=seed, **circumstances)
    staged = stage(name, conditions, authenticated=authenticated)
    report = run(
        staged.device,
        rounds=rounds,
        policy=policy,
        seed=seed,
        authentication_key=staged.authentication_key,
        transmission=staged.transmission,
    )
    return AttackReport(staged, report)
