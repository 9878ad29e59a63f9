"""A recording is used once: as a value, as a file, copied, cut, or after an abort."""

import copy
import fcntl
import json
import multiprocessing
import pickle
from dataclasses import replace

import numpy as np
import pytest

from e91.devices.exact import exact_device
from e91.model.errors import Abort, AlreadyUsed, ProtocolAborted
from e91.model.messages import Message, Party
from e91.model.randomness import seeded_entropy
from e91.model.records import DetectionRecord, PartyRecord
from e91.model.settings import EKERT
from e91.optics.tags.time_tags import TimeTags
from e91.recorded import ledger as used_recordings
from e91.recorded.fingerprints import fingerprints_of, fingerprints_of_tags
from e91.recorded.ledger import use_up
from e91.recorded.record_files import load_detections, save_detections
from e91.security.policy import Policy
from e91.session.session import analyse, measure, run
from e91.session.streaming import stream

POLICY = Policy(epsilon=1e-6)
ROUNDS = 60_000


def measured(seed=2, *, rounds=ROUNDS, visibility=0.97):
    device = exact_device(visibility=visibility, seed=seed)
    return measure(device, rounds, settings=EKERT, entropy=seeded_entropy(seed))


def of_rounds(record, rounds):
    return DetectionRecord(
        *(PartyRecord(h.setting[rounds], h.outcome[rounds]) for h in (record.alice, record.bob))
    )


def altered(message):
    return replace(message, body=b"\0" + message.body) if message.subject == "sample" else message


def forgotten(monkeypatch):
    """Forget what this process used, as another process does not know it."""
    monkeypatch.setattr(used_recordings, "_used_here", {})


# As a value ---------------------------------------------------------------------------------------


def test_recording_makes_one_key():
    record = measured()
    assert analyse(record, policy=POLICY).abort is None
    with pytest.raises(AlreadyUsed, match=r"took part in a conversation at 20.*recorded detect"):
        analyse(record, policy=POLICY)


def test_recording_whose_analysis_was_aborted_is_used_up():
    record = measured()
    assert analyse(record, policy=POLICY, transmission=altered).abort is Abort.NOT_AUTHENTIC
    with pytest.raises(AlreadyUsed):
        analyse(record, policy=POLICY)


