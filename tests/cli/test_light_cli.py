"""Light on the command line: what is counted in a second, and which options exclude each other."""

import json

import pytest

from e91.devices.link_devices import link_device
from e91.model.settings import EKERT
from e91.optics import read_link
from e91.session.session import run

LINK = """
[source]
pairs_per_second = 2e6
[state]
visibility = 0.98
[detection]
coincidence_window_s = 1e-9
[alice]
loss_db = 10
dark_counts_per_second = 100
[bob]
loss_db = 15
dark_counts_per_second = 1000
"""


@pytest.fixture
def link(tmp_path):
    file = tmp_path / "lab.toml"
    file.write_text(LINK)
    return file


def test_run_on_a_link_is_the_session_on_its_device(link, status):
    code, printed, complaint = status(
        "run", "--link", link, "--rounds", 100_000, "--seed", 1, "--json"
    )
    report = run(link_device(read_link(link), settings=EKERT, seed=1), rounds=100_000, seed=1)
    found = json.loads(printed)
    assert (code, complaint) == (0, "")
    assert found["secret_bits"] == report.secret_bits > 1000
    assert {name: found[name] for name in report.rates} == report.rates
    assert found["secret_bits_per_second"] == pytest.approx(
        found["secret_bits"] * found["coincidences_per_second"] / 100_000
    )


def test_a_few_numbers_are_a_fibre_with_the_source_in_its_middle(tmp_path, status):
    side = """
loss_db = 1.5
fibre_length_km = 20
fibre_attenuation_db_per_km = 0.2
detector_efficiency = 0.7
dark_counts_per_second = 300
"""
    file = tmp_path / "same.toml"
    file.write_text(
        "[source]\npairs_per_second = 3e6\n[state]\nvisibility = 0.95\n"
        f"[detection]\ncoincidence_window_s = 1e-9\n[alice]{side}[bob]{side}"
    )
    numbers = ["--distance-km", 40, "--loss-db", 3, "--pairs-per-second", 3e6]
    numbers += ["--dark-counts-per-second", 300, "--visibility", 0.95]
    described = status("rate", *numbers, "--detector-efficiency", 0.7, "--json")
    assert described == status("rate", "--link", file, "--json")
    lines = [
        status("run", *options, "--rounds", 1000, "--seed", 1, "--json")[1]
        for options in ([*numbers, "--efficiency", 0.7], ["--link", file])
    ]
    first, second = ({**json.loads(text), "seconds": 0, "processor_seconds": 0} for text in lines)
    assert first == second


def test_rate_of_a_link_is_that_of_its_s_and_qber_times_its_coincidences(link, status):
    found = json.loads(status("rate", "--link", link, "--json")[1])
    by_hand = ("--chsh", found["chsh"], "--qber", found["qber"])
    same = json.loads(status("rate", *by_hand, "--json")[1])
    assert found["secret_bits_per_key_round"] == pytest.approx(same["secret_bits_per_key_round"])
    assert found["secret_bits_per_second"] == pytest.approx(
        found["coincidences_per_second"] * found["secret_bits_per_key_round"]
    )
    planned = json.loads(status("rate", "--link", link, "--rounds", 10**6, "--json")[1])
    seconds = 10**6 / found["coincidences_per_second"]
    assert planned["link_seconds"] == pytest.approx(seconds)
    assert planned["secret_bits_per_second"] == pytest.approx(planned["secret_bits"] / seconds)


def test_settings_without_a_bell_test_have_the_s_of_the_link(link, status):
    plain = ("--settings", "bbm92-plain", "--theorem", "exact-sampling", "--tolerated-error", 0.03)
    found = json.loads(status("rate", "--link", link, "--rounds", 10**6, *plain, "--json")[1])
    tested = json.loads(status("rate", "--link", link, "--rounds", 10**6, "--json")[1])
    assert found["chsh"] == pytest.approx(tested["chsh"])
    assert found["secret_bits_per_second"] > 0


def test_units_stand_in_the_lines(link, status):
    text = status("rate", "--link", link, "--rounds", 10**6)[1]
    for line in ("coincidences", "time on the link", "secret key"):
        assert any(row.startswith(line) and row.endswith((" per second", " s"))
                   for row in text.splitlines())  # fmt: skip
    text = status("run", "--distance-km", 20, "--rounds", 20_000, "--seed", 1)[1]
    assert "bits per second" in text
    assert "0.1" in text


def test_without_trust_every_slot_is_a_round(status):
    options = ("--distance-km", 4, "--security", "device-independent", "--rounds", 100_000)
    code, printed, _ = status("run", *options, "--seed", 1, "--json")
    found = json.loads(printed)
    assert code == 3
    assert found["link_seconds"] == pytest.approx(1e-4)  # 100,000 slots of 1 ns
    assert "losses kept as no click" in found["device"]


REFUSED = [
    (["--device", "exact"], "`--device` must come without `--link`"),
    (["--visibility", "0.9"], "`--visibility` must come without `--link`"),
    (["--attack", "gisin"], "`--attack` must come without `--link`"),
    (["--state", "psi-"], "`--state` must come without `--link`"),
    (["--loss-db", "3"], "`--loss-db` must come without `--link`"),
    (["--efficiency", "2"], "`--efficiency` must lie in [0, 1], but is 2"),
]


@pytest.mark.parametrize(("options", "sentence"), REFUSED)
def test_what_a_link_says_cannot_be_said_again(link, status, options, sentence):
    code, printed, complaint = status("run", "--link", link, *options)
    assert (code, printed) == (2, "")
    assert complaint.startswith(f"e91: {sentence}")
    assert complaint.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (["run", "--distance-km", 4, "--dephasing", 0.1], "`--dephasing` must come without opt"),
        (["run", "--distance-km", 4, "--device", "aer"], "`--device` must come without options"),
        (["run", "--distance-km", -4], "`--distance-km` must lie in [0, 100000], but is -4"),
        (["rate", "--distance-km", 4, "--chsh", 2.7], "`--chsh` must come without options of l"),
        (["rate", "--detector-efficiency", 2], "`--detector-efficiency` must lie in [0, 1]"),
        (["rate", "--chsh", 2.7], "`--qber` must be given, or a link that says it"),
        (["rate", "--chsh", 2.7, "--qber", 0.01, "--visibility", 1], "`--visibility` must come"),
        (["rate", "--distance-km", 4, "--security", "device-independent"], "`--security` must be"),
    ],
)
def test_options_that_exclude_each_other_are_one_sentence(status, line, sentence):
    code, printed, complaint = status(*line)
    assert (code, printed) == (2, "")
    assert complaint.startswith(f"e91: {sentence}")
