"""Recorded detections and time tags as files: whole, checked, and never a pickle."""

import contextlib
import gc
import gzip
import hashlib
import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from e91.model.messages import Party
from e91.model.records import DetectionRecord, PartyRecord
from e91.optics.tags.time_tags import TimeTags
from e91.recorded import formats, tag_files
from e91.recorded.formats import open_npz, read_npz
from e91.recorded.record_files import (
    load_detections,
    load_table,
    record_of_codes,
    save_block,
    save_detections,
    save_table,
    save_time_tags,
)
from e91.recorded.tables import DETECTION_COLUMNS, content_hash
from e91.recorded.tag_files import TagFile, check_one_run, load_time_tags
from e91.system import durable
from e91.system.refusals import is_refusal

ENDINGS = [".npz", ".csv", ".parquet"]


def record(rounds=500, seed=1):
    generator = np.random.default_rng(seed)
    halves = (generator.integers(0, 3, (2, rounds)) for _ in range(2))
    return DetectionRecord(*(PartyRecord(*half) for half in halves))


def columns_of(rounds=3):
    return {name: np.zeros(rounds, np.uint8) for name in DETECTION_COLUMNS}


def time_tags(n=1000, seed=1):
    generator = np.random.default_rng(seed)
    return TimeTags(
        np.cumsum(generator.integers(1, 10**9, n)), generator.integers(0, 6, n, np.uint8)
    )


def same(one, two):
    return all(
        np.array_equal(getattr(getattr(one, party), name), getattr(getattr(two, party), name))
        for party in ("alice", "bob")
        for name in ("setting", "outcome")
    )


# Round trips --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ENDINGS)
def test_detections_come_back_as_they_were(tmp_path, ending):
    file, known = tmp_path / f"night{ending}", {"settings": "ekert", "run_id": "ü-1"}
    digest = save_detections(file, record(), metadata=known)
    loaded = load_detections(file)
    assert same(loaded.record, record())
    assert (loaded.sha256, loaded.is_stored) == (digest, True)
    assert loaded.metadata == {"kind": "detections", **known}


@given(
    rows=st.lists(st.tuples(*[st.integers(0, 254), st.integers(0, 2)] * 2), min_size=1, max_size=9),
    ending=st.sampled_from(ENDINGS),
)
def test_any_record_comes_back(tmp_path_factory, rows, ending):
    file = tmp_path_factory.mktemp("any") / f"x{ending}"
    x, a, y, b = np.array(rows).T
    saved = DetectionRecord(PartyRecord(x, a), PartyRecord(y, b))
    save_detections(file, saved)
    assert same(load_detections(file).record, saved)


@pytest.mark.parametrize("ending", ENDINGS)
def test_time_tags_come_back_as_they_were(tmp_path, ending):
    file, tags = tmp_path / f"alice{ending}", time_tags()
    digest = save_time_tags(file, tags, party=Party.ALICE)
    loaded = load_time_tags(file)
    times, channels = loaded.tags.read(0, len(loaded.tags))
    assert np.array_equal(times, tags.times)
    assert np.array_equal(channels, tags.channels)
    assert (loaded.sha256, loaded.tags.resolution_s) == (digest, 1e-12)
    assert loaded.metadata["party"] == "alice"


def test_tags_of_a_coarser_clock_are_saved_in_picoseconds(tmp_path):
    coarse = TimeTags(np.array([1, 2]), np.zeros(2, np.uint8), 81e-12)
    save_time_tags(tmp_path / "a.npz", coarse, party=Party.BOB)
    assert load_time_tags(tmp_path / "a.npz").tags.read(0, 2)[0].tolist() == [81, 162]
    fine = TimeTags(np.array([1, 2]), np.zeros(2, np.uint8), 0.5e-12)
    with pytest.raises(ValueError, match="must be in whole picoseconds"):
        save_time_tags(tmp_path / "b.npz", fine, party=Party.BOB)


def test_all_formats_have_one_hash_and_it_is_the_documented_one(tmp_path):
    known = {"run_id": "1"}
    digests = {save_detections(tmp_path / f"n{e}", record(), metadata=known) for e in ENDINGS}
    saved = record()
    header = b'e91 1 {"kind":"detections","run_id":"1"}\n'
    body = b""
    for name, column in zip(
        DETECTION_COLUMNS,
        (saved.alice.setting, saved.alice.outcome, saved.bob.setting, saved.bob.outcome),
        strict=True,
    ):
        body += f"{name} |u1 {len(column)}\n".encode() + column.tobytes()
    assert digests == {hashlib.sha256(header + body).hexdigest()}


