"""``e91 bell``: a Bell test without a key, from wins in the CHSH game, counts, or a table."""

import json
import math
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from e91.cli.figures import FIGURE
from e91.cli.options import COUNT, JSON, as_one
from e91.cli.outcome import FigureFile
from e91.system.progress import waiting

if TYPE_CHECKING:
    from e91.bell import BellTest

_UNIFORM = 0.75
"""What local models win at most if nobody can guess a setting."""

UNITS = ("polariser-degrees", "bloch-radians", "bloch-degrees")


@dataclass(frozen=True)
class CountOptions:
    """Where the counts are, and what is said of them; see the options of the same names."""

    table: Path | None
    same: str | None
    different: str | None
    counts: str | None
    signs: str | None
    alice_angles: str | None
    bob_angles: str | None
    angles: str
    random_settings: bool | None

    @property
    def are_given(self) -> bool:
        """Whether there are counts of setting pairs."""
        return (self.table, self.same, self.different, self.counts) != (None,) * 4


COUNTS = as_one(
    "given",
    CountOptions,
    click.option("--counts", "table", type=click.Path(path_type=Path), metavar="FILE",
                 help="CSV with a line of names: two columns of angles, then coincidences (and "
                 "accidentals) in 16 rows, or same and different in 4."),
    click.option("--same", metavar="N,N,N,N", help="Equal outcomes at settings 00, 01, 10, 11."),
    click.option("--different", metavar="N,N,N,N", help="Unequal outcomes."),
    click.option("--outcomes", "counts", metavar="N,...,N",
                 help="Sixteen counts: outcomes ++, +-, -+, -- at each setting pair."),
    click.option("--signs", metavar="S,S,S,S",
                 help="Signs of the sum, e.g. +,-,+,+; else those of phi+ at the angles."),
    click.option("--alice-angles", metavar="A,A", help="Of counts without a table."),
    click.option("--bob-angles", metavar="A,A", help="The same."),
    click.option("--angles", type=click.Choice(UNITS), default=UNITS[0], show_default=True,
                 help="Unit of angles."),
    click.option("--random-settings/--fixed-settings", default=None,
                 help="Whether settings were chosen at random in every round; set in turn or by "
                 "hand they carry no p-value.  By default those of a table were not, and others "
                 "are taken to be."),
)  # fmt: skip


@click.command()
@click.option("--wins", type=COUNT, help="Rounds of the CHSH game that were won.")
@click.option("--rounds", type=COUNT, help="Rounds played, fixed beforehand.")
@click.option(
    "--predictability",
    type=float,
    default=0.0,
    show_default=True,
    help="tau: each setting is guessed with probability at most 1/2 + tau.",
)
@click.option(
    "--independent", is_flag=True, help="The two settings are independent, given the past."
)
@COUNTS
@FIGURE
@JSON
def bell(
    *,
    wins: int | None,
    rounds: int | None,
    predictability: float,
    independent: bool,
    given: CountOptions,
    figure: FigureFile,
    as_json: bool,
) -> None:
    """Test local models: S, its error and a p-value, without a key.

    Of wins and rounds of the CHSH game, settings chosen uniformly; or of the counts at four setting
    pairs, from `--counts FILE`, `--same` and `--different`, or `--outcomes`.
    """
    figure.check()

    from e91.bell import p_values

    local = p_values.local_bound_independent_settings if independent else p_values.local_bound
    bound = local(predictability)
    if given.are_given:
        if (wins, rounds) != (None, None):
            raise click.UsageError("`--wins` and `--rounds` must come without other counts.")
        with waiting("Testing local models"):
            found = _evaluated(given, bound)
        _show(found, given, bound, as_json=as_json)
        figure.save(partial(_draw, "bell_scale", found))
        return
    if wins is None or rounds is None:
        raise click.UsageError(
            "`e91 bell` must be given `--wins` and `--rounds`, or `--counts`, `--outcomes`, or "
            "`--same` and `--different`."
        )
    _refuse_beside_wins(given)
    _show_game(wins, rounds, bound, random_settings=given.random_settings, as_json=as_json)
    figure.save(partial(_draw, "game_scale", wins, rounds))


def _draw(name: str, *found: Any) -> Any:
    from e91 import plots

    return getattr(plots, name)(*found)


def _refuse_beside_wins(given: CountOptions) -> None:
    for name in ("signs", "alice_angles", "bob_angles"):
        if getattr(given, name) is not None:
            option = name.replace("_", "-")
            raise click.UsageError(
                f"`--{option}` must come with counts, but here are `--wins` and `--rounds`."
            )


def _show_game(
    wins: int, rounds: int, bound: float, *, random_settings: bool | None, as_json: bool
) -> None:
    from e91.bell import p_values
    from e91.bell.counting import NOT_RANDOM
    from e91.session.report_text import rounded_up

    with waiting("Testing local models"):
        found: dict[str, Any] = {
            "p_value": p_values.p_value(wins, rounds, bound=bound),
            "log_p_value": p_values.log_p_value(wins, rounds, bound=bound),
            "hoeffding": p_values.hoeffding_p_value(wins, rounds, bound=bound),
            "local_bound": bound,
            "winning_probability": wins / rounds,
            "chsh": p_values.chsh_value(wins / rounds),
            "no_p_value": None,
            "assumes": _assumed(random_settings, bound),
        }
    if random_settings is False:
        absent = dict.fromkeys(("p_value", "log_p_value", "hoeffding", "assumes"))
        found |= absent | {"no_p_value": NOT_RANDOM}
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(f"winning probability  {wins / rounds:.6f}   (local models: at most {bound:.6f})")
    click.echo(f"S                    {found['chsh']:.6f}")
    if found["p_value"] is None:
        click.echo(f"p-value              none: {found['no_p_value']}")
        return
    click.echo(f"p-value, exact       {rounded_up(found['p_value'])}")
    click.echo(f"p-value, Hoeffding   {rounded_up(found['hoeffding'])}")
    click.echo(f"                     {found['assumes']}")


