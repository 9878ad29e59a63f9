"""`e91 attack list`, `e91 attack run`, and `e91 run --attack` for every attack."""

import json

import pytest
from statistical import assert_binomial

from e91.adversaries import ATTACKS, Conditions, stage
from e91.cli.attack import attack_row
from e91.model.settings import SETTINGS
from e91.security.theorems import Theorem

RUN = ["--rounds", "30000", "--seed", "1"]


def settings_of(name):
    return (ATTACKS[name].settings or ("ekert",))[0]


def test_list_names_every_attack_with_its_range(status):
    code, out, complaint = status("attack", "list", "--json")
    rows = json.loads(out)
    assert (code, complaint) == (0, "")
    assert [row["name"] for row in rows] == list(ATTACKS)
    gisin = next(row for row in rows if row["name"] == "gisin")
    assert gisin["high"] == pytest.approx(0.7779690592966855, abs=1e-15)
    assert next(row for row in rows if row["name"] == "time-shift")["high"] is None
    assert next(row for row in rows if row["name"] == "man-in-the-middle")["strength"] is None
    text = status("attack", "list")[1]
    assert all(name in text for name in ATTACKS)


ROWS = {name: attack_row(attack) for name, attack in ATTACKS.items()}
OPTIONS = {"strength": 1, "basis": "z", "flips": 0.1, "unauthenticated": None}


def line_of(name, option):
    value = ATTACKS[name].default if option == "strength" else OPTIONS[option]
    return ["attack", "run", name, "--rounds", 2000, "--seed", 1, f"--{option}",
            *([] if value is None else [value])]  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_list_names_just_the_options_devices_and_settings_that_are_taken(status, name):
    row, short = ROWS[name], ["attack", "run", name, "--rounds", 2000, "--seed", 1]
    for option in OPTIONS:
        assert (status(*line_of(name, option))[0] == 0) is (option in row["options"])
    for device in ("exact", "aer", "aer-with-eve"):
        assert (status(*short, "--device", device)[0] == 0) is (device in row["devices"])
    for settings in SETTINGS:
        assert (status(*short, "--settings", settings)[0] == 0) is (settings in row["settings"])
    assert row["blocks"] is hasattr(
        stage(name, Conditions(ATTACKS[name].default)).device, "outcome_source"
    )


@pytest.mark.parametrize("name", ATTACKS)
def test_list_and_sessions_agree_on_what_is_not_true(name):
    row, staged = ROWS[name], stage(name, Conditions(ATTACKS[name].default))
    assert set(row["safe_with"]) | set(row["unsafe_with"]) == {t.value for t in Theorem}
    assert not set(row["safe_with"]) & set(row["unsafe_with"])
    for theorem in Theorem:
        broken = [found.value for found in staged.broken(theorem)]
        assert row["unsafe_with"].get(theorem.value, []) == broken


def test_list_shows_the_default_strength():
    shown = ROWS["intercept-resend"]["shows"]
    assert shown == {"chsh": pytest.approx(2**0.5), "qber": pytest.approx(0.25)}
    assert ROWS["cloner"]["guess_rate"] == pytest.approx(0.8)


def test_list_fits_a_terminal_of_eighty_columns_and_explains_every_attack(status):
    text = status("attack", "list")[1]
    assert max(map(len, text.splitlines())) <= 80
    assert "--unauthenticated with a key that everybody knows" in " ".join(text.split())
    assert "--unauthenticated" in text
    found = dict(part.split(": ", 1) for part in text.split("\n\n")[1:])
    assert list(found) == list(ATTACKS)
    for name, part in found.items():
        for label in ("shows", "settings", "devices", "safe with"):
            known = ROWS[name]["safe_with"] if label == "safe with" else True
            assert (f"\n  {label}  " in part) is bool(known)
        assert ("unsafe with" in part) is bool(ROWS[name]["unsafe_with"])


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_run_prints_the_report_with_expectation_and_knowledge(status, name):
    code, out, complaint = status("attack", "run", name, *RUN, "--json")
    report = json.loads(out)
    assert (code, complaint) == (0, "")
    plain = json.loads(status("run", "--device", "exact", *RUN, "--json")[1])
    assert set(plain) <= set(report)
    assert set(report) - set(plain) == {"attack", "broken_assumptions", "expected", "eve"}
    assert {"chsh", "qber"} <= set(report["expected"])
    assert {"guess_rate", "information"} <= set(report["eve"])
    assert report["chsh"]["value"] == pytest.approx(report["expected"]["chsh"], abs=0.3)


@pytest.mark.parametrize("name", ATTACKS)
def test_run_takes_every_attack(status, name):
    line = ["run", "--attack", name, "--device", "exact", "--settings", settings_of(name), *RUN]
    code, out, _ = status(*line, "--json")
    assert code in (0, 3)
    report = json.loads(out)
    assert (code == 3) is (report["abort"] is not None)
    honest = json.loads(status(*[w for w in line if w not in ("--attack", name)], "--json")[1])
    assert report["device"] != honest["device"]


def test_run_of_one_attack_is_the_same_by_both_commands(status):
    shared = ["--strength", "0.3", "--visibility", "0.97", "--settings", "ekert", *RUN, "--json"]
    one = json.loads(status("run", "--attack", "probe", "--device", "exact", *shared)[1])
    two = json.loads(status("attack", "run", "probe", *shared)[1])
    del one["seconds"], one["processor_seconds"]
    assert one == {name: two[name] for name in one}


