"""Plans of studies: what a file may say, what is refused, and how work is cut."""

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from small_study import ROUNDS, small, written

from e91.studies import (
    plan_study,
    read_study,
)
from e91.studies.points import PARAMETERS, point_of
from e91.studies.sessions import tally_of_blocks
from e91.studies.work import CHUNK_JOBS, CHUNK_ROUNDS, chunks_of

# Plans --------------------------------------------------------------------------------------------

SCAN = """
title = "Key against visibility"
rounds = 1e5
repeats = 3

[settings]
name = "bbm92"

[[sweep]]
device.visibility = { from = 0.9, to = 1.0, points = 3 }
device.dephasing = [0, 0.01, 0.02]

[[sweep]]
policy.theorem = ["none", "collective-attacks"]
"""


SINGLET = """
name = "singlet"
unit = "bloch-degrees"
state = "psi-"
alice.angles = [0, 90]
bob.angles = [0, 45, 135]
key = [{pair = [0, 0], sign = -1}]
chsh = [{pair = [0, 1], sign = -1}, {pair = [0, 2], sign = 1},
        {pair = [1, 1], sign = -1}, {pair = [1, 2], sign = -1}]
"""


def test_file_plans_what_python_plans(tmp_path):
    in_python = plan_study(
        {"rounds": 100_000, "settings": {"name": "bbm92"}},
        sweep=[
            {"device.visibility": [0.9, 0.95, 1.0], "device.dephasing": [0, 0.01, 0.02]},
            {"policy.theorem": [None, "collective-attacks"]},
        ],
        repeats=3,
        title="Key against visibility",
    )
    assert read_study(written(tmp_path, SCAN)) == in_python


def test_tables_are_combined_and_lists_of_one_table_go_together(tmp_path):
    plan = read_study(written(tmp_path, SCAN))
    assert plan.dimensions == ("visibility", "theorem", "repeat")
    assert plan.shape == (3, 2, 3)
    assert plan.sessions == 18
    seen = [(p.noise["visibility"], p.noise["dephasing"], p["policy.theorem"]) for p in plan.points]
    assert seen[:3] == [(0.9, 0, None), (0.9, 0, "collective-attacks"), (0.95, 0.01, None)]
    assert plan.point_of_session(17) == plan.points[-1]


def test_ones_own_settings_travel_with_the_plan(tmp_path):
    plan = plan_study({"settings.own": str(written(tmp_path, SINGLET))})
    point = plan.points[0]
    assert (point.settings.name, point.settings.state) == ("singlet", "psi-")
    assert plan_study({"settings.own": point["settings.own"]}) == plan
    for wrong in (str(tmp_path / "none.toml"), "{}", 5):
        with pytest.raises(ValueError, match=r"`settings.own` must be .*, or be `none`, but is"):
            plan_study({"settings.own": wrong})


def test_range_by_factors_gives_whole_rounds():
    plan = plan_study(sweep=[{"rounds": {"from": 1e4, "to": 1e7, "points": 4, "spacing": "log"}}])
    assert [point.rounds for point in plan.points] == [10**4, 10**5, 10**6, 10**7]


