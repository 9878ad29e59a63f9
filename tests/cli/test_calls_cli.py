"""`e91 call`: WAV files and packets through UDP, with keys of files and of key servers."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import pytest

from e91.cli.calls.live_keys import EnteredCallKeys
from e91.encryption.key_sources import EnteredKeys, key_file_source
from e91.encryption.rtp import framed, rtp_packet
from e91.encryption.sound import read_wav, write_wav
from e91.keys.files import save_new
from e91.keys.store import KeyStore
from e91.keys.usage import UsageLedger
from e91.model.errors import KeyUnavailable
from e91.model.messages import Party
from e91.model.records import SecretKey
from e91.model.trust import SecurityModel
from tests.call_ends import noise
from tests.gstreamer_peer import free_port, send_all, wait_for_port

KEY_ID = "0f0e0d0c-0b0a-4908-8706-050403020100"


@pytest.fixture
def keys(tmp_path):
    """Return a function that makes both ends' files of a key of some bytes; `alice`, `bob`."""

    def make(size=100_000):
        bits = np.unpackbits(np.frombuffer(np.random.default_rng(3).bytes(size), np.uint8))
        key = SecretKey(bits, KEY_ID, SecurityModel.TRUSTED_ANALYSERS, 1e-10, False)
        files = {}
        for party in Party:
            files[party.value] = tmp_path / f"{party.value}.key"
            save_new(KeyStore(key, party), files[party.value])
        return files

    return make