@pytest.mark.parametrize(
    "again",
    [
        copy.deepcopy,
        lambda record: pickle.loads(pickle.dumps(record)),
        lambda record: of_rounds(record, slice(None)),
        lambda record: of_rounds(record, slice(ROUNDS // 3, ROUNDS // 2)),
        lambda record: of_rounds(record, slice(1, None)),
        lambda record: of_rounds(record, np.arange(ROUNDS) % 9_000 != 0),
        lambda record: DetectionRecord(record.bob, record.alice),
        lambda record: DetectionRecord(record.alice, measured(3).bob),
        lambda record: DetectionRecord(measured(3).alice, record.bob),
    ],
)
def test_copies_parts_and_halves_of_a_used_recording_are_refused(again):
    record = measured()
    analyse(record, policy=POLICY)
    with pytest.raises(AlreadyUsed):
        analyse(again(record), policy=POLICY)


@pytest.mark.parametrize("parties", [["alice"], ["bob"], ["alice", "bob"]])
def test_used_recording_with_inverted_outcomes_is_refused(parties):
    record = measured()
    analyse(record, policy=POLICY)
    for party in parties:
        record = record.flipped(party)
    with pytest.raises(AlreadyUsed):
        analyse(record, policy=POLICY, flip=parties[0] if len(parties) == 1 else None)


def test_recording_that_was_inverted_for_its_key_is_used_up():
    record = measured().flipped("bob")
    assert analyse(record, policy=POLICY, flip="bob").abort is None
    with pytest.raises(AlreadyUsed):
        analyse(record.flipped("bob"), policy=POLICY)


def test_used_rounds_between_lost_ones_are_refused():
    record = measured()
    analyse(record, policy=POLICY)
    places = np.arange(ROUNDS) * 2
    x, a, y, b = (np.full(2 * ROUNDS, fill, np.uint8) for fill in (0, 2, 0, 2))
    for column, found in (
        (x, record.alice.setting),
        (a, record.alice.outcome),
        (y, record.bob.setting),
        (b, record.bob.outcome),
    ):
        column[places] = found
    with pytest.raises(AlreadyUsed):
        analyse(DetectionRecord(PartyRecord(x, a), PartyRecord(y, b)), policy=POLICY)


def test_parts_without_a_common_round_make_a_key_each():
    record = measured(rounds=2 * ROUNDS)
    for half in (slice(0, ROUNDS), slice(ROUNDS, None)):
        assert analyse(of_rounds(record, half), policy=POLICY).abort is None


def test_other_recordings_share_no_fingerprint():
    prints = [fingerprints_of(measured(seed)) for seed in range(5)]
    assert len(frozenset().union(*prints)) == sum(map(len, prints))


def test_statistics_are_free_and_tell_what_a_session_tells():
    record = measured()
    reports = [analyse(record, policy=POLICY, seed=1, statistics_only=True) for _ in range(2)]
    report = analyse(record, policy=POLICY, seed=1)
    for free in reports:
        assert (free.chsh, free.qber, free.evidence) == (report.chsh, report.qber, report.evidence)
        assert free.abort is Abort.STATISTICS_ONLY
        assert (free.length, free.secret_bits, free.authentication_bits) == (None, 0, 0)
        with pytest.raises(ProtocolAborted):
            _ = free.key
    assert report.abort is None


def test_statistics_say_nothing_to_anybody():
    heard = []
    analyse(measured(), policy=POLICY, transmission=heard.append, statistics_only=True)
    assert not heard


def test_statistics_of_a_bad_link_say_why_it_makes_no_key():
    report = analyse(measured(visibility=0.5), policy=POLICY, statistics_only=True)
    assert report.abort is Abort.NO_VIOLATION


# As a file ----------------------------------------------------------------------------------------


@pytest.fixture
def night(tmp_path):
    file = tmp_path / "night.npz"
    save_detections(file, measured(), metadata={"settings": "ekert"})
    return file


def test_file_makes_one_key_and_the_refusal_says_when_it_did(night, status, monkeypatch):
    assert status("analyse", night)[0] == 0
    forgotten(monkeypatch)
    code, printed, complaint = status("analyse", night)
    assert (code, printed, complaint.count("\n")) == (2, "", 1)
    assert "took part in a conversation at 20" in complaint
    assert "detections in night.npz" in complaint
    assert "`--no-key`" in complaint


@pytest.mark.parametrize("ending", [".npz", ".csv", ".parquet"])
def test_same_rounds_in_another_file_are_refused(tmp_path, night, ending, status, monkeypatch):
    assert status("analyse", night)[0] == 0
    forgotten(monkeypatch)
    other = tmp_path / f"again{ending}"
    save_detections(other, measured(), metadata={"run_id": "another"})
    assert status("analyse", other)[0] == 2


def test_file_of_an_aborted_session_is_used_up(tmp_path, status, monkeypatch):
    file = tmp_path / "noise.csv"
    save_detections(file, measured(visibility=0.5))
    assert status("analyse", file)[0] == 3
    forgotten(monkeypatch)
    assert status("analyse", file)[0] == 2


def test_file_that_python_reads_is_entered_on_the_disk(night, monkeypatch):
    analyse(load_detections(night).record, policy=POLICY)
    forgotten(monkeypatch)
    with pytest.raises(AlreadyUsed):
        analyse(load_detections(night).record, policy=POLICY)


def test_recording_is_entered_before_its_first_message_leaves(night, ledger):
    entered = []

    def heard(message: Message) -> Message:
        entered.append(len(ledger.read_bytes().splitlines()))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        analyse(load_detections(night).record, policy=POLICY, transmission=heard)
    assert entered == [1]


def test_statistics_of_a_file_are_free(night, status, ledger):
    for _ in range(2):
        code, printed, complaint = status("analyse", night, "--no-key", "--json")
        assert (code, complaint) == (0, "")
        assert json.loads(printed)["abort"] == "STATISTICS_ONLY"
    assert not ledger.exists()
    assert status("analyse", night)[0] == 0
    assert status("analyse", night, "--no-key")[0] == 0


def test_statistics_have_no_folder(tmp_path, night, status):
    code, _, complaint = status("analyse", night, "--no-key", "--out", tmp_path / "keys")
    assert code == 2
    assert "must come with a key" in complaint


def test_wrong_option_uses_nothing_up(night, status):
    assert status("analyse", night, "--alice-probabilities", "1,2")[0] == 2
    assert status("analyse", night)[0] == 0


def test_time_tags_make_one_key_whatever_their_clocks_and_window(tmp_path, status, monkeypatch):
    assert status("analyse", "--sample", tmp_path / "sample", "--seed", "1")[0] == 0
    tags = [tmp_path / "sample" / f"{party.value}_tags.npz" for party in Party]
    assert status("analyse", *tags)[0] == 0
    forgotten(monkeypatch)
    late = tmp_path / "late.npz"
    with np.load(tags[1]) as bob:
        np.savez(late, time_ps=bob["time_ps"] + 1000, channel=bob["channel"])
    with np.load(tags[0]) as alice:
        np.savez(tmp_path / "alice.npz", time_ps=alice["time_ps"], channel=alice["channel"])
    for line in (
        [*tags, "--window-ps", "900"],
        [tmp_path / "alice.npz", late],
        [tmp_path / "sample" / "detections.csv"],
    ):
        assert status("analyse", *line)[0] == 2
    assert status("analyse", *tags, "--no-key")[0] == 0


def test_pieces_of_tags_have_the_fingerprints_of_the_whole(monkeypatch):
    channels = np.random.default_rng(1).integers(0, 6, 10_000).astype(np.uint8)
    tags = TimeTags(np.arange(10_000), channels)
    whole = fingerprints_of_tags(tags)
    monkeypatch.setattr("e91.recorded.fingerprints._PIECE", 777)
    assert fingerprints_of_tags(tags) == whole
    assert len(whole) > 100


# The ledger ---------------------------------------------------------------------------------------


def enter(number, results):
    try:
        use_up(frozenset({"7" * 16, f"{number:016x}"}), origin="race", from_files=True)
    except AlreadyUsed:
        results.put(False)
    else:
        results.put(True)


def test_one_of_several_processes_gets_a_recording(ledger):
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    racers = [context.Process(target=enter, args=(k, results)) for k in range(4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert sorted(results.get() for _ in racers) == [False, False, False, True]
    assert len(ledger.read_bytes().splitlines()) == 1


def test_line_that_was_cut_off_is_no_entry(ledger):
    use_up(frozenset({"a"}), origin="night 1", from_files=True)
    before = ledger.read_bytes()
    ledger.write_bytes(before + b'{"used": "2026')
    use_up(frozenset({"b"}), origin="night 2", from_files=True)
    lines = ledger.read_bytes()
    assert lines.startswith(before)
    assert [json.loads(line)["origin"] for line in lines.splitlines()] == ["night 1", "night 2"]


def test_damaged_ledger_refuses_every_recording(ledger, night, status):
    ledger.write_bytes(b"{}\n")
    code, _, complaint = status("analyse", night)
    assert code == 2
    assert "must be the ledger of the recordings that were used, but is damaged" in complaint


def test_ledger_that_cannot_be_written_refuses_every_recording(
    tmp_path, night, status, monkeypatch
):
    monkeypatch.setenv("E91_LEDGER", str(tmp_path))
    code, _, complaint = status("analyse", night)
    assert code == 2
    assert "must be writable" in complaint
    assert "E91_LEDGER" in complaint


def test_ledger_is_its_owners_and_lies_in_the_state_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("E91_LEDGER")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    use_up(frozenset({"a"}), origin="night 1", from_files=True)
    place = tmp_path / "state" / "e91" / "recordings.jsonl"
    assert used_recordings.ledger_file() == place
    assert place.stat().st_mode & 0o777 == 0o600


def test_no_flipped_bit_of_the_ledger_makes_a_recording_fresh(tmp_path, monkeypatch):
    place = tmp_path / "ledger"
    monkeypatch.setenv("E91_LEDGER", str(place))
    for known in ("aaaa", "bbbb"):
        use_up(frozenset({known}), origin="night", from_files=True)
    content = place.read_bytes()
    for position in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[position // 8] ^= 1 << position % 8
        place.write_bytes(damaged)
        for known in ("aaaa", "bbbb"):
            forgotten(monkeypatch)
            with pytest.raises((AlreadyUsed, ValueError)):
                use_up(frozenset({known}), origin="again", from_files=True)


def test_line_of_the_ledger_that_was_torn_is_no_damage(tmp_path, monkeypatch):
    place = tmp_path / "ledger"
    monkeypatch.setenv("E91_LEDGER", str(place))
    for known in ("aaaa", "bbbb"):
        use_up(frozenset({known}), origin="night", from_files=True)
    content = place.read_bytes()
    for stop in range(content.index(b"\n") + 1, len(content)):
        place.write_bytes(content[:stop])
        forgotten(monkeypatch)
        use_up(frozenset({"cccc"}), origin="night", from_files=True)
        forgotten(monkeypatch)
        with pytest.raises(AlreadyUsed):
            use_up(frozenset({"aaaa"}), origin="night", from_files=True)
        if stop == len(content) - 1:  # only the line's end is missing
            with pytest.raises(AlreadyUsed):
                use_up(frozenset({"bbbb"}), origin="night", from_files=True)


def test_line_without_an_end_counts_only_if_its_digest_is_right(ledger, monkeypatch):
    use_up(frozenset({"aaaa"}), origin="night", from_files=True)
    torn = ledger.read_bytes().rstrip(b"\n")
    for content, used in ((torn, True), (torn.replace(b"night", b"fight"), False)):
        ledger.write_bytes(content)
        forgotten(monkeypatch)
        if used:
            with pytest.raises(AlreadyUsed):
                use_up(frozenset({"aaaa"}), origin="night", from_files=True)
        else:
            use_up(frozenset({"aaaa"}), origin="night", from_files=True)
            assert ledger.read_bytes().count(b'"aaaa"') == 1


def test_ledger_is_read_after_it_is_locked(ledger, monkeypatch):
    use_up(frozenset({"aaaa"}), origin="night", from_files=True)
    content = ledger.read_bytes()
    ledger.write_bytes(b"")
    forgotten(monkeypatch)
    lock = fcntl.flock

    def other_process_was_first(file, operation):
        ledger.write_bytes(content)
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", other_process_was_first)
    with pytest.raises(AlreadyUsed):
        use_up(frozenset({"aaaa"}), origin="night", from_files=True)


@pytest.mark.parametrize("channels", [[3, 2, 1, 0], [7, 12, 9, 40], [1, 0, 3, 2]])
def test_tags_whose_channels_are_numbered_otherwise_are_the_same_recording(channels):
    rng = np.random.default_rng(5)
    times, seen = np.cumsum(rng.integers(1, 1000, 20_000)), rng.integers(0, 4, 20_000)
    as_they_were = fingerprints_of_tags(TimeTags(times, seen.astype(np.uint8), 1e-12))
    renumbered = np.array(channels, np.uint8)[seen]
    assert fingerprints_of_tags(TimeTags(times, renumbered, 1e-12)) == as_they_were
    others = rng.integers(0, 4, 20_000).astype(np.uint8)
    assert not fingerprints_of_tags(TimeTags(times, others, 1e-12)) & as_they_were


@pytest.mark.parametrize("seed", [None, 1])
def test_kept_block_of_a_run_is_used_unless_a_seed_makes_it_again(tmp_path, seed, status):
    device = exact_device(visibility=0.98, seed=seed)
    run = stream(device, rounds=60_000, block_rounds=60_000, keep=tmp_path)
    assert next(run).abort is None
    block = tmp_path / "block-000000.npz"
    assert status("analyse", block, "--no-key")[0] == 0
    code, _, complaint = status("analyse", block)
    assert code == (2 if seed is None else 0)
    assert ("block 0 of a run" in complaint) is (seed is None)


# Handed out by a session --------------------------------------------------------------------------


def kept(seed=None, **options):
    device = exact_device(visibility=0.97, seed=seed)
    return run(device, rounds=ROUNDS, policy=POLICY, seed=seed, keep_record=True, **options)


def test_record_of_a_session_is_what_its_key_was_made_of():
    report = kept(seed=4)
    again = measure(
        exact_device(visibility=0.97, seed=4), ROUNDS, settings=EKERT, entropy=seeded_entropy(4)
    )
    assert fingerprints_of(report.record) == fingerprints_of(again)
    found = analyse(report.record, policy=POLICY, statistics_only=True)
    assert found.chsh == report.chsh
    assert found.evidence.pair_counts == report.evidence.pair_counts
    assert run(exact_device(seed=4), rounds=2_000, policy=POLICY).record is None


@pytest.mark.parametrize("seed", [None, 5])
@pytest.mark.parametrize("options", [{}, {"transmission": altered}], ids=["key", "aborted"])
def test_record_of_a_session_makes_no_second_key_and_statistics_for_ever(seed, options):
    report = kept(seed, **options)
    assert (report.abort is None) == (not options)
    for again in (report.record, of_rounds(report.record, slice(100, ROUNDS // 2))):
        with pytest.raises(AlreadyUsed, match="the session that handed them out"):
            analyse(again, policy=POLICY)
    for _ in range(2):
        assert analyse(report.record, statistics_only=True).abort is Abort.STATISTICS_ONLY


@pytest.mark.parametrize("seed", [None, 6])
def test_file_of_a_sessions_record_is_refused_unless_a_seed_makes_it_again(
    tmp_path, seed, status, monkeypatch
):
    report = kept(seed)
    save_detections(tmp_path / "night.npz", report.record)
    forgotten(monkeypatch)
    loaded = load_detections(tmp_path / "night.npz")
    assert loaded.record.reproducible is (seed is not None)
    code, _, complaint = status("analyse", tmp_path / "night.npz", "--epsilon", "1e-6")
    assert code == (2 if seed is None else 0)
    assert ("handed them out" in complaint) is (seed is None)
    assert status("analyse", tmp_path / "night.npz", "--no-key")[0] == 0


def test_record_is_used_before_its_first_message_leaves():
    known = []

    def spy(message):
        known.append(len(used_recordings._used_here))
        return message

    kept(7, transmission=spy)
    assert known[0] > 0


def test_session_that_keeps_its_record_can_be_run_again_from_its_seed():
    first, second = kept(8), kept(8)
    assert first.key.bits.tolist() == second.key.bits.tolist()


def test_without_a_ledger_no_record_is_handed_out(monkeypatch, tmp_path):
    monkeypatch.setenv("E91_LEDGER", str(tmp_path))  # a folder
    with pytest.raises(ValueError, match="must be writable, as used recordings are entered there"):
        kept()