def test_tags_in_an_uncompressed_file_are_read_a_piece_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(tag_files, "_PIECE", 128)
    file, tags = tmp_path / "alice.npz", time_tags()
    digest = save_time_tags(file, tags, party=Party.ALICE)
    loaded = load_time_tags(file)
    assert isinstance(loaded.tags, TagFile)
    assert loaded.sha256 == digest
    for start, stop in ((0, 0), (10, 20), (990, 2000), (1000, 1010)):
        times, channels = loaded.tags.read(start, stop)
        assert np.array_equal(times, tags.times[start:stop])
        assert np.array_equal(channels, tags.channels[start:stop])


def test_files_of_other_programs_need_no_metadata(tmp_path):
    columns = {
        name: np.array([0, 1, 2], dtype)
        for name, dtype in zip(
            DETECTION_COLUMNS, (np.int64, np.uint8, ">i4", np.int16), strict=True
        )
    }
    np.savez_compressed(tmp_path / "a.npz", **columns, temperature=np.ones(5))
    (tmp_path / "b.csv").write_text(
        "# a comment\nbob_setting, bob_outcome,alice_setting,alice_outcome\r\n"
        "0,0,0,0\r\n1,1,1,1\n2,2,2,2\n"
    )
    for name in ("a.npz", "b.csv"):
        loaded = load_detections(tmp_path / name)
        assert loaded.record.bob.setting.tolist() == [0, 1, 2]
        assert loaded.record.alice.outcome.tolist() == [0, 1, 2]
        assert not loaded.is_stored


def test_tags_that_numpy_saved_stay_in_the_file(tmp_path):
    tags = time_tags()
    np.savez(tmp_path / "a.npz", time_ps=tags.times, channel=tags.channels)
    np.savez_compressed(tmp_path / "b.npz", time_ps=tags.times, channel=tags.channels)
    np.savez(tmp_path / "c.npz", time_ps=tags.times, channel=tags.channels.astype(np.int64))
    loaded = [load_time_tags(tmp_path / f"{name}.npz") for name in "abc"]
    assert [type(one.tags) for one in loaded] == [TagFile, TimeTags, TimeTags]
    assert len({one.sha256 for one in loaded}) == 1


# Writing is all or nothing ------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ENDINGS)
def test_full_disk_leaves_nothing(tmp_path, monkeypatch, ending):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "_write_out", full)
    with pytest.raises(OSError, match="No space left"):
        save_detections(tmp_path / f"night{ending}", record())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_key_bit_of_a_failed_write_lands_in_another_file(tmp_path, monkeypatch, ending):
    """The next file gets the number that the closed one had, and the buffer still holds bytes."""
    monkeypatch.setattr(os, "write", full_disk)
    with contextlib.ExitStack() as stack:
        try:
            save_detections(tmp_path / f"night{ending}", record(200_000))
        except OSError:
            monkeypatch.undo()
            log = stack.enter_context((tmp_path / "log").open("wb", buffering=0))
            log.write(b"first line\n")
        gc.collect(1)  # nothing refers to the exception any more, and so to the buffer
        log.write(b"second line\n")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {
        "log": b"first line\nsecond line\n"
    }


def full_disk(*_):
    raise OSError(28, "No space left on device")


def test_tags_of_a_closed_file_are_refused_and_not_read_from_another(tmp_path):
    save_time_tags(tmp_path / "alice.npz", time_tags(), party=Party.ALICE)
    tags = load_time_tags(tmp_path / "alice.npz").tags
    tags.file.close()
    with (tmp_path / "alice.npz").open("rb"), pytest.raises(ValueError, match="closed file"):
        tags.read(0, 1)


def test_file_that_exists_is_never_overwritten(tmp_path):
    file = tmp_path / "night.npz"
    file.write_bytes(b"mine")
    with pytest.raises(ValueError, match="must not exist yet, but does"):
        save_detections(file, record())
    assert file.read_bytes() == b"mine"


def test_files_are_for_their_owner_only(tmp_path):
    save_detections(tmp_path / "night.npz", record())
    assert (tmp_path / "night.npz").stat().st_mode & 0o777 == 0o600


def test_equal_tables_make_equal_files(tmp_path):
    for name in ("one.npz", "two.npz"):
        save_detections(tmp_path / name, record())
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


# Damage -------------------------------------------------------------------------------------------


