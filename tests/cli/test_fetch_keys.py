"""``e91 key fetch`` and ``e91 key list`` against a real server of keys."""

import base64
import json
import os
import stat

import pytest
from key_servers import served

from e91.system import durable


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with served(tmp_path_factory.mktemp("site") / "pki") as running:
        running.deposit(100_000)
        running.deposit(1_000, made_at=1e9, source="an old session")
        yield running


@pytest.fixture
def call(server, status):
    """Run `e91 key fetch` as an application; return its status, output and complaint."""

    def fetch(sae, *more, command="fetch"):
        kme, peer = ("alice", "bob-app") if sae == "alice-app" else ("bob", "alice-app")
        url = f"https://127.0.0.1:{server.port(kme)}"
        place = ["--in", server.folder, "--as", sae, "--kme", url, "--peer", peer]
        return status("key", command, *place, *more)

    return fetch


def stored(server):
    """How many keys the server has for the two."""
    with server.client() as client:
        return client.status()[1]["stored_key_count"]


def test_one_end_asks_and_the_other_fetches_by_id(call, tmp_path):
    code, printed, said = call("alice-app", "--number", 2, "--size", 512, "--out", tmp_path / "a")
    assert (code, said) == (0, "")
    keys = json.loads((tmp_path / "a").read_text())["keys"]
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert {len(base64.b64decode(key["key"])) for key in keys} == {64}
    ids = [option for key in reversed(keys) for option in ("--key-id", key["key_ID"])]
    assert call("bob-app", *ids, "--out", tmp_path / "b")[0] == 0
    fetched = json.loads((tmp_path / "b").read_text())["keys"]
    assert [key["key"] for key in fetched] == [key["key"] for key in reversed(keys)]
    assert keys[0]["key_extension"]["e91_provenance"]["security"] == "device-independent"
    for key in keys:
        assert key["key_ID"] in printed
        assert key["key"] not in printed


def test_a_key_is_delivered_once(call):
    code, printed, _ = call("alice-app", "--format", "hex", "--json")
    (key,) = json.loads(printed)["keys"]
    assert call("bob-app", "--key-id", key["key_id"], "--format", "hex")[1] == f"{key['key']}\n"
    code, printed, said = call("bob-app", "--key-id", key["key_id"], "--format", "hex")
    assert (code, printed) == (2, "")
    assert "refuses (400): one or more keys specified are not found on KME." in said


@pytest.mark.parametrize("form", ["hex", "base64", "raw"])
def test_every_format_holds_the_bits(call, tmp_path, form):
    out = tmp_path / "keys"
    code, printed, _ = call(
        "alice-app", "--number", 2, "--size", 128, "--format", form, "--out", out, "--json"
    )
    assert code == 0
    written = out.read_bytes()
    lines = {"hex": bytes.fromhex, "base64": base64.b64decode}
    bits = (
        written
        if form == "raw"
        else b"".join(lines[form](line) for line in written.decode().splitlines())
    )
    assert len(bits) == 32
    reported = json.loads(printed)
    assert [key["bits"] for key in reported["keys"]] == [128, 128]
    assert all("key" not in key for key in reported["keys"])


def test_nothing_is_printed_unless_a_format_is_asked_for(call, server):
    before = stored(server)
    code, printed, said = call("alice-app")
    assert (code, printed) == (2, "")
    assert "`--out` or `--format` must be given, as keys are delivered once." in said
    assert stored(server) == before


def test_demands_on_where_a_key_comes_from_are_sent(call):
    wishes = ["--min-model", "device-independent", "--max-epsilon", "1e-9", "--max-age", 3600,
              "--route-type", "link", "--disjoint-paths", 1, "--format", "hex"]  # fmt: skip
    assert call("alice-app", *wishes)[0] == 0
    code, _, said = call("alice-app", "--max-epsilon", "1e-12", "--format", "hex")
    assert code == 2
    assert "not all extension_mandatory request options could be met" in said


