"""Clause 6.5 and what only many answers together show: errors, status codes, IDs, an empty pool."""

from collections.abc import Iterable

from e91.delivery.https_client import Answer
from e91.delivery.probing.bench import (
    Bench,
    ProbeClause,
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
    judged,
    passed,
)

_IN_TABLES = {200, 400, 401, 503}
_MOST_DRAINS = 100_000


def _different(bench: Bench) -> Observation:
    ids = [key_id.lower() for key_id in bench.key_ids]
    return judged(good=len(set(ids)) == len(ids),
                  words=f"{len(ids)} keys with {len(set(ids))} different key_IDs")  # fmt: skip


def _messages(bench: Bench) -> Observation:
    errors = [answer for answer in bench.answers if answer.status in (400, 503)]
    if not errors:
        raise NotTestable("there was no error")
    mute = [answer for answer in errors if message_of(answer) is None]
    wrong = [answer for answer in errors if not _details_fit(answer)]
    words = f"{len(errors)} errors, {len(mute)} without a message"
    return judged(good=not mute and not wrong,
                  words=words + "; details are no array of objects" * bool(wrong))  # fmt: skip


def _details_fit(answer: Answer) -> bool:
    details = document_of(answer).get("details", [])
    return isinstance(details, list) and all(isinstance(one, dict) for one in details)


def _unauthorized(bench: Bench) -> Observation:
    found = [answer for answer in bench.answers if answer.status == 401]
    if not found:
        raise NotTestable("401 was never answered")
    has_message = all(message_of(answer) is not None for answer in found)
    words = (
        "401 has a message" if has_message else "401 has no message; a public client fails without"
    )
    return advised(good=has_message, words=words)


def _codes(bench: Bench) -> Observation:
    codes = sorted({answer.status for answer in bench.answers if answer.status >= 300})
    server = [code for code in codes if code >= 500 and code != 503]
    others = [code for code in codes if code not in _IN_TABLES and code < 500]
    if server:
        return failed(f"errors of the server that are not 503: {server}")
    return advised(good=not others, words=f"errors: {codes}; not in the tables: {others or 'none'}")


def _drain(bench: Bench) -> Observation:
    if not bench.drains:
        raise NotTestable("would empty the pool (`--drain`)")
    most = bench.stated("max_key_per_request")
    for answer in _taken_until_refused(bench, most):
        words = f"more keys than there are: {shown(answer)}"
        return judged(good=answer.status == 503 and message_of(answer) is not None, words=words)
    raise NotTestable(f"{_MOST_DRAINS:,} keys did not empty the pool")


def _taken_until_refused(bench: Bench, most: int) -> Iterable[Answer]:
    """Take keys until none is left; give the refusal."""
    number, taken = max(1, most), 0
    while taken < _MOST_DRAINS:
        answer = bench.enc({"number": number})
        if not gives(answer):
            yield answer
            return
        found = [key.key_id for key in keys_of(answer)]
        bench.key_ids += found
        taken += max(1, len(found))


def _alive(bench: Bench) -> Observation:
    answer = bench.status()
    return passed("the server still answers") if gives(answer) else failed(shown(answer))


CLOSING = (
    ProbeClause("keys-different", "6.3", "No key_ID is given twice.", _different),
    ProbeClause("error-message", "6.5",
                "400 and 503 have a message; details are objects.", _messages),
    ProbeClause("error-401", "tables 4, 6, 8",
                "401 has no body model; a message helps clients.", _unauthorized),
    ProbeClause("error-codes", "tables 4, 6, 8",
                "Errors are 400, 401 and 503.", _codes),
    ProbeClause("enc-dry", "table 6",
                "Without enough keys the answer is 503.", _drain, keys=1),
    ProbeClause("alive", "-", "After all that the server still answers.", _alive),
)  # fmt: skip
"""What is judged last."""
