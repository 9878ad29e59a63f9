"""Whole sessions: keys when honest, a reason when not, and never a key bit where it must not be."""

import json
import logging
import math
from collections import Counter
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from e91_circuits import bell_pair, intercept_resend
from statistical import assert_binomial

from e91.bell import chsh
from e91.devices.exact import exact_device, exact_device_of
from e91.distillation import authentication
from e91.distillation.authentication import AuthenticationKey
from e91.distillation.cascade import reconciler as cascade
from e91.model.bits import NO_CLICK
from e91.model.device import DeviceInfo
from e91.model.errors import Abort, AlreadyUsed, ProtocolAborted
from e91.model.messages import Channel, Message, Party
from e91.model.randomness import operating_system_entropy, seeded_entropy
from e91.model.records import ReconciledKey
from e91.model.settings import ASYMMETRIC, BBM92, BBM92_PLAIN, EKERT, SETTINGS
from e91.model.trust import SecurityModel
from e91.security.policy import Policy
from e91.session.session import MAXIMUM_ROUNDS, analyse, conclude_record, measure, run
from e91.session.totals import RunSummary
from e91.system.stopwatch import Stopwatch

POLICY = Policy(epsilon=1e-6)
DEVICE_INDEPENDENT = replace(POLICY, security=SecurityModel.DEVICE_INDEPENDENT)
ROUNDS = 30_000
TSIRELSON = 2 * math.sqrt(2)


def pair_table(settings, pairs):
    """A boolean table, shape (Alice's settings, Bob's settings), true at ``pairs``."""
    table = np.zeros((len(settings.alice_angles), len(settings.bob_angles)), bool)
    for pair in pairs:
        table[pair] = True
    return table


TIMES = {"seconds": 0, "processor_seconds": 0}


def session(device=None, *, rounds=ROUNDS, seed=2, policy=POLICY, **options):
    device = device or exact_device(visibility=0.97, seed=1)
    return run(device, rounds=rounds, policy=policy, seed=seed, **options)


def always_zero(x, y):
    return np.zeros(len(x), np.uint8), np.zeros(len(x), np.uint8)


def tapped(fraction=1.0):
    """An attack that measures along Z or X, at random, and resends."""
    return lambda source: intercept_resend(source, fraction, basis="random")


def lossy(device, loss, seed):
    """The device with every photon lost independently."""
    generator = np.random.default_rng(seed)

    def losing(x, y):
        return tuple(
            np.where(generator.random(len(half)) < loss, NO_CLICK, half) for half in device(x, y)
        )

    return losing


# Honest sessions -----------------------------------------------------------------------------


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_honest_session_makes_equal_keys(settings):
    # Bob's and Alice's uniform choices leave BBM92 1/4 key rounds and ASYMMETRIC 1/6.
    report = session(exact_device(settings=settings, visibility=0.97, seed=1), rounds=60_000)
    assert report.abort is None
    assert report.settings == settings
    assert np.array_equal(report.keys.alice.bits, report.keys.bob.bits)
    assert len(report.key) == report.secret_bits > 0
    assert report.keys.alice.key_id == report.keys.bob.key_id
    assert len(report.keys.authentication_key) == authentication.AUTHENTICATION_BITS // 8


def test_key_is_what_the_length_says_less_the_next_authentication_key():
    report = session()
    assert report.secret_bits == report.length.bits - authentication.AUTHENTICATION_BITS
    assert -dict(report.length.terms)["error correction, Alice's bits"] == report.leak.alice


def test_key_bits_are_unbiased():
    bits = np.concatenate([session(seed=s, rounds=60_000).key.bits for s in range(3)])
    assert_binomial(int(bits.sum()), len(bits), 0.5, must_detect=0.6)


@pytest.mark.parametrize("seed", [2, 3])
def test_same_seeds_give_the_same_report(seed):
    first, second = session(seed=seed), session(seed=seed)
    assert np.array_equal(first.key.bits, second.key.bits)
    assert first.to_dict() | TIMES == second.to_dict() | TIMES
    assert first.key.reproducible


def test_another_seed_gives_another_key():
    first, second = session(seed=2), session(seed=3)
    size = min(first.secret_bits, second.secret_bits)
    assert first.evidence != second.evidence
    assert not np.array_equal(first.key.bits[:size], second.key.bits[:size])


