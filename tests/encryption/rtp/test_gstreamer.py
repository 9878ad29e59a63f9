"""Outside programs open what is sent here: GStreamer's srtpdec, sample by sample, frame by frame.

GStreamer is on libsrtp; the code that it meets here is not.
"""

import secrets
import shutil
import subprocess

import pytest

from e91.encryption.rtp import SRTP, PacketOrder, framed, master_of, pad_tier, read_framed
from e91.encryption.rtp.media_clocks import MediaClock
from e91.encryption.rtp.rtp_packets import is_control, sequence_of
from e91.encryption.sound import StreamNumbers, media_of, read_wav
from tests.call_ends import BEGIN, ROUGH, call, ends, every, noise, some_keys
from tests.gstreamer_peer import (
    NEEDS_FFMPEG,
    NEEDS_GSTREAMER,
    caps,
    frames_of,
    free_port,
    receiving,
    run,
    send_all,
    wait_for_port,
)

pytestmark = [pytest.mark.slow, NEEDS_GSTREAMER]


def described(media, count, **more):
    """Return the caps of a stream under the first keys of a call."""
    keys = some_keys(count)
    return caps(media, [key.key_id for key in keys], masters=map(master_of, keys), **more)


def packets_of(datagrams):
    """Return datagrams without the announcements."""
    return [each for each in datagrams if not is_control(each)]


@pytest.mark.parametrize(
    ("rate", "channels", "bits"), [(48_000, 1, 16), (11_025, 7, 16), (11_025, 7, 24)]
)
def test_sound_is_recovered_sample_by_sample_over_key_changes(tmp_path, rate, channels, bits):
    sound, out = noise(2.0, rate=rate, channels=channels, bits=bits), tmp_path / "out.wav"
    done = call(sound, changes=every(0.5))
    datagrams, keys = packets_of(done.sent), len(done.sender.used)
    assert keys == 4
    pipeline = [
        "!", f"rtpL{bits}depay", "!", "audioconvert", "!", f"audio/x-raw,format=S{bits}LE", "!",
        "wavenc", "!", "filesink", f"location={out}",
    ]  # fmt: skip
    with receiving(pipeline, described(media_of(sound), keys), packets=len(datagrams)) as port:
        send_all(datagrams, port)
    assert read_wav(out).sound.pcm == sound.pcm


@pytest.mark.parametrize("keys", [1, 3, 16])
@pytest.mark.parametrize("wraps", [False, True], ids=["no wrap", "wrap"])
def test_what_arrives_is_recovered_over_loss_reordering_and_a_wrap(tmp_path, keys, wraps):
    """All that arrives comes out as it was, once."""
    sound, out = noise(4.0), tmp_path / "out.rtp"
    begin = StreamNumbers(81, 65_536 - 90, 1000) if wraps else BEGIN
    done = call(sound, path=ROUGH, begin=begin, changes=every(4.0 / keys, lead_s=0.1))
    assert len(done.sender.used) == keys
    # The first packet opens the stream at srtpdec: it must be an early one.
    arrived = packets_of(done.arrived)
    arrived = sorted(arrived[:5], key=lambda each: each[2:4]) + arrived[5:]
    pipeline = ["!", "rtpstreampay", "!", "filesink", f"location={out}"]
    with receiving(pipeline, described("L16/8000/1", keys), packets=len(arrived)) as port:
        send_all(arrived, port)
    with out.open("rb") as file:
        found = {sequence_of(packet): packet for packet in read_framed(file, name="out")}
    sent = {sequence_of(each): each for each in packets_of(done.arrived)}
    order = PacketOrder()
    again = ends(media="L16/8000/1", changes=every(4.0 / keys, lead_s=0.1))
    for datagram in done.arrived:
        for opened in again.receiver.receive(datagram):
            list(order.add(opened))
    expected = {sequence_of(packet): packet for packet in order.rest()}
    assert found == expected
    assert set(found) == set(sent)


def test_a_receiver_that_joins_after_a_wrap_must_be_given_its_count(tmp_path):
    sound = noise(2.0)
    done = call(sound, begin=StreamNumbers(81, 65_536 - 20, 0))
    after = packets_of(done.sent)[20:]
    recovered = {}
    for roc in (0, 1):
        out = tmp_path / f"{roc}.rtp"
        pipeline = ["!", "rtpstreampay", "!", "filesink", f"location={out}"]
        with receiving(pipeline, described("L16/8000/1", 1, roc=roc), packets=len(after)) as port:
            send_all(after, port)
        with out.open("rb") as file:
            recovered[roc] = len(list(read_framed(file, name="out")))
    assert recovered == {0: 0, 1: len(after)}


def test_a_wrong_key_gives_no_sound(tmp_path):
    done, out = call(noise(0.5)), tmp_path / "out.rtp"
    datagrams = packets_of(done.sent)
    wrong = caps("L16/8000/1", ["key-0"], masters=[secrets.token_bytes(44)])
    pipeline = ["!", "rtpstreampay", "!", "filesink", f"location={out}"]
    with receiving(pipeline, wrong, packets=len(datagrams)) as port:
        send_all(datagrams, port)
    assert out.read_bytes() == b""


