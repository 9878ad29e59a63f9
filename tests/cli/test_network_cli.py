import json

import pytest

from e91.network import Network, load, names
from e91.network.plan_summary import as_data, described


@pytest.fixture
def said(capsys):
    """Run a command and return its exit status and what it printed."""
    from e91.cli import main

    def run(*arguments):
        status = 0
        try:
            main(["network", *arguments])
        except SystemExit as ended:
            status = ended.code
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def test_every_network_is_listed_with_what_its_rates_are(said):
    status, out, _ = said("list")
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert status == 0
    assert set(lines) == {"name", *names()}
    assert lines["jinan-2017"].split()[1:5] == ["200", "208", "212", "simulated"]
    assert lines["secoqc-2008"].split()[4] == "published"


def test_the_list_is_one_object_in_json(said):
    _, out, _ = said("list", "--json")
    rows = {row["name"]: row for row in json.loads(out)["networks"]}
    assert rows["secoqc-2008"]["variants"] == ["zero", "fitted", "rated", "simulated"]
    assert (rows["hefei-2021"]["users"], rows["hefei-2021"]["links"]) == (40, 43)


def test_a_network_is_shown_with_sources_and_what_is_assumed(said):
    status, out, _ = said("show", "secoqc-2008")
    assert status == 0
    assert "zero (shown), fitted, rated, simulated" in out
    row = next(line for line in out.splitlines() if line.lstrip().startswith("SIE-BRT"))
    assert "32 km [" in row
    assert "3.1 kbit/s (24 h average) [" in row
    assert "0 bit/s * [" in row
    assert "approximately 6 MiB" in row
    assert "* assumed here; nobody printed it" in out
    assert "Peev et al. 2009, s. 3.2 (read in: repository)" in out


def test_press_claims_are_quoted_as_press_claims():
    text = " ".join(described(load("jinan-2017")).split())
    assert '"4,000 codes a second" (Yicai, 2017-07-10)' in text
    assert text.count("4,000") >= 5
    assert "What the press said" in text


@pytest.mark.parametrize("name", names())
def test_every_line_of_prose_keeps_to_the_width(name):
    for part in described(load(name), width=80).split("\n\n"):
        if not part.startswith("── Links"):
            assert max(map(len, part.splitlines())) <= 84


@pytest.mark.parametrize("name", names())
def test_a_plan_is_plain_data(name):
    found = json.loads(json.dumps(as_data(load(name)), allow_nan=False))
    assert found["name"] == name
    assert len(found["links"]) == len(load(name).links)


def test_a_network_shows_itself_in_a_notebook():
    plan = load("tokyo-2010")
    assert isinstance(plan, Network)
    assert repr(plan) == "<network tokyo-2010 (published): 6 trusted relays, 6 links>"
    assert "81.7 kbit/s" in plan._repr_html_()


def test_show_writes_the_map(said, tmp_path):
    file = tmp_path / "map.svg"
    status, out, _ = said("show", "cambridge-2019", "--figure", str(file), "--json")
    assert status == 0
    assert json.loads(out)["variants"] == ["published", "text", "simulated"]
    assert "<svg" in file.read_text()


def test_run_writes_its_page_and_refuses_one_that_exists_before_the_work(said, tmp_path):
    file = tmp_path / "run.svg"
    asked = ("run", "cambridge-2019", "--minutes", "2", "--figure", str(file), "--json")
    status, out, err = said(*asked)
    assert (status, err) == (0, "")
    assert json.loads(out)["simulated_seconds"] == 120
    assert "<svg" in file.read_text()
    status, out, _ = said(*asked)
    assert (status, "must not exist yet" in json.loads(out)["error"]) == (2, True)
    live = said("run", "cambridge-2019", "--page", "--figure", str(tmp_path / "other.svg"))
    assert (live[0], "`--figure` must be of a run" in live[2]) == (2, True)


