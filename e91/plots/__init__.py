"""Every figure: data first (a function gives a record), then the drawing (a record gives axes).

Needs Matplotlib: ``pip install 'e91[plot]'``.  Sessions and scans are in `sessions`, key rates in
`rate_data`, `finite_rate_data` and `rates`.
"""

from e91.plots.finite_rate_curves import RateLimit, RoundsRates, rates_by_rounds
from e91.plots.rate_curves import (
    EfficiencyRates,
    QberRates,
    RateCurve,
    rates_by_efficiency,
    rates_by_qber,
)
from e91.plots.rate_figures import efficiency_figure, qber_figure, rounds_figure
from e91.plots.session_figures import (
    CorrelationScan,
    chsh_scale,
    correlation_curve,
    scan,
    scan_settings,
)

__all__ = [
    "CorrelationScan",
    "EfficiencyRates",
    "QberRates",
    "RateCurve",
    "RateLimit",
    "RoundsRates",
    "chsh_scale",
    "correlation_curve",
    "efficiency_figure",
    "qber_figure",
    "rates_by_efficiency",
    "rates_by_qber",
    "rates_by_rounds",
    "rounds_figure",
    "scan",
    "scan_settings",
]
