"""A whole server over real TLS and real stores: who gets a key, once, and who never does."""

import base64
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from key_servers import key_ids_of, new_site, served

ENC = "/api/v1/keys/bob-app/enc_keys"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return new_site(tmp_path_factory.mktemp("site") / "pki")


@pytest.fixture(scope="module")
def server(site):
    with served(site) as running:
        running.deposit()
        yield running


@pytest.fixture
def alice(server):
    with server.client() as client:
        yield client


@pytest.fixture
def bob(server):
    with server.client("bob-app", "bob") as client:
        yield client


def test_both_applications_get_the_same_keys_in_the_order_of_the_request(alice, bob):
    status, given = alice.enc_keys(number=3, size=512)
    assert status == 200
    key_ids = key_ids_of(given)[::-1]
    status, fetched = bob.dec_keys(key_ids)
    assert (status, key_ids_of(fetched)) == (200, key_ids)
    own = {key["key_ID"]: key["key"] for key in given["keys"]}
    assert {key["key_ID"]: key["key"] for key in fetched["keys"]} == own
    assert len({base64.b64decode(key, validate=True) for key in own.values()}) == 3
    assert all(len(base64.b64decode(key)) == 64 for key in own.values())
    assert all(re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", one) for one in own)


def test_a_key_says_where_it_comes_from_at_both_ends(alice, bob):
    _, given = alice.enc_keys()
    _, fetched = bob.dec_keys(key_ids_of(given))
    for document in (given, fetched):
        origin = document["keys"][0]["key_extension"]["e91_provenance"]
        assert (origin["security"], origin["epsilon"], origin["chsh"]) == (
            "device-independent", 1e-10, 2.7,
        )  # fmt: skip
        assert document["key_container_extension"]["e91_provenance"] == origin


def test_status_states_what_requests_are_held_to(alice):
    status, found = alice.status()
    assert status == 200
    text = {"source_KME_ID": "alice", "target_KME_ID": "bob"}
    text |= {"master_SAE_ID": "alice-app", "slave_SAE_ID": "bob-app"}
    assert text.items() <= found.items()
    numbers = {"key_size": 256, "min_key_size": 64, "max_key_size": 4096, "max_SAE_ID_count": 8}
    assert (numbers | {"max_key_per_request": 128}).items() <= found.items()
    assert len(found) == 12
    assert found["status_extension"]["e91_alarm"] is None
    assert found["status_extension"]["e91_chsh"] == 2.7


def test_the_stated_count_falls_by_what_is_given(alice):
    before = alice.status()[1]["stored_key_count"]
    alice.enc_keys(number=5)
    assert alice.status()[1]["stored_key_count"] == before - 5


def test_a_key_is_delivered_once(alice, bob):
    key_ids = key_ids_of(alice.enc_keys()[1])
    assert bob.dec_keys(key_ids)[0] == 200
    status, refused = bob.dec_keys(key_ids)
    assert (status, refused["message"]) == (400, "one or more keys specified are not found on KME")


def test_a_list_is_delivered_whole_or_not_at_all(alice, bob):
    key_ids = key_ids_of(alice.enc_keys(number=2)[1])
    unknown = "00000000-0000-4000-8000-000000000000"
    assert bob.dec_keys([*key_ids, unknown])[0] == 400
    assert bob.dec_keys(key_ids)[0] == 200


def test_a_foreigner_learns_that_and_takes_nothing(server, alice, bob):
    key_ids = key_ids_of(alice.enc_keys()[1])
    unknown = "00000000-0000-4000-8000-000000000000"
    with server.client("carol-app", "bob") as carol:
        assert carol.dec_keys(key_ids) == (401, {"message": "unauthorized"})
        assert carol.dec_keys([unknown, *key_ids]) == (401, {"message": "unauthorized"})
        assert carol.dec_keys([unknown])[0] == 400
    assert alice.dec_keys(key_ids, master="bob-app")[0] in (400, 401)
    assert bob.dec_keys(key_ids)[0] == 200


def test_another_master_in_the_path_finds_nothing(server, alice, bob):
    key_ids = key_ids_of(alice.enc_keys()[1])
    for master in ("clerk", "nobody", "bob-app"):
        assert bob.dec_keys(key_ids, master=master)[0] in (400, 401)
    assert bob.dec_keys(key_ids)[0] == 200


def test_all_slaves_get_the_key_that_the_master_got(server, alice, bob):
    _, given = alice.enc_keys(additional_slave_SAE_IDs=["carol-app"])
    with server.client("carol-app", "bob") as carol:
        bodies = [client.dec_keys(key_ids_of(given))[1] for client in (bob, carol)]
    assert bodies[0]["keys"] == bodies[1]["keys"] == given["keys"]


def test_of_sixteen_requests_for_one_key_one_wins(server, alice):
    key_ids = key_ids_of(alice.enc_keys()[1])

    def fetch(_):
        with server.client("bob-app", "bob") as client:
            return client.dec_keys(key_ids)[0]

    with ThreadPoolExecutor(16) as pool:
        assert sorted(pool.map(fetch, range(16))) == [200] + 15 * [400]


def test_demands_are_met_or_refused_in_the_words_of_the_text(alice):
    assert alice.enc_keys(extension_mandatory=[{"e91_min_model": "device-independent"}])[0] == 200
    for demand in ({"e91_max_epsilon": 1e-12}, {"e91_route_type": "relayed"}):
        status, refused = alice.enc_keys(extension_mandatory=[demand])
        assert status == 400
        assert refused["message"] == "not all extension_mandatory request options could be met"


def test_wishes_are_granted_where_they_can_be(alice):
    status, found = alice.enc_keys(extension_optional=[{"e91_route_type": "link", "x": 1}])
    assert (status, found["key_container_extension"]["e91_granted"]) == (200, ["e91_route_type"])
    status, found = alice.enc_keys(extension_optional=[{"e91_route_type": "relayed"}])
    assert status == 200
    assert "e91_granted" not in found["key_container_extension"]


def test_head_takes_no_key(alice):
    before = alice.status()[1]["stored_key_count"]
    assert alice.ask("HEAD", ENC) == (405, None)
    assert alice.status()[1]["stored_key_count"] == before


def test_a_dry_store_says_when_to_ask_again(tmp_path):
    with served(tmp_path / "pki") as dry, dry.client() as client:
        status, refused = client.enc_keys()
        assert status == 503
        assert "too little key" in refused["message"]
        assert client.headers["Retry-After"] == "5"
        dry.deposit(32)
        assert client.enc_keys()[0] == 200
        assert client.enc_keys()[0] == 503
