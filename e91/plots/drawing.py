"""Figures of what was measured and published, and which one a result draws itself as.

Correlators against angle, S of a session, deviations of published experiments, a satellite's pass.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes

from e91.bell.correlators import local_correlation
from e91.bell.counting import BellTest
from e91.bell.p_values import chsh_value
from e91.experiments.results import ExperimentReport, status
from e91.model.device import Device
from e91.model.numbers import TSIRELSON, Floats, check_whole
from e91.model.settings import Settings
from e91.network.layout import NetworkPlan
from e91.network.network_report import NetworkReport
from e91.optics.coincidences import Coincidences
from e91.optics.links import Downlink
from e91.optics.satellites import Pass
from e91.plots.network_maps import map_figure, network_map
from e91.plots.network_series import link_series, link_series_figure
from e91.plots.style import BESIDE, COLOURS, MARKERS, axes_for, legend_below, thin
from e91.session.report import SessionReport
from e91.session.totals import RunSummary


@dataclass(frozen=True, eq=False)
class CorrelationScan:
    """Correlators between Alice at angle 0 and Bob at many angles.

    Attributes:
        angles: Bob's angles, radians on the Bloch sphere; float64, shape (n,).
        correlators: E(0, angle); float64, shape (n,).
        errors: One standard deviation of each, binomial; float64, shape (n,).

    Examples:
        >>> angles = np.array([0.0, math.pi / 2])
        >>> found = CorrelationScan(angles, np.cos(angles), errors=np.full(2, 0.01))
        >>> found.correlators.round(3).tolist()
        [1.0, 0.0]
    """

    angles: Floats
    correlators: Floats
    errors: Floats


def scan_settings(angles: Sequence[float]) -> Settings:
    """Return settings with Alice at 0 and Bob at each of ``angles`` (radians), for a scan.

    Args:
        angles: Bob's angles, radians on the Bloch sphere.

    Returns:
        Settings that serve a scan alone: they have neither key rounds nor a Bell test.

    Examples:
        >>> settings = scan_settings(np.linspace(0, math.pi, 5))
        >>> settings.alice_angles, len(settings.bob_angles)
        ((0.0,), 5)
    """
    return Settings("scan", (0.0,), tuple(float(angle) for angle in angles))


def scan(device: Device, settings: Settings, *, rounds_per_angle: int) -> CorrelationScan:
    """Measure the correlator at each of Bob's angles.

    Args:
        device: Made for ``settings``.
        settings: From `scan_settings`.
        rounds_per_angle: Pairs sent at each angle, at least 1.

    Returns:
        The correlator at each angle, with its standard error.

    Raises:
        ValueError: ``rounds_per_angle`` is below 1.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> settings = scan_settings([0.0, math.pi / 3, math.pi])
        >>> found = scan(exact_device(settings=settings, seed=1), settings, rounds_per_angle=10_000)
        >>> found.correlators.round(1).tolist()
        [1.0, 0.5, -1.0]
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
    """Draw measured correlators round the whole circle, beside quantum theory and local models.

    The dashed saw-tooth is the best that local models can do: none whose correlator depends on the
    angle between the analysers alone lies above it anywhere without lying below it elsewhere
    (`e91.bell.local_correlation`, with the proof).  Of itself a point beyond the saw-tooth refutes
    nothing: that takes the curve, or the four correlators of S.

    Args:
        scan: Measured correlators.
        visibility: Of the theory line ``V cos(angle)``.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes.

    Examples:
        >>> from matplotlib.figure import Figure
        >>> angles = np.linspace(0, 2 * math.pi, 9)
        >>> found = CorrelationScan(angles, 0.97 * np.cos(angles), errors=np.full(9, 0.01))
        >>> axes = correlation_curve(found, visibility=0.97, ax=Figure().subplots())
        >>> axes.get_ylabel()
        'correlator E'
    """
    axes = axes_for(ax, size=(7.2, 4.6))
    fine = np.linspace(0, 2 * math.pi, 721)
    degrees = np.degrees(fine)
    theory = f"quantum theory, {visibility:g} cos θ" if visibility != 1 else "quantum theory, cos θ"
    axes.plot(degrees, visibility * np.cos(fine), color=COLOURS[0], label=theory)
    local = "best local model: saw-tooth, S = 2"
    axes.plot(degrees, local_correlation(fine), "--", color=BESIDE, label=local)
    axes.errorbar(
        np.degrees(scan.angles),
        scan.correlators,
        3 * scan.errors,
        fmt="o",
        color=COLOURS[1],
        elinewidth=thin(),
        capsize=3,
        label="measured, 3 standard errors",
    )
    axes.set(
        xlabel="angle θ between the analysers on the Bloch sphere (degrees)",
        ylabel="correlator E",
        title="Correlation of entangled pairs against angle",
        xlim=(-5, 365),
        ylim=(-1.08, 1.08),
        xticks=range(0, 361, 45),
    )
    axes.grid(color="0.93")
    axes.legend(frameon=False, fontsize="small", loc="upper center")
    return axes


