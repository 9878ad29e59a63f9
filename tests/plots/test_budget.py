"""The key budget: every step is a count of the report, and they add up to the last bit."""

import math
from functools import cache

import pytest
from matplotlib import pyplot
from matplotlib.colors import to_hex

import e91
from e91.model.records import SecretLength
from e91.optics import PulsedSource, simple_arm
from e91.plots import budget_figure, key_budget

UNTRUSTED = e91.SecurityModel.DEVICE_INDEPENDENT
RARE_TESTS = e91.ASYMMETRIC.biased((0.92, 0.04, 0.04), (0.92, 0.08))


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    pyplot.close("all")


def exact(visibility=0.97, **options):
    return e91.exact_device(visibility=visibility, seed=1, **options)


def lossy():
    arm = simple_arm(1.0, 100.0)
    return e91.optical_slot_device(PulsedSource(1e6, 0.3), arm, arm, seed=1)


def altered(message):
    return None if message.subject.startswith("cascade") else message


def session(device, rounds=100_000, **policy):
    return e91.run(device, rounds=rounds, policy=e91.Policy(**policy), seed=1)


SESSIONS = {
    "key": lambda: session(exact()),
    "untrusted": lambda: session(exact(), security=UNTRUSTED),
    "accumulation": lambda: session(
        exact(settings=RARE_TESTS), 600_000, security=UNTRUSTED, theorem="entropy-accumulation"
    ),
    "portions": lambda: session(exact(), 200_000, portions=4),
    "losses": lambda: session(lossy(), 300_000),
    "losses kept": lambda: session(lossy(), 50_000, security=UNTRUSTED),
    "no violation": lambda: session(exact(0.5)),
    "no secret": lambda: session(exact(0.85)),
    "nothing": lambda: session(exact(), 3),
    "signalling": lambda: e91.run(lambda x, y: (x % 2, (x + y) % 2), rounds=50_000, seed=1),
    "altered": lambda: e91.run(exact(), rounds=50_000, seed=1, transmission=altered),
    "blocks": lambda: e91.summary_of(
        e91.stream(exact(), rounds=230_000, block_rounds=110_000, seed=1)
    ),
}  # fmt: skip


@cache
def made(name):
    return SESSIONS[name]()


@pytest.mark.parametrize("name", SESSIONS)
def test_steps_are_the_counts_of_the_report_and_add_up_exactly(name):
    report = made(name)
    budget, evidence = key_budget(report), report.evidence
    left = report.rounds
    for step in budget.steps:
        left -= step.taken
        assert step.left == left
        assert step.taken != 0
    assert left == budget.secret_bits == report.secret_bits
    assert budget.sifted_bits == evidence.key_size
    assert budget.is_released == (report.abort is None)
    taken = {step.name: step.taken for step in budget.steps}
    lost = 0 if report.policy.security is UNTRUSTED else report.rounds - evidence.coincidences
    assert taken.get("no coincidence", 0) == lost
    assert taken.get("Bell test", 0) == evidence.test_size
    assert taken.get("revealed for the QBER", 0) == evidence.sample_size
    if report.secret_bits:
        assert taken["next session's authentication"] == report.authentication_bits
    terms = getattr(report, "length", None)
    for term, bits in [] if terms is None else terms.terms[1:]:
        assert abs(taken.get(term, 0) + bits) < 1


def test_every_kind_of_session_was_met():
    found = [made(name) for name in ("untrusted", "accumulation", "portions", "losses")]
    assert all(report.abort is None for report in found)
    blocks = made("blocks")
    assert (blocks.blocks, blocks.released) == (3, 2)


def test_terms_that_are_no_whole_numbers_are_rounded_where_they_sum(monkeypatch):
    report = session(exact())
    terms = tuple((name, bits - 0.5 * (bits < 0)) for name, bits in report.length.terms)
    halves = SecretLength(terms, None)
    assert not math.fsum(bits for _, bits in terms).is_integer()
    monkeypatch.setattr(type(report), "secret_bits", halves.bits - report.authentication_bits)
    object.__setattr__(report, "length", halves)
    assert key_budget(report).steps[-1].left == report.secret_bits


def test_figure_shows_each_step_as_a_bar_and_its_number():
    budget = key_budget(made("key"))
    axes = budget_figure(budget)
    bars = {
        label.get_text(): (bar.get_x(), bar.get_x() + bar.get_width(), bar)
        for label, bar in zip(axes.get_yticklabels(), axes.patches, strict=True)
    }
    for step in budget.steps:
        assert bars[step.name][:2] == (step.left, step.left + step.taken)
        assert bars[step.name][2].get_hatch()
    for name, bits in (("rounds", budget.rounds), ("sifted key", budget.sifted_bits),
                       ("secret key", budget.secret_bits)):  # fmt: skip
        assert bars[name][:2] == (0, bits)
        assert not bars[name][2].get_hatch()
    (numbers,) = axes.child_axes
    shown = [label.get_text().replace("\N{MINUS SIGN}", "-") for label in numbers.get_yticklabels()]
    assert shown[0] == f"{budget.rounds:,}"
    assert shown[-1] == f"{budget.secret_bits:,}"
    assert f"{-budget.steps[0].taken:,}" == shown[1]
    assert len({to_hex(bar.get_facecolor()) for *_, bar in bars.values()}) == 3


def test_budget_without_a_key_says_so():
    axes = budget_figure(key_budget(made("no violation")))
    assert "no key" in axes.get_title()
    assert "no key: no violation" in [label.get_text() for label in axes.get_yticklabels()]


def test_most_lost_pairs_do_not_hide_the_rest():
    arm = simple_arm(10.0, 100.0)
    device = e91.optical_slot_device(PulsedSource(1e6, 0.05), arm, arm, seed=1)
    report = session(device, 1_000_000)
    axes = budget_figure(key_budget(report))
    assert report.evidence.coincidences < axes.get_xlim()[1] < 2 * report.evidence.coincidences
