"""Simulate a published experiment, and hold the result against what was published."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from e91.experiments.key_rates import (
    finite_bits,
    fixed_session_bits_per_round,
    is_finite,
    secret_fraction,
)
from e91.experiments.observables import Correlations, Observables, correlations, rates
from e91.experiments.published import Comparison, Experiment, ModelParameter, Outcome, SimulatedBy
from e91.experiments.vocabulary import PARAMETERS, Protocol
from e91.optics.link_files import given
from e91.security.theorems import Theorem
from e91.system.refusals import is_refusal

_OF_ERRORS = {"chsh", "wigner", "qber", "visibility", "fidelity", "concurrence"}


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
        >>> from e91.experiments.published import load
        >>> for row in compare(load("yin-2017")):
        ...     if row.outcome.quantity == "chsh":
        ...         print(f"{row.simulated:.3f} beside {row.outcome.value} ± {row.outcome.error}")
        2.370 beside 2.37 ± 0.09
    """
    if seed is not None and seed < 0:
        raise ValueError(f"`seed` must not be negative, but is {seed}.")
    try:
        expected = expected_observables(experiment)
        seen = expected if seed is None else drawn_observables(experiment, seed=seed)
    except ValueError as error:
        if not is_refusal(error):
            raise
        return tuple(
            Comparison(
                outcome,
                None,
                0.0,
                outcome.quantity in experiment.fitted,
                route_of(experiment, outcome.quantity),
                str(error),
            )
            for outcome in experiment.outcomes
        )
    return tuple(_compared(experiment, outcome, expected, seen) for outcome in experiment.outcomes)


def route_of(experiment: Experiment, quantity: str) -> SimulatedBy:
    """Return what gives a simulated number: a closed form of other numbers, or a link model.

    Without a source there is no link.  With one, rates come from it, and so do error rates with
    their accidental part; but where the pairs' noise was fitted to one of the experiment's own
    outcomes, whatever follows from the errors alone is a closed form of that outcome.

    Examples:
        >>> from e91.experiments.published import load
        >>> micius = load("yin-2017")
        >>> [route_of(micius, quantity).value for quantity in ("coincidences_per_second", "chsh")]
        ['link', 'closed form']
    """
    if experiment.numbers.source.pairs_per_second is None:
        return SimulatedBy.CLOSED_FORM
    own = {outcome.quantity for outcome in experiment.outcomes}
    fitted_here = any(
        p.key.startswith("state.") and p.fitted_to in own for p in experiment.parameters
    )
    of_errors = quantity in _OF_ERRORS or (
        quantity == "secret_bits" and experiment.numbers.protocol.key_bits is not None
    )
    return SimulatedBy.CLOSED_FORM if of_errors and fitted_here else SimulatedBy.LINK


def expected_observables(experiment: Experiment) -> Observables:
    """Return the expectations of all that the experiment measures."""
    return Observables(**vars(_correlations(experiment)), **vars(rates(experiment.numbers)))


def drawn_observables(experiment: Experiment, *, seed: int) -> Observables:
    """Return one repetition of the experiment, with its own counts drawn at random.

    S is drawn from four binomial counts, the QBER from one, the rate from a Poisson count; what
    the file gives no count for keeps its expectation.

    Args:
        experiment: Gives ``protocol.chsh_coincidences``, ``protocol.sifted_bits`` and
            ``protocol.duration_s``.
        seed: Of the physical randomness, not negative.
    """
    generator = np.random.default_rng(np.random.SeedSequence(seed))
    seen = expected_observables(experiment)
    protocol = experiment.numbers.protocol
    tests = round(protocol.chsh_coincidences or 0) // 4
    bits = round(protocol.sifted_bits or 0)
    seconds = protocol.duration_s
    terms = seen.chsh_terms
    if terms and tests:
        wins = generator.binomial(tests, (1 + np.array(terms)) / 2)
        seen = replace(seen, chsh=float(np.sum(2 * wins / tests - 1)))
    if bits:
        seen = replace(seen, qber=float(generator.binomial(bits, seen.qber)) / bits)
    if seen.coincidences_per_second is not None and seconds:
        counts = generator.poisson(seen.coincidences_per_second * seconds)
        seen = replace(seen, coincidences_per_second=float(counts) / seconds)
    return seen


def _compared(
    experiment: Experiment, outcome: Outcome, expected: Observables, seen: Observables
) -> Comparison:
    theorem = outcome.theorem or experiment.theorem
    fitted = outcome.quantity in experiment.fitted
    route = route_of(experiment, outcome.quantity)
    try:
        value = _quantity(experiment, seen, outcome.quantity, theorem)
        spread = _spread(experiment, expected, outcome.quantity, theorem)
    except ValueError as error:
        if not is_refusal(error):
            raise
        return Comparison(outcome, None, 0.0, fitted, route, str(error))
    return Comparison(outcome, value, spread, fitted, route)


def _spread(experiment: Experiment, seen: Observables, quantity: str, theorem: Theorem) -> float:
    """Return one standard deviation: of the parameters, and of the experiment's own counts."""
    ends: list[list[tuple[Experiment, Observables]]] = [
        [(changed, expected_observables(changed)) for changed in _both_ends(experiment, parameter)]
        for parameter in experiment.parameters
        if parameter.error > 0
    ]
    for name, error in _counting_errors(experiment, seen).items():
        values = (max(getattr(seen, name) + sign * error, 0.0) for sign in (-1, 1))
        ends.append([(experiment, replace(seen, **{name: value})) for value in values])
    found = [[_quantity(*end, quantity, theorem) for end in pair] for pair in ends]
    return math.hypot(*((high - low) / 2 for low, high in found))