def chsh_scale(report: SessionReport | RunSummary, *, ax: Axes | None = None) -> Axes:
    """Draw S with its error bar and lower bound between the local and the quantum limit.

    Args:
        report: Any session, or run of blocks, in which S could be estimated.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes.

    Raises:
        ValueError: There is no S: some setting pair never occurred, or no Bell test was made.

    Examples:
        >>> import e91
        >>> from matplotlib.figure import Figure
        >>> report = e91.run(e91.exact_device(visibility=0.97, seed=1), rounds=100_000, seed=2)
        >>> axes = chsh_scale(report, ax=Figure().subplots())
        >>> axes.get_xlabel()
        'CHSH value S'
    """
    found = report.chsh
    if found.value is None or found.standard_error is None:
        missing = "some pair is missing" if report.bell_test else "it made no Bell test"
        raise ValueError(f"A session must have a value of S to be drawn, but {missing}.")
    return _scale(found.value, found.standard_error, lower_bound=found.lower_bound, ax=ax)


def bell_scale(test: BellTest, *, ax: Axes | None = None) -> Axes:
    """Draw S of a Bell test from counts, as `chsh_scale` does: the error bar is no bound.

    Args:
        test: From `e91.bell.bell_test`.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes.

    Examples:
        >>> from e91.bell.counting import bell_test
        >>> from matplotlib.figure import Figure
        >>> counts = [[[53, 8], [16, 51]], [[42, 20], [50, 5]]]
        >>> test = bell_test(counts, signs=(1, -1, 1, 1), random_settings=True)
        >>> axes = bell_scale(test, ax=Figure().subplots())
        >>> axes.get_xlabel()
        'CHSH value S'
    """
    return _scale(test.value, test.standard_error, lower_bound=None, ax=ax)


def game_scale(wins: int, rounds: int, *, ax: Axes | None = None) -> Axes:
    """Draw S = 8 wins / rounds - 4 of a CHSH game, as `chsh_scale` does.

    Args:
        wins: Rounds that were won, from 0.
        rounds: Rounds that were played, from 1; settings were uniform.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes.

    Raises:
        ValueError: There are no rounds, or more wins than rounds.

    Examples:
        Of the 245 rounds of Hensen et al., Nature 526, 682 (2015), 196 were won:

        >>> from matplotlib.figure import Figure
        >>> axes = game_scale(196, 245, ax=Figure().subplots())
        >>> axes.get_xlabel()
        'CHSH value S'
    """
    check_whole(least=1, rounds=rounds)
    check_whole(most=rounds, wins=wins)
    won = wins / rounds
    return _scale(chsh_value(won), 8 * math.sqrt(won * (1 - won) / rounds), lower_bound=None, ax=ax)


def _scale(value: float, error: float, *, lower_bound: float | None, ax: Axes | None) -> Axes:
    axes = axes_for(ax, size=(7.2, 2.4))
    axes.axvspan(-2, 2, facecolor="0.9", edgecolor="0.75", hatch="//", label="local models")
    axes.axvline(TSIRELSON, color=BESIDE, ls="--", label="quantum limit, 2√2")
    label = f"S = {value:.3f}, 3 standard errors"
    axes.errorbar([value], [1], xerr=[3 * error], fmt="o", capsize=4, color=COLOURS[1], label=label)
    ends = [value - 3 * error, value + 3 * error]
    if lower_bound is not None:
        ends.append(lower_bound)
        label = f"S is at least {math.floor(1e3 * lower_bound) / 1e3:.3f}"
        mark = 3 * pyplot.rcParams["lines.markersize"]
        axes.plot([lower_bound], [1], "|", ms=mark, mew=2, color=COLOURS[0], label=label)
    axes.set(
        xlabel="CHSH value S",
        yticks=[],
        xlim=(min(1.8, min(ends) - 0.1), max(3.0, max(ends) + 0.1)),
        ylim=(0, 2),
    )
    legend_below(axes, columns=2)
    return axes


_LOOKS = dict(
    zip(("agrees", "differs", "reproduced"), zip(COLOURS, MARKERS, strict=True), strict=False)
)
"""Colour and marker of each status, so that it is seen without colours."""


