"""Figures of what was measured: correlators against angle, and S of a session."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from e91.model.device import Device
from e91.model.numbers import TSIRELSON, Floats, check_whole
from e91.model.settings import Settings
from e91.plots.style import BESIDE, axes_for
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
    axes.plot([found.lower_bound], [1.5], "|", ms=14, label="lower bound")
    left = min(1.8, found.value - 0.3, found.lower_bound - 0.1)
    axes.set(xlabel="CHSH value S", yticks=[], xlim=(left, 3.0), ylim=(0, 2))
    axes.legend(ncols=2, fontsize="small", loc="lower center", framealpha=1)
    return axes
