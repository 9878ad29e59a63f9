"""Keys handed from network to network: nothing is released early, lost, doubled or revived."""

import asyncio
import json
import logging
from uuid import UUID, uuid4

import pytest
from two_networks import URLS, two_networks

from e91.delivery.between_networks.outgoing import AckStatus, OutgoingState
from e91.delivery.between_networks.peer_messages import ACKS, KEYS, VOIDS
from e91.delivery.between_networks.retrying import RetryLimits
from e91.delivery.http.exchange import HttpReply, HttpRequest
from e91.delivery.tls.identity import PeerIdentity
from e91.keys.key_blocks import KeyConditions
from e91.model.errors import (
    ConditionsNotMet,
    LinkAlarmed,
    NotEnoughKey,
    UnknownKey,
    UnknownSae,
)
from e91.model.trust import SecurityModel

CALLBACK = URLS["border-1"] + ACKS


def visit(folder, tour, **given):
    async def visiting():
        async with asyncio.timeout(60):
            async with two_networks(folder, **given) as both:
                await tour(both)

    asyncio.run(visiting())


async def fetch(both, key_ids):
    return await both.bob.service.fetch("b", "a", key_ids=key_ids)


def outgoing(both):
    return both.alice.handover._out


async def refused(both, **given):
    """Ask for keys in vain; return the IDs of those that are under way now."""
    with pytest.raises(NotEnoughKey):
        await both.ask(patience_s=0.02, **given)
    await both.step()  # what had no time yet
    return list(outgoing(both))


async def hears(_):
    """A peer that hears whatever is acknowledged."""
    return HttpReply(200)


async def call(network, path, content, *, peer="border-1"):
    """Call a door as the other side's KME, with JSON; return status and answer."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    asked = HttpRequest("POST", path, {}, body, PeerIdentity(kme=peer))
    reply = await network.door(asked)
    return reply.status, json.loads(reply.body) if reply.body else None


def keys_body(*key_ids, value="AAECAwQFBgc=", **changes):
    """The body that carries keys to Bob's network."""
    keys = [{"key_id": str(key_id), "value": value, "extension": said()} for key_id in key_ids]
    return {
        "keys": keys,
        "initiator_sae_id": "a",
        "target_sae_ids": ["b"],
        "ack_callback_url": CALLBACK,
        **changes,
    }


def said():
    """What a network says of where its part of a key comes from."""
    return {
        "E32473_e91_provenance": {
            "security": "trusted-analysers", "theorem": "t", "attacks": "coherent attacks",
            "epsilon": 1e-10, "bell_test": True, "chsh": 2.7, "chsh_lower_bound": 2.6,
            "route": ["alice", "border-1"], "relays": [], "disjoint_paths": 1,
            "reproducible": False, "made_at": 1.7e9, "source": "elsewhere",
        }
    }  # fmt: skip


def void_body(*key_ids, **changes):
    return {
        "key_ids": list(map(str, key_ids)),
        "initiator_sae_id": "a",
        "target_sae_ids": ["b"],
        "ack_callback_url": CALLBACK,
        **changes,
    }


def ack_body(key_ids, status, **changes):
    container = [{"key_id": str(key_id)} for key_id in key_ids]
    pair = {"initiator_sae_id": "a", "target_sae_ids": ["b"]}
    return [{"key_id_container": container, "ack_status": status, **pair, **changes}]


def said_acks(network):
    """The words that a network's acknowledgements said, with their key IDs."""
    bodies = [json.loads(body) for path, body in network.wire.sent if path == ACKS]
    return [
        (ack["ack_status"], [UUID(one["key_id"]) for one in ack["key_id_container"]])
        for body in bodies
        for ack in body
    ]


def test_both_applications_get_the_same_key_and_the_same_story_of_it(tmp_path):
    async def tour(both):
        keys = await both.ask(number=3, size=512)
        fetched = await fetch(both, [key.key_id for key in keys])
        assert [key.content for key in keys] == [key.content for key in fetched]
        assert len({key.content for key in keys}) == 3
        for key in (*keys, *fetched):
            story = key.provenance
            assert story.route == (
                "alice", "R-alice", "border-1", "border-2", "R-bob", "bob",
            )  # fmt: skip
            assert story.relays == ("R-alice", "border-1", "border-2", "R-bob")
            assert (story.epsilon, story.disjoint_paths) == (2e-10, 1)
            assert story.reproducible
        with pytest.raises(UnknownKey):
            await fetch(both, [keys[0].key_id])

    visit(tmp_path, tour)


