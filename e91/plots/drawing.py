"""Figures of what was measured and published, and which one a result draws itself as.

Correlators against angle, S of a session, deviations of published experiments, a satellite's pass.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes

from e91.experiments.results import ExperimentReport, status
from e91.model.device import Device
from e91.model.numbers import TSIRELSON, Floats, check_whole
from e91.model.settings import Settings
from e91.optics.coincidences import Coincidences
from e91.optics.links import Downlink
from e91.optics.satellites import Pass
from e91.plots.style import BESIDE, COLOURS, axes_for
from e91.session.report import SessionReport


@dataclass(frozen=True, eq=False)
class CorrelationScan:
    """Correlators between Alice at angle 0 and Bob at many angles.

    Attributes:
        angles: Bob's angles, radians on the Bloch sphere; float64, shape (n,).
        correlators: E(0, angle); float64, shape (n,).
        errors: One standard deviation of each, binomial; float64, shape (n,).
    """

    angles: Floats
    correlators: Floats
    errors: Floats


def scan_settings(angles: Sequence[float]) -> Settings:
    """Return settings with Alice at 0 and Bob at each of ``angles`` (radians), for a scan."""
    return Settings("scan", (0.0,), tuple(float(angle) for angle in angles))


def scan(device: Device, settings: Settings, *, rounds_per_angle: int) -> CorrelationScan:
    """Measure the correlator at each of Bob's angles.

    Args:
        device: Made for ``settings``.
        settings: From `scan_settings`.
        rounds_per_angle: Pairs sent at each angle, at least 1.

    Raises:
        ValueError: ``rounds_per_angle`` is below 1.
    """
    check_whole(least=1, rounds_per_angle=rounds_per_angle)
    count = len(settings.bob_angles)
    y = np.repeat(np.arange(count, dtype=np.uint8), rounds_per_angle)
    a, b = device(np.zeros_like(y), y)
    different = np.bincount(y, weights=a ^ b, minlength=count) / rounds_per_angle
    correlators = 1 - 2 * different
    errors = np.sqrt((1 - correlators**2) / rounds_per_angle)
    return CorrelationScan(np.array(settings.bob_angles), correlators, errors)


def correlation_curve(
    scan: CorrelationScan, *, visibility: float = 1.0, ax: Axes | None = None
) -> Axes:
    """Draw measured correlators beside quantum theory and the classical bound.

    For settings at 0, t, 2t and 3t the CHSH inequality reads ``|3 E(t) - E(3t)| <= 2``.  The
    dashed line ``1 - 2 t / pi`` (a local model: both photons carry one direction and each analyser
    answers with the sign of its projection) meets it with equality up to 60 degrees; points above
    it at 45 and below it at 135 degrees are what the Bell test turns into S > 2.

    Args:
        scan: Measured correlators.
        visibility: Of the theory line ``V cos(angle)``.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes.
    """
    axes = axes_for(ax, size=(7, 4.2))
    fine = np.linspace(0, math.pi, 361)
    theory, bound = visibility * np.cos(fine), 1 - 2 * fine / math.pi
    axes.plot(np.degrees(fine), theory, label=f"quantum theory, V = {visibility:g}")
    axes.plot(np.degrees(fine), bound, "--", color=BESIDE, label="classical bound (local)")
    axes.errorbar(
        np.degrees(scan.angles),
        scan.correlators,
        3 * scan.errors,
        fmt="o",
        ms=4,
        capsize=2,
        label="measured, 3 standard errors",
    )
    axes.set(
        xlabel="angle between the analysers on the Bloch sphere (degrees)",
        ylabel="correlator E",
        title="Correlation of entangled pairs against angle",
    )
    axes.legend(frameon=False)
    return axes


def chsh_scale(report: SessionReport, *, ax: Axes | None = None) -> Axes:
    """Draw S with its error bar and lower bound between the local and the quantum limit.

    Args:
        report: Any session in which S could be estimated.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes.

    Raises:
        ValueError: Some setting pair never occurred, so there is no S.
    """
    found = report.chsh
    if found.value is None or found.standard_error is None:
        raise ValueError("A session must have a value of S to be drawn, but some pair is missing.")
    axes = axes_for(ax, size=(7, 2.1))
    axes.axvspan(0, 2, color="0.85", label="local models")
    axes.axvline(TSIRELSON, color=BESIDE, ls="--", label="quantum limit")
    error, label = [3 * found.standard_error], "S, 3 standard errors"
    axes.errorbar([found.value], [1.5], xerr=error, fmt="o", capsize=3, label=label)
    left = min(1.8, found.value - 0.3)
    if found.lower_bound is not None:
        axes.plot([found.lower_bound], [1.5], "|", ms=14, label="lower bound")
        left = min(left, found.lower_bound - 0.1)
    axes.set(xlabel="CHSH value S", yticks=[], xlim=(left, 3.0), ylim=(0, 2))
    axes.legend(ncols=2, fontsize="small", loc="lower center", framealpha=1)
    return axes


_COLOURS = dict(zip(("agrees", "differs", "reproduced"), COLOURS, strict=False))


@dataclass(frozen=True)
class Deviation:
    """One outcome that was simulated and not fitted.

    Attributes:
        label: Experiment and quantity.
        sigmas: (simulated - published) / published error.
        error: Simulated error / published error.
        printed: Whether the published value was read in a page.
        status: "reproduced", "agrees" or "differs".
    """

    label: str
    sigmas: float
    error: float
    printed: bool
    status: str


def deviations(reports: Iterable[ExperimentReport]) -> tuple[Deviation, ...]:
    """Return all outcomes to which nothing was fitted.

    Args:
        reports: From `e91.experiments.run`.

    Returns:
        In the order of ``reports``.  What could not be simulated is left out.
    """
    return tuple(
        Deviation(
            label=f"{report.experiment.name}  {row.outcome.quantity.replace('_', ' ')}",
            sigmas=row.published_sigmas,
            error=row.simulated_error / row.outcome.error,
            printed=row.outcome.printed,
            status=status(row),
        )
        for report in reports
        for row in report.comparisons
        if row.published_sigmas is not None and not row.fitted
    )


def deviations_figure(
    found: Sequence[Deviation], *, limit: float = 5.0, ax: Axes | None = None
) -> Axes:
    """Draw the deviations in units of the published errors, one outcome a line.

    Bars are the simulated errors in the same unit.  Open circles: published values that were not
    read in a page.  Arrows at the edge: deviations beyond ``limit``.

    Args:
        found: From `deviations`.
        limit: Largest deviation that is drawn to scale.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes.

    Raises:
        ValueError: There is nothing to draw.
    """
    if not found:
        raise ValueError("`found` must hold at least one outcome, but is empty.")
    size = (7.2, 1.4 + 0.24 * len(found))
    axes = axes_for(ax, size=size)
    axes.axvspan(-2, 2, color="0.92", lw=0)
    axes.axvline(0, color="0.5", lw=0.8)
    for place, row in enumerate(found):
        colour = _COLOURS[row.status]
        edge = float(np.clip(row.sigmas, -limit, limit))
        face = colour if row.printed else "white"
        if edge != row.sigmas:
            axes.plot(edge, place, ">" if edge > 0 else "<", color=colour, mfc=face)
            continue
        axes.errorbar(edge, place, xerr=row.error, fmt="o", color=colour, mfc=face, lw=1)
    for name, colour in _COLOURS.items():
        axes.plot([], [], "o", color=colour, label=name)
    axes.plot([], [], "o", color="0.3", mfc="white", label="published value not read in a page")
    axes.set(
        xlabel="(simulated - published) / published error",
        xlim=(-1.15 * limit, 1.15 * limit),
        ylim=(len(found) - 0.5, -0.5),
        yticks=range(len(found)),
        yticklabels=[row.label for row in found],
        title="Outcomes to which nothing was fitted",
    )
    axes.tick_params(axis="y", labelsize="small")
    below = (0.3, -0.75 / size[1])
    axes.legend(fontsize="small", frameon=False, ncols=4, loc="upper center", bbox_to_anchor=below)
    return axes


def pass_figure(
    seen: Pass,
    slices: tuple[Coincidences, ...],
    *,
    links: tuple[Downlink, Downlink],
    ax: tuple[Axes, Axes] | None = None,
) -> tuple[Axes, Axes]:
    """Draw loss and coincidences of a pass against time.

    Args:
        seen: From `e91.optics.satellites.pass_over`.
        slices: From `e91.optics.satellites.coincidences_along`, of the same pass.
        links: To Alice and to Bob.
        ax: Two axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes: losses in dB (detectors not included), and coincidences and
        accidental ones per second, logarithmic, with the error rate in per cent beside them.

    Raises:
        ValueError: The slices are not those of the pass.
    """
    if len(slices) != len(seen.time_s):
        raise ValueError(
            f"`slices` must be one for each of the pass's {len(seen.time_s)} times, but are "
            f"{len(slices)}."
        )
    upper, lower = ax or pyplot.subplots(2, figsize=(7, 5.6), sharex=True, layout="constrained")[1]
    losses = seen.loss_db(links)
    for name, style, loss in zip(("Alice", "Bob"), ("--", ":"), losses, strict=True):
        upper.plot(seen.time_s, loss, style, label=f"to {name}")
    upper.plot(seen.time_s, losses.sum(axis=0), "-", label="both")
    upper.set(ylabel="loss (dB)", title=f"{seen.duration_s:.0f} s in sight of both stations")
    upper.legend(frameon=False)
    counts = [part.per_second for part in slices]
    accidental = [part.accidental_per_second for part in slices]
    lower.plot(seen.time_s, counts, "-", label="coincidences")
    lower.plot(seen.time_s, accidental, "--", label="of these accidental")
    lower.set(yscale="log", xlabel="time (s)", ylabel="per second")
    errors = lower.twinx()
    errors.plot(seen.time_s, [100 * part.error_rate for part in slices], ":", color=BESIDE)
    errors.set(ylabel="error rate (%, dotted)", ylim=(0, None))
    lower.legend(frameon=False)
    return upper, lower


def draw(result: object, ax: Axes | None = None) -> Axes:
    """Draw a session as S between its limits, and an experiment as its deviations.

    Args:
        result: A session's or an experiment's report.
        ax: Axes to draw into; a new figure by default.

    Raises:
        TypeError: No figure is known for such a result.
        ValueError: The result has nothing to draw.
    """
    match result:
        case SessionReport():
            return chsh_scale(result, ax=ax)
        case ExperimentReport():
            return deviations_figure(deviations([result]), ax=ax)
        case _:
            raise TypeError(
                f"`result` must be a session's or an experiment's report, but is a "
                f"{type(result).__name__}."
            )
