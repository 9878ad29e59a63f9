"""``e91 bell``: what counts of the CHSH game prove."""

import json

import click

from e91.cli.options import JSON


@click.command()
@click.option("--wins", type=int, required=True, help="Rounds of the CHSH game that were won.")
@click.option("--rounds", type=int, required=True, help="Rounds played, fixed beforehand.")
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
@JSON
def bell(
    *, wins: int, rounds: int, predictability: float, independent: bool, as_json: bool
) -> None:
    """Test local models against counts of the CHSH game, settings chosen uniformly."""
    from e91.bell import p_values
    from e91.session.report import rounded_up

    local = p_values.local_bound_independent_settings if independent else p_values.local_bound
    bound = local(predictability)
    found = {
        "p_value": p_values.p_value(wins, rounds, bound=bound),
        "log_p_value": p_values.log_p_value(wins, rounds, bound=bound),
        "hoeffding": p_values.hoeffding_p_value(wins, rounds, bound=bound),
        "local_bound": bound,
        "winning_probability": wins / rounds,
        "chsh": p_values.chsh_value(wins / rounds),
    }
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(f"winning probability  {wins / rounds:.6f}   (local models: at most {bound:.6f})")
    click.echo(f"S                    {found['chsh']:.6f}")
    click.echo(f"p-value, exact       {rounded_up(found['p_value'])}")
    click.echo(f"p-value, Hoeffding   {rounded_up(found['hoeffding'])}")
