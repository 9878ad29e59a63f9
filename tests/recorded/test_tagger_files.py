"""Laboratories' files: every layout against events that the test packs byte by byte."""

import gzip
import sys
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import tagger_writers as writers

from e91.recorded.taggers import layouts, open_tags, parse_channels, raw_tags, spool
from e91.recorded.taggers.layouts import TaggerOptions
from e91.recorded.taggers.ordering import Ordering
from e91.recorded.taggers.tagger_files import load_party, load_tagger

PS = Fraction(1, 10**12)


@pytest.fixture(autouse=True, params=[7, 2**19])
def piece(request, monkeypatch):
    """Pieces of seven records, so that every state is carried on, and of all."""
    monkeypatch.setattr(raw_tags, "PIECE", request.param)
    monkeypatch.setattr(layouts, "PIECE", request.param)


@pytest.fixture
def put(tmp_path):
    def put(content, name="tags.bin"):
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    return put


def tags_of(file, *options, **named):
    stream = open_tags(file, TaggerOptions(*options, **named))
    pieces = list(stream.pieces)
    times = [int(time) for piece in pieces for time in piece.times]
    channels = [int(channel) for piece in pieces for channel in piece.channels]
    return stream, list(zip(times, channels, strict=True)), pieces


def random_events(seed, *, longest, channels, bins=0, size=60):
    generator = np.random.default_rng(seed)
    steps = generator.integers(1, longest, size)
    steps[::9] *= 40  # several overflows between two events
    return [
        (count, int(generator.choice(channels)), int(generator.integers(bins)) if bins else 0)
        for count in np.cumsum(steps).tolist()
    ]


# PicoQuant ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", writers.ALL_T2)
def test_events_of_mode_t2_are_read_in_the_numbers_of_the_front(put, kind):
    events = random_events(1, longest=10**8, channels=[0, 1, 2, 3, 4])
    stream, tags, _ = tags_of(put(writers.ptu(kind, events, resolution_s=5e-12)))
    assert tags == [(count, channel) for count, channel, _ in events]
    assert stream.unit_s == 5 * PS


@pytest.mark.parametrize("kind", writers.ALL_T2)
def test_sync_input_and_first_input_are_two_channels(put, kind):
    assert tags_of(put(writers.ptu(kind, [(5, 0, 0), (9, 1, 0)])))[1] == [(5, 0), (9, 1)]


