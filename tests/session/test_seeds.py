"""A key that a seed makes again says so, whoever gave the seed; a device writes into no record."""

import json

import numpy as np
import pytest

import e91
from e91.encryption.cipher import encrypt, read_header
from e91.keys import KeyStore
from e91.model.messages import Party
from e91.model.randomness import operating_system_entropy, seeded_entropy
from e91.model.settings import EKERT
from e91.recorded import load_detections, save_detections
from e91.session.session import analyse, measure
from e91.session.totals import summary_of

SEEDS = [(None, None), (1, None), (None, 2), (1, 2)]
ENOUGH = 60_000


def device(seed):
    return e91.exact_device(visibility=0.98, seed=seed)


def measured(physics):
    return measure(device(physics), ENOUGH, settings=EKERT, entropy=operating_system_entropy)


def from_file(folder, physics, protocol):
    save_detections(folder / "night.npz", measured(physics))
    return analyse(load_detections(folder / "night.npz").record, seed=protocol)


WAYS = {
    "run": lambda _, physics, protocol: e91.run(device(physics), rounds=ENOUGH, seed=protocol),
    "analyse": lambda _, physics, protocol: analyse(measured(physics), seed=protocol),
    "a file": from_file,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("physics", "protocol"), SEEDS)
def test_every_seed_is_named_wherever_a_key_goes(tmp_path, way, physics, protocol):
    seeded = (physics, protocol) != (None, None)
    report = WAYS[way](tmp_path, physics, protocol)
    assert report.reproducible is report.to_dict()["reproducible"] is seeded
    assert ("reproducible, and therefore not secret" in str(report).replace("\n  ", " ")) is seeded
    assert report.keys.alice.reproducible is report.keys.bob.reproducible is seeded
    ciphertext = encrypt(b"Jinan", KeyStore(report.keys.alice, Party.ALICE))
    assert read_header(ciphertext).reproducible is seeded


@pytest.mark.parametrize(("physics", "protocol"), SEEDS)
def test_blocks_and_their_files_tell_of_a_seed(tmp_path, physics, protocol):
    seeded = (physics, protocol) != (None, None)
    blocks = list(
        e91.stream(
            device(physics), rounds=2 * ENOUGH, block_rounds=ENOUGH, seed=protocol, keep=tmp_path
        )
    )
    assert [block.reproducible for block in blocks] == [seeded] * 2
    assert summary_of(blocks).to_dict()["reproducible"] is seeded
    kept = [load_detections(file).record for file in sorted(tmp_path.iterdir())]
    assert [record.reproducible for record in kept] == [seeded] * 2


@pytest.mark.parametrize("seed", [None, 1])
def test_sample_without_a_seed_is_made_from_none(status, tmp_path, seed):
    made = {}
    for name in ("one", "two"):
        option = () if seed is None else ("--seed", seed)
        code, out, _ = status("analyse", "--sample", tmp_path / name, *option, "--json")
        assert code == 0
        made[name] = json.loads(out)["files"]["alice_tags.npz"]
    assert (made["one"] == made["two"]) is (seed is not None)
    code, out, _ = status("analyse", tmp_path / "one" / "detections.npz", "--no-key", "--json")
    assert json.loads(out)["reproducible"] is (seed is not None)


def shared_list(count):
    """What Eve wrote beforehand: settings and outcomes that violate the inequality."""
    rng = np.random.default_rng(1)
    x, y, a = (rng.integers(0, top, count).astype(np.uint8) for top in (3, 3, 2))
    return x, y, a, a ^ ((x == 0) & (y == 2)) ^ (rng.random(count) < 0.14644)


def overwriting(x, y):
    chosen_x, chosen_y, a, b = shared_list(len(x))
    x[:], y[:] = chosen_x, chosen_y
    return a, b


def unlocking(x, y):
    for choices in (x, y):
        (choices if choices.base is None else choices.base).setflags(write=True)
        choices.setflags(write=True)
    return overwriting(x, y)


def test_device_cannot_write_to_its_settings():
    with pytest.raises(ValueError, match="read-only"):
        e91.run(overwriting, rounds=1000)


def test_device_that_writes_all_the_same_changes_no_record():
    """Two local functions with a list: the record holds what was chosen, so S is at most 2."""
    record = measure(unlocking, 30_000, settings=EKERT, entropy=seeded_entropy(3))
    again = measure(device(1), 30_000, settings=EKERT, entropy=seeded_entropy(3))
    assert (record.alice.setting == again.alice.setting).all()
    assert (record.bob.setting == again.bob.setting).all()
    assert e91.run(unlocking, rounds=100_000).abort is e91.Abort.NO_VIOLATION


def test_device_that_keeps_its_answer_changes_no_record():
    kept = []

    def remembering(x, y):
        kept.append((np.zeros_like(x), np.zeros_like(y)))
        return kept[-1]

    record = measure(remembering, 100, settings=EKERT, entropy=operating_system_entropy)
    kept[0][0][:] = 1
    assert not record.alice.outcome.any()


@pytest.mark.parametrize("make", [e91.exact_device, e91.aer_device])
def test_both_seeds_together_make_a_key_again(make):
    first, second = (e91.run(make(seed=1), rounds=20_000, seed=2).key.bits for _ in range(2))
    assert (first == second).all()


def test_identifiers_of_different_keys_never_agree():
    """The same seed of the protocol, other photons: other keys, and other names for them."""
    made = [
        e91.run(e91.exact_device(visibility=0.98, seed=physics), rounds=ENOUGH, seed=2).key
        for physics in (1, 2, None, 1)
    ]
    assert len({key.key_id for key in made}) == len({key.packed.tobytes() for key in made}) == 3
    assert made[0].key_id == made[3].key_id


def test_both_parties_have_one_identifier_in_runs_of_blocks_too():
    run = e91.stream(device(1), rounds=2 * ENOUGH, block_rounds=ENOUGH, seed=2)
    keys = [block.keys for block in run]
    assert all(pair.alice.key_id == pair.bob.key_id for pair in keys)
    assert len({pair.alice.key_id for pair in keys}) == 2
