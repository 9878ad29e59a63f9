"""The protocol on recorded detections: the same steps, and what it takes on trust said aloud."""

import json
from dataclasses import replace

import numpy as np
import pytest

from e91.devices.exact import exact_device
from e91.model.errors import Abort
from e91.model.messages import Party
from e91.model.randomness import seeded_entropy
from e91.model.records import DetectionRecord, PartyRecord
from e91.model.settings import ASYMMETRIC, BBM92, BBM92_PLAIN, EKERT
from e91.model.trust import SecurityModel
from e91.optics.detectors import Detector, Receiver
from e91.optics.sources import ContinuousSource
from e91.optics.tags.correlation import correlate
from e91.optics.tags.laboratories import Clock, Laboratory
from e91.optics.tags.simulation import record_time_tags
from e91.recorded.record_files import save_detections, save_time_tags
from e91.security.policy import Policy
from e91.session.session import MAXIMUM_ROUNDS, analyse, measure, run

POLICY = Policy(epsilon=1e-6)
ROUNDS = 60_000


def measured(settings=EKERT, *, rounds=ROUNDS, visibility=0.97, seed=2):
    device = exact_device(settings=settings, visibility=visibility, seed=1)
    return measure(device, rounds, settings=settings, entropy=seeded_entropy(seed))


def is_one_sentence(complaint):
    return complaint.startswith("e91: ") and complaint.count("\n") == 1


@pytest.fixture(scope="module")
def link():
    """Both sides' tags of a short active link."""
    receiver = Receiver((Detector(0.9, 100.0, 30e-9, jitter_fwhm_s=300e-12),) * 2)
    labs = [
        Laboratory(receiver, p, setting_period_s=1e-6, clock=clock)
        for p, clock in (
            (EKERT.alice_probabilities, Clock()),
            (EKERT.bob_probabilities, Clock(2e-3, 3.0)),
        )
    ]
    device = exact_device(visibility=0.98, seed=1)
    return record_time_tags(ContinuousSource(3e5), *labs, device=device, duration_s=0.3, seed=1)


@pytest.fixture
def tag_files(tmp_path, link):
    known = {"settings": "ekert", "run_id": "night-1"}
    files = tmp_path / "alice.npz", tmp_path / "bob.npz"
    for file, tags, party in zip(files, link, Party, strict=True):
        save_time_tags(file, tags, party=party, metadata=known)
    return files


@pytest.fixture
def detections(tmp_path):
    file = tmp_path / "night.npz"
    save_detections(file, measured(), metadata={"settings": "ekert"})
    return file


# In Python ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [EKERT, ASYMMETRIC, BBM92])
def test_recorded_rounds_of_an_honest_link_make_equal_keys(settings):
    report = analyse(measured(settings), settings=settings, policy=POLICY, seed=3)
    assert report.abort is None
    assert np.array_equal(report.keys.alice.bits, report.keys.bob.bits)
    assert report.rounds == ROUNDS


def test_recorded_rounds_give_the_evidence_that_a_run_on_them_gives():
    # A run with a device that answers with the recorded outcomes: the same protocol, twice.
    entropy = seeded_entropy(7)
    device = exact_device(visibility=0.97, seed=1)
    record = measure(device, ROUNDS, settings=EKERT, entropy=entropy)
    ran = run(
        lambda *_: (record.alice.outcome, record.bob.outcome),
        rounds=ROUNDS, settings=EKERT, policy=POLICY, seed=7,
    )  # fmt: skip
    analysed = analyse(record, policy=POLICY, seed=7)
    assert ran.evidence.tests == analysed.evidence.tests
    assert ran.evidence.pair_counts == analysed.evidence.pair_counts
    assert ran.chsh == analysed.chsh


@pytest.mark.parametrize("settings", [EKERT, ASYMMETRIC, BBM92])
@pytest.mark.parametrize("party", ["alice", "bob"])
def test_inverted_outcomes_are_called_so_and_turned_for_a_key(settings, party):
    record = measured(settings)
    inverted = record.flipped(party)
    report = analyse(inverted, settings=settings, policy=POLICY, seed=3)
    assert report.abort is Abort.OUTCOMES_INVERTED
    assert report.chsh.value < -2.6
    assert "eavesdropper" not in str(report)
    assert "`--flip bob`" in str(report)
    assert "S is at least         not stated" in str(report)
    turned = analyse(inverted, settings=settings, policy=POLICY, seed=3, flip=party)
    upright = analyse(record, settings=settings, policy=POLICY, seed=3, statistics_only=True)
    assert turned.abort is None
    assert f"{party.capitalize()}'s outcomes inverted" in turned.device
    assert turned.evidence == upright.evidence


