"""One point of a study: what its sessions are run with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from e91.model.settings import SETTINGS, Settings
from e91.model.trust import SecurityModel
from e91.security.policy import Policy
from e91.security.theorems import Theorem
from e91.session.session import MAXIMUM_ROUNDS
from e91.session.verdict import check_policy
from e91.studies.parameters import PARAMETERS, Value

if TYPE_CHECKING:
    from e91.adversaries.conditions import Conditions

NOISE = ("visibility", "dephasing", "misalignment", "amplitude_damping", "readout_error")
"""Parameters of the device that act on the pairs."""


@dataclass(frozen=True)
class Point:
    """The parameters of one point; hashable, and a few hundred bytes when it travels.

    Attributes:
        values: One value for each parameter of `PARAMETERS`, in its order.

    Examples:
        >>> point = point_of({"device.visibility": 0.9, "policy.security": "device-independent"})
        >>> point.noise["visibility"], point.policy.security.value, point.blocks
        (0.9, 'device-independent', 1)
    """

    values: tuple[Value, ...]

    def __getitem__(self, name: str) -> Any:
        return self.values[_PLACES[name]]

    @property
    def rounds(self) -> int:
        """Pairs sent in one repeat."""
        return cast(int, self["rounds"])

    @property
    def block_rounds(self) -> int:
        """Rounds of every block but the last."""
        return min(self.rounds, cast(int, self["block_rounds"])) if self.streams else self.rounds

    @property
    def blocks(self) -> int:
        """Blocks of one repeat."""
        return -(-self.rounds // self.block_rounds)

    @property
    def streams(self) -> bool:
        """Whether rounds are drawn a block at a time: honest pairs, from exact probabilities."""
        return self["adversary.name"] is None and self["device.name"] == "exact"

    @property
    def noise(self) -> dict[str, Any]:
        """The noise of the pairs, by name."""
        return {name: self[f"device.{name}"] for name in NOISE}

    @property
    def settings(self) -> Settings:
        """Angles, probabilities and roles.

        Raises:
            ValueError: The probabilities do not fit the angles.
        """
        named = SETTINGS[self["settings.name"]]
        return named.biased(
            self["settings.alice_probabilities"] or named.alice_probabilities,
            self["settings.bob_probabilities"] or named.bob_probabilities,
        )

    @property
    def policy(self) -> Policy:
        """Security model, theorem, epsilon and what else a key must promise.

        Raises:
            ValueError: The choices contradict each other.
        """
        theorem = self["policy.theorem"]
        implied = SecurityModel.TRUSTED_ANALYSERS if theorem is None else Theorem(theorem).security
        model = self["policy.security"]
        return Policy(
            implied if model is None else SecurityModel(model),
            epsilon=self["policy.epsilon"],
            revealed_fraction=self["policy.revealed_fraction"],
            theorem=theorem,
            asymptotic=self["policy.asymptotic"],
            tolerated_error=self["policy.tolerated_error"],
            flip_probability=self["policy.flip_probability"],
            reconciler=self["policy.reconciler"],
        )

    def conditions(self, *, seed: int) -> Conditions:
        """Return the conditions of the point's attack."""
        from e91.adversaries.attacked_session import conditions_of

        return conditions_of(
            self["adversary.name"],
            self["adversary.strength"],
            settings=self.settings,
            rounds=self.rounds,
            simulator=self["device.name"],
            seed=seed,
            **self.noise,
            **self._choices,
        )

    @property
    def _choices(self) -> dict[str, Any]:
        """The options of attacks that are not left at their defaults."""
        names = {name.removeprefix("adversary."): name for name in _OPTIONS}
        return {
            option: self[name]
            for option, name in names.items()
            if self[name] != PARAMETERS[name].default
        }

    def check(self) -> None:
        """Check that sessions can be run at this point.

        Raises:
            ValueError: They cannot; the sentence says why.
        """
        check_policy(min(self.rounds, self.block_rounds), settings=self.settings,
                     policy=self.policy)  # fmt: skip
        if not self.streams and self.rounds > MAXIMUM_ROUNDS:
            raise ValueError(
                f"`rounds` must be at most {MAXIMUM_ROUNDS:,} under an attack or with `aer`, but "
                f"is {self.rounds:,}."
            )
        self._check_adversary()

    def _check_adversary(self) -> None:
        from e91.adversaries.catalogue import attack_named

        name, strength = self["adversary.name"], self["adversary.strength"]
        for option in self._choices if name is None else ():
            raise ValueError(f"`adversary.{option}` must come with an attack, but there is none.")
        if strength is not None and (name is None or not attack_named(name).meaning):
            raise ValueError(f"`adversary.strength` must come with an attack that has one, but "
                             f"comes with `{name or 'none'}`.")  # fmt: skip
        if name is not None:
            attack_named(name).check(self.conditions(seed=0))


_OPTIONS = [
    name
    for name in PARAMETERS
    if name.startswith("adversary.") and name not in ("adversary.name", "adversary.strength")
]
_PLACES = {name: place for place, name in enumerate(PARAMETERS)}


def point_of(values: dict[str, Value]) -> Point:
    """Return a point with the given values, checked before, and defaults for the others.

    Examples:
        >>> point_of({}).rounds
        1000000
    """
    return Point(tuple(values.get(name, known.default) for name, known in PARAMETERS.items()))
