"""The report as text and HTML: it fits a screen, shows errors and bounds, and hides the key."""

import html.parser
import math
import re
from dataclasses import replace
from functools import partial

import pytest
from e91_circuits import intercept_resend
from hypothesis import given
from hypothesis import strategies as st

import e91
from e91.session.report import Keys

EVERY_NOISE = {
    "dephasing": 0.0123,
    "misalignment": 0.0123,
    "amplitude_damping": 0.0123,
    "readout_error": 0.0123,
    "attack": partial(intercept_resend, fraction=0.0123, basis="breidbart"),
}


def session(*, rounds=100_000, policy=None, **physics):
    device = e91.exact_device(**{"visibility": 0.97, "seed": 1} | physics)
    return e91.run(device, rounds=rounds, policy=policy, seed=2)


REPORT = session()


def row(text, name):
    found = re.search(rf"^  {re.escape(name)} .*$", text, re.MULTILINE)
    assert found, f"the report must have a row {name!r}"
    return found[0][24:]


REPORTS = {
    "released": REPORT,
    "every noise": session(**EVERY_NOISE),
    "tapped": session(attack=partial(intercept_resend, fraction=1.0, basis="random")),
    "too short": session(rounds=3),
    "device-independent": session(
        visibility=1.0,
        rounds=1_000_000,
        policy=e91.Policy(e91.SecurityModel.DEVICE_INDEPENDENT),
    ),
    "no secret left": session(rounds=5_000),
}


@pytest.mark.parametrize("name", REPORTS)
def test_report_fits_a_terminal(name):
    lines = str(REPORTS[name]).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 45


@pytest.mark.parametrize("name", REPORTS)
def test_report_ends_in_its_verdict(name):
    report = REPORTS[name]
    text = " ".join(str(report).split())
    released = f"KEY RELEASED: {report.secret_bits:,} bits" in text
    assert released is (report.abort is None)
    assert (f"NO KEY: {report.abort and report.abort.value}" in text) is not released


@pytest.mark.parametrize("name", ["no secret left", "tapped", "too short"])
def test_session_without_key_shows_no_length_of_one(name):
    assert REPORTS[name].abort is not None
    assert "KEY RELEASED" not in str(REPORTS[name])


def test_chsh_value_has_its_error_bar():
    value, error = map(float, re.match(r"(\S+) ± (\S+)", row(str(REPORT), "S")).groups())
    counts = list(zip(REPORT.evidence.same, REPORT.evidence.different, strict=True))
    correlators = [(same - different) / (same + different) for same, different in counts]
    variances = [
        (1 - e**2) / (same + different)
        for e, (same, different) in zip(correlators, counts, strict=True)
    ]
    assert value == pytest.approx(REPORT.chsh.value, abs=5.1e-5)
    assert error == pytest.approx(math.sqrt(sum(variances)), abs=6e-5)


def test_qber_has_its_error_bar():
    found = re.match(r"(\S+)% ± (\S+)%", row(str(REPORT), "QBER"))
    rate, error = (float(number) / 100 for number in found.groups())
    n, errors = REPORT.qber.revealed, REPORT.evidence.sample_errors
    assert rate == pytest.approx(errors / n, abs=5.1e-5)
    assert error == pytest.approx(math.sqrt(errors * (n - errors) / n**3), abs=5.1e-5)


def test_missing_values_are_dashes():
    missing = replace(REPORT, chsh=replace(REPORT.chsh, value=None, standard_error=None))
    vars(missing)["qber"] = replace(REPORT.qber, rate=None)
    assert row(str(missing), "S").startswith("- ")
    assert row(str(missing), "QBER").startswith("- ")


@given(st.floats(-4, 4))
def test_bound_on_s_is_never_rounded_up(bound):
    text = str(replace(REPORT, chsh=replace(REPORT.chsh, lower_bound=bound)))
    shown = float(row(text, "S is at least").split()[0])
    assert bound - 1.01e-4 < shown <= bound


