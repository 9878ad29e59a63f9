"""Plan a session: the key to expect, and the choices that make it longest."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from e91.distillation.authentication import AUTHENTICATION_BITS
from e91.model.numbers import TSIRELSON, check_whole
from e91.model.records import SecretLength
from e91.model.settings import Settings
from e91.model.trust import SecurityModel
from e91.security.device_dependent import bbm92_rate
from e91.security.device_independent import acin_rate, noisy_preprocessing_rate
from e91.security.policy import Policy, Reconciler
from e91.security.theorems import Theorem, secret_bits
from e91.session.expectation import Link, expected_case
from e91.session.verdict import check_policy
from e91.system.progress import waiting

_Point = NDArray[np.float64]

_RAREST = 1e-7  # of a probability that is tried
_STEP = 1.0  # of the first simplex, in logits
_SAMPLE = 1_000  # revealed bits, from which error correction takes its block sizes
_MARGIN = 2.05  # mean lower bound on S that is wanted: at 2, half of all sessions fall below


@dataclass(frozen=True)
class SessionPlan:
    """How to run a link, and what to expect of it.

    Attributes:
        settings: Angles with the choice probabilities that were found best.
        policy: The policy of every block; its epsilon is that of the run divided by the blocks.
        blocks: Number of blocks.
        block_rounds: Rounds of each block but the last, which may be a few shorter.
        length: Key length to expect of one block.

    Examples:
        >>> from e91.model.settings import EKERT
        >>> plan = best_plan(Link(2.74, 0.015), 1_000_000, settings=EKERT, policy=Policy())
        >>> plan.blocks, plan.block_rounds, 0 < plan.secret_bits < plan.length.bits
        (1, 1000000, True)
    """

    settings: Settings
    policy: Policy
    blocks: int
    block_rounds: int
    length: SecretLength

    @property
    def secret_bits(self) -> int:
        """Expected secret bits of the whole run, its blocks' authentication paid for."""
        return self.blocks * max(0, self.length.bits - AUTHENTICATION_BITS)


@dataclass(frozen=True)
class AsymptoticRate:
    """A key rate in the limit of long keys.

    Attributes:
        rate: Secret bits per key round.
        theorem: Where it comes from.
        phase_error: Phase-error rate, or None without trust in the devices.
        flip: Probability of noisy preprocessing; 0 without.
        charged_parties: Whose messages of error correction cost key: 1 is Alice alone.

    Examples:
        >>> found = asymptotic_rate(SecurityModel.TRUSTED_ANALYSERS, chsh_value=2.7, qber=0.02)
        >>> found.theorem.value, round(found.rate, 3), found.flip
        ('shor-preskill-2000', 0.688, 0.0)
    """

    rate: float
    theorem: Theorem
    phase_error: float | None
    flip: float
    charged_parties: int


def asymptotic_rate(
    security: SecurityModel,
    *,
    chsh_value: float,
    qber: float,
    efficiency: float = 1.0,
    noisy_preprocessing: bool = False,
    reconciler: Reconciler = Reconciler.CASCADE,
) -> AsymptoticRate:
    """Return the key rate that S and the QBER allow if both are known exactly.

    It is the limit of sessions here: without trust in the devices Bob's messages cost key as well
    as Alice's, and Cascade has as many of both.  LDPC has none of Bob's, as the rates in papers.
    With trusted analysers the phase-error rate is 1 - S / (2 sqrt 2) - QBER; statistics for which
    that is negative are beyond quantum theory and count as 0.

    Args:
        security: What is assumed of the equipment.
        chsh_value: S, in [0, 4]; above 2 sqrt(2) it earns no more.
        qber: Error rate of the key rounds, in [0, 1].
        efficiency: Error correction discloses this many times the Shannon limit; at least 1.
        noisy_preprocessing: Let Alice flip her key bits with the best probability; without trust
            in the devices only.
        reconciler: Which error correction.

    Returns:
        Secret bits per key round, with the theorem and what it was given.

    Raises:
        ValueError: A number leaves its range, or noisy preprocessing is asked with trust.

    Examples:
        >>> untrusting = SecurityModel.DEVICE_INDEPENDENT
        >>> round(asymptotic_rate(untrusting, chsh_value=2.7, qber=0.02).rate, 6)
        0.445601
        >>> one_way = {"chsh_value": 2.7, "qber": 0.02, "reconciler": Reconciler.LDPC}
        >>> round(asymptotic_rate(untrusting, **one_way).rate, 6)
        0.587042
    """
    Link(chsh_value, qber, efficiency)
    if security is SecurityModel.TRUSTED_ANALYSERS:
        if noisy_preprocessing:
            raise ValueError(
                "Noisy preprocessing must be asked of the device-independent model, but is asked "
                "of `trusted-analysers`."
            )
        seen = min(chsh_value, TSIRELSON)
        error = min(0.5, max(0.0, 1 - seen / TSIRELSON - qber))
        found = bbm92_rate(qber, error, efficiency=efficiency)
        return AsymptoticRate(found, Theorem.SHOR_PRESKILL, error, 0.0, 1)
    parties = 2 if reconciler is Reconciler.CASCADE else 1
    if noisy_preprocessing:
        noisy = noisy_preprocessing_rate(chsh_value, qber, efficiency=parties * efficiency)
        theorem = Theorem.NOISY_PREPROCESSING
        return AsymptoticRate(noisy.rate, theorem, None, noisy.flip, parties)
    found = acin_rate(chsh_value, qber, efficiency=parties * efficiency)
    return AsymptoticRate(found, Theorem.ACIN, None, 0.0, parties)


