"""Simulate a published experiment, and hold the result against what was published."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from e91.experiments.coincidence_rates import Rates, rates
from e91.experiments.correlations import Correlations, correlations
from e91.experiments.key_rates import (
    finite_bits,
    fixed_session_bits_per_round,
    is_finite,
    secret_fraction,
)
from e91.experiments.published import Comparison, Experiment, Outcome, Parameter
from e91.experiments.vocabulary import PARAMETERS
from e91.model.policy import Theorem


@dataclass(frozen=True)
class Scene:
    """What an experiment measures: expectations, or one draw of its counts.

    Attributes:
        qber: Error rate of the key bits.
        chsh: S, or None.
        wigner: W, or None.
        fidelity: With the Bell pair.
        coincidences_per_second: Or None if nothing says how many.
        accidental_fraction: Of the coincidences.
        link_loss_db: From the source to both clicks, or None.
    """

    qber: float
    chsh: float | None
    wigner: float | None
    fidelity: float
    coincidences_per_second: float | None
    accidental_fraction: float
    link_loss_db: float | None


def compare(experiment: Experiment, *, seed: int | None = None) -> tuple[Comparison, ...]:
    """Return every published outcome with its simulated value.

    Args:
        experiment: From `e91.experiments.load`.
        seed: None gives expectations; a number draws one repetition of the experiment with its
            own number of counts, as far as the file states them.

    Returns:
        One comparison for each outcome, in the file's order.  An outcome that the model or the
        file's parameters cannot give has no simulated value but a reason.

    Raises:
        ValueError: ``seed`` is negative.

    Examples:
        >>> from e91.experiments.reader import load
        >>> for row in compare(load("yin-2017")):
        ...     if row.outcome.quantity == "chsh":
        ...         print(f"{row.simulated:.3f} beside {row.outcome.value} ± {row.outcome.error}")
        2.370 beside 2.37 ± 0.09
    """
    if seed is not None and seed < 0:
        raise ValueError(f"`seed` must not be negative, but is {seed}.")
    try:
        expected = expected_scene(experiment)
        seen = expected if seed is None else drawn_scene(experiment, seed=seed)
    except ValueError as error:
        return tuple(
            Comparison(outcome, None, 0.0, outcome.quantity in experiment.fitted, str(error))
            for outcome in experiment.outcomes
        )
    return tuple(_compared(experiment, outcome, expected, seen) for outcome in experiment.outcomes)


def expected_scene(experiment: Experiment) -> Scene:
    """Return the expectations of all that the experiment measures."""
    return _scene(_correlations(experiment), rates(experiment))


def drawn_scene(experiment: Experiment, *, seed: int) -> Scene:
    """Return one repetition of the experiment, with its own counts drawn at random.

    S is drawn from four binomial counts, the QBER from one, the rate from a Poisson count; what
    the file gives no count for keeps its expectation.

    Args:
        experiment: Gives ``protocol.chsh_coincidences``, ``protocol.sifted_bits`` and
            ``protocol.duration_s``.
        seed: Of the physical randomness, not negative.
    """
    generator = np.random.default_rng(np.random.SeedSequence(seed))
    scene = expected_scene(experiment)
    tests = round(experiment.value("protocol.chsh_coincidences", 0.0)) // 4
    bits = round(experiment.value("protocol.sifted_bits", 0.0))
    seconds = experiment.value("protocol.duration_s", 0.0)
    terms = _correlations(experiment).chsh_terms
    if terms and tests:
        wins = generator.binomial(tests, (1 + np.array(terms)) / 2)
        scene = replace(scene, chsh=float(np.sum(2 * wins / tests - 1)))
    if bits:
        scene = replace(scene, qber=float(generator.binomial(bits, scene.qber)) / bits)
    if scene.coincidences_per_second is not None and seconds:
        counts = generator.poisson(scene.coincidences_per_second * seconds)
        scene = replace(scene, coincidences_per_second=float(counts) / seconds)
    return scene


def _compared(experiment: Experiment, outcome: Outcome, expected: Scene, seen: Scene) -> Comparison:
    theorem = outcome.theorem or experiment.theorem
    fitted = outcome.quantity in experiment.fitted
    try:
        value = _quantity(experiment, seen, outcome.quantity, theorem)
        spread = _spread(experiment, expected, outcome.quantity, theorem)
    except ValueError as error:
        return Comparison(outcome, None, 0.0, fitted, str(error))
    return Comparison(outcome, value, spread, fitted)


def _spread(experiment: Experiment, scene: Scene, quantity: str, theorem: Theorem) -> float:
    """Return one standard deviation: of the parameters, and of the experiment's own counts."""
    parts = []
    for parameter in experiment.parameters:
        if parameter.error > 0:
            ends = [
                _quantity(changed, expected_scene(changed), quantity, theorem)
                for changed in _both_ends(experiment, parameter)
            ]
            parts.append((ends[1] - ends[0]) / 2)
    for name, error in _counting_errors(experiment, scene).items():
        ends = [
            _quantity(
                experiment,
                replace(scene, **{name: max(getattr(scene, name) + sign * error, 0.0)}),
                quantity,
                theorem,
            )
            for sign in (-1, 1)
        ]
        parts.append((ends[1] - ends[0]) / 2)
    return math.hypot(*parts)


def _both_ends(experiment: Experiment, parameter: Parameter) -> tuple[Experiment, Experiment]:
    limits = PARAMETERS[parameter.key]
    down = max(parameter.value - parameter.error, limits.low) - parameter.value
    up = min(parameter.value + parameter.error, limits.high) - parameter.value
    return experiment.shifted(parameter.key, down), experiment.shifted(parameter.key, up)


