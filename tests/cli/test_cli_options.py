"""Groups of options reach a command as one value, with what they say left as it was."""

import click
import pytest

from e91.cli import commands
from e91.cli.options import Angles, as_one, seed_option
from e91.model.settings import SETTINGS

WIDTH = click.option("--width", type=int, default=3, help="First.")
HEIGHT = click.option("--height", "tall", type=int, help="Second.")


def drawn(*arguments, name="size", make=dict):
    reported = []

    @click.command()
    @click.argument("file")
    @as_one(name, make, WIDTH, HEIGHT)
    @click.option("--colour")
    def draw(**given):
        """Draw."""
        reported.append(given)

    draw.main([str(argument) for argument in arguments], standalone_mode=False)
    return draw, reported


def test_options_of_a_group_reach_the_command_as_one_value():
    _, reported = drawn("f", "--height", 5, "--colour", "red")
    assert reported == [{"file": "f", "size": {"width": 3, "tall": 5}, "colour": "red"}]


def test_value_is_made_by_what_the_group_says():
    _, reported = drawn("f", "--height", 5, name="area", make=lambda *, width, tall: width * tall)
    assert reported[0]["area"] == 15


def test_help_shows_the_options_in_their_order():
    command, _ = drawn("f")
    assert [option.name for option in command.params] == ["file", "width", "tall", "colour"]
    assert command.help == "Draw."


def test_group_can_be_used_for_two_commands():
    assert drawn("f", "--width", 1)[1][0]["size"] == {"width": 1, "tall": None}
    assert drawn("f", "--width", 2)[1][0]["size"] == {"width": 2, "tall": None}


@pytest.mark.parametrize("line", [["run"], ["analyse", "FILE"], ["attack", "run", "local"]])
def test_negative_seed_is_refused_by_every_command_that_makes_keys(status, line):
    code, printed, complaint = status(*line, "--seed", -1)
    assert (code, printed) == (2, "")
    assert complaint == "e91: `--seed` must not be negative, but is -1.\n"


def test_job_at_ibms_cannot_be_watched_and_says_so(status):
    code, printed, complaint = status("run", "--device", "ibm:marrakesh", "--watch", "0.95")
    assert (code, printed) == (2, "")
    assert complaint.startswith("e91: `--watch` must come with pairs of this machine, but the dev")


def test_seed_of_zero_is_a_seed():
    @click.command()
    @seed_option("A seed.")
    def sow(seed):
        assert seed == 0

    sow.main(["--seed", "0"], standalone_mode=False)


@pytest.mark.parametrize("name", SETTINGS)
def test_angles_keep_the_probabilities_that_are_not_given(name):
    known = SETTINGS[name]
    assert Angles(name, None, None).settings() == known
    assert Angles(None, None, None).settings(name) == known


def every(group):
    """All commands below a group."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        yield from every(command) if isinstance(command, click.Group) else [command]


def test_no_option_is_given_twice():
    for command in every(commands):
        flags = [flag for option in command.params for flag in option.opts]
        assert len(flags) == len(set(flags)), command.name


def test_whatever_counts_can_be_written_as_people_write_large_numbers():
    whole = [
        option.opts[0] for command in every(commands) for option in command.params
        if option.type is click.INT and "--json" not in option.opts
    ]  # fmt: skip
    assert set(whole) <= {"--seed", "--page"}


def test_every_command_can_answer_programs():
    deaf = [c.name for c in every(commands) if not any("--json" in p.opts for p in c.params)]
    assert deaf == []