def test_markers_are_negative_and_picoharps_take_four_bits_of_their_time(put):
    events = [(100, 1, 0), (320, -2, 0), (2**26, -15, 0)]
    tags = tags_of(put(writers.ptu(writers.GENERIC_T2, events)))[1]
    assert tags == [(100, 1), (320, -2), (2**26, -15)]
    tags = tags_of(put(writers.ptu(writers.PICOHARP_T2, events)))[1]
    assert [channel for _, channel in tags] == [1, -2, -15]
    assert [time // 16 for time, _ in tags] == [100 // 16, 320 // 16, 2**26 // 16]


@pytest.mark.parametrize("kind", writers.ALL_T3)
def test_times_of_mode_t3_are_pulses_and_bins_in_their_common_measure(put, kind):
    channels = [1, 2, 3, 4] if kind == writers.PICOHARP_T3 else [1, 2, 8, 64]
    events = random_events(2, longest=3000, channels=channels, bins=700)
    content = writers.ptu(kind, events, resolution_s=1.25e-8, bin_s=1.6e-11)
    stream, tags, _ = tags_of(put(content))
    assert stream.unit_s == 4 * PS  # the largest of which 12.5 ns and 16 ps are multiples
    assert tags == [(3125 * pulse + 4 * bins, channel) for pulse, channel, bins in events]


def test_measured_sync_period_is_rounded_to_the_bin(put):
    events = random_events(3, longest=3000, channels=[1, 2], bins=700)
    period = 1 / 80_000_123
    content = writers.ptu(writers.GENERIC_T3, events, resolution_s=period, bin_s=1.6e-11)
    stream, tags, _ = tags_of(put(content))
    assert stream.unit_s == 16 * PS
    exact = [pulse * Fraction(repr(period)) / (16 * PS) + bins for pulse, _, bins in events]
    assert [time for time, _ in tags] == [round(count) for count in exact]


def test_header_of_256_counts_a_nanosecond_is_that_fraction(put):
    content = writers.ptu(writers.GENERIC_T2, [(1, 1, 0)], resolution_s=3.90625e-12)
    assert tags_of(put(content))[0].unit_s == Fraction(1, 256 * 10**9)


@pytest.mark.parametrize("version", [b"1.0", b"2.0"])
def test_older_files_of_picoquant_are_read(put, version):
    events = random_events(4, longest=10**8, channels=[0, 1, 2])
    plain = [(count, channel) for count, channel, _ in events]
    stream, tags, _ = tags_of(put(writers.old_picoharp(events, mode=2)))
    assert (stream.unit_s, tags) == (4 * PS, plain)
    stream, tags, _ = tags_of(put(writers.old_hydraharp(events, mode=2, version=version)))
    assert (stream.unit_s, tags) == (PS, plain)
    events = random_events(5, longest=3000, channels=[1, 2], bins=700)
    for content in (
        writers.old_picoharp(events, mode=3),
        writers.old_hydraharp(events, mode=3, version=version),
    ):
        stream, tags, _ = tags_of(put(content))
        assert stream.unit_s == 16 * PS
        # 12.5 ns are 781.25 bins, of which halves go to the even neighbour.
        wanted = [(round(pulse * Fraction(3125, 4)) + bins, c) for pulse, c, bins in events]
        assert tags == wanted


def damaged_picoquant():
    whole = writers.ptu(writers.GENERIC_T2, [(5, 1, 0), (9, 2, 0)])
    end = whole.index(b"Header_End")
    kind = whole.index(b"TTResultFormat") + 40
    resolution = whole.index(b"MeasDesc_Global") + 40
    no_count = writers.ptu(writers.GENERIC_T2, [], records=0)
    old = writers.old_hydraharp([(5, 1, 0)], mode=2)
    return {
        "cut in the header": (whole[:end], "header has no end"),
        "signature alone": (whole[:16], "header has no end"),
        "cut in a record": (whole[:-2], "whole records of 4 bytes, but 2 bytes are left"),
        "a record is missing": (whole[:-4], "2 records as its header says, but holds 1"),
        "unknown type": (whole[:kind] + bytes(8) + whole[kind + 8 :], "type 0x00000000"),
        "no resolution": (whole[:resolution] + bytes(8) + whole[resolution + 8 :], "GlobalRes"),
        "length beyond the file": (
            whole.replace(b"\x08" + bytes(7) + b"a night", b"\xff" * 7 + b"\x7fa night"),
            "header has no end",
        ),
        "unknown record": (whole[:-4] + b"\xff\xff\xff\xbf", "of PicoQuant's kinds"),
        "beyond 64 bits": (no_count + b"\xff" * 4 * 2**13, "must fit in 64 bits"),
        "histogram": (b"PQHISTO\0" + bytes(100), "a PicoQuant histogram"),
        "old, cut": (old[:400], "within its header of 720 bytes"),
        "old, of another mode": (old[:340] + b"\1" + old[341:], "mode T2 or T3, but is of mode 1"),
        "old, 2^31 inputs": (old[:664] + b"\xff" * 4 + old[668:], "InputChannelsPresent"),
    }


@pytest.mark.parametrize("fault", damaged_picoquant())
def test_damaged_file_of_picoquant_is_one_sentence(put, fault):
    content, sentence = damaged_picoquant()[fault]
    with pytest.raises(ValueError, match=sentence) as refusal:
        tags_of(put(content))
    assert "\n" not in str(refusal.value)


# Words of one length ------------------------------------------------------------------------------


def s_fifteen_events():
    start = 2**54 - 4000
    clicks = [(start + 100 * k, [k % 4]) for k in range(80)]
    clicks[40] = (clicks[40][0], [0, 3])
    return clicks


@pytest.mark.parametrize("layout", ["a1", "a1X", "a2"])
def test_s_fifteen_words_unwrap_split_and_lose_their_dummies(put, layout):
    clicks = s_fifteen_events()
    words = [writers.s_fifteen_word(*click) for click in clicks]
    # As in files of the maker, the dummies' pattern is that of detector 3.
    words[20:20] = [writers.s_fifteen_word(clicks[20][0] - 50, [3], is_dummy=True)] * 3
    stream, tags, pieces = tags_of(put(writers.s_fifteen(words, layout=layout)), layout)
    assert tags == [(count, detector) for count, detectors in clicks for detector in detectors]
    assert sum(piece.dummies for piece in pieces) == 3
    assert stream.unit_s == Fraction(1, 256 * 10**9)


def test_wrong_order_of_words_is_refused_with_the_right_one(put):
    words = [writers.s_fifteen_word(10**9 * k * k, [k % 4]) for k in range(1, 200)]
    for layout, other in (("a1", "a1X"), ("a1X", "a1")):
        file = put(writers.s_fifteen(words, layout=layout))
        with pytest.raises(ValueError, match=f"times then descend; it may be .*{layout}"):
            tags_of(file, other)
        with pytest.raises(ValueError, match=f"named by `format`.*; it may be .*{layout}"):
            tags_of(file)


@pytest.mark.parametrize("layout", ["qutools", "qutools-raw"])
def test_qutools_words_need_a_unit_and_count_channels_from_zero(put, layout):
    wanted = [(10**13 + 1000 * k, k % 8) for k in range(50)] + [(10**14, 104)]
    file = put(writers.qutools(wanted, header=layout == "qutools"))
    stream, tags, _ = tags_of(file, layout, 81 * PS)
    assert (tags, stream.unit_s, stream.counts_from_zero) == (wanted, 81 * PS, True)
    with pytest.raises(ValueError, match="`unit` must be given with the layout"):
        tags_of(file, layout)


def test_compressed_words_of_qutools_unwrap(put):
    wanted = [(2**37 - 1000 + 10**9 * k, k % 8) for k in range(400)]
    tags = tags_of(put(writers.qutools_compressed(wanted)), "qutools-compressed", PS)[1]
    assert tags == wanted


def test_swabian_dump_tells_its_gaps_and_falling_edges(put):
    wanted = [(1000 * k, -3 if k % 5 == 0 else 4) for k in range(30)]
    _, tags, pieces = tags_of(put(writers.swabian_dump(wanted, lost_at=(3, 9))), "swabian-dump")
    assert tags == wanted
    assert sum(piece.gaps for piece in pieces) == 2


def test_files_of_one_channel_each_are_merged(tmp_path):
    generator = np.random.default_rng(6)
    files, wanted = [], []
    for channel in (1, 2, 3, 4):
        times = np.sort(generator.choice(10**6, 40 * channel, replace=False))
        files.append(tmp_path / f"timestamps_C{channel}.bin")
        times.astype("<u8").tofile(files[-1])
        wanted += [(time, channel - 1) for time in times.tolist()]
    both = load_tagger(
        files, alice_channels=(1, 2), bob_channels=(3, 4), options=TaggerOptions("idq")
    )
    alice = sorted((t, c) for t, c in wanted if c < 2)
    assert list(zip(both.alice.tags.times.tolist(), both.alice.tags.channels.tolist(),
                    strict=True)) == alice  # fmt: skip
    bob = sorted((t, c - 2) for t, c in wanted if c > 1)
    assert both.bob.tags.times.tolist() == [time for time, _ in bob]
    assert both.report.tags == {1: 40, 2: 80, 3: 120, 4: 160}


def test_words_that_are_cut_off_are_refused(put):
    file = put(writers.qutools([(1, 1), (2, 1)])[:-3])
    with pytest.raises(ValueError, match="whole records of 10 bytes, but 7 bytes are left over"):
        tags_of(file, "qutools", PS)


# Text ---------------------------------------------------------------------------------------------

TAGS = [(41210073, 2), (42445222, 10), (47182230, 8), (47182230, -3)]
TEXTS = {
    "Swabian": "Channel,Time (ps)\n2,41210073\n10,42445222\n8,47182230\n-3,47182230\n",
    "semicolons": "time_ps;channel\n41210073;2\n42445222;10\n47182230;8\n47182230;-3\n",
    "tabs, returns and other columns": (
        "n\tch\tdate\ttime [ps]\r\n0\t2\ta b\t41210073\r\n1\t10\tx\t42445222\r\n\r\n"
        "2\t8\t-\t47182230\r\n3\t-3\t\t47182230\r\n"
    ),
    "blanks": "% time/ps, channel\n 41210073   2\n42445222 10 \n47182230\t8\n47182230 -3",
    "comments": "# a night\n# time (ps), channel\n41210073,2\n42445222,10\n# noon\n47182230,8\n"
    "47182230,-3\n",
    "whole floats": "time_ps,channel\n41210073.0,2.\n42445222.000,10\n47182230,8.0\n47182230,-3\n",
    "mark of the byte order": "\ufefftime_ps,channel\n41210073,2\n42445222,10\n47182230,8\n"
    "+47182230,-3\n",
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_is_read_whatever_stands_between(put, name):
    options = {"time_column": None, "unit_s": PS}
    stream, tags, _ = tags_of(put(TEXTS[name]), **options)
    assert (tags, stream.unit_s) == (TAGS, PS)
    assert tags_of(put(gzip.compress(TEXTS[name].encode())), **options)[1] == TAGS


def test_unit_is_what_the_column_says_and_otherwise_asked_for(put):
    text = "# Time tag [81 ps bins]; Channel\n508766;2\n524015;10\n"
    assert tags_of(put(text))[0].unit_s == 81 * PS
    assert tags_of(put("time,channel\n5,2\n"), unit_s=81 * PS)[0].unit_s == 81 * PS
    with pytest.raises(ValueError, match=r"`unit` must be given with .* `time`, states none"):
        tags_of(put("time,channel\n5,2\n"))
    with pytest.raises(ValueError, match="`unit` must be given"):
        tags_of(put("5,2\n6,3\n"))


def test_columns_can_be_named(put):
    file = put("start time,stop time,channel\n1,5,2\n2,6,3\n")
    with pytest.raises(ValueError, match="one column of times, but which of `start time`, `stop"):
        tags_of(file, unit_s=PS)
    tags = tags_of(file, unit_s=PS, time_column="stop time", channel_column="channel")[1]
    assert tags == [(5, 2), (6, 3)]
    with pytest.raises(ValueError, match=r"must have the column `stopp time`.*did you mean `stop"):
        tags_of(file, unit_s=PS, time_column="stopp time")


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (
            "1.5,2",
            "Line 3 of .*, the first one being line 1, must hold a whole number as `time_ps`",
        ),
        ("x,2", "but holds `x`"),
        (",2", "but is empty there"),
        ("5", "must hold 2 entries, but holds 1"),
        ("5,2,3", "must hold 2 entries, but holds 3"),
        ("1764442800000000000000,1", "picoseconds since 1970 do not, so subtract"),
        ("1e7,1", "holds 1e7: write all digits"),
        ("5,70000", "Channels in .* must lie in"),
    ],
)
def test_row_that_is_no_tag_is_named_by_its_line(put, row, sentence):
    with pytest.raises(ValueError, match=sentence) as refusal:
        tags_of(put(f"time_ps,channel\n1,2\n{row}\n7,1\n"))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("content", ["", "\n\n", "time_ps,channel\n", "# nothing\n"])