def test_session_without_a_seed_uses_the_operating_systems_entropy():
    unseeded = exact_device(visibility=0.97)
    first, second = (session(unseeded, seed=None) for _ in range(2))
    assert first.evidence != second.evidence
    assert not first.key.reproducible


def test_disclosed_bits_of_the_transcript_are_the_reports_leak():
    for seed in range(3):
        sent = []

        def spy(message, sent=sent):
            sent.append(message)
            return message

        report = session(seed=seed, transmission=spy)
        assert sum(message.disclosed_bits for message in sent) == report.leaked_bits > 0


def test_key_rounds_and_revealed_rounds_are_never_shared():
    bodies = {}

    def spy(message):
        bodies[message.sender, message.subject] = message.body
        return message

    device = exact_device(visibility=0.97, seed=1)
    report = session(device, transmission=spy)
    x, y = (np.frombuffer(bodies[party, "settings"], np.uint8) for party in Party)
    key_round = pair_table(EKERT, EKERT.key_pairs)[x, y]
    test_round = pair_table(EKERT, tuple(pair for pair, _ in EKERT.chsh_pairs))[x, y]
    assert not np.any(key_round & test_round)
    revealed = np.unpackbits(np.frombuffer(bodies[Party.ALICE, "sample"], np.uint8))
    assert report.evidence.sample_size == revealed.sum()
    assert report.evidence.key_size == key_round.sum() - revealed.sum()
    opened = report.chsh.rounds + report.evidence.sample_size
    assert report.chsh.rounds == test_round.sum()
    for party in Party:  # nothing beyond the opened rounds is announced
        assert len(bodies[party, "revealed outcomes"]) == -(-opened // 8)


# Aborts: every member of `Abort`, each by its own cause -----------------------------------------


def _with_an_error_left(alice_key, bob_key, **_):
    wrong = alice_key.bits.copy()
    wrong[0] ^= 1
    return ReconciledKey(alice_key.bits), ReconciledKey(wrong)


def _with_an_error_left_in_the_second_portion():
    portions = count()

    def reconcile(alice_key, bob_key, **_):
        if next(portions) % 2:  # two a session
            return _with_an_error_left(alice_key, bob_key)
        return ReconciledKey(alice_key.bits), ReconciledKey(alice_key.bits)

    return reconcile


def _without_bobs_tag(message):
    return None if (message.sender, message.subject) == (Party.BOB, "tag") else message


def loses_photons_at_one_setting(x, y):
    a, b = exact_device(seed=1)(x, y)
    return np.where((x == 0) & (np.arange(len(x)) % 4 == 0), NO_CLICK, a), b


def wired(x, y):
    """Bob's outcome is Alice's setting in one round of ten."""
    a, b = exact_device(seed=1)(x, y)
    return a, np.where(np.arange(len(x)) % 10 == 0, x == 0, b)


CAUSES = {
    "three rounds": (Abort.TOO_FEW_ROUNDS, {"rounds": 3}),
    "intercept and resend": (
        Abort.NO_VIOLATION,
        {"device": lambda: exact_device(attack=tapped(), seed=1)},
    ),
    "photons lost at one setting": (
        Abort.SETTINGS_SKEWED,
        {"device": lambda: loses_photons_at_one_setting},
    ),
    "device that wires Alice's setting to Bob": (Abort.SIGNALLING, {"device": lambda: wired}),
    "singlet source": (
        Abort.OUTCOMES_INVERTED,
        {"device": lambda: exact_device_of(bell_pair("psi-"), seed=1)},
    ),
    "basis with more errors than tolerated": (
        Abort.TOO_MANY_ERRORS,
        {
            "device": lambda: exact_device(settings=BBM92_PLAIN, visibility=0.76, seed=1),
            "policy": Policy(theorem="exact-sampling", tolerated_error=0.03),
        },
    ),
    "device that always answers 0": (Abort.NO_VIOLATION, {"device": lambda: always_zero}),
    "noise": (
        Abort.NO_SECRET_LEFT,
        {"device": lambda: exact_device(visibility=0.8, seed=1)},
    ),
    "few rounds": (Abort.NO_SECRET_LEFT, {"rounds": 4_000}),
    "error left by reconciliation": (Abort.KEYS_DIFFER, {"reconcile": _with_an_error_left}),
    "error left in a later portion": (
        Abort.KEYS_DIFFER,
        {
            "reconcile": _with_an_error_left_in_the_second_portion(),
            "policy": Policy(portions=2),
            "rounds": 300_000,
        },
    ),
    "lost tag": (Abort.NOT_AUTHENTIC, {"transmission": _without_bobs_tag}),
}


def aborted_session(cause, monkeypatch):
    options = dict(CAUSES[cause][1])
    if "reconcile" in options:
        monkeypatch.setattr(cascade, "reconcile", options.pop("reconcile"))
    device = options.pop("device", lambda: None)()
    return session(device, **options)


def test_every_abort_reason_has_a_cause_here():
    # Statistics are asked of recordings: tests/recorded/test_ledger.py.
    assert {reason for reason, _ in CAUSES.values()} == set(Abort) - {Abort.STATISTICS_ONLY}


@pytest.mark.parametrize("cause", CAUSES)
def test_cause_ends_the_session_without_a_key(cause, monkeypatch):
    report = aborted_session(cause, monkeypatch)
    expected = CAUSES[cause][0]
    assert report.abort is expected
    assert report.secret_bits == 0
    for name in ("key", "keys"):
        with pytest.raises(ProtocolAborted) as caught:
            getattr(report, name)
        assert caught.value.reason is expected
        assert str(caught.value) == expected.value


@pytest.mark.parametrize("cause", CAUSES)
def test_aborted_report_says_why_and_holds_no_key(cause, monkeypatch):
    report = aborted_session(cause, monkeypatch)
    assert report._keys is None
    assert report.to_dict()["reason"] == CAUSES[cause][0].value
    json.dumps(report.to_dict())
    assert "array(" not in repr(report) + str(report)


def drops_the_pair_with_the_minus_sign(kept):
    """A local device: both outcomes are always 0, and ``kept`` of 20 rounds of (0, 2) are seen."""

    def device(x, y):
        lost = (x == 0) & (y == 2) & (np.arange(len(x)) % 20 >= kept)
        return np.zeros_like(x), np.where(lost, 2, 0).astype(np.uint8)

    return device


REFUTED = {
    **{cause: CAUSES[cause] for cause in (
        "photons lost at one setting", "device that wires Alice's setting to Bob", "lost tag",
        "singlet source",
    )},
    "local device that loses one pair": (
        Abort.SETTINGS_SKEWED, {"device": lambda: drops_the_pair_with_the_minus_sign(1)},
    ),
    "local device that never shows one pair": (
        Abort.SETTINGS_SKEWED, {"device": lambda: drops_the_pair_with_the_minus_sign(0)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("cause", REFUTED)
def test_no_bound_is_stated_on_premises_that_a_test_refuted(cause, tmp_path):
    expected, options = REFUTED[cause]
    options = dict(options)
    report = session(options.pop("device", lambda: None)(), **options)
    assert report.abort is expected
    summary = RunSummary.before(report).add(report)
    for public in (report.to_dict(), summary.to_dict()):
        assert public["chsh"]["lower_bound"] is public["chsh"]["p_value"] is None
        assert (public["qber"]["upper_bound"] is None) is (expected is Abort.NOT_AUTHENTIC)
    assert report.to_dict()["length_terms"] is report.to_dict()["phase_error"] is None
    for text in (str(report), report._repr_html_()):
        lines = [line for line in text.splitlines() if "S is at least" in line or "p-value" in line]
        assert len(lines) == 2
        why = (
            "outcomes look inverted" if cause == "singlet source" else "what it rests on is refuted"
        )
        assert all(f"not stated: {why}" in line for line in lines)
        assert "Key budget" not in text


def test_bounds_are_stated_where_only_the_key_is_refused():
    for cause in ("intercept and resend", "noise", "few rounds"):
        report = session(CAUSES[cause][1].get("device", lambda: None)(), rounds=20_000)
        public = report.to_dict()
        assert None not in (public["chsh"]["lower_bound"], public["chsh"]["p_value"])


def test_a_skew_that_only_all_blocks_together_show_takes_their_bound():
    honest = session(rounds=300_000)
    summary = RunSummary.before(honest).add(honest)
    assert summary.chsh.lower_bound == honest.chsh.lower_bound
    turned = replace(honest.evidence, pair_counts=((300_000, 0, 0), (0, 0, 0), (0, 0, 0)))
    assert replace(summary, evidence=turned).chsh.lower_bound is None


def test_a_skewed_session_is_drawn_without_its_bound():
    report = session(loses_photons_at_one_setting)
    labels = report.plot().get_legend_handles_labels()[1]
    assert not any("at least" in label for label in labels)
    labels = session().plot().get_legend_handles_labels()[1]
    assert any("at least" in label for label in labels)


def test_no_key_bits_are_printed():
    report = session()
    shown = "".join([repr(report), str(report), json.dumps(report.to_dict()), repr(report.keys)])
    bits, packed = report.key.bits, np.packbits(report.key.bits).tobytes()
    after = report.keys.authentication_key.take()
    secrets = ["".join(map(str, bits[:24])), str(bits[:8])]
    secrets += [packed[:8].hex(), after[:8].hex(), repr(after[:8])[2:-1], repr(packed[:8])[2:-1]]
    assert not [secret for secret in secrets if secret in shown]
    assert "array(" not in shown


# A man in the middle of the classical channel ---------------------------------------------------

KINDS = [
    ("alice", "session"),
    ("alice", "settings"),
    ("bob", "settings"),
    ("alice", "sample"),
    ("alice", "revealed outcomes"),
    ("bob", "revealed outcomes"),
    ("bob", "cascade-open"),
    ("alice", "cascade-parities"),
    ("bob", "cascade-comparison"),
    ("alice", "verification"),
    ("bob", "verified"),
    ("alice", "hash seed"),
    ("alice", "tag"),
    ("bob", "tag"),
]
TAMPERED = {Abort.NOT_AUTHENTIC, Abort.KEYS_DIFFER, Abort.NO_VIOLATION, Abort.NO_SECRET_LEFT}


def once(kind, change):
    """A transmission that changes the first message of this sender and subject."""
    done = []

    def transmit(message):
        if done or (message.sender.value, message.subject) != kind:
            return message
        done.append(message)
        return change(message)

    return transmit


def flipped(place):
    def change(message):
        body = bytearray(message.body)
        body[place] ^= 0x80
        return replace(message, body=bytes(body))

    return change


def test_every_kind_of_message_is_tampered_with_here():
    seen = Counter()

    def spy(message):
        seen[message.sender.value, message.subject] += 1
        return message

    assert session(transmission=spy).abort is None
    assert set(seen) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS, ids="/".join)
def test_flipped_bit_of_any_message_leaves_no_key(kind):
    report = session(transmission=once(kind, flipped(0)))
    assert report.abort in TAMPERED
    assert report._keys is None


@pytest.mark.parametrize(
    "kind", [("alice", "session"), ("alice", "hash seed"), ("alice", "tag"), ("bob", "tag")]
)
def test_flip_that_only_the_tags_can_see_is_not_authentic(kind):
    assert session(transmission=once(kind, flipped(0))).abort is Abort.NOT_AUTHENTIC


@pytest.mark.parametrize("kind", KINDS, ids="/".join)
def test_dropped_message_leaves_no_key(kind):
    assert session(transmission=once(kind, lambda _: None)).abort is Abort.NOT_AUTHENTIC


@pytest.mark.parametrize("kind", KINDS, ids="/".join)
def test_message_replayed_from_an_old_session_leaves_no_key(kind):
    old = {}

    def record(message):
        old.setdefault((message.sender.value, message.subject), message)
        return message

    # The same photons again, so that lengths agree where they can; another secret and seed.
    assert session(seed=3, transmission=record, authentication_key=bytes(range(64))).abort is None
    changed = []

    def replay(message):
        changed.append(message.body != old[kind].body)
        return old[kind]

    report = session(seed=2, transmission=once(kind, replay))
    if any(changed):
        assert report.abort in TAMPERED
        assert report._keys is None
    else:  # a constant message, such as "verified", is no replay
        assert report.abort is None


@pytest.mark.parametrize(
    "kind", [("alice", "cascade-parities"), ("bob", "cascade-comparison")], ids="/".join
)
def test_message_repeated_in_place_of_the_next_leaves_no_key(kind):
    sent = []

    def second_for_first(message):
        if (message.sender.value, message.subject) != kind:
            return message
        sent.append(message)
        return sent[0] if len(sent) == 2 else message

    report = session(transmission=second_for_first)
    assert sent[0].body != sent[1].body
    assert report.abort in TAMPERED


@pytest.mark.parametrize("subject", ["settings", "revealed outcomes", "tag"])
def test_own_message_sent_back_in_place_of_the_peers_leaves_no_key(subject):
    own = {}

    def reflect(message):
        own.setdefault(message.subject, message.body)
        if (message.sender, message.subject) == (Party.BOB, subject):
            return replace(message, body=own[subject])
        return message

    assert session(transmission=reflect).abort in TAMPERED


def test_announcement_that_moves_a_round_into_the_key_leaves_no_key():
    """Bob hears another setting than Alice used, so that the two keys get different lengths."""

    def moved(message):
        body = bytearray(message.body)
        place = next(i for i in reversed(range(len(body))) if body[i] == 0)
        body[place] = 1
        return replace(message, body=bytes(body))

    report = session(transmission=once(("alice", "settings"), moved))
    assert report.abort in TAMPERED


# Lost photons --------------------------------------------------------------------------------


def test_trusted_analysers_select_the_coincidences_and_make_a_key():
    device = lossy(exact_device(visibility=0.97, seed=1), 0.2, seed=4)
    report = session(device, rounds=60_000)
    assert report.abort is None
    assert_binomial(report.evidence.coincidences, 60_000, 0.64, must_detect=0.62)
    assert report.chsh.value > 2.6


def test_device_independent_model_counts_every_lost_photon():
    """With both clicks in 64 % and a fixed answer else: S = 0.64 * 2 sqrt(2) V + 0.04 * 2."""
    device = lossy(exact_device(visibility=0.97, seed=1), 0.2, seed=4)
    report = session(device, rounds=60_000, policy=DEVICE_INDEPENDENT)
    assert report.evidence.coincidences == 60_000
    expected = 0.64 * TSIRELSON * 0.97 + 0.04 * 2
    assert abs(report.chsh.value - expected) < 6.2 * report.chsh.standard_error
    assert report.abort is Abort.NO_VIOLATION


def test_device_independent_session_makes_a_key_without_loss():
    report = session(rounds=60_000, policy=DEVICE_INDEPENDENT)
    assert report.abort is None
    assert report.key.security is SecurityModel.DEVICE_INDEPENDENT
    assert np.array_equal(report.keys.alice.bits, report.keys.bob.bits)


# Eavesdroppers -------------------------------------------------------------------------------


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_intercept_resend_costs_what_the_theory_says(fraction):
    """S = 2 sqrt(2) (1 - p / 2) and QBER = p / 4, within exact binomial limits."""
    device = exact_device(attack=tapped(fraction), seed=6)
    report = session(device, rounds=100_000, policy=replace(POLICY, revealed_fraction=0.5))
    evidence = report.evidence
    for same, different, (_, sign) in zip(
        evidence.same, evidence.different, EKERT.chsh_pairs, strict=True
    ):
        wins = same if sign > 0 else different
        assert 0 < wins < same + different
    wins = sum(
        same if sign > 0 else different
        for same, different, (_, sign) in zip(
            evidence.same, evidence.different, EKERT.chsh_pairs, strict=True
        )
    )
    # All four pairs are equally likely, so a test round is won with probability 1/2 + S/8.
    won = 0.5 + TSIRELSON * (1 - fraction / 2) / 8
    assert_binomial(wins, report.chsh.rounds, won, must_detect=won - 0.03)
    if fraction == 0:
        assert evidence.sample_errors == 0
    else:
        assert_binomial(
            evidence.sample_errors,
            evidence.sample_size,
            fraction / 4,
            must_detect=fraction / 4 + 0.08,
        )
    if fraction == 0:
        assert report.abort is None
    if fraction >= 0.5:  # both error rates are p / 4 at least 1/8, and 1 - 2 h(1/8) < 0
        assert report.abort in {Abort.NO_VIOLATION, Abort.NO_SECRET_LEFT}


# Wrong arguments -----------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [0, -1, MAXIMUM_ROUNDS + 1, 1.5, True, "9"])
def test_impossible_number_of_rounds_is_refused(rounds):
    with pytest.raises(ValueError, match=r"`rounds` must .*, but is"):
        run(always_zero, rounds=rounds)


@pytest.mark.parametrize("party", ["alice", "bob"])
def test_settings_with_one_angle_of_another_device_are_refused(party):
    angles = {"alice": (0.1, *EKERT.alice_angles[1:]), "bob": (*EKERT.bob_angles[:2], 2.0)}
    turned = replace(EKERT, **{f"{party}_angles": angles[party]})
    with pytest.raises(ValueError, match=r"`settings` must have the device's angles"):
        run(exact_device(settings=EKERT, seed=1), rounds=10, settings=turned)


def test_settings_that_are_not_the_devices_are_refused():
    with pytest.raises(ValueError, match=r"`settings` must have the device's angles"):
        run(exact_device(settings=EKERT, seed=1), rounds=10, settings=BBM92)


def test_settings_without_a_bell_test_are_refused_by_a_theorem_that_needs_one():
    with pytest.raises(ValueError, match="must come with a `theorem` that needs no Bell test"):
        run(always_zero, rounds=10, settings=replace(EKERT, chsh_pairs=()))


def test_epsilon_beyond_what_the_tags_can_give_is_refused():
    with pytest.raises(ValueError, match="`epsilon` must be at least"):
        run(always_zero, rounds=10, policy=Policy(epsilon=1e-30))


def test_device_that_answers_nonsense_is_refused():
    with pytest.raises(ValueError, match="`outcome` must"):
        run(lambda x, y: (x[:-1], y), rounds=10, seed=1)


# Mistakes that other programs have made --------------------------------------------------------


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_chsh_terms_fit_the_angles_so_that_ideal_pairs_reach_tsirelson(settings):
    report = session(exact_device(settings=settings, seed=8), rounds=100_000)
    assert abs(report.chsh.value - TSIRELSON) < 6.2 * report.chsh.standard_error
    assert report.chsh.standard_error < 0.05  # S = 0 of wrong terms would be seen from afar


def test_key_pairs_agree_in_angle_not_merely_in_index():
    record = measure(exact_device(seed=9), 20_000, settings=EKERT, entropy=seeded_entropy(10))
    key = pair_table(EKERT, EKERT.key_pairs)[record.alice.setting, record.bob.setting]
    same_index = record.alice.setting == record.bob.setting
    wrong = record.alice.outcome != record.bob.outcome
    assert not np.any(wrong[key])
    assert np.mean(wrong[same_index]) > 0.1


def test_bobs_key_comes_from_bobs_outcomes():
    """A device whose halves are independent: keys made of one half alone would agree."""
    generator = np.random.default_rng(11)

    def unrelated(x, y):
        return tuple(generator.integers(0, 2, len(half), np.uint8) for half in (x, y))

    report = session(unrelated)
    assert_binomial(
        report.evidence.sample_errors, report.evidence.sample_size, 0.5, must_detect=0.3
    )


def test_attached_eavesdropper_is_not_ignored():
    quiet = exact_device(seed=1)
    attacked = exact_device(attack=tapped(), seed=1)
    assert session(quiet).abort is None
    assert session(attacked).abort is Abort.NO_VIOLATION
    assert np.abs(quiet.table - attacked.table).max() > 0.05


def test_correlators_do_not_accumulate_from_setting_to_setting():
    report = session()
    for same, different in zip(report.evidence.same, report.evidence.different, strict=True):
        assert abs(same - different) <= same + different
    assert sum(report.evidence.same + report.evidence.different) == report.chsh.rounds


def test_singlet_source_without_a_flip_makes_no_key():
    report = session(exact_device_of(bell_pair("psi-"), seed=1))
    assert report.abort is Abort.OUTCOMES_INVERTED  # nor for the work of an eavesdropper


def test_error_free_sample_does_not_excuse_a_missing_violation():
    report = session(always_zero)
    assert report.qber.rate == 0
    assert report.abort is Abort.NO_VIOLATION


def test_key_is_never_longer_than_the_rounds_it_comes_from():
    report = session()
    assert report.secret_bits < report.evidence.key_size < ROUNDS


def test_key_is_no_run_of_outcomes_in_order_of_the_histogram():
    bits = session(rounds=60_000).key.bits
    changes = int(np.count_nonzero(bits[1:] != bits[:-1]))
    assert_binomial(changes, len(bits) - 1, 0.5, must_detect=0.4)


def test_larger_estimate_than_tsirelsons_by_chance_is_accepted():
    lucky = [
        report
        for report in (session(exact_device(seed=s), rounds=20_000, seed=s) for s in range(8))
        if report.chsh.value > TSIRELSON
    ]
    assert lucky  # half of all honest runs
    assert all(report.abort is None for report in lucky)


def test_local_device_above_two_by_chance_is_not_accepted():
    """S just above 2 has no weight: the lower bound decides, not the point estimate."""
    found = chsh.estimate((760, 240, 760, 760), (240, 760, 240, 240), settings=EKERT, epsilon=1e-6)
    assert found.value > 2
    assert found.lower_bound < 2


def test_sessions_of_a_local_device_show_no_violation_though_half_of_them_exceed_two():
    generator = np.random.default_rng(12)

    def sacrifices_one_pair_at_random(x, y):
        """One of four deterministic strategies, each of which loses another of the four pairs."""
        alice = np.array([[0, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 1]], np.uint8)
        bob = np.array([[0, 0, 0], [0, 0, 1], [0, 0, 1], [1, 0, 1]], np.uint8)
        shared = generator.integers(0, 4, len(x))
        return alice[shared, x], bob[shared, y]

    strict = Policy(epsilon=1e-11)  # 40 sessions: a false alarm in 4e-10
    reports = [
        session(sacrifices_one_pair_at_random, rounds=3_000, seed=s, policy=strict)
        for s in range(40)
    ]
    assert sum(report.chsh.value > 2 for report in reports) > 3
    assert {report.abort for report in reports} == {Abort.NO_VIOLATION}


def test_key_is_paid_for_every_bit_that_error_correction_disclosed():
    report = session()
    terms = dict(report.length.terms)
    assert sum(terms.values()) == pytest.approx(report.length.bits, abs=1)
    assert terms["error correction, Alice's bits"] < 0


def test_channel_counts_what_both_parties_disclose():
    channel = Channel()
    channel.send(Message(Party.ALICE, "parity", b"", 3))
    channel.send(Message(Party.BOB, "parity", b"", 4))
    assert channel.disclosed_bits == 7


def test_asymmetric_settings_keep_their_name_in_the_report():
    report = session(exact_device(settings=ASYMMETRIC, seed=1), rounds=3)
    assert report.to_dict()["settings"] == "asymmetric"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"device": lambda x, y: None}, "must answer with two arrays of outcomes, but .* NoneType"),
        ({"device": lambda x, y: (x[:5], y)}, "`outcome` must have the length of `setting`"),
        ({"device": lambda x, y: (x * 0 + 3, y)}, r"`outcome` must lie in \[0, 2\]"),
        ({"authentication_key": b"x"}, "`authentication_key` must have 64 bytes, but has 1"),
        ({"rounds": 1e5}, "`rounds` must be a whole number"),
        ({"rounds": True}, "`rounds` must be a whole number"),
    ],
)
def test_impossible_arguments_are_one_sentence(arguments, sentence):
    defaults = {"device": exact_device(seed=1), "rounds": 100, "seed": 1}
    with pytest.raises(ValueError, match=sentence):
        run(**(defaults | arguments))


