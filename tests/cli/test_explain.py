"""``e91 explain``: every word that a report prints and every JSON field has its entry."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from key_servers import served

from e91 import cli
from e91.cli.commands import SUMMARIES
from e91.cli.glossary import Glossary, explained, glossary, plain
from e91.encryption.sound import Sound, write_wav
from e91.system.report_layout import Layout

DOCS = Path(__file__).parents[2] / "docs"

SLOW = ("coherent attacks", "without a Bell test", "light", "network", "passes", "sampler", "calls")

REPORTS = {
    "run": "run --device exact --rounds 1e5 --seed 1",
    "without trust": "run --device exact --security device-independent --rounds 1e5 --seed 1",
    "coherent attacks": "run --device exact --security device-independent --rounds 1e5 --seed 1"
    " --theorem entropy-accumulation",
    "without a Bell test": "run --device exact --settings bbm92-plain --theorem exact-sampling"
    " --tolerated-error 0.03 --rounds 1e5 --seed 1",
    "light": "run --distance-km 10 --rounds 1e5 --seed 1",
    "attack": "attack run cloner --strength 0.1 --rounds 1e4 --seed 1",
    "bell": "bell --wins 800 --rounds 1000",
    "rate": "rate --chsh 2.7 --qber 0.02 --rounds 1e6",
    "experiment": "experiment run yin-2020",
    "network": "network run cambridge-2019 --seed 1 --depth counts --minutes 1",
    "network, published": "network run tokyo-2010 --seed 1",
    "passes": "network passes micius",
    "network, shown": "network show tokyo-2010",
}
"""Commands whose words are explained: all that report on a session, a network, an experiment."""

TABLES = {
    "satellite": "network show micius",
    "networks": "network list",
    "attacks": "attack list",
    "one experiment": "experiment show yin-2020",
    "experiments": "experiment list",
    "sampler": "conformance qiskit.primitives:StatevectorSampler",
    "calls": "network calls cambridge-2019",
}
"""Commands that print tables, whose fields are explained."""


def marked(names):
    return [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in names]


def printed(line, capsys):
    """Return what a command prints, whether or not there is a key."""
    status = 0
    try:
        cli.main(line.split())
    except SystemExit as ended:
        status = ended.code
    assert status in (None, 0, 3)
    return capsys.readouterr().out


def unexplained(words):
    """Return the words that the glossary does not hold."""
    lost = []
    for word in words:
        try:
            explained(word)
        except ValueError:
            lost.append(word)
    return lost


def fields(found, before=""):
    """Yield the names of all fields of a JSON value, with dots where objects nest."""
    if isinstance(found, dict):
        for name, inner in found.items():
            yield f"{before}{name}"
            yield from fields(inner, f"{before}{name}.")
    elif isinstance(found, list):
        for inner in found:
            yield from fields(inner, before)


# What is data and no field: names of links, stations, theorems, facts and lost sessions.
DATA = re.compile(
    r"^(aborts|best_routing\.limited_by|facts|unsafe_with|calls_at_once|"
    r"satellite\.lowest_elevation_deg)\.|^relayed\.[A-Z][a-z]+$"
)


@pytest.mark.parametrize("report", marked(REPORTS | TABLES))
def test_every_json_field_of_a_report_is_explained(report, capsys):
    found = json.loads(printed(f"{(REPORTS | TABLES)[report]} --json", capsys))
    names = [name for name in dict.fromkeys(fields(found)) if not DATA.match(name)]
    assert len(names) > 3
    assert unexplained(names) == []


@pytest.mark.parametrize("report", marked(name for name in REPORTS if name != "experiment"))
def test_every_label_of_a_report_is_explained(report, capsys, monkeypatch):
    rows = []
    row = Layout.row
    monkeypatch.setattr(Layout, "row", lambda *a: (rows.append(a[1]), row(*a))[1])
    text = printed(REPORTS[report], capsys)
    if "network" not in report and report != "passes":  # their tables name links and nights
        rows += re.findall(r"^ {0,2}(\S.*?) {2,}\S", text, re.MULTILINE)
    labels = {row for row in rows if row and not re.match(r"[\d:.,-]+$", row)}
    assert len(labels) > 3
    assert unexplained(labels) == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Leave a folder with a session's key files and one with servers' certificates."""
    place = tmp_path_factory.mktemp("words")
    run_of = "run --device exact --rounds 1e5 --seed 1 --out"
    cli.main([*run_of.split(), str(place / "session")])
    cli.main(["kme", "init", str(place / "servers")])
    (place / "message.txt").write_text("meet me in Jinan")
    write_wav(place / "sound.wav", Sound(8000, 1, 16, bytes(1600)))
    return place