@dataclass(frozen=True)
class Deviation:
    """One outcome that was simulated and not fitted.

    Attributes:
        label: Experiment and quantity.
        sigmas: (simulated - published) / published error.
        error: Simulated error / published error.
        printed: Whether the published value was read in a page.
        status: "reproduced", "agrees" or "differs".

    Examples:
        >>> Deviation("yin-2017  chsh", 0.01, error=0.5, printed=True, status="reproduced").sigmas
        0.01
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

    Examples:
        >>> from e91.experiments import run
        >>> found = deviations([run("yin-2017")])
        >>> [(one.label, one.status) for one in found][-1]
        ('yin-2017  chsh', 'reproduced')
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
    """Draw simulated less published values in units of the published errors, one a line.

    Bars are the simulated errors in the same unit.  Markers tell what agrees, differs and is
    reproduced.  Open ones: published values that were not read in a page.  Arrows at the edge:
    deviations beyond ``limit``.

    Args:
        found: From `deviations`.
        limit: Largest deviation that is drawn to scale.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes.

    Raises:
        ValueError: There is nothing to draw.

    Examples:
        >>> from matplotlib.figure import Figure
        >>> found = [Deviation("one  chsh", -1.5, error=0.5, printed=True, status="reproduced")]
        >>> axes = deviations_figure(found, ax=Figure().subplots())
        >>> axes.get_xlabel()
        'deviation / published error'
    """
    if not found:
        raise ValueError("`found` must hold at least one outcome, but is empty.")
    axes = axes_for(ax, size=(7.2, 1.7 + 0.27 * len(found)))
    axes.axvspan(-2, 2, color="0.92", lw=0)
    axes.axvline(0, color="0.5", lw=0.8)
    for place, row in enumerate(found):
        colour, marker = _LOOKS[row.status]
        edge = float(np.clip(row.sigmas, -limit, limit))
        face = colour if row.printed else "white"
        is_beyond = edge != row.sigmas
        error = None if is_beyond else row.error
        axes.errorbar(edge, place, xerr=error, fmt=marker, color=colour, mfc=face)
        if is_beyond:
            further = {"arrowstyle": "->", "color": colour, "shrinkA": 0}
            axes.annotate("", (1.13 * edge, place), (edge, place), arrowprops=further)
    for name, (colour, marker) in _LOOKS.items():
        axes.plot([], [], marker, color=colour, label=name)
    axes.plot([], [], "o", color="0.3", mfc="white", label="open: not read in a page")
    axes.set(
        xlabel="deviation / published error",
        xlim=(-1.15 * limit, 1.15 * limit),
        ylim=(len(found) - 0.5, -0.5),
        yticks=range(len(found)),
        yticklabels=[row.label for row in found],
        title="Not fitted",
    )
    axes.tick_params(axis="y", labelsize="small")
    legend_below(axes, columns=2)
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

    Examples:
        >>> from matplotlib.figure import Figure
        >>> from e91.optics.coincidences import Coincidences
        >>> from e91.optics.links import Downlink
        >>> from e91.optics.satellites import DELINGHA, NANSHAN, orbit_over, pass_over
        >>> seen = pass_over(orbit_over(40.5, 92.6), (DELINGHA, NANSHAN))
        >>> slices = (Coincidences(2.0, 0.1, 100.0, 100.0, 0.02, 0.02),) * len(seen.time_s)
        >>> beam = Downlink(5e-6, 1.2, zenith_loss_db=0.6)
        >>> axes = pass_figure(seen, slices, links=(beam, beam), ax=tuple(Figure().subplots(2)))
        >>> axes[0].get_title()
        '311 s in sight of both stations'
    """
    if len(slices) != len(seen.time_s):
        raise ValueError(
            f"`slices` must be one for each of the pass's {len(seen.time_s)} times, but are "
            f"{len(slices)}."
        )
    upper, lower = ax or pyplot.subplots(2, figsize=(7, 6.0), sharex=True, layout="constrained")[1]
    losses = seen.loss_db(links)
    curves = {"to Alice": losses[0], "to Bob": losses[1], "both": losses.sum(axis=0)}
    for (name, loss), colour, style in zip(curves.items(), COLOURS, ("--", ":", "-"), strict=False):
        upper.plot(seen.time_s, loss, style, color=colour, label=name)
    upper.set(ylabel="loss (dB)", title=f"{seen.duration_s:.0f} s in sight of both stations")
    upper.legend(frameon=False)
    counts = [part.per_second for part in slices]
    accidental = [part.accidental_per_second for part in slices]
    lower.plot(seen.time_s, counts, "-", color=COLOURS[0], label="coincidences")
    lower.plot(seen.time_s, accidental, "--", color=COLOURS[1], label="of these accidental")
    lower.set(yscale="log", xlabel="time (s)", ylabel="per second")
    errors = lower.twinx()
    errors.plot(seen.time_s, [100 * part.error_rate for part in slices], ":", color=BESIDE)
    errors.set(ylabel="error rate (%, dotted)", ylim=(0, None))
    legend_below(lower, columns=2)
    return upper, lower


def draw(result: object, ax: Axes | None = None) -> Axes:
    """Draw a session as S between its limits, an experiment as its deviations, a network as a map.

    Of a network's run it is the key in store against time.

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
            found = deviations([result])
            if not found:
                raise ValueError(
                    "An experiment must have an outcome to which nothing was fitted to be drawn, "
                    f"but `{result.experiment.name}` has none."
                )
            return deviations_figure(found, ax=ax)
        case NetworkReport():
            return link_series_figure(link_series(result), ax=ax)
        case NetworkPlan():
            return map_figure(network_map(result), ax=ax)
        case _:
            raise TypeError(
                f"`result` must be a session's or an experiment's report or a network, but is a "
                f"{type(result).__name__}."
            )
