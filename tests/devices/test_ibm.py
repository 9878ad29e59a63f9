"""IBM machines: the real executor on fake machines, and doubles of the service for what fails."""

import ast
import json
import stat
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from qiskit.primitives import BitArray, DataBin, PrimitiveResult, SamplerPubResult
from qiskit.providers.exceptions import QiskitBackendNotFoundError
from qiskit_ibm_runtime.accounts.exceptions import AccountNotFoundError, InvalidAccountError
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import (
    IBMApiError,
    IBMNotAuthorizedError,
    IBMRuntimeError,
    RuntimeInvalidStateError,
    RuntimeJobFailureError,
    RuntimeJobMaxTimeoutError,
    RuntimeJobNotFound,
)
from requests.exceptions import ConnectionError as NoConnection

import e91
from e91.cli import machines as ibm
from e91.cli.machines import link_of
from e91.devices.ibm import left_jobs, machine
from e91.devices.ibm.left_jobs import (
    LeftJob,
    PlannedSession,
    find_session,
    jobs_folder,
    load_planned,
    plan_session,
    save_planned,
    submit_session,
)
from e91.devices.ibm.machine import one_sentence
from e91.devices.samplers.snapshots import snapshot_backend, snapshot_device
from e91.model.randomness import random_settings, seeded_entropy
from e91.model.settings import ASYMMETRIC, EKERT
from e91.security.policy import Policy, PreparedSession
from e91.session.session import conclude_session, prepare_session

SECRET = "a-token-that-nobody-may-see-" + "x" * 16
ROUNDS = ["--device", "ibm:fake_manila", "--rounds", 60_000, "--yes"]
FEW = ["--rounds", 900]  # too few for a key: the session aborts, with status 3


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    """No test reads or writes the user's account or files."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("TOKEN", "INSTANCE", "CHANNEL", "URL"):
        monkeypatch.delenv(f"QISKIT_IBM_{name}", raising=False)
    (tmp_path / "home").mkdir()


class Service:
    """A service with one machine that keeps the jobs it is given."""

    def __init__(self, machine=None):
        self.machine = snapshot_backend("manila") if machine is None else machine
        self.known = {}
        self.tags = {}

    def backend(self, name):
        if name != self.machine.name:
            raise QiskitBackendNotFoundError("No backend matches the criteria.")
        return self.machine

    def backends(self):
        return [self.machine]

    def job(self, job_id):
        if job_id not in self.known:
            raise RuntimeJobNotFound(f"Job not found: {job_id}")
        return self.known[job_id]

    def jobs(self, *, limit, job_tags):
        return [self.known[i] for i, tag in self.tags.items() if tag in job_tags][:limit]


@pytest.fixture
def service(monkeypatch):
    """The double of the service; submitted jobs are those of IBM's own sampler, run locally."""
    found = Service()
    original = machine.submit

    def submit(plan, backend, *, tag):
        job = original(plan, backend, tag=tag)
        found.known[job.job_id()] = job
        found.tags[job.job_id()] = tag
        return job

    monkeypatch.setattr(machine, "open_service", lambda: found)
    monkeypatch.setattr(machine, "submit", submit)
    return found


def choices(rounds, *, settings=EKERT, seed):
    return random_settings(seeded_entropy(seed), settings, rounds)


def left_job(status, *more):
    code, out, _ = status("run", *ROUNDS, "--leave", "--json", *more)
    assert code == 0
    return json.loads(out)


# What works, on the executor itself.


def test_local_testing_mode_rehearses_a_whole_session(status, monkeypatch):
    monkeypatch.setenv("QISKIT_IBM_CHANNEL", "local")
    code, out, err = status("run", *ROUNDS, "--seed", 1, "--json")
    found = json.loads(out)
    assert (code, found["abort"]) == (0, None)
    assert found["secret_bits"] > 1_000
    assert found["device"].startswith("IBM Quantum on fake_manila, qubits 4 (alice) and 3 (bob)")
    assert "raw shots" in found["device"]
    assert "Alice and Bob are not two parties" in found["assumptions"]
    assert "source without memory" in found["assumptions"]
    assert "60,000 pairs" in err
    assert "e91 run --resume" in err
    s, _ = link_of(snapshot_device("manila").table)
    assert abs(found["chsh"]["value"] - s) < 6.5 * found["chsh"]["standard_error"]