def _evaluated(given: CountOptions, bound: float) -> "BellTest":
    import numpy as np

    from e91.bell import bell_test

    accidentals: Any = None
    angles: tuple[tuple[float, ...] | None, tuple[float, ...] | None]
    if given.table is not None:
        from e91.bell import read_table

        _refuse_beside_table(given)
        table = read_table(given.table, unit=given.angles)
        counts, accidentals = table.counts, table.accidentals
        angles = table.alice_angles, table.bob_angles
    else:
        counts = np.array(_counts(given))
        angles = _angles("--alice-angles", given), _angles("--bob-angles", given)
    is_random = given.table is None if given.random_settings is None else given.random_settings
    return bell_test(
        counts,
        signs=_signs(given, *angles),
        random_settings=is_random,
        accidentals=accidentals,
        local_bound=bound,
    )


def _refuse_beside_table(given: CountOptions) -> None:
    for name in ("same", "different", "counts", "alice_angles", "bob_angles"):
        if getattr(given, name) is not None:
            option = "outcomes" if name == "counts" else name.replace("_", "-")
            raise click.UsageError(f"`--{option}` must come without `--counts`.")


def _counts(given: CountOptions) -> Any:
    """Return the counts of the command line, as `bell_test` takes them."""
    import numpy as np

    if given.counts is not None:
        if (given.same, given.different) != (None, None):
            raise click.UsageError("`--outcomes` must come without `--same` and `--different`.")
        return np.reshape(_numbers("--outcomes", given.counts, 16), (2, 2, 2, 2))
    if given.same is None or given.different is None:
        raise click.UsageError("`--same` and `--different` must come together.")
    pairs = _numbers("--same", given.same, 4), _numbers("--different", given.different, 4)
    return np.stack(pairs, axis=1).reshape(2, 2, 2)


def _angles(option: str, given: CountOptions) -> tuple[float, ...] | None:
    from e91.bell.count_tables import ANGLE_UNITS

    text = given.alice_angles if option == "--alice-angles" else given.bob_angles
    if text is None:
        return None
    return tuple(angle * ANGLE_UNITS[given.angles] for angle in _numbers(option, text, 2))


def _numbers(option: str, text: str, count: int) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ValueError(
            f"`{option}` must be {count} numbers with commas between, but is `{text[:80]}`."
        )
    return numbers


def _signs(
    given: CountOptions, alice: tuple[float, ...] | None, bob: tuple[float, ...] | None
) -> tuple[int, ...]:
    if given.signs is not None:
        words = {"+": 1, "-": -1, "+1": 1, "-1": -1, "1": 1}
        parts = [part.strip() for part in given.signs.split(",")]
        if len(parts) != 4 or not words.keys() >= set(parts):
            raise ValueError(
                f"`--signs` must be four of + and - with commas between, but is `{given.signs}`."
            )
        return tuple(words[part] for part in parts)
    if alice is None or bob is None:
        raise click.UsageError(
            "Counts must come with `--signs`, or with `--alice-angles` and `--bob-angles`."
        )
    from e91.bell import ideal_signs

    signs = ideal_signs(alice, bob)
    if math.prod(signs) != -1:
        raise ValueError(
            "`--signs` must be given, as phi+ pairs have no CHSH signs at these angles."
        )
    return signs


def _show(found: "BellTest", given: CountOptions, bound: float, *, as_json: bool) -> None:
    from e91.session.report_text import rounded_up

    assumed = None if found.p_value is None else _assumed(given.random_settings, bound)
    if as_json:
        remarks = {
            "other_signs_violate": found.other_signs_violate,
            "assumes": assumed,
        }
        click.echo(json.dumps(asdict(found) | remarks))
        return
    click.echo(f"S                    {found.value:.4f} ± {found.standard_error:.4f}   "
               "(local models: at most 2)")  # fmt: skip
    terms = zip(found.signs, found.correlators, strict=True)
    click.echo(f"signs, correlators   {', '.join(f'{s:+d} x {e:+.4f}' for s, e in terms)}")
    click.echo(f"coincidences         {found.rounds:,}")
    if found.p_value is None:
        click.echo(f"p-value              none: {found.no_p_value}")
    else:
        click.echo(f"p-value, exact       {rounded_up(found.p_value)}")
        click.echo(f"                     {assumed}")
    if found.no_signalling_p_value is None:
        click.echo("no-signalling test   none: only equal and unequal outcomes were counted")
    else:
        click.echo(f"no-signalling test   p-value {rounded_up(found.no_signalling_p_value)}")
    if found.other_signs_violate:
        other = ",".join("+" if sign > 0 else "-" for sign in found.best_signs)
        click.echo(
            f"With the signs {other} S would be {found.best_value:.4f}.  Signs must be fixed "
            "before the\ncounts are seen: the best of the eight choices afterwards is no Bell test."
        )


def _assumed(random_settings: bool | None, bound: float) -> str:
    """Return what a p-value rests on, by the best that local models can do with such settings."""
    how = ", uniformly," if bound == _UNIFORM else " and no more predictable than stated"
    said = "as stated" if random_settings else "as assumed here"
    return f"if settings were chosen at random{how} in every round ({said})"