def flipped(file, place):
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("ending", ENDINGS)
def test_truncated_file_is_refused_wherever_it_ends(tmp_path, ending):
    file = tmp_path / f"night{ending}"
    save_detections(file, record(50))
    content = file.read_bytes()
    for size in range(0, len(content), max(1, len(content) // 40)):
        file.write_bytes(content[:size])
        with pytest.raises(ValueError, match="must"):
            load_detections(file)


def test_damaged_tags_are_refused(tmp_path):
    file = tmp_path / "alice.npz"
    save_time_tags(file, time_tags(), party=Party.ALICE)
    content = file.read_bytes()
    flipped(file, content.index(b"NUMPY", content.index(b"channel.npy")) + 300)
    with pytest.raises(ValueError, match="damaged"):
        load_time_tags(file)
    for size in range(0, len(content) - 1, 997):
        file.write_bytes(content[:size])
        with pytest.raises(ValueError, match="must"):
            load_time_tags(file)


def read_back(file):
    """What a file holds, as plain lists, or None if it is refused; a bug is an error."""
    try:
        if file.stem == "night":
            loaded = load_detections(file)
            half = loaded.record
            columns = [half.alice.setting, half.alice.outcome, half.bob.setting, half.bob.outcome]
        else:
            loaded = load_time_tags(file)
            columns = list(loaded.tags.read(0, len(loaded.tags)))
    except ValueError as error:
        if is_refusal(error):
            return None
        raise
    return [column.tolist() for column in columns], loaded.is_stored


def assert_no_flip_is_unseen(folder, name, *, step):
    file = folder / name
    if file.stem == "night":
        save_detections(file, record(20), metadata={"settings": "ekert"})
    else:
        save_time_tags(file, time_tags(20), party=Party.ALICE)
    whole, content = read_back(file), file.read_bytes()
    refused = 0
    for place in range(0, 8 * len(content), step):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        file.write_bytes(damaged)
        found = read_back(file)
        refused += found is None
        assert found in (None, whole), f"bit {place % 8} of byte {place // 8}"
    assert refused > 0.5 * 8 * len(content) / step


NAMES = [f"{kind}{ending}" for kind in ("night", "alice") for ending in ENDINGS]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", NAMES)
def test_flipped_bit_is_refused_or_changes_nothing(tmp_path, name):
    assert_no_flip_is_unseen(tmp_path, name, step=29)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", NAMES)
def test_every_flipped_bit_is_refused_or_changes_nothing(tmp_path, name):
    assert_no_flip_is_unseen(tmp_path, name, step=1)


def test_hash_that_is_gone_from_a_file_of_e91_is_missed(tmp_path):
    save_detections(tmp_path / "night.csv", record(20))
    text = (tmp_path / "night.csv").read_text()
    (tmp_path / "night.csv").write_text(text.replace("sha256", "sha257"))
    with pytest.raises(ValueError, match=r"must state a `sha256`, as they have a `kind`"):
        load_detections(tmp_path / "night.csv")
    (tmp_path / "night.csv").write_text(text.replace("# e91 ", "# d91 "))
    with pytest.raises(ValueError, match=r"must begin with `# e91 `, but does not"):
        load_detections(tmp_path / "night.csv")


# Small files ask for little memory ----------------------------------------------------------------


def test_small_text_takes_little_memory(tmp_path):
    (tmp_path / "night.csv").write_text(",".join(DETECTION_COLUMNS) + "\n0,0,0,0\n")
    (tmp_path / "alice.csv").write_text("time_ps,channel\n1,0\n")
    tracemalloc.start()
    load_detections(tmp_path / "night.csv")
    load_time_tags(tmp_path / "alice.csv")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 20_000_000


@pytest.mark.parametrize("ending", [".npz", ".parquet"])
def test_compressed_file_cannot_grow_beyond_its_limit(tmp_path, ending):
    file, rows = tmp_path / f"night{ending}", 20_000_000
    column = np.zeros(rows, np.uint8)
    if ending == ".npz":
        np.savez_compressed(file, **dict.fromkeys(DETECTION_COLUMNS, column))
    else:
        save_table(file, dict.fromkeys(DETECTION_COLUMNS, column), {})
    with pytest.raises(ValueError, match="must hold at most 100 times its own size, 67,108,864 by"):
        load_detections(file)


def test_changed_row_is_seen(tmp_path):
    file = tmp_path / "night.csv"
    save_detections(file, record())
    lines = file.read_text().splitlines()
    lines[7] = "0,0,0,0" if lines[7] != "0,0,0,0" else "1,1,1,1"
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match="the file is damaged or was changed"):
        load_detections(file)


def test_changed_metadata_is_seen(tmp_path):
    file = tmp_path / "night.csv"
    save_detections(file, record(), metadata={"settings": "ekert"})
    file.write_text(file.read_text().replace("ekert", "bbm92"))
    with pytest.raises(ValueError, match="the file is damaged or was changed"):
        load_detections(file)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 nonsense", b"PAR1", b"\x80\x04pickle", b"\xff"]
)
def test_foreign_file_is_refused(tmp_path, ending, content):
    file = tmp_path / f"night{ending}"
    file.write_bytes(content)
    with pytest.raises(ValueError, match="must"):
        load_detections(file)
    with pytest.raises(ValueError, match="must"):
        load_time_tags(file)


