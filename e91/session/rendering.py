"""The report as text: one screen, with error bars and units."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from e91.model.numbers import TSIRELSON
from e91.model.records import ChshEstimate, QberEstimate
from e91.security.secret_length import split
from e91.session.report import SessionReport

if TYPE_CHECKING:
    from e91.session.totals import RunSummary


_WIDTH = 72


def as_text(report: SessionReport) -> str:
    """Return the report as some twenty-five lines of text.

    Args:
        report: A finished or aborted session; its key bits are never read.
    """
    sections = [_sent(report), _tested(report)]
    if report.length is not None:
        sections.append(_budget(report))
    sections.append(_verdict(report))
    return "\n".join(line for section in sections for line in [*section, ""]).rstrip()


def _sent(report: SessionReport) -> list[str]:
    evidence = report.evidence
    test = sum(evidence.same) + sum(evidence.different)
    return [
        _rule(f"E91 session - {report.settings.name} settings"),
        _row("device", report.device),
        _row("rounds recorded" if report.recorded else "pairs sent", f"{report.rounds:,}"),
        _row("coincidences", f"{evidence.coincidences:,}"),
        _row("Bell-test rounds", f"{test:,}"),
        _row("key rounds", f"{report.sifted_bits:,}, of which {evidence.sample_size:,} revealed"),
    ]


def _tested(report: SessionReport) -> list[str]:
    found, qber = report.chsh, report.qber
    value = "-" if found.value is None else f"{found.value:.4f} ± {found.standard_error:.4f}"
    limits = f"(local models: at most 2, quantum: {TSIRELSON:.4f})"
    if found.value is not None and found.value > TSIRELSON:
        limits = f"({_beyond(found)}; it earns no more key than {TSIRELSON:.4f})"
    rate = "-" if qber.rate is None else f"{qber.rate:.2%} ± {_sampling_error(qber):.2%}"
    if qber.rate == 0:
        rate = f"no error in {qber.revealed:,} bits"
    watched = [_row("alarm", watch_line(report))] if report.watch else []
    return [
        _rule("Bell test"),
        _row("S", f"{value}   {limits}"),
        _row("S is at least", f"{_floor(found.lower_bound)}   except with probability "
             f"{report.policy.epsilon:g}"),
        _row("p-value, local model", rounded_up(found.p_value)),
        _row("QBER", f"{rate}   (at most {_ceiling(qber.upper_bound)} of the key)"),
        *watched,
    ]  # fmt: skip


def watch_line(watched: SessionReport | RunSummary) -> str:
    """Return what the watch over a link has to say, with what it was promised."""
    if watched.watch is None:
        return "nobody watched"
    promise = watched.watch.promise
    said = f"silent over {watched.watch.state.rounds:,} rounds that were tallied"
    if watched.alarm is not None:
        said = f"rang after {watched.alarm.round:,} pairs: {watched.alarm.named or 'no cause yet'}"
    return (
        f"{said}; promised is visibility {promise.visibility:g}, false alarms in "
        f"{promise.false_alarm:g} of all lives"
    )


def _budget(report: SessionReport) -> list[str]:
    assert report.length is not None
    terms = [
        *report.length.terms,
        ("next session's authentication", -float(report.authentication_bits)),
    ]
    lines = [_rule("Key budget, bits")]
    lines += [f"  {name:<40}{bits:>+14,.0f}" for name, bits in terms if bits]
    return [*lines, f"  {'secret key':<40}{report.secret_bits:>14,}"]


def _verdict(report: SessionReport) -> list[str]:
    policy = report.policy
    if report.abort is None:
        verdict = f"KEY RELEASED: {report.secret_bits:,} bits, epsilon {policy.epsilon:g}"
    else:
        verdict = f"NO KEY: {report.abort.value}"
    lines = [_rule("Verdict"), *_wrapped(verdict)]
    if report.abort is None:
        lines += _wrapped(_epsilons(report))
    if report.length is not None:
        name, bits = report.length.limit
        lines += _wrapped(f"Limited most by the term '{name}': {-bits:,.0f} bits.")
    lines += _wrapped(
        f"Security model {policy.security.value}, theorem {policy.proof.value}. "
        f"{report.assumptions}"
    )
    if report.seed is not None:
        lines += _wrapped(f"Seeded with {report.seed}: reproducible, and therefore not secret.")
    return [*lines, f"  {report.seconds:.2f} s"]


def _epsilons(report: SessionReport) -> str:
    budget, refused = split(report.policy.epsilon), report.completeness
    honest = (
        "no completeness is stated"
        if refused is None or refused >= 1
        else f"an honest link like this one is refused with probability at most "
        f"{rounded_up(refused)}"
    )
    return (
        f"One block, one run: secrecy {budget.secrecy:.2g}, correctness {budget.correctness:.2g}, "
        f"authentication {budget.authentication:.2g}; {honest}."
    )


def _rule(title: str) -> str:
    return f"── {title} " + "─" * max(0, _WIDTH - len(title) - 4)


def _row(name: str, value: str) -> str:
    first, *rest = _wrapped(value, width=_WIDTH - 24)
    return "\n".join([f"  {name:<22}{first.strip()}", *(" " * 22 + line for line in rest)])


def _wrapped(text: str, *, width: int = _WIDTH) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        if len(lines[-1]) + len(word) + 1 > width and lines[-1]:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return [f"  {line}" for line in lines]


def _sampling_error(qber: QberEstimate) -> float:
    rate = qber.rate or 0.0
    return math.sqrt(rate * (1 - rate) / qber.revealed)


def _beyond(found: ChshEstimate) -> str:
    excess = (found.value or 0.0) - TSIRELSON
    if not found.standard_error:
        return f"beyond quantum theory by {excess:.4f}, with no error bar"
    return f"beyond quantum theory by {excess / found.standard_error:.1f} standard errors"


def _floor(value: float) -> str:
    return f"{math.floor(value * 1e4) / 1e4:.4f}"  # a bound is never rounded in our favour


def _ceiling(rate: float) -> str:
    return f"{math.ceil(rate * 1e4) / 1e2:.2f} %"


def rounded_up(probability: float) -> str:
    """Return ``probability`` with two digits, never smaller than it is.

    Examples:
        >>> rounded_up(0.03912), rounded_up(0.0), rounded_up(1.0)
        ('4.0e-02', 'below 1e-308', '1')
    """
    if not probability > 0:
        return "below 1e-308"
    if probability >= 1:
        return "1"
    power = math.floor(math.log10(probability))
    digits = math.ceil(probability * 10.0 ** (1 - power)) / 10 if power > -300 else 10.0
    return f"{digits:.1f}e{power:+03d}"
