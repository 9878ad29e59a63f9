"""Every adversary by its name.  The entries stand in the files of their families."""

from e91.adversaries import (
    changing_devices,
    detector_attacks,
    interception,
    local_models,
    man_in_the_middle,
)
from e91.adversaries.adversary import Attack
from e91.adversaries.conditions import Option

_FAMILIES = (
    interception,
    local_models,
    detector_attacks,
    changing_devices,
    man_in_the_middle,
)

ATTACKS: dict[str, Attack] = {
    attack.name: attack for family in _FAMILIES for attack in family.ATTACKS
}
"""Every attack by its name."""


def attack_named(name: str) -> Attack:
    """Return the attack of this name.

    Args:
        name: Such as ``"intercept-resend"``.

    Returns:
        The attack, one of `ATTACKS`.

    Raises:
        ValueError: There is none.

    Examples:
        >>> attack_named("cloner").high
        0.5
    """
    if name not in ATTACKS:
        raise ValueError(f"`attack` must be one of {', '.join(ATTACKS)}, but is `{name}`.")
    return ATTACKS[name]


def all_options() -> dict[Option, list[Attack]]:
    """Return the options of all attacks, with the attacks that each belongs to.

    Examples:
        >>> {option.name: [attack.name for attack in of] for option, of in all_options().items()}
        {'basis': ['intercept-resend'], 'flips': ['collective'], 'authenticated': \
['man-in-the-middle']}
    """
    owners: dict[Option, list[Attack]] = {}
    for attack in ATTACKS.values():
        for option in attack.options:
            owners.setdefault(option, []).append(attack)
    return owners