def test_text_without_rows_is_refused(put, content):
    with pytest.raises(ValueError, match=r"must hold (rows|time tags)"):
        tags_of(put(content))


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 0, -1])
def test_all_numbers_of_64_bits_are_read(put, value):
    assert tags_of(put(f"time_ps,channel\n{value},1\n"))[1] == [(value, 1)]


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_no_other_number_is_read(put, value):
    with pytest.raises(ValueError, match="does not fit in 64 bits"):
        tags_of(put(f"time_ps,channel\n{value},1\n"))


# HDF5 and the maker's library ---------------------------------------------------------------------


def test_columns_of_hdf5_are_read(tmp_path):
    h5py = pytest.importorskip("h5py")
    file = tmp_path / "night.dat"
    times, channels = np.arange(20) * 1000, np.arange(20) % 3
    with h5py.File(file, "w") as content:
        content["tags/time"], content["tags/channel"] = times, channels.astype("u1")
        content["pairs"] = np.column_stack([times, channels])
        content["float"] = times.astype(float)
        content["half"] = times + 0.5
        table = np.empty(20, [("t", "<i8"), ("c", "<i4")])
        table["t"], table["c"] = times, channels
        content["table"] = table
    wanted = list(zip(times.tolist(), channels.tolist(), strict=True))
    for time, channel in (
        ("tags/time", "tags/channel"), ("pairs:0", "pairs:1"), ("table:t", "table:c"),
        ("float", "pairs:1"),
    ):  # fmt: skip
        assert tags_of(file, unit_s=PS, time_column=time, channel_column=channel)[1] == wanted
    with pytest.raises(ValueError, match="whole numbers below 2\\^53"):
        tags_of(file, unit_s=PS, time_column="half")
    with pytest.raises(ValueError, match=r"--columns time=PATH.*`tags/time` .int64, 20"):
        tags_of(file, unit_s=PS)
    with pytest.raises(ValueError, match="must have the column `tags/nothing`"):
        tags_of(file, unit_s=PS, time_column="tags/nothing")
    file.write_bytes(file.read_bytes()[:900])
    with pytest.raises(ValueError, match="whole HDF5 file, but is damaged"):
        tags_of(file, unit_s=PS, time_column="tags/time")