def test_a_master_gets_its_key_only_when_the_far_end_has_it(tmp_path):
    async def tour(both):
        carry, gate = both.bob.side.carry, asyncio.Event()

        async def sleepy(key):
            await gate.wait()
            return await carry(key)

        both.bob.handover.carrier = Patched(both.bob.side, carry=sleepy)
        asking = asyncio.ensure_future(both.alice.giver.give("a", ["b"]))
        await until(lambda: outgoing(both))
        await both.alice.handover.step()  # 202 at once, though the far side sleeps
        (key,) = outgoing(both).values()
        assert key.state is OutgoingState.ACCEPTED
        stepping = asyncio.ensure_future(both.bob.handover.step())
        await asyncio.sleep(0.05)
        assert not asking.done()
        with pytest.raises(UnknownKey):
            await fetch(both, [key.key_id])
        gate.set()
        await stepping
        await both.bob.handover.step()
        (given,) = await asking
        assert (await fetch(both, [given.key_id]))[0].content == given.content

    visit(tmp_path, tour)


class Patched:
    """A carrier with one method replaced."""

    def __init__(self, carrier, **methods):
        self._carrier = carrier
        vars(self).update(methods)

    def __getattr__(self, name):
        return getattr(self._carrier, name)


async def until(holds):
    while not holds():  # noqa: ASYNC110 - what is waited for happens in another thread, too
        await asyncio.sleep(0.005)


def test_of_a_hundred_keys_those_are_served_that_were_relayed_and_the_rest_are_void(tmp_path):
    async def tour(both):
        both.alice.wire.door = None
        both.alice.handover.is_reachable = True
        key_ids = await refused(both, number=100, size=64)
        assert len(key_ids) == 100
        thirds = key_ids[:40], key_ids[40:70], key_ids[70:]
        for part, status in zip(thirds, ("relayed", "failed", "relayed"), strict=True):
            answer = await call(both.alice, ACKS, ack_body(part, status), peer="border-2")
            assert answer == (200, None)
        states = {key_id: key.state for key_id, key in outgoing(both).items()}
        assert [states[key_id] for key_id in thirds[1]] == [OutgoingState.VOIDING] * 30
        given = await both.alice.giver.give("a", ["b"], number=70, size=64)
        assert {key.key_id for key in given} == {*thirds[0], *thirds[2]}
        both.connect()
        await both.step(seconds=120)
        assert outgoing(both) == {}
        assert sorted(said_acks(both.bob)[-1][1]) == sorted(thirds[1])

    visit(tmp_path, tour)


def test_an_acknowledgement_may_be_faster_than_the_answer(tmp_path):
    async def tour(both):
        post = both.alice.wire.post

        async def slow(path, body):
            status = await post(path, body)
            if path == KEYS:
                await both.bob.handover.step()  # carries, and acknowledges
            return status

        both.alice.handover.calls = Patched(both.alice.wire, post=slow)
        (key,) = await both.ask()
        assert (await fetch(both, [key.key_id]))[0].content == key.content

    visit(tmp_path, tour)


def test_what_is_void_is_not_revived_by_a_late_acknowledgement(tmp_path):
    async def tour(both):
        both.alice.wire.loses = lambda path: "answer" if path == KEYS else None
        both.bob.wire.loses = lambda _: "request"
        (key_id,) = await refused(both)
        await both.alice.handover.make_void([key_id])
        for status in ("relayed", "failed", "relayed"):
            late = ack_body([key_id], status)
            assert await call(both.alice, ACKS, late, peer="border-2") == (200, None)
        assert outgoing(both)[key_id].state is OutgoingState.VOIDING
        both.bob.wire.loses = lambda _: None
        await both.step(seconds=60)
        assert outgoing(both) == {}
        assert await call(both.alice, ACKS, ack_body([key_id], "relayed"), peer="border-2") == (
            200,
            None,
        )
        assert both.alice.handover.relayed(("a", ("b",))) == []
        with pytest.raises(UnknownKey):
            await fetch(both, [key_id])

    visit(tmp_path, tour)


