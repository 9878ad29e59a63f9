"""What a link's light delivers at a moment: how many coincidences, and in which state.

The circuits are run on Aer once for a pair without noise and once for one that is half noise: the
table of outcomes is affine in the visibility, so that drift, weather and day and night are
arithmetic afterwards.  Losses, accidental coincidences and dead times are those of `e91.optics`.
"""

import math
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from e91.adversaries import attack_named, conditions_of, stage
from e91.adversaries.channel import ChannelTap
from e91.model.numbers import Floats
from e91.model.settings import EKERT, Settings
from e91.network.layout import Light, LinkPlan
from e91.optics.arms import Arm, misread
from e91.optics.detectors import Receiver
from e91.optics.rates import continuous_rates
from e91.security.policy import Policy
from e91.session.expectation import Link
from e91.session.planning import best_plan

_CASCADE_EFFICIENCY = 1.05  # at some 10^5 key bits; a plan's choice, not a promise
_PROBED_VISIBILITY = 0.5
_PLANNABLE_CHSH = 2.3  # below, no choice of settings leaves a key


@dataclass(frozen=True)
class Sky:
    """The way from a satellite to both ends of a link.

    Attributes:
        loss_db: Of the way to Alice, and of that to Bob.
        background_photons_per_second: Stray light at their receivers.
    """

    loss_db: tuple[float, float]
    background_photons_per_second: tuple[float, float]


@dataclass(frozen=True)
class LinkState:
    """What is not as in the plan on a link at a moment.

    Attributes:
        extra_loss_db: Loss beyond the plan's, on the fibre.
        visibility: Factor of the polarisation's length.
        background_photons_per_second: Stray light at either receiver.
        efficiency: Factor of the detectors' efficiencies.
        attack: Name of the adversary on the link; empty without.
        strength: How strong it is, as its entry in `e91.adversaries` says.
        sky: Of a link by satellite: where that stands; None while it is out of sight.

    Examples:
        >>> state = LinkState(extra_loss_db=3.0, attack="intercept-resend", strength=0.2)
        >>> state.visibility, state.sky is None
        (1.0, True)
    """

    extra_loss_db: float = 0.0
    visibility: float = 1.0
    background_photons_per_second: float = 0.0
    efficiency: float = 1.0
    attack: str = ""
    strength: float | None = None
    sky: Sky | None = None


@dataclass(frozen=True, eq=False)
class Quality:
    """What a link delivers.

    Attributes:
        per_second: Coincidences a second while its receiver serves it.
        table: Probability of the outcomes (a, b) of a coincidence at the settings (x, y), as
            ``[x, y, a, b]``; float64.
        chsh_value: S of that table.
        error_rate: QBER of the key pairs.

    Examples:
        >>> table = np.full((3, 3, 2, 2), 0.25)    # noise alone
        >>> Quality(per_second=1e5, table=table, chsh_value=0.0, error_rate=0.5)
        Quality(per_second=100000.0, chsh_value=0.0, error_rate=0.5)
    """

    per_second: float
    table: Floats = field(repr=False)
    chsh_value: float
    error_rate: float


@dataclass(frozen=True)
class Practice:
    """How all links of a kind are run: fixed before the first photon.

    Attributes:
        settings: Angles and how often each is chosen.
        policy: Theorem, epsilon and revealed fraction of every block.
        visibility: That of the Werner pairs which a link promises to be as good as.
    """

    settings: Settings
    policy: Policy
    visibility: float


def quality_of(
    link: LinkPlan, light: Light, state: LinkState = LinkState(), *, settings: Settings = EKERT
) -> Quality:
    """Return what a link delivers in a state.

    Args:
        link: Its length and loss.
        light: Its source and receivers.
        state: What is not as planned.
        settings: Angles; how often each is chosen matters for nothing but the mean rate.

    Returns:
        Coincidences per second, the probabilities of their outcomes, S and QBER.

    Raises:
        ValueError: The adversary is none that acts on photons one by one, or cannot be that strong.

    Examples:
        >>> from e91.network.layout import Quantity
        >>> from e91.optics import ContinuousSource, Detector
        >>> source = ContinuousSource(1.7e7, coherence_time_s=4.4e-12, bandwidth_nm=0.8)
        >>> fast = Detector(0.8, 100.0, dead_time_s=30e-9, jitter_fwhm_s=60e-12)
        >>> light = Light("access", source, 250e-12, (fast, fast), switch_db=1.0)
        >>> link = LinkPlan("U-R", ("U", "R"), "access", Quantity(5.0, "km", assumed=True))
        >>> found = quality_of(link, light)
        >>> round(found.per_second, -3), round(found.chsh_value, 2), round(found.error_rate, 3)
        (694000.0, 2.77, 0.012)
    """
    if link.medium == "satellite" and state.sky is None:
        return _dark(settings)
    length = link.length_km.value or 0.0
    stated = link.loss_db.value if link.loss_db is not None else None
    loss = length * light.db_per_km if stated is None else stated
    return _quality(replace(light, name=""), length, loss, state, settings)


@lru_cache(maxsize=8)
def _dark(settings: Settings) -> Quality:
    shape = (len(settings.alice_angles), len(settings.bob_angles), 2, 2)
    return Quality(0.0, np.full(shape, 0.25), 0.0, 0.5)