def test_a_numpy_integer_is_a_number_of_rounds():
    report = run(exact_device(seed=1), rounds=np.int64(1000), seed=1)
    assert type(report.rounds) is int


def test_equal_preshared_keys_are_used_and_replaced():
    device = exact_device(visibility=0.97, seed=1)
    first = run(device, rounds=100_000, seed=1, authentication_key=bytes(64))
    assert len(first.keys.authentication_key) == 64
    second = run(device, rounds=100_000, seed=2, authentication_key=first.keys.authentication_key)
    assert second.abort is None
    with pytest.raises(AlreadyUsed):
        run(device, rounds=100_000, seed=3, authentication_key=first.keys.authentication_key)
    third = run(device, rounds=100_000, authentication_key=second.keys.authentication_key)
    assert third.abort is None


@pytest.mark.parametrize(
    "again",
    [lambda key: key, lambda key: bytes(bytearray(key)), AuthenticationKey],
)
@pytest.mark.parametrize("rounds", [100_000, 100])
def test_authentication_key_serves_one_session_aborted_or_not(again, rounds):
    device, key = exact_device(visibility=0.97, seed=1), bytes(range(64))
    run(device, rounds=rounds, authentication_key=key)
    with pytest.raises(AlreadyUsed, match="must serve one session"):
        run(device, rounds=rounds, authentication_key=again(key))


