"""The text of a report: one layout for a session and for a run of blocks."""

import math
from decimal import ROUND_CEILING, Context
from typing import Protocol

from e91.model.device import Pace
from e91.model.evidence import Evidence
from e91.model.numbers import TSIRELSON
from e91.model.records import ChshEstimate, QberEstimate
from e91.model.settings import Settings
from e91.security.policy import Policy
from e91.session.inversion import looks_inverted
from e91.system.report_layout import Layout


class Reported(Protocol):
    """What a report of one session and that of many blocks have in common."""

    @property
    def rounds(self) -> int:
        """Pairs sent, or rounds of a recording."""

    @property
    def settings(self) -> Settings:
        """Angles, probabilities and roles."""

    @property
    def device(self) -> str:
        """One sentence that describes the device."""

    @property
    def policy(self) -> Policy:
        """What was assumed, tested and promised."""

    @property
    def seed(self) -> int | None:
        """Of the protocol's randomness."""

    @property
    def evidence(self) -> Evidence:
        """The public counts after sifting."""

    @property
    def bell_test(self) -> bool:
        """Whether the settings have a Bell test."""

    @property
    def chsh(self) -> ChshEstimate:
        """The Bell test; one of no rounds if there is none."""

    @property
    def qber(self) -> QberEstimate:
        """The error estimate."""

    @property
    def assumptions(self) -> str:
        """What the security model assumes."""

    @property
    def reproducible(self) -> bool:
        """Whether a seed makes the key again."""

    @property
    def watch(self) -> object | None:
        """The watch over the link, or None."""

    @property
    def seconds(self) -> float:
        """How long it took."""


def joined(*sections: list[str]) -> str:
    """Return a text of sections with an empty line between."""
    return "\n".join(line for section in sections for line in [*section, ""]).rstrip()


def rounds_named(*, recorded: bool, pace: Pace | None) -> str:
    """Return what the rounds of a report are called.

    Args:
        recorded: Whether they were measured before, elsewhere.
        pace: Of a device with light; its rounds are coincidences, pulses or slots, and its source
            sends more pairs than it counts rounds.

    Examples:
        >>> rounds_named(recorded=False, pace=None)
        'pairs sent'
    """
    if recorded:
        return "rounds recorded"
    return "pairs sent" if pace is None else "rounds"


def sent(report: Reported, page: Layout, *, title: str, pairs: tuple[str, str]) -> list[str]:
    """Return what was sent and sifted, under a title.

    Args:
        report: Of a session or a run.
        page: Sets the lines.
        title: What the report is of.
        pairs: Name and value of the row that counts the pairs.
    """
    return [
        page.title(f"{title} - {report.settings.name} settings"),
        page.row("device", report.device),
        page.row(*pairs),
        *sifted(report, page),
    ]


def sifted(report: Reported, page: Layout) -> list[str]:
    """Return how many rounds were seen, and what they were for."""
    evidence = report.evidence
    test = sum(evidence.same) + sum(evidence.different)
    key_rounds = evidence.key_size + evidence.sample_size
    return [
        page.row("coincidences", f"{evidence.coincidences:,}"),
        page.row("Bell-test rounds", f"{test:,}" if report.bell_test else "none"),
        page.row("key rounds", f"{key_rounds:,}, {evidence.sample_size:,} of them revealed"),
    ]


def measured(report: Reported, page: Layout, *, title: str) -> list[str]:
    """Return the Bell test, or that there was none, the error rate and the alarm."""
    if not report.bell_test:
        return _untested(report, page)
    found = report.chsh
    value = "-" if found.value is None else f"{found.value:.4f} ± {found.standard_error:.4f}"
    limits = f"(local models: at most 2, quantum: {TSIRELSON:.4f})"
    if found.value is not None and found.value > TSIRELSON:
        limits = f"({_beyond(found)}; it earns no more key than {TSIRELSON:.4f})"
    return [
        page.title(title),
        page.row("S", f"{value}   {limits}"),
        *(page.row(name, text) for name, text in _bounds(report)),
        page.row("QBER", _error_rate(report.qber)),
        *([page.row("alarm", str(report.watch))] if report.watch else []),
    ]


def _untested(report: Reported, page: Layout) -> list[str]:
    """Return what stands in the place of the Bell test: the errors of each key basis."""
    bases = [
        page.row(f"in basis {number}", f"{each.errors:,} errors in {each.revealed:,} revealed bits")
        for number, each in enumerate(report.evidence.samples, 1)
    ]
    return [
        page.title("Errors"),
        page.row("Bell test", "none was made"),
        page.row("QBER", _error_rate(report.qber)),
        *bases,
        page.row("tolerated", f"{report.policy.tolerated_error:.2%} in each basis"),
    ]