def test_what_was_acknowledged_can_be_void_until_somebody_has_it(tmp_path):
    async def tour(both):
        await both.ask()  # a first one, that is delivered here and may be fetched there
        both.bob.wire.loses = lambda _: "request"
        one, two = await refused(both, number=2)
        both.bob.wire.loses = lambda _: None
        assert len(await fetch(both, [two])) == 1
        assert (await call(both.bob, VOIDS, void_body(one, two)))[0] == 202
        await both.step(seconds=60)
        assert ("voided", [one]) in said_acks(both.bob)
        assert ("failed to void", [two]) in said_acks(both.bob)
        with pytest.raises(UnknownKey):
            await fetch(both, [one])

    visit(tmp_path, tour)


def test_a_key_that_only_its_master_has_is_reported_to_a_peer_that_makes_it_void(tmp_path):
    async def tour(both):
        (key,) = await both.ask()
        asked = void_body(key.key_id, ack_callback_url=URLS["border-2"] + ACKS)
        assert (await call(both.alice, VOIDS, asked, peer="border-2"))[0] == 202
        await both.step()
        assert said_acks(both.alice) == [("failed to void", [key.key_id])]

    visit(tmp_path, tour)


def test_a_peer_can_make_a_key_void_that_it_could_not_acknowledge(tmp_path):
    async def tour(both):
        both.bob.wire.loses = lambda _: "request"
        (key_id,) = await refused(both)
        asked = void_body(key_id, ack_callback_url=URLS["border-2"] + ACKS)
        assert (await call(both.alice, VOIDS, asked, peer="border-2"))[0] == 202
        await both.alice.handover.step()
        assert said_acks(both.alice) == [("voided", [key_id])]
        assert outgoing(both) == {}
        with pytest.raises(UnknownKey):
            await both.alice.service.fetch("a", "020:border-1", key_ids=[key_id])

    visit(tmp_path, tour)


def test_a_repetition_is_taken_and_another_key_of_that_id_is_not(tmp_path):
    async def tour(both):
        both.bob.wire.door, key_id = hears, uuid4()
        first = keys_body(key_id)
        assert await call(both.bob, KEYS, first) == (202, None)
        assert await call(both.bob, KEYS, first) == (202, None)
        await both.bob.handover.step()
        assert await call(both.bob, KEYS, first) == (202, None)
        await both.bob.handover.step()
        assert said_acks(both.bob) == [("relayed", [key_id])] * 2
        others = (
            keys_body(key_id, value="BBECAwQFBgc="),
            keys_body(key_id, initiator_sae_id="a2"),
            keys_body(key_id, extension_optional={"E1_x": 1}),
        )
        for other in others:
            status, answer = await call(both.bob, KEYS, other)
            assert (status, list(answer["details"])) == (503, ["key_id_conflict"])
        assert (await fetch(both, [key_id]))[0].content == bytes(range(8))

    visit(tmp_path, tour)


def test_what_is_made_void_before_it_comes_leaves_a_tombstone(tmp_path):
    async def tour(both):
        key_id = uuid4()
        assert await call(both.bob, VOIDS, void_body(key_id)) == (202, None)
        assert await call(both.bob, KEYS, keys_body(key_id)) == (202, None)
        await both.bob.handover.step()
        assert said_acks(both.bob) == [("voided", [key_id])]
        with pytest.raises(UnknownKey):
            await fetch(both, [key_id])
        await both.bob.restart(both.alice)
        assert await call(both.bob, KEYS, keys_body(key_id)) == (202, None)
        await both.bob.handover.step()
        assert said_acks(both.bob)[-1] == ("voided", [key_id])
        with pytest.raises(UnknownKey):
            await fetch(both, [key_id])

    visit(tmp_path, tour)


def test_an_unknown_key_that_is_made_void_is_said_not_to_be_present(tmp_path):
    async def tour(both):
        key_id = uuid4()
        await call(both.bob, VOIDS, void_body(key_id))
        both.bob.wire.door = None  # a peer that does not know it either would answer 400
        await both.bob.handover.step()
        assert said_acks(both.bob) == [("key not present", [key_id])]

    visit(tmp_path, tour)


