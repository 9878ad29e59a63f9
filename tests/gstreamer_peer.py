"""GStreamer and ffmpeg as the other end of a call: their pipelines, ports and frames."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from e91.encryption.rtp import mki_of

NEEDS_GSTREAMER = pytest.mark.skipif(
    shutil.which("gst-launch-1.0") is None or shutil.which("gst-inspect-1.0") is None,
    reason="GStreamer (gst-launch-1.0) is not installed",
)
NEEDS_FFMPEG = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
_CIPHERS = (
    "srtp-cipher=(string)aes-256-gcm,srtp-auth=(string)null,"
    "srtcp-cipher=(string)aes-256-gcm,srtcp-auth=(string)null"
)


def free_port():
    """Return a UDP port that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def wait_for_port(port, process=None, *, seconds=20):
    """Return when some process listens at a UDP port."""
    end = time.monotonic() + seconds
    while f":{port:04X} " not in Path("/proc/net/udp").read_text(encoding="ascii"):
        assert process is None or process.poll() is None, process.stderr.read()
        assert time.monotonic() < end, f"nobody listens at {port}"
        time.sleep(0.02)


def caps(media, keys, *, masters, ssrc=81, roc=0):
    """Return what srtpdec must know of a stream: its medium and its keys, by their identifiers."""
    name, rate, *channels = media.split("/")
    kind = "audio" if name.startswith("L") else "video"
    fields = [
        "application/x-srtp",
        f"media=(string){kind}",
        f"clock-rate=(int){rate}",
        f"encoding-name=(string){name}",
        "payload=(int)96",
        f"ssrc=(uint){ssrc}",
        _CIPHERS,
        f"roc=(uint){roc}",
    ]
    if channels:
        fields += [f"channels=(int){channels[0]}", f"encoding-params=(string){channels[0]}"]
    for number, (key_id, master) in enumerate(zip(keys, masters, strict=True), start=1):
        n = "" if number == 1 else number
        fields += [f"srtp-key{n}=(buffer){master.hex()}", f"mki{n}=(buffer){mki_of(key_id).hex()}"]
    return ",".join(fields)


@contextmanager
def receiving(pipeline, described, *, packets, decrypt=True, seconds=30):
    """Give a port at which GStreamer takes so many packets; it is done when the block ends."""
    port = free_port()
    source = [
        "udpsrc", "address=127.0.0.1", f"port={port}", "buffer-size=8000000",
        f"num-buffers={packets}", f"caps={described}",
        *(["!", "srtpdec"] if decrypt else []),
    ]  # fmt: skip
    command = ["gst-launch-1.0", "-q", *source, *pipeline]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_for_port(port, process)
            yield port
            _, said = process.communicate(timeout=seconds)
            assert process.returncode == 0, said
        finally:
            process.kill()


def send_all(datagrams, port, *, pause_s=0.0005):
    """Send datagrams to a port, not faster than a reader takes them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
        for datagram in datagrams:
            sending.sendto(datagram, ("127.0.0.1", port))
            time.sleep(pause_s)


def run(*command):
    """Run a program that must succeed; return what it prints."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def frames_of(file, *, most=None):
    """Return a digest of every decoded frame of a video, by ffmpeg."""
    limit = [] if most is None else ["-frames:v", str(most)]
    printed = run(
        "ffmpeg", "-loglevel", "error", "-i", str(file), "-an", "-vsync", "passthrough", *limit,
        "-f", "framemd5", "-",
    )  # fmt: skip
    return [line.split()[-1] for line in printed.splitlines() if not line.startswith("#")]