def test_hdf5_that_promises_more_than_it_holds_is_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    file = tmp_path / "night.h5"
    with h5py.File(file, "w") as content:
        content.create_dataset("long", (2**50,), "<i8", chunks=(1024,))
        content.create_dataset("wide", (8,), "<i8", chunks=(2**28,), maxshape=(None,))
    for name in ("long", "wide"):
        with pytest.raises(ValueError, match="must hold at most 100 times its own size"):
            tags_of(file, unit_s=PS, time_column=name)


def test_photon_hdf5_says_its_columns_and_unit(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "photons.h5", "w") as content:
        content["photon_data/timestamps"] = np.array([5, 9])
        content["photon_data/detectors"] = np.array([0, 3], np.uint8)
        content["photon_data/timestamps_specs/timestamps_unit"] = 1.25e-8
    stream, tags, _ = tags_of(tmp_path / "photons.h5")
    assert (stream.unit_s, tags) == (12500 * PS, [(5, 0), (9, 3)])


def test_without_h5py_the_sentence_says_what_to_install(put, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ValueError, match=r"h5py, but it is not installed: .*pip install"):
        tags_of(put(b"\x89HDF\r\n\x1a\n" + bytes(100)))


def test_without_swabians_library_the_sentence_says_what_to_install(put, monkeypatch):
    monkeypatch.setitem(sys.modules, "Swabian", None)
    monkeypatch.setitem(sys.modules, "TimeTagger", None)
    with pytest.raises(ValueError, match="pip install Swabian-TimeTagger, or export"):
        tags_of(put(b"anything"), "ttbin")