# Hostile files ------------------------------------------------------------------------------------


class Bomb:
    """Something whose unpickling would be noticed."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def test_pickle_inside_an_npz_is_never_loaded(tmp_path):
    file = tmp_path / "night.npz"
    objects = np.array([Bomb(), Bomb()], object)
    np.savez(file, **(columns_of(2) | {"alice_setting": objects}))
    with pytest.raises(ValueError, match="holds Python objects, and a pickle is never loaded"):
        load_detections(file)
    np.savez(file, **columns_of(2), metadata=objects)
    with pytest.raises(ValueError, match="a pickle is never loaded"):
        load_detections(file)
    (tmp_path / "bare.npz").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match=r"must be a whole `\.npz` file"):
        load_detections(tmp_path / "bare.npz")


def npz_with(file, name, content, *, compression=zipfile.ZIP_STORED):
    """Write good columns, and one member's raw bytes in place of another."""
    with zipfile.ZipFile(file, "w", compression) as archive:
        for column, array in columns_of().items():
            raw = io.BytesIO()
            np.lib.format.write_array(raw, array)
            archive.writestr(f"{column}.npy", content if column == name else raw.getvalue())


def header(shape, descr="|u1"):
    raw = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        raw, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    return raw.getvalue()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (header((2**60,)), "must have at most 50,000,000 rows"),
        (header((10**6,)) + b"123", "must take 1,000,128 bytes as its header says"),
        (header((3, 1)) + b"123", "must hold whole numbers, one a row"),
        (header((3,), "<c8") + bytes(24), "must hold whole numbers, one a row, but is complex64"),
        (header((2,)) + b"12", "must have one length"),
        (b"\x93NUMPY\x09\x00", r"must be a whole `\.npz`"),
        (header((3,)).replace(b"|u1", b"|x1"), r"must be a whole `\.npz`"),
    ],
)
def test_header_that_lies_is_refused_before_memory_is_taken(tmp_path, content, sentence):
    npz_with(tmp_path / "night.npz", "bob_setting", content)
    with pytest.raises(ValueError, match=sentence):
        load_detections(tmp_path / "night.npz")


def test_zip_bomb_is_refused_by_its_headers(tmp_path):
    # Four million zeros in 4 kB.
    content = header((4_000_000,)) + bytes(4_000_000)
    npz_with(tmp_path / "n.npz", "bob_setting", content, compression=zipfile.ZIP_DEFLATED)
    assert (tmp_path / "n.npz").stat().st_size < 10_000
    with pytest.raises(ValueError, match="at most 1,000,000 rows, but has 4,000,000"):
        load_table(tmp_path / "n.npz", most_rows=10**6)


def test_large_tags_with_a_flipped_bit_do_not_have_their_hash(tmp_path):
    file = tmp_path / "alice.npz"
    save_time_tags(file, time_tags(20_000), party=Party.ALICE)
    flipped(file, file.stat().st_size - 5_000)
    with pytest.raises(ValueError, match="must have the hash that it states"):
        load_time_tags(file)


def test_encrypted_member_is_refused(tmp_path):
    file = tmp_path / "night.npz"
    np.savez(file, **columns_of())
    content = bytearray(file.read_bytes())
    place = content.index(b"PK\x01\x02")  # the central directory's flags: encrypted
    content[place + 8] |= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"must be a whole `\.npz`"):
        load_detections(file)


def test_folder_and_missing_file_are_refused(tmp_path):
    (tmp_path / "folder.npz").mkdir()
    for name in ("folder.npz", "missing.npz", "missing.csv"):
        for load in (load_detections, load_time_tags):
            with pytest.raises(ValueError, match="must be a readable file"):
                load(tmp_path / name)


