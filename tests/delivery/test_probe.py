"""The probe passes a right server, and names the very rule that a wrong one breaks."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from key_servers import new_site, served
from small_kme import small_kme

from e91.delivery import (
    AuthorityPlan,
    KmePlace,
    SaePlace,
    new_authority,
    renew,
    revoke,
)
from e91.delivery.probing import ProbePlan, ProbeVerdict, probe
from e91.delivery.probing.probe import CLAUSES, keys_needed
from e91.model.errors import DeliveryFailed

SAES = ("alice-app", "bob-app", "carol-app")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("authority") / "pki"
    kmes = (KmePlace("alice", "127.0.0.1", 0), KmePlace("other", "127.0.0.1", 0))
    new_authority(place, AuthorityPlan(kmes, tuple(SaePlace(name, "alice") for name in SAES)))
    return place


def plan_for(folder, url, **changes):
    files = {}
    for role, name in zip(("", "peer_", "third_"), SAES, strict=True):
        files[f"{role}certificate"] = folder / f"sae-{name}.crt"
        files[f"{role}private_key"] = folder / f"sae-{name}.key"
    return ProbePlan(url, **{**files, "ca": folder / "ca.crt", "timeout_s": 5.0, **changes})


def looked_at(
    folder, *faults, names=None, stem="kme-alice", pool=10_000, peer_name=None, **changes
):
    """The verdict of every row about a small server with these faults."""
    changes["names"] = (None, peer_name, None)
    clauses = [clause for clause in CLAUSES if names is None or clause.name in names]
    with small_kme(folder, *faults, stem=stem, pool=pool) as server:
        report = probe(plan_for(folder, server.url, **changes), clauses=clauses)
    return {row.name: row.verdict for row in report.rows}


@pytest.fixture(scope="module")
def right(folder):
    """What is seen of a right server."""
    return looked_at(folder)


def test_a_right_server_breaks_nothing(right):
    assert {name for name, verdict in right.items() if verdict is ProbeVerdict.FAIL} == set()
    assert {name for name, verdict in right.items() if verdict is ProbeVerdict.NOTE} == {
        "error-codes"  # 404 and 405, which the tables do not have
    }
    assert {name for name, verdict in right.items() if verdict is ProbeVerdict.NOT_TESTED} == {
        "certificate-validity", "enc-dry", "body-slow",
    }  # fmt: skip


def bundled(folder, stem, target):
    """A certificate and its key in one file."""
    content = (folder / f"{stem}.crt").read_bytes() + (folder / f"{stem}.key").read_bytes()
    target.write_bytes(content)
    return target


def test_our_own_server_breaks_nothing_whatever_is_tried(tmp_path):
    folder = new_site(tmp_path / "pki", settings="request_s = 1")
    renew(folder, ["clerk"], moment=datetime.now(UTC) - timedelta(days=30))
    refused = [bundled(folder, "sae-clerk", tmp_path / "ended.pem")]
    renew(folder, ["clerk"])
    revoke(folder, "clerk")
    refused.append(bundled(folder, "sae-clerk", tmp_path / "revoked.pem"))
    refused.append(bundled(folder, "kme-bob", tmp_path / "kme.pem"))
    with served(folder) as server:
        server.deposit(20_000)
        urls = {kme: f"https://127.0.0.1:{server.port(kme)}" for kme in ("alice", "bob")}
        report = probe(plan_for(
            folder, urls["alice"], peer_url=urls["bob"], drain=True, slow_body_s=20.0,
            must_refuse=tuple((file, None) for file in refused),
        ))  # fmt: skip
    seen = {row.name: row.verdict for row in report.rows}
    assert {name for name, verdict in seen.items() if verdict is ProbeVerdict.FAIL} == set()
    assert {name for name, verdict in seen.items() if verdict is ProbeVerdict.NOTE} == {
        "error-codes"  # 404, 405 and 413, which the tables do not have
    }
    assert ProbeVerdict.NOT_TESTED not in seen.values()
    [slow] = [row.words for row in report.rows if row.name == "body-slow"]
    assert slow.startswith("a body that does not come: 408 after")


FAIL, NOTE = ProbeVerdict.FAIL, ProbeVerdict.NOTE

MUTANTS = [
    ("delivers again", "dec-once", FAIL),
    ("no lock", "dec-once-at-once", FAIL),
    ("other bits", "dec-same-key", FAIL),
    ("unknown is 404", "dec-unknown", FAIL),
    ("other words for unknown", "dec-unknown", FAIL),
    ("gives to anybody", "dec-foreign", FAIL),
    ("foreign is 400", "dec-foreign", FAIL),
    ("foreign is 400", "dec-foreign-among", FAIL),
    ("master may fetch", "dec-master", FAIL),
    ("burns the good ones", "dec-all-or-nothing", NOTE),
    ("any master", "dec-wrong-master", NOTE),
    ("any master", "dec-path", NOTE),
    ("any id", "dec-malformed", FAIL),
    ("any query", "dec-two-by-get", NOTE),
    ("extension objects refused", "dec-extensions", NOTE),
    ("lets anybody in", "certificate-demanded", FAIL),
    ("plain", "https-only", FAIL),
    ("old tls", "tls-not-old", FAIL),
    ("believes headers", "caller-by-certificate", FAIL),
    ("no content type", "content-type", FAIL),
    ("field missing", "status-fields", FAIL),
    ("counts as text", "status-fields", FAIL),
    ("roles exchanged", "status-roles", FAIL),
    ("limits crossed", "status-limits", NOTE),
    ("knows everybody", "status-unknown-sae", NOTE),
    ("status by post", "status-post", NOTE),
    ("no get", "enc-get", NOTE),
    ("no get", "dec-get", NOTE),
    ("one too few", "enc-number", FAIL),
    ("size ignored", "enc-size", FAIL),
    ("other words for 8", "enc-multiple-of-8", FAIL),
    ("no limits", "enc-limits", FAIL),
    ("503 for limits", "enc-limits", NOTE),
    ("any type", "enc-types", FAIL),
    ("garbage is defaults", "enc-garbage", FAIL),
    ("any query", "enc-get-simple", NOTE),
    ("head takes a key", "enc-head", NOTE),
    ("no multicast", "enc-multicast", FAIL),
    ("mandatory ignored", "enc-mandatory", FAIL),
    ("optional refused", "enc-optional", FAIL),
    ("no uuid", "enc-key-id", FAIL),
    ("url base64", "enc-base64", FAIL),
    ("Keys", "enc-container", NOTE),
    ("dry is 500", "enc-dry", FAIL),
]


@pytest.mark.parametrize(("fault", "name", "verdict"), MUTANTS)
def test_the_broken_rule_is_named(folder, right, fault, name, verdict):
    changes = {"drain": True, "pool": 30} if name == "enc-dry" else {}
    assert right[name] is ProbeVerdict.PASS or name == "enc-dry"
    assert looked_at(folder, fault, names={name}, **changes)[name] is verdict


@pytest.mark.parametrize(
    ("fault", "before", "name", "verdict"),
    [
        ("no message", "dec-unknown", "error-message", FAIL),
        ("empty 401", "dec-foreign", "error-401", NOTE),
        ("one id", "enc-number", "keys-different", FAIL),
        ("dry is 500", "enc-dry", "error-codes", FAIL),
    ],
)
def test_what_only_many_answers_show_is_named_last(folder, right, fault, before, name, verdict):
    changes = {"drain": True, "pool": 30} if before == "enc-dry" else {}
    if before == "enc-dry":
        with small_kme(folder, fault, pool=30) as server:
            clauses = {clause.name: clause for clause in CLAUSES}
            asked = [clauses["enc-dry"], clauses["error-codes"]]
            report = probe(plan_for(folder, server.url, drain=True), clauses=asked)
        assert report.rows[-1].verdict is verdict
        return
    assert looked_at(folder, fault, names={before, name}, **changes)[name] is verdict


def test_a_server_that_waits_for_a_slow_body_is_seen(folder):
    with small_kme(folder) as server:
        [clause] = [clause for clause in CLAUSES if clause.name == "body-slow"]
        report = probe(plan_for(folder, server.url, slow_body_s=0.2), clauses=[clause])
    assert "still waited for" in report.rows[0].words


def test_an_emptied_pool_is_503(folder):
    found = looked_at(folder, names={"enc-dry"}, drain=True, pool=30)
    assert found == {"enc-dry": ProbeVerdict.PASS}


def test_a_server_whose_certificate_has_another_kme_id_is_noted(folder):
    found = looked_at(folder, names={"kme-named"}, stem="kme-other")
    assert found == {"kme-named": ProbeVerdict.NOTE}


def test_certificates_that_have_ended_or_are_revoked_are_tried_if_given(folder, tmp_path):
    good = bundled(folder, "sae-bob-app", tmp_path / "any.pem")
    changes = {"names": {"certificate-validity"}}
    found = looked_at(folder, must_refuse=((good, None),), **changes)
    assert found == {"certificate-validity": ProbeVerdict.FAIL}  # it is a good one, and served


def test_without_certificates_rows_are_not_tested_and_nothing_fails(folder):
    found = looked_at(folder, peer_certificate=None, third_certificate=None)
    assert ProbeVerdict.FAIL not in found.values()
    assert found["dec-once"] is found["status-get"] is ProbeVerdict.NOT_TESTED
    found = looked_at(folder, peer_certificate=None, names=None, peer_name="bob-app")
    assert ProbeVerdict.FAIL not in found.values()
    assert found["dec-once"] is ProbeVerdict.NOT_TESTED
    for name in ("status-fields", "certificate-demanded", "enc-defaults", "enc-mandatory"):
        assert found[name] is ProbeVerdict.PASS
    found = looked_at(folder, names={"dec-foreign", "dec-once"}, third_certificate=None)
    assert found == {"dec-once": ProbeVerdict.PASS, "dec-foreign": ProbeVerdict.NOT_TESTED}


def test_no_key_is_taken_where_none_may_be(folder):
    with small_kme(folder) as server:
        report = probe(plan_for(folder, server.url, consume=False))
        assert not server.keys
    assert report.keys_taken == keys_needed(plan_for(folder, "https://a", consume=False)) == 0
    assert report.conforms


def test_no_more_keys_are_taken_than_are_announced(folder):
    plan = plan_for(folder, "https://127.0.0.1")
    with small_kme(folder, pool=10_000) as server:
        report = probe(plan_for(folder, server.url))
        assert 10_000 - server.pool <= keys_needed(plan)
    assert report.keys_taken <= keys_needed(plan)


def test_rows_are_named_once_and_no_row_shows_a_key(folder):
    assert len({clause.name for clause in CLAUSES}) == len(CLAUSES)
    with small_kme(folder, "delivers again") as server:
        report = probe(plan_for(folder, server.url))
        text = json.dumps(report.to_dict())
        shown = [bits.hex() for bits, _, _ in server.keys.values()]
    assert shown
    assert not any(bits in text for bits in shown)
    assert not report.conforms


def test_what_a_server_sends_cannot_paint_the_terminal(folder):
    clauses = [clause for clause in CLAUSES if clause.name in ("status-kmes", "kme-named")]
    with small_kme(folder, "paints the terminal") as server:
        report = probe(plan_for(folder, server.url), clauses=clauses)
    for row in report.rows:
        assert row.words.isprintable()
        assert "x" * 100 in row.words
        assert len(row.words) < 700


def test_a_server_that_is_not_there_is_an_error_not_a_report(folder):
    with pytest.raises(DeliveryFailed, match="must be reached over TLS"):
        probe(plan_for(folder, "https://127.0.0.1:1"))


def arguments(folder, url):
    found = [url, "--ca", folder / "ca.crt"]
    for role, name in zip(("", "peer-", "third-"), SAES, strict=True):
        found += [f"--{role}certificate", folder / f"sae-{name}.crt"]
        found += [f"--{role}private-key", folder / f"sae-{name}.key"]
    return found


def test_the_command_announces_prints_rows_and_ends_with_a_verdict(folder, status):
    with small_kme(folder) as server:
        code, printed, said = status("kme", "probe", *arguments(folder, server.url))
    assert code == 0
    assert said.startswith("e91: This probe takes at most ")
    assert "PASS       dec-once (5.4): A delivered key is removed." in printed
    assert "was not seen to break ETSI GS QKD 014 V1.1.1" in printed.splitlines()[-1]
    with small_kme(folder, "delivers again") as server:
        code, printed, _ = status("kme", "probe", *arguments(folder, server.url), "--json")
    found = json.loads(printed)
    assert (code, found["conforms"]) == (3, False)
    assert [row["name"] for row in found["rows"] if row["verdict"] == "FAIL"] == [
        "dec-once", "dec-once-at-once",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--drain", "--no-consume"], "must come without `--no-consume`"),
        (["--timeout", "0"], "must lie in (0, 3600]"),
        (["--peer-certificate", "/none"], "must be a readable, non-empty file"),
    ],
)
def test_wrong_wishes_are_a_sentence(folder, status, more, sentence):
    code, printed, said = status("kme", "probe", *arguments(folder, "https://127.0.0.1:1"), *more)
    assert (code, printed) == (2, "")
    assert sentence in said
    assert said.count("e91: ") == 1  # and no word of keys that it might have taken