def test_every_parameter_has_an_effect_on_a_session(tmp_path):
    plan = plan_study({"settings.own": str(written(tmp_path, SINGLET))})
    own = plan.points[0]["settings.own"]
    other = {
        "settings.own": own,
        "rounds": 30_000, "block_rounds": 30_000, "device.name": "aer", "device.visibility": 0.9,
        "device.dephasing": 0.1, "device.misalignment": 0.2, "device.amplitude_damping": 0.1,
        "device.readout_error": 0.02, "settings.name": "asymmetric",
        "settings.alice_probabilities": (0.2, 0.3, 0.5),
        "settings.bob_probabilities": (0.2, 0.3, 0.5), "policy.security": "device-independent",
        "policy.theorem": "collective-attacks", "policy.epsilon": 1e-6,
        "policy.asymptotic": True,
        "policy.revealed_fraction": 0.3, "policy.tolerated_error": 0.05,
        "policy.flip_probability": 0.01, "policy.reconciler": "ldpc",
        "adversary.name": "cloner", "adversary.strength": 0.2, "adversary.basis": "z",
        "adversary.flips": 0.1, "adversary.authenticated": False,
    }  # fmt: skip
    needs = {
        "policy.tolerated_error": {"policy.theorem": "tlgr-2012", "settings.name": "bbm92"},
        "policy.flip_probability": {
            "policy.theorem": "ho-2020",
            "policy.asymptotic": True,
            "settings.name": "bbm92",
        },
        "adversary.strength": {"adversary.name": "cloner"},
        "adversary.basis": {"adversary.name": "intercept-resend"},
        "adversary.flips": {"adversary.name": "collective", "settings.name": "asymmetric"},
        "adversary.authenticated": {"adversary.name": "man-in-the-middle"},
    }
    formula = {"policy.theorem": "acin-2007", "policy.security": "device-independent"}
    with pytest.raises(ValueError, match="`acin-2007` is an asymptotic formula"):
        point_of(formula).check()
    point_of(formula | {"policy.asymptotic": other.pop("policy.asymptotic")}).check()
    assert other.keys() | {"policy.asymptotic"} == PARAMETERS.keys()
    tolerated = {"policy.tolerated_error": {"policy.tolerated_error": 0.1}}
    for name, value in other.items():
        base = {"rounds": ROUNDS} | needs.get(name, {}) | tolerated.get(name, {})
        without = tally_of_blocks(point_of(base), root=1, session=0)
        changed = tally_of_blocks(point_of(base | {name: value}), root=1, session=0)
        if name in ("policy.epsilon", "policy.tolerated_error"):
            assert without.secret_bits != changed.secret_bits, name
        assert without != changed, name


BAD_FILES = {
    "[device]\nvisbility = 1": "`device.visbility` must be one of rounds,",
    "colour = 1": "`colour` must be one of rounds,",
    "device = 1": "`device` must be one of rounds,",
    "[[sweep]]\ndevice.visbility = [1]": "In `sweep[0]`: `device.visbility` must be one of",
    "[device]\nvisibility = 1.2": "`device.visibility` must lie in [0, 1], but is 1.2.",
    "[device]\nvisibility = nan": "`device.visibility` must lie in [0, 1], but is nan.",
    "[device]\nvisibility = true": "`device.visibility` must be a number, but is True.",
    "[device]\nmisalignment = inf": "`device.misalignment` must be finite, but is inf.",
    "rounds = 0": "`rounds` must be a whole number from 1 to",
    "rounds = 1.5": "`rounds` must be a whole number from 1 to",
    "rounds = true": "`rounds` must be a whole number from 1 to",
    "block_rounds = 1e9": "`block_rounds` must be a whole number from 1 to 16,777,216",
    "repeats = 0": "`repeats` must be at least 1, but is 0.",
    "title = 3": "`title` must be a text, but is 3.",
    "[settings]\nname = 'e91'": "`settings.name` must be one of ekert, asymmetric, bbm92,",
    "[settings]\nalice_probabilities = 'x'": "must be a list of probabilities, or be `none`,",
    "[settings]\nalice_probabilities = [0.5, 0.5]": "must have 3 entries, but has 2.",
    "[policy]\nepsilon = 0": "`policy.epsilon` must lie in (0, 1), but is 0.",
    "[policy]\ntheorem = 'mine'": "`policy.theorem` must be one of phase-errors,",
    "[policy]\ntolerated_error = 0.1": "`tolerated_error` must not be given with",
    "[adversary]\nstrength = 0.5": "must come with an attack that has one, but comes with `none`.",
    "[adversary]\nname = 'cloner'\nstrength = 0.7": "`strength` of `cloner` must lie in [0, 0.5]",
    "[adversary]\nname = 'cloner'\nbasis = 'z'": "`basis` must come with an attack that has",
    "[adversary]\nauthenticated = 1": "`adversary.authenticated` must be true or false",
    "[adversary]\nname = 'local'\n[device]\ndephasing = 0.1": "`dephasing` must be 0 with `local`",
    "rounds = 1e8\n[adversary]\nname = 'cloner'": "`rounds` must be at most 50,000,000 under an",
    "[sweep]\nrounds = [1]": "must be tables that begin with [[sweep]], but is a",
    "sweep = [1]": "`sweep[0]` must be a table, but is 1.",
    "[[sweep]]": "`sweep[0]` must be a table of parameters, but is {}.",
    "[[sweep]]\nrounds = []": "`sweep[0].rounds` must be a list of values or a range, but is [].",
    "[[sweep]]\nrounds = 5": "`sweep[0].rounds` must be a list of values or a range, but is 5.",
    "[[sweep]]\nrounds = [5, 0]": "`sweep[0].rounds[1]` must be a whole number from 1",
    "[[sweep]]\nrounds = [5, 5]": "`sweep[0]` must have every place once",
    "[[sweep]]\nrounds = [5, 6]\nblock_rounds = [1]": "lists of one length, but has 2 of rounds, 1",
    "[[sweep]]\nrounds = {from = 1}": "`sweep[0].rounds.to` must be a number, but is None.",
    "[[sweep]]\nrounds = {from = 1, to = 2, step = 1}": "`sweep[0].rounds.step` must be from, to,",
    "[[sweep]]\nrounds = {from = 1, to = 2, points = 1}": ".points` must be a whole number from 2",
    "[[sweep]]\nrounds = {from = 1, to = 2, points = 1000001}": "2 to 1,000,000, but is 10",
    "[[sweep]]\nrounds = {from = 0, to = 2, points = 3, spacing = 'log'}": "log between positive",
    "rounds = 5\n[[sweep]]\nrounds = [5]": "`rounds` must be fixed or swept once, but is given tw",
    "[[sweep]]\nrounds = [5]\n[[sweep]]\nrounds = [6]": "`rounds` must be fixed or swept once",
    "repeats = 2_000_000": "at most 1,000,000 sessions, but has 2,000,000.",
    "[[sweep]]\npolicy.epsilon = [0.1, 1e-30]": "At policy.epsilon 1e-30: `epsilon` must be at",
    "rounds = ": "must be a TOML file, but:",
    "": "must be a readable, non-empty file, but is empty.",
}  # fmt: skip


