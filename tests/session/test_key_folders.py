"""Blocks out of reports, session folders and long runs: used once, with where they come from."""

import json
import logging

import pytest

import e91
from e91.encryption.cipher import decrypt_file, encrypt_file
from e91.keys.exporting import export_key
from e91.keys.files import read_key_file
from e91.model.errors import KeyUnavailable, ProtocolAborted
from e91.model.messages import Party
from e91.session.folder import save_session
from e91.session.key_folders import blocks_of_report, session_folders, take_folder

ROUTE = ("alice", "bob")


@pytest.fixture(scope="module")
def report():
    return e91.run(e91.exact_device(visibility=0.97, seed=1), rounds=60_000, seed=1)


@pytest.fixture
def folder(report, tmp_path):
    """What a session left."""
    path = tmp_path / "session"
    path.mkdir()
    save_session(report, path)
    return path


def test_both_ends_of_a_report_are_the_parties_keys_with_what_they_claim(report):
    alice, bob = blocks_of_report(report, route=ROUTE, made_at=5.0)
    assert (alice.content, bob.content) == (bytes(report.keys.alice), bytes(report.keys.bob))
    assert alice.block_id == bob.block_id
    found = alice.provenance
    assert (found.security, found.theorem) == (report.policy.security, report.key.theorem)
    assert (found.attacks, found.epsilon) == (report.key.attacks, report.epsilon)
    assert (found.chsh, found.chsh_lower_bound) == (report.chsh.value, report.chsh.lower_bound)
    assert (found.bell_test, found.reproducible, found.made_at) == (True, True, 5.0)
    assert report.key.key_id in found.source
    assert (found.route, found.relays, found.disjoint_paths) == (ROUTE, (), 1)


def test_a_report_without_a_key_gives_no_block():
    aborted = e91.run(e91.exact_device(visibility=0.5), rounds=30_000, seed=1)
    with pytest.raises(ProtocolAborted):
        blocks_of_report(aborted, route=ROUTE, made_at=5.0)


def test_a_folder_gives_what_its_files_have_and_no_more_have_then(report, folder):
    [(alice, bob)] = take_folder(folder, route=ROUTE)
    whole = bytes(report.key)
    share = len(whole) // 2
    assert alice.content == bob.content == whole[: share - 32] + whole[share : len(whole) - 32]
    stated = json.loads((folder / "report.json").read_text())["chsh"]
    found = alice.provenance
    assert (found.chsh, found.chsh_lower_bound) == (stated["value"], stated["lower_bound"])
    assert found.made_at == (folder / "report.json").stat().st_mtime
    for party in Party:
        state = read_key_file(folder / f"{party.value}.key")
        assert len(state.remaining) == 64
    assert list(take_folder(folder, route=ROUTE)) == []


def test_what_one_end_has_used_is_in_no_block(report, folder):
    used = export_key(folder / "alice.key", 16)
    [(alice, bob)] = take_folder(folder, route=ROUTE)
    assert alice.content == bob.content
    for start in range(0, 16, 8):
        assert used.content[start : start + 8] not in alice.content
    assert len(alice.content) == len(report.key) // 8 - 64 - 16


def test_messages_under_way_keep_their_bytes(folder, tmp_path):
    plain = tmp_path / "plain"
    plain.write_bytes(b"a" * 40)
    encrypt_file(plain, tmp_path / "cipher", folder / "alice.key")
    [(alice, bob)] = take_folder(folder, route=ROUTE)
    assert alice.content == bob.content
    decrypt_file(tmp_path / "cipher", tmp_path / "again", folder / "bob.key")
    assert (tmp_path / "again").read_bytes() == b"a" * 40


def test_files_of_two_keys_or_in_the_wrong_place_are_refused(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    save_session(e91.run(e91.exact_device(visibility=0.97, seed=1), rounds=60_000, seed=2), other)
    own = (folder / "bob.key").read_bytes()
    for content in ((other / "bob.key").read_bytes(), (folder / "alice.key").read_bytes()):
        (folder / "bob.key").write_bytes(content)
        with pytest.raises(ValueError, match="key files must be"):
            list(take_folder(folder, route=ROUTE))
    (folder / "bob.key").write_bytes(own)
    assert len(list(take_folder(folder, route=ROUTE))) == 1


def test_a_long_run_gives_a_block_for_each_of_its_folders(folder, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    folder.rename(run / "block-000003")
    (run / "report.json").write_text("{}")
    assert session_folders(run) == [run / "block-000003"]
    assert len(list(take_folder(run, route=ROUTE))) == 1
    with pytest.raises(ValueError, match="holds no key files"):
        session_folders(tmp_path)


def test_key_of_a_session_in_which_an_alarm_rang_is_left_alone(folder, caplog):
    file = folder / "report.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "alarm": {"round": 5}}))
    before = (folder / "alice.key").read_bytes()
    with caplog.at_level(logging.WARNING, "e91"):
        assert list(take_folder(folder, route=ROUTE)) == []
    assert "an alarm rang" in caplog.text
    assert (folder / "alice.key").read_bytes() == before


def test_a_file_that_lacks_what_the_other_exported_is_passed_over(folder, monkeypatch):
    export_key(folder / "alice.key")
    assert list(take_folder(folder, route=ROUTE)) == []
    with pytest.raises(KeyUnavailable):
        export_key(folder / "bob.key")
