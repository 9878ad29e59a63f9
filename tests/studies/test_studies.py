"""Studies: sessions made again alone, numbers that add up, and the result in its file."""

import json
import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import chi2
from small_study import ROUNDS, small
from statistical import assert_binomial

from e91.devices.exact import exact_device
from e91.model.device import DeviceInfo
from e91.model.errors import Abort
from e91.model.settings import EKERT
from e91.security.policy import Policy
from e91.session.session import run
from e91.session.streaming import plan_run, session_of_block, stream
from e91.session.totals import summary_of
from e91.studies import (
    load_study,
    plan_study,
    save_study,
    session_again,
    study,
)
from e91.studies.points import point_of
from e91.studies.sessions import joined, seeds_of, tally_from, tally_of, tally_of_blocks, to_numbers
from e91.studies.work import chunks_of, fulfil, order_of, tally_run, versions

# Sessions -----------------------------------------------------------------------------------------


def test_session_is_the_public_stream_with_its_two_seeds():
    values = {"rounds": 250_000, "block_rounds": 100_000, "device.visibility": 0.97}
    seeds = seeds_of(5, 3)
    device = exact_device(visibility=0.97, seed=seeds.physics)
    reports = stream(device, rounds=250_000, block_rounds=100_000, seed=seeds.protocol)
    expected = joined(tally_of(report, session=3) for report in reports)
    assert tally_of_blocks(point_of(values), root=5, session=3) == expected


def test_session_under_attack_is_that_of_the_attack_command():
    seeds = seeds_of(5, 3)
    found = tally_of_blocks(
        point_of({"rounds": ROUNDS, "adversary.name": "intercept-resend",
                  "adversary.strength": 0.2, "adversary.basis": "z"}),
        root=5, session=3,
    )  # fmt: skip
    from e91.adversaries import Conditions, stage

    conditions = Conditions(
        0.2, settings=EKERT, rounds=ROUNDS, seed=seeds.physics, options={"basis": "z"}
    )
    staged = stage("intercept-resend", conditions)
    expected = run(staged.device, rounds=ROUNDS, seed=seeds.protocol)
    assert found.evidence == expected.evidence
    assert found.eve == (staged.device.knowledge.guess_rate, staged.device.knowledge.information)


def test_physics_and_protocol_of_all_sessions_have_different_seeds():
    seeds = [seed for n in range(2000) for seed in vars(seeds_of(7, n)).values()]
    assert len(set(seeds)) == 4000
    assert min(seeds) > 2**64  # 128 bits each: none comes from a single word


def test_session_of_a_result_is_made_again_alone():
    plan = small()
    found = study(plan, seed=None, processes=1)
    place = {"visibility": 3, "repeat": 1}
    number = int(found.session[place])
    again = session_again(plan, number, root=int(found.attrs["root_entropy"]))
    assert again.secret_bits == int(found.secret_bits[place]) > 0
    assert number == 7


def test_no_session_beyond_the_last():
    with pytest.raises(ValueError, match=r"`number` must lie in \[0, 7\], but is 8"):
        session_again(small(), 8, root=1)


# Statistics travel, key bits do not ---------------------------------------------------------------