@pytest.mark.parametrize("visibility", [0.3, 0.75])
def test_noise_of_a_singlet_source_is_still_noise(visibility):
    # S = -0.85 and -2.12 with error rates 65 % and 87.5 %: 20 standard errors from the thresholds.
    record = measured(visibility=visibility).flipped("bob")
    assert analyse(record, policy=POLICY, seed=3).abort is Abort.NO_VIOLATION


def test_lost_photons_do_not_hide_inverted_outcomes():
    record = measured().flipped("bob")
    lost = np.where(np.arange(ROUNDS) % 3 == 0, 2, record.bob.outcome)
    record = replace(record, bob=PartyRecord(record.bob.setting, lost))
    assert np.array_equal(record.flipped(Party.BOB).bob.outcome == 2, lost == 2)
    assert analyse(record, policy=POLICY, seed=3).abort is Abort.OUTCOMES_INVERTED


def test_only_a_party_can_be_flipped():
    with pytest.raises(ValueError, match="`party` must be alice or bob, but is 'carol'"):
        analyse(measured(), policy=POLICY, flip="carol")


def test_command_turns_a_singlet(tmp_path, status):
    file = tmp_path / "singlet.npz"
    save_detections(file, measured().flipped("bob"), metadata={"settings": "ekert"})
    code, printed, complaint = status("analyse", file)
    assert code == 3
    assert "look inverted" in printed
    assert "look inverted" in complaint
    code, printed, _ = status("analyse", file, "--flip", "bob", "--out", tmp_path / "keys")
    assert code == 0
    assert "KEY RELEASED" in printed


def test_report_says_whose_word_the_settings_are():
    report = analyse(measured(), policy=POLICY, seed=1, origin="detections of night 7")
    assert "detections of night 7; that settings were random" in report.device
    assert "laboratory's word" in report.to_dict()["device"]
    assert "night 7" in str(report)


def test_recording_counts_its_rounds_where_a_run_counts_the_pairs_it_sent():
    ran = run(exact_device(visibility=0.97, seed=1), rounds=ROUNDS, policy=POLICY, seed=1)
    analysed = analyse(measured(), policy=POLICY, seed=1)
    assert (ran.recorded, analysed.recorded) == (False, True)
    for report, word, other in (
        (ran, "pairs sent", "rounds recorded"),
        (analysed, "rounds recorded", "pairs sent"),
    ):
        assert f"  {word:<22}{ROUNDS:,}\n" in str(report)
        assert other not in str(report)


def test_local_record_is_refused_a_key():
    zeros = np.zeros(ROUNDS, np.uint8)
    record = measured()
    local = DetectionRecord(
        PartyRecord(record.alice.setting, zeros), PartyRecord(record.bob.setting, zeros)
    )
    assert analyse(local, policy=POLICY, seed=1).abort is Abort.NO_VIOLATION


def test_settings_that_are_not_as_declared_are_refused_a_key():
    record = measured(EKERT.biased((0.2, 0.6, 0.2), (0.2, 0.6, 0.2)))
    assert analyse(record, policy=POLICY, seed=1).abort is Abort.SETTINGS_SKEWED


@pytest.mark.parametrize("parties", [("alice",), ("bob",), ("alice", "bob")])
def test_outcomes_coded_as_1_and_2_are_named(parties):
    record = measured()
    coded = {
        party: PartyRecord(half.setting, half.outcome + 1)
        for party in parties
        for half in [getattr(record, party)]
    }
    sentence = (
        f"{parties[0].title()}'s outcomes must be 0 .* but 0 never occurs in 60,000 rounds: 1 and "
        r"2 look like a code for \+1 and -1\."
    )
    with pytest.raises(ValueError, match=sentence):
        analyse(replace(record, **coded), policy=POLICY, seed=1)


def test_one_outcome_or_a_few_clicks_are_not_taken_for_another_code():
    record = measured()
    ones = PartyRecord(record.bob.setting, np.ones(ROUNDS, np.uint8))
    assert analyse(replace(record, bob=ones), policy=POLICY, seed=1).abort is Abort.NO_VIOLATION
    few = np.full(ROUNDS, 2, np.uint8)
    few[:20] = 1
    rare = PartyRecord(record.bob.setting, few)
    assert analyse(replace(record, bob=rare), policy=POLICY, seed=1).abort is not None


def test_lost_photons_count_without_trust():
    policy = replace(POLICY, security=SecurityModel.DEVICE_INDEPENDENT)
    record = measured(visibility=1.0)
    lost = np.random.default_rng(1).random(ROUNDS) < 0.3
    dark = DetectionRecord(
        PartyRecord(record.alice.setting, np.where(lost, 2, record.alice.outcome)), record.bob
    )
    assert analyse(record, policy=policy, seed=1).chsh.lower_bound > 2
    assert analyse(dark, policy=policy, seed=1).abort is Abort.NO_VIOLATION