def _both_ends(experiment: Experiment, parameter: ModelParameter) -> tuple[Experiment, Experiment]:
    low, high = PARAMETERS[parameter.key]
    down = max(parameter.value - parameter.error, low) - parameter.value
    up = min(parameter.value + parameter.error, high) - parameter.value
    return experiment.shifted(parameter.key, down), experiment.shifted(parameter.key, up)


def _counting_errors(experiment: Experiment, seen: Observables) -> dict[str, float]:
    """Return the standard deviations that the stated counts give to what is measured."""
    errors = {}
    protocol = experiment.numbers.protocol
    tests, bits = protocol.chsh_coincidences, protocol.sifted_bits
    seconds = protocol.duration_s
    terms = seen.chsh_terms
    if terms and tests:
        errors["chsh"] = math.sqrt(4 * math.fsum(1 - term**2 for term in terms) / tests)
    if bits:
        errors["qber"] = math.sqrt(seen.qber * (1 - seen.qber) / bits)
    if seen.coincidences_per_second is not None and seconds:
        errors["coincidences_per_second"] = math.sqrt(seen.coincidences_per_second / seconds)
    return errors


def errors_of(experiment: Experiment) -> tuple[float, float]:
    """Return the bit error and the phase error of the pairs that are no accidentals.

    Raises:
        ValueError: The experiment's file does not say them.
    """
    state = experiment.numbers.state
    if state.bit_error is not None and state.phase_error is not None:
        return state.bit_error, state.phase_error
    what = "`state.visibility`, or `state.bit_error` and `state.phase_error`"
    error = (1 - given(state.visibility, what)) / 2
    return error, error


def _correlations(experiment: Experiment) -> Correlations:
    bit_error, phase_error = errors_of(experiment)
    return correlations(
        experiment.settings,
        bit_error=bit_error,
        phase_error=phase_error,
        accidental_fraction=rates(experiment.numbers).accidental_fraction,
    )


def _quantity(experiment: Experiment, seen: Observables, name: str, theorem: Theorem) -> float:
    return _QUANTITIES[name](experiment.numbers.protocol, seen, theorem)


def _simulated_rate(seen: Observables) -> float:
    """Return the rate of coincidences, if a source and links gave it: else it was put in."""
    if seen.link_loss_db is None:
        raise ValueError("A rate must be simulated from a source and its links, but was put in.")
    return given(seen.coincidences_per_second, "a rate of coincidences")


def _sifted_fraction(protocol: Protocol) -> float:
    return given(protocol.sifted_fraction, "`protocol.sifted_fraction`")


def _sifted_rate(protocol: Protocol, seen: Observables) -> float:
    rate = given(seen.coincidences_per_second, "a rate of coincidences")
    return rate * _sifted_fraction(protocol)


def _secret_rate(protocol: Protocol, seen: Observables, theorem: Theorem) -> float:
    fraction = secret_fraction(protocol, theorem=theorem, chsh=seen.chsh, qber=seen.qber)
    return _sifted_rate(protocol, seen) * fraction


def _secret_bits(protocol: Protocol, seen: Observables, theorem: Theorem) -> float:
    if is_finite(theorem):
        return finite_bits(protocol, theorem=theorem, chsh=seen.chsh, qber=seen.qber)
    fraction = secret_fraction(protocol, theorem=theorem, chsh=seen.chsh, qber=seen.qber)
    return _sifted_bits(protocol, seen) * fraction


def _sifted_bits(protocol: Protocol, seen: Observables) -> float:
    if protocol.sifted_bits is not None:
        return protocol.sifted_bits
    return _sifted_rate(protocol, seen) * given(protocol.duration_s, "`protocol.duration_s`")


def _per_event(protocol: Protocol, seen: Observables, theorem: Theorem) -> float:
    if is_finite(theorem):
        rounds = given(protocol.rounds, "`protocol.rounds`")
        return _secret_bits(protocol, seen, theorem) / rounds
    fraction = secret_fraction(protocol, theorem=theorem, chsh=seen.chsh, qber=seen.qber)
    return _sifted_fraction(protocol) * fraction


def _concurrence(seen: Observables) -> float:
    """Return the concurrence of the pairs, 2 F - 1 or 0, as they are mixtures of Bell pairs.

    Bennett et al., Phys. Rev. A 54, 3824 (1996): the entanglement of such a mixture depends on its
    largest weight, which is F here, as no flip is likelier than none.
    """
    return max(0.0, 2 * seen.fidelity - 1)


def _signal_to_noise(seen: Observables) -> float:
    return 1 / max(seen.accidental_fraction, 1e-300) - 1


_QUANTITIES: dict[str, Callable[[Protocol, Observables, Theorem], float]] = {
    "chsh": lambda _, s, __: given(s.chsh, "settings with a CHSH test"),
    "wigner": lambda _, s, __: given(s.wigner, "the settings of Wigner's inequality"),
    "qber": lambda _, s, __: s.qber,
    "visibility": lambda _, s, __: 1 - 2 * s.qber,
    "fidelity": lambda _, s, __: s.fidelity,
    "concurrence": lambda _, s, __: _concurrence(s),
    "coincidences_per_second": lambda _, s, __: _simulated_rate(s),
    "signal_to_noise": lambda _, s, __: _signal_to_noise(s),
    "link_loss": lambda _, s, __: given(s.link_loss_db, "the losses of both arms"),
    "sifted_bits_per_second": lambda p, s, _: _sifted_rate(p, s),
    "sifted_bits": lambda p, s, _: _sifted_bits(p, s),
    "secret_bits_per_second": _secret_rate,
    "secret_bits_per_event": _per_event,
    "secret_bits": _secret_bits,
    "fixed_session_bits_per_round": lambda p, _, __: fixed_session_bits_per_round(p),
}