def test_what_a_job_takes_is_said_before_it_is_submitted(status, service):
    code, _, err = status("run", "--device", "ibm:fake_manila", "--rounds", 60_000)
    assert code == 2
    assert "One job on fake_manila, qubits 4 (alice) and 3 (bob): 60,000 pairs" in err
    assert "S = 2.616, QBER 3.87%" in err
    assert "must be confirmed, but nobody can be asked: add `--yes`" in err
    assert not service.known
    assert not jobs_folder().exists()


def test_documented_plan_is_what_the_command_says(status, service):
    _, _, err = status("run", "--device", "ibm:fake_manila", "--rounds", 60_000, "--seed", 1)
    announced = "\n".join(err.splitlines()[:2])
    assert announced in (Path(__file__).parents[2] / "docs" / "backends.md").read_text()


def test_declined_job_is_not_submitted(status, service, monkeypatch):
    asked = []
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))

    def declined(text, *, abort, err):
        asked.append(text)
        raise ibm.click.Abort

    monkeypatch.setattr(ibm.click, "confirm", declined)
    assert status("run", "--device", "ibm:fake_manila", "--rounds", 60_000)[0] == 1
    assert asked == ["Submit it?"]
    assert not service.known


def test_left_job_is_resumed_by_its_id_and_submitted_once(status, service, tmp_path):
    job = left_job(status)
    assert list(service.known) == [job["job_id"]]
    code, out, err = status("run", "--resume", job["job_id"], "--json", "--out", tmp_path / "keys")
    found = json.loads(out)
    assert (code, err, found["rounds"], found["abort"]) == (0, "", 60_000, None)
    assert {path.name for path in (tmp_path / "keys").iterdir()} == {
        "alice.key",
        "bob.key",
        "report.json",
    }
    assert list(service.known) == [job["job_id"]]


@pytest.mark.parametrize("asked", [["--state", "psi-"], ["--settings", "own.toml"]])
def test_job_of_ones_own_angles_or_state_is_resumed_with_them(status, service, tmp_path, asked):
    own = """unit = "bloch-degrees"
alice.angles = [0, 90]
bob.angles = [0, 45, 135]
key = [{pair = [0, 0], sign = 1}]
chsh = [{pair = [0, 1], sign = 1}, {pair = [0, 2], sign = -1},
        {pair = [1, 1], sign = 1}, {pair = [1, 2], sign = 1}]
"""
    (tmp_path / "own.toml").write_text(own)
    asked = [tmp_path / word if word.endswith(".toml") else word for word in asked]
    job = left_job(status, *asked)
    code, out, err = status("run", "--resume", job["job_id"], "--json")
    found = json.loads(out)
    assert (code, err, found["abort"]) == (0, "", None)
    assert found["settings"] in ("own", "ekert for psi-")
    assert found["chsh"]["value"] > 2.4


def test_left_job_is_resumed_by_its_session_too(status, service):
    job = left_job(status)
    code, out, _ = status("run", "--resume", job["session"], "--json")
    assert (code, json.loads(out)["abort"]) == (0, None)


def test_second_key_from_the_same_rounds_is_refused(status, service, tmp_path):
    job = left_job(status)
    assert status("run", "--resume", job["job_id"], "--out", tmp_path / "one")[0] == 0
    code, out, err = status("run", "--resume", job["job_id"], "--out", tmp_path / "two")
    assert (code, out) == (2, "")
    assert "a second key from the same rounds would give away the first" in err
    assert str(tmp_path / "one") in err
    assert not (tmp_path / "two").exists()