def test_refused_arguments_and_statistics_use_no_authentication_key():
    device, key = exact_device(visibility=0.97, seed=1), AuthenticationKey(bytes(64))
    with pytest.raises(ValueError, match="`rounds` must"):
        run(device, rounds=0, authentication_key=key)
    with pytest.raises(ValueError, match="must answer with two arrays"):
        run(lambda x, y: None, rounds=100, authentication_key=key)
    record = measure(device, 100_000, settings=EKERT, entropy=operating_system_entropy)
    analyse(record, authentication_key=key, statistics_only=True)
    assert analyse(record, authentication_key=key).abort is None


def test_report_adds_what_the_device_assumes_to_what_the_theorem_does():
    def device(x, y):
        return exact_device(visibility=0.98, seed=1)(x, y)

    before = run(device, rounds=10_000, seed=1).assumptions
    device.info = DeviceInfo(None, "A box.", assumption="The moon is where it was.")
    assert run(device, rounds=10_000, seed=1).assumptions == f"{before} The moon is where it was."


# A transmission that sends no message on ----------------------------------------------------------


class Unreadable(Message):
    """A message whose body cannot be read twice."""

    @property
    def body(self):
        """Not there."""
        raise RuntimeError("no body")


class Shifting(bytes):
    """Bytes that say that they are others."""

    def __eq__(self, other):
        return True

    __hash__ = bytes.__hash__