def test_what_becomes_void_while_it_is_carried_does_not_arrive(tmp_path):
    async def tour(both):
        carry, key_id = both.bob.side.carry, uuid4()

        async def with_void(key):
            assert (await call(both.bob, VOIDS, void_body(key_id)))[0] == 202
            return await carry(key)

        both.bob.handover.carrier = Patched(both.bob.side, carry=with_void)
        await call(both.bob, KEYS, keys_body(key_id))
        await both.bob.handover.step()
        assert said_acks(both.bob) == [("voided", [key_id])]
        with pytest.raises(UnknownKey):
            await fetch(both, [key_id])

    visit(tmp_path, tour)


def test_after_a_partial_acknowledgement_only_the_missing_keys_are_sent_again(tmp_path):
    async def tour(both):
        both.bob.wire.loses = lambda _: "request"
        key_ids = await refused(both, number=3)
        acked = ack_body(key_ids[:2], "relayed")
        await call(both.alice, ACKS, acked, peer="border-2")
        both.alice.wire.sent.clear()
        await both.step(seconds=31)
        ((path, body),) = both.alice.wire.sent
        assert path == KEYS
        assert [key["key_id"] for key in json.loads(body)["keys"]] == [str(key_ids[2])]

    visit(tmp_path, tour)


def test_a_cut_connection_leaves_a_key_bound_to_its_peer_over_a_restart(tmp_path):
    async def tour(both):
        both.alice.wire.loses = lambda _: "answer"
        both.bob.wire.loses = lambda _: "request"
        (key_id,) = await refused(both)
        assert outgoing(both)[key_id].state is OutgoingState.UNCERTAIN
        first = both.alice.wire.sent[0]
        await both.alice.restart(both.bob)
        assert outgoing(both)[key_id].state is OutgoingState.UNCERTAIN
        both.alice.wire.loses = both.bob.wire.loses = lambda _: None
        both.alice.wire.sent.clear()
        await both.step(seconds=60)
        assert both.alice.wire.sent == [first]  # to the byte
        (key,) = await both.ask()
        assert key.key_id == key_id
        assert (await fetch(both, [key_id]))[0].content == key.content

    visit(tmp_path, tour)


def test_a_refusal_frees_a_key_only_if_the_peer_can_never_have_had_it(tmp_path):
    async def tour(both):
        status = 400

        async def answered(_path, _body):
            return status

        both.alice.handover.calls = Patched(both.alice.wire, post=answered)
        await refused(both)
        assert outgoing(both) == {}
        status = 503
        (key_id,) = await refused(both)
        status = 401
        both.clock.now += 1
        await both.alice.handover.step()
        assert outgoing(both)[key_id].state is OutgoingState.UNCERTAIN

    visit(tmp_path, tour)


def test_a_key_that_cannot_be_carried_is_said_to_have_failed_and_is_void(tmp_path):
    async def tour(both):
        await both.alice.fill()  # but Bob's border and his KME share no key
        (key_id,) = await refused(both)
        await both.step(seconds=61)
        assert ("failed", [key_id]) in said_acks(both.bob)
        await both.step(seconds=1)
        assert outgoing(both) == {}
        with pytest.raises(UnknownKey):
            await both.alice.service.fetch("a", "020:border-1", key_ids=[key_id])

    visit(tmp_path, tour, filled=False)


def test_retries_wait_longer_and_longer_and_give_up_by_making_void(tmp_path):
    async def tour(both):
        both.alice.wire.door = None
        await refused(both)
        times = []
        for _ in range(660):
            before = len(both.alice.wire.sent)
            await both.alice.handover.step()
            if len(both.alice.wire.sent) > before:
                times.append(both.clock.now - 1.8e9)
            both.clock.now += 1
        assert times[:7] == [1, 3, 7, 15, 31, 63, 123]
        assert [path for path, _ in both.alice.wire.sent][-1] == VOIDS
        both.connect()
        await both.step(seconds=60)
        assert outgoing(both) == {}

    visit(tmp_path, tour)