# Wrong content ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ENDINGS)
def test_missing_column_is_named_with_what_there_is(tmp_path, ending):
    import pyarrow
    import pyarrow.parquet

    file, columns = tmp_path / f"n{ending}", columns_of()
    del columns["bob_outcome"]
    if ending == ".npz":
        np.savez(file, **columns)
    elif ending == ".csv":
        file.write_text(",".join(columns) + "\n0,0,0\n")
    else:
        pyarrow.parquet.write_table(pyarrow.table(columns), file)
    with pytest.raises(
        ValueError, match=r"must have the columns alice_setting .* but has `alice_o"
    ):
        load_detections(file)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("0,0,0", "Line 3 of .*, the first one being line 1, must hold 4 entries, but holds 3"),
        ("0,0,0,0,0", "Line 3 .* must hold 4 entries, but holds 5"),
        ("0,0,0,nan", "whole number as `bob_outcome`, but holds `nan`"),
        ("0,0,0,", "but is empty there: write 2 as the outcome for no click"),
        ("0,0,0,0.5", "whole number as `bob_outcome`, but holds 0.5"),
        ("0,0,0,99999999999999999999", "does not fit in 64 bits"),
        ('"0,1",0,0,0', "holds 5: remove the column in quotes that holds the separator"),
        ("0,0,0,3", r"`bob_outcome` in .* must lie in \[0, 2\]"),
        ("-1,0,0,0", r"`alice_setting` in .* must lie in \[0, 254\], but spans \[-1, 0\]"),
        ("256,0,0,0", r"`alice_setting` in .* must lie in \[0, 254\]"),
    ],
)
def test_row_that_is_no_round_is_refused(tmp_path, row, sentence):
    file = tmp_path / "night.csv"
    file.write_text(",".join(DETECTION_COLUMNS) + f"\n0,0,0,0\n{row}\n")
    with pytest.raises(ValueError, match=sentence):
        load_detections(file)


def test_other_columns_may_hold_words_and_stand_anywhere(tmp_path):
    file = tmp_path / "night.csv"
    names = "bob_outcome,remark,alice_setting,alice_outcome,bob_setting,temperature"
    file.write_text(f"{names}\n1,clear sky,0,1,2,20.5\n0,,2,0,1,nan\n")
    record = load_detections(file).record
    assert record.alice.setting.tolist() == [0, 2]
    assert record.alice.outcome.tolist() == [1, 0]
    assert record.bob.setting.tolist() == [2, 1]
    assert record.bob.outcome.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("1,0,1,2,9,9", "must hold 5 entries, but holds 6"),
        ("1,0,1,2", "must hold 5 entries, but holds 4"),
        ("1,zz,1,2,9", "whole number as `alice_outcome`, but holds `zz`"),
        ("1,0.5,1,2,9", "whole number as `alice_outcome`, but holds 0.5"),
    ],
)
def test_row_of_another_width_is_refused_beside_other_columns(tmp_path, row, sentence):
    file = tmp_path / "night.csv"
    file.write_text(f"{','.join(DETECTION_COLUMNS)},remark\n0,0,0,0,x\n{row}\n")
    with pytest.raises(ValueError, match=sentence):
        load_detections(file)


def test_column_that_is_named_twice_is_refused(tmp_path):
    file = tmp_path / "night.csv"
    file.write_text(f"{','.join(DETECTION_COLUMNS)},bob_outcome\n0,0,0,0,1\n")
    with pytest.raises(ValueError, match="must name its column `bob_outcome` once, but names it 2"):
        load_detections(file)


def test_mark_of_the_byte_order_is_no_part_of_a_name(tmp_path):
    file = tmp_path / "night.csv"
    file.write_bytes(b"\xef\xbb\xbf" + f"{','.join(DETECTION_COLUMNS)}\r\n0,1,2,1\r\n".encode())
    assert load_detections(file).record.bob.setting.tolist() == [2]


def test_entry_of_a_megabyte_is_not_repeated_in_the_sentence(tmp_path):
    file = tmp_path / "night.csv"
    file.write_text(f"{','.join(DETECTION_COLUMNS)}\n{'x' * 2**20},0,0,0\n")
    with pytest.raises(ValueError, match="must hold a whole number as") as refused:
        load_detections(file)
    assert len(str(refused.value)) < 400 + len(str(file))


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        ([0.5, 1.0, 2.0], "must hold whole numbers, floating point ones below"),
        ([0, None, 1], "must have no empty entries"),
        (["a", "b", "c"], "must hold whole numbers, but is string"),
        ([0, 1, 300], r"must lie in \[0, 254\]"),
    ],
)
def test_parquet_column_of_another_kind_is_refused(tmp_path, column, sentence):
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table(columns_of() | {"bob_setting": column})
    pyarrow.parquet.write_table(table, tmp_path / "n.parquet")
    with pytest.raises(ValueError, match=sentence):
        load_detections(tmp_path / "n.parquet")


