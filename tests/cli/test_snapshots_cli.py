"""Snapshots from the command line, and the table of docs/backends.md."""

import json
from pathlib import Path

import pytest

from e91.cli.machines import link_of
from e91.cli.run_options import device_kind
from e91.devices.exact import exact_device
from e91.devices.samplers.snapshots import snapshot_device, snapshot_names
from e91.model.trust import SecurityModel
from e91.session.planning import asymptotic_rate

DOCUMENT = Path(__file__).parents[2] / "docs" / "backends.md"


def documented_rows():
    return [line for line in DOCUMENT.read_text().splitlines() if " qubits) | " in line]


def test_run_on_a_snapshot_makes_a_key_and_says_what_it_is_worth(status):
    code, out, err = status("run", "--device", "fake:boston", "--rounds", 200_000, "--seed", 1,
                            "--json")  # fmt: skip
    found = json.loads(out)
    assert (code, err, found["abort"]) == (0, "", None)
    assert found["secret_bits"] > 15_000
    assert "Snapshot fake_boston, qubits 14 (alice) and 15 (bob)" in found["device"]
    assert "NoiseModel.from_backend" in found["device"]
    assert "Alice and Bob are not two parties" in found["assumptions"]
    assert found["assumptions"].startswith("Secret against")


def test_printed_report_says_that_one_chip_is_not_two_parties(status):
    _, out, _ = status("run", "--device", "fake:boston", "--rounds", 200_000, "--seed", 1)
    assert "Alice and Bob are not two parties" in " ".join(out.split())


def test_run_on_a_bad_snapshot_aborts(status):
    code, _, err = status("run", "--device", "fake:lagos", "--rounds", 100_000, "--seed", 1)
    assert code == 3
    assert "The lower bound on S must exceed 2" in err


def test_snapshot_streams_blocks_from_the_command_line(status, tmp_path):
    command = ["run", "--device", "fake:boston", "--rounds", 400_000, "--seed", 1, "--json"]
    code, out, _ = status(*command, "--block-rounds", 200_000, "--keep", tmp_path / "raw")
    assert code == 0
    assert "not two parties" in json.loads(out)["device"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--device", "marrakesh"], "must be one of {aer,exact,fake:NAME,ibm:NAME}"),
        (["--device", "fake:"], "must be one of {aer,exact,fake:NAME,ibm:NAME}, but is `fake:`"),
        (["--device", "aer:x"], "must be one of {aer,exact,fake:NAME,ibm:NAME}, but is `aer:x`"),
        (["--device", "fake:atlantis"], "`atlantis` must be the name of a snapshot"),
        (["--device", "fake:kyoto"], "two coupled qubits with a working calibration"),
        (["--device", "fake:boston", "--visibility", "0.9"], "`--visibility` must come with"),
        (["--device", "fake:boston", "--readout-error", "0"], "`--readout-error` must come with"),
        (["--device", "fake:boston", "--attack", "cloner"], "`--attack` must come with"),
    ],
)
def test_device_that_cannot_be_is_one_sentence_and_status_two(status, arguments, complaint):
    code, out, err = status("run", *arguments)
    assert (code, out) == (2, "")
    assert complaint in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("device", ["aer", "exact", "fake:x", "ibm:ibm_boston"])
def test_every_kind_of_device_is_recognised(device):
    assert ":".join(filter(None, device_kind(device))) == device


def test_list_names_every_snapshot(status):
    code, out, _ = status("snapshots", "list")
    assert (code, tuple(out.split())) == (0, snapshot_names())
    assert tuple(json.loads(status("snapshots", "list", "--json")[1])) == snapshot_names()


def test_link_of_a_noisy_pair_is_its_closed_form():
    s, qber = link_of(exact_device(visibility=0.8).table)
    assert (s, qber) == (pytest.approx(0.8 * 8**0.5), pytest.approx(0.1))


def test_row_of_a_machine_is_that_of_its_device(status):
    code, out, _ = status("snapshots", "table", "manila", "kyoto", "--json")
    best, broken = json.loads(out)
    s, qber = link_of(snapshot_device("manila").table)
    assert code == 0
    assert (best["machine"], best["of"], best["qubits"]) == ("manila", 5, [4, 3])
    assert (best["chsh"], best["qber"]) == (s, qber)
    for model in SecurityModel:
        assert best[model.value] == asymptotic_rate(model, chsh_value=s, qber=qber).rate
    assert (broken["machine"], broken["qubits"], broken["chsh"]) == ("kyoto", None, None)


def test_documented_table_has_every_snapshot_once():
    assert sorted(row.split()[1] for row in documented_rows()) == list(snapshot_names())


def test_documented_rows_are_what_the_command_prints(status):
    names = ["manila", "oslo", "boston", "lagos", "kyoto"]
    _, out, _ = status("snapshots", "table", *names)
    printed = [line for line in out.splitlines() if " qubits) | " in line]
    assert len(printed) == len(names)
    assert set(printed) <= set(documented_rows())


@pytest.mark.slow
def test_documented_table_is_what_the_command_prints(status):
    _, out, _ = status("snapshots", "table")
    assert out in DOCUMENT.read_text()
