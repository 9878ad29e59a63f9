"""A figure of a satellite's pass, from records.  Needs Matplotlib: ``pip install 'e91[plot]'``."""

from matplotlib import pyplot
from matplotlib.axes import Axes

from e91.optics.coincidences import Coincidences
from e91.optics.links import Downlink
from e91.optics.satellites import Pass
from e91.plots.style import BESIDE


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