@lru_cache(maxsize=4096)
def _quality(
    light: Light, length_km: float, loss_db: float, state: LinkState, settings: Settings
) -> Quality:
    alice, bob = arms_of(light, length_km, loss_db, state)
    clean, noise = pair_tables(settings, state.attack, state.strength)
    visibility = alice.visibility * bob.visibility * (1 - 2 * light.bit_error)
    polarised = visibility * clean + (1 - visibility) * noise
    true, accidental = continuous_rates(
        light.source, alice, bob, pair_table=polarised, window_s=light.window_s
    )
    rates = misread(true + accidental, alice=alice.readout_error, bob=bob.readout_error)
    totals = rates.sum(axis=(2, 3))
    if not totals.min() > 0:
        return _dark(settings)
    chosen = np.outer(settings.alice_probabilities, settings.bob_probabilities)
    table = rates / totals[..., None, None]
    table.flags.writeable = False
    return Quality(float((chosen * totals).sum()), table, *_figures(table, settings))


def _figures(table: Floats, settings: Settings) -> tuple[float, float]:
    """Return S and the QBER of a table."""
    correlators = table[..., 0, 0] + table[..., 1, 1] - table[..., 0, 1] - table[..., 1, 0]
    chsh = math.fsum(sign * correlators[pair] for pair, sign in settings.chsh_pairs)
    weights = [settings.pair_probability(pair) for pair in settings.key_pairs]
    errors = [(1 - sign * correlators[pair]) / 2 for pair, sign in settings.signed_key_pairs]
    return float(chsh), float(np.average(errors, weights=weights))


def arms_of(light: Light, length_km: float, loss_db: float, state: LinkState) -> tuple[Arm, Arm]:
    """Return both arms of a link, from its source to either party's clicks."""
    near, far = light.source_position, 1 - light.source_position
    ways = near * loss_db, far * loss_db
    stray = (0.0, 0.0)
    if state.sky is not None:
        ways, stray = state.sky.loss_db, state.sky.background_photons_per_second

    def arm(end: int, share: float, *, extra_db: float, turned: float) -> Arm:
        detector = light.detectors[end]
        seen = replace(detector, efficiency=min(1.0, detector.efficiency * state.efficiency))
        way_db = ways[end] + share * state.extra_loss_db
        return Arm(
            way_db + light.coupling_db + extra_db,
            Receiver((seen, seen), optics_loss_db=light.receiver_db),
            background_photons_at_receiver_per_second=(
                state.background_photons_per_second + stray[end]
            ),
            visibility=turned * (light.visibility if share * length_km > 0 else 1.0),
            dispersion_ps_per_nm=share * length_km * light.dispersion_ps_per_nm_km,
        )

    return (
        arm(0, near, extra_db=0.0, turned=1.0),
        arm(1, far, extra_db=light.switch_db, turned=state.visibility),
    )


@lru_cache(maxsize=256)
def pair_tables(
    settings: Settings, attack: str = "", strength: float | None = None
) -> tuple[Floats, Floats]:
    """Return the outcome tables of a pair without white noise, and of white noise alone.

    Every mixture of the two is a table of the same source: noise enters linearly.

    Args:
        settings: The angles.
        attack: Adversary on the pairs, by name; one that acts on each photon alike.
        strength: How strong it is; None takes its default.

    Raises:
        ValueError: There is no such adversary, it is no channel, or cannot be that strong.
    """
    if attack and not attack_named(attack).is_channel:
        raise ValueError(
            f"An adversary on a link must act on each photon alike, but `{attack}` does not."
        )
    tables = []
    for visibility in (1.0, _PROBED_VISIBILITY):
        given = {"settings": settings, "visibility": visibility, "seed": 0}
        if attack:
            tapped = stage(attack, conditions_of(attack, strength, **given)).device
            assert isinstance(tapped, ChannelTap)  # every attack that is a channel
            tables.append(np.asarray(tapped.photons.table))
        else:
            from e91.devices.exact import exact_device

            tables.append(exact_device(settings=settings, visibility=visibility, seed=0).table)
    clean, mixed = tables
    noise = (mixed - _PROBED_VISIBILITY * clean) / (1 - _PROBED_VISIBILITY)
    return clean, np.clip(noise, 0, None)


@lru_cache(maxsize=64)
def practice_of(light: Light, qualities: tuple[tuple[float, float], ...]) -> Practice:
    """Return how the links of a kind are run.

    Args:
        light: The kind; probabilities and revealed fraction that it states are taken.
        qualities: S and QBER that its links have at their best and worst.

    Returns:
        Settings and sample that are best for a link in the middle of those with a key, and a
        promise that the worst of them keeps with a hundredth of visibility to spare.
    """
    violating = sorted(q for q in qualities if q[0] > _PLANNABLE_CHSH) or [max(qualities)]
    chsh, error = violating[len(violating) // 2]
    settings, policy = EKERT, Policy(epsilon=light.epsilon)
    if light.revealed_fraction is None or not light.alice_probabilities:
        link = Link(max(0.0, chsh), error, _CASCADE_EFFICIENCY)
        best = best_plan(link, light.block_rounds, settings=EKERT, policy=policy)
        settings, policy = best.settings, best.policy
    if light.alice_probabilities:
        settings = EKERT.biased(light.alice_probabilities, light.bob_probabilities)
    if light.revealed_fraction is not None:
        policy = replace(policy, revealed_fraction=light.revealed_fraction)
    kept = min(min(s / (2 * math.sqrt(2)), 1 - 2 * q) for s, q in qualities)
    return Practice(settings, policy, max(0.01, min(0.999, kept - 0.01)))
