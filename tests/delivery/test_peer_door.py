"""What another network's KME may ask, word by word: all else is refused and leaves nothing."""

import asyncio
import json
import logging
from uuid import uuid4

import pytest
from test_handover import ack_body, call, keys_body, outgoing, refused, void_body
from two_networks import URLS, two_networks

from e91.delivery.between_networks.outgoing import OutgoingState
from e91.delivery.between_networks.peer_messages import ACKS, KEYS, VERSIONS, VOIDS
from e91.delivery.http.exchange import HttpRequest
from e91.delivery.tls.identity import NOBODY, PeerIdentity
from e91.model.errors import UnknownKey


def visit(folder, tour):
    async def visiting():
        async with asyncio.timeout(60), two_networks(folder, filled=False) as both:
            await tour(both)

    asyncio.run(visiting())


async def ask(network, method, target, body=b"", *, peer=None):
    peer = PeerIdentity(kme="border-1") if peer is None else peer
    reply = await network.door(HttpRequest(method, target, {}, body, peer))
    return reply.status, json.loads(reply.body) if reply.body else None, dict(reply.headers)


def test_versions_are_listed_and_nothing_else_is_there(tmp_path):
    async def tour(both):
        status, answer, headers = await ask(both.bob, "GET", VERSIONS)
        assert (status, answer) == (200, {"versions": ["v1"]})
        assert headers["Content-Type"] == "application/json; charset=UTF-8"
        for path in ("/kmapi/v2/ext_keys", "/kmapi", "/api/v1/keys/b/enc_keys", VERSIONS + "/"):
            assert (await ask(both.bob, "GET", path))[0] == 404
        status, _, headers = await ask(both.bob, "GET", KEYS)
        assert (status, headers["Allow"]) == (405, "POST")
        status, answer, _ = await ask(both.bob, "POST", KEYS, None)  # longer than the door lets in
        assert (status, set(answer)) == (413, {"type", "title", "status", "details"})

    visit(tmp_path, tour)


STRANGERS = [NOBODY, PeerIdentity(kme="border-3"), PeerIdentity(sae="a"), PeerIdentity(sae="b")]


def test_only_the_configured_kme_is_heard(tmp_path):
    async def tour(both):
        calls = [("GET", VERSIONS), ("POST", KEYS), ("POST", ACKS), ("POST", VOIDS)]
        for peer in STRANGERS:
            for method, path in calls:
                status, answer, _ = await ask(both.bob, method, path, b"{}", peer=peer)
                assert (status, answer["details"]) == (401, {}), peer
            body = json.dumps(keys_body(uuid4())).encode()
            assert (await ask(both.bob, "POST", KEYS, body, peer=peer))[0] == 401
            assert both.bob.handover._in == {}

    visit(tmp_path, tour)


BROKEN_KEYS = {
    "no JSON": b"{",
    "an array": b"[]",
    "two members of one name": b'{"keys": [], "keys": []}',
    "text behind it": b"{} {}",
    "no keys": keys_body(),
    "no key at all": {**keys_body(uuid4()), "keys": None},
    "a null": keys_body(uuid4(), extension_optional=None),
    "an unknown member": keys_body(uuid4(), size=64),
    "a number as key_id": {**keys_body(uuid4()), "keys": [{"key_id": 7, "value": "AA=="}]},
    "no UUID": {**keys_body(uuid4()), "keys": [{"key_id": "7", "value": "AA=="}]},
    "one key_id twice": keys_body(*[uuid4()] * 2),
    "no padding": keys_body(uuid4(), value="AAECAwQFBgc"),
    "the alphabet of URLs": keys_body(uuid4(), value="-_8="),
    "bits behind the padding": keys_body(uuid4(), value="AB=="),
    "zero bytes": keys_body(uuid4(), value=""),
    "a line break": keys_body(uuid4(), value="AAEC\nAwQFBgc="),
    "5,000 bytes": keys_body(uuid4(), value="AAAA" * 1700),
    "65 characters": keys_body(uuid4(), initiator_sae_id="a" * 65),
    "a blank": keys_body(uuid4(), initiator_sae_id="a b"),
    "no character": keys_body(uuid4(), initiator_sae_id=""),
    "no target": keys_body(uuid4(), target_sae_ids=[]),
    "a text as targets": keys_body(uuid4(), target_sae_ids="b"),
    "a target twice": keys_body(uuid4(), target_sae_ids=["b", "b"]),
    "a target of 65": keys_body(uuid4(), target_sae_ids=["b" * 65]),
    "an extension without number": keys_body(uuid4(), extension_optional={"provenance": 1}),
    "an extension that is an array": keys_body(uuid4(), extension_mandatory=[{"E1_x": 1}]),
    "1,025 keys": keys_body(*(uuid4() for _ in range(1025))),
}


