"""A wrong line is answered by one sentence that names the option; programs get it as JSON."""

import json

import click
import pytest

from e91.cli.options import COUNT
from e91.cli.sentences import _with_options


@pytest.mark.parametrize(
    ("text", "count"),
    [("1000000", 10**6), ("1_000_000", 10**6), ("1e6", 10**6), ("2.5E+3", 2500), ("-3", -3)],
)
def test_count_can_be_written_as_people_write_large_ones(text, count):
    assert COUNT.convert(text, None, None) == count


@pytest.mark.parametrize("text", ["1.5", "1e-3", "nan", "inf", "1e18", "1e999999999", "x", ""])
def test_what_is_no_count_is_refused(text):
    with pytest.raises(click.BadParameter):
        COUNT.convert(text, None, None)


WRONG = [
    ("rnu", "`e91` must be given one of its commands, but `rnu` is none; did you mean `run`?"),
    ("attack rum", ("`e91 attack` must be given one of its commands, but `rum` is none; did you "
     "mean `run`?")),
    ("qqq", "`e91` must be given one of its commands, but `qqq` is none; see `e91 --help`."),
    ("run --visibilty 1", ("`e91 run` must be given its own options, but `--visibilty` is none; "
     "did you mean `--visibility`?")),
    ("analyse --atack x", ("`e91 analyse` must be given its own options, but `--atack` is none; "
     "see `e91 analyse --help`.")),
    ("run --reconciler cascde", ("`--reconciler` must be one of cascade, ldpc, but is `cascde`; "
     "did you mean `cascade`?")),
    ("run --reconciler LDPC", ("`--reconciler` must be one of cascade, ldpc, but is `LDPC`; did "
     "you mean `ldpc`?")),
    ("run --rounds 1.5", ("`--rounds` must be a whole number of at most 18 digits, such as 2500000 "
     "or 2.5e6, but is `1.5`.")),
    ("run --seed 1.5", "`--seed` must be a whole number, but is `1.5`."),
    ("run --visibility it's", "`--visibility` must be a number, but is `it's`."),
    ("run --rounds", "`--rounds` must be followed by a value, but is not."),
    ("run it", "`e91 run` must be given no more arguments, but there is `it`."),
    ("encrypt", "`e91 encrypt` must be given FILE, but is not."),
    ("encrypt it", "`e91 encrypt` must be given `--key` or `--kme`, but is not."),
    ("run --reveal 2", "`--reveal` must lie strictly between 0 and 1, but is 2.0."),
    ("run --watch 2", "`--watch` must lie strictly between 0 and 1, but is 2.0."),
    ("run --portions 3", "`--portions` must be one of 1, 2, 4, 8, 16, 32, 64, but is 3."),
    ("rate --chsh 5 --qber 0", "`--chsh` must lie in [0, 4], but is 5.0."),
    ("bell --wins 7 --rounds 5", "`--wins` must be at most `--rounds`, 5, but is 7."),
    ("experiment show yin-2018", ("An experiment must be a known name or a .toml file, but is "
     "`yin-2018`; did you mean `yin-2017`?")),
]  # fmt: skip


@pytest.mark.parametrize(("line", "sentence"), WRONG)
def test_wrong_line_is_one_sentence_in_the_words_that_were_typed(status, line, sentence):
    assert status(*line.split()) == (2, "", f"e91: {sentence}\n")


@pytest.mark.parametrize(
    ("word", "shown"),
    [("a\nb\x1b[2J", r"a\nb\x1b[2J"), ("\u202eb", r"\u202eb"), ("x" * 5000, f"{'x' * 300}...")],
)
def test_odd_word_stays_on_one_line_of_reasonable_length(status, word, shown):
    code, _, complaint = status("experiment", "show", word)
    assert code == 2
    assert complaint.endswith(f"but is `{shown}`; see `e91 experiment list`.\n")
    assert complaint.count("\n") == 1


@pytest.mark.parametrize("option", ["--attack", "--theorem"])
def test_misspelt_name_in_the_library_is_answered_by_the_nearest(status, option):
    word, meant = {
        "--attack": ("clonner", "cloner"),
        "--theorem": ("phase-error", "phase-errors"),
    }[option]
    code, _, complaint = status("run", option, word)
    assert (code, complaint.startswith(f"e91: `{option}` must be one of ")) == (2, True)
    assert complaint.endswith(f", but is `{word}`; did you mean `{meant}`?\n")


@click.command()
@click.option("--window-ps", type=float)
@click.option("--reveal", "revealed_fraction")
def measured(**_):
    """Have an option of another unit, and one of another name."""


@pytest.mark.parametrize(
    ("line", "refusal", "reported"),
    [
        ([], "`window_s` must be positive.", "`--window-ps` must be positive."),
        ([], "`revealed_fraction` must be 1, but is 2.", "`--reveal` must be 1, but is 2."),
        ([], "`reveal` must be 1, but is 2.", "`--reveal` must be 1, but is 2."),
        ([], "It must be a word, but is `window_s`.", "It must be a word, but is `window_s`."),
        (["window_s"], "`window_s` must be a file.", "`window_s` must be a file."),
        (["--out=window_s"], "`window_s` must be a file.", "`window_s` must be a file."),
        ([], "In `a.toml`: `window_s` must be 1.", "In `a.toml`: `window_s` must be 1."),
        ([], "`window_s` in the file must be 1.", "`window_s` in the file must be 1."),
    ],
)
def test_argument_is_named_by_its_option_and_other_words_stay(line, refusal, reported):
    assert _with_options(refusal, measured, line) == reported


@pytest.mark.parametrize(
    "line", ["run --rounds 0 --json", "run --rounds x --json", "run -x --json", "rnu --json"]
)
def test_program_that_asks_for_json_gets_the_error_as_json(status, line):
    code, printed, complaint = status(*line.split())
    assert json.loads(printed) == {"error": complaint[len("e91: ") : -1], "exit_status": code}
    assert code == 2


def test_word_behind_a_double_hyphen_asks_for_nothing(status):
    assert status("run", "--", "--json")[:2] == (2, "")


def test_abort_is_the_usual_json_alone(status):
    line = ["run", "--device", "exact", "--rounds", "1e3", "--seed", 1, "--json"]
    code, printed, _ = status(*line)
    assert (code, printed.count("\n")) == (3, 1)
    assert json.loads(printed)["abort"]


def test_bug_is_reported_as_json_too(status, monkeypatch):
    monkeypatch.setattr("e91.cli.policy_options.Policy", lambda *_, **__: int("x"))
    code, printed, complaint = status("run", "--json")
    assert json.loads(printed)["exit_status"] == code == 1
    assert "Traceback" in complaint


def test_failure_after_a_report_adds_no_second_object(status, monkeypatch):
    def printed_and_refused(*_, **__):
        click.echo('{"rounds": 5}')
        raise click.UsageError("It fails.")

    monkeypatch.setattr("e91.cli.policy_options.Policy", printed_and_refused)
    assert status("run", "--json") == (2, '{"rounds": 5}\n', "e91: It fails.\n")


@pytest.mark.parametrize("line", [[], ["attack"], ["key"]])
def test_command_line_without_a_command_shows_the_help(status, line):
    assert status(*line) == status(*line, "--help")