def meddled(message, **changes):
    copied = replace(message)
    for name, value in changes.items():
        object.__setattr__(copied, name, value)
    return copied


ODD = {
    "another type": lambda m: m.body,
    "a tuple": lambda m: (m.sender, m.subject, m.body),
    "bytearray": lambda m: meddled(m, body=bytearray(m.body)),
    "bytes of another class": lambda m: meddled(m, body=Shifting(m.body)),
    "memoryview": lambda m: meddled(m, body=memoryview(m.body)),
    "text": lambda m: meddled(m, body=m.body.decode("latin1")),
    "no body": lambda m: meddled(m, body=None),
    "surrogate": lambda m: meddled(m, subject=m.subject + "\udc80"),
    "another subject": lambda m: meddled(m, subject="settings"),
    "subject in bytes": lambda m: meddled(m, subject=m.subject.encode()),
    "another sender": lambda m: meddled(m, sender=m.sender.peer),
    "sender in words": lambda m: meddled(m, sender=m.sender.value),
    "unreadable": lambda m: object.__new__(Unreadable),
    "exception": lambda m: 1 / 0,
    "class": Message,
}


@pytest.mark.parametrize("subject", ["session", "sample", "cascade-parities", "tag"])
@pytest.mark.parametrize("odd", ODD)
def test_whatever_a_transmission_does_is_an_abort_and_no_error(odd, subject):
    def transmission(message):
        return ODD[odd](message) if message.subject == subject else message

    assert session(transmission=transmission).abort is Abort.NOT_AUTHENTIC