def test_a_request_that_is_not_as_it_must_be_leaves_nothing(tmp_path):
    async def tour(both):
        for what, content in BROKEN_KEYS.items():
            status, answer = await call(both.bob, KEYS, content)
            assert status == 400, what
            assert answer["status"] == 400
            assert all(isinstance(text, str) for text in answer["details"].values())
            assert both.bob.handover._in == {}

    visit(tmp_path, tour)


ELSEWHERE = [
    "https://127.0.0.1:9999/kmapi/v1/ext_keys/ack",
    "http://127.0.0.1:9441/kmapi/v1/ext_keys/ack",
    "https://user:pass@127.0.0.1:9441/kmapi/v1/ext_keys/ack",
    "https://127.0.0.1:9441@evil.example/kmapi/v1/ext_keys/ack",
    "https://127.0.0.1:9441/kmapi/v1/ext_keys/ack?x=1",
    "https://127.0.0.1:9441/kmapi/v1/ext_keys/ack#x",
    "https://LOCALHOST:9441/kmapi/v1/ext_keys/ack",
    "file:///etc/passwd",
    "x" * 1025,
    7,
]


def test_acknowledgements_go_to_the_peer_and_nowhere_else(tmp_path):
    async def tour(both):
        for url in ELSEWHERE:
            for path, body in ((KEYS, keys_body(uuid4())), (VOIDS, void_body(uuid4()))):
                status, answer = await call(both.bob, path, body | {"ack_callback_url": url})
                assert status == 400, url
                assert answer["details"]
        await both.bob.handover.step()
        assert both.bob.wire.sent == []

    visit(tmp_path, tour)


def test_a_request_without_callback_wants_the_mode_that_is_not_offered(tmp_path):
    async def tour(both):
        body = keys_body(uuid4())
        del body["ack_callback_url"]
        status, answer = await call(both.bob, KEYS, body)
        assert (status, list(answer["details"])) == (400, ["synchronous_mode"])

    visit(tmp_path, tour)


def test_an_unknown_mandatory_extension_is_named_with_503(tmp_path):
    async def tour(both):
        body = keys_body(uuid4(), extension_mandatory={"E4_quick": 1, "E32473_e91_conditions": {}})
        status, answer = await call(both.bob, KEYS, body)
        assert (status, answer["details"]) == (503, {"unsupported_mandatory_extension": "E4_quick"})
        assert both.bob.handover._in == {}

    visit(tmp_path, tour)


def test_keys_that_would_go_nowhere_or_back_are_refused(tmp_path):
    async def tour(both):
        routes = {"nobody": "key-routing-error", "a": "pass_back"}
        for target, detail in routes.items():
            body = keys_body(uuid4(), target_sae_ids=[target], initiator_sae_id="x")
            status, answer = await call(both.bob, KEYS, body)
            assert (status, list(answer["details"])) == (400, [detail])
        assert both.bob.handover._in == {}

    visit(tmp_path, tour)