def test_another_application_gets_the_same_key(call, server, status):
    code, printed, _ = call("alice-app", "--also", "carol-app", "--format", "hex", "--json")
    assert code == 0
    (key,) = json.loads(printed)["keys"]
    with server.client("carol-app", "bob") as carol:
        found = carol.dec_keys([key["key_id"]])[1]["keys"][0]["key"]
    assert base64.b64decode(found).hex() == key["key"]


def test_a_file_that_exists_is_refused_before_the_server_is_asked(call, server, tmp_path):
    (tmp_path / "taken").write_text("mine")
    before = stored(server)
    code, _, said = call("alice-app", "--out", tmp_path / "taken")
    assert code == 2
    assert "must not exist yet, but does" in said
    assert (tmp_path / "taken").read_text() == "mine"
    assert stored(server) == before


def test_a_full_disk_names_the_keys_that_are_lost(call, tmp_path, monkeypatch):
    real, asked = os.write, []

    def full(descriptor, content):
        if b"key_ID" in bytes(content[:40]) and not asked:
            asked.append(bytes(content))
            raise OSError(28, "No space left on device")
        return real(descriptor, content)

    monkeypatch.setattr(durable.os, "write", full)
    code, printed, said = call("alice-app", "--out", tmp_path / "a")
    monkeypatch.undo()
    (key,) = json.loads(asked[0])["keys"]
    assert (code, printed) == (1, "")
    assert f"no space left on device; delivered, and lost: {key['key_ID']}." in said
    assert key["key"] not in said
    assert list(tmp_path.iterdir()) == []


def test_list_tells_what_a_file_holds_and_no_bits(call, status, tmp_path):
    call("alice-app", "--number", 2, "--out", tmp_path / "a")
    keys = json.loads((tmp_path / "a").read_text())["keys"]
    code, printed, _ = status("key", "list", tmp_path / "a")
    assert code == 0
    for key in keys:
        assert f"{key['key_ID']}  256" in printed
        assert key["key"] not in printed
    assert "device-independent" in printed
    assert "alice - bob" in printed
    listed = json.loads(status("key", "list", tmp_path / "a", "--json")[1])["keys"]
    assert [key["key_id"] for key in listed] == [key["key_ID"] for key in keys]
    assert listed[0]["provenance"]["route"] == ["alice", "bob"]


def test_list_of_nothing_is_a_sentence(status):
    code, printed, said = status("key", "list")
    assert (code, printed) == (2, "")
    assert "must be given a FILE, or a server by `--kme` or `--in`, but is not." in said


def test_list_of_a_server_is_its_status(call):
    code, printed, _ = call("alice-app", "--json", command="list")
    assert code == 0
    assert json.loads(printed)["target_KME_ID"] == "bob"


@pytest.mark.parametrize("content", ["", "{}", '{"keys": [{"key_ID": "a"}]}', "secret-bits"])
def test_list_refuses_other_files_without_a_word_of_them(status, tmp_path, content):
    (tmp_path / "f").write_text(content)
    code, printed, said = status("key", "list", tmp_path / "f")
    assert (code, printed) == (2, "")
    assert "secret" not in said


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--as", "alice-ap"], "but is `alice-ap`; did you mean `alice-app`?"),
        (["--key-id", "x", "--size", 8], "`--key-id` must come without what describes new keys."),
        (["--out", "-"], "`--out` must be a new file"),
        (["--json", "--format", "raw"], "must come without `--json`"),
        (["--kme", "http://a"], "must be https://HOST:PORT"),
    ],
)
def test_wrong_wishes_are_a_sentence(call, more, sentence):
    code, _, said = call("alice-app", "--format", "hex", *more)
    assert code == 2
    assert sentence in said


def test_without_a_server_the_missing_option_is_named(status):
    for given, missing in (
        (["--peer", "b"], "`--kme` must be given, or `--in DIR --as SAE`, but is not."),
        (["--kme", "https://a"], "`--peer` must be given, but is not."),
        (["--peer", "b", "--as", "c"], "`--as` must come with `--in`, but there is none."),
        (["--peer", "b", "--in", "c"], "`--in` must come with `--as SAE`, but does not."),
    ):
        code, _, said = status("key", "fetch", *given, "--format", "hex")
        assert code == 2
        assert missing in said