def test_a_peer_that_is_down_for_an_hour_costs_nothing_and_is_reported_once(tmp_path, caplog):
    async def tour(both):
        both.alice.wire.door = None
        (key_id,) = await refused(both)
        for _ in range(360):
            with pytest.raises(NotEnoughKey, match="does not answer"):
                await both.alice.giver.give("a", ["b"])
            both.clock.now += 10
            await both.alice.handover.step()
        assert list(outgoing(both)) == [key_id]
        assert both.alice.giver.stock("a", "b").alarm == "the network of b does not answer"
        both.connect()
        await both.step(seconds=60)
        assert len(await both.ask()) == 1
        assert both.alice.giver.stock("a", "b").alarm is None

    with caplog.at_level(logging.INFO, "e91.delivery"):
        visit(tmp_path, tour)
    said = [line.getMessage() for line in caplog.records if "other network" in line.getMessage()]
    assert said == [
        "the KME of the other network does not answer",
        "the KME of the other network answers again",
    ]


def test_concurrent_requests_get_different_keys(tmp_path):
    async def tour(both):
        asking = [asyncio.ensure_future(both.ask(number=2)) for _ in range(8)]
        keys = [key for keys in await asyncio.gather(*asking) for key in keys]
        assert len({key.key_id for key in keys}) == 16

    visit(tmp_path, tour)


def test_keys_that_came_too_late_are_given_to_the_next_request(tmp_path):
    async def tour(both):
        both.bob.wire.loses = lambda _: "request"
        (key_id,) = await refused(both)
        both.bob.wire.loses = lambda _: None
        await both.step(seconds=60)
        (key,) = await both.alice.giver.give("a", ["b"])
        assert key.key_id == key_id

    visit(tmp_path, tour)


def test_an_alarm_of_ones_own_network_takes_a_key_back_from_the_other_one(tmp_path):
    async def tour(both):
        both.bob.wire.loses = lambda _: "request"
        (key_id,) = await refused(both)
        both.bob.wire.loses = lambda _: None
        await both.step(seconds=60)
        await both.alice.service.ring("alice", "R-alice", since=0.0, reason="S fell")
        with pytest.raises(NotEnoughKey, match="became void"):
            await both.alice.giver.give("a", ["b"])
        await both.step()
        assert ("voided", [key_id]) in said_acks(both.bob)
        with pytest.raises(LinkAlarmed, match="S fell"):
            await both.ask()
        assert both.alice.giver.stock("a", "b").alarm == "S fell"

    visit(tmp_path, tour)


def test_conditions_hold_for_the_whole_way(tmp_path):
    async def tour(both):
        keys = await both.ask(conditions=KeyConditions(max_epsilon=2e-10, route_type="relayed"))
        assert keys[0].provenance.epsilon == 2e-10
        for impossible in (
            KeyConditions(route_type="link"),
            KeyConditions(disjoint_paths=2),
            KeyConditions(min_model=SecurityModel.DEVICE_INDEPENDENT),
        ):
            with pytest.raises(ConditionsNotMet):
                await both.ask(conditions=impossible)
        with pytest.raises(ConditionsNotMet, match="far part"):  # each part would do
            await both.ask(conditions=KeyConditions(max_epsilon=1.5e-10))
        await both.step()
        assert outgoing(both) == {}

    visit(tmp_path, tour)


def test_slaves_of_two_networks_are_refused(tmp_path):
    async def tour(both):
        with pytest.raises(UnknownSae):
            await both.alice.giver.give("a", ["b", "c"])

    visit(tmp_path, tour)


def test_no_key_stays_in_the_ledger_once_it_is_at_its_place(tmp_path):
    async def tour(both):
        held = []
        both.bob.wire.loses = lambda _: "request"
        await refused(both, number=4, size=512)
        held = [key.value for key in outgoing(both).values()]
        assert all(map(everything(tmp_path).__contains__, held))
        both.bob.wire.loses = lambda _: None
        await both.step(seconds=60)
        keys = await both.alice.giver.give("a", ["b"], number=4, size=512)
        assert {key.content for key in keys} == set(held)
        ledgers = everything(tmp_path, "*.transfers*")
        assert not any(content in ledgers for content in held)

    visit(tmp_path, tour)


def everything(folder, pattern="*"):
    return b"".join(file.read_bytes() for file in folder.glob(pattern) if file.is_file())


def test_tombstones_are_forgotten_after_thirty_days_and_not_before(tmp_path):
    async def tour(both):
        key_id = uuid4()
        await call(both.bob, VOIDS, void_body(key_id))
        await both.step()
        ledger = both.bob.handover.ledger
        for days, known in ((29, 1), (2, 0)):
            await both.step(seconds=86_400 * days)
            assert len(ledger.find(*_incoming(key_id))) == known

    visit(tmp_path, tour)


