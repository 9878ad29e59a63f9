"""Clauses 5.2 and 6.1: the status of the keys that two applications have for each other."""

from e91.delivery.probing.bench import Bench, ProbeClause, document_of, gives, shown
from e91.delivery.probing.verdicts import (
    NotTestable,
    Observation,
    advised,
    failed,
    informed,
    judged,
    passed,
)

TEXTS = ("source_KME_ID", "target_KME_ID", "master_SAE_ID", "slave_SAE_ID")
NUMBERS = (
    "key_size",
    "stored_key_count",
    "max_key_count",
    "max_key_per_request",
    "max_key_size",
    "min_key_size",
    "max_SAE_ID_count",
)


def _answers(bench: Bench) -> Observation:
    answer = bench.status()
    return judged(good=answer.status == 200, words=f"GET status: {shown(answer)}")


def _fields(bench: Bench) -> Observation:
    found = document_of(bench.status())
    wrong = [name for name in TEXTS if not isinstance(found.get(name), str)]
    wrong += [name for name in NUMBERS if not _is_count(found.get(name))]
    if wrong:
        return failed(f"missing, or of another type: {', '.join(wrong)}")
    extension = found.get("status_extension")
    if extension is not None and not isinstance(extension, dict):
        return failed("status_extension is no object")
    return passed("all eleven fields, of the types of the text")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _roles(bench: Bench) -> Observation:
    found = document_of(bench.status())
    master, slave = found.get("master_SAE_ID"), found.get("slave_SAE_ID")
    good = (master, slave) == (bench.master.name, bench.peer_id)
    return judged(good=good, words=f"master is {master}, slave is {slave}")


def _kmes(bench: Bench) -> Observation:
    found = document_of(bench.status())
    source, target = found.get("source_KME_ID"), found.get("target_KME_ID")
    return informed(f"source is {source}, target is {target}")


def _limits(bench: Bench) -> Observation:
    found = document_of(bench.status())
    numbers = {name: found.get(name) for name in NUMBERS}
    if not all(_is_count(value) for value in numbers.values()):
        raise NotTestable("the status states no whole numbers")
    least, usual, most = (bench.stated(f"{name}key_size") for name in ("min_", "", "max_"))
    in_order = 0 < least <= usual <= most
    fits = bench.stated("stored_key_count") <= bench.stated("max_key_count")
    words = f"key sizes {least} <= {usual} <= {most}; stored at most max_key_count: {fits}"
    return advised(good=in_order and fits and numbers["max_key_per_request"] != 0, words=words)


def _foreign_members(bench: Bench) -> Observation:
    known = {*TEXTS, *NUMBERS, "status_extension"}
    extra = sorted(document_of(bench.status()).keys() - known)
    words = (
        f"members that the text does not have: {', '.join(extra)}" if extra else "no other members"
    )
    return advised(good=not extra, words=words)


def _unknown_sae(bench: Bench) -> Observation:
    path = "/api/v1/keys/probe-nobody-has-this-name/status"
    answer = bench.ask(bench.master, "GET", path)
    return advised(good=not gives(answer), words=f"status of an unknown SAE: {shown(answer)}")


def _post(bench: Bench) -> Observation:
    answer = bench.ask(bench.master, "POST", f"{bench.peer_path}/status", body=b"{}")
    return advised(good=not gives(answer), words=f"POST status: {shown(answer)}")


STATUS = (
    ProbeClause("status-get", "5.2, table 3", "GET gives the status.", _answers),
    ProbeClause("status-fields", "6.1",
                "The status has eleven fields of given types.", _fields),
    ProbeClause("status-roles", "6.1",
                "The caller is the master, the SAE of the path the slave.", _roles),
    ProbeClause("status-kmes", "6.1", "The KMEs of both SAEs are named.", _kmes),
    ProbeClause("status-limits", "6.1", "The limits make sense together.", _limits),
    ProbeClause("status-extension", "6.1",
                "What is not in the text stands in status_extension.", _foreign_members),
    ProbeClause("status-unknown-sae", "5.2, table 4",
                "An unknown SAE has no status.", _unknown_sae),
    ProbeClause("status-post", "table 3", "Status is asked for with GET.", _post),
)  # fmt: skip
"""What the status says."""
