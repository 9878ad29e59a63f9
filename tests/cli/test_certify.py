"""``e91 kme init``, ``renew`` and ``revoke``."""

import json
import tomllib

import pytest


@pytest.fixture
def folder(status, tmp_path):
    assert status("kme", "init", tmp_path / "keys")[0] == 0
    return tmp_path / "keys"


def test_by_default_two_kmes_and_an_application_at_each(folder):
    found = tomllib.loads((folder / "kme.toml").read_text())
    assert [kme["id"] for kme in found["kme"]] == ["alice", "bob"]
    assert [sae["id"] for sae in found["sae"]] == ["alice-app", "bob-app"]
    assert found["service"] == {"health": "127.0.0.1:8442"}


def test_init_says_what_it_made_and_what_comes_next(status, tmp_path):
    code, printed, complaint = status("kme", "init", tmp_path / "k")
    assert (code, complaint) == (0, "")
    assert "sae  bob-app    until " in printed
    assert printed.endswith(f"Next: e91 kme serve {tmp_path / 'k' / 'kme.toml'}\n")
    assert "PRIVATE KEY" not in printed


def test_init_takes_names_and_places(status, tmp_path):
    code, printed, _ = status(
        "kme", "init", tmp_path / "k", "--kme", "A=[::1]:9000", "--kme", "B=b.example:0",
        "--sae", "x@A", "--sae", "y=z@B", "--days", "0.5", "--json",
    )  # fmt: skip
    assert code == 0
    found = json.loads(printed)
    assert [one["name"] for one in found["certificates"]] == ["A", "B", "x", "y=z"]
    written = tomllib.loads((tmp_path / "k" / "kme.toml").read_text())
    assert [kme["listen"] for kme in written["kme"]] == ["[::1]:9000", "b.example:0"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--kme", "alice"], "`--kme` must be NAME=HOST:PORT, but is `alice`."),
        (["--kme", "a=b:c"], "`--kme` must be NAME=HOST:PORT, but is `a=b:c`."),
        (["--kme", "a=b:70000"], "must lie in [0, 65535], but is 70000."),
        (["--sae", "x"], "`--sae` must be NAME@KME, but is `x`."),
        (["--sae", "x@carol"], "`--sae` must be at one of alice, bob, but x is at `carol`."),
        (["--health", "here"], "`--health` must be a host and a port like"),
        (["--days", "0"], "`--days` must lie in (0, 3,650], but is 0."),
    ],
)
def test_wrong_places_are_a_sentence_and_leave_nothing(status, tmp_path, options, sentence):
    code, printed, complaint = status("kme", "init", tmp_path / "k", *options)
    assert (code, printed) == (2, "")
    assert sentence in complaint
    assert list(tmp_path.iterdir()) == []


def test_init_refuses_a_folder_that_holds_something(status, folder):
    code, _, complaint = status("kme", "init", folder)
    assert code == 2
    assert "must be a new or an empty folder, but it holds files." in complaint


def test_renew_and_revoke_by_name(status, folder):
    code, printed, _ = status("kme", "renew", "alice-app", "--in", folder, "--json")
    assert code == 0
    assert [one["new_key"] for one in json.loads(printed)["certificates"]] == [False]
    code, printed, _ = status("kme", "revoke", "alice-app", "--in", folder)
    assert (code, printed) == (0, f"{folder / 'ca.crl'}: 2 certificates of alice-app revoked.\n")
    assert "all were before" in status("kme", "revoke", "alice-app", "--in", folder)[1]


@pytest.mark.parametrize("command", ["renew", "revoke"])
def test_unknown_names_and_folders_are_a_sentence(status, folder, tmp_path, command):
    code, _, complaint = status("kme", command, "alice-ap", "--in", folder)
    assert code == 2
    assert "but `alice-ap` has none; did you mean `alice-app`?" in complaint
    code, _, complaint = status("kme", command, "alice-app", "--in", tmp_path)
    assert code == 2
    assert "must be an authority's private key, but no such file or directory." in complaint


def test_a_name_of_a_kme_and_of_an_sae_has_to_be_said_in_full(status, tmp_path):
    place = tmp_path / "k"
    assert status("kme", "init", place, "--kme", "a=h:1", "--sae", "a@a")[0] == 0
    code, _, complaint = status("kme", "revoke", "a", "--in", place)
    assert code == 2
    assert "say kme-a or sae-a." in complaint
    assert status("kme", "revoke", "sae-a", "--in", place)[0] == 0