def test_rounds_of_a_job_make_one_key_saved_or_not(status, service, tmp_path):
    job = left_job(status)
    assert status("run", "--resume", job["job_id"])[0] == 0
    code, out, err = status("run", "--resume", job["job_id"], "--out", tmp_path / "keys")
    assert (code, out) == (2, "")
    assert "took part in a conversation at" in err


def test_rounds_of_an_aborted_job_make_no_key_later(status, service):
    job = left_job(status, *FEW)
    assert status("run", "--resume", job["job_id"])[0] == 3
    assert status("run", "--resume", job["job_id"])[0] == 2


def test_state_of_a_left_job_is_said_without_waiting(status, service):
    job = left_job(status, *FEW)
    code, out, _ = status("run", "--resume", job["job_id"], "--leave", "--json")
    assert (code, json.loads(out)["status"]) in {(0, "DONE"), (0, "RUNNING"), (0, "QUEUED")}
    assert "e91 run --resume" in status("run", "--resume", job["job_id"], "--leave")[1]


def test_choices_are_on_the_disk_for_their_owner_before_the_job_is_submitted(
    status, service, monkeypatch
):
    seen = []
    original = machine.submit

    def watched(plan, backend, *, tag):
        seen.extend(jobs_folder().iterdir())
        return original(plan, backend, tag=tag)

    monkeypatch.setattr(machine, "submit", watched)
    monkeypatch.setenv("QISKIT_IBM_TOKEN", SECRET)
    job = left_job(status, *FEW)
    assert [path.name for path in seen] == [f"{job['session']}.json"]
    files = sorted(jobs_folder().iterdir())
    assert [path.suffix for path in files] == [".job", ".json"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE(jobs_folder().stat().st_mode) == 0o700
    assert not any(SECRET.encode() in path.read_bytes() for path in files)


def test_session_is_the_one_that_run_would_have_made_of_the_same_outcomes():
    # Second route: e91.run itself, on a device that replays the job's outcomes.
    rounds, seed = 60_000, 5
    prepared = prepare_session(rounds, seed=seed)
    device = snapshot_device("boston", seed=2)
    a, b = device(prepared.x, prepared.y)

    def replay(asked_x, asked_y):
        np.testing.assert_array_equal(asked_x, prepared.x)
        np.testing.assert_array_equal(asked_y, prepared.y)
        return a, b

    left = conclude_session(prepared, a, b, device=device.info)
    direct = e91.run(replay, rounds=rounds, seed=seed)
    assert left.evidence == direct.evidence
    assert left.secret_bits == direct.secret_bits > 0
    np.testing.assert_array_equal(left.key.packed, direct.key.packed)


def test_sampler_takes_raw_shots_in_job_mode_under_its_tag():
    sampler = machine.runtime_sampler(snapshot_backend("manila"), tag="e91-tag")
    options = sampler.finalize_options()
    assert options.environment.job_tags == ["e91-tag"]
    assert not options.twirling.enable_gates
    assert not options.twirling.enable_measure
    assert not options.dynamical_decoupling.enable
    assert sampler.mode is None  # no session, which the open plan refuses
    assert "executor_sampler" in type(sampler).__module__


def test_older_sampler_takes_over_where_the_new_one_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "qiskit_ibm_runtime.executor_sampler", None)
    x, y = choices(900, settings=EKERT, seed=1)
    backend = snapshot_backend("manila")
    plan = machine.plan_job(backend, x, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is deprecated, and that options are idle locally
        job = machine.submit(plan, backend, tag="t")
        prepared = PreparedSession(EKERT, Policy(), None, x, y)
        session = PlannedSession("ab" * 16, "m", "d", prepared)
        a, b = LeftJob(session, "id", job, Path()).outcomes()
    assert "executor" not in type(ibm_sampler_of(job)).__module__
    key = (x == 1) & (y == 0)
    assert np.mean(a[key] == b[key]) > 0.8


def ibm_sampler_of(job):
    return getattr(job, "_function", None).__self__


def test_notebook_leaves_a_job_and_comes_back_for_it(service):
    prepared = prepare_session(60_000, seed=5)
    planned = plan_session("fake_manila", prepared, service=service)
    assert not jobs_folder().exists()
    job_id = submit_session(planned).id
    found = find_session(job_id, service=service)
    assert found.id == find_session(found.session.session, service=service).id == job_id
    report = conclude_session(found.prepared, *found.outcomes(), device=found.info)
    assert (report.rounds, report.abort) == (60_000, None)
    assert "Two qubits of one chip" in report.assumptions or "one chip" in report.device
    found.mark_concluded(Path("keys"))
    with pytest.raises(ValueError, match="must be concluded once"):
        find_session(job_id, service=service)
    assert len(service.known) == 1


def test_policy_that_no_session_can_meet_is_refused_before_a_job_is_planned():
    with pytest.raises(ValueError, match="must"):
        prepare_session(0)
    with pytest.raises(ValueError, match="must"):
        prepare_session(60_000, policy=Policy(theorem="exact-sampling"))


def test_id_that_cannot_be_written_down_is_in_the_error(service, monkeypatch):
    def full_disk(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(left_jobs, "save_job_id", full_disk)
    planned = plan_session("fake_manila", prepare_session(900), service=service)
    with pytest.raises(OSError, match="was submitted: `e91 run --resume"):
        submit_session(planned)
    assert len(service.known) == 1


# What a job takes.


def test_plan_counts_what_the_most_frequent_pair_needs():
    settings = EKERT.biased((0.2, 0.6, 0.2), (0.6, 0.2, 0.2))
    x, y = choices(10_000, settings=settings, seed=1)
    plan = machine.plan_job(snapshot_backend("manila"), x, y, settings=settings)
    most = max(np.count_nonzero((x == i) & (y == j)) for i in range(3) for j in range(3))
    assert (plan.rounds, plan.shots, plan.executions) == (10_000, most, 9 * most)
    assert plan.seconds == pytest.approx(9 * most * 250e-6, rel=0.05)  # the delay prevails


def test_promised_table_is_that_of_the_snapshot():
    x, y = choices(900, settings=EKERT, seed=1)
    plan = machine.plan_job(snapshot_backend("marrakesh"), x, y)
    assert plan.qubits == (29, 38)
    np.testing.assert_allclose(plan.table, snapshot_device("marrakesh").table, atol=1e-12)


def test_rounds_that_do_not_fit_in_one_job_are_refused_before_it_is_submitted(monkeypatch):
    monkeypatch.setattr(machine, "MAXIMUM_EXECUTIONS", 1000)
    x, y = np.uint8([0] * 200 + [1] * 100), np.uint8([0] * 200 + [2] * 100)
    with pytest.raises(ValueError, match=r"300 rounds take 1,800 .* at most about 166"):
        machine.plan_job(snapshot_backend("manila"), x, y)


def test_limit_is_ten_million_executions():
    assert machine.MAXIMUM_EXECUTIONS == 10_000_000


def test_other_settings_take_their_own_pairs():
    x, y = choices(600, settings=ASYMMETRIC, seed=1)
    plan = machine.plan_job(snapshot_backend("manila"), x, y, settings=ASYMMETRIC)
    assert plan.pairs == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert plan.table.shape == (3, 2, 2, 2)


# What fails, and the sentence that it gets.


def test_no_account_is_a_sentence_and_leaves_no_file(status, tmp_path):
    code, _, err = status("run", *ROUNDS)
    assert code == 2
    assert "An IBM Quantum account must be saved, but there is none" in err
    assert "save_account" in err
    assert not list((tmp_path / "home").iterdir())
    assert not jobs_folder().exists()


def chained(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (AccountNotFoundError("x"), "account must be saved, but there is none"),
        (InvalidAccountError("bad"), "must be accepted, but is refused"),
        (IBMNotAuthorizedError("401"), "must be accepted, but is refused"),
        (RequestsApiError("expired", 401), "must be accepted, but is refused"),
        (
            chained(InvalidAccountError("bad"), NoConnection("no route")),
            "must be reachable, but is not: check the network",
        ),
        (NoConnection("no route"), "must be reachable, but is not: check the network"),
        (IBMApiError("busy"), "must take the request, but does not: busy."),
        (RuntimeJobNotFound("Job not found: j"), "must be one of this account's"),
        (RuntimeInvalidStateError("Job was cancelled."), "cancelled .* start again"),
        (RuntimeJobFailureError("Unable to retrieve"), "must run to its end, but failed"),
        (RuntimeJobMaxTimeoutError("too long"), "must run to its end, but failed"),
        (IBMRuntimeError("Failed to run program: x\ny"), "does not: Failed to run program: x."),
    ],
)
def test_every_failure_of_the_service_is_one_sentence(error, sentence):
    def failing():
        with one_sentence():
            raise error

    with pytest.raises(ValueError, match=sentence) as caught:
        failing()
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_account_file_that_exists_is_handed_to_ibms_own_tools(tmp_path, monkeypatch):
    import qiskit_ibm_runtime

    (tmp_path / "home" / ".qiskit").mkdir()
    (tmp_path / "home" / ".qiskit" / "qiskit-ibm.json").write_text("{}")
    seen = []

    def service(*arguments, **options):
        seen.append((arguments, options))
        raise AccountNotFoundError("none in it")

    monkeypatch.setattr(qiskit_ibm_runtime, "QiskitRuntimeService", service)
    with pytest.raises(ValueError, match="account must be saved"):
        machine.open_service()
    assert seen == [((), {})]  # no token, no channel: found as IBM's own tools find it


def test_missing_runtime_package_is_a_sentence(status, monkeypatch):
    monkeypatch.setitem(sys.modules, "qiskit_ibm_runtime", None)
    code, _, err = status("run", *ROUNDS)
    assert code == 2
    assert "qiskit-ibm-runtime, but it is not installed: " in err


def test_unknown_machine_is_refused_with_those_of_the_account(status, service):
    code, _, err = status("run", "--device", "ibm:ibm_atlantis", "--yes")
    assert code == 2
    assert "must be a machine of your account, but is none of: fake_manila" in err


def test_machine_that_is_down_is_refused(status, service, monkeypatch):
    down = SimpleNamespace(operational=False, status_msg="maintenance")
    monkeypatch.setattr(service.machine, "status", lambda: down, raising=False)
    code, _, err = status("run", *ROUNDS)
    assert code == 2
    assert "must be up, but is down (maintenance): choose another machine" in err
    assert not service.known


def test_machine_that_is_too_small_is_refused(status, service):
    from qiskit_ibm_runtime.fake_provider import FakeArmonkV2

    service.machine = FakeArmonkV2()
    code, _, err = status("run", "--device", "ibm:fake_armonk", "--yes")
    assert code == 2
    assert "must have at least 2 qubits, but fake_armonk has 1: choose a larger one" in err
    assert not service.known


def test_leaving_a_job_of_local_testing_mode_is_refused_before_it_runs(status, monkeypatch):
    monkeypatch.setenv("QISKIT_IBM_CHANNEL", "local")
    code, _, err = status("run", *ROUNDS, "--leave")
    assert code == 2
    assert "must be waited for" in err
    assert not jobs_folder().exists()


@pytest.mark.parametrize("arrived", [True, False])
def test_connection_that_breaks_at_submission_submits_nothing_twice(
    status, service, monkeypatch, arrived
):
    real = machine.submit

    def broken(plan, backend, *, tag):
        if arrived:
            real(plan, backend, tag=tag)
        with one_sentence():
            raise NoConnection("reset by peer")

    monkeypatch.setattr(machine, "submit", broken)
    code, _, err = status("run", *ROUNDS, *FEW)
    assert code == 2
    assert "must be reachable, but is not" in err
    session = err.split("--resume ")[1].split("`")[0]
    assert [path.name for path in jobs_folder().iterdir()] == [f"{session}.json"]
    code, out, err = status("run", "--resume", session, "--json")
    if arrived:
        assert (code, json.loads(out)["rounds"]) == (3, 900)
        assert len(service.known) == 1
        assert load_planned(session, jobs_folder())[1] == next(iter(service.known))
    else:
        assert code == 2
        assert "nothing was submitted; start again with `e91 run`" in err
        assert not service.known


class Job:
    """A job whose result is another, or an error."""

    def __init__(self, result, status="ERROR"):
        self._result, self._status = result, status

    def result(self):
        if isinstance(self._result, BaseException):
            raise self._result
        return self._result

    def status(self):
        return self._status


def answer(**registers):
    shape = next(iter(registers.values())).shape if len(registers) == 1 else (9,)
    return PrimitiveResult([SamplerPubResult(DataBin(**registers, shape=shape))])


def bits(shots, *, pairs=9, width=1):
    return BitArray.from_bool_array(np.zeros((pairs, shots, width), bool))


def single():
    """The answer to one setting pair where nine were asked."""
    pair = bits(9000, pairs=1)
    return PrimitiveResult([SamplerPubResult(DataBin(alice=pair, bob=pair, shape=(1,)))])


BAD_ENDS = [
    (RuntimeInvalidStateError("Job was cancelled."), "its rounds are lost; start again"),
    (RuntimeJobFailureError("Unable to retrieve job result. 1517"), "nothing was measured"),
    (NoConnection("gone"), "jobs that were submitted go on meanwhile"),
    (None, "must have a result, but this one has none"),
    (answer(meas=bits(9000)), "must return the classical registers `alice` and `bob`"),
    (answer(alice=bits(9000), bob=bits(9000, width=2)), "`bob` must hold one bit a shot"),
    (answer(alice=bits(9000), bob=bits(10)), "shots of each setting pair, but returned 10"),
    (single(), "an entry for each of 9 setting pairs"),
]


def test_job_that_ends_badly_is_one_sentence_and_stays_resumable(status, service):
    job = left_job(status, *FEW)
    good = service.known[job["job_id"]]
    for result, sentence in BAD_ENDS:
        service.known[job["job_id"]] = Job(result)
        code, out, err = status("run", "--resume", job["job_id"])
        assert (code, out) == (2, "")
        assert sentence in err
        assert err.count("\n") == 1
    service.known[job["job_id"]] = good
    assert status("run", "--resume", job["job_id"])[0] == 3


def test_interrupted_wait_leaves_the_job_and_says_how_to_go_on(status, service):
    job = left_job(status, *FEW)
    good = service.known[job["job_id"]]
    service.known[job["job_id"]] = Job(KeyboardInterrupt())
    code, out, err = status("run", "--resume", job["job_id"])
    assert (code, out) == (1, "")
    assert f"The job goes on; `e91 run --resume {job['job_id']}` fetches it." in err
    service.known[job["job_id"]] = good
    assert status("run", "--resume", job["job_id"])[0] == 3


def test_job_of_another_account_is_a_sentence(status, service):
    job = left_job(status, *FEW)
    service.known.clear()
    code, _, err = status("run", "--resume", job["job_id"])
    assert code == 2
    assert "use the account that submitted it" in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--resume", "nothing"], "is `nothing`, and there is none"),
        (["--resume", "x", "--rounds", 5], "`--rounds` must not come with `--resume`"),
        (["--resume", "x", "--yes"], "`--yes` must not come with `--resume`"),
        (["--leave"], "`--leave` must come with `--device ibm:NAME`, but the device is `aer`"),
        (["--device", "exact", "--yes"], "`--yes` must come with `--device ibm:NAME`"),
        (["--device", "ibm:x", "--visibility", 1], "`--visibility` must come with `--device aer`"),
        (["--device", "ibm:x", "--attack", "cloner"], "`--attack` must come with `--device aer`"),
        (["--device", "ibm:x", "--rounds", 0], "`--rounds` must be at least 1, but is 0"),
    ],
)
def test_options_that_do_not_fit_are_one_sentence(status, arguments, sentence):
    code, out, err = status("run", *arguments)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1