def test_attack_run_without_json_shows_both_columns(status):
    code, out, _ = status("attack", "run", "time-shift", "--strength", 4, *RUN)
    assert code == 0
    assert "Eve guesses a key bit" in out
    assert "0.8000" in out
    assert "Not true here: losses do not depend on setting or outcome." in out


def test_key_that_is_not_secret_is_called_so_before_it_is_called_released(status):
    code, out, _ = status("attack", "run", "blinding", "--seed", 1)
    assert code == 0
    assert "KEY RELEASED" in out
    assert out.startswith("THE KEY BELOW IS NOT SECRET: it rests on an assumption that is violated")
    assert out.index("Not true here") < out.index("KEY RELEASED")


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_run_fits_a_terminal_of_eighty_columns(status, name):
    for options in ([], ["--security", "device-independent"]):
        out = status("attack", "run", name, "--rounds", 30_000, "--seed", 1, *options)[1]
        assert max(map(len, out.splitlines())) <= 80


def test_released_key_that_eve_knows_is_called_not_secret(status):
    line = ["attack", "run", "gisin", "--rounds", 100_000, "--seed", 1]
    assert "THE KEY BELOW IS NOT SECRET" in status(*line)[1]
    assert "THE KEY BELOW IS NOT SECRET" not in status(*line, "--security", "device-independent")[1]


def test_basis_reaches_the_attack(status):
    line = ["attack", "run", "intercept-resend", "--strength", 1, *RUN, "--json", "--basis"]
    assert json.loads(status(*line, "z")[1])["qber"]["rate"] == 0
    assert json.loads(status(*line, "x")[1])["expected"]["qber"] == pytest.approx(0.5)


def test_flips_reach_the_attack(status):
    line = ["attack", "run", "collective", "--strength", 2.5, "--flips", 0.05, *RUN, "--json"]
    found = json.loads(status(*line)[1])
    assert found["expected"]["qber"] == 0.05
    assert found["expected"]["information"] == pytest.approx(0.5435644431995964, abs=1e-12)
    assert found["eve"]["information"] == pytest.approx(0.5435644431995964, abs=1e-9)
    revealed = found["qber"]["revealed"]
    errors = round(found["qber"]["rate"] * revealed)
    assert_binomial(errors, revealed, 0.05, must_detect=0.2)


def test_unauthenticated_shows_what_authentication_is_for(status):
    line = ["run", "--attack", "man-in-the-middle", "--device", "exact", "--rounds", 60_000]
    code, _, complaint = status(*line)
    assert code == 3
    assert "tag" in complaint
    code, out, _ = status(*line, "--unauthenticated", "--json")
    assert code == 0
    assert json.loads(out)["secret_bits"] > 0


BAD = {
    "unknown": ["attack", "run", "lasers"],
    "no name": ["attack", "run"],
    "range": ["attack", "run", "cloner", "--strength", "0.7"],
    "not a number": ["attack", "run", "cloner", "--strength", "nan"],
    "settings": ["attack", "run", "collective", "--settings", "ekert"],
    "basis": ["attack", "run", "cloner", "--basis", "z"],
    "flips": ["attack", "run", "collective", "--flips", "0.6"],
    "flips of another": ["attack", "run", "cloner", "--flips", "0.1"],
    "no number of flips": ["attack", "run", "collective", "--flips", "nan"],
    "tags": ["attack", "run", "cloner", "--unauthenticated"],
    "pulses": ["attack", "run", "photon-number-splitting", "--strength", "-0.1"],
    "bright": ["attack", "run", "double-blinding", "--strength", "3"],
    "too long": ["attack", "run", "cloner", "--rounds", "60000000"],
    "device": ["attack", "run", "cloner", "--device", "fake:marrakesh"],
    "no photons": ["attack", "run", "gisin", "--device", "aer"],
    "no photons, all shots": ["attack", "run", "gisin", "--device", "aer-with-eve"],
    "no qubits": ["attack", "run", "time-shift", "--device", "aer-with-eve"],
    "run: device": ["run", "--attack", "cloner", "--device", "ibm:torino"],
    "strengthless": ["attack", "run", "man-in-the-middle", "--strength", "0.5"],
    "visibility": ["attack", "run", "local", "--visibility", "2"],
    "rounds": ["attack", "run", "local", "--rounds", "0"],
    "seed": ["attack", "run", "local", "--seed", "-1"],
    "epsilon": ["attack", "run", "local", "--epsilon", "2"],
    "run: unknown": ["run", "--attack", "lasers"],
    "run: range": ["run", "--attack", "local", "--strength", "2.5"],
    "run: settings": ["run", "--attack", "collective"],
    "run: noise": ["run", "--attack", "gisin", "--dephasing", "0.1"],
    "run: alone": ["run", "--strength", "1"],
    "run: basis alone": ["run", "--basis", "z"],
    "run: flips alone": ["run", "--flips", "0.1"],
    "run: tags alone": ["run", "--unauthenticated"],
}


@pytest.mark.parametrize("name", BAD)
def test_bad_attack_is_one_sentence_and_status_two(status, name):
    code, out, complaint = status(*BAD[name])
    assert (code, out) == (2, "")
    assert complaint.startswith("e91: ")
    assert complaint.count("\n") == 1


def test_expected_values_of_coincidences_are_said_to_be_that_where_losses_are_kept(status):
    line = "Expected are the values of coincidences"
    assert line in status("attack", "run", "gisin", *RUN, "--security", "device-independent")[1]
    assert line not in status("attack", "run", "gisin", *RUN)[1]
