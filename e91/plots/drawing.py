"""Which figure a result is drawn as when it is asked to draw itself."""

from matplotlib.axes import Axes

from e91.experiments.results import ExperimentReport
from e91.plots.experiment_figures import deviations, deviations_figure
from e91.plots.session_figures import chsh_scale
from e91.session.report import SessionReport


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
