"""The sessions of a study, each made again alone from the root and its number, and their tallies.

A tally is what blocks add up to, in plain numbers: all that workers return.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from operator import add
from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np

from e91.model.device import DeviceInfo
from e91.model.evidence import Evidence
from e91.model.settings import Settings
from e91.security.policy import Policy
from e91.session.report import SessionReport, assumptions_of
from e91.session.session import run
from e91.session.streaming import Run, plan_run, session_of_block
from e91.session.totals import RunSummary, Totals, totals_of
from e91.studies.points import Point
from e91.system.keystreams import physics_entropy
from e91.system.workspace import Workspace

if TYPE_CHECKING:
    from e91.devices.exact import ExactDevice


@dataclass(frozen=True, kw_only=True)
class Tally(Totals):
    """Public totals of some blocks of one session, without settings, policy or key.

    Attributes:
        session: Number of the session in its study; 0 in a run of its own.
        eve: Fraction of Alice's bits that Eve guesses, and bits that she has per key bit; None
            where nobody looked at her notes.

    Examples:
        >>> from e91.model.evidence import KeySample
        >>> counts = Evidence(((3, 1, 0, 4),), (KeySample(2, 1, 0),), ((11,),), signs=(+1,))
        >>> block = Tally(session=0, evidence=counts, blocks=1, rounds=11)
        >>> whole = joined([block, block])
        >>> whole.rounds, whole.evidence.tests, tally_from(to_numbers(whole)) == whole
        (22, ((6, 2, 0, 8),), True)
    """

    session: int
    eve: tuple[float | None, float | None] | None = None

    def summary(
        self, *, settings: Settings, policy: Policy, device: DeviceInfo, seed: int | None
    ) -> RunSummary:
        """Return the summary of the run that these blocks are, made on ``device``.

        Args:
            settings: Of the run.
            policy: Of the whole run.
            device: What made the blocks.
            seed: Of the run, or None.
        """
        nothing = Evidence.empty(settings)
        before = RunSummary(
            evidence=nothing,
            settings=settings,
            policy=policy,
            device=device.description,
            seed=seed,
            assumptions=assumptions_of(policy, device, settings),
            reproducible=seed is not None or device.reproducible,
            pace=device.pace,
        )
        return before + self


def tally_of(
    report: SessionReport, *, session: int = 0, eve: tuple[float | None, float | None] | None = None
) -> Tally:
    """Return the tally of one block; arguments as the attributes of `Tally`."""
    nothing = Evidence.empty(report.settings)
    return Tally(session=session, eve=eve, evidence=nothing) + totals_of(report)


def joined(tallies: Iterable[Tally]) -> Tally:
    """Return the tally of blocks of one session together.

    Raises:
        ValueError: They are of several sessions.
    """
    parts = list(tallies)
    if len({part.session for part in parts}) > 1:
        raise ValueError("Tallies must be of one session to be added, but are not.")
    return reduce(add, parts)


def to_numbers(tally: Tally) -> dict[str, Any]:
    """Return a tally as tables and lists of numbers and names, ready for JSON."""
    return cast(dict[str, Any], msgspec.to_builtins(tally))


def tally_from(numbers: Mapping[str, Any]) -> Tally:
    """Return the tally that `to_numbers` made the numbers from.

    Raises:
        ValueError: They are of something else.
    """
    try:
        return msgspec.convert(numbers, Tally)
    except msgspec.ValidationError as error:
        raise ValueError("A tally must have the numbers of one, but has others.") from error


_TABLES_KEPT = 4096  # of a kilobyte each: neighbouring points often share their physics


@dataclass(frozen=True)
class SessionSeeds:
    """The seeds of one session.

    Attributes:
        physics: For the device.
        protocol: For settings, samples and hash seeds.
    """

    physics: int
    protocol: int


def new_root() -> int:
    """Return a root from the operating system's entropy, 128 bits."""
    entropy = np.random.SeedSequence().entropy
    assert isinstance(entropy, int)
    return entropy