class _Library:
    """A stand-in for Swabian's library: what its documentation says of `FileReader`."""

    def __init__(self, *blocks):
        self.blocks = list(blocks)

    def FileReader(self, _):  # noqa: N802 - the library's name
        return self

    def hasData(self):  # noqa: N802
        return bool(self.blocks)

    def getData(self, _):  # noqa: N802
        times, channels, kinds = self.blocks.pop(0)
        return SimpleNamespace(
            getTimestamps=lambda: np.array(times, np.int64),
            getChannels=lambda: np.array(channels, np.int32),
            getEventTypes=lambda: np.array(kinds, np.int32),
        )


def test_ttbin_is_read_with_the_makers_library(put, monkeypatch):
    library = _Library(([5, 7, 9], [1, 1, -2], [0, 3, 0]), ([11], [2], [0]))
    monkeypatch.setitem(sys.modules, "Swabian", SimpleNamespace(TimeTagger=library))
    _, tags, pieces = tags_of(put(b"x"), "ttbin")
    assert (tags, sum(piece.gaps for piece in pieces)) == ([(5, 1), (9, -2), (11, 2)], 1)
    monkeypatch.setitem(
        sys.modules, "Swabian", SimpleNamespace(TimeTagger=_Library(([], [], []), ([], [], [])))
    )
    with pytest.raises(ValueError, match=r"`.ttbin` file, but ends early"):
        tags_of(put(b"x"), "ttbin")