@pytest.mark.parametrize("text", BAD_FILES)
def test_bad_file_is_refused_with_the_place(tmp_path, text):
    with pytest.raises(ValueError) as refused:
        read_study(written(tmp_path, text))
    assert BAD_FILES[text] in str(refused.value)
    assert "scan.toml" in str(refused.value)


def test_file_that_is_no_text_is_refused(tmp_path):
    file = tmp_path / "scan.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="must be UTF-8 text"):
        read_study(file)


def test_parameter_given_twice_is_refused():
    with pytest.raises(ValueError, match=r"`device.visibility` must be given once"):
        plan_study({"device": {"visibility": 1}, "device.visibility": 0.9})


def test_digest_is_the_plan_and_not_its_title():
    plan = small()
    assert plan.digest == small().digest
    titled = plan_study(dict(plan.fixed), sweep=[{"device.visibility": [0.6, 0.9, 0.95, 0.99]}],
                        repeats=2, title="other")  # fmt: skip
    assert titled.digest == plan.digest
    assert small(**{"policy.epsilon": 1e-9}).digest != plan.digest


# Chunks -------------------------------------------------------------------------------------------


@examples(max_examples=60)
@given(
    rounds=st.lists(st.integers(1, 10**8), min_size=1, max_size=4, unique=True),
    block_rounds=st.integers(10**5, CHUNK_ROUNDS),
    repeats=st.integers(1, 30),
)
def test_chunks_hold_every_block_once_in_order(rounds, block_rounds, repeats):
    plan = plan_study({"block_rounds": block_rounds}, sweep=[{"rounds": rounds}], repeats=repeats)
    chunks = list(chunks_of(plan))
    blocks = [(job.session, n) for c in chunks for job in c.jobs
              for n in range(job.first, job.first + job.blocks)]  # fmt: skip
    wanted = [(s, n) for s in range(plan.sessions) for n in range(plan.point_of_session(s).blocks)]
    assert blocks == wanted
    assert sum(chunk.rounds for chunk in chunks) == plan.rounds
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    for chunk in chunks:
        assert len(chunk.jobs) <= CHUNK_JOBS
        assert chunk.rounds <= CHUNK_ROUNDS or (len(chunk.jobs), chunk.jobs[0].blocks) == (1, 1)