def seeds_of(root: int, session: int) -> SessionSeeds:
    """Return the seeds of a session: the spawn keys (session, 0) and (session, 1) of the root.

    Physics and protocol have a branch each.  Whoever knows the root knows both, so keys made with
    them are for statistics only.

    Args:
        root: Entropy of the study, not negative.
        session: Number of the session, from 0.

    Examples:
        >>> seeds_of(1, 0) == seeds_of(1, 0), seeds_of(1, 0) == seeds_of(1, 1)
        (True, False)
    """

    def drawn(branch: int) -> int:
        """Return 128 bits of a branch of the tree of seeds."""
        words = np.random.SeedSequence(root, spawn_key=(session, branch)).generate_state(
            2, np.uint64
        )
        return int(words[0]) << 64 | int(words[1])

    return SessionSeeds(drawn(0), drawn(1))


def tally_of_blocks(
    point: Point,
    *,
    root: int,
    session: int,
    first: int = 0,
    blocks: int | None = None,
    workspace: Workspace | None = None,
) -> Tally:
    """Make some blocks of a session and return their tally.

    Honest pairs are drawn from exact probabilities, block by block, as `e91.stream` does; under an
    attack, and with Aer, a session is that of `e91.run`.  Keys are made, and dropped.

    Args:
        point: What the session is run with.
        root: Root of the study.
        session: Number of the session, which fixes its randomness.
        first: First block.
        blocks: How many; all by default.
        workspace: As for `e91.session.streaming.session_of_block`.

    Raises:
        ValueError: The device or the protocol refuses the point.

    Examples:
        >>> from e91.studies.points import point_of
        >>> point = point_of({"rounds": 300_000, "block_rounds": 100_000})
        >>> whole = tally_of_blocks(point, root=1, session=7)
        >>> parts = (tally_of_blocks(point, root=1, session=7, first=i, blocks=1) for i in range(3))
        >>> whole == joined(parts)
        True
    """
    if not point.streams:
        return _tally_of_session(point, root=root, session=session, workspace=workspace)
    planned = _planned(point, root=root, session=session)
    last = planned.blocks if blocks is None else first + blocks
    return joined(
        tally_of(session_of_block(planned, number, workspace=workspace), session=session)
        for number in range(first, last)
    )


def _planned(point: Point, *, root: int, session: int) -> Run:
    seeds = seeds_of(root, session)
    noise = tuple(point.noise.items())
    # What `exact_device` would make with this seed, but the table is looked up.
    found = _honest(point.angles, noise)
    device = replace(
        found,
        info=replace(found.info, settings=point.settings),
        randomness=physics_entropy(seeds.physics),
    )
    return plan_run(
        device,
        rounds=point.rounds,
        policy=point.policy,
        block_rounds=point.block_rounds,
        seed=seeds.protocol,
    )


@lru_cache(_TABLES_KEPT)
def _honest(settings: Settings, noise: tuple[tuple[str, Any], ...]) -> ExactDevice:
    """Return the device from which those of equal physics are copied; it is never asked."""
    from e91.devices.exact import exact_device

    return exact_device(settings=settings, seed=0, **dict(noise))


def _tally_of_session(
    point: Point, *, root: int, session: int, workspace: Workspace | None
) -> Tally:
    seeds, line, eve = seeds_of(root, session), {}, None
    if point["adversary.name"] is None:
        from e91.devices.aer import aer_device

        device: Any = aer_device(settings=point.settings, seed=seeds.physics, **point.noise)
    else:
        from e91.adversaries.attacked_session import stage

        staged = stage(point["adversary.name"], point.conditions(seed=seeds.physics))
        device, line = staged.device, vars(staged.line)
    report = run(
        device,
        rounds=point.rounds,
        policy=point.policy,
        seed=seeds.protocol,
        workspace=workspace,
        **line,
    )
    if line:
        known = device.knowledge
        eve = known.guess_rate, known.information
    return tally_of(report, session=session, eve=eve)
