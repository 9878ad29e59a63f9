"""Every row of the interface that a request alone decides: what is planned, or why it is not."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e91.delivery.etsi014.plans import FetchPlan, GivePlan, StatusPlan, plan_of
from e91.delivery.etsi014.refusals014 import Refused
from e91.delivery.etsi014.site import KeySite
from e91.delivery.http.exchange import HttpRequest
from e91.delivery.tls.identity import PeerIdentity
from e91.model.trust import SecurityModel

SITE = KeySite(
    "alice",
    {"alice-app": "alice", "clerk": "alice", "bob-app": "bob", "carol-app": "bob", "ü/1 %": "bob"},
)
ENC, DEC, STATUS = (f"/api/v1/keys/bob-app/{name}" for name in ("enc_keys", "dec_keys", "status"))
KEY_ID = "bc490419-7d60-487f-adc1-4ddcc177c139"
OTHER_ID = "0a782fb5-3434-48fe-aa4d-14f41d46cf92"
DIGITS = st.integers(-(10**30), 10**30)


def asked(method="GET", target=ENC, body=b"", *, sae="alice-app", headers=None):
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    return HttpRequest(method, target, headers or {}, content, PeerIdentity(sae=sae))


def plan(*arguments, site=SITE, **options):
    return plan_of(asked(*arguments, **options), site)


def refusal(*arguments, site=SITE, **options):
    with pytest.raises(Refused) as caught:
        plan_of(asked(*arguments, **options), site)
    return caught.value


def posted(**members):
    return plan("POST", ENC, members)


def refused_post(status=400, **members):
    found = refusal("POST", ENC, members)
    assert found.status == status
    return found.message


# Which method is called.


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
@pytest.mark.parametrize("target", [ENC, DEC])
def test_no_other_method_takes_a_key(method, target):
    found = refusal(method, target)
    assert (found.status, dict(found.headers)) == (405, {"Allow": "GET, POST"})


@pytest.mark.parametrize("method", ["HEAD", "POST"])
def test_status_is_for_get_alone(method):
    found = refusal(method, STATUS)
    assert (found.status, dict(found.headers)) == (405, {"Allow": "GET"})


@pytest.mark.parametrize(
    "target",
    [
        "/", "*", "", "/api/v1/keys/bob-app", "/api/v1/keys/bob-app/", "/api/v1/keys//enc_keys",
        "/api/v1/keys/bob-app/enc_keys/", "/api/v1/keys/bob-app/keys", "/api/v2/keys/b/enc_keys",
        "/api/v1/keys/../enc_keys", "/api/v1/keys/./enc_keys", "/api/v1/keys/a/../b/enc_keys",
        "//api/v1/keys/bob-app/enc_keys", "/api/v1/keys/bob-app/ENC_KEYS",
    ],
)  # fmt: skip
def test_any_other_path_is_not_found(target):
    assert refusal("GET", target).status == 404


def test_an_id_is_decoded_once_and_after_the_path_is_split():
    for encoded in ("%C3%BC%2F1%20%25", "%c3%bc%2f1%20%25"):
        assert plan("GET", f"/api/v1/keys/{encoded}/status").slave == "ü/1 %"


@pytest.mark.parametrize("peer", ["%", "%2", "%zz", "%FF", "x" * 65, "a%00b", "a%0Ab"])
def test_a_broken_id_is_a_bad_request(peer):
    assert refusal("GET", f"/api/v1/keys/{peer}/enc_keys").status == 400


# Who calls.


@pytest.mark.parametrize("sae", [None, "bob-app", "mallory"])
def test_who_is_not_served_here_is_unauthorized_whatever_is_asked(sae):
    for target in (STATUS, ENC, DEC, "/api/v1/keys/nobody/enc_keys?size=7"):
        found = refusal("GET", target, sae=sae)
        assert (found.status, found.message, found.details) == (401, "unauthorized", ())


def test_a_blocked_sae_is_unauthorized():
    site = replace(SITE, blocked=frozenset({"clerk"}))
    assert refusal("GET", ENC, sae="clerk", site=site).status == 401
    assert plan("GET", ENC, sae="alice-app", site=site)


@pytest.mark.parametrize("name", ["X-Client-DN", "Request-SAE-ID", "X-SSL-Client-S-DN"])
def test_no_header_says_who_calls(name):
    headers = {name.lower(): "CN=bob-app"}
    assert plan("GET", ENC, headers=headers).master == "alice-app"


def test_who_asks_too_often_waits():
    with pytest.raises(Refused) as caught:
        plan_of(asked(), SITE, wait_s=lambda sae: 2.3 if sae == "alice-app" else 0.0)
    assert caught.value.status == 503
    assert dict(caught.value.headers) == {"Retry-After": "3"}


def test_a_stranger_does_not_count_against_any_rate():
    def never(_):
        raise AssertionError

    with pytest.raises(Refused, match="unauthorized"):
        plan_of(asked(sae="mallory"), SITE, wait_s=never)


# Status.


def test_the_caller_of_status_is_the_master():
    assert plan("GET", STATUS) == StatusPlan("alice-app", "bob-app")


@pytest.mark.parametrize("peer", ["mallory", "alice-app"])
def test_status_of_nobody_or_oneself_is_a_bad_request(peer):
    assert refusal("GET", f"/api/v1/keys/{peer}/status").status == 400


def test_status_of_a_pair_that_is_not_allowed_looks_like_that_of_nobody():
    site = replace(SITE, pairs=frozenset({("alice-app", "carol-app")}))
    kept, unknown = (
        refusal("GET", f"/api/v1/keys/{peer}/status", site=site) for peer in ("bob-app", "mallory")
    )
    assert kept.status == unknown.status == 400
    assert kept.reply.body == unknown.reply.body


def test_status_takes_no_parameters():
    assert refusal("GET", f"{STATUS}?size=256").status == 400


# Get key.


def test_without_arguments_one_key_of_the_stated_size_is_given():
    for found in (plan("GET", ENC), plan("POST", ENC), plan("POST", ENC, {})):
        assert (found.number, found.size, found.slaves) == (1, 256, ("bob-app",))


def test_get_and_post_plan_the_same():
    assert plan("GET", f"{ENC}?number=3&size=512") == posted(number=3, size=512)


@pytest.mark.parametrize(
    "query",
    [
        "additional_slave_SAE_IDs=carol-app", "extension_mandatory=x", "number=1&number=2",
        "number", "number=", "number=-1", "number=+1", "number=1.0", "number=0x1", "number=%31%30a",
        "size=1000000000000", "number=٣", "&", "number=1&", "NUMBER=1", "key_ID=" + KEY_ID, "%zz=1",
    ],
)  # fmt: skip
def test_a_query_has_number_and_size_and_nothing_twice(query):
    assert refusal("GET", f"{ENC}?{query}").status == 400


def test_post_takes_its_parameters_from_the_body_alone():
    assert refusal("POST", f"{ENC}?number=2", {}).status == 400


def test_a_body_of_get_is_no_argument():
    assert plan("GET", ENC, {"number": 5}).number == 1


@pytest.mark.parametrize("value", [2, 2.0])
def test_an_integral_number_is_whole_as_json_has_it(value):
    assert posted(number=value).number == 2


@pytest.mark.parametrize("value", [True, False, "2", None, [], {}, 1.5, 0, -1, 129, 10**6, 10**30])
def test_a_number_outside_its_range_is_refused(value):
    assert "number" in refused_post(number=value)


@pytest.mark.parametrize("size", [1, 7, 63, 65, 257, 4097, -1, 10**30 + 1])
def test_no_multiple_of_8_is_said_in_the_words_of_the_text_before_any_range(size):
    assert refused_post(size=size) == "size shall be a multiple of 8"


@pytest.mark.parametrize("size", [0, 56, 4104, -8, 8 * 10**30])
def test_a_size_outside_its_range_is_refused(size):
    assert refused_post(size=size) == "size must lie in 64 to 4096"


@pytest.mark.parametrize("size", [64, 72, 4096])
def test_the_ends_of_the_range_of_sizes_are_in_it(size):
    assert posted(size=size).size == size


def test_additional_slaves_come_after_that_of_the_path():
    assert posted(additional_slave_SAE_IDs=["carol-app"]).slaves == ("bob-app", "carol-app")
    assert posted(additional_slave_SAE_IDs=[]).slaves == ("bob-app",)


@pytest.mark.parametrize(
    "saes",
    [["bob-app"], ["carol-app", "carol-app"], ["alice-app"], ["mallory"], ["carol-app"] * 9,
     "carol-app", [1], None, {}],
)  # fmt: skip
def test_slaves_are_known_others_and_each_once(saes):
    assert refused_post(additional_slave_SAE_IDs=saes)


def test_a_key_for_oneself_is_refused():
    assert refusal("GET", "/api/v1/keys/alice-app/enc_keys").status == 400


def test_a_pair_that_is_not_allowed_is_unauthorized():
    site = replace(SITE, pairs=frozenset({("alice-app", "bob-app")}))
    assert plan("GET", ENC, site=site)
    body = {"additional_slave_SAE_IDs": ["carol-app"]}
    assert refusal("POST", ENC, body, site=site).status == 401


def test_an_unknown_mandatory_extension_is_named_in_the_words_of_the_text():
    found = refusal("POST", ENC, {"extension_mandatory": [{"x_one": 1}, {"x_two": {}}]})
    assert found.message == "not all extension_mandatory parameters are supported"
    assert [entry["extension_mandatory_unsupported"] for entry in found.details] == [
        "x_one is not supported",
        "x_two is not supported",
    ]


def test_an_unknown_extension_is_said_before_the_size():
    assert "supported" in refused_post(size=257, extension_mandatory=[{"x": 1}])


@pytest.mark.parametrize("name", ["extension_mandatory", "extension_optional"])
@pytest.mark.parametrize("value", [{}, [1], "x", None, [None], [{"e91_max_age": 1}] * 2])
def test_an_extension_is_an_array_of_objects_without_a_name_twice(name, value):
    assert refused_post(**{name: value})


def test_mandatory_extensions_become_conditions():
    demands = [
        {"e91_min_model": "device-independent", "e91_max_epsilon": 1e-9},
        {"e91_route_type": "link", "e91_disjoint_paths": 2.0, "e91_max_age": 60},
    ]
    found = posted(extension_mandatory=demands).conditions
    assert found.min_model is SecurityModel.DEVICE_INDEPENDENT
    assert (found.max_epsilon, found.route_type, found.disjoint_paths) == (1e-9, "link", 2)
    assert found.max_age_s == 60.0


@pytest.mark.parametrize(
    "demand",
    [
        {"e91_min_model": "perfect"}, {"e91_min_model": 1}, {"e91_max_epsilon": "small"},
        {"e91_max_epsilon": 2}, {"e91_max_epsilon": True}, {"e91_route_type": "satellite"},
        {"e91_route_type": None}, {"e91_disjoint_paths": 0}, {"e91_disjoint_paths": 1.5},
        {"e91_max_age": -1}, {"e91_max_age": {}}, {"e91_disjoint_paths": 10**400},
    ],
)  # fmt: skip
def test_an_impossible_demand_cannot_be_met(demand):
    message = refused_post(extension_mandatory=[demand])
    assert "could be met" in message or "too large" in message


def test_optional_extensions_are_wishes_and_never_refused():
    found = posted(extension_optional=[{"e91_max_age": 5, "x_any": 1}, {"e91_min_model": "?"}])
    assert (found.wishes, found.wished.max_age_s, found.conditions.max_age_s) == (
        ("e91_max_age",), 5.0, None,
    )  # fmt: skip


def test_a_demand_beats_a_wish():
    demanded, wished = [{"e91_max_age": 5}], [{"e91_max_age": 9}]
    found = posted(extension_mandatory=demanded, extension_optional=wished)
    assert found.wished.max_age_s == 5.0


# Get key with key IDs.


def test_key_ids_keep_the_order_of_the_request():
    found = plan("POST", DEC, {"key_IDs": [{"key_ID": OTHER_ID}, {"key_ID": KEY_ID}]})
    assert [str(key_id) for key_id in found.key_ids] == [OTHER_ID, KEY_ID]
    assert (found.slave, found.master) == ("alice-app", "bob-app")


def test_one_key_id_can_be_asked_for_with_get_in_capitals_too():
    for text in (KEY_ID, KEY_ID.upper()):
        assert str(plan("GET", f"{DEC}?key_ID={text}").key_ids[0]) == KEY_ID


@pytest.mark.parametrize(
    "query",
    ["", f"key_ID={KEY_ID}&key_ID={OTHER_ID}", f"key_ID={KEY_ID},{OTHER_ID}", "number=1",
     f"key_id={KEY_ID}", f"key_ID={KEY_ID}&number=1"],
)  # fmt: skip
def test_get_takes_exactly_one_key_id(query):
    assert refusal("GET", f"{DEC}?{query}").status == 400


@pytest.mark.parametrize(
    "key_id",
    [KEY_ID.replace("-", ""), f"{{{KEY_ID}}}", f"urn:uuid:{KEY_ID}", KEY_ID[:-1], "", 7, None,
     KEY_ID.replace("-", " "), f"-{KEY_ID[1:]}", "0x" + KEY_ID[2:], "é" * 36],
)  # fmt: skip
def test_a_key_id_is_a_uuid_as_it_is_written(key_id):
    assert refusal("POST", DEC, {"key_IDs": [{"key_ID": key_id}]}).status == 400


@pytest.mark.parametrize(
    "body",
    [
        {}, {"key_IDs": []}, {"key_IDs": None}, {"key_IDs": {"key_ID": KEY_ID}},
        {"key_IDs": [KEY_ID]}, {"key_IDs": [{"key_ID": KEY_ID}] * 2}, {"key_IDs": [{}]},
        {"key_IDs": [{"key_ID": KEY_ID}, {"key_ID": KEY_ID.upper()}]},
        {"key_IDs": [{"key_ID": KEY_ID, "key": ""}]}, {"key_ids": [{"key_ID": KEY_ID}]},
        {"key_IDs": [{"key_ID": KEY_ID, "key_ID_extension": []}]},
        {"key_IDs": [{"key_ID": KEY_ID}], "key_IDs_extension": None},
        {"key_IDs": [{"key_ID": KEY_ID[:-3] + f"{n:03x}"} for n in range(129)]},
    ],
)  # fmt: skip
def test_a_list_of_key_ids_has_its_form(body):
    assert refusal("POST", DEC, body).status == 400


def test_extensions_for_future_use_are_no_error():
    body = {"key_IDs": [{"key_ID": KEY_ID, "key_ID_extension": {}}], "key_IDs_extension": {"a": 1}}
    assert isinstance(plan("POST", DEC, body), FetchPlan)


# Bodies.


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "text/json"])
def test_a_body_of_another_kind_is_refused(kind):
    found = refusal("POST", ENC, {}, headers={"content-type": kind})
    assert found.status == 400
    assert "content-type" in found.message


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
def test_json_may_have_parameters(kind):
    assert plan("POST", ENC, {}, headers={"content-type": kind})


def test_an_empty_body_needs_no_kind():
    assert plan("POST", ENC, headers={"content-type": "application/x-www-form-urlencoded"})


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"[]", b"null", b"1", b'"x"', b'{"number":1}{"number":1}', b'{"number":1} x',
        b'{"number":1,"number":1}', b'{"number":NaN}', b'{"number":Infinity}', b'{"number":1e999}',
        b'{"number":' + b"9" * 5000 + b"}", b"\xef\xbb\xbf{}", '{"number":1}'.encode("utf-16"),
        b'{"size":"\xff"}', b"{'number':1}", b'{"number":01}', b"[" * 100_000, b'{"a":' * 30_000,
b'{"extension_optional":[{"a":"\\ud800"}]}', b'{"extension_optional":[{"a":1,"\\u0061":2}]}',
        b'{"number":null}', b" ", b"\x00",
    ],
)  # fmt: skip
def test_a_hostile_body_is_a_bad_request(body):
    found = refusal("POST", ENC, body)
    assert found.status == 400
    assert len(found.reply.body) < 200


def test_a_body_that_is_too_large_is_said_to_be():
    assert refusal("POST", ENC, None).status == 413


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | DIGITS | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)
MEMBERS = st.sampled_from(
    ["number", "size", "additional_slave_SAE_IDs", "extension_mandatory", "extension_optional"]
)


def outcome(*arguments):
    """Return the kind of a plan, or the status of a refusal."""
    try:
        return type(plan(*arguments))
    except Refused as refused:
        return refused.status


@given(st.dictionaries(MEMBERS, JSON_VALUES), st.sampled_from([ENC, DEC]))
def test_any_json_becomes_a_plan_or_a_refusal(body, target):
    assert outcome("POST", target, body) in (GivePlan, 400)


@given(st.binary(max_size=300))
def test_any_bytes_become_a_plan_or_a_refusal(body):
    assert outcome("POST", ENC, body) in (GivePlan, 400)


@given(st.text(max_size=60))
def test_any_target_becomes_a_plan_or_a_refusal(text):
    for target in (text, f"/api/v1/keys/{text}/enc_keys", f"{ENC}?{text}", f"{DEC}?key_ID={text}"):
        assert outcome("GET", target) in (GivePlan, FetchPlan, 400, 404)


def test_every_refusal_is_the_error_object_of_the_text():
    for found in (refusal("GET", ENC, sae=None), refusal("POST", ENC, {"size": 7})):
        document = json.loads(found.reply.body)
        assert isinstance(document["message"], str)
        assert document.keys() <= {"message", "details"}
