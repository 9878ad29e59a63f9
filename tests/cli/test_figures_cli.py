"""``--figure FILE`` of every command: drawn when there is something, refused before the work."""

import json
import sys

import pytest
from matplotlib import pyplot

import e91
from e91.cli.commands import SUMMARIES, loaded
from e91.model.randomness import seeded_entropy
from e91.recorded import save_detections
from e91.session import measure

STUDY = 'rounds = 20_000\nsettings.name = "bbm92"\n[[sweep]]\ndevice.visibility = [0.9, 0.95]\n'

COMMANDS = {
    "run": ("run", "--device", "exact", "--rounds", "50000", "--seed", "1"),
    "blocks": ("run", "--device", "exact", "--rounds", "90000", "--block-rounds", "45000",
               "--keep", "kept"),
    "rate": ("rate", "--chsh", "2.7", "--qber", "0.02"),
    "experiment": ("experiment", "run", "jennewein-2000"),
    "attack": ("attack", "run", "local", "--rounds", "20000"),
    "bell": ("bell", "--wins", "800", "--rounds", "1000"),
    "counts": ("bell", "--same", "53,16,42,50", "--different", "8,51,20,5", "--signs", "+,-,+,+"),
    "study": ("study", "scan.toml", "--processes", "1"),
    "analyse": ("analyse", "night.csv"),
    "alarms": ("network", "alarms", "hefei-2021", "--days", "0.1"),
    "calls": ("network", "calls", "tokyo-2010"),
}  # fmt: skip
COMMANDS["rate of rounds"] = (*COMMANDS["rate"], "--rounds", "100000")


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scan.toml").write_text(STUDY)
    yield
    pyplot.close("all")


@pytest.mark.parametrize("name", COMMANDS)
def test_command_draws_what_it_found(name, status, tmp_path):
    if name == "analyse":
        device = e91.exact_device(seed=1)
        record = measure(device, 20_000, settings=e91.EKERT, entropy=seeded_entropy(1))
        save_detections(tmp_path / "night.csv", record)
    code, printed, complaint = status(*COMMANDS[name], "--figure", "f.svg", "--figure-style",
                                      "slide", "--json")  # fmt: skip
    assert (code, complaint) == (0, "")
    assert printed.startswith(("{", "["))
    assert len(printed.splitlines()) == 1
    assert (tmp_path / "f.svg").read_text("utf-8").startswith("<?xml")


def test_light_is_drawn_against_distance_with_the_link_as_it_is(status, tmp_path, monkeypatch):
    from e91 import plots

    drawn, asked = plots.link_figure, []

    def few(link, **options):
        asked.append(options)
        return rates_by_distance(link, [0, 40], **options)

    def spied(rates, found, *, mark):
        asked.append((rates, mark))
        return drawn(rates, found, mark=mark)

    rates_by_distance = plots.rates_by_distance
    monkeypatch.setattr("e91.plots.rates_by_distance", few, raising=False)
    monkeypatch.setattr("e91.plots.link_figure", spied, raising=False)
    code, printed, _ = status("rate", "--distance-km", "40", "--rounds", "100000", "--json",
                              "--figure", "f.png")  # fmt: skip
    assert code == 0
    reported = json.loads(printed)
    options, (rates, mark) = asked
    assert options["session_s"] == pytest.approx(reported["link_seconds"])
    assert (mark.where, mark.rate) == (40, reported["secret_bits_per_second"])
    assert rates.finite[1] == pytest.approx(mark.rate, rel=0.01)
    assert (tmp_path / "f.png").exists()


def test_aborted_session_is_drawn_too(status, tmp_path):
    code, _, _ = status("run", "--device", "exact", "--rounds", "20000", "--visibility", "0.5",
                        "--figure", "f.png")  # fmt: skip
    assert code == 3
    assert (tmp_path / "f.png").exists()


def flown(*_, **__):
    raise AssertionError("the work began")


@pytest.mark.parametrize("name", COMMANDS)
def test_figure_that_cannot_be_is_refused_before_the_work(name, status, monkeypatch, tmp_path):
    for place in ("e91.session.session.run", "e91.session.streaming.stream", "e91.studies.study",
                  "e91.experiments.run", "e91.adversaries.attacked_session.run_attack",
                  "e91.bell.p_values.p_value", "e91.bell.bell_test", "e91.session.session.analyse",
                  "e91.session.planning.asymptotic_rate",
                  "e91.session.planning.best_plan"):  # fmt: skip
        monkeypatch.setattr(place, flown)
    (tmp_path / "old.png").touch()
    before = sorted(tmp_path.iterdir())
    for file, sentence in (("f.gif", "must end in"), ("old.png", "must not exist yet")):
        code, printed, complaint = status(*COMMANDS[name], "--figure", file)
        assert (code, printed) == (2, "")
        assert sentence in complaint
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for module in [module for module in sys.modules if module.startswith("e91.plots")]:
        monkeypatch.delitem(sys.modules, module)
    code, printed, complaint = status(*COMMANDS[name], "--figure", "f.png")
    assert (code, printed) == (2, "")
    assert "must have the package matplotlib, but it is not installed" in complaint
    assert sorted(tmp_path.iterdir()) == before


def test_study_that_has_no_axis_is_refused_a_figure_before_it_runs(status, tmp_path):
    (tmp_path / "flat.toml").write_text("rounds = 20_000\n")
    code, _, complaint = status("study", "flat.toml", "--figure", "f.png")
    assert code == 2
    assert "must come with a study that has an axis" in complaint
    assert not (tmp_path / "flat.nc.journal").exists()


def test_every_command_with_a_figure_is_among_these():
    def have_figures(command, path):
        if hasattr(command, "commands"):
            return [found for name, one in command.commands.items()
                    for found in have_figures(one, (*path, name))]  # fmt: skip
        return [path] if any("--figure" in option.opts for option in command.params) else []

    found = {path for name in SUMMARIES for path in have_figures(loaded(name), (name,))}
    of_groups = ("experiment", "attack", "network")
    asked = {line[: 2 if line[0] in of_groups else 1] for line in COMMANDS.values()}
    elsewhere = {("network", name) for name in ("show", "run", "passes")}
    assert found == asked | elsewhere


def test_experiment_that_is_all_fitted_is_refused_a_figure_before_it_is_printed(status, tmp_path):
    code, printed, complaint = status("experiment", "run", "han-2020", "--figure", "f.png")
    assert (code, printed) == (2, "")
    assert (
        "an outcome to which nothing was fitted to be drawn, but `han-2020` has none" in complaint
    )
    assert not (tmp_path / "f.png").exists()
