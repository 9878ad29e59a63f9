"""Studies and runs on a Dask cluster: real workers, killed ones, and none."""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
from small_study import ROUNDS, same, small

from e91.devices.exact import exact_device
from e91.session.streaming import stream
from e91.session.totals import summary_of
from e91.studies import connected, plan_study, stream_on, study
from e91.studies.cluster import _lost_scheduler_is_reported_once, on_cluster
from e91.studies.work import chunks_of

distributed = pytest.importorskip("distributed")

# A busy machine may take longer for one order than a study is silent.
pytestmark = pytest.mark.filterwarnings("ignore:A study has finished nothing")


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes of one thread."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50
    ) as made:
        yield made


@pytest.fixture
def client(cluster):
    with connected(cluster.scheduler_address) as made:
        yield made


@pytest.fixture
def pairs(monkeypatch):
    """Chunks of two sessions, so that a small study has several."""
    monkeypatch.setattr("e91.studies.work.CHUNK_JOBS", 2)


def public(summary):
    return replace(summary, seconds=0.0)


def test_cluster_gives_what_this_process_gives(client, pairs):
    reported = []
    found = study(small(), client=client, seed=1, on_progress=reported.append)
    assert same(found, study(small(), processes=1, seed=1))
    assert reported == [0] + [2 * ROUNDS] * 4
    assert client.run(os.getpid).values() != {os.getpid()}


def test_threads_of_a_worker_do_not_disturb_each_other(pairs):
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=3, processes=False, dashboard_address="127.0.0.1:0"
        ) as made,
        connected(made.scheduler_address) as client,
    ):
        found = study(small(), client=client, seed=1)
    assert same(found, study(small(), processes=1, seed=1))


def test_run_on_a_cluster_is_the_local_stream(client):
    def device():
        return exact_device(visibility=0.9, seed=3)

    arguments = {"rounds": 230_000, "block_rounds": 50_000, "seed": 4}
    reported = []
    found = stream_on(client, device(), on_progress=reported.append, **arguments)
    assert public(found) == public(summary_of(stream(device(), **arguments)))
    assert found.blocks == 5
    assert sum(reported) == 230_000


def test_orders_of_a_run_hold_every_block_once(client, monkeypatch):
    monkeypatch.setattr("e91.studies.cluster._ORDERS_A_THREAD", 1)
    reported = []
    found = stream_on(client, exact_device(seed=3), rounds=230_000, block_rounds=50_000,
                      on_progress=reported.append, seed=4)  # fmt: skip
    assert sorted(reported) == [30_000, 100_000, 100_000]
    whole = summary_of(stream(exact_device(seed=3), rounds=230_000, block_rounds=50_000, seed=4))
    assert public(found) == public(whole)


@pytest.mark.slow
def test_killed_worker_costs_nothing(client, pairs):
    plan = plan_study({"rounds": ROUNDS, "settings.name": "bbm92"}, repeats=40)
    killed = []

    def reported(rounds):
        if rounds and not killed:
            killed.append(next(iter(client.run(os.getpid).values())))
            os.kill(killed[0], signal.SIGKILL)

    found = study(plan, client=client, seed=1, on_progress=reported)
    assert killed
    assert same(found, study(plan, processes=1, seed=1))


def test_stopped_study_goes_on_elsewhere(client, pairs, tmp_path):
    keep, reported = tmp_path / "journal", []

    def stop(rounds):
        reported.append(rounds)
        if len(reported) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study(small(), client=client, seed=1, keep=keep, on_progress=stop)
    again = []
    found = study(small(), processes=1, keep=keep, on_progress=again.append)
    assert again[0] == 4 * ROUNDS  # what the cluster did, this process need not do
    assert same(found, study(small(), processes=1, seed=1))


def test_error_of_a_worker_is_its_sentence(client, monkeypatch):
    plan = plan_study({"rounds": 1000})
    [_chunk] = chunks_of(plan)
    wanted = (("e91", "0.0"), *((name, "") for name in ("numpy", "numba", "scipy", "qiskit",
                                                        "qiskit-aer")))  # fmt: skip
    monkeypatch.setattr("e91.studies.work.versions", lambda: wanted)
    with pytest.raises(ValueError, match=r"Every worker of a study must have e91 0\.0, with which"):
        study(plan, client=client, seed=1)


def deadly(order):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_order_that_kills_every_worker_is_a_sentence():
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=60
        ) as made,
        connected(made.scheduler_address) as client,
        pytest.raises(ValueError, match="one order killed several of them"),
    ):
        list(on_cluster(deadly, [None], client=client))


LONELY = """
from distributed import LocalCluster
with LocalCluster(n_workers=1, processes=False, protocol="tcp", dashboard_address=None) as made:
    print(made.scheduler_address, flush=True)
    input()
"""


@pytest.mark.slow
@pytest.mark.parametrize("answers", [0, 1])
def test_lost_scheduler_is_one_sentence_without_dasks_traceback(answers, pairs, caplog):
    elsewhere = subprocess.Popen(
        [sys.executable, "-c", LONELY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    reported = []

    def kill(rounds):
        reported.append(rounds)
        if len(reported) > answers:
            elsewhere.kill()
            elsewhere.wait()

    try:
        with (
            pytest.raises(ValueError, match="The scheduler must stay until the study is done"),
            connected(elsewhere.stdout.readline().strip()) as client,
        ):
            study(small(), client=client, seed=1, on_progress=kill)
    finally:
        elsewhere.kill()
        elsewhere.communicate()
    assert len(reported) == answers + 1
    assert not [record for record in caplog.records if record.exc_info]


def test_other_complaints_of_dasks_client_are_heard(caplog):
    log = logging.getLogger("distributed.client")
    with _lost_scheduler_is_reported_once():
        try:
            raise asyncio.CancelledError
        except asyncio.CancelledError:
            log.exception("search")
        try:
            raise OSError
        except OSError:
            log.exception("trouble")
        log.error("word")
    log.error("afterwards")
    # A scheduler of the test before may still be saying goodbye.
    heard = [record.message for record in caplog.records if record.name == log.name]
    assert heard == ["trouble", "word", "afterwards"]


def test_cluster_without_workers_is_a_sentence():
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0") as made,
        pytest.raises(ValueError, match="The cluster must have workers, but has none"),
        connected(made.scheduler_address),
    ):
        pass


def test_asynchronous_client_is_refused(client):
    class Asynchronous:
        asynchronous = True

    with pytest.raises(ValueError, match="must be a synchronous one"):
        study(small(), client=Asynchronous(), seed=1)


@pytest.mark.parametrize(
    "address", ["", "nonsense", "tcp://", "tcp://host:port", "127.0.0.1:9", "tcp://127.0.0.1:99999"]
)
def test_address_without_a_scheduler_is_a_sentence_in_time(address):
    started = time.monotonic()
    refused = pytest.raises(ValueError, match="must be the address of a running Dask scheduler")
    with refused, connected(address, timeout_seconds=0.5):
        pass
    assert time.monotonic() - started < 25  # Dask's own patience is 30 s


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00" * 64])
def test_something_else_that_listens_is_no_scheduler(answer):
    """A server that says nothing, or something else: the wait has an end."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            for _ in range(2):
                talks.append(server.accept()[0])
                talks[-1].sendall(answer)

        talks = []
        threading.Thread(target=serve, daemon=True).start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        started = time.monotonic()
        with (
            pytest.raises(ValueError, match="must be the address of a running Dask scheduler"),
            connected(address, timeout_seconds=0.5),
        ):
            pass
        for talk in talks:
            talk.close()
    assert time.monotonic() - started < 25  # Dask's own patience is 30 s
