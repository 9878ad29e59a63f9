"""The figure of a pass draws the pass."""

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot

from e91.network import load, report_passes
from e91.optics.detectors import Detector, Receiver
from e91.optics.links import Downlink
from e91.optics.satellites import DELINGHA, NANSHAN, coincidences_along, orbit_over, pass_over
from e91.optics.sources import ContinuousSource
from e91.plots.drawing import pass_figure
from e91.plots.pass_figures import passes_figure

matplotlib.use("Agg")

LINKS = (Downlink(5e-6, 1.2, optics_loss_db=12.0), Downlink(5e-6, 1.0, optics_loss_db=12.0))
RECEIVER = Receiver((Detector(0.5, 100.0),) * 2)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    pyplot.close("all")


def test_figure_draws_losses_counts_and_errors_of_the_pass():
    seen = pass_over(orbit_over(40.5, 92.6), (DELINGHA, NANSHAN), step_s=10.0)
    slices = coincidences_along(
        seen,
        ContinuousSource(5.9e6),
        links=LINKS,
        receivers=(RECEIVER, RECEIVER),
        window_s=2.5e-9,
        bit_error=0.01,
    )
    upper, lower = pass_figure(seen, slices, links=LINKS)
    alice, bob, both = (line.get_ydata() for line in upper.lines)
    np.testing.assert_array_equal([alice, bob], seen.loss_db(LINKS))
    np.testing.assert_allclose(both, alice + bob)
    counts, accidental = (line.get_ydata() for line in lower.lines)
    assert list(counts) == [part.per_second for part in slices]
    assert list(accidental) == [part.accidental_per_second for part in slices]
    (errors,) = (axes for axes in lower.figure.axes if axes not in (upper, lower))
    assert errors.lines[0].get_ydata() == pytest.approx([100 * s.error_rate for s in slices])
    assert "(dB)" in upper.get_ylabel()
    assert "(s)" in lower.get_xlabel()
    assert "%" in errors.get_ylabel()


def test_figure_refuses_the_slices_of_another_pass():
    seen = pass_over(orbit_over(40.5, 92.6), (DELINGHA, NANSHAN), step_s=10.0)
    with pytest.raises(ValueError, match="must be one for each of the pass's"):
        pass_figure(seen, (), links=LINKS)


def test_key_over_passes_is_drawn_beside_its_coincidences():
    report = report_passes(load("micius"), ("Delingha", "Nanshan"), days=3, clear=0.6, seed=2)
    axes = passes_figure(report)
    drawn = {line.get_label(): np.asarray(line.get_ydata(), float) for line in axes.lines}
    counted = np.cumsum([one.coincidences for one in report.relayed[0].passes])
    np.testing.assert_array_equal(
        np.nan_to_num(drawn["relay with Delingha: coincidences"]), counted
    )
    np.testing.assert_array_equal(
        np.nan_to_num(drawn["relay with Delingha: key, bits"]), report.relayed[0].key_bits
    )
    assert "pairs to both: no key" in drawn
    passes = [len(drawn.get(f"pass, {sky}", ())) for sky in ("clear", "clouds")]
    assert passes == [len(report.entangled.clear), 3 - len(report.entangled.clear)]
