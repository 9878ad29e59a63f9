"""What an experiment measures, in expectation: what its pairs show, and how many there are.

Correlations come from the exact table of Qiskit circuits, coincidences from the optics or as they
were measured.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from e91.bell.expected import chsh_terms, error_rate, mean_products
from e91.experiments.vocabulary import WIGNER, ArmNumbers, Numbers
from e91.model.numbers import Floats, check_fractions, check_within
from e91.model.settings import BBM92, Settings
from e91.optics.coincidences import Coincidences, coincidences
from e91.optics.detectors import Receiver
from e91.optics.link_files import arm_loss_db, arms_of, given, receiver_of, source_of, window_of
from e91.optics.links import Downlink
from e91.optics.satellites import Pass, Station, coincidences_along, orbit_over, pass_over


@dataclass(frozen=True)
class Correlations:
    """What the coincidences of an experiment show, as expectations.

    Attributes:
        qber: Error rate of the key pairs.
        chsh: S at the settings' four pairs, or None if they have none.
        chsh_terms: The four signed correlators whose sum is S, or none.
        wigner: W of Wigner's inequality, W >= 0 for local models, or None.
        fidelity: With the Bell pair that was aimed at.
    """

    qber: float
    chsh: float | None
    chsh_terms: tuple[float, ...]
    wigner: float | None
    fidelity: float


def correlations(
    settings: Settings, *, bit_error: float, phase_error: float, accidental_fraction: float
) -> Correlations:
    """Return what coincidences show: pairs from the circuits, accidentals as random bits.

    The pairs have white noise, as much as the axis with fewer errors shows, and phase flips of
    Bob's photon about that axis, which make the other axis' errors.  If that is the key's, all
    analysers are turned by 90 degrees, so that the flips spare the axis that they should.

    Args:
        settings: Angles of both analysers, the (first) key pair along Z.
        bit_error: Of pairs measured along the key's axis, 0 to 1/2.
        phase_error: Of pairs measured across it, 0 to 1/2; equal errors are white noise.
        accidental_fraction: Fraction of the coincidences whose two photons are of different
            pairs, or no photons at all: their outcomes are independent and uniform.

    Raises:
        ValueError: A number leaves its range.

    Examples:
        >>> found = correlations(BBM92, bit_error=0.05, phase_error=0.05, accidental_fraction=0.0)
        >>> round(found.qber, 6), round(found.chsh, 6), round(found.fidelity, 6)
        (0.05, 2.545584, 0.925)
    """
    noise = {
        "bit_error": bit_error,
        "phase_error": phase_error,
        "accidental_fraction": accidental_fraction,
    }
    table, axes = (coincidence_table(which, **noise) for which in (settings, BBM92))
    products = mean_products(table)
    terms = chsh_terms(products, settings)
    bit, phase = (float(mean_products(axes)[pair]) for pair in BBM92.key_pairs)
    return Correlations(
        qber=error_rate(products, settings),
        chsh=math.fsum(terms) if terms else None,
        chsh_terms=terms,
        wigner=_wigner(table) if settings.name == WIGNER.name else None,
        # Phase flips turn <YY> of a phi+ pair as they turn the correlation across their axis.
        fidelity=(1 + bit + phase + min(bit, phase)) / 4,
    )


def coincidence_table(
    settings: Settings, *, bit_error: float, phase_error: float, accidental_fraction: float
) -> Floats:
    """Return the outcome probabilities of coincidences, ``table[x, y, a, b]``.

    Arguments and errors are those of `correlations`.
    """
    check_fractions(accidental_fraction=accidental_fraction)
    check_within(0, 0.5, bit_error=bit_error, phase_error=phase_error)
    turn = math.pi / 2 if bit_error > phase_error else 0.0
    fewer, more = sorted((bit_error, phase_error))
    visibility = 1 - 2 * fewer
    dephasing = (1 - (1 - 2 * more) / visibility) / 2 if visibility else 0.0
    pairs = _pair_table(_turned(settings, turn), visibility, dephasing)
    table: Floats = (1 - accidental_fraction) * pairs + accidental_fraction / 4
    return table


def _turned(settings: Settings, angle: float) -> Settings:
    return replace(
        settings,
        alice_angles=tuple(alice + angle for alice in settings.alice_angles),
        bob_angles=tuple(bob + angle for bob in settings.bob_angles),
    )


@lru_cache(maxsize=512)
def _pair_table(settings: Settings, visibility: float, dephasing: float) -> Floats:
    from e91.devices.exact import exact_device

    return exact_device(settings=settings, visibility=visibility, dephasing=dephasing, seed=0).table


def _wigner(table: Floats) -> float:
    """Return W = p(-30, 0) + p(0, 30) - p(-30, 30), p of equal outcomes "+" of a singlet.

    The singlet's "+, +" is "+, -" of the phi+ pair that is simulated.
    """
    return float(table[0, 0, 0, 1] + table[1, 1, 0, 1] - table[0, 1, 0, 1])


_STEP_S = 10.0  # of a pass; a tenth of it changes the mean rate by less than one per cent


@dataclass(frozen=True)
class Rates:
    """Coincidences of an experiment.

    Attributes:
        coincidences_per_second: All of them, accidentals included; None if the experiment states
            neither a source nor a measured rate.
        accidental_fraction: Fraction of them whose photons are not of one pair.
        link_loss_db: From the source to both clicks, or None without links.  Of a satellite: of
            the mean transmission during the pass.
    """

    coincidences_per_second: float | None
    accidental_fraction: float
    link_loss_db: float | None


@dataclass(frozen=True)
class Observables(Correlations, Rates):
    """What an experiment measures: expectations, or one draw of its counts.

    Attributes are those of `Correlations` and of `Rates`.
    """


@lru_cache(maxsize=512)
def rates(numbers: Numbers) -> Rates:
    """Return the coincidences of an experiment.

    With ``source.pairs_per_second`` they come from `e91.optics`: with an ``orbit`` as the mean of a
    pass over both stations, else over two constant losses.  Without a source they are what the
    file gives as measured; without a measured signal-to-noise ratio there are no accidentals.

    Raises:
        ValueError: A number that the link needs is missing, the satellite is never seen, or none
            of its light arrives.
    """
    pairs = numbers.source.pairs_per_second
    if pairs is None:
        measured = numbers.measured
        fraction = 1 / (1 + measured.signal_to_noise)
        return Rates(measured.coincidences_per_second, fraction, None)
    source, window = source_of(numbers), window_of(numbers)
    if numbers.orbit.altitude_km is None:
        arms = arms_of(numbers)
        found = coincidences(source, *arms, window_s=window)
        loss = sum(arm.loss_db + _detector_loss_db(arm.receiver) for arm in arms)
        return Rates(*_mean((found,)), loss)
    receivers = receiver_of(numbers.alice), receiver_of(numbers.bob)
    seen = overpass(numbers)
    links = _downlink("alice", numbers.alice), _downlink("bob", numbers.bob)
    slices = coincidences_along(seen, source, links=links, receivers=receivers, window_s=window)
    losses = seen.loss_db(links).sum(axis=0) + sum(map(_detector_loss_db, receivers))
    transmission = float(np.mean(10 ** (-losses / 10)))
    if transmission == 0:
        raise ValueError("Some light must arrive at both detectors, but all of it is lost.")
    return Rates(*_mean(slices), -10 * math.log10(transmission))


def overpass(numbers: Numbers) -> Pass:
    """Return the pass of the experiment's satellite over both stations.

    Its ground track crosses the middle between the stations, ``orbit.longitude_offset_deg`` to
    the east of it, from north to south.

    Raises:
        ValueError: The stations never see the satellite at once.
    """
    orbit = numbers.orbit
    stations = _station("alice", numbers.alice), _station("bob", numbers.bob)
    middle = stations[0].up + stations[1].up
    track = orbit_over(
        math.degrees(math.atan2(middle[2], math.hypot(middle[0], middle[1]))),
        math.degrees(math.atan2(middle[1], middle[0])) + orbit.longitude_offset_deg,
        altitude_km=given(orbit.altitude_km, "`orbit.altitude_km`"),
        inclination_deg=given(orbit.inclination_deg, "`orbit.inclination_deg`"),
        northwards=False,
    )
    lowest = given(orbit.lowest_elevation_deg, "`orbit.lowest_elevation_deg`")
    seen = pass_over(track, stations, lowest_elevation_deg=lowest, step_s=_STEP_S)
    if not len(seen.time_s):
        raise ValueError("Both stations must see the satellite at once, but never do.")
    return seen


def _station(party: str, side: ArmNumbers) -> Station:
    return Station(
        party,
        given(side.latitude_deg, f"`{party}.latitude_deg`"),
        given(side.longitude_deg, f"`{party}.longitude_deg`"),
        side.altitude_m,
    )


def _downlink(party: str, side: ArmNumbers) -> Downlink:
    return Downlink(
        given(side.divergence_half_angle_rad, f"`{party}.divergence_half_angle_rad`"),
        given(side.telescope_diameter_m, f"`{party}.telescope_diameter_m`"),
        pointing_jitter_rad=side.pointing_jitter_rad,
        zenith_loss_db=side.zenith_loss_db,
        optics_loss_db=arm_loss_db(party, side),
    )


def _detector_loss_db(receiver: Receiver) -> float:
    efficiency = receiver.detectors[0].efficiency
    return -10 * math.log10(efficiency) if efficiency > 0 else math.inf


def _mean(slices: tuple[Coincidences, ...]) -> tuple[float, float]:
    """Return the mean rate of coincidences and the fraction of accidentals among them."""
    total = math.fsum(part.per_second for part in slices)
    accidental = math.fsum(part.accidental_per_second for part in slices)
    return total / len(slices), accidental / total if total > 0 else 1.0