def test_exception_of_a_transmission_is_in_the_log(caplog):
    with caplog.at_level(logging.WARNING, logger="e91"):
        session(transmission=lambda message: 1 / 0)
    assert "ZeroDivisionError" in caplog.text


def test_stop_from_the_keyboard_in_a_transmission_is_no_abort():
    def stopped(message):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session(transmission=stopped)


@pytest.mark.parametrize("kind", KINDS)
def test_sent_message_that_is_overwritten_in_place_is_noticed(kind):
    def overwriting(message):
        object.__setattr__(message, "body", bytes(reversed(message.body)) + b"!")
        return message

    assert session(transmission=once(kind, overwriting)).abort in TAMPERED


def test_altered_session_name_that_reads_like_a_head_does_not_pass():
    # The name ends in what stood between subject and body when lengths came last.
    calls = []

    def entropy(size):
        calls.append(size)
        return b"ABCDEFGHIJKL/1\nX" if len(calls) == 1 else operating_system_entropy(size)

    def eve(message):
        if message.subject == "session":
            return Message(message.sender, "session/16\nABCDEFGHIJKL", b"X")
        return message

    record = measure(
        exact_device(visibility=0.97), 60_000, settings=EKERT, entropy=operating_system_entropy
    )
    report = conclude_record(
        record, device=DeviceInfo(None, "d"), settings=EKERT, policy=POLICY, seed=None,
        entropy=entropy, transmission=eve, authentication_key=bytes(range(64)),
        stopwatch=Stopwatch(),
    )  # fmt: skip
    assert calls
    assert report.abort is Abort.NOT_AUTHENTIC