# From a stream to two parties ---------------------------------------------------------------------

EXPORT = "".join(
    f"{1000 * k},{channel}\n" for k, channel in enumerate([1, 7, 2, 8, 2, 7, 13, 1, 8, 7] * 4)
)


def loaded(put, text=EXPORT, *, alice=(1, 2), bob=(7, 8), **named):
    options = TaggerOptions(unit_s=PS)
    return load_tagger(put(text), alice_channels=alice, bob_channels=bob, options=options, **named)


def test_every_tag_goes_to_its_detector_or_is_counted_as_nobodys(put):
    both = loaded(put, bob=(8, 7))
    rows = [tuple(map(int, line.split(","))) for line in EXPORT.splitlines()]
    for side, of in ((both.alice, {1: 0, 2: 1}), (both.bob, {8: 0, 7: 1})):
        wanted = [(time, of[channel]) for time, channel in rows if channel in of]
        times, channels = side.tags.read(0, 100)
        assert list(zip(times.tolist(), channels.tolist(), strict=True)) == wanted
    assert both.report.ignored == {13: 4}
    assert both.report.tags == {1: 8, 2: 8, 7: 12, 8: 8, 13: 4}
    assert "channels of nobody: 13 (4)" in str(both.report)


@pytest.mark.parametrize(
    ("alice", "bob", "sentence"),
    [
        ((0, 1), (7, 8), r"Channel 0 of Alice must have tags, but has none; .* 1 \(8\), 2 \(8\)"),
        ((1, 2), (2, 7), "channel 2 is named twice"),
        ((1, 2, 7), (8, 13), "two channels for each setting, .* but has 3"),
        ((1, 2), (7, 99999), "must lie in .*, but one is 99999"),
    ],
)
def test_wrong_map_is_refused(put, alice, bob, sentence):
    with pytest.raises(ValueError, match=sentence):
        loaded(put, alice=alice, bob=bob)


def test_late_and_repeated_tags_are_put_in_order_and_counted(put):
    rows = EXPORT.splitlines()
    rows[3], rows[20] = rows[20], rows[3]
    rows.insert(9, rows[8])
    both, wanted = loaded(put, "\n".join(rows)), loaded(put)
    for side, right in ((both.alice, wanted.alice), (both.bob, wanted.bob)):
        for found, expected in zip(side.tags.read(0, 99), right.tags.read(0, 99), strict=True):
            assert found.tolist() == expected.tolist()
    assert both.report.repeated == 1
    assert both.report.unsorted == 2
    assert "2 late tags put in order; 1 repeated tags left out" in str(both.report)


def test_file_in_any_order_is_sorted_if_it_fits_in_memory(put, monkeypatch):
    rows = EXPORT.splitlines()[::-1]
    both, wanted = loaded(put, "\n".join(rows)), loaded(put)
    assert both.alice.tags.read(0, 99)[0].tolist() == wanted.alice.tags.read(0, 99)[0].tolist()
    monkeypatch.setattr(spool, "MOST_TAGS_IN_MEMORY", 5)
    if raw_tags.PIECE == 7:
        monkeypatch.setattr("e91.recorded.rows.PIECE_BYTES", 40)
        with pytest.raises(ValueError, match="More than 5 tags of a party must be nearly in order"):
            loaded(put, "\n".join(rows))


