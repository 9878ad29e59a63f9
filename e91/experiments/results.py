"""One simulated experiment, as a value that shows itself: simulated beside published."""

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from msgspec import to_builtins

from e91.experiments.published import Comparison, Experiment, ModelParameter, SimulatedBy, load
from e91.experiments.simulate import compare, route_of
from e91.model.drawn import Drawn
from e91.session.report import SessionReport
from e91.system.folding_layout import FoldingLayout, folding_page
from e91.system.progress import waiting

WIDTH = 96
"""Columns of paragraphs that go anywhere but to a terminal."""


def as_records(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Return the comparisons as plain dictionaries, one for each outcome.

    Keys: quantity, unit, simulated, simulated_error, published, published_error, published_digits
    (both as the file writes them), sigmas, published_sigmas, fitted, printed, status, route
    ("closed form", "link" or "session"), theorem, note.  What cannot be simulated is None, and
    ``note`` says why.

    Args:
        comparisons: Such as `ExperimentReport.comparisons`.

    Returns:
        Dictionaries with these keys, in the order of ``comparisons``.

    Examples:
        >>> record = as_records(run("yin-2017").comparisons)[0]
        >>> record["quantity"], record["unit"], record["published_digits"], record["status"]
        ('coincidences_per_second', '1/s', '1.1 ± 0.05', 'agrees')
    """
    return [
        {
            "quantity": row.outcome.quantity,
            "unit": row.outcome.unit,
            "simulated": row.simulated,
            "simulated_error": row.simulated_error if row.simulated is not None else None,
            "published": row.outcome.value,
            "published_digits": row.outcome.digits,
            "published_error": row.outcome.error,
            "sigmas": row.sigmas,
            "published_sigmas": row.published_sigmas,
            "fitted": row.fitted,
            "printed": row.outcome.printed,
            "status": status(row),
            "route": row.route.value,
            "theorem": row.outcome.theorem.value if row.outcome.theorem else None,
            "note": row.reason or row.outcome.note,
        }
        for row in comparisons
    ]


def as_text(
    experiment: Experiment, comparisons: Sequence[Comparison], *, width: int = WIDTH
) -> str:
    """Return the comparison as a table with both errors, deviations and remarks.

    Args:
        experiment: What was published.
        comparisons: Every outcome, simulated beside published.
        width: Columns of paragraphs; the table takes what it takes.

    Returns:
        Lines for a terminal, without a line break at the end.

    Examples:
        >>> report = run("yin-2017")
        >>> print(as_text(report.experiment, report.comparisons).splitlines()[0])
        yin-2017: Yin et al., Science 356, 1140 (2017), arXiv:1707.01339
    """
    wrapped = partial(_wrapped, width=width)
    head = f"{'':<26}{'simulated':>20}{'published':>20}{'sigmas':>8}  status"
    lines = [f"{experiment.name}: {experiment.reference}", *wrapped(experiment.summary), "", head]
    remarks = []
    for row in comparisons:
        remark = row.reason or row.outcome.note
        mark = ""
        if remark:
            remarks.append(remark)
            mark = f" [{len(remarks)}]"
        lines.append(_row(row) + mark)
    lines += ["", *_legend(comparisons)]
    for number, remark in enumerate(remarks, start=1):
        lines += wrapped(f"[{number}] {remark}")
    for limit in experiment.limits:
        lines += wrapped(f"Not modelled: {limit}")
    return "\n".join(lines)


def as_sections(
    experiment: Experiment, comparisons: Sequence[Comparison], *, page: FoldingLayout
) -> list[list[str]]:
    """Return the comparison as sections that fold: the table, how to read it, the remarks."""
    cells = [["", "simulated", "published", "sigmas", "status"]]
    cells += [list(_cells(row)) for row in comparisons]
    legend = "\n".join(_legend(comparisons)).replace("\n", " ")
    remarks = [
        page.row(_quantity(row), row.reason or row.outcome.note)
        for row in comparisons
        if row.reason or row.outcome.note
    ]
    limits = [line for limit in experiment.limits for line in page.text(f"Not modelled: {limit}")]
    reading = [page.title("How to read it"), *page.text(experiment.summary), *page.text(legend)]
    found = [page.title("Simulated beside published"), *page.table(cells)]
    small = [page.title("The small print: remarks, and what is not modelled"), *remarks, *limits]
    return [found, reading, small if remarks or limits else []]


def as_data(experiment: Experiment) -> dict[str, Any]:
    """Return the file's contents as plain dictionaries and lists.

    Args:
        experiment: From `load` or `parse`.

    Returns:
        A dictionary with the keys of the TOML file, ready for JSON.

    Examples:
        >>> from e91.experiments.published import load
        >>> data = as_data(load("yin-2017"))
        >>> data["settings"], data["outcomes"][0]["quantity"], data["outcomes"][0]["value"]
        ('bbm92', 'coincidences_per_second', 1.1)
    """
    found = asdict(experiment)
    found["settings"] = experiment.settings.name
    found["theorem"] = experiment.theorem.value
    found["outcomes"] = to_builtins(experiment.outcomes)
    return found


def described(experiment: Experiment, *, width: int = WIDTH) -> str:
    """Return the file's contents for reading: every number with where it comes from.

    Args:
        experiment: What the file holds.
        width: Columns of paragraphs.

    Returns:
        Lines for a terminal, without a line break at the end.

    Examples:
        >>> from e91.experiments.published import load
        >>> print(described(load("yin-2017")).splitlines()[0])
        Satellite-based entanglement distribution over 1200 kilometers
    """
    wrapped = partial(_wrapped, width=width)
    lines = [experiment.title, experiment.reference, *wrapped(experiment.summary), ""]
    lines.append(f"settings {experiment.settings.name}, theorem {experiment.theorem.value}")
    lines += ["", "Parameters"]
    for parameter in experiment.parameters:
        lines.append(f"  {parameter.key:<42}{parameter.digits}")
        lines += wrapped(f"{_origin(parameter)}{parameter.note}".strip(), indent=6)
    lines += ["", "Outcomes"]
    for outcome in experiment.outcomes:
        lines.append(f"  {outcome.quantity:<42}{outcome.digits} {_unit(outcome.unit)}".rstrip())
        lines += wrapped(
            f"{_printed(outcome.printed)}: {outcome.source}. Error: {outcome.error_source}.",
            indent=6,
        )
    for limit in experiment.limits:
        lines += ["", *wrapped(f"Not modelled: {limit}")]
    return "\n".join(lines)


def outcomes_by_route(experiment: Experiment) -> dict[str, int]:
    """Return how many outcomes were fitted, and how many which route gives; nothing is simulated.

    Args:
        experiment: From `load` or `parse`.

    Returns:
        Counts by ``"fitted"`` and by the values of `SimulatedBy`.

    Examples:
        >>> outcomes_by_route(load("yin-2017"))
        {'fitted': 1, 'closed form': 1, 'link': 2}
    """
    found = dict.fromkeys(("fitted", SimulatedBy.CLOSED_FORM.value, SimulatedBy.LINK.value), 0)
    for outcome in experiment.outcomes:
        fitted = outcome.quantity in experiment.fitted
        found["fitted" if fitted else route_of(experiment, outcome.quantity).value] += 1
    return found


def reproduced_by_route(comparisons: Iterable[Comparison]) -> dict[str, int]:
    """Return how many outcomes are reproduced by which route.

    Args:
        comparisons: Simulated beside published numbers; those of fitted outcomes do not count.

    Returns:
        Counts by the values of `SimulatedBy`.

    Examples:
        >>> reproduced_by_route(run("yin-2017").comparisons)
        {'closed form': 1, 'link': 0, 'session': 0}
    """
    found = dict.fromkeys((route.value for route in SimulatedBy), 0)
    for row in comparisons:
        found[row.route.value] += row.reproduced
    return found


def status(row: Comparison) -> str:
    """Return in a word or two how a comparison came out.

    Args:
        row: A simulated number beside the published one.

    Returns:
        "not simulated", "fitted", "reproduced" (within two published errors), "agrees" (within
        two standard deviations of both errors together) or "differs".

    Examples:
        >>> [status(row) for row in run("yin-2017").comparisons][:3]
        ['agrees', 'agrees', 'reproduced']
    """
    if row.simulated is None:
        return "not simulated"
    if row.fitted:
        return "fitted"
    if row.reproduced:
        return "reproduced"
    return "agrees" if row.sigmas is not None and abs(row.sigmas) <= 2 else "differs"


def _row(row: Comparison) -> str:
    name, simulated, published, sigmas, found = _cells(row)
    return f"{name:<26}{simulated:>20}{published:>20}{sigmas:>8}  {found}"


def _cells(row: Comparison) -> tuple[str, str, str, str, str]:
    """Return name, simulated and published value, deviation and status."""
    simulated = "-"
    if row.simulated is not None:
        simulated = with_error(row.simulated, row.simulated_error)
    sigmas = "-" if row.sigmas is None else f"{round(row.sigmas, 1) + 0.0:+.1f}"
    route = "" if row.simulated is None or row.fitted else f" ({row.route.value})"
    return _quantity(row), simulated, row.outcome.digits, sigmas, f"{status(row)}{route}"


def _quantity(row: Comparison) -> str:
    return row.outcome.quantity.replace("_per_second", "/s").replace("_", " ")


_ROUTES = {
    SimulatedBy.CLOSED_FORM: "closed form: a formula of other numbers, mostly of one visibility.",
    SimulatedBy.LINK: "link: from source, losses, detectors and window.",
    SimulatedBy.SESSION: "session: counted in the session above, with the finite key that it made.",
}


def _legend(rows: Sequence[Comparison]) -> list[str]:
    lines = [
        "sigmas: (simulated - published) / sqrt(both errors squared).  Nothing was fitted to what",
        "is reproduced (within two published errors) or agrees (within two sigmas).",
    ]
    routes = {row.route for row in rows if row.simulated is not None and not row.fitted}
    lines += [line for route, line in _ROUTES.items() if route in routes]
    if not all(row.outcome.printed for row in rows):
        lines.append("Some published values were not read in a page: see `e91 experiment show`.")
    return lines


def _origin(parameter: ModelParameter) -> str:
    fitted = f"Fitted to {parameter.fitted_to}. " if parameter.fitted_to else ""
    return f"{fitted}{_printed(parameter.printed)}: {parameter.source}. "


def _printed(printed: bool) -> str:
    return "Printed" if printed else "Not read in a page"


def _unit(unit: str) -> str:
    return "" if unit == "1" else unit


def with_error(value: float, error: float) -> str:
    """Return a number with as many digits as its error has, at most two of those.

    Args:
        value: The number.
        error: One standard deviation of it, in the same unit; 0 for an exact number.

    Returns:
        Such as ``"2.573 ± 0.070"``; the number alone if its error is 0.

    Examples:
        >>> with_error(2.5729, 0.0702), with_error(2.56, 0.07), with_error(5.9e6, 0.0)
        ('2.573 ± 0.070', '2.56 ± 0.07', '5.9e+06')
    """
    if not error:
        return f"{value:.6g}"
    if error >= 9.95:
        return f"{value:,.0f} ± {error:,.0f}"
    digits = 1
    while digits < 12 and float(f"{error:.{digits}f}") < 9.95 * 10.0 ** (-digits):
        digits += 1
    while digits > 1 and math.isclose(
        float(f"{error:.{digits - 1}f}"), error, rel_tol=1e-9, abs_tol=0
    ):
        digits -= 1
    return f"{value:,.{digits}f} ± {error:.{digits}f}"


def _wrapped(text: str, *, width: int, indent: int = 0) -> list[str]:
    space = " " * indent
    return textwrap.wrap(text, width, initial_indent=space, subsequent_indent=space)


@dataclass(frozen=True)
class ExperimentReport(Drawn):
    """A published experiment and its simulation.

    Printing it gives the table; in Jupyter it shows itself, and `plot` draws the deviations of all
    outcomes to which nothing was fitted.

    Attributes:
        experiment: What was published, and what the simulation started from.
        comparisons: Every outcome, simulated beside published.
        seed: Of the repetition that was drawn, or of the session; None for expectations.
        session: The session that the comparisons are of; None if they are of formulas.

    Examples:
        >>> report = run("yin-2017")
        >>> report.experiment.name, len(report.comparisons), report.seed
        ('yin-2017', 4, None)
    """

    experiment: Experiment
    comparisons: tuple[Comparison, ...]
    seed: int | None
    session: SessionReport | None = None

    def text(self, *, width: int = WIDTH) -> str:
        """Return the table, with paragraphs of at most ``width`` columns; a session comes first."""
        table = as_text(self.experiment, self.comparisons, width=width)
        return table if self.session is None else f"{self.session}\n\n{table}"

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        page = FoldingLayout()
        sections = as_sections(self.experiment, self.comparisons, page=page)
        if self.session is not None:
            sections[1:1] = self.session.folding_sections(page)
        return folding_page(f"{self.experiment.name}: {self.experiment.reference}", sections)

    def to_records(self) -> list[dict[str, Any]]:
        """Return the comparisons as plain dictionaries; see `e91.experiments.as_records`."""
        return as_records(self.comparisons)


def run(name: str, *, seed: int | None = None) -> ExperimentReport:
    """Simulate a published experiment.

    Args:
        name: A name of `e91.experiments.names`, or the path of a ``.toml`` file.
        seed: None gives expectations; a number draws one repetition with its own counts.

    Returns:
        Every published outcome beside the simulated one.

    Raises:
        ValueError: There is no such experiment, the file is not in the documented format, or
            ``seed`` is negative.

    Examples:
        >>> report = run("ursin-2007")
        >>> [(row.outcome.quantity, row.fitted) for row in report.comparisons]
        [('chsh', False), ('qber', True), ('secret_bits', False)]
    """
    experiment = load(name)
    with waiting(f"Simulating {experiment.name}"):
        compared = compare(experiment, seed=seed)
    return ExperimentReport(experiment, compared, seed)
