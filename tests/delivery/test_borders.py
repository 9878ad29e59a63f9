"""Two servers with a border between them, over TLS 1.3 with certificates on both sides."""

import asyncio
import shutil
import ssl
from contextlib import ExitStack

import pytest
from border_sites import NETWORKS, Site, certified, new_borders
from key_servers import SaeClient, client_context, key_ids_of

from e91.delivery.between_networks.peer_calls import HttpsPeer
from e91.delivery.tls.contexts import TlsFiles


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    folder = new_borders(tmp_path_factory.mktemp("borders"))
    with ExitStack() as stack:
        yield {name: stack.enter_context(Site(folder, name)) for name in NETWORKS}


def test_applications_of_two_networks_share_keys_by_the_standard_interface(sites):
    with sites["one"].application() as alice, sites["two"].application() as bob:
        status, given = alice.enc_keys("b", number=5, size=512)
        assert status == 200
        status, fetched = bob.dec_keys(key_ids_of(given), master="a")
        assert status == 200
        assert [key["key"] for key in fetched["keys"]] == [key["key"] for key in given["keys"]]
        for key in given["keys"] + fetched["keys"]:
            story = key["key_extension"]["e91_provenance"]
            assert story["route"] == ["alice", "border-1", "border-2", "bob"]
            assert story["relays"] == ["border-1", "border-2"]
        assert bob.dec_keys(key_ids_of(given), master="a")[0] == 400
        status, given = bob.enc_keys("a")  # and the other way round
        assert status == 200
        assert alice.dec_keys(key_ids_of(given), master="b")[0] == 200
        status, said = alice.status("b")
        assert (status, said["source_KME_ID"], said["target_KME_ID"]) == (200, "alice", "border-2")
        assert said["stored_key_count"] > 0


def test_conditions_of_the_standard_interface_hold_over_the_border(sites):
    with sites["one"].application() as alice:
        wanted = [{"e91_route_type": "link"}], [{"e91_max_epsilon": 1e-11}]
        for mandatory in wanted:
            status, answer = alice.enc_keys("b", extension_mandatory=mandatory)
            assert status == 400
            assert "could be met" in answer["message"]
        status, _ = alice.enc_keys("b", extension_mandatory=[{"e91_max_epsilon": 3e-10}])
        assert status == 200


def test_the_border_speaks_tls_1_3_only(sites):
    context = certified(sites["two"].root, "two", "one", "kme-border-1")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError), SaeClient(sites["two"].border_port, context) as peer:
        peer.ask("GET", "/kmapi/versions")


def test_each_door_hears_its_own_kind(sites):
    site = sites["two"]
    with site.peer("one", "kme-border-1") as peer:
        assert peer.ask("GET", "/kmapi/versions") == (200, {"versions": ["v1"]})
        assert peer.ask("POST", "/kmapi/v1/ext_keys", {})[0] == 400
        assert peer.ask("GET", "/api/v1/keys/b/status")[0] == 404
    for stem in ("sae-a", "kme-alice"):
        with site.peer("one", stem) as stranger:
            assert stranger.ask("GET", "/kmapi/versions")[0] == 401
    own = certified(site.root, "two", "two", "kme-border-2")
    with SaeClient(site.port("bob"), own) as kme:
        assert kme.ask("GET", "/api/v1/keys/a/status")[0] == 401
        assert kme.enc_keys("a")[0] == 401


@pytest.mark.parametrize("stem", ["sae-b", "kme-bob", "kme-border-2"])
def test_the_border_trusts_the_other_networks_authority_alone(sites, stem):
    with pytest.raises((ssl.SSLError, OSError)), sites["two"].peer("two", stem) as stranger:
        stranger.ask("GET", "/kmapi/versions")


def test_the_other_networks_authority_makes_no_application_of_this_one(sites):
    site = sites["two"]
    context = certified(site.root, "two", "one", "sae-a")
    with pytest.raises((ssl.SSLError, OSError)), SaeClient(site.port("bob"), context) as stranger:
        stranger.status("a")


def test_nobody_without_a_certificate_is_let_in(sites):
    context = client_context(sites["two"].root / "two")
    with (
        pytest.raises((ssl.SSLError, OSError)),
        SaeClient(sites["two"].border_port, context) as nobody,
    ):
        nobody.ask("GET", "/kmapi/versions")


def test_no_key_is_sent_to_a_server_that_is_another_kme(sites):
    """It has a certificate of the same authority for the same address, but not the peer's name."""
    stem, other = sites["one"].root / "one" / "kme-border-1", sites["one"].root / "two"
    files = stem.with_suffix(".crt"), stem.with_suffix(".key"), other / "ca.crt", other / "ca.crl"
    tls = TlsFiles(*files)
    url = f"https://127.0.0.1:{sites['two'].border_port}"
    for peer, status in (("border-2", 400), ("border-3", None), ("bob", None)):
        calls = HttpsPeer(url, peer=peer, tls=tls, timeout_s=5.0)
        assert asyncio.run(calls.post("/kmapi/v1/ext_keys", b"{}")) == status
    calls = HttpsPeer("https://127.0.0.1:1", peer="border-2", tls=tls, timeout_s=5.0)
    assert asyncio.run(calls.post("/kmapi/v1/ext_keys", b"{}")) is None


def test_a_caller_takes_new_certificates_and_outlives_bad_ones(sites, tmp_path):
    one, two = sites["one"].root / "one", sites["one"].root / "two"
    names = ("kme-border-1.crt", "kme-border-1.key")
    for name in names:
        shutil.copy(one / name, tmp_path)
    tls = TlsFiles(*(tmp_path / name for name in names), two / "ca.crt")
    url = f"https://127.0.0.1:{sites['two'].border_port}"
    calls = HttpsPeer(url, peer="border-2", tls=tls, timeout_s=5.0)
    (tmp_path / names[0]).write_text("no certificate")
    assert asyncio.run(calls.post("/kmapi/v1/ext_keys", b"{}")) is None
    shutil.copy(one / names[0], tmp_path)
    assert asyncio.run(calls.post("/kmapi/v1/ext_keys", b"{}")) == 400
    with pytest.raises(ValueError, match="must be PEM files that fit"):
        HttpsPeer(url, peer="border-2", tls=TlsFiles(two / "ca.crt", *tls.all[1:]), timeout_s=5.0)


def test_a_border_whose_task_fails_spends_no_more_keys(tmp_path, caplog, monkeypatch):
    with Site(new_borders(tmp_path), "one") as site:
        border = site.delivery.borders.borders[0]
        monkeypatch.setattr(border.handover, "_carry", lambda _: 1 / 0)
        border.handover._woken.set()
        with site.application() as alice:
            alice.enc_keys("b")
            status, _ = alice.enc_keys("b")
        assert (status, border.handover.is_reachable) == (503, False)
    assert "handing over has ended" in caplog.text
