"""The whole way: photons of a living network, keys over TLS, an interception and its news."""

import asyncio
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest
from key_servers import RunningServer, key_ids_of
from small_networks import lit, network_of

from e91.cli.feed import FeedPlan, fed_pairs, feed_delivery
from e91.delivery import AuthorityPlan, KmePlace, SaePlace, new_authority
from e91.network import Incident, IncidentKind

KMES = (KmePlace("A", "127.0.0.1", 0), KmePlace("B", "127.0.0.1", 0))
SAES = (SaePlace("a-app", "A"), SaePlace("b-app", "B"))
SQUARE = lit(network_of("A B", "R S T", "A-R B-S R-S R-T T-S"), keys_per_second=5.0)
CHAIN = lit(network_of("A B", "R S", "A-R R-S B-S"), keys_per_second=5.0)


def attacked(plan, *, until_s):
    attack = Incident(IncidentKind.ATTACK, "R-S", 4.0, until_s, "intercept-resend", 1.0)
    return replace(plan, incidents=(attack,), good_blocks=2)


@contextmanager
def fed_server(folder, plan, **given):
    """A running server that a network feeds, and its two applications."""
    new_authority(folder, AuthorityPlan(KMES, SAES))
    server = RunningServer(folder)
    server.start()
    how = FeedPlan(plan, seed=1, workers=1, low_bits=2**13, **{"speed": 4.0, **given})
    pairs = fed_pairs(server.delivery.file, plan)
    feeding = server.run(_begun(feed_delivery(server.delivery, pairs, how)))
    try:
        with server.client("a-app", "A") as alice, server.client("b-app", "B") as bob:
            yield server, alice, bob
    finally:
        server.run(_ended(feeding))
        server.stop()


async def _begun(work):
    return asyncio.create_task(work)


async def _ended(task):
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def until(holds, *, within_s=60.0):
    begun = time.monotonic()
    while not (found := holds()):
        assert time.monotonic() < begun + within_s
        time.sleep(0.05)
    return found


def keys_when_there(alice, **wanted):
    """Ask for keys until there are some."""

    def asked():
        status, document = alice.enc_keys("b-app", **wanted)
        assert status in (200, 503)
        return document if status == 200 else None

    return until(asked)


@pytest.mark.slow
def test_an_interception_reaches_the_applications_and_another_route_then_serves(tmp_path):
    with fed_server(tmp_path / "site", attacked(SQUARE, until_s=1e6), doubt_s=30.0) as given:
        server, alice, bob = given
        document = keys_when_there(alice, number=2)
        young = key_ids_of(keys_when_there(alice, number=1, size=512))
        status, fetched = bob.dec_keys(key_ids_of(document), master="a-app")
        assert status == 200
        assert [key["key"] for key in fetched["keys"]] == [key["key"] for key in document["keys"]]
        story = document["keys"][0]["key_extension"]["e91_provenance"]
        assert story["route"] == ["A", "R", "S", "B"]
        assert 2 < story["chsh_lower_bound"] < story["chsh"] < 2.83
        while not server.delivery.alarms:  # what is asked for makes the links work
            alice.enc_keys("b-app", number=1, size=4096)
            time.sleep(0.02)
        status, _ = bob.dec_keys(young, master="a-app")
        assert status == 400  # younger than the moment that the alarm states
        document = keys_when_there(alice)
        story = document["keys"][0]["key_extension"]["e91_provenance"]
        assert story["route"] == ["A", "R", "T", "S", "B"]
        status, _ = bob.dec_keys(key_ids_of(document), master="a-app")
        assert status == 200


@pytest.mark.slow
def test_with_no_other_route_applications_hear_why_until_the_link_is_back(tmp_path):
    with fed_server(tmp_path / "site", attacked(CHAIN, until_s=12.0)) as (server, alice, _):
        keys_when_there(alice)
        reasons = set()
        while not server.delivery.alarms:
            alice.enc_keys("b-app", number=1, size=4096)
            time.sleep(0.02)

        def refused():
            status, answer = alice.enc_keys("b-app", number=16, size=4096)
            reasons.add(answer["message"] if status == 503 else "")
            return any("R-S rang" in reason for reason in reasons)

        until(refused)
        said = alice.status("b-app")[1]["status_extension"]["e91_alarm"]
        assert "the alarm of link R-S rang (eavesdropper)" in said
        (link,) = [one for one in server.delivery.status()["links"] if one["kme"] == "A"]
        assert "R-S rang" in link["alarm"]
        until(lambda: alice.status("b-app")[1]["status_extension"]["e91_alarm"] is None)
        assert len(keys_when_there(alice)["keys"]) == 1