def _incoming(key_id):
    from e91.delivery.between_networks.incoming import Incoming

    return Incoming, [key_id]


def test_optional_extensions_are_kept_as_they_came(tmp_path):
    async def tour(both):
        optional = {"E9_z": {"b": 1, "a": [{"y": 2, "x": None}]}, "E1_a": "text"}
        key_id = uuid4()
        assert (await call(both.bob, KEYS, keys_body(key_id, extension_optional=optional)))[
            0
        ] == 202
        await both.bob.restart(both.alice)
        (kept,) = both.bob.handover._in.values()
        assert json.dumps(kept.optional) == json.dumps(optional)

    visit(tmp_path, tour)


def test_a_key_is_carried_once_though_the_process_died_before_it_wrote_that_down(tmp_path):
    async def tour(both):
        both.bob.wire.door, key_id = hears, uuid4()
        await call(both.bob, KEYS, keys_body(key_id))
        (key,) = both.bob.handover._in.values()
        await both.bob.side.carry(key)  # and then the power fails
        await both.bob.restart(both.alice)
        await both.bob.handover.step()
        assert said_acks(both.bob) == [("relayed", [key_id])]
        assert (await fetch(both, [key_id]))[0].content == bytes(range(8))

    visit(tmp_path, tour)


@pytest.mark.parametrize("lost", [(KEYS, "request"), (KEYS, "answer"), (ACKS, "request")],
                         ids=["intent", "accepted", "unheard"])  # fmt: skip
@pytest.mark.parametrize("who", [pytest.param("alice", marks=pytest.mark.slow),
                                 pytest.param("bob", marks=pytest.mark.slow), "both"])  # fmt: skip
def test_a_start_anew_at_any_point_loses_and_doubles_nothing(tmp_path, lost, who):
    """Before the call, after it was read and before its answer came: of keys and of their acks."""

    async def tour(both):
        path, what = lost
        for wire in (both.alice.wire, both.bob.wire):
            wire.loses = lambda called: {ACKS: "request", path: what}.get(called)
        key_ids = await refused(both, number=2)
        names = ("alice", "bob") if who == "both" else (who,)
        for name in names:
            network = getattr(both, name)
            await network.restart()
        both.connect()
        for wire in (both.alice.wire, both.bob.wire):
            wire.loses = lambda _: None
        await both.step(seconds=60)
        keys = await both.ask(number=2)
        assert {key.key_id for key in keys} == set(key_ids)
        fetched = await fetch(both, [key.key_id for key in keys])
        assert [key.content for key in fetched] == [key.content for key in keys]
        assert both.bob.handover._in == {}

    visit(tmp_path, tour)


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_an_acknowledgement_whose_answer_is_lost_is_said_again(tmp_path, who):
    async def tour(both):
        both.bob.wire.loses = lambda _: "answer"
        (key,) = await both.ask()
        assert len(both.bob.handover._in) == 1
        await getattr(both, who).restart()
        both.connect()
        both.bob.wire.loses = lambda _: None
        await both.step(seconds=60)
        assert both.bob.handover._in == {}
        assert said_acks(both.bob)[-1] == ("relayed", [key.key_id])
        assert (await fetch(both, [key.key_id]))[0].content == key.content

    visit(tmp_path, tour)


def test_one_foreign_acknowledgement_does_not_keep_the_others_from_being_heard(tmp_path):
    async def tour(both):
        stranger = uuid4()  # as of a sender that lost its ledger
        await call(both.bob, KEYS, keys_body(stranger))
        (key,) = await both.ask()
        assert (await fetch(both, [key.key_id]))[0].content == key.content
        await both.step()
        assert both.bob.handover._in == {}
        with pytest.raises(UnknownKey):
            await fetch(both, [stranger])

    visit(tmp_path, tour)


def test_waits_are_drawn_within_a_quarter():
    limits = RetryLimits()
    assert [limits.wait_s(4, lambda u=u: u) for u in (0.0, 0.25, 1.0)] == [6.0, 7.0, 10.0]


def test_words_of_acknowledgements_are_those_of_the_standard():
    assert [status.value for status in AckStatus] == [
        "relayed", "failed", "voided", "failed to void", "key not present",
    ]  # fmt: skip