def expected_length(link: Link, rounds: int, *, settings: Settings, policy: Policy) -> SecretLength:
    """Return the key length that a session of ``rounds`` is to expect, from its mean counts.

    Args:
        link: What it delivers.
        rounds: Rounds of the session; a whole number from 1.
        settings: Angles, choice probabilities and roles.
        policy: Theorem, epsilon, and what is declared beforehand.

    Returns:
        What the policy's theorem gives for the mean counts; half of all sessions do worse.

    Raises:
        ValueError: ``rounds`` is not whole and positive, the theorem does not cover the settings,
            or epsilon is smaller than a session of ``rounds`` can give.

    Examples:
        >>> from e91.model.settings import EKERT
        >>> found = expected_length(Link(2.74, 0.015), 1_000_000, settings=EKERT, policy=Policy())
        >>> 0.5 < found.bits / 200_000 < 0.7
        True
    """
    if not float(rounds).is_integer() or isinstance(rounds, bool) or rounds < 1:
        raise ValueError(f"`rounds` must be a whole number from 1, but is {rounds}.")
    check_policy(rounds, settings=settings, policy=policy)
    return secret_bits(expected_case(link, rounds, settings, policy))


def best_plan(
    link: Link,
    rounds: int,
    *,
    settings: Settings,
    policy: Policy,
    largest_block: int | None = None,
) -> SessionPlan:
    """Return the choice probabilities, revealed fraction and blocks of the longest expected key.

    The run is one block, for every theorem here gains with the block, or as few as
    ``largest_block`` allows; each gets its share of epsilon.  Probabilities and revealed fraction
    are searched by the simplex method of Nelder and Mead from three starts: a local optimum,
    typically within a percent of the best.

    Args:
        link: What it delivers.
        rounds: Rounds of the whole run; a whole number from 1.
        settings: Angles and roles; their probabilities are replaced.
        policy: Theorem, epsilon of the whole run, and what is declared beforehand.
        largest_block: Most rounds of a block, by memory or by patience; any by default.

    Returns:
        Settings with the best probabilities, the policy of a block, and the length to expect.

    Raises:
        ValueError: As for `expected_length`, or ``largest_block`` is below 1.

    Examples:
        >>> from e91.model.settings import EKERT
        >>> plan = best_plan(Link(2.74, 0.015), 1_000_000, settings=EKERT, policy=Policy())
        >>> uniform = expected_length(Link(2.74, 0.015), 1_000_000, settings=EKERT, policy=Policy())
        >>> plan.blocks, plan.secret_bits > 1.5 * uniform.bits
        (1, True)
    """
    if largest_block is not None:
        check_whole(least=1, largest_block=largest_block)
    block = rounds if largest_block is None else min(rounds, largest_block)
    expected_length(link, block, settings=settings, policy=policy)
    blocks = int(-(-rounds // block))
    block_rounds = int(-(-rounds // blocks))
    block_policy = replace(policy, epsilon=policy.epsilon / blocks)
    check_policy(block_rounds, settings=settings, policy=block_policy)

    def choices(point: _Point) -> tuple[Settings, Policy]:
        """Return the settings and the policy that a point of the search stands for."""
        split = len(settings.alice_angles) - 1
        alice, bob = _shares(point[:split]), _shares(point[split:-1])
        biased = settings.biased(alice, bob)
        least = min(0.2, _SAMPLE / (block_rounds * biased.key_probability))
        fraction = max(least, 1 / (1 + math.exp(-min(max(point[-1], -14.0), 14.0))))
        return biased, replace(block_policy, revealed_fraction=fraction)

    def loss(point: _Point) -> float:
        """Return less for a better point, and say also among bad ones which is nearer."""
        case = expected_case(link, block_rounds, *choices(point))
        if settings.chsh_pairs and case.chsh.at_least < _MARGIN:
            return 1 + _MARGIN - case.chsh.at_least
        terms = secret_bits(case).terms
        return -math.fsum(bits for _, bits in terms) / block_rounds

    with waiting("Finding the best session"):
        tried = [_search(loss, start, evaluations=120) for start in _starts(settings)]
        tried.append(_search(loss, _best(tried), evaluations=250))
    chosen, chosen_policy = choices(_best(tried))
    length = secret_bits(expected_case(link, block_rounds, chosen, chosen_policy))
    return SessionPlan(chosen, chosen_policy, blocks, block_rounds, length)


def _search(
    loss: Callable[[_Point], float], start: _Point, *, evaluations: int
) -> tuple[float, _Point]:
    from scipy.optimize import minimize  # late: a planned run needs none of it

    simplex = np.vstack([start, start + _STEP * np.eye(len(start))])
    found = minimize(
        loss,
        start,
        method="Nelder-Mead",
        options={"initial_simplex": simplex, "maxfev": evaluations, "xatol": 1e-2, "fatol": 1e-7},
    )
    return float(found.fun), np.asarray(found.x, np.float64)


def _best(tried: list[tuple[float, _Point]]) -> _Point:
    return min(tried, key=lambda found: found[0])[1]


def _starts(settings: Settings) -> list[_Point]:
    """Return uniform choices, and choices that favour the first or the second key pair."""
    sizes = len(settings.alice_angles), len(settings.bob_angles)
    starts = [np.array([0.0] * (sum(sizes) - 2) + [-2.0])]
    for x, y in settings.key_pairs[:2]:
        logits = [
            3.0 * ((index == favourite) - (favourite == 0))
            for favourite, size in ((x, sizes[0]), (y, sizes[1]))
            for index in range(1, size)
        ]
        starts.append(np.array([*logits, -3.0]))
    return starts


def _shares(logits: _Point) -> tuple[float, ...]:
    """Return positive probabilities that sum to 1; the first logit is 0."""
    weights = np.exp(np.clip(np.append(0.0, logits), -14, 14))
    shares = np.maximum(weights / weights.sum(), _RAREST)
    return tuple((shares / shares.sum()).tolist())