def test_many_tags_go_to_hidden_files_and_come_back(put, monkeypatch):
    wanted = loaded(put)
    monkeypatch.setattr(spool, "MOST_TAGS_IN_MEMORY", 5)
    monkeypatch.setattr("e91.recorded.rows.PIECE_BYTES", 40)
    both = loaded(put)
    for side, right in ((both.alice, wanted.alice), (both.bob, wanted.bob)):
        assert isinstance(side.tags, spool.SpooledTags)
        assert len(side.tags) == len(right.tags)
        for start, stop in ((0, 99), (3, 8), (8, 3), (15, 16)):
            for found, expected in zip(
                side.tags.read(start, stop), right.tags.read(start, stop), strict=True
            ):
                assert found.tolist() == expected.tolist()


def test_delay_makes_a_channel_earlier_and_keeps_the_order(put):
    both = loaded(put, delays={7: 2500 * PS, 2: -700 * PS})
    rows = [tuple(map(int, line.split(","))) for line in EXPORT.splitlines()]
    late = {1: 0, 2: -700, 7: 2500, 8: 0}
    for side, of in ((both.alice, {1: 0, 2: 1}), (both.bob, {7: 0, 8: 1})):
        wanted = sorted((time - late[c], of[c]) for time, c in rows if c in of)
        times, channels = side.tags.read(0, 99)
        assert list(zip(times.tolist(), channels.tolist(), strict=True)) == wanted
    with pytest.raises(ValueError, match="channel 5 is nobody's"):
        loaded(put, delays={5: PS})
    with pytest.raises(ValueError, match=r"at most 0.001 s, but is 2 s for channel 7"):
        loaded(put, delays={7: Fraction(2)})


def test_ordering_gives_what_sorting_all_gives():
    generator = np.random.default_rng(8)
    for _ in range(50):
        pieces = [generator.integers(9 * k, 9 * k + 12, 10) for k in range(12)]
        channels = [generator.integers(0, 3, 10).astype(np.uint8) for _ in pieces]
        ordering = Ordering()
        parts = [ordering.push(*piece) for piece in zip(pieces, channels, strict=True)]
        parts.append(ordering.flush())
        found = [pair for part in parts for pair in zip(*(a.tolist() for a in part), strict=True)]
        everything = zip(np.concatenate(pieces).tolist(), np.concatenate(channels).tolist(),
                         strict=True)  # fmt: skip
        assert not ordering.is_beaten
        assert found == sorted(set(everything))
        assert len(found) + ordering.repeated == 120


def test_file_of_its_own_needs_no_map_only_if_it_counts_from_zero(put):
    words = [writers.s_fifteen_word(10**9 * k, [k % 4]) for k in range(1, 30)]
    file = put(writers.s_fifteen(words, layout="a1X"))
    side, report = load_party(file, options=TaggerOptions("a1X"))
    assert side.tags.channels.tolist() == [k % 4 for k in range(1, 30)]
    assert "S-Fifteen a1X, a count is 3.90625 ps; 29 tags" in str(report)
    with pytest.raises(ValueError, match=r"channels of .* must be named"):
        load_party(put(writers.ptu(writers.GENERIC_T2, [(5, 1, 0)])))


def test_channels_in_words():
    assert parse_channels("1, 2,x,-4", "c") == (1, 2, None, -4)
    with pytest.raises(ValueError, match=r"`c` must be numbers of channels .*, but is `1,,2`"):
        parse_channels("1,,2", "c")


@pytest.mark.parametrize("size", [1, 7, 40, 1000])
def test_foreign_bytes_are_refused_in_every_layout(put, size):
    noise = np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes()
    for start in (b"", b"PQTTTR\0\0", b"HydraHarp\0", b"PicoHarp 300\0", b"PK\x03\x04", b"PAR1"):
        with pytest.raises(ValueError, match="must") as refusal:
            tags_of(
                put(start + b"\0" + noise, "tags.npz" if start == b"PK\x03\x04" else "tags.parquet")
            )
        assert "\n" not in str(refusal.value)