def test_every_field_of_keys_and_servers_is_explained(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    capsys.readouterr()
    for line in (
        "key info session/alice.key",
        "key export session/alice.key --bits 256 --keys 1 --out one.txt",
        "encrypt message.txt --key session/alice.key",
        "decrypt message.txt.e91 --key session/bob.key --out read.txt",
        "encrypt message.txt --key session/alice.key --budget",
        "call simulate sound.wav heard.wav",
        "key ledger",
        "kme status servers/kme.toml",
        "kme revoke alice-app --in servers",
    ):
        found = json.loads(printed(f"{line} --json", capsys))
        assert unexplained(fields(found)) == [], line


def test_every_label_of_keys_and_servers_is_explained(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    rows, row = [], Layout.row
    monkeypatch.setattr(Layout, "row", lambda *a: (rows.append(a[1]), row(*a))[1])
    for line in (
        "key info session/alice.key",
        "encrypt message.txt --key session/alice.key --budget",
        "kme status servers/kme.toml",
    ):
        printed(line, capsys)
    assert len(rows) > 10
    assert unexplained(rows) == []


@pytest.fixture
def asked(tmp_path, capsys):
    """Run a server of keys; return a function that prints what a command finds out of it."""
    with served(tmp_path / "site") as server:
        server.deposit(100_000)
        site = server.folder
        places = {
            "URL": f"https://127.0.0.1:{server.port('alice')}",
            "WHO": f"--certificate {site}/sae-alice-app.crt --private-key "
            f"{site}/sae-alice-app.key --ca {site}/ca.crt",
            "FILE": str(tmp_path / "fetched.json"),
        }

        def ask(line):
            for name, place in places.items():
                line = line.replace(name, place)
            return json.loads(printed(f"{line} --json", capsys))

        yield ask


@pytest.mark.slow
def test_every_field_of_delivered_keys_and_of_a_probe_is_explained(asked):
    for line in (
        "key fetch --kme URL WHO --peer bob-app --out FILE",
        "key list FILE",
        "key list --kme URL WHO --peer bob-app",
        "kme probe URL WHO --peer-sae bob-app",
    ):
        assert unexplained(fields(asked(line))) == [], line


@pytest.mark.slow
def test_every_field_of_a_conversation_is_explained(folder):
    pipes = [folder / "to_bob", folder / "to_alice"]
    for pipe in pipes:
        os.mkfifo(pipe)
    ends = []
    for party, (to, of) in {"alice": pipes, "bob": pipes[::-1]}.items():
        words = f"chat --json --key {folder}/session/{party}.key --from {of} --to {to}"
        start = [sys.executable, "-m", "e91", *words.split()]
        streams = dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)
        ends.append(subprocess.Popen(start, **streams))
    for end in ends:
        end.stdin.write(b"hello\n")
        end.stdin.flush()
    for end in ends:
        found = json.loads(end.communicate(timeout=60)[0])
        assert found["lines"]
        assert unexplained(fields(found)) == []


def test_an_unknown_word_is_answered_by_what_is_close(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["explain", "sifted", "keys"])
    assert ended.value.code == 2
    assert "did you mean `sifted key`" in capsys.readouterr().err


def test_a_word_may_be_spelt_either_way():
    assert explained("Lower Bound on s") is explained("chsh.lower-bound")
    with pytest.raises(ValueError, match="lists all terms"):
        explained("zzzzqqqq")


def test_all_terms_are_listed_as_text_and_as_json(capsys):
    text = printed("explain", capsys)
    found = json.loads(printed("explain --json", capsys))
    assert [each["term"] for each in found] == [term.name for term in glossary().term]
    flat = " ".join(text.split())
    assert all(term.name in flat for term in glossary().term)


def test_an_entry_has_everything_that_the_file_says(capsys):
    text = " ".join(printed("explain S", capsys).split())
    term = explained("S")
    for part in (term.meaning, term.formula, term.source, *term.see):
        assert part in text
    assert json.loads(printed("explain S --json", capsys))["formula"] == term.formula


def test_every_page_and_section_that_an_entry_names_exists():
    for term in glossary().term:
        if not term.proof:
            continue
        page, _, section = term.proof.partition(", section ")
        text = (DOCS / page).read_text(encoding="utf-8")
        assert not section or re.search(rf"^## {section}\.", text, re.MULTILINE), term.name


def test_a_word_that_two_terms_claim_is_refused():
    first, *_ = glossary().term
    with pytest.raises(ValueError, match="claim a word once"):
        Glossary(term=[first, first])


def test_every_command_says_what_it_does():
    assert plain("EXPLAIN") in SUMMARIES