@given(st.floats(0, 1))
def test_bound_on_the_qber_is_never_rounded_down(bound):
    bounded = replace(REPORT)
    vars(bounded)["qber"] = replace(REPORT.qber, upper_bound=bound)
    text = str(bounded)
    shown = float(re.search(r"at most (\S+) %", row(text, "QBER"))[1])
    # The shown decimal number and its double differ by less than 1e-14.
    assert 100 * bound - 1e-14 * 100 <= shown < 100 * bound + 0.0101


def test_key_budget_adds_up():
    lines = str(REPORT).split("Key budget, bits")[1].split("── Verdict")[0].splitlines()[1:]
    numbers = [int(line.split()[-1].replace(",", "")) for line in lines if line.strip()]
    *terms, length = numbers
    assert length == REPORT.secret_bits
    # Each of the terms is rounded to a bit, and the length down to one.
    assert abs(sum(terms) - length) <= 1 + len(terms) / 2


@pytest.mark.parametrize("show", [str, repr, lambda report: report._repr_html_()])
def test_what_is_shown_does_not_depend_on_the_key(show):
    keys = REPORT.keys
    other = replace(keys.alice, bits=1 - keys.alice.bits)
    changed = replace(REPORT, _keys=Keys(other, other, bytes(64)))
    assert show(changed) == show(REPORT)


def test_public_fields_do_not_depend_on_the_key():
    other = replace(REPORT.key, bits=1 - REPORT.key.bits)
    changed = replace(REPORT, _keys=Keys(other, other, bytes(64)))
    assert changed.to_dict() == REPORT.to_dict()


def test_seeded_session_says_that_it_is_not_secret():
    assert "not secret" in str(REPORT)
    assert "not secret" not in str(replace(REPORT, seed=None))


class Reader(html.parser.HTMLParser):
    """Collects the tags of a page, its text, and the titles of sections that are open."""

    def __init__(self):
        super().__init__()
        self.tags, self.words, self.states = set(), [], []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "details":
            self.states.append(("open", None) in attrs)

    def handle_data(self, data):
        self.words.append(data)


def page_of(report):
    reader = Reader()
    reader.feed(report._repr_html_())
    return reader


def test_html_escapes_what_a_device_calls_itself():
    hostile = replace(REPORT, device="<script>alert('&')</script>")
    page = page_of(hostile)
    assert page.tags == {"div", "p", "b", "details", "summary", "table", "tr", "th", "td"}
    assert hostile.device in page.words


def test_html_holds_every_number_of_the_text():
    def numbers(text):
        return set(re.findall(r"\d[\d,.]*(?:e[+-]\d+)?", text))

    missing = numbers(str(REPORT)) - numbers(" ".join(page_of(REPORT).words))
    assert missing <= {"2.8284", f"{REPORT.secret_bits:,}"} | numbers("91")


def test_first_section_alone_is_open_and_says_what_was_found():
    page = page_of(REPORT)
    assert page.states == [True, False, False]
    bits = REPORT.secret_bits
    assert page.words[0] == (
        f"A key of {bits:,} secret bits: {bits // 8:,} bytes, half of them for each direction; "
        "epsilon 1e-10."
    )
    titles = [word for word in page.words if word.startswith(("What was", "The budget", "The sma"))]
    assert [title.split(":")[0] for title in titles] == [
        "What was found",
        "The budget",
        "The small print",
    ]


def test_html_of_an_aborted_session_begins_with_the_reason():
    refused = replace(REPORT, abort=e91.Abort.NO_VIOLATION, _keys=None)
    assert page_of(refused).words[0] == f"No key. {e91.Abort.NO_VIOLATION.value}"


def test_a_notebook_shows_text_and_page_and_nothing_else():
    from IPython.core.formatters import DisplayFormatter

    shown, _ = DisplayFormatter().format(REPORT)
    assert shown == {"text/plain": str(REPORT), "text/html": REPORT._repr_html_()}