def test_all_keys_of_a_pair_become_void_only_when_that_is_confirmed(tmp_path):
    async def tour(both):
        both.bob.wire.loses = lambda _: "request"
        key_ids = [uuid4() for _ in range(3)]
        await call(both.bob, KEYS, keys_body(*key_ids))
        for more in ({}, {"all_confirmation": False}):
            status, answer = await call(both.bob, VOIDS, void_body(**more))
            assert status == 400
            assert set(answer["details"]) == {"no_all_confirmation", "no_key_ids_or_confirmation"}
        assert (await call(both.bob, VOIDS, void_body(all_confirmation="yes")))[0] == 400
        assert len(both.bob.handover._in) == 3
        assert (await call(both.bob, VOIDS, void_body(all_confirmation=True)))[0] == 202
        await both.bob.handover.step()
        states = {key.state.value for key in both.bob.handover._in.values()}
        assert states == {"void"}
        with pytest.raises(UnknownKey):
            await both.bob.service.fetch("b", "a", key_ids=key_ids)

    visit(tmp_path, tour)


def test_a_void_of_another_pair_changes_nothing(tmp_path):
    async def tour(both):
        key_id = uuid4()
        await call(both.bob, KEYS, keys_body(key_id))
        status, _ = await call(both.bob, VOIDS, void_body(key_id, initiator_sae_id="a2"))
        assert status == 400
        assert both.bob.handover._in[key_id].state.value == "held"

    visit(tmp_path, tour)


BROKEN_ACKS = {
    "a sixth word": lambda one: ack_body([one], "delivered"),
    "no word": lambda one: ack_body([one], None),
    "another pair": lambda one: ack_body([one], "relayed", initiator_sae_id="a2"),
    "other targets": lambda one: ack_body([one], "relayed", target_sae_ids=["b", "b2"]),
    "an unknown key": lambda one: ack_body([one, uuid4()], "relayed"),
    "no entry": lambda _: [],
    "no key": lambda _: ack_body([], "relayed"),
    "1,025 entries": lambda one: ack_body([one], "relayed") * 1025,
    "1,025 keys": lambda _: ack_body([uuid4() for _ in range(1025)], "relayed"),
    "an object": lambda one: ack_body([one], "relayed")[0],
    "a long message": lambda one: ack_body([one], "relayed", message="x" * 4097),
}


def test_an_acknowledgement_that_is_not_as_it_must_be_releases_nothing(tmp_path):
    async def tour(both):
        await both.alice.fill()
        both.alice.wire.loses = lambda _: "request"
        (key_id,) = await refused(both)
        for what, content in BROKEN_ACKS.items():
            status, _ = await call(both.alice, ACKS, content(key_id), peer="border-2")
            assert status == 400, what
            assert outgoing(both)[key_id].state is OutgoingState.UNCERTAIN
        status, _ = await call(both.alice, ACKS, ack_body([key_id], "relayed"), peer="border-3")
        assert status == 401
        assert outgoing(both)[key_id].state is OutgoingState.UNCERTAIN

    visit(tmp_path, tour)


def test_a_ledger_that_fails_is_answered_with_503_and_nothing_is_said_of_why(tmp_path, caplog):
    async def tour(both):
        both.bob.handover.ledger._database.execute("DROP TABLE incoming")
        status, answer = await call(both.bob, KEYS, keys_body(uuid4()))
        assert (status, answer["details"]) == (503, {"kme_failed": "yes"})

    with caplog.at_level(logging.ERROR, "e91.delivery"):
        visit(tmp_path, tour)
    assert "fails" in caplog.text


def test_no_log_line_has_a_key(tmp_path, caplog):
    value = "AAECAwQFBgc="

    async def tour(both):
        for body in (keys_body(uuid4(), value=value), keys_body(uuid4(), value=value, size=1)):
            await call(both.bob, KEYS, body)
        await both.bob.handover.step()

    with caplog.at_level(logging.DEBUG, "e91.delivery"):
        visit(tmp_path, tour)
    for said in (value, "0001020304050607", repr(bytes(range(8)))):
        assert said not in caplog.text


def test_the_peers_url_is_https_with_a_port_and_nothing_else():
    from e91.delivery.between_networks.peer_calls import host_and_port

    assert host_and_port(URLS["border-1"]) == ("127.0.0.1", 9441)
    for url in (
        "http://h:1", "https://h", "https://h:1/x", "https://u@h:1", "https://h:x", "h:1",
        "https://h:1?x", "https://h:1#x", "https://:1", "",
    ):  # fmt: skip
        with pytest.raises(ValueError, match="must be https"):
            host_and_port(url)