# Video.

VIDEO = {
    "VP8": (
        ["-c:v", "libvpx", "-b:v", "300k", "-g", "25", "-cpu-used", "8"],
        ["rtpvp8pay"],
        ["rtpvp8depay"],
    ),
    "H264": (
        ["-c:v", "libx264", "-profile:v", "baseline", "-preset", "ultrafast", "-b:v", "300k"],
        ["h264parse", "!", "rtph264pay", "config-interval=-1"],
        ["rtph264depay", "!", "h264parse"],
    ),
}


@pytest.fixture(scope="module", params=list(VIDEO))
def video(request, tmp_path_factory):
    """A video, its file and its packets as GStreamer's payloader makes them."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    encoder, payloader, depayloader = VIDEO[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    file, packets = folder / "in.mkv", folder / "in.rtp"
    run("ffmpeg", "-y", "-loglevel", "error", "-f", "lavfi", "-i",
        "testsrc=size=320x240:rate=25:duration=4", "-pix_fmt", "yuv420p", *encoder,
        str(file))  # fmt: skip
    run("gst-launch-1.0", "-q", "filesrc", f"location={file}", "!", "matroskademux", "!",
        *payloader, "ssrc=81", "pt=96", "seqnum-offset=1", "timestamp-offset=0", "mtu=1200", "!",
        "rtpstreampay", "!", "filesink", f"location={packets}")  # fmt: skip
    return request.param, file, packets, depayloader


def protected(packets, media, **options):
    """Return what is sent for a file of packets, and the two ends."""
    both, clock, sent = ends(media=media, **options), MediaClock(90_000), []
    with packets.open("rb") as file:
        for packet in read_framed(file, name=str(packets)):
            sent += both.sender.datagrams(packet, time_s=clock.seconds(packet))
    return both, [*sent, *both.sender.closing()]


@NEEDS_FFMPEG
def test_video_is_recovered_frame_by_frame_over_key_changes(video, tmp_path):
    name, file, packets, depayloader = video
    both, sent = protected(packets, f"{name}/90000", changes=every(1.0))
    datagrams, keys, out = packets_of(sent), len(both.sender.used), tmp_path / "out.mkv"
    assert keys == 4
    pipeline = ["!", *depayloader, "!", "matroskamux", "!", "filesink", f"location={out}"]
    with receiving(pipeline, described(f"{name}/90000", keys), packets=len(datagrams)) as port:
        send_all(datagrams, port, pause_s=0.002)
    assert frames_of(out) == frames_of(file)
    assert len(frames_of(out)) == 100


def opened_in_order(packets, media, tier):
    """Return the packets of a file after they were protected and opened here."""
    changes = every(1.0) if tier is SRTP else None
    both, sent = protected(packets, media, tier=tier, changes=changes)
    order, came = PacketOrder(), []
    for datagram in sent:
        for opened in both.receiver.receive(datagram):
            came += order.add(opened)
    assert len(both.sender.used) > 1
    return [*came, *order.rest()]


@NEEDS_FFMPEG
@pytest.mark.parametrize("tier", [SRTP, pad_tier(65_536)], ids=lambda tier: tier.name)
def test_what_was_opened_here_is_played_by_gstreamer(video, tmp_path, tier):
    name, file, packets, depayloader = video
    came, out = opened_in_order(packets, f"{name}/90000", tier), tmp_path / "out.mkv"
    assert b"".join(map(framed, came)) == packets.read_bytes()
    plain = (
        f"application/x-rtp,media=(string)video,clock-rate=(int)90000,"
        f"encoding-name=(string){name},payload=(int)96"
    )
    pipeline = ["!", *depayloader, "!", "matroskamux", "!", "filesink", f"location={out}"]
    with receiving(pipeline, plain, packets=len(came), decrypt=False) as port:
        send_all(came, port, pause_s=0.002)
    assert frames_of(out) == frames_of(file)


@NEEDS_FFMPEG
def test_what_was_opened_here_is_played_by_ffmpeg(video, tmp_path):
    """Another depayloader; its last frame stays inside, as no packet says that it is whole."""
    name, file, packets, _ = video
    came, port, played = opened_in_order(packets, f"{name}/90000", SRTP), free_port(), 90
    described = tmp_path / "video.sdp"
    described.write_text(
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\n"
        f"m=video {port} RTP/AVP 96\na=rtpmap:96 {name}/90000\n"
    )
    command = [
        "ffmpeg", "-loglevel", "error", "-protocol_whitelist", "file,udp,rtp",
        "-analyzeduration", "1000000", "-i", str(described), "-an", "-vsync", "passthrough",
        "-frames:v", str(played), "-f", "framemd5", "-",
    ]  # fmt: skip
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as player:
        try:
            wait_for_port(port, player)
            send_all(came, port, pause_s=0.005)
            printed, said = player.communicate(timeout=30)
        finally:
            player.kill()
    assert player.returncode == 0, said
    found = [line.split()[-1] for line in printed.splitlines() if not line.startswith("#")]
    assert found == frames_of(file)[:played]