def test_setting_without_an_angle_is_refused():
    half = PartyRecord(np.array([0, 3]), np.array([0, 1]))
    with pytest.raises(ValueError, match="indices of the 3 angles of `ekert`, but go up to 3"):
        analyse(DetectionRecord(half, half))


def test_empty_record_is_refused():
    half = PartyRecord(np.array([], int), np.array([], int))
    with pytest.raises(ValueError, match=rf"lie in \[1, {MAXIMUM_ROUNDS}\], but is 0"):
        analyse(DetectionRecord(half, half))


# On the command line ------------------------------------------------------------------------------


def test_detections_become_keys_and_a_report(tmp_path, detections, status):
    out = tmp_path / "keys"
    code, printed, complaint = status("analyse", detections, "--seed", "1", "--json", "--out", out)
    assert (code, complaint) == (0, "")
    found = json.loads(printed)
    assert found["secret_bits"] > 3000
    assert found["hash_was_stated"]
    assert set(found["sha256"]) == {"night.npz"}
    assert {file.name for file in out.iterdir()} == {"alice.key", "bob.key", "report.json"}
    assert "laboratory's word" in found["device"]


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_all_formats_make_the_same_session(tmp_path, detections, ending, status):
    other = tmp_path / f"other{ending}"
    save_detections(other, measured(), metadata={"settings": "ekert"})
    first, second = (
        json.loads(status("analyse", file, "--seed", "1", "--json", "--no-key")[1])
        for file in (detections, other)
    )
    names = ("chsh", "qber", "coincidences", "abort")
    assert [first[name] for name in names] == [second[name] for name in names]
    assert list(first["sha256"].values()) == list(second["sha256"].values())


def test_time_tags_become_a_session(tag_files, status):
    code, printed, complaint = status(
        "analyse", *tag_files, "--seed", "1", "--json", "--maximum-offset-s", "0.01",
        "--epsilon", "1e-6", "--dead-time-ps", "30000",
    )  # fmt: skip
    assert (code, complaint) == (0, "")
    found = json.loads(printed)
    search = found["coincidence_search"]
    assert abs(search["offset_s"] - 2e-3) < 1e-8
    assert abs(search["frequency_error_ppm"] - 3.0) < 0.01
    assert found["rounds"] == search["coincidences"] > 40_000
    assert found["chsh"]["lower_bound"] > 2
    assert found["secret_bits"] > 0
    assert found["coincidences_per_second"] == found["rounds"] / search["duration_s"]
    assert found["secret_bits_per_second"] == pytest.approx(
        found["secret_bits"] / search["duration_s"], rel=1e-12
    )
    assert found["link_seconds"] == pytest.approx(search["duration_s"], rel=1e-12)


def test_statistics_alone_have_no_rates(tag_files, status):
    _, printed, _ = status("analyse", *tag_files, "--no-key", "--json", "--seed", "1")
    assert "secret_bits_per_second" not in json.loads(printed)


def test_command_finds_the_coincidences_that_the_function_finds(tag_files, link, status):
    printed = status("analyse", *tag_files, "--seed", "4", "--json", "--maximum-offset-s", "0.01")[
        1
    ]
    direct = correlate(
        *link, window_s=1e-9, maximum_offset_s=0.01, entropy=seeded_entropy(4)
    ).statistics
    assert json.loads(printed)["coincidence_search"]["coincidences"] == direct.coincidences


def test_text_says_clocks_hash_and_trust(tag_files, status):
    code, printed, _ = status("analyse", *tag_files, "--seed", "1", "--maximum-offset-s", "0.01")
    assert code == 0
    assert "SHA-256 of alice.npz: " in printed
    assert "Bob's clock is 0.00" in printed
    assert "laboratory's word" in " ".join(printed.split())


def test_abort_ends_with_status_three_and_writes_nothing(tmp_path, status):
    file, out = tmp_path / "noise.csv", tmp_path / "keys"
    save_detections(file, measured(visibility=0.5))
    code, printed, complaint = status("analyse", file, "--out", out)
    assert (code, is_one_sentence(complaint)) == (3, True)
    assert "NO KEY" in printed
    assert not out.exists()


def test_file_says_its_settings(tmp_path, status):
    file = tmp_path / "night.npz"
    save_detections(file, measured(BBM92), metadata={"settings": "bbm92"})
    assert json.loads(status("analyse", file, "--seed", "1", "--json")[1])["settings"] == "bbm92"
    code, _, complaint = status("analyse", file, "--settings", "ekert")
    assert code == 2
    assert "must be those of the file, `bbm92`, but are `ekert`" in complaint


