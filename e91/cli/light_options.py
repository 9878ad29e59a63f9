"""The options that describe light: a link's file, or a few numbers of a fibre and its detectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from e91.cli.options import Decorator, are_given, as_one, refuse_given
from e91.model.numbers import check_within

if TYPE_CHECKING:
    from e91.optics.link_files import LinkNumbers

_ATTENUATION_DB_PER_KM = 0.2
_WINDOW_S = 1e-9
_NUMBERS = (
    "distance_km",
    "loss_db",
    "detector_efficiency",
    "pairs_per_second",
    "dark_counts_per_second",
)
_OPTIONS = ("link", *_NUMBERS)


@dataclass(frozen=True)
class LinkOptions:
    """What the command line says of a link.

    Attributes:
        link: Its file, or None.
        distance_km: Fibre between the parties, the source in its middle.
        loss_db: What both arms together lose besides.
        detector_efficiency: Clicks per photon.
        pairs_per_second: Of the source.
        dark_counts_per_second: Of all detectors of a party.
    """

    link: Path | None
    distance_km: float
    loss_db: float
    detector_efficiency: float
    pairs_per_second: float
    dark_counts_per_second: float

    def numbers(self, *, visibility: float) -> LinkNumbers | None:
        """Return the link, or None if no option describes one.

        Args:
            visibility: Of the pairs, where no file says it.

        Raises:
            ValueError: The file is not in the documented format, a number cannot be, or there is
                a file as well as numbers.
        """
        if self.link is not None:
            from e91.optics.link_files import read_link

            refuse_given(_NUMBERS, "must come without `--link`, whose file says it.")
            return read_link(self.link)
        return self._fibre(visibility) if are_given(_NUMBERS) else None

    def _fibre(self, visibility: float) -> LinkNumbers:
        from e91.optics import link_files

        check_within(0, 1, **{"--visibility": visibility})
        side = link_files.SideNumbers(
            fibre_length_km=self.distance_km / 2,
            fibre_attenuation_db_per_km=_ATTENUATION_DB_PER_KM,
            loss_db=self.loss_db / 2,
            detector_efficiency=self.detector_efficiency,
            dark_counts_per_second=self.dark_counts_per_second,
        )
        return link_files.LinkNumbers(
            source=link_files.SourceNumbers(pairs_per_second=self.pairs_per_second),
            state=link_files.PairState(visibility=visibility),
            detection=link_files.Detection(coincidence_window_s=_WINDOW_S),
            alice=side,
            bob=side,
        )


def refuse_beside_light(names: tuple[str, ...], *, light: LinkOptions) -> None:
    """Refuse options that say in another way what a link says, if there is a link.

    Args:
        names: Arguments of options that go with no light; ``visibility`` goes with numbers of
            a fibre, but not with a file.
        light: What the command line says of a link.

    Raises:
        ValueError: One of them was given.
    """
    if light.link is not None:
        refuse_given((*names, "visibility"), "must come without `--link`, whose file says it.")
    elif are_given(_NUMBERS):
        refuse_given(
            names,
            "must come without options of light (`--distance-km`, `--loss-db`, ...), which say "
            "what measures.",
        )


def _within(most: float) -> Callable[[click.Context, click.Parameter, float], float]:
    """Return a check that an option lies between 0 and ``most``, by the option's own name."""

    def checked(_: click.Context, option: click.Parameter, value: float) -> float:
        check_within(0, most, **{option.opts[0]: value})
        return value

    return checked


def light_options(*efficiency: str) -> Decorator:
    """Return the options of light, which reach a command as one `LinkOptions`.

    Args:
        efficiency: What the option of the detectors' efficiency is called.
    """
    return as_one(
        "light",
        LinkOptions,
        click.option("--link", type=click.Path(path_type=Path), metavar="FILE",
                     help="Light: a TOML file of source, arms, detectors and window."),
        click.option("--distance-km", type=float, default=0.0, callback=_within(1e5),
                     help="Light: fibre between the parties, the source in its middle, "
                     f"{_ATTENUATION_DB_PER_KM} dB/km."),
        click.option("--loss-db", type=float, default=0.0, callback=_within(1000),
                     help="Light: what both arms together lose besides, dB."),
        click.option(*efficiency, "detector_efficiency", type=float, default=0.8,
                     callback=_within(1), show_default=True,
                     help="Light: clicks per photon, 0 to 1."),
        click.option("--pairs-per-second", type=float, default=1e6, show_default="1,000,000",
                     callback=_within(1e15),
                     help="Light: pairs of a continuous source, before all losses."),
        click.option("--dark-counts-per-second", type=float, default=100.0, show_default="100",
                     callback=_within(1e15),
                     help="Light: of all detectors of a party; the window is "
                     f"{_WINDOW_S * 1e9:g} ns."),
    )  # fmt: skip