def _counting_errors(experiment: Experiment, scene: Scene) -> dict[str, float]:
    """Return the standard deviations that the stated counts give to what is measured."""
    errors = {}
    tests = experiment.value("protocol.chsh_coincidences", 0.0)
    bits = experiment.value("protocol.sifted_bits", 0.0)
    seconds = experiment.value("protocol.duration_s", 0.0)
    terms = _correlations(experiment).chsh_terms
    if terms and tests > 0:
        errors["chsh"] = math.sqrt(4 * math.fsum(1 - term**2 for term in terms) / tests)
    if bits > 0:
        errors["qber"] = math.sqrt(scene.qber * (1 - scene.qber) / bits)
    if scene.coincidences_per_second is not None and seconds > 0:
        errors["coincidences_per_second"] = math.sqrt(scene.coincidences_per_second / seconds)
    return errors


def _correlations(experiment: Experiment) -> Correlations:
    white = (1 - experiment.value("state.visibility", 1.0)) / 2
    split = experiment.has("state.bit_error") and experiment.has("state.phase_error")
    if not split and not experiment.has("state.visibility"):
        raise ValueError(
            f"`{experiment.name}` must have `state.visibility`, or `state.bit_error` and "
            "`state.phase_error`, to be simulated, but has neither."
        )
    return correlations(
        experiment.settings,
        bit_error=experiment.value("state.bit_error", white),
        phase_error=experiment.value("state.phase_error", white),
        accidental_fraction=rates(experiment).accidental_fraction,
    )


def _scene(found: Correlations, counted: Rates) -> Scene:
    return Scene(
        qber=found.qber,
        chsh=found.chsh,
        wigner=found.wigner,
        fidelity=found.fidelity,
        coincidences_per_second=counted.coincidences_per_second,
        accidental_fraction=counted.accidental_fraction,
        link_loss_db=counted.link_loss_db,
    )


def _quantity(experiment: Experiment, scene: Scene, name: str, theorem: Theorem) -> float:
    return _QUANTITIES[name](experiment, scene, theorem)


def _known(value: float | None, what: str) -> float:
    if value is None:
        raise ValueError(f"The parameters must give {what}, but do not.")
    return value


def _sifted_rate(experiment: Experiment, scene: Scene) -> float:
    rate = _known(scene.coincidences_per_second, "a rate of coincidences")
    return rate * experiment.value("protocol.sifted_fraction")


def _secret_rate(experiment: Experiment, scene: Scene, theorem: Theorem) -> float:
    fraction = secret_fraction(experiment, theorem=theorem, chsh=scene.chsh, qber=scene.qber)
    return _sifted_rate(experiment, scene) * fraction


def _secret_bits(experiment: Experiment, scene: Scene, theorem: Theorem) -> float:
    if is_finite(theorem):
        return finite_bits(experiment, theorem=theorem, chsh=scene.chsh, qber=scene.qber)
    fraction = secret_fraction(experiment, theorem=theorem, chsh=scene.chsh, qber=scene.qber)
    return _sifted_bits(experiment, scene) * fraction


def _sifted_bits(experiment: Experiment, scene: Scene) -> float:
    if experiment.has("protocol.sifted_bits"):
        return experiment.value("protocol.sifted_bits")
    return _sifted_rate(experiment, scene) * experiment.value("protocol.duration_s")


def _per_event(experiment: Experiment, scene: Scene, theorem: Theorem) -> float:
    if is_finite(theorem):
        return _secret_bits(experiment, scene, theorem) / experiment.value("protocol.rounds")
    fraction = secret_fraction(experiment, theorem=theorem, chsh=scene.chsh, qber=scene.qber)
    return experiment.value("protocol.sifted_fraction") * fraction


def _concurrence(scene: Scene) -> float:
    """Return the concurrence of the pairs, 2 F - 1 or 0, as they are mixtures of Bell pairs.

    Bennett et al., Phys. Rev. A 54, 3824 (1996): the entanglement of such a mixture depends on its
    largest weight, which is F here, as no flip is likelier than none.
    """
    return max(0.0, 2 * scene.fidelity - 1)


def _signal_to_noise(scene: Scene) -> float:
    return 1 / max(scene.accidental_fraction, 1e-300) - 1


_QUANTITIES: dict[str, Callable[[Experiment, Scene, Theorem], float]] = {
    "chsh": lambda _, s, __: _known(s.chsh, "settings with a CHSH test"),
    "wigner": lambda _, s, __: _known(s.wigner, "the settings of Wigner's inequality"),
    "qber": lambda _, s, __: s.qber,
    "visibility": lambda _, s, __: 1 - 2 * s.qber,
    "fidelity": lambda _, s, __: s.fidelity,
    "concurrence": lambda _, s, __: _concurrence(s),
    "coincidences_per_second": lambda _, s, __: _known(
        s.coincidences_per_second, "a rate of coincidences"
    ),
    "signal_to_noise": lambda _, s, __: _signal_to_noise(s),
    "link_loss": lambda _, s, __: _known(s.link_loss_db, "the losses of both arms"),
    "sifted_bits_per_second": lambda e, s, _: _sifted_rate(e, s),
    "sifted_bits": lambda e, s, _: _sifted_bits(e, s),
    "secret_bits_per_second": _secret_rate,
    "secret_bits_per_event": _per_event,
    "secret_bits": _secret_bits,
    "fixed_session_bits_per_round": lambda e, _, __: fixed_session_bits_per_round(e),
}
