"""Files in the layouts of time taggers, byte by byte from the makers' descriptions.

A second implementation, for tests: a loop over events that packs one after the other.
"""

import struct

PICOHARP_T2, PICOHARP_T3 = 0x00010203, 0x00010303
FIRST_HYDRAHARP_T2, FIRST_HYDRAHARP_T3 = 0x00010204, 0x00010304
HYDRAHARP_T2, HYDRAHARP_T3 = 0x01010204, 0x01010304
TIMEHARP_T2, TIMEHARP_T3 = 0x00010206, 0x00010306
GENERIC_T2, GENERIC_T3 = 0x00010207, 0x00010307

ALL_T2 = (PICOHARP_T2, FIRST_HYDRAHARP_T2, HYDRAHARP_T2, TIMEHARP_T2, GENERIC_T2)
ALL_T3 = (PICOHARP_T3, FIRST_HYDRAHARP_T3, HYDRAHARP_T3, TIMEHARP_T3, GENERIC_T3)


def picoquant_records(kind, events):
    """Pack events (time or pulse, channel, bins); channels: 0 sync, 1, ... inputs, -n markers."""
    is_picoharp, is_t3 = kind in (PICOHARP_T2, PICOHARP_T3), kind in ALL_T3
    is_counted = kind not in (PICOHARP_T2, PICOHARP_T3, FIRST_HYDRAHARP_T2, FIRST_HYDRAHARP_T3)
    wrap = {
        PICOHARP_T2: 210_698_240, PICOHARP_T3: 2**16, FIRST_HYDRAHARP_T2: 33_552_000,
    }.get(kind, 1024 if is_t3 else 2**25)  # fmt: skip
    words, turns = [], 0
    for count, channel, bins in events:
        while turns < count // wrap:
            step = 1
            if is_counted:
                step = min(count // wrap - turns, wrap - 1)
            words.append(0xF << 28 if is_picoharp else 0x7F << 25 | (step if is_counted else 0))
            turns += step
        low = count % wrap
        if is_picoharp and is_t3:
            head, middle = (channel, bins) if channel > 0 else (15, -channel)
            words.append(head << 28 | middle << 16 | low)
        elif is_picoharp:
            # A marker's pattern stands in the lowest four bits of its time.
            words.append(channel << 28 | low if channel >= 0 else 15 << 28 | low & ~15 | -channel)
        else:
            special, field = (0, channel - 1) if channel > 0 else (1, -channel)
            middle = bins << 10 if is_t3 else 0
            words.append(special << 31 | field << 25 | middle | low)
    return struct.pack(f"<{len(words)}I", *words)


def ptu(kind, events, *, resolution_s=4e-12, bin_s=1.6e-11, records=None):
    """Return a `.ptu` file."""
    body = picoquant_records(kind, events)

    def tag(name, code, value):
        return name.encode().ljust(32, b"\0") + struct.pack("<iI", -1, code) + value

    return b"".join(
        [
            b"PQTTTR\0\0", b"1.0.00\0\0",
            tag("File_Comment", 0x4001FFFF, struct.pack("<q", 8) + b"a night\0"),
            tag("TTResultFormat_TTTRRecType", 0x10000008, struct.pack("<q", kind)),
            tag("MeasDesc_GlobalResolution", 0x20000008, struct.pack("<d", resolution_s)),
            tag("MeasDesc_Resolution", 0x20000008, struct.pack("<d", bin_s)),
            tag("TTResult_NumberOfRecords", 0x10000008,
                struct.pack("<q", len(body) // 4 if records is None else records)),
            tag("Header_End", 0xFFFF0008, bytes(8)),
            body,
        ]
    )  # fmt: skip


def old_picoharp(events, *, mode, resolution_ns=0.016, rate=80_000_000):
    """Return a `.pt2` or `.pt3` file, with three words of an image's header."""
    body = picoquant_records(PICOHARP_T3 if mode == 3 else PICOHARP_T2, events)
    head = bytearray(728)
    head[:22] = b"PicoHarp 300".ljust(16, b"\0") + b"2.0\0\0\0"
    struct.pack_into("<i", head, 348, mode)
    struct.pack_into("<f", head, 584, resolution_ns)
    struct.pack_into("<i", head, 704, rate)
    struct.pack_into("<2i", head, 720, len(body) // 4, 3)
    return bytes(head) + bytes(12) + body


def old_hydraharp(events, *, mode, version=b"1.0", resolution_ps=16.0, rate=80_000_000, inputs=4):
    """Return a `.ht2` or `.ht3` file."""
    kinds = {
        (2, b"1.0"): FIRST_HYDRAHARP_T2, (2, b"2.0"): HYDRAHARP_T2,
        (3, b"1.0"): FIRST_HYDRAHARP_T3, (3, b"2.0"): HYDRAHARP_T3,
    }  # fmt: skip
    body = picoquant_records(kinds[mode, version], events)
    head = bytearray(720 + 20 * inputs)
    head[:19] = b"HydraHarp".ljust(16, b"\0") + version
    struct.pack_into("<i", head, 340, mode)
    struct.pack_into("<d", head, 352, resolution_ps)
    struct.pack_into("<i", head, 664, inputs)
    struct.pack_into("<4iQ", head, 696 + 20 * inputs, rate, 0, 0, 0, len(body) // 4)
    return bytes(head) + body


def s_fifteen_word(count, detectors, *, is_dummy=False):
    """Return a word: 54 bits of time, the filler 1100, a mark, four bits of detectors."""
    pattern = sum(1 << detector for detector in detectors)
    return (count % 2**54) << 10 | 0b1100 << 6 | is_dummy << 4 | pattern


def s_fifteen(words, *, layout="a1"):
    """Return a file of words."""
    if layout == "a2":
        return "".join(f"{word:016x}\n" for word in words).encode()
    if layout == "a1X":
        return b"".join(struct.pack("<2I", word >> 32, word & 0xFFFFFFFF) for word in words)
    return b"".join(struct.pack("<Q", word) for word in words)


def qutools(tags, *, header=True):
    """Return a binary file of qutools: a header of 40 bytes, then 10 bytes a tag."""
    return bytes(40 * header) + b"".join(struct.pack("<qh", *tag) for tag in tags)


def qutools_compressed(tags):
    """Return a compressed file of qutools: 37 bits of time, 3 of channel."""
    words = [(count % 2**37) | channel << 37 for count, channel in tags]
    return bytes(40) + b"".join(word.to_bytes(5, "little") for word in words)


def swabian_dump(tags, *, lost_at=()):
    """Return a dump: kind, missed, channel, picoseconds; kind 4 says that tags were missed."""
    records = []
    for place, (time, channel) in enumerate(tags):
        if place in lost_at:
            records.append(struct.pack("<BBHiq", 4, 0, 7, channel, time))
        records.append(struct.pack("<BBHiq", 0, 0, 0, channel, time))
    return b"".join(records)
