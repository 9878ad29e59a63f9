"""Every parameter that a study can fix or sweep, and one point: what sessions are run with."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import msgspec

from e91.adversaries.catalogue import ATTACKS, all_options
from e91.adversaries.conditions import ARM_NOISE, Option, Switch, Word
from e91.model.settings import SETTINGS, Settings
from e91.model.trust import SecurityModel
from e91.security.policy import Policy, Reconciler
from e91.security.theorems import Theorem
from e91.session.session import MAXIMUM_ROUNDS as MAXIMUM_SESSION
from e91.session.settings_files import read_settings
from e91.session.streaming import BLOCK_ROUNDS, MAXIMUM_ROUNDS
from e91.session.verdict import check_policy

if TYPE_CHECKING:
    from e91.adversaries.conditions import Conditions


Value = bool | int | float | str | tuple[float, ...] | None
"""What a parameter can be; None stands for "none" in a file."""

NONE = "none"
"""How a file says that there is no adversary, theorem, strength, ..."""

LARGEST_BLOCK = 2**24
"""Rounds of a block in a study, at most: a quarter of a gigabyte in each process."""

Kind = Callable[[object], Value]
"""Returns a value as it will be used, or raises `ValueError` with what it must be."""


@dataclass(frozen=True)
class Parameter:
    """One thing that a study can choose.

    Attributes:
        name: Its place in the file, e.g. ``device.visibility``.
        dimension: What the result calls it, e.g. ``visibility``.
        default: Its value if the study says nothing.
        kind: What it can be.
        unit: Of its values; "1" for a pure number, empty for words.
        meaning: A sentence for people who read the result.
    """

    name: str
    dimension: str
    default: Value
    kind: Kind
    unit: str
    meaning: str


def _number(low: float, high: float, *, ends: str = "[]") -> Kind:
    """Return a kind: a number between two limits; ``ends`` says whether they belong to it."""
    span = f"lie in {ends[0]}{low:g}, {high:g}{ends[1]}" if math.isfinite(high) else "be finite"

    def checked(value: object) -> Value:
        """Return the number, if it is one of the range."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("be a number")
        # Not a number fails every comparison.
        if not low <= value <= high or (ends == "()" and value in (low, high)):
            raise ValueError(span)
        return float(value)

    return checked


def _whole(low: int, high: int) -> Kind:
    def checked(value: object) -> Value:
        """Return the whole number, if it is one of the range."""
        # A file may say 1e6, which is a float.
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not whole or not low <= value <= high:  # type: ignore[operator]
            raise ValueError(f"be a whole number from {low:,} to {high:,}")
        return int(value)  # type: ignore[call-overload,no-any-return]

    return checked


def _word(*words: str) -> Kind:
    def checked(value: object) -> Value:
        """Return the word, if it is known."""
        if value not in words or not isinstance(value, str):
            raise ValueError(f"be one of {', '.join(words)}")
        return value

    return checked


def _flag(value: object) -> Value:
    if not isinstance(value, bool):
        raise ValueError("be true or false")
    return value


def _probabilities(value: object) -> Value:
    single = _number(0, 1)
    if not isinstance(value, list | tuple) or not value:
        raise ValueError("be a list of probabilities")
    return tuple(single(part) for part in value)  # type: ignore[misc]


def _own_settings(value: object) -> Value:
    """Return one's own settings as text, which travels, from the name of a file or as they came."""
    if not isinstance(value, str):
        raise ValueError("be the name of a file of settings")
    try:
        found = settings_in(value) if value.startswith("{") else read_settings(value)
    except ValueError as error:
        raise ValueError(f"be a file of settings ({str(error).rstrip('.')})") from None
    return msgspec.json.encode(found).decode()


def settings_in(text: str) -> Settings:
    """Return one's own settings from the text in which they travel.

    Raises:
        ValueError: It is no such text.
    """
    try:
        return msgspec.json.decode(text, type=Settings)
    except msgspec.DecodeError as error:
        raise ValueError(f"no settings: {error}") from None


def _or_none(kind: Kind) -> Kind:
    def checked(value: object) -> Value:
        """Return None for "none", and else what the other kind makes of it."""
        if value is None or value == NONE:
            return None
        try:
            return kind(value)
        except ValueError as error:
            raise ValueError(f"{error}, or be `{NONE}`") from None

    return checked


def _of_attacks(option: Option) -> Parameter:
    """Return the parameter that is an option of attacks; none leaves it at its default."""
    owners = ", ".join(attack.name for attack in all_options()[option])
    name, meaning = f"adversary.{option.name}", f"Of {owners}: {option.meaning}."
    if isinstance(option, Switch):
        return Parameter(name, option.name, True, _flag, "", meaning)
    if isinstance(option, Word):
        return Parameter(name, option.name, None, _or_none(_word(*option.words)), "", meaning)
    share = _or_none(_number(0, option.high))
    return Parameter(name, option.name, None, share, "1", meaning)


_FRACTION = _number(0, 1)
_OPEN = _number(0, 1, ends="()")
_ANY = _number(-math.inf, math.inf, ends="()")

