"""The key budget: from the rounds of a session, step by step, to its secret bits."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Self

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from e91.model.trust import SecurityModel
from e91.plots.style import COLOURS, axes_for, thin
from e91.session.report import SessionReport
from e91.session.totals import RunSummary

LOST = "no coincidence"
"""What the step is called that takes the pairs with a lost photon."""


@dataclass(frozen=True)
class BudgetStep:
    """What one step takes.

    Attributes:
        name: What it is.
        taken: Rounds, or bits, that it takes; negative where it gives.
        left: Rounds, or bits, that are left after it.

    Examples:
        >>> step = BudgetStep("error correction", taken=900, left=8_100)
        >>> step.taken + step.left
        9000
    """

    name: str
    taken: int
    left: int


@dataclass(frozen=True)
class KeyBudget:
    """The way from rounds to secret bits; a key round is a bit of the sifted key.

    Attributes:
        rounds: Pairs sent, or rounds recorded.
        steps: What is taken, in order: ``rounds`` less all of it is ``secret_bits``, exactly.
        sifted_bits: Key rounds that were not revealed.
        secret_bits: Net length of the key; 0 if there is none.
        is_released: Whether there is one.

    Examples:
        >>> steps = BudgetStep("not key rounds", 800, 200), BudgetStep("privacy", 150, 50)
        >>> budget = KeyBudget(1_000, steps, sifted_bits=200, secret_bits=50, is_released=True)
        >>> budget.rounds - sum(step.taken for step in budget.steps) == budget.secret_bits
        True
    """

    rounds: int
    steps: tuple[BudgetStep, ...]
    sifted_bits: int
    secret_bits: int
    is_released: bool

    @property
    def last_sifting_step(self) -> BudgetStep | None:
        """The step after which the sifted key is left; None if nothing came before it."""
        return next((step for step in self.steps if step.left == self.sifted_bits), None)


def key_budget(report: SessionReport | RunSummary) -> KeyBudget:
    """Return the budget of a session, or of the blocks of a run together.

    Terms of the key length are no whole numbers; their running sums are rounded down, so that the
    steps add up.  Of several blocks it is not known what each term took: one step has them all, and
    what the refused blocks had.

    Args:
        report: With or without a key.

    Returns:
        What each step takes of the rounds, in bits that add up to the secret ones exactly.

    Examples:
        >>> import e91
        >>> report = e91.run(e91.exact_device(visibility=0.97, seed=1), rounds=100_000, seed=2)
        >>> budget = key_budget(report)
        >>> budget.rounds - sum(step.taken for step in budget.steps) == report.secret_bits
        True
    """
    counted = list(_sifting(report))
    sifted = report.rounds - sum(taken for _, taken in counted)
    counted += _distilling(report)
    rest = report.rounds - sum(taken for _, taken in counted) - report.secret_bits
    if rest:
        counted.append((_rest_of(report), rest))
    left = accumulate((taken for _, taken in counted), int.__sub__, initial=report.rounds)
    next(left)
    steps = [BudgetStep(*step, after) for step, after in zip(counted, left, strict=True)]
    shown = tuple(step for step in steps if step.taken)
    return KeyBudget(report.rounds, shown, sifted, report.secret_bits, report.abort is None)


def _sifting(report: SessionReport | RunSummary) -> Iterable[tuple[str, int]]:
    """Yield the rounds that make no key, by what became of them."""
    evidence = report.evidence
    key_rounds = evidence.key_size + evidence.sample_size
    keeps_all = report.policy.security is SecurityModel.DEVICE_INDEPENDENT
    seen = report.rounds if keeps_all else evidence.coincidences
    yield LOST, report.rounds - seen
    yield "settings without use", seen - evidence.test_size - key_rounds
    yield "Bell test", evidence.test_size
    yield "revealed for the QBER", evidence.sample_size


def _distilling(report: SessionReport | RunSummary) -> Iterable[tuple[str, int]]:
    """Yield the bits that the key length takes, as far as it is known."""
    if isinstance(report, RunSummary):
        yield "error correction, Alice's bits", report.leaked_by_alice
    elif report.length is not None:
        bits = [bits for _, bits in report.length.terms]
        sums = [math.floor(math.fsum(bits[:count])) for count in range(1, len(bits) + 1)]
        names = [name for name, _ in report.length.terms]
        for name, before, after in zip(names[1:], sums[:-1], sums[1:], strict=True):
            yield name, before - after
    if report.secret_bits:
        yield "next session's authentication", report.authentication_bits


def _rest_of(report: SessionReport | RunSummary) -> str:
    """Return what to call what is taken besides."""
    if isinstance(report, RunSummary):
        return "Eve, statistics, refused blocks"
    assert report.abort is not None
    return f"no key: {report.abort.name.lower().replace('_', ' ')}"


_WIDEST = 4.0
"""Pairs sent beyond this many times the coincidences go over the edge, and stand beside it."""


def budget_figure(budget: KeyBudget, *, ax: Axes | None = None) -> Axes:
    """Draw a budget as a waterfall: whole bars are what there is, hatched ones what is taken.

    Every number stands at the right.  Where most pairs are lost, the bars of what was sent and of
    what was lost are cut at the edge.

    Args:
        budget: From `key_budget`.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes.

    Examples:
        >>> import e91
        >>> from matplotlib.figure import Figure
        >>> report = e91.run(e91.exact_device(visibility=0.97, seed=1), rounds=100_000, seed=2)
        >>> axes = budget_figure(key_budget(report), ax=Figure().subplots())
        >>> axes.get_title(), axes.get_xlabel()
        ('Key budget', 'rounds, then bits of key')
    """
    axes = waterfall(_bars(budget), limits=_limits(budget), ax=ax)
    title = "Key budget" if budget.is_released else "Key budget: no key"
    axes.set(xlabel="rounds, then bits of key", title=title)
    return axes


@dataclass(frozen=True)
class Bar:
    """One row of a waterfall; without a colour it is hatched."""

    name: str
    number: str
    start: int
    end: int
    colour: str

    @classmethod
    def whole(cls, name: str, size: int, colour: str) -> Self:
        """Return the bar of what there is."""
        return cls(name, f"{size:,}", 0, size, colour)

    @classmethod
    def taken(cls, name: str, size: int, left: int) -> Self:
        """Return the bar of what a step takes, and what it leaves."""
        return cls(name, f"{-size:+,}".replace("-", "\N{MINUS SIGN}"), left, left + size, "")


def waterfall(rows: Sequence[Bar], *, limits: tuple[float, float], ax: Axes | None = None) -> Axes:
    """Draw bars one below the other, with their numbers at the right.

    Args:
        rows: The bars, the first one on top.
        limits: Ends of the axis.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes, without title.
    """
    axes = axes_for(ax, size=(7.2, 1.0 + 0.34 * len(rows)))
    for place, bar in enumerate(rows):
        look: Any = {"facecolor": "white", "edgecolor": COLOURS[1], "hatch": "////"}
        if bar.colour:
            look = {"color": bar.colour}
        axes.barh(place, bar.end - bar.start, left=bar.start, height=0.64, **look)
    axes.axvline(0, color="0.3", lw=thin())
    places = range(len(rows))
    axes.set(
        xlim=limits,
        ylim=(len(rows) - 0.4, -0.6),
        yticks=places,
        yticklabels=[bar.name for bar in rows],
    )
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    numbers = axes.secondary_yaxis("right")
    numbers.set_yticks(places, [bar.number for bar in rows])
    for side in (axes, numbers):
        side.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)
    numbers.spines["right"].set_visible(False)
    return axes


def _bars(budget: KeyBudget) -> list[Bar]:
    bars = [Bar.whole("rounds", budget.rounds, COLOURS[0])]
    for step in budget.steps:
        bars.append(Bar.taken(step.name, step.taken, step.left))
        if step is budget.last_sifting_step:
            bars.append(Bar.whole("sifted key", budget.sifted_bits, COLOURS[0]))
    return [*bars, Bar.whole("secret key", budget.secret_bits, COLOURS[2])]


def _limits(budget: KeyBudget) -> tuple[float, float]:
    """Return the ends of the axis: all bars, or those of the rounds that were not lost."""
    lowest = min((step.left for step in budget.steps), default=0)
    seen = next((step.left for step in budget.steps if step.name == LOST), budget.rounds)
    widest = 1.15 * seen if seen and budget.rounds > _WIDEST * seen else budget.rounds
    return min(0.0, 1.05 * lowest), 1.02 * widest
