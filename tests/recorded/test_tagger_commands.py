"""`e91 analyse` on laboratories' files: one tagger's gives what two parties' files give."""

import json

import numpy as np
import pytest
import tagger_writers as writers

from e91.devices.exact import exact_device
from e91.model.messages import Party
from e91.model.settings import EKERT
from e91.optics.detectors import BasisChoice, Detector, Receiver
from e91.optics.sources import ContinuousSource
from e91.optics.tags.laboratories import Clock, Laboratory
from e91.optics.tags.simulation import record_time_tags
from e91.recorded.record_files import save_time_tags


@pytest.fixture
def put(tmp_path):
    def put(content, name="tags.bin"):
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    return put


@pytest.fixture(scope="module")
def link():
    """Both sides' tags of a short passive link on one clock, 2 ps a count."""
    device = exact_device(visibility=0.97, seed=1)
    labs = [
        Laboratory(receiver, probabilities, clock=Clock(offset_s=offset, resolution_s=2e-12))
        for receiver, probabilities, offset in (
            (RECEIVER, EKERT.alice_probabilities, 0.0),
            (RECEIVER, EKERT.bob_probabilities, 1.5e-6),
        )
    ]
    return record_time_tags(ContinuousSource(3e5), *labs, device=device, duration_s=0.1, seed=1)


RECEIVER = Receiver((Detector(0.9, 100.0, 30e-9, jitter_fwhm_s=300e-12),) * 6, BasisChoice.PASSIVE)
CHANNELS = ["--alice-channels", "1,2,3,4,5,6", "--bob-channels", "7,8,9,10,11,12"]


def one_tagger(link):
    """Return the tags of one tagger: Alice's detectors at channels 1 to 6, Bob's at 7 to 12."""
    alice, bob = link
    times = np.concatenate([alice.times, bob.times])
    channels = np.concatenate([alice.channels + 1, bob.channels + 7])
    order = np.argsort(times, kind="stable")
    return list(zip(times[order].tolist(), channels[order].tolist(), strict=True))


@pytest.fixture
def expected(link, tmp_path, status):
    files = [tmp_path / "alice.npz", tmp_path / "bob.npz"]
    for file, side, party in zip(files, link, Party, strict=True):
        save_time_tags(file, side, party=party)
    return analysed(status, *files)


def analysed(status, *arguments):
    """Return what the command prints as JSON, as numbers that the tags decide."""
    _, printed, _ = status("analyse", *arguments, "--seed", "1", "--json", "--no-key")
    found = json.loads(printed.splitlines()[0])
    return found["coincidence_search"]["coincidences"], found["chsh"], found["qber"]


def contents(tags):
    """Return the same tags in many layouts, with the options that each needs."""
    return {
        "PicoQuant": (
            writers.ptu(writers.GENERIC_T2, [(t, c, 0) for t, c in tags], resolution_s=2e-12), []
        ),
        "Swabian": ("Channel,Time (ps)\n" + "".join(f"{c},{2 * t}\n" for t, c in tags), []),
        "qutools": ("".join(f"{t};{c}\n" for t, c in tags), ["--unit", "2ps"]),
        "dump": (writers.swabian_dump([(2 * t, c) for t, c in tags]), ["--format", "swabian-dump"]),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["PicoQuant", "Swabian", "qutools", "dump"])
def test_one_taggers_file_gives_what_two_parties_files_give(put, link, expected, name, status):
    content, options = contents(one_tagger(link))[name]
    assert analysed(status, put(content, "night.xyz"), *CHANNELS, *options) == expected