def test_a_good_file_is_one_line(said, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('extends = "jinan-2012"\ntitle = "Mine"\n')
    assert said("check", str(file)) == (
        0, "mine can be run: 50 users, 3 trusted relays, 53 links.\n", "",
    )  # fmt: skip


def test_a_bad_file_is_one_sentence_and_status_2(said, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('extends = "jinan-2012"\nlinks.R1-R2.ends = ["R1", "R1"]\n')
    assert said("check", str(file)) == (
        2, "", f"e91: In `{file}`: `links.R1-R2.ends` must be two sites, but both are `R1`.\n",
    )  # fmt: skip


def test_a_bad_variant_is_found_though_another_is_the_default(said, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(
        'extends = "secoqc-2008"\nvariants.broken.calls = [{ source = "FOR", target = "BTR", '
        "bits_per_second = 1 }]\n"
    )
    status, _, err = said("check", str(file))
    assert status == 2
    assert err == (
        f"e91: In `{file}`: `calls[0].target` must be a site of the network, but 'BTR' is none; "
        "did you mean `BRT`?\n"
    )


def test_an_unknown_variant_is_refused_with_the_known_ones(said):
    status, _, err = said("show", "tokyo-2010", "--variant", "simulate")
    assert status == 2
    assert "one of published, simulated, but is 'simulate'; did you mean `simulated`?" in err


def test_passes_of_a_satellite_are_shown_with_the_key_of_both_ways(said, tmp_path):
    asked = ("passes", "micius", "--days", "3", "--clear", "0.8", "--seed", "1")
    status, out, _ = said(*asked, "--figure", str(tmp_path / "key.svg"))
    assert status == 0
    assert "Passes over Delingha and Nanshan" in out
    assert (tmp_path / "key.svg").exists()
    _, out, _ = said(*asked, "--stations", "Xinglong", "--json")
    data = json.loads(out)
    assert (data["stations"], data["seed"], data["entangled"]) == (["Xinglong"], 1, None)
    assert data["relayed"]["Xinglong"]["passes"][0]["nearest_km"] == pytest.approx(645.5, abs=2)


def test_passes_are_refused_where_none_can_be(said):
    status, _, err = said("passes", "jinan-2017")
    assert status == 2
    assert "must have a satellite and simulated links by it, but `jinan-2017` has none." in err
    assert said("passes", "micius", "--above", "91")[2] == (
        "e91: `--above` must lie in [0, 90], but is 91.0.\n"
    )
    assert (
        "with one station" in said("passes", "micius", "--stations", "Lijiang", "--above", "9")[2]
    )
    status, _, err = said("passes", "micius", "--stations", "Delinga")
    assert status == 2
    assert err.endswith("but 'Delinga' is none; did you mean `Delingha`?\n")


def test_a_run_prints_its_minutes_its_events_and_its_report(said):
    status, text, _ = said(
        "run", "jinan-2012", "--minutes", "1", "--depth", "counts", "--seed", "1",
        "--attack", "R1-R2=intercept-resend:1@20-30", "--cut", "R2-R3@40",
    )  # fmt: skip
    assert status == 0
    assert "(only the simulator knows) intercept-resend begins on R1-R2, 1." in text
    assert "The alarm of R1-R2 rings (eavesdropper)" in text
    assert "R2-R3 is cut." in text
    assert "made = spent + lost + stored on every link" in text
    assert "seeded: nothing here is secret" in text


def test_a_run_in_json_has_the_names_of_the_contract(said):
    _, text, _ = said("run", "cambridge-2019", "--minutes", "5", "--seed", "1", "--json")
    found = json.loads(text)
    assert found["network"] == "cambridge-2019"
    assert found["conserved"] is True
    assert set(found["keys"]) >= {"delivered", "bits_each", "per_second"}
    assert set(found["requests"]) >= {"served", "late", "missed"}
    assert set(found["hops"]) >= {"mean", "most"}
    assert set(found["link_bits"]) == {"made", "spent", "lost", "stored"}
    for name in ("depth", "seed", "users", "links", "simulated_seconds", "seconds", "alarms"):
        assert name in found
    assert found["routes_changed"] >= 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--minutes", "0"], "`--minutes` must be finite and positive"),
        (["--minutes", "1e300"], "`--minutes` must lie in [0, 5.256e+08]"),
        (["--attack", "R1-R2"], "`--attack` must be LINK=NAME:STRENGTH@SECONDS"),
        (["--attack", "R1-R2=nobody:1@3"], "must be an adversary"),
        (["--attack", "R1-R9=cloner:0.1@3"], "must be a link of the network"),
        (["--attack", "R1-R2=cloner:x@3"], "must be a number"),
        (["--cut", "R1-R2"], "`--cut` must be LINK@SECONDS"),
        (["--cut", "R1-R2@9-3"], "must lie after its start"),
        (["--workers", "0"], "`--workers` must lie in"),
        (["--disjoint", "2"], "without a common relay"),
        (["--scheduler", "x"], "must be the address of a running Dask scheduler"),
        (["--page", "--scheduler", "x"], "`--scheduler` must be of a run, not of a live `--page`"),
        (["--page", "--json"], "`--json` must be of a run, not of a live `--page`"),
        (
            ["--page", "--host", "192.0.2.1"],
            "at an address of this computer, but 192.0.2.1 is none",
        ),
        (["--page", "--disjoint", "2"], "not of a live `--page`"),
    ],
)
def test_a_bad_run_is_one_sentence_and_status_2(said, options, sentence):
    status, _, error = said("run", "jinan-2012", *options)
    assert status == 2
    assert sentence in error
    assert "Traceback" not in error


def test_false_alarms_of_some_days_are_counted(said):
    _, text, _ = said("alarms", "jinan-2012", "--days", "2", "--seed", "1")
    assert "0 false alarms of 53 links in 2 days" in text
    assert "promised are at most 0.0053 on average" in text