def plain(value):
    """Whether a value consists of numbers, short names and lists of these."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and plain(inner) for key, inner in value.items())
    if isinstance(value, list | tuple):
        return all(map(plain, value))
    if type(value) is int:
        return abs(value) < 2**50  # no key hides in a long number
    return value is None or type(value) is float


def test_worker_returns_plain_numbers_fewer_than_the_key_has_bits():
    plan = plan_study({"rounds": 400_000, "settings.name": "bbm92"})
    [chunk] = chunks_of(plan)
    [numbers] = fulfil(order_of(chunk, root=1, compiled=False))
    aborts = dict(numbers["aborts"])
    assert plain(numbers | {"aborts": aborts})
    assert set(aborts) <= {abort.name for abort in Abort}
    assert 8 * len(pickle.dumps(numbers)) < numbers["secret_bits"] / 4


def test_check_of_plain_numbers_sees_a_planted_key():
    for planted in (b"key", "key", 2**256, np.uint8(1), ("key", 2), object()):
        assert not plain({"tests": [planted]})


def test_numbers_of_a_run_on_a_cluster_are_plain():
    planned = plan_run(exact_device(seed=1), rounds=200_000, block_rounds=100_000, seed=1)
    numbers = tally_run(range(2), planned, versions())
    assert plain(numbers)
    assert numbers["secret_bits"] > 0


def test_tally_survives_json():
    planned = plan_run(exact_device(visibility=0.95, seed=1), rounds=200_000, seed=1)
    tally = tally_of(session_of_block(planned, 0), session=4)
    again = tally_from(json.loads(json.dumps(to_numbers(tally))))
    assert again == tally
    assert again.processor_seconds == tally.processor_seconds


def test_tally_of_blocks_is_the_summary_of_the_stream():
    def reports():
        device = exact_device(visibility=0.9, seed=1)
        return list(stream(device, rounds=230_000, block_rounds=50_000, seed=2, threads=1))

    made = reports()
    whole = joined(map(tally_of, made))
    summary = summary_of(made)
    assert whole.aborts  # a released and a refused block: both kinds are added
    assert 0 < summary.released < 5
    assert (
        whole.summary(
            settings=EKERT, policy=Policy(), device=DeviceInfo(None, summary.device), seed=2
        )
        == summary
    )


def test_tallies_of_two_sessions_are_not_added():
    tally = tally_of_blocks(point_of({"rounds": 1000}), root=1, session=0)
    other = tally_of_blocks(point_of({"rounds": 1000}), root=1, session=1)
    with pytest.raises(ValueError, match="must be of one session"):
        joined([tally, other])


def test_numbers_of_something_else_are_refused():
    with pytest.raises(ValueError, match="must have the numbers of one"):
        tally_from({"session": 1})


# Physics ------------------------------------------------------------------------------------------


def test_swept_visibility_gives_its_error_rate_and_its_chsh_value():
    plan = plan_study(
        {"rounds": 200_000, "settings.name": "bbm92", "policy.revealed_fraction": 0.5},
        sweep=[{"device.visibility": [0.6, 0.8, 0.95]}],
        repeats=4,
    )
    for visibility in (0.6, 0.8, 0.95):
        tests = same_tests = revealed = errors = 0
        for number in range(plan.sessions):
            if plan.point_of_session(number).noise["visibility"] != visibility:
                continue
            evidence = session_again(plan, number, root=2).evidence
            revealed += evidence.sample_size
            errors += evidence.sample_errors
            tests += evidence.test_size
            wins = zip(evidence.same, evidence.different, (1, -1, 1, 1), strict=True)
            same_tests += sum(s if sign > 0 else d for s, d, sign in wins)
        wrong = visibility - 0.03
        assert_binomial(errors, revealed, (1 - visibility) / 2, must_detect=(1 - wrong) / 2)
        won = (1 + visibility / math.sqrt(2)) / 2
        assert_binomial(same_tests, tests, won, must_detect=(1 + wrong / math.sqrt(2)) / 2)


def test_repeats_scatter_as_independent_sessions_do():
    """Seeds shared by repeats would leave every mean right and the spread wrong."""
    # Pairs without a violation end every session at its S: no key is corrected for this.
    plan = plan_study({"rounds": 20_000, "device.visibility": 0.6}, repeats=200)
    found = study(plan, seed=3, processes=1)
    score = (found.chsh - 0.6 * 2 * math.sqrt(2)) / found.chsh_standard_error
    scores = score.values.ravel()
    spread = float(((scores - scores.mean()) ** 2).sum())
    assert chi2.ppf(0.5e-9, 199) < spread < chi2.isf(0.5e-9, 199)
    # Neighbours that share a seed differ by nothing; those that share half their luck, by half.
    differences = (scores[0::2] - scores[1::2]) / math.sqrt(2)
    low, high = chi2.ppf(0.5e-9, 100), chi2.isf(0.5e-9, 100)
    assert low < float((differences**2).sum()) < high
    correlation = 0.8
    assert chi2.sf(low / (1 - correlation), 100) < 1e-3  # what this must detect, and does


# The result ---------------------------------------------------------------------------------------


def test_result_has_units_seeds_and_plan():
    plan = plan_study(
        {"rounds": ROUNDS, "settings.name": "bbm92"},
        sweep=[
            {"device.visibility": [0.9, 1.0], "policy.theorem": ["tlgr-2012", "none"],
             "policy.tolerated_error": [0.06, "none"]},
            {"settings.bob_probabilities": ["none", [0.4, 0.4, 0.1, 0.1]]},
        ],
        repeats=3,
    )  # fmt: skip
    found = study(plan, seed=12345678901234567890123, processes=1)
    assert found.chsh.dims == ("visibility", "bob_probabilities", "repeat")
    assert found.theorem.values.tolist() == ["tlgr-2012", "none"]
    assert found.tolerated_error.values.tolist()[0] == 0.06
    assert math.isnan(found.tolerated_error.values[1])
    assert found.bob_probabilities.values.tolist() == ["none", "0.4, 0.4, 0.1, 0.1"]
    assert (int(found.rounds), str(found.settings.values)) == (ROUNDS, "bbm92")
    assert found.session.values.ravel().tolist() == list(range(12))
    assert found.attrs["root_entropy"] == "12345678901234567890123"
    assert found.attrs["plan_sha256"] == plan.digest
    assert json.loads(found.attrs["versions"])["numpy"] == np.__version__
    for name in found.variables:
        about = found[name].attrs
        assert name in ("repeat", "bob_probabilities") or ("units" in about) == (
            found[name].dtype != object
        ), name


def test_stored_result_is_read_back_as_it_was(tmp_path):
    found = study(small(), seed=2**100, processes=1)
    save_study(found, tmp_path / "scan.nc")
    assert load_study(tmp_path / "scan.nc").identical(found)
    assert list(tmp_path.iterdir()) == [tmp_path / "scan.nc"]
    with pytest.raises(ValueError, match="must not exist yet"):
        save_study(found, tmp_path / "scan.nc")


def test_no_flipped_bit_of_a_stored_result_is_unseen(tmp_path):
    file = tmp_path / "scan.nc"
    save_study(study(plan_study({"rounds": 1000}), seed=1, processes=1), file)
    content = file.read_bytes()
    for position in range(0, 8 * len(content), 101):
        damaged = bytearray(content)
        damaged[position // 8] ^= 1 << position % 8
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"must be a study's result|but is damaged"):
            load_study(file)


def test_result_of_the_first_version_is_read_and_says_what_it_lacks(tmp_path):
    found = study(plan_study({"rounds": 1000}), seed=1, processes=1)
    found.attrs["kind"] = "e91 study 1"
    (tmp_path / "old.nc").write_bytes(bytes(found.to_netcdf(engine="scipy")))
    with pytest.warns(UserWarning, match="stored no digest: damage in it is not seen"):
        assert load_study(tmp_path / "old.nc").attrs["root_entropy"] == "1"


def test_integers_that_floats_do_not_hold_are_not_stored(tmp_path):
    found = study(plan_study({"rounds": 1000}), processes=1)
    found["blocks"] = found.blocks + 2**53
    with pytest.raises(ValueError, match="`blocks` must be below"):
        save_study(found, tmp_path / "scan.nc")
    assert not list(tmp_path.iterdir())


def test_result_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    found = study(plan_study({"rounds": 1000}), processes=1)

    def full(descriptor, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("e91.system.durable._write_out", full)
    with pytest.raises(OSError):
        save_study(found, tmp_path / "scan.nc")
    assert not list(tmp_path.iterdir())


def test_other_files_are_no_results(tmp_path):
    import xarray

    file = tmp_path / "scan.nc"
    file.write_bytes(b"CDF\x02 but no more")
    with pytest.raises(ValueError, match=r"must be a study's result"):
        load_study(file)
    file.write_bytes(b"text")
    with pytest.raises(ValueError, match="but is no netCDF file"):
        load_study(file)
    file.write_bytes(bytes(xarray.Dataset({"a": 1.0}).to_netcdf(engine="scipy")))
    with pytest.raises(ValueError, match="but is something else"):
        load_study(file)


def test_plans_load_nothing_heavy():
    """`e91 study` refuses a bad file at once, and workers load what their sessions need."""
    listing = "import e91.studies, sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", listing], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "e91" in loaded
    assert not loaded & {"qiskit", "xarray", "distributed", "dask", "matplotlib"}
