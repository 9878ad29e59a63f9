"""Stage an attack, run a session under it, and compare it with the closed form."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from e91.adversaries.adversary import Assumption, Attack, ClassicalLine, Expected, assumed_by
from e91.adversaries.catalogue import attack_named
from e91.adversaries.conditions import Conditions
from e91.security.policy import Policy
from e91.security.theorems import Theorem
from e91.session.report import SessionReport
from e91.system.folding_layout import FoldingLayout, folding_page

if TYPE_CHECKING:
    from e91.adversaries.channel import ChannelTap
    from e91.adversaries.notes import Knowledge, TappedDevice


@dataclass(frozen=True, eq=False)
class Staged:
    """An attack ready for one session.

    Attributes:
        attack: Which one.
        conditions: Under which conditions.
        device: The device with Eve in it.
        line: What she does to the classical messages.

    Examples:
        >>> staged = stage("gisin", Conditions(strength=0.7))
        >>> staged.attack.name, staged.expected.efficiencies
        ('gisin', (0.7, 0.7))
    """

    attack: Attack
    conditions: Conditions
    device: ChannelTap | TappedDevice
    line: ClassicalLine

    @property
    def expected(self) -> Expected:
        """The closed form, with the conditions' visibility."""
        return self.attack.expected(self.conditions).seen_with(self.conditions.visibility)

    def broken(self, theorem: Theorem) -> tuple[Assumption, ...]:
        """Return the theorem's assumptions that are false under this attack.

        Args:
            theorem: The theorem of the session's policy.
        """
        assumed = assumed_by(theorem)
        if self.line.authentication_key is None:
            assumed -= {Assumption.AUTHENTICATION}
        return tuple(found for found in self.attack.breaks if found in assumed)


@dataclass(frozen=True, eq=False)
class AttackReport:
    """A session under attack beside what it should have shown.

    Attributes:
        staged: The attack.
        session: What Alice and Bob report.

    Examples:
        >>> found = run_attack("intercept-resend", 1.0, rounds=20_000, seed=1)
        >>> found.session.abort.name, round(found.expected.chsh, 3), round(found.expected.qber, 3)
        ('NO_VIOLATION', 1.414, 0.25)
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

    @property
    def headline(self) -> str:
        """What the session ended with, and what that is worth, in a sentence."""
        if self.session.abort is None and self.broken:
            return "A KEY THAT IS NOT SECRET: it rests on an assumption that is violated."
        return self.session.headline

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Show the page in a notebook, and the text where there is none, as in IPython."""
        del include, exclude  # both are light, and Jupyter picks
        text = f"{self.headline}\n\n{self.session}"
        return {"text/plain": text, "text/html": self._repr_html_()}

    def _repr_html_(self) -> str:
        page = FoldingLayout()
        sections = [_beside_theory(self, page), *self.session.folding_sections(page)]
        return folding_page(self.headline, sections, opened=2)


def _beside_theory(report: AttackReport, page: FoldingLayout) -> list[str]:
    """Return what Eve did, which assumptions that violates, and what was seen and expected."""
    attack, expected, eve = report.staged.attack, report.expected, report.eve
    strength = f", strength {report.staged.conditions.strength:.6g}" if attack.meaning else ""
    rows = [
        ["", "this session", "expected"],
        ["S", _number(report.session.chsh.value), _number(expected.chsh)],
        ["QBER", _number(report.session.qber.rate), _number(expected.qber)],
        ["Eve guesses a key bit", _number(eve.guess_rate), _number(expected.guess_rate)],
        ["Eve's bits per key bit", _number(eve.information), _number(expected.information)],
    ]
    violated = [page.row("not true here", broken.value) for broken in report.broken]
    return [
        page.title(f"{attack.name}{strength}"),
        *page.text(attack.summary),
        *violated,
        *page.table(rows),
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def conditions_of(name: str, strength: float | None = None, **given: Any) -> Conditions:
    """Return the conditions of an attack, with its default strength if none is given.

    Args:
        name: Its name in `ATTACKS`.
        strength: How strong it is.
        given: Fields of `Conditions`, and options of the attack.

    Returns:
        What `stage` takes, with every field set.

    Raises:
        ValueError: There is no such attack, or it has no strength to choose.

    Examples:
        >>> conditions_of("intercept-resend", basis="z", seed=1).options
        {'basis': 'z'}
    """
    attack = attack_named(name)
    if strength is not None and not attack.meaning:
        raise ValueError(f"`strength` must not be given with `{name}`, but is {strength:g}.")
    own = {field.name for field in fields(Conditions)}
    options = {option: value for option, value in given.items() if option not in own}
    known = {field: value for field, value in given.items() if field in own}
    chosen = attack.default if strength is None else float(strength)
    return Conditions(chosen, options=options, **known)


def stage(name: str, conditions: Conditions) -> Staged:
    """Return an attack made ready for one session.

    Args:
        name: Its name in `ATTACKS`.
        conditions: Strength, settings, noise, simulator, seed and options.

    Returns:
        The device or the channel that Eve has changed, what her attack is expected to show, and her
        notes.

    Raises:
        ValueError: There is no such attack, it cannot be this strong, or does not exist for
            these settings, this noise or these options.

    Examples:
        >>> stage("gisin", Conditions(strength=0.7)).device.description
        'Planar local model, efficiency 0.7.'
    """
    attack = attack_named(name)
    attack.check(conditions)
    return Staged(attack, conditions, attack.build(conditions), attack.line(conditions))


def run_attack(
    name: str,
    strength: float | None = None,
    *,
    rounds: int = 1_000_000,
    policy: Policy | None = None,
    seed: int | None = None,
    **conditions: Any,
) -> AttackReport:
    """Run one session under attack.

    Args:
        name: Which attack; see `ATTACKS`.
        strength: How strong; the entry's default if not given.
        rounds: Photon pairs, or rounds of a device that has none.
        policy: What a released key must promise; the defaults of `Policy`.
        seed: Replaces the operating system's entropy, for tests only.
        conditions: Further fields of `Conditions`, as settings, visibility or simulator, and
            options of the attack: basis of intercept-resend, flips of collective, authenticated
            of man-in-the-middle.

    Returns:
        What Alice and Bob report, beside what the attack shows in expectation.

    Raises:
        ValueError: As for `stage` and `e91.session.session.run`.

    Examples:
        >>> found = run_attack("local", 2, rounds=20_000, seed=1)
        >>> found.session.abort.name, found.eve.guess_rate
        ('NO_VIOLATION', 1.0)
    """
    from e91.session.session import check_rounds, run

    check_rounds(rounds)
    staged = stage(name, conditions_of(name, strength, rounds=rounds, seed=seed, **conditions))
    report = run(staged.device, rounds=rounds, policy=policy, seed=seed, **vars(staged.line))
    return AttackReport(staged, report)