# The files.


def planned(**changes):
    settings = EKERT.biased((0.2, 0.5, 0.3), (0.25, 0.5, 0.25))
    policy = Policy(theorem="exact-sampling", tolerated_error=0.03, reconciler="ldpc")
    prepared = PreparedSession(settings, policy, None, *choices(500, settings=settings, seed=3))
    return replace(PlannedSession("ab" * 16, "m", "d", prepared), **changes)


def test_planned_session_comes_back_as_it_was(tmp_path):
    before = planned()
    save_planned(before, tmp_path)
    after, job_id = load_planned(before.session, tmp_path)
    assert job_id is None
    assert (after.session, after.machine) == (before.session, before.machine)
    assert after.description == before.description
    made, was = after.prepared, before.prepared
    assert (made.settings, made.policy, made.seed) == (was.settings, was.policy, was.seed)
    np.testing.assert_array_equal(made.x, was.x)
    np.testing.assert_array_equal(made.y, was.y)


def test_plan_is_never_overwritten(tmp_path):
    save_planned(planned(), tmp_path)
    with pytest.raises(ValueError, match="must not exist yet, but does"):
        save_planned(planned(machine="another"), tmp_path)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda text: "no json", "must be a JSON file"),
        (lambda text: "[1]", "must hold one JSON object"),
        (
            lambda text: text.replace('"version": 1', '"version": 9'),
            "must be 1, but is 9",
        ),
        (lambda text: text.replace('"machine"', '"mach"'), "`mach` is not"),
        (lambda text: text.replace('"choices": "', '"choices": "AAAA'), "is damaged"),
        (lambda text: text.replace('"ekert"', '"eckert"'), "is damaged"),
    ],
)
def test_damaged_plan_is_a_sentence(tmp_path, spoil, sentence):
    path = save_planned(planned(), tmp_path)
    path.write_text(spoil(path.read_text()))
    with pytest.raises(ValueError, match=sentence):
        load_planned("ab" * 16, tmp_path)


