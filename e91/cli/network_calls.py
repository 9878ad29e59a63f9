"""``e91 network calls``: how much key media need, and how many calls networks carry at once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from e91.cli.figures import FIGURE
from e91.cli.options import JSON
from e91.cli.outcome import FigureFile
from e91.system.progress import waiting
from e91.system.report_layout import table

if TYPE_CHECKING:
    from e91.network import CarriedCalls


@click.command("calls")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@FIGURE
@JSON
def show_calls(names: tuple[str, ...], *, figure: FigureFile, as_json: bool) -> None:
    """Tell how many calls under one-time pad networks carry at once, by their links' mean rates.

    NAME is a network, or a file of one.  Nothing is simulated; what stores hold is left out.
    --figure draws what a picture looks like at some budgets of key, and how many of these a second
    the network carries, each way; it takes one NAME.
    """
    from e91.network import carried_calls, load

    if figure.figure is not None and len(names) > 1:
        raise click.UsageError(f"`--figure` must come with one NAME, but there are {len(names)}.")
    figure.check()
    found = []
    for name in names:
        with waiting(f"Working out {name}"):
            found.append(carried_calls(load(name)))
    figure.save(lambda: _drawn(found[0]))
    if as_json:
        networks = [_as_json(one) for one in found]
        click.echo(json.dumps({"media": _media_as_json(), "networks": networks}))
        return
    click.echo("\n".join([*table(needs_table()), "", *table(carried_table(found))]))


def _drawn(network: CarriedCalls) -> object:
    from e91.plots import drawn_scene, pictures_at_budgets, pictures_figure

    scene = drawn_scene()
    return pictures_figure(scene, pictures_at_budgets(scene), network=network)


def needs_table() -> list[list[str]]:
    """Return what media need, a row each below the names of the columns; bits a second."""
    from e91.encryption.key_needs import MEDIA, aes_bits_per_second

    rows = [["medium", "name", "one way", "both ways", "AES, both ways"]]
    for medium in MEDIA.values():
        aes = "a key a message" if medium.name == "text" else f"{2 * aes_bits_per_second():.1f}"
        rows.append(
            [
                medium.title,
                medium.name,
                _rate(medium.pad_bits_per_second),
                _rate(medium.call_bits_per_second),
                aes,
            ]
        )
    return rows


def carried_table(found: list[CarriedCalls]) -> list[list[str]]:
    """Return what networks carry, a row each below the names of the columns; bits a second."""
    from e91.encryption.key_needs import MEDIA

    rows = [["network", "best pair", "worst pair", "all pairs", *MEDIA]]
    for one in found:
        rates = (
            one.best_pair_bits_per_second,
            one.worst_pair_bits_per_second,
            one.even_bits_per_second,
        )
        calls = [f"{one.calls_at_once(medium):,}" for medium in MEDIA.values()]
        rows.append([one.name, *map(_rate, rates), *calls])
    return rows


def _rate(bits_per_second: float) -> str:
    """Return a rate with three digits.

    Examples:
        >>> _rate(65.6), _rate(76_800), _rate(2_057_600)
        ('65.6', '76,800', '2,060,000')
    """
    if bits_per_second < 1000:
        return f"{bits_per_second:.3g}"
    digits = len(str(round(bits_per_second)))
    return f"{round(bits_per_second, 3 - digits):,.0f}"


def _media_as_json() -> list[dict[str, Any]]:
    from e91.encryption.key_needs import MEDIA

    return [
        {
            "name": medium.name,
            "bits_per_second": medium.bits_per_second,
            "packets_per_second": medium.packets_per_second,
            "pad_bits_per_second_one_way": medium.pad_bits_per_second,
            "pad_bits_per_second_both_ways": medium.call_bits_per_second,
        }
        for medium in MEDIA.values()
    ]


def _as_json(one: CarriedCalls) -> dict[str, Any]:
    from e91.encryption.key_needs import MEDIA

    return {
        "network": one.name,
        "pairs": one.pairs,
        "best_pair_bits_per_second": one.best_pair_bits_per_second,
        "worst_pair_bits_per_second": one.worst_pair_bits_per_second,
        "all_pairs_bits_per_second": one.even_bits_per_second,
        "calls_at_once": {medium.name: one.calls_at_once(medium) for medium in MEDIA.values()},
    }