def test_what_a_tagger_held_is_printed(put, link, status):
    content, _ = contents([(5, 13), *one_tagger(link)])["Swabian"]
    _, printed, _ = status("analyse", put(content), *CHANNELS, "--seed", "1")
    assert "tags.bin: text, a count is 1 ps;" in printed
    assert "channels of nobody: 13 (1)." in printed


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--alice-channels", "1,2"], "but one is missing"),
        (["--unit", "2ps"], "but both are missing"),
        ([*CHANNELS, "--unit", "2 parsecs"], "`--unit` must be a duration such as 81ps"),
        ([*CHANNELS, "--delay", "alice:3=1ns"], "`--delay` must be CHANNEL=DURATION"),
        ([*CHANNELS, "--delay", "3=1ns", "--delay", "3=2ns"], "but 3 has two"),
        ([*CHANNELS, "--delays-ps", "1,2"], "`--delays-ps` must have one number for each of 12"),
        ([*CHANNELS, "--delays-ps", "1,2,3,4,5,6,7,8,9,x,1,2"], "`--delays-ps` must be a duration"),
        ([*CHANNELS, "--delays-ps", "0,0,1,0,0,0,0,0,0,0,0,0", "--delay", "3=1ns"], "3 has two"),
        ([*CHANNELS, "--columns", "when=time"], "`--columns` must be NAME=COLUMN"),
        ([*CHANNELS, "--format", "a1x"], "did you mean `a1X`?"),
    ],
)
def test_wrong_option_is_one_sentence(put, status, options, sentence):
    file = put("time_ps,channel\n5,1\n")
    code, _, complaint = status("analyse", file, *options)
    assert code == 2
    assert sentence in complaint
    assert complaint.count("\n") == 1


def delayed(link):
    """Return one tagger's tags with channel 3 late by 1.4 ns, and channel 11 early by 900 ps."""
    late = {3: 700, 11: -450}  # counts of 2 ps
    return sorted((t + late.get(c, 0), c) for t, c in one_tagger(link))


def test_late_channels_are_named(put, link, status):
    content, options = contents(delayed(link))["Swabian"]
    file = put(content)
    _, printed, _ = status("analyse", file, *CHANNELS, *options, "--seed", "1", "--no-key")
    line = next(line for line in printed.splitlines() if "Late channels" in line)
    named = dict(part.split("=") for part in line.split(": ")[1].split(";")[0].split(", "))
    # The mean of a thousand differences of 300 ps (FWHM) jitters a side, 5 ps; 8 of these.
    assert named.keys() == {"3", "11"}
    assert abs(int(named["3"][:-2]) - 1400) < 40
    assert abs(int(named["11"][:-2]) + 900) < 40


def test_delays_that_are_given_or_found_give_the_coincidences_without(put, link, expected, status):
    content, options = contents(delayed(link))["Swabian"]
    file = put(content)
    arguments = file, *CHANNELS, *options
    given = "--delay", "3=1400ps", "--delay", "11=-0.9ns"
    assert analysed(status, *arguments, *given) == expected
    in_order = "--delays-ps", "0,0,1400,0,0,0,0,0,0,0,-900,0"
    assert analysed(status, *arguments, *in_order) == expected
    late = analysed(status, *arguments)[0]
    found = analysed(status, *arguments, "--delay", "find")[0]
    assert late < 0.9 * expected[0]
    assert abs(found - expected[0]) < 0.005 * expected[0]
    _, printed, _ = status("analyse", *arguments, "--delay", "find", "--no-key", "--seed", "1")
    assert "Delays found and taken away: " in printed
    assert "Late channels" not in printed


def test_delays_of_two_files_name_the_party(tmp_path, link, status):
    files = [tmp_path / "alice.npz", tmp_path / "bob.npz"]
    for file, side, party in zip(files, link, Party, strict=True):
        save_time_tags(file, side, party=party)
    plain = analysed(status, *files)
    assert analysed(status, *files, "--delay", "alice:2=0ps", "--delay", "bob:0=0ps") == plain
    late = analysed(status, *files, "--delay", "alice:2=3ns")[0]
    assert late < 0.9 * plain[0]
    _, _, complaint = status("analyse", *files, "--delay", "2=3ns")
    assert "`--delay` must be PARTY:CHANNEL=DURATION, such as alice:3=2.3ns" in complaint
    _, _, complaint = status("analyse", *files, "--delay", "find", "--delay", "bob:1=3ns")
    assert "`--delay find` must come alone" in complaint