@pytest.mark.parametrize("reader", ENDINGS)
def test_more_rows_than_allowed_are_refused(tmp_path, reader):
    file = tmp_path / f"n{reader}"
    save_detections(file, record(50))
    with pytest.raises(ValueError, match="must have at most 49 rows"):
        load_table(file, most_rows=49)
    assert len(load_table(file, most_rows=50)[0]) == 50


@pytest.mark.parametrize("ending", ENDINGS)
def test_empty_table_is_refused(tmp_path, ending):
    save_table(tmp_path / f"d{ending}", columns_of(0), {})
    with pytest.raises(ValueError, match="must hold at least one round, but is empty"):
        load_detections(tmp_path / f"d{ending}")
    tags = {"time_ps": np.zeros(0, np.int64), "channel": np.zeros(0, np.uint8)}
    save_table(tmp_path / f"t{ending}", tags, {})
    with pytest.raises(ValueError, match="must hold at least one time tag, but is empty"):
        load_time_tags(tmp_path / f"t{ending}")


@pytest.mark.parametrize(
    ("times", "channels", "sentence"),
    [
        ([5, 4, 6], [0, 0, 0], "must be sorted"),
        ([5, 5, 6], [1, 1, 0], "must not overlap"),
        ([5, 5, 5], [1, 0, 1], "must not overlap"),
    ],
)
@pytest.mark.parametrize("ending", ENDINGS)
def test_unsorted_and_overlapping_tags_are_refused(tmp_path, times, channels, sentence, ending):
    columns = {"time_ps": np.array(times), "channel": np.array(channels, np.uint8)}
    save_table(tmp_path / f"t{ending}", columns, {})
    with pytest.raises(ValueError, match=sentence):
        load_time_tags(tmp_path / f"t{ending}")


def test_disorder_between_two_pieces_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(tag_files, "_PIECE", 100)
    for times, sentence in (
        (np.r_[np.arange(100), np.arange(50, 150)], "must be sorted"),
        (np.r_[np.arange(100), np.arange(99, 199)], "must not overlap"),
    ):
        file = tmp_path / f"{sentence[-6:]}.npz"
        save_table(file, {"time_ps": times, "channel": np.zeros(200, np.uint8)}, {})
        with pytest.raises(ValueError, match=sentence):
            load_time_tags(file)


def test_tags_and_detections_are_not_mistaken_for_each_other(tmp_path):
    save_detections(tmp_path / "d.npz", record())
    save_detections(tmp_path / "d.csv", record())
    save_time_tags(tmp_path / "t.npz", time_tags(), party=Party.ALICE)
    for name in ("d.npz", "d.csv"):
        with pytest.raises(ValueError, match="but holds detections of both"):
            load_time_tags(tmp_path / name)
    with pytest.raises(ValueError, match="but holds one party's time tags"):
        load_detections(tmp_path / "t.npz")


@pytest.mark.parametrize("text", ["[1]", "nonsense", "3", "[" * 100_000])
def test_metadata_that_is_no_object_is_refused(tmp_path, text):
    names = ",".join(DETECTION_COLUMNS)
    (tmp_path / "n.csv").write_text(f"# e91 {text}\n{names}\n0,0,0,0\n")
    np.savez(tmp_path / "n.npz", **columns_of(), metadata=np.frombuffer(text.encode(), np.uint8))
    for name in ("n.csv", "n.npz"):
        with pytest.raises(ValueError, match=rf"`metadata of .*{name}` must"):
            load_detections(tmp_path / name)


@pytest.mark.parametrize("name", ["night.txt", "night", "night.npy"])
def test_unknown_ending_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"must end in \.npz, \.csv, \.parquet"):
        save_detections(tmp_path / name, record())
    assert list(tmp_path.iterdir()) == []
    (tmp_path / name).write_bytes(b"x\0")
    with pytest.raises(ValueError, match="but begins as none of them"):
        load_detections(tmp_path / name)


# Dialects -----------------------------------------------------------------------------------------


def csv_text(columns):
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return "\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n"


def some_columns():
    one = record(50)
    halves = (one.alice.setting, one.alice.outcome, one.bob.setting, one.bob.outcome)
    return dict(zip(DETECTION_COLUMNS, halves, strict=True)), one


@pytest.mark.parametrize("separator", [";", "\t", ", ", " ; "])
def test_other_separators_are_read(tmp_path, separator):
    columns, wanted = some_columns()
    file = tmp_path / "night.csv"
    file.write_text(csv_text(columns).replace(",", separator))
    assert same(load_detections(file).record, wanted)


