"""Clauses 5.3, 6.2 and 6.3: new keys, their number and size, other applications, extensions."""

import json
import re
from collections.abc import Iterable

from e91.delivery.https_client import Answer
from e91.delivery.probing.bench import (
    Bench,
    ProbeClause,
    TakenKey,
    document_of,
    gives,
    keys_of,
    message_of,
    shown,
)
from e91.delivery.probing.verdicts import (
    NotTestable,
    Observation,
    advised,
    failed,
    informed,
    judged,
    noted,
    passed,
)

MULTIPLE_OF_8 = "size shall be a multiple of 8"
NOT_SUPPORTED = "not all extension_mandatory parameters are supported"
OPTIONAL_NOT_HANDLED = "not all extension_optional request options handled"
_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


def _noted_keys(bench: Bench, answer: Answer) -> list[TakenKey]:
    """Return the keys of an answer, and remember that they were taken."""
    keys = keys_of(answer) if gives(answer) else []
    bench.key_ids += [key.key_id for key in keys]
    return keys


def _defaults(bench: Bench) -> Observation:
    answer = bench.enc({})
    keys, size = _noted_keys(bench, answer), bench.stated("key_size")
    if answer.status == 503:
        raise NotTestable(f"no key could be taken for it: {shown(answer)}")
    good = len(keys) == 1 and len(keys[0].content) == -(-size // 8)
    bits = f" of {8 * len(keys[0].content)} bits" if keys else ""
    return judged(good=good, words=f"POST of an empty object: {shown(answer)}{bits}; "
                  f"key_size is {size}")  # fmt: skip


def _get(bench: Bench) -> Observation:
    path, size = f"{bench.peer_path}/enc_keys", bench.stated("key_size")
    queries = ("", f"?number=2&size={size}")
    answers = [bench.ask(bench.master, "GET", path + query) for query in queries]
    numbers = [len(_noted_keys(bench, answer)) for answer in answers]
    words = f"GET: {shown(answers[0])}; GET with number and size: {shown(answers[1])}"
    return advised(good=numbers == [1, 2], words=words)


def _container(bench: Bench) -> Observation:
    answer = bench.enc({})
    keys = _noted_keys(bench, answer)
    if not gives(answer):
        raise NotTestable(f"no key could be taken for it: {shown(answer)}")
    document = document_of(answer)
    if "Keys" in document and "keys" not in document:
        return noted("the array is called `Keys`, as a table prints it, not `keys`")
    if not keys:
        return failed("the array `keys` has no key with key_ID and key")
    return passed("an array `keys` of objects with key_ID and key")


def _identifiers(bench: Bench) -> Observation:
    (key,) = bench.take()
    is_uuid = bool(_UUID.fullmatch(key.key_id))
    return judged(good=is_uuid, words=f"a key_ID looks like {_pattern(key.key_id)}")


def _pattern(text: str) -> str:
    """Return the form of an ID, without its digits."""
    return re.sub("[0-9a-fA-F]", "x", text[:60])


def _base64(bench: Bench) -> Observation:
    (key,) = bench.take()
    return judged(good=bool(key.content), words=f"a key is {'' if key.content else 'not '}base64")


def _number(bench: Bench) -> Observation:
    most = bench.stated("max_key_per_request")
    wanted = min(3, most)
    answer = bench.enc({"number": wanted})
    keys = _noted_keys(bench, answer)
    if answer.status == 503:
        raise NotTestable(f"no key could be taken for it: {shown(answer)}")
    different = len({key.key_id for key in keys}) == len({key.text for key in keys}) == wanted
    return judged(good=len(keys) == wanted and different,
                  words=f"number {wanted}: {shown(answer)}")  # fmt: skip


def _size(bench: Bench) -> Observation:
    least, usual, most = (bench.stated(f"{name}key_size") for name in ("min_", "", "max_"))
    other = next((size for size in (least, most) if size != usual and size % 8 == 0), None)
    if other is None:
        raise NotTestable("the status allows one size only")
    answer = bench.enc({"size": other})
    keys = _noted_keys(bench, answer)
    if answer.status == 503:
        raise NotTestable(f"no key could be taken for it: {shown(answer)}")
    found = [8 * len(key.content) for key in keys]
    return judged(good=found == [other], words=f"size {other}: {shown(answer)}, bits: {found}")


def _odd_size(bench: Bench) -> Observation:
    least = bench.stated("min_key_size")
    odd = least + 1 if least % 8 != 7 else least + 2
    if odd > bench.stated("max_key_size"):
        raise NotTestable("the status allows one size only")
    answer = bench.enc({"size": odd})
    keys = _noted_keys(bench, answer)
    words = f"size {odd}: {shown(answer)}"
    if gives(answer):
        return judged(good=[len(key.content) for key in keys] == [-(-odd // 8)], words=words)
    return judged(good=(answer.status, message_of(answer)) == (400, MULTIPLE_OF_8), words=words)


def _beyond_limits(bench: Bench) -> Observation:
    numbers = [bench.stated("max_key_per_request") + 1, 0, -1, 10**6, 10**30]
    sizes = [bench.stated("max_key_size") + 8, bench.stated("min_key_size") - 8, 0, -8]
    asked: list[dict[str, object]] = [{"number": number} for number in numbers]
    asked += [{"size": size} for size in sizes]
    return _all_refused(bench, asked)


def _wrong_types(bench: Bench) -> Observation:
    values: tuple[object, ...] = (1.5, "2", True, None, [], {})
    asked: list[dict[str, object]] = [{"number": value} for value in values]
    asked += [{"size": value} for value in ("x", True, [64])]
    asked += [{"additional_slave_SAE_IDs": "x"}, {"additional_slave_SAE_IDs": [1]}]
    return _all_refused(bench, asked)


def _all_refused(bench: Bench, asked: Iterable[object]) -> Observation:
    """Return whether all of some wrong requests get 400: success is a failure, others a note."""
    given, others = [], []
    for one in asked:
        answer = bench.enc(one)
        _noted_keys(bench, answer)
        if gives(answer):
            given.append(json.dumps(one)[:60])
        elif answer.status != 400:
            others.append(f"{json.dumps(one)[:60]}: {answer.status}")
    if given:
        return failed(f"served: {', '.join(given)}")
    if others:
        return noted(f"refused, but not with 400: {', '.join(others)}")
    return passed("all refused with 400")


def _garbage(bench: Bench) -> Observation:
    path = f"{bench.peer_path}/enc_keys"
    bodies = (
        b"{",
        b"garbage",
        b"[]",
        b"7",
        b'{"number":1} {"number":1}',
        b"\xff\xfe",
        b"[" * 50_000,
    )
    codes = []
    for body in bodies:
        answer = bench.ask(bench.master, "POST", path, body=body)
        _noted_keys(bench, answer)
        codes.append(answer.status)
    if any(200 <= code < 300 for code in codes):
        return failed(f"what is no JSON object is served: {codes}")
    return advised(good=set(codes) == {400}, words=f"what is no JSON object is answered: {codes}")


def _twice_named(bench: Bench) -> Observation:
    path = f"{bench.peer_path}/enc_keys"
    answer = bench.ask(bench.master, "POST", path, body=b'{"number":1,"number":2}')
    _noted_keys(bench, answer)
    return informed(f"a member that stands twice: {shown(answer)}")


def _no_body(bench: Bench) -> Observation:
    answer = bench.ask(bench.master, "POST", f"{bench.peer_path}/enc_keys", body=b"")
    _noted_keys(bench, answer)
    return informed(f"POST without a body: {shown(answer)}")


def _other_content_type(bench: Bench) -> Observation:
    answer = bench.ask(
        bench.master, "POST", f"{bench.peer_path}/enc_keys", body=b"{}",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )  # fmt: skip
    _noted_keys(bench, answer)
    return informed(f"JSON under the name of a form, as curl sends it: {shown(answer)}")


def _large_body(bench: Bench) -> Observation:
    body = b'{"number":' + b" " * 2_000_000 + b"1}"
    answer = bench.ask(bench.master, "POST", f"{bench.peer_path}/enc_keys", body=body)
    _noted_keys(bench, answer)
    return informed(f"a body of 2 MB: {shown(answer)}")


def _foreign_query(bench: Bench) -> Observation:
    path = f"{bench.peer_path}/enc_keys?additional_slave_SAE_IDs={bench.master.name}"
    answer = bench.ask(bench.master, "GET", path)
    _noted_keys(bench, answer)
    return advised(good=not gives(answer),
                   words=f"GET with additional SAEs, which need POST: {shown(answer)}")  # fmt: skip


def _head(bench: Bench) -> Observation:
    answer = bench.ask(bench.master, "HEAD", f"{bench.peer_path}/enc_keys")
    lost = "; it may take a key that nobody gets" if gives(answer) else ""
    return advised(good=not gives(answer), words=f"HEAD enc_keys: {answer.status}{lost}")


def _multicast(bench: Bench) -> Observation:
    most = bench.stated("max_SAE_ID_count")
    third = bench.stranger
    answer = bench.enc({"additional_slave_SAE_IDs": [third.name]})
    keys = _noted_keys(bench, answer)
    if most == 0:
        words = f"max_SAE_ID_count is 0; an additional SAE: {shown(answer)}"
        return judged(good=answer.status == 400, words=words)
    if answer.status == 503 or len(keys) != 1:
        return failed(f"an additional SAE: {shown(answer)}")
    fetched = [bench.dec(who, [keys[0].key_id]) for who in (third, bench.other)]
    same = [[key.text for key in keys_of(one)] == [keys[0].text] for one in fetched]
    words = f"the additional SAE: {shown(fetched[0])}; the slave: {shown(fetched[1])}"
    return judged(good=all(same), words=words)


def _mandatory(bench: Bench) -> Observation:
    answer = bench.enc({"extension_mandatory": [{"probe_nonexistent": 1}]})
    _noted_keys(bench, answer)
    good = (answer.status, message_of(answer)) == (400, NOT_SUPPORTED)
    return judged(good=good, words=f"an unknown mandatory extension: {shown(answer)}")


def _optional(bench: Bench) -> Observation:
    answer = bench.enc({"extension_optional": [{"probe_nonexistent": 1}]})
    keys = _noted_keys(bench, answer)
    if answer.status == 503:
        raise NotTestable(f"no key could be taken for it: {shown(answer)}")
    refused = (answer.status, message_of(answer)) == (400, OPTIONAL_NOT_HANDLED)
    return judged(good=len(keys) == 1 or refused,
                  words=f"an unknown optional extension: {shown(answer)}")  # fmt: skip


def _unknown_slave(bench: Bench) -> Observation:
    path = "/api/v1/keys/probe-nobody-has-this-name/enc_keys"
    answer = bench.ask(bench.master, "POST", path, body=b"{}")
    _noted_keys(bench, answer)
    return judged(good=not gives(answer), words=f"keys for an unknown SAE: {shown(answer)}")


def _count_falls(bench: Bench) -> Observation:
    before = bench.stated("stored_key_count")
    bench.take(min(2, bench.stated("max_key_per_request")))
    after = bench.stated("stored_key_count")
    return advised(good=after < before or after == bench.stated("max_key_count"),
                   words=f"stored_key_count {before}, after two keys {after}")  # fmt: skip


GIVING = (
    ProbeClause("enc-defaults", "5.3, 6.2",
                "Without arguments one key of key_size bits is given.", _defaults, keys=1),
    ProbeClause("enc-container", "6.3",
                "A key container has an array of keys.", _container, keys=1),
    ProbeClause("enc-key-id", "6.3", "A key_ID is a UUID.", _identifiers, keys=1),
    ProbeClause("enc-base64", "6.3", "A key is base64.", _base64, keys=1),
    ProbeClause("enc-get", "5.3, table 5",
                "GET serves simple requests.", _get, keys=3),
    ProbeClause("enc-number", "6.2",
                "As many different keys are given as were asked for.", _number, keys=3),
    ProbeClause("enc-size", "6.2", "A key has the size asked for.", _size, keys=1),
    ProbeClause("enc-multiple-of-8", "6.2",
                "Another size is served, or refused with the text's sentence.", _odd_size, keys=1),
    ProbeClause("enc-limits", "6.1, 6.2",
                "Numbers and sizes beyond the stated limits are refused with 400.",
                _beyond_limits),
    ProbeClause("enc-types", "table 6",
                "Values of wrong types are refused with 400.", _wrong_types),
    ProbeClause("enc-garbage", "table 6",
                "What is no JSON object is refused with 400.", _garbage),
    ProbeClause("enc-member-twice", "RFC 8259",
                "A member that stands twice is left open.", _twice_named, keys=2),
    ProbeClause("enc-empty-body", "6.2", "An empty body is left open.", _no_body, keys=1),
    ProbeClause("enc-content-type", "5.1, table 1",
                "Another content type of a request is left open.", _other_content_type, keys=1),
    ProbeClause("enc-large-body", "-", "A limit of bodies is left open.", _large_body, keys=1),
    ProbeClause("enc-get-simple", "6.2",
                "More than number and size needs POST.", _foreign_query, keys=1),
    ProbeClause("enc-head", "RFC 9110", "HEAD changes nothing.", _head, keys=1),
    ProbeClause("enc-unknown-slave", "table 6",
                "An unknown SAE gets no keys.", _unknown_slave),
    ProbeClause("enc-multicast", "6.2",
                "Additional SAEs get the same key.", _multicast, keys=1),
    ProbeClause("enc-mandatory", "6.2",
                "An unknown mandatory extension is refused with the text's sentence.", _mandatory),
    ProbeClause("enc-optional", "6.2",
                "An unknown optional extension is ignored, or refused with the text's sentence.",
                _optional, keys=1),
    ProbeClause("enc-count", "6.1",
                "stored_key_count falls by what is taken.", _count_falls, keys=2),
)  # fmt: skip
"""What can be seen where new keys are asked for."""
