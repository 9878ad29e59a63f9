"""Clauses 5.4 and 6.4: keys by their IDs, for whom they are, once."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor

from e91.delivery.https_client import HttpsClient
from e91.delivery.probing.bench import (
    KEYS_NOT_FOUND,
    Application,
    Bench,
    ProbeClause,
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
    judged,
    noted,
    passed,
)
from e91.model.errors import DeliveryFailed

_AT_ONCE = 16


def _same_key(bench: Bench) -> Observation:
    keys = bench.take(min(3, bench.stated("max_key_per_request")))
    ids = [key.key_id for key in reversed(keys)]
    answer = bench.dec(bench.other, ids)
    found = {key.key_id.lower(): key.text for key in keys_of(answer)}
    same = found == {key.key_id.lower(): key.text for key in keys}
    words = f"keys by ID: {shown(answer)}{'' if same else '; not the keys that were given'}"
    return judged(good=answer.status == 200 and same, words=words)


def _get(bench: Bench) -> Observation:
    (key,) = bench.take()
    path = f"{bench.master.path}/dec_keys?key_ID={key.key_id}"
    answer = bench.ask(bench.other, "GET", path)
    same = [one.text for one in keys_of(answer)] == [key.text]
    return advised(good=same, words=f"GET with one key_ID: {shown(answer)}")


def _once(bench: Bench) -> Observation:
    (key,) = bench.take()
    first, second = (bench.dec(bench.other, [key.key_id]) for _ in range(2))
    if not gives(first):
        raise NotTestable(f"the key could not be fetched once: {shown(first)}")
    if gives(second):
        return failed("a delivered key is delivered again")
    return _not_found(second.status, message_of(second), f"the second request: {shown(second)}")


def _not_found(status: int, message: str | None, words: str) -> Observation:
    """Return whether an answer is the one of the text for IDs without a key."""
    return judged(good=(status, message) == (400, KEYS_NOT_FOUND), words=words)


def _once_at_once(bench: Bench) -> Observation:
    (key,) = bench.take()
    body = json.dumps({"key_IDs": [{"key_ID": key.key_id}]}).encode()
    other = bench.other

    def fetch(_: int) -> bool:
        client = HttpsClient(other.https.place, other.https.context, bench.timeout_s)
        try:
            return gives(client.ask("POST", f"{bench.master.path}/dec_keys", body=body))
        except DeliveryFailed:
            return False
        finally:
            client.close()

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        served = sum(pool.map(fetch, range(_AT_ONCE)))
    return judged(good=served == 1, words=f"{_AT_ONCE} requests at once: {served} got the key")


def _unknown(bench: Bench) -> Observation:
    answer = bench.dec(bench.other, [str(uuid.uuid4())])
    return _not_found(answer.status, message_of(answer), f"an unknown key_ID: {shown(answer)}")


def _foreign(bench: Bench) -> Observation:
    (key,) = bench.take()
    answer = bench.dec(bench.stranger, [key.key_id])
    after = bench.dec(bench.other, [key.key_id])
    words = f"an SAE that was not named: {shown(answer)}; then the slave: {shown(after)}"
    return judged(good=answer.status == 401 and gives(after), words=words)


def _foreign_among(bench: Bench) -> Observation:
    third = bench.stranger
    answer = bench.enc({"additional_slave_SAE_IDs": [third.name]})
    shared = keys_of(answer)
    if not gives(answer) or not shared:
        raise NotTestable(f"needs a key for an additional SAE: {shown(answer)}")
    (private,) = bench.take()
    answer = bench.dec(third, [shared[0].key_id, private.key_id])
    after = bench.dec(third, [shared[0].key_id])
    words = f"a right and a foreign key_ID: {shown(answer)}; then the right one: {shown(after)}"
    if answer.status != 401:
        return failed(words)
    return advised(good=gives(after), words=words)


def _master_fetches(bench: Bench) -> Observation:
    (key,) = bench.take()
    path = f"{bench.peer_path}/dec_keys"
    body = json.dumps({"key_IDs": [{"key_ID": key.key_id}]}).encode()
    answers = [bench.ask(bench.master, "POST", path, body=body),
               bench.dec(bench.master, [key.key_id])]  # fmt: skip
    words = f"the master asks for its own key by ID: {shown(answers[0])}; {shown(answers[1])}"
    if any(gives(answer) for answer in answers):
        return failed(words)
    return advised(good=all(answer.status in (400, 401) for answer in answers), words=words)


def _path_names_master(bench: Bench) -> Observation:
    (key,) = bench.take()
    wrong = bench.dec(bench.other, [key.key_id], master=bench.peer_id)
    words = f"with the slave's own ID in the path: {shown(wrong)}"
    return advised(good=not gives(wrong), words=words)


def _wrong_master(bench: Bench) -> Observation:
    third = bench.stranger
    (key,) = bench.take()
    wrong = bench.dec(bench.other, [key.key_id], master=third.name)
    return advised(good=not gives(wrong), words=f"under another master: {shown(wrong)}")


def _all_or_nothing(bench: Bench) -> Observation:
    (key,) = bench.take()
    answer = bench.dec(bench.other, [key.key_id, str(uuid.uuid4())])
    after = bench.dec(bench.other, [key.key_id])
    words = f"a known and an unknown key_ID: {shown(answer)}; then the known one: {shown(after)}"
    if gives(answer):
        return failed(words)
    if (answer.status, message_of(answer)) != (400, KEYS_NOT_FOUND):
        return failed(words)
    return advised(good=gives(after), words=words)


def _malformed(bench: Bench) -> Observation:
    (key,) = bench.take()
    some = str(uuid.uuid4())
    documents: tuple[object, ...] = (
        {}, {"key_IDs": []}, {"key_IDs": {}}, {"key_IDs": [some]}, {"key_IDs": [{}]},
        {"key_IDs": [{"key_ID": 7}]}, {"key_IDs": [{"key_ID": "x"}]}, {"key_IDs": None},
        {"key_IDs": [{"key_ID": key.key_id}] * 2},
    )  # fmt: skip
    answers = [bench.dec_with(bench.other, one) for one in documents]
    served = [number for number, answer in enumerate(answers) if gives(answer)]
    codes = [answer.status for answer in answers]
    if served:
        shown_ones = ", ".join(json.dumps(documents[number])[:40] for number in served)
        return failed(f"malformed requests are served: {shown_ones}")
    return advised(good=set(codes) == {400}, words=f"malformed requests are answered: {codes}")


def _two_by_get(bench: Bench) -> Observation:
    one, two = (bench.take()[0].key_id for _ in range(2))
    path = f"{bench.master.path}/dec_keys?key_ID={one}&key_ID={two}"
    answer = bench.ask(bench.other, "GET", path)
    return advised(good=not gives(answer), words=f"GET with two key_IDs: {shown(answer)}")


def _upper_case(bench: Bench) -> Observation:
    (key,) = bench.take()
    answer = bench.dec(bench.other, [key.key_id.upper()])
    return advised(good=gives(answer), words=f"a key_ID in upper case: {shown(answer)}")


def _extension_objects(bench: Bench) -> Observation:
    (key,) = bench.take()
    document = {
        "key_IDs": [{"key_ID": key.key_id, "key_ID_extension": {}}],
        "key_IDs_extension": {},
    }
    answer = bench.dec_with(bench.other, document)
    words = f"empty key_ID_extension and key_IDs_extension: {shown(answer)}"
    return passed(words) if gives(answer) else noted(words)


def _reversed_roles(bench: Bench) -> Observation:
    other: Application = bench.other
    answer = bench.ask(other, "GET", f"{bench.master.path}/status")
    return advised(good=gives(answer), words=f"the slave asks for the status: {shown(answer)}")


FETCHING = (
    ProbeClause("dec-same-key", "5.4, 6.4",
                "The slave gets by their IDs the keys that the master got.", _same_key, keys=3),
    ProbeClause("dec-get", "5.4, table 7", "GET serves one key_ID.", _get, keys=1),
    ProbeClause("dec-once", "5.4",
                "A delivered key is removed.", _once, keys=1),
    ProbeClause("dec-once-at-once", "5.4",
                "Of several requests for a key one gets it.", _once_at_once, keys=1),
    ProbeClause("dec-unknown", "5.4",
                "An ID without a key is refused with the text's sentence.", _unknown),
    ProbeClause("dec-foreign", "5.4",
                "An SAE that was not named when the key was given gets 401.", _foreign, keys=1),
    ProbeClause("dec-foreign-among", "5.4",
                "A foreign key_ID among right ones gets 401.", _foreign_among, keys=2),
    ProbeClause("dec-master", "5.4",
                "The master was not named as an SAE that gets the key.", _master_fetches, keys=1),
    ProbeClause("dec-path", "5.4, table 7",
                "The path of dec_keys names the master.", _path_names_master, keys=1),
    ProbeClause("dec-wrong-master", "5.4",
                "Another SAE in the path is not the key's master.", _wrong_master, keys=1),
    ProbeClause("dec-all-or-nothing", "5.4",
                "If one key cannot be delivered, none is.", _all_or_nothing, keys=1),
    ProbeClause("dec-malformed", "table 8",
                "Malformed requests are refused with 400.", _malformed, keys=1),
    ProbeClause("dec-two-by-get", "6.4", "Several key_IDs need POST.", _two_by_get, keys=2),
    ProbeClause("dec-upper-case", "RFC 9562",
                "A UUID may be written in upper case.", _upper_case, keys=1),
    ProbeClause("dec-extensions", "6.4",
                "The extension objects are for future use.", _extension_objects, keys=1),
    ProbeClause("status-slave", "5.2",
                "The status is for either SAE of a pair.", _reversed_roles),
)  # fmt: skip
"""What can be seen where keys are fetched by their IDs."""