def _error_rate(qber: QberEstimate) -> str:
    rate = "-" if qber.rate is None else f"{qber.rate:.2%} ± {_sampling_error(qber):.2%}"
    if qber.rate == 0:
        rate = f"no error in {qber.revealed:,} bits"
    most = None if qber.upper_bound is None else percent_rounded_up(qber.upper_bound)
    return rate if most is None else f"{rate}   (at most {most} of the key)"


def _bounds(report: Reported) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return the rows of the bound on S and of the p-value."""
    found, why = report.chsh, None
    if looks_inverted(chsh_value=found.value, error_rate=report.qber.rate):
        why = "not stated: outcomes look inverted, as the verdict says"
    elif found.lower_bound is None or found.p_value is None:
        why = "not stated: what it rests on is refuted, as the verdict says"
    if why is not None or found.lower_bound is None or found.p_value is None:
        return ("S is at least", why or "-"), ("p-value, local model", why or "-")
    bound = rounded_down(found.lower_bound)
    return (
        ("S is at least", f"{bound}   except with probability {report.policy.epsilon:g}"),
        ("p-value, local model", rounded_up(found.p_value)),
    )


def in_time(rates: dict[str, float], page: Layout) -> list[str]:
    r"""Return what a session is worth in the time of its light; rates are rounded down.

    Args:
        rates: Of `e91.session.report.rates_of`.
        page: Sets the lines.

    Examples:
        >>> rates = {"coincidences_per_second": 0.5, "link_seconds": 2e5}
        >>> lines = in_time(rates | {"secret_bits_per_second": 0.061725}, Layout(40))
        >>> print("\n".join(lines))
        ── Rates ───────────────────────────────
          coincidences          0.5 per second
          time on the link      200,000 s (2.3
                                days)
          secret key            0.06172 bits per
                                second
    """
    seconds, days = rates["link_seconds"], rates["link_seconds"] / 86_400
    long = f" ({days:,.1f} days)" if days >= 1 else ""
    found = f"{_four_digits(rates['coincidences_per_second'])} per second"
    key = f"{_four_digits(rates['secret_bits_per_second'])} bits per second"
    return [
        page.title("Rates"),
        page.row("coincidences", found),
        page.row("time on the link", f"{_four_digits(seconds)} s{long}"),
        page.row("secret key", key),
    ]


def _four_digits(value: float) -> str:
    """Return four digits of a rate, or all of a larger number's, never more than it is."""
    digits = 3 - math.floor(math.log10(value)) if value > 0 else 0
    if digits <= 0:
        return f"{math.floor(value):,}"
    return f"{math.floor(value * 10.0**digits) / 10.0**digits:g}"


def proof(report: Reported, page: Layout) -> list[str]:
    """Return what the verdict rests on, whether a seed was there, and how long it took."""
    policy = report.policy
    lines = page.text(
        f"Security model {policy.security.value}, theorem {policy.proof.value}. "
        f"{report.assumptions}"
    )
    if report.reproducible:
        lines += page.text(f"{_seeded(report.seed)}: reproducible, and therefore not secret.")
    return [*lines, *page.text(f"{report.seconds:.2f} s")]


def released(secret_bits: int) -> str:
    """Return what a key is, for somebody who has never had one.

    Examples:
        >>> released(133_947)
        '133,947 secret bits: 16,743 bytes, half of them for each direction'
    """
    each_way = f"{secret_bits // 8:,} bytes, half of them for each direction"
    return f"{secret_bits:,} secret bits: {each_way}"


def _seeded(seed: int | None) -> str:
    return "The device or the recording was seeded" if seed is None else f"Seeded with {seed}"


def _sampling_error(qber: QberEstimate) -> float:
    rate = qber.rate or 0.0
    return math.sqrt(rate * (1 - rate) / qber.revealed)


def _beyond(found: ChshEstimate) -> str:
    excess = (found.value or 0.0) - TSIRELSON
    if not found.standard_error:
        return f"beyond quantum theory by {excess:.4f}, with no error bar"
    return f"beyond quantum theory by {excess / found.standard_error:.1f} standard errors"


def rounded_down(value: float) -> str:
    """Return a lower bound with four decimals, never larger than it is."""
    return f"{math.floor(value * 1e4) / 1e4:.4f}"


def percent_rounded_up(rate: float) -> str:
    """Return an upper bound on a rate in percent, never smaller than it is."""
    return f"{math.ceil(rate * 1e4) / 1e2:.2f} %"


def rounded_up(probability: float) -> str:
    """Return ``probability`` with two digits, never smaller than it is.

    Examples:
        >>> rounded_up(0.03912), rounded_up(0.0), rounded_up(0.998), rounded_up(9.96e-5)
        ('4.0e-02', 'below 1e-308', '1', '1.0e-04')
    """
    if not probability > 0:
        return "below 1e-308"
    if probability >= 1:
        return "1"
    up = Context(prec=2, rounding=ROUND_CEILING).create_decimal_from_float(probability)
    power = up.adjusted()
    return "1" if up >= 1 else f"{up.scaleb(-power):.1f}e{power:+03d}"
