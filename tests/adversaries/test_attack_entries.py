"""An adversary is one entry: with it alone the attack is staged, listed, run and swept."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from e91.adversaries import ATTACKS, Conditions, conditions_of, stage
from e91.adversaries.catalogue import all_options

# The one edit: an entry at the end of a family's file.
PLANTED = """
from functools import partial
from e91.adversaries import interception
from e91.adversaries.adversary import (AS_CHANNEL, Attack, Expected)
from e91.adversaries.adversary import (acting_on_photons)
from e91.adversaries.conditions import (Word)

HAND = Word("hand", "in which she holds the cloner", ("left", "right"), "left")

def cloning(conditions):
    from e91_circuits import clone
    disturbance = {"left": 0.0, "right": conditions.strength}[HAND.chosen(conditions)]
    return partial(clone, disturbance=disturbance)

interception.ATTACKS += (Attack(
    name="juggler",
    summary="Eve clones with one hand.",
    meaning="disturbance",
    high=0.5,
    default=0.25,
    options=(HAND,),
    simulators=AS_CHANNEL,
    expected=lambda conditions: Expected(2.0, 0.25, 0.5, None),
    build=acting_on_photons(cloning),
),)
"""


def after_planting(source):
    """Run ``source`` in a process in which the family has one entry more; its output."""
    done = subprocess.run(
        [sys.executable, "-c", PLANTED + source], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_new_entry_is_staged_and_run():
    out = after_planting("""
from e91.adversaries import run_attack
found = run_attack("juggler", rounds=20_000, seed=1, hand="right")
print(found.session.abort.name, found.staged.conditions.strength)
print(run_attack("juggler", rounds=20_000, seed=1).session.qber.rate)
""")
    assert out == "NO_VIOLATION 0.25\n0.0\n"


def test_new_entry_is_listed_and_run_by_the_command_line():
    out = after_planting("""
from e91.cli import main
for line in (["attack", "list", "--json"], ["attack", "run", "juggler", "--strength", "0.5",
             "--hand", "right", "--rounds", "20000", "--seed", "1", "--json"]):
    try:
        main(line)
    except SystemExit as end:
        assert not end.code
""")
    rows, report = map(json.loads, out.splitlines())
    row = next(row for row in rows if row["name"] == "juggler")
    assert (row["options"], row["default"]) == (["strength", "hand"], 0.25)
    assert row["devices"] == ["exact", "aer", "aer-with-eve"]
    assert report["attack"] == {"name": "juggler", "strength": 0.5}
    assert report["qber"]["rate"] > 0.4


def test_new_entry_is_a_parameter_of_studies():
    out = after_planting("""
from e91.studies.points import point_of
point = point_of({"adversary.name": "juggler", "adversary.hand": "right"})
point.check()
print(point.conditions(seed=1).options)
""")
    assert out == "{'hand': 'right'}\n"


@pytest.mark.parametrize("name", ATTACKS)
def test_default_and_both_ends_of_the_range_can_be_staged(name):
    attack = ATTACKS[name]
    attack.check(Conditions(attack.default))
    assert attack.low <= attack.default <= attack.high
    with pytest.raises(ValueError, match=f"`strength` of `{name}` must lie in"):
        attack.check(Conditions(attack.low - 0.1))


@pytest.mark.parametrize("option", all_options(), ids=lambda option: option.name)
def test_option_of_one_attack_is_refused_with_another(option):
    for name, attack in ATTACKS.items():
        if option not in attack.options:
            with pytest.raises(ValueError, match=f"`{option.name}` must come with an attack that"):
                stage(name, Conditions(attack.default, options={option.name: 0}))


def test_strength_is_refused_where_there_is_none():
    with pytest.raises(ValueError, match="`strength` must not be given with `man-in-the-middle`"):
        conditions_of("man-in-the-middle", 0.5)


def row_of(attack):
    """The attack's row in the first table of docs/attacks.md."""
    high = f"{attack.high:.6g}" if math.isfinite(attack.high) else "any"
    span, default = f"{attack.low:.6g} to {high}", f"{attack.default:.6g}"
    cells = (
        f"`{attack.name}`",
        attack.meaning,
        *((span, default) if attack.meaning else ("", "")),
        ", ".join(f"`--{option.flag}`" for option in attack.options),
        ", ".join(broken.name.lower().replace("_", " ") for broken in attack.breaks),
    )
    return f"| {' | '.join(cells)} |"


def test_first_table_of_the_page_has_the_entries_in_their_order():
    page = (Path(__file__).parents[2] / "docs" / "attacks.md").read_text()
    assert "\n".join(map(row_of, ATTACKS.values())) in page
