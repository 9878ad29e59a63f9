"""Networks whose key stays with the workers of a real Dask cluster, against one machine."""

import hashlib
import os
import signal
import time
from contextlib import contextmanager
from dataclasses import replace

import distributed
import pytest
from distributed.comm.tcp import TCP
from small_networks import lit, network_of

from e91.network import Incident, IncidentKind, begin, report_of, run
from e91.network.resident_stores import LinkStores, StoreOrder, StoreStep

SQUARE = lit(network_of("A B", "R S T", "A-R B-S R-S R-T T-S"))
ATTACK = Incident(IncidentKind.ATTACK, "R-S", 0.5, 1.5, "intercept-resend", 1.0)
ATTACKED = replace(SQUARE, incidents=(ATTACK,))
SECONDS = 4.0


@contextmanager
def cluster_of(workers):
    with (
        distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            protocol="tcp://",
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


def ran(client=None):
    """Run the network; return its simulation, before it is closed, and its report."""
    simulation = begin(ATTACKED, depth="bits", seed=1, client=client)
    simulation.advance(SECONDS)
    return simulation, report_of(simulation, depth="bits", seconds=0.0).to_dict()


def stored(dask_worker):
    """What a worker has in its stores, as hashes of both ends by link."""
    return {
        link: tuple(hashlib.sha256(end).hexdigest() for end in (pool.first, pool.second))
        for actor in dask_worker.state.actors.values()
        for link, pool in actor.pools.items()
        if pool.first
    }


def told(dask_worker):
    """The key of a worker itself, which no run asks for."""
    actors = dask_worker.state.actors.values()
    return [bytes(pool.first) for actor in actors for pool in actor.pools.values()]


def held_by(dask_worker):
    return len(dask_worker.state.actors)


def wait_until(true):
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def overheard():
    """Note every byte that this process, client and scheduler in one, reads or writes."""
    heard, read, write = [], TCP.read, TCP.write

    def noted(message):
        heard.append(b"".join(bytes(frame) for frame in distributed.protocol.dumps(message)))

    async def reading(comm, *given, **more):
        message = await read(comm, *given, **more)
        noted(message)
        return message

    async def writing(comm, message, *given, **more):
        noted(message)
        return await write(comm, message, *given, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TCP, "read", reading)
        patch.setattr(TCP, "write", writing)
        yield heard


def pieces(contents, size=6):
    return [contents[at : at + size] for at in range(0, len(contents) - size, 997)]


@pytest.mark.slow
def test_key_stays_with_its_worker_and_the_run_is_the_same_to_the_last_bit():
    here, report = ran()
    assert report["alarms"]
    assert report["keys"]["delivered"] > 100
    wanted = {
        link: tuple(hashlib.sha256(end).hexdigest() for end in (pool.first, pool.second))
        for link, pool in enumerate(here.pools)
        if pool.first
    }
    contents = [bytes(end) for pool in here.pools for end in (pool.first, pool.second)]
    assert sum(map(len, contents)) > 10_000
    for workers in (1, 2):
        with cluster_of(workers) as client, overheard() as heard:
            there, same = ran(client)
            said = b"".join(heard)
            assert same == report
            held = client.run(stored)
            assert len(held) == workers
            assert all(held.values())  # each worker has some links
            assert {link: ends for of in held.values() for link, ends in of.items()} == wanted
            assert not any(piece in said for each in contents for piece in pieces(each))
            sent = client.run(lambda dask_worker: list(dask_worker.transfer_outgoing_log))
            handles = [key for log in sent.values() for each in log for key in each["keys"]]
            assert len(handles) == workers  # of the stores, to the client; no other data moved
            assert all(key.startswith("LinkStores-") for key in handles)
            # That the listener would have heard a key: let one worker send a store.
            heard.clear()
            client.run(told)
            said = b"".join(heard)
            assert any(piece in said for piece in pieces(max(contents, key=len)))
            if workers > 1:
                os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
                with pytest.raises(ValueError, match="hold the key of its links, but one was lost"):
                    there.advance(10 * SECONDS)
            there.close()
            if workers == 1:
                wait_until(lambda: not any(client.run(held_by).values()))
                whole = run(ATTACKED, minutes=SECONDS / 60, seed=1, client=client)
                assert whole.to_dict() | {"seconds": 0.0} == report
    here.close()


def test_batches_that_overtake_each_other_are_carried_out_in_order():
    stores = LinkStores()
    stores.made[5] = bytes([1, 2, 3]), bytes([1, 2, 7])
    assert (
        stores.carry_out(
            1, [StoreOrder(StoreStep.TAKE, 0, 8, 16), StoreOrder(StoreStep.TAKE, 0, 9, 8)]
        )
        == {}
    )
    assert stores.carry_out(0, [StoreOrder(StoreStep.KEEP, 0, 5, 24)]) == {9: 4}
    assert not stores.pools[0].first


def test_store_gives_no_bit_twice_and_none_that_it_has_not():
    stores = LinkStores()
    stores.made[1] = bytes(2), bytes(2)
    stores.carry_out(0, [StoreOrder(StoreStep.KEEP, 0, 1, 16), StoreOrder(StoreStep.EMPTY, 0)])
    with pytest.raises(AssertionError, match="the ledger and a store disagree"):
        stores.carry_out(1, [StoreOrder(StoreStep.TAKE, 0, 1, 1)])