def test_no_flipped_bit_of_a_plan_is_unseen(tmp_path):
    path = save_planned(planned(), tmp_path)
    content = path.read_bytes()
    for position in range(0, 8 * len(content), 7):
        damaged = bytearray(content)
        damaged[position // 8] ^= 1 << position % 8
        path.write_bytes(damaged)
        with pytest.raises(ValueError):
            load_planned("ab" * 16, tmp_path)


def test_plan_of_the_first_version_is_read_and_says_what_it_lacks(tmp_path):
    path = save_planned(planned(), tmp_path)
    old = json.loads(path.read_text())
    del old["sha256"]
    path.write_text(json.dumps(old))
    with pytest.warns(UserWarning, match="stored no digest: damage in it is not seen"):
        assert load_planned("ab" * 16, tmp_path)[0].machine == planned().machine


def test_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="must be a folder that can be made"):
        save_planned(planned(), tmp_path / "file" / "jobs")


def test_plan_prints_no_choices():
    assert "array" not in repr(planned())


def _first(call):
    return ast.dump(call.args[0]) if call.args else ""


def test_only_two_modules_import_the_runtime_package():
    root = Path(e91.__file__).parent
    found = {
        str(file.relative_to(root))
        for file in root.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("qiskit_ibm"))
        or (isinstance(node, ast.Import) and any("qiskit_ibm" in a.name for a in node.names))
        or (isinstance(node, ast.Call) and "'qiskit_ibm" in ast.dump(node.func) + _first(node))
    }
    assert found == {
        "devices/ibm/machine.py",
        "devices/samplers/snapshots.py",
    }