_ALL = (
    Parameter("rounds", "rounds", 1_000_000, _whole(1, MAXIMUM_ROUNDS), "pairs",
              "Photon pairs sent in one repeat."),
    Parameter("block_rounds", "block_rounds", BLOCK_ROUNDS, _whole(1, LARGEST_BLOCK), "pairs",
              "Pairs after which a new block with a key of its own begins."),
    Parameter("device.name", "device", "exact", _word("exact", "aer"), "",
              "How pairs are simulated."),
    Parameter("device.visibility", "visibility", 1.0, _FRACTION, "1",
              "Werner visibility of the pairs."),
    Parameter("device.dephasing", "dephasing", 0.0, _FRACTION, "1",
              "Probability of a phase flip on Bob's arm."),
    Parameter("device.misalignment", "misalignment", 0.0, _ANY, "rad",
              "Turn of Bob's arm on the Bloch sphere."),
    Parameter("device.amplitude_damping", "amplitude_damping", 0.0, _FRACTION, "1",
              "Probability of decay on Bob's arm."),
    Parameter("device.readout_error", "readout_error", 0.0, _FRACTION, "1",
              "Probability that an outcome is misread, either party."),
    Parameter("settings.name", "settings", "ekert", _word(*SETTINGS), "",
              "Angles of the analysers."),
    Parameter("settings.own", "own_settings", None, _or_none(_own_settings), "",
              "A file of one's own angles and roles, in place of a name."),
    Parameter("settings.alice_probabilities", "alice_probabilities", None,
              _or_none(_probabilities), "1", "Probability of each of Alice's settings."),
    Parameter("settings.bob_probabilities", "bob_probabilities", None,
              _or_none(_probabilities), "1", "Probability of each of Bob's settings."),
    Parameter("policy.security", "security", None,
              _or_none(_word(*(model.value for model in SecurityModel))), "",
              "What is assumed of the equipment; the theorem's own by default."),
    Parameter("policy.theorem", "theorem", None,
              _or_none(_word(*(theorem.value for theorem in Theorem))), "",
              "Theorem of the key length; the security model's own by default."),
    Parameter("policy.asymptotic", "asymptotic", False, _flag, "",
              "Whether the theorem may be an asymptotic formula, whose keys have no epsilon."),
    Parameter("policy.epsilon", "epsilon", 1e-10, _OPEN, "1",
              "Failure probability of a block."),
    Parameter("policy.revealed_fraction", "revealed_fraction", 0.1, _OPEN, "1",
              "Probability that a key round is revealed."),
    Parameter("policy.tolerated_error", "tolerated_error", None,
              _or_none(_number(0, 0.5)), "1", "Error rate at which the key is given up."),
    Parameter("policy.flip_probability", "flip_probability", 0.0, _number(0, 0.5), "1",
              "Noisy preprocessing of Alice's key."),
    Parameter("policy.reconciler", "reconciler", Reconciler.CASCADE.value,
              _word(*(reconciler.value for reconciler in Reconciler)), "",
              "How Bob's errors are corrected."),
    Parameter("adversary.name", "attack", None, _or_none(_word(*ATTACKS)), "",
              "Who is on the line."),
    Parameter("adversary.strength", "strength", None, _or_none(_ANY), "1",
              "Strength of the attack; `e91 attack list` says of each what it means."),
    *(_of_attacks(option) for option in all_options()),
)  # fmt: skip

PARAMETERS = {parameter.name: parameter for parameter in _ALL}
"""Every parameter by its name, in the order in which a study's sessions are described."""


def checked(name: str, value: object, *, path: str) -> Value:
    """Return the value of a parameter as it will be used.

    Args:
        name: Name in `PARAMETERS`.
        value: What the study gives.
        path: What the sentence of an error calls it.

    Raises:
        ValueError: It cannot be this.

    Examples:
        >>> checked("rounds", 1e6, path="rounds"), checked("adversary.name", "none", path="x")
        (1000000, None)
        >>> checked("device.visibility", 2, path="device.visibility")
        Traceback (most recent call last):
        ValueError: `device.visibility` must lie in [0, 1], but is 2.
    """
    try:
        return PARAMETERS[name].kind(value)
    except ValueError as error:
        raise ValueError(f"`{path}` must {error}, but is {value!r}.") from None


NOISE = ("visibility", *ARM_NOISE)
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
        angles = self.angles
        return angles.biased(
            self["settings.alice_probabilities"] or angles.alice_probabilities,
            self["settings.bob_probabilities"] or angles.bob_probabilities,
        )

    @property
    def angles(self) -> Settings:
        """Angles and roles, with the probabilities that they come with."""
        own = self["settings.own"]
        name = self["settings.name"]
        return SETTINGS[name] if own is None else settings_in(own)

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
        if not self.streams and self.rounds > MAXIMUM_SESSION:
            raise ValueError(
                f"`rounds` must be at most {MAXIMUM_SESSION:,} under an attack or with `aer`, but "
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