@contextmanager
def running(*arguments, ledger):
    """Run the command line in a process of its own; give it, and end it."""
    environment = {**os.environ, "E91_KEY_LEDGER": str(ledger)}
    command = [sys.executable, "-m", "e91", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def listening(tmp_path, *arguments):
    """Run ``e91 call receive``; give its port and a function that returns outputs and status."""
    port = free_port()
    command = ("call", "receive", *arguments, "--listen", port, "--patience", "20")
    with running(*command, ledger=tmp_path / "peer.sqlite") as process:
        wait_for_port(port, process, seconds=60)
        yield port, lambda: (*process.communicate(timeout=60), process.returncode)


@pytest.mark.slow
@pytest.mark.parametrize("cipher", ["aes-256-gcm", "one-time-pad"])
def test_a_wav_file_goes_to_the_other_end(tmp_path, keys, status, cipher):
    files, sound = keys(), noise(1.0, rate=11_025, channels=2, bits=16)
    write_wav(tmp_path / "in.wav", sound)
    out, how = tmp_path / "out.wav", ("--cipher", cipher, "--pad-bytes", 16_384)
    with listening(tmp_path, out, "--key", files["bob"], *how, "--json") as (port, ended):
        code, printed, _ = status(
            "call", "send", tmp_path / "in.wav", "--to", f"127.0.0.1:{port}", "--key",
            files["alice"], *how, "--every", "0.3", "--ahead", "0.2", "--speed", "2", "--json",
        )  # fmt: skip
        heard, _, heard_code = ended()
    assert (code, heard_code) == (0, 0)
    assert read_wav(out).sound.pcm == sound.pcm
    sent, came = json.loads(printed), json.loads(heard)
    assert came["missing_frames"] == 0
    assert came["ended_by_the_sender"]
    assert came["key_ids"] == [key["key_id"] for key in sent["keys"]]
    assert len(sent["keys"]) == (4 if cipher == "aes-256-gcm" else 3)
    for ledger, role in ((None, "sent"), (tmp_path / "peer.sqlite", "received")):
        with UsageLedger(ledger) as opened:
            entries = list(opened.usages())
        assert {(entry.role, entry.cipher) for entry in entries} == {(role, cipher)}
        assert {entry.key_id for entry in entries} == {KEY_ID}
        spans = sorted((entry.start, entry.stop) for entry in entries)
        assert all(stop <= start for (_, stop), (start, _) in pairwise(spans))


@pytest.mark.slow
def test_a_call_under_keys_of_two_key_servers(tmp_path, status):
    from tests.key_servers import new_site, served

    sound, out = noise(1.0), tmp_path / "out.wav"
    write_wav(tmp_path / "in.wav", sound)
    site = new_site(tmp_path / "site")
    with served(site) as server:
        server.deposit()

        def who(sae, kme, peer):
            certificate = ("--certificate", site / f"sae-{sae}.crt")
            private = ("--private-key", site / f"sae-{sae}.key")
            url = ("--kme", f"https://127.0.0.1:{server.port(kme)}", "--ca", site / "ca.crt")
            return (*url, *certificate, *private, "--peer", peer)

        bob = who("bob-app", "bob", "alice-app")
        with listening(tmp_path, out, *bob, "--json") as (port, ended):
            code, _, said = status(
                "call", "send", tmp_path / "in.wav", "--to", f"127.0.0.1:{port}",
                *who("alice-app", "alice", "bob-app"), "--every", "0.3", "--ahead", "0.2", "--json",
            )  # fmt: skip
            heard, _, heard_code = ended()
    assert (code, heard_code, said) == (0, 0, "")
    assert read_wav(out).sound.pcm == sound.pcm
    assert len(json.loads(heard)["key_ids"]) == 4


@pytest.mark.slow
def test_packets_of_any_program_are_relayed_kept_and_forwarded(tmp_path, keys, status):
    files, opened = keys(), tmp_path / "opened.rtp"
    packets = [
        rtp_packet(bytes([n]) * 100, sequence=n, timestamp=3000 * n, ssrc=7) for n in range(50)
    ]
    (tmp_path / "in.rtp").write_bytes(b"".join(map(framed, packets)))
    with listening(tmp_path, opened, "--key", files["bob"]) as (port, ended):
        source = free_port()
        relay = (
            "call", "relay", "--from", source, "--to", f"127.0.0.1:{port}", "--key", files["alice"],
            "--media", "VP8/90000", "--every", "0.1", "--ahead", "0.05", "--patience", "2",
            "--json",
        )  # fmt: skip
        with running(*relay, ledger=tmp_path / "own.sqlite") as process:
            wait_for_port(source, process, seconds=60)
            send_all([*packets, b"no RTP"], source, pause_s=0.01)
            printed, said = process.communicate(timeout=60)
        heard, _, code = ended()
    assert (process.returncode, said, code) == (0, "", 0)
    sent = json.loads(printed)
    assert (sent["packets"], sent["ignored"]) == (50, 1)
    assert len(sent["keys"]) > 2
    assert opened.read_bytes() == (tmp_path / "in.rtp").read_bytes()
    assert "50 packets of VP8/90000" in heard


@pytest.mark.slow
def test_a_file_of_packets_is_sent_by_its_own_time(tmp_path, keys, status):
    files, opened = keys(), tmp_path / "opened.rtp"
    packets = [
        rtp_packet(bytes(100), sequence=n, timestamp=2**32 - 90_000 + 3000 * n, ssrc=7)
        for n in range(60)
    ]
    (tmp_path / "in.rtp").write_bytes(b"".join(map(framed, packets)))
    with listening(tmp_path, opened, "--key", files["bob"]) as (port, ended):
        code, printed, _ = status(
            "call", "send", tmp_path / "in.rtp", "--media", "H264/90000", "--to",
            f"127.0.0.1:{port}", "--key", files["alice"], "--every", "0.5", "--speed", "10",
            "--json",
        )  # fmt: skip
        ended()
    assert code == 0
    assert [key["packets"] for key in json.loads(printed)["keys"]] == [15, 15, 15, 15]
    assert opened.read_bytes() == (tmp_path / "in.rtp").read_bytes()


@pytest.mark.slow
def test_a_call_that_runs_out_of_key_says_how_far_it_came(tmp_path, keys, status):
    files, out = keys(8_000), tmp_path / "out.wav"
    write_wav(tmp_path / "in.wav", noise(2.0))
    how = ("--cipher", "one-time-pad", "--pad-bytes", 3_000)
    with listening(tmp_path, out, "--key", files["bob"], *how, "--json") as (port, ended):
        code, _, said = status(
            "call", "send", tmp_path / "in.wav", "--to", f"127.0.0.1:{port}", "--key",
            files["alice"], *how, "--speed", "4",
        )  # fmt: skip
        heard, _, heard_code = ended()
    assert (code, heard_code) == (2, 0)
    assert "3,000 key bytes must be left to alice" in said
    assert "What was sent is whole: 7 packets under 1 key; no key was used for longer." in said
    assert json.loads(heard)["packets"] == 7
    assert len(read_wav(out).sound) == 7 * 160


@pytest.mark.parametrize("cipher", ["aes-256-gcm", "one-time-pad"])
def test_a_simulated_call_is_silent_where_packets_were_lost(tmp_path, status, cipher):
    sound, out = noise(4.0, channels=2), tmp_path / "out.wav"
    write_wav(tmp_path / "in.wav", sound)
    code, printed, _ = status(
        "call", "simulate", tmp_path / "in.wav", out, "--cipher", cipher, "--loss", "0.2",
        "--reorder", "20", "--doubled", "0.1", "--first-sequence", "65500", "--every", "0.3",
        "--seed", "1", "--json",
    )  # fmt: skip
    found = json.loads(printed)
    assert code == 0
    expected = sound.samples()
    for begin, end in found["gaps"]:
        expected[begin:end] = 0
    assert np.array_equal(read_wav(out).sound.samples(), expected)
    assert 0.05 < found["missing_frames"] / found["frames"] < 0.4
    assert len(found["key_ids"]) > 3


def test_a_simulated_call_is_reported_in_words(tmp_path, status):
    write_wav(tmp_path / "in.wav", noise(1.0))
    code, printed, _ = status("call", "simulate", tmp_path / "in.wav", tmp_path / "out.wav")
    assert code == 0
    assert "out.wav: 50 packets of L16/8000/1 under 1 key." in printed
    assert "1.000 s of sound; 0 of 8,000 frames did not come" in printed


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("send in.txt --to 1:5004 --key alice.key", "`in.txt` must be a WAV file"),
        ("send in.wav --to 5004x --key alice.key", "`--to` must be HOST:PORT"),
        ("send in.wav --to 127.0.0.1:70000 --key alice.key", "`--to` must be HOST:PORT"),
        ("send in.wav --to 127.0.0.1:9", "must be given `--key` or `--kme`"),
        ("send in.wav --to 127.0.0.1:9 --key alice.key --speed 0", "`--speed` must be positive"),
        ("send in.wav --to 127.0.0.1:9 --key alice.key --every 0", "`--every` must be positive"),
        ("send in.rtp --to 127.0.0.1:9 --key alice.key", "`--media` must say what"),
        ("send in.rtp --to 127.0.0.1:9 --key alice.key --media VP8", "as VP8/90000, but is 'VP8'"),
        ("receive --listen 0 --key bob.key", "`FILE` or `--forward` must be given"),
        ("receive in.wav --listen 0 --key bob.key", "`in.wav` must not exist yet"),
        ("receive o.wav --listen 0 --key bob.key --patience 0.01", "no datagram came"),
        ("receive o.wav --listen 0 --key bob.key --patience 0", "`--patience` must be positive"),
        ("receive o.wav --listen 192.0.2.1:5 --key bob.key", "must be free on this computer"),
        ("simulate in.wav o.wav --loss 2", "`--loss` must lie in [0, 1]"),
        ("simulate in.wav in.wav", "`in.wav` must not exist yet"),
        ("simulate in.wav o.wav --loss 1", "but brought none: no datagram came"),
        ("simulate in.wav o.wav --cipher one-time-pad --pad-bytes 100", "`pad` must have 193"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path, keys, status, monkeypatch, line, sentence):
    monkeypatch.chdir(tmp_path)
    keys()
    write_wav(tmp_path / "in.wav", noise(0.1))
    (tmp_path / "in.txt").write_text("no sound at all, but long enough for a header " * 3)
    (tmp_path / "in.rtp").write_bytes(b"")
    code, printed, said = status("call", *line.split())
    assert code == 2, said
    assert sentence in said
    assert said.count("\n") == 1
    assert printed == ""
    assert not (tmp_path / "o.wav").exists()


def test_a_pad_of_a_key_file_has_its_mask_where_nobody_can_name_it(keys, tmp_path):
    """The 32 bytes that the file masks come last, where a pad's own mask is."""
    files = keys()
    with key_file_source([files["alice"]]) as source, UsageLedger(tmp_path / "l") as ledger:
        own = EnteredCallKeys(EnteredKeys(source, ledger, cipher="one-time-pad", name="call"))
        key = own.fresh(1000)
        content = np.random.default_rng(3).bytes(100_000)
        mask = content[50_000 - 32 : 50_000]
        assert key.content[:-32] == content[32:1000]
        assert key.content[-32:] == bytes(a ^ b for a, b in zip(content, mask, strict=False))
        own.claim(key.key_id, "call")
        with pytest.raises(KeyUnavailable, match="must be fresh and used once"):
            own.claim(key.key_id, "call")
        with pytest.raises(KeyUnavailable, match="must be fresh and used once"):
            own.claim("another", "call")
        for name in ("another", f"{KEY_ID}:x", f"{KEY_ID}:"):
            with pytest.raises(KeyUnavailable, match="named by UUID and offset"):
                own.named(name, 32)


def test_a_claimed_key_is_on_the_disk_before_it_leaves(keys, tmp_path):
    files = keys()
    with key_file_source([files["alice"]]) as source, UsageLedger(tmp_path / "l") as ledger:
        EnteredCallKeys(EnteredKeys(source, ledger, cipher="aes-256-gcm", name="call")).fresh(32)
        assert [(use.start, use.stop) for use in ledger.usages()] == [(0, 32)]
        assert b'"spent": [\n  [\n   0,\n   32\n  ]\n ]' in files["alice"].read_bytes()


def test_file_that_ends_inside_a_packet_uses_no_key(keys, status, tmp_path):
    file, key_file = tmp_path / "in.rtp", keys()["alice"]
    packet = framed(rtp_packet(bytes(100), sequence=1, timestamp=1, ssrc=7))
    file.write_bytes(packet + packet[:-1])
    before = key_file.read_bytes()
    code, _, said = status("call", "send", file, "--media", "VP8/90000", "--to", "127.0.0.1:9",
                           "--key", key_file)  # fmt: skip
    assert (code, said) == (
        2,
        f"e91: `{file}` must hold whole packets, but ends inside packet 2.\n",
    )
    assert key_file.read_bytes() == before