@pytest.mark.parametrize("name", ["NIGHT.CSV", "night.csv.gz", "night", "night.npz.txt"])
def test_format_is_recognised_by_content(tmp_path, name):
    columns, wanted = some_columns()
    text = csv_text(columns).encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    assert same(load_detections(tmp_path / name).record, wanted)
    with (tmp_path / "x.CSV").open("wb") as opened:
        np.savez(opened, **columns)
    assert same(load_detections(tmp_path / "x.CSV").record, wanted)


def test_capital_endings_are_written(tmp_path):
    save_detections(tmp_path / "night.CSV", record())
    assert same(load_detections(tmp_path / "night.CSV").record, record())


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': ('|u1', 'fortran_order': False, 'shape': (4,), }",  # a bracket never closed
        "{'descr': [1, 2], 'fortran_order': False, 'shape': (4,), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': {}, }",
        "{'descr': '|u1', 'fortran_order': lambda: 0, 'shape': (4,), }",
        "\t{'descr'",
    ],
)
def test_header_that_is_no_pythons_is_refused(header, tmp_path):
    text = header.ljust(117) + "\n"
    member = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + bytes(4)
    file = tmp_path / "night.npz"
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("alice_setting", "bob_setting", "alice_outcome", "bob_outcome"):
            archive.writestr(f"{name}.npy", member)
    with pytest.raises(ValueError, match="file, but is damaged"):
        load_detections(file)


def test_damaged_gzip_is_refused(tmp_path):
    file = tmp_path / "night.csv.gz"
    file.write_bytes(gzip.compress(csv_text(some_columns()[0]).encode())[:-9])
    with pytest.raises(ValueError, match="must be a whole gzip file"):
        load_detections(file)


def test_small_gzip_that_would_grow_too_large_is_refused(tmp_path):
    file = tmp_path / "night.csv.gz"
    text = ",".join(DETECTION_COLUMNS) + "\n" + "0,0,0,0\n" * 9_000_000
    file.write_bytes(gzip.compress(text.encode(), 9))
    with pytest.raises(ValueError, match="must hold at most 100 times its own size"):
        load_detections(file)


def as_booleans(columns):
    return {n: c == 1 if "outcome" in n else c for n, c in columns.items()}


