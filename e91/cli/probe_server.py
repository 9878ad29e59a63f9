"""``e91 kme probe``: does a server of keys keep to ETSI GS QKD 014?"""

import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from e91.cli.options import JSON, as_one
from e91.cli.outcome import columns
from e91.system.report_layout import WIDTH

if TYPE_CHECKING:
    from e91.delivery.probing import ProbePlan, ProbeReport, ProbeRow

BROKEN = 3
"""Exit status if the server breaks what the standard demands."""

_FILE = click.Path(path_type=Path)


def _application(who: str, words: str, *, required: bool = False) -> list[Any]:
    """Return the options that make the probe one of its applications."""
    before = f"--{who}-" if who else "--"
    return [
        click.option(f"{before}certificate", type=_FILE, required=required,
                     help=f"Certificate of {words}, PEM."),
        click.option(f"{before}private-key", type=_FILE,
                     help="Its private key; by default in the same file."),
        click.option(f"{before}sae", help="Its SAE ID, if no certificate names it."),
    ]  # fmt: skip


_WHO = as_one(
    "who",
    dict,
    *_application("", "the SAE that asks for new keys", required=True),
    click.option("--ca", type=_FILE, required=True, help="Authorities of servers, PEM."),
    *_application("peer", "the SAE that fetches them by their IDs"),
    click.option("--peer-url", metavar="URL",
                 help="The peer's own server; URL by default."),
    *_application("third", "an SAE that has no right to them"),
    click.option("--third-url", metavar="URL",
                 help="The third's own server; the peer's by default."),
    click.option("--refused-certificate", "refused", type=_FILE, multiple=True,
                 help="Certificate and key in one file that must be refused: ended, revoked."),
)  # fmt: skip
"""As whom the probe comes."""


@click.command()
@click.argument("url")
@_WHO
@click.option("--consume/--no-consume", default=True, show_default=True,
              help="Take keys; without, what takes keys is not tested.")  # fmt: skip
@click.option("--drain", is_flag=True,
              help="Empty the pool, too, to see what is answered then.")  # fmt: skip
@click.option("--timeout", "timeout_s", type=float, default=10.0, show_default=True,
              help="For every wait, seconds.")  # fmt: skip
@click.option("--slow-body", "slow_body_s", type=click.FloatRange(0, 3600), default=0.0,
              show_default=True, help="Leave a body unfinished that long, seconds, to see whether "
              "it is waited for.")  # fmt: skip
@JSON
def probe(
    url: str,
    *,
    who: dict[str, Any],
    consume: bool,
    drain: bool,
    timeout_s: float,
    slow_body_s: float,
    as_json: bool,
) -> None:
    """Test from outside whether the server of keys at URL keeps to ETSI GS QKD 014 V1.1.1.

    Every clause of the text that can be seen is a row.  FAIL: what the text demands is broken;
    NOTE: it advises, or can be read in two ways; INFO: it says nothing.  It takes keys, which are
    then used up; how many is said first.  What needs a certificate that was not given is not
    tested, which is no failure.  Exit status: 0 if nothing failed, 3 otherwise.
    """
    from e91.delivery.probing import probe as look
    from e91.delivery.probing.probe import keys_needed

    plan = replace(
        _plan(url, who, consume=consume, drain=drain, timeout_s=timeout_s), slow_body_s=slow_body_s
    )
    report = look(
        plan,
        reached=partial(_announce, keys_needed(plan), drain=plan.drain),
        seen=(lambda _: None) if as_json else _show,
    )
    click.echo(json.dumps(report.to_dict()) if as_json else f"\n{_summary(report)}")
    if not report.conforms:
        sys.exit(BROKEN)


def _plan(
    url: str, who: dict[str, Any], *, consume: bool, drain: bool, timeout_s: float
) -> "ProbePlan":
    from e91.delivery.probing import ProbePlan

    if drain and not consume:
        raise click.UsageError("`--drain` must come without `--no-consume`, which takes no key.")
    if not 0 < timeout_s <= 3600:
        raise ValueError(f"`--timeout` must lie in (0, 3600], but is {timeout_s:g}.")
    roles = ("", "peer_", "third_")
    files = {
        f"{role}{kind}": who[f"{role}{kind}"]
        for role in roles
        for kind in ("certificate", "private_key")
    }
    return ProbePlan(
        url,
        ca=who["ca"],
        peer_url=who["peer_url"],
        third_url=who["third_url"],
        names=(who["sae"], who["peer_sae"], who["third_sae"]),
        must_refuse=tuple((file, None) for file in who["refused"]),
        consume=consume,
        drain=drain,
        timeout_s=timeout_s,
        **files,
    )


def _announce(keys: int, *, drain: bool) -> None:
    """Say how many keys are used up, before one is."""
    all_of_them = ", and then all that are left" if drain else ""
    words = f"takes at most {keys:,} keys{all_of_them}" if keys else "takes no key"
    click.echo(f"e91: This probe {words}.", err=True)


def _show(row: "ProbeRow") -> None:
    """Print a row: verdict, clause and demand, and below what was seen."""
    width = columns(WIDTH + 20)
    click.echo(f"{row.verdict.value:<11}{row.name} ({row.clause}): {row.demand}")
    text = row.words
    click.echo(click.wrap_text(text, width=width, initial_indent=" " * 11,
                               subsequent_indent=" " * 11))  # fmt: skip


def _summary(report: "ProbeReport") -> str:
    counts = ", ".join(f"{number} {name}" for name, number in report.counts.items() if number)
    verdict = "was not seen to break" if report.conforms else "breaks"
    return (
        f"{report.url} {verdict} ETSI GS QKD 014 V1.1.1: {counts}; {report.keys_taken} keys taken."
    )