def test_recorded_bbm92_without_a_bell_test_makes_a_key_by_a_theorem_that_needs_none(
    tmp_path, status
):
    file = tmp_path / "night.npz"
    save_detections(file, measured(BBM92_PLAIN), metadata={"settings": "bbm92-plain"})
    code, _, complaint = status("analyse", file)
    assert (code, is_one_sentence(complaint)) == (2, True)
    assert "with a `--theorem` that needs no Bell test" in complaint
    proved = ("--theorem", "exact-sampling", "--tolerated-error", "0.05")
    code, printed, _ = status("analyse", file, *proved, "--json")
    found = json.loads(printed)
    assert (code, found["theorem"], found["chsh"]["value"]) == (0, "exact-sampling", None)
    assert found["secret_bits"] > 0


@pytest.mark.parametrize("stated", ["nonsense", 7, ["ekert"]])
def test_file_of_unknown_settings_is_not_taken_for_ekerts(tmp_path, status, stated):
    file = tmp_path / "night.npz"
    save_detections(file, measured(EKERT), metadata={"settings": stated})
    code, printed, complaint = status("analyse", file, "--seed", "1")
    assert (code, printed) == (2, "")
    assert "`settings` in the file's metadata must be one of" in complaint


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--attack", "intercept-resend"], "the detections are recorded"),
        (["--seed", "-1"], "must not be negative"),
        (["--epsilon", "0"], "`--epsilon` must lie"),
        (["--reveal", "2"], "`--reveal` must lie"),
        (["--alice-probabilities", "1,2"], "must have 3 entries"),
        (["--window-ps", "1000"], "`--window-ps` must come with two files of time tags"),
        (["--dead-time-ps", "9"], "`--dead-time-ps` must come with two files of time tags"),
    ],
)
def test_wrong_options_are_one_sentence(detections, options, sentence, status):
    code, printed, complaint = status("analyse", detections, *options)
    assert (code, printed) == (2, "")
    assert is_one_sentence(complaint)
    assert sentence in complaint


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--window-ps", "0"], "`--window-ps` must be finite and positive"),
        (["--window-ps", "nan"], "`--window-ps` must be finite and positive"),
        (["--window-ps", "2000", "--dead-time-ps", "1000"], "at most the dead time"),
        (["--maximum-offset-s", "-1"], "`--maximum-offset-s` must be finite and not negative"),
        (["--maximum-offset-s", "1e300"], "`--maximum-offset-s` must be at most 1e+09 s"),
        (["--pulse-period-ps", "-1"], "`--pulse-period-ps` must be finite and positive"),
        (["--security", "device-independent"], "must be given every round"),
    ],
)
def test_wrong_search_is_one_sentence(tag_files, options, sentence, status):
    code, printed, complaint = status("analyse", *tag_files, *options)
    assert (code, printed) == (2, "")
    assert is_one_sentence(complaint)
    assert sentence in complaint


def test_taken_folder_is_refused_before_anything_is_read(tmp_path, status):
    code, _, complaint = status("analyse", tmp_path / "no.npz", "--out", tmp_path.parent)
    assert code == 2
    assert "must be a new or an empty folder" in complaint


def test_without_a_file_the_command_says_what_it_wants(status):
    code, _, complaint = status("analyse")
    assert code == 2
    assert "must be given a FILE" in complaint


def test_one_list_of_tags_is_not_enough(tag_files, status):
    code, _, complaint = status("analyse", tag_files[0])
    assert code == 2
    assert "holds one party's time tags" in complaint


def test_sample_files_can_be_analysed_and_a_second_run_makes_the_same(tmp_path, status):
    first, second = tmp_path / "one", tmp_path / "two"
    made = [
        json.loads(status("analyse", "--sample", folder, "--seed", "1", "--json")[1])
        for folder in (first, second)
    ]
    assert made[0]["files"] == made[1]["files"]
    code, printed, _ = status("analyse", first / "detections.csv", "--json", "--seed", "2")
    assert code == 0
    assert json.loads(printed)["sha256"]["detections.csv"] == made[0]["files"]["detections.csv"]
    tags = first / "alice_tags.npz", first / "bob_tags.npz"
    code, printed, _ = status("analyse", *tags, "--json", "--no-key")
    assert code == 0
    assert json.loads(printed)["rounds"] == made[0]["coincidences"]["coincidences"]


def test_sample_goes_to_a_new_folder_only(tmp_path, detections, status):
    code, _, complaint = status("analyse", "--sample", tmp_path)
    assert code == 2
    assert "must be a new or an empty folder" in complaint