@pytest.mark.parametrize("kind", ["floats", "booleans"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_whole_floats_and_booleans_are_read(tmp_path, kind, ending):
    import pyarrow
    import pyarrow.parquet

    columns, wanted = some_columns()
    if kind == "booleans":
        columns = as_booleans(columns)
        wanted = DetectionRecord(
            PartyRecord(columns["alice_setting"], columns["alice_outcome"].astype(np.uint8)),
            PartyRecord(columns["bob_setting"], columns["bob_outcome"].astype(np.uint8)),
        )
    else:
        columns = {name: column.astype(float) for name, column in columns.items()}
    file = tmp_path / f"night{ending}"
    if ending == ".npz":
        np.savez(file, **columns)
    elif ending == ".csv":
        file.write_text(
            csv_text({n: c * (1 if c.dtype == bool else 1.0) for n, c in columns.items()})
        )
    else:
        pyarrow.parquet.write_table(pyarrow.table(columns), file)
    assert same(load_detections(file).record, wanted)


@pytest.mark.parametrize("ending", [".npz", ".csv"])
def test_signs_are_outcomes_if_that_is_said(tmp_path, ending):
    columns, wanted = some_columns()
    signs = {
        name: np.array([1, -1, 0])[column] if "outcome" in name else column
        for name, column in columns.items()
    }
    file = tmp_path / f"night{ending}"
    if ending == ".npz":
        np.savez(file, **signs)
    else:
        file.write_text(csv_text(signs))
    assert same(load_detections(file, has_signs=True).record, wanted)
    with pytest.raises(ValueError, match=r"spans \[-1, 1\]: write \+1 as 0 and -1 as 1, or say"):
        load_detections(file)
    save_detections(tmp_path / "plain.npz", wanted)
    with pytest.raises(ValueError, match=r"must hold \+1, -1, and 0 for no click"):
        load_detections(tmp_path / "plain.npz", has_signs=True)


@pytest.mark.parametrize("ending", ENDINGS)
def test_columns_can_have_other_names(tmp_path, ending):
    import pyarrow
    import pyarrow.parquet

    columns, wanted = some_columns()
    peers = {"alice_setting": "x", "alice_outcome": "a", "bob_setting": "y"}
    named = {peers.get(name, name): column for name, column in columns.items()}
    file = tmp_path / f"night{ending}"
    if ending == ".npz":
        np.savez(file, **named)
    elif ending == ".csv":
        file.write_text(csv_text(named))
    else:
        pyarrow.parquet.write_table(pyarrow.table(named), file)
    assert same(load_detections(file, renamed=peers).record, wanted)
    with pytest.raises(ValueError, match="must have the column `z`, but has `a`, `bob_outcome`"):
        load_detections(file, renamed=peers | {"bob_outcome": "z"})


# Two files of one run -----------------------------------------------------------------------------


def pair(tmp_path, first, second, parties=tuple(Party)):
    loaded = []
    for number, (known, party) in enumerate(zip((first, second), parties, strict=True)):
        file = tmp_path / f"{number}.npz"
        save_time_tags(file, time_tags(), party=party, metadata=known)
        loaded.append(load_time_tags(file))
    return loaded


@pytest.mark.parametrize(
    ("first", "second", "sentence"),
    [
        ({"run_id": "1"}, {"run_id": "2"}, "must be of one run, but their `run_id` is '1' and '2'"),
        ({"run_id": "1"}, {}, "`run_id` is '1' and None"),
        ({"settings": "ekert"}, {"settings": "bbm92"}, "`settings` is 'ekert' and 'bbm92'"),
    ],
)
def test_files_of_two_runs_are_refused(tmp_path, first, second, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_one_run(*pair(tmp_path, first, second))


def test_swapped_files_are_refused(tmp_path):
    swapped = pair(tmp_path, {}, {}, parties=(Party.BOB, Party.ALICE))
    with pytest.raises(ValueError, match="the second Bob's, but Alice's says that it is 'bob'"):
        check_one_run(*swapped)


def test_files_of_one_run_pass(tmp_path):
    check_one_run(*pair(tmp_path, {"run_id": "1"}, {"run_id": "1"}))


# Details ------------------------------------------------------------------------------------------


def test_hash_depends_on_every_part():
    base = {"time_ps": np.array([1, 2]), "channel": np.array([0, 1])}
    others = [
        (base | {"time_ps": np.array([1, 3])}, {}),
        (base | {"channel": np.array([0, 2])}, {}),
        (base, {"run_id": "1"}),
        ({"time_ps": np.array([1, 2, 0]), "channel": np.array([1])}, {}),
    ]
    digests = {content_hash(*case) for case in [(base, {}), *others]}
    assert len(digests) == 5


def test_file_cut_while_it_is_read_is_noticed(tmp_path):
    file = tmp_path / "a.npz"
    save_time_tags(file, time_tags(), party=Party.ALICE)
    tags = load_time_tags(file).tags
    with file.open("r+b") as opened:
        opened.truncate(600)
    with pytest.raises(ValueError, match="must stay whole while it is read"):
        tags.read(0, 1000)


def test_small_table_written_in_memory_reads_back(tmp_path):
    with io.BytesIO() as memory:
        formats.write_npz(memory, columns_of(), {"a": 1})
        (tmp_path / "x.npz").write_bytes(memory.getvalue())
    members, metadata = open_npz(tmp_path / "x.npz", most_rows=9)
    assert {member.name for member in members} == set(DETECTION_COLUMNS)
    assert metadata == {"a": 1}
    assert len(read_npz(tmp_path / "x.npz", most_rows=9)) == 3
    assert json.dumps(metadata)


# Blocks that a run keeps --------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "ending"), [("kept", ".npz"), ("kept.parquet", ".parquet")])
def test_kept_block_is_a_file_of_detections(tmp_path, name, ending):
    folder = tmp_path / name
    folder.mkdir()
    codes = np.arange(81, dtype=np.uint8)
    file = save_block(folder, 42, record_of_codes(codes, shape=(3, 3, 3, 3)))
    assert file == folder / f"block-000042{ending}"
    loaded = load_detections(file)
    x, y, a, b = np.unravel_index(codes, (3, 3, 3, 3))
    assert same(loaded.record, DetectionRecord(PartyRecord(x, a), PartyRecord(y, b)))
    assert loaded.metadata["block"] == 42


def test_kept_blocks_of_a_run_are_what_analyse_reads(tmp_path, status):
    kept = tmp_path / "kept.parquet"
    options = ["--device", "exact", "--rounds", "100000", "--block-rounds", "50000", "--seed", "1"]
    code, _, _ = status("run", *options, "--keep", kept, "--json", "--epsilon", "1e-6")
    assert code == 0
    assert {file.name for file in kept.iterdir()} == {f"block-00000{k}.parquet" for k in (0, 1)}
    block = kept / "block-000000.parquet"
    code, again, _ = status("analyse", block, "--json", "--epsilon", "1e-6", "--no-key")
    assert code == 0
    assert json.loads(again)["rounds"] == 50_000
    assert json.loads(again)["chsh"]["lower_bound"] > 2
