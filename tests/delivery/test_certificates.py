"""Certificates by OpenSSL's own strict checks, and folders that are whole or as they were."""

import errno
import os
import ssl
import stat
import subprocess
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import which

import pytest
from cryptography import x509

from e91.delivery.certificates import add_members, new_authority, renew, revoke
from e91.delivery.configuration import read_configuration
from e91.delivery.https_client import ClientFiles, client_context
from e91.delivery.identities import CertifiedRole, identity, name_of, uri_of
from e91.delivery.members import AuthorityPlan, KmePlace, SaePlace
from e91.system import durable

PLAN = AuthorityPlan(
    (KmePlace("alice", "127.0.0.1", 8443), KmePlace("bob", "kme.example.org", 8443)),
    (SaePlace("alice-app", "alice"), SaePlace("SAE/ü 1", "bob")),
)
STEMS = ("kme-alice", "kme-bob", "sae-alice-app", "sae-SAE%2F%C3%BC%201")


@pytest.fixture
def folder(tmp_path):
    new_authority(tmp_path / "authority", PLAN)
    return tmp_path / "authority"


def verified(folder: Path, stem: str, *more: str) -> str:
    """What OpenSSL's strict check says of a certificate, with the revocation list."""
    if which("openssl") is None:
        pytest.skip("there is no openssl program")
    done = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-CAfile", "ca.crt", "-CRLfile", "ca.crl",
         "-crl_check", *more, f"{stem}.crt"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def certificate(folder: Path, stem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / f"{stem}.crt").read_bytes())


def uris(folder: Path, stem: str) -> list[str]:
    names = certificate(folder, stem).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    return names.value.get_values_for_type(x509.UniformResourceIdentifier)


@pytest.mark.parametrize("stem", STEMS)
def test_every_certificate_passes_openssls_strict_checks(folder, stem):
    assert verified(folder, stem) == f"{stem}.crt: OK\n"
    purpose = "sslclient" if stem.startswith("sae") else "sslserver"
    assert "OK" in verified(folder, stem, "-purpose", purpose)


def test_a_client_cannot_pose_as_a_server(folder):
    assert "unsuitable certificate purpose" in verified(
        folder, "sae-alice-app", "-purpose", "sslserver"
    )


def test_server_is_known_by_its_address_and_by_its_name(folder):
    assert "OK" in verified(folder, "kme-alice", "-verify_ip", "127.0.0.1")
    assert "OK" in verified(folder, "kme-alice", "-verify_hostname", "localhost")
    assert "OK" in verified(folder, "kme-bob", "-verify_hostname", "kme.example.org")
    assert "mismatch" in verified(folder, "kme-bob", "-verify_hostname", "localhost")


def test_a_certificate_names_exactly_one_identity(folder):
    assert identity(uris(folder, "sae-SAE%2F%C3%BC%201"), CertifiedRole.SAE) == "SAE/ü 1"
    assert identity(uris(folder, "kme-bob"), CertifiedRole.KME) == "bob"
    with pytest.raises(ValueError, match="exactly one SAE"):
        identity(uris(folder, "kme-bob"), CertifiedRole.SAE)


def test_private_keys_are_for_their_owner_only_and_fit(folder):
    for stem in ("ca", *STEMS):
        assert stat.S_IMODE((folder / f"{stem}.key").stat().st_mode) == 0o600
    for stem in STEMS:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(
            folder / f"{stem}.crt", folder / f"{stem}.key"
        )
    assert not list(folder.glob(".e91-*"))


def test_configuration_names_files_that_are_there(folder):
    found = tomllib.loads((folder / "kme.toml").read_text())
    assert [kme["listen"] for kme in found["kme"]] == ["127.0.0.1:8443", "kme.example.org:8443"]
    for kme in found["kme"]:
        for key in ("certificate", "private_key", "ca", "crl"):
            assert (folder / kme[key]).is_file()
        assert not (folder / kme["store"]).exists()
    assert [(sae["id"], sae["kme"]) for sae in found["sae"]] == [
        ("alice-app", "alice"), ("SAE/ü 1", "bob"),
    ]  # fmt: skip


def test_leaves_end_when_they_were_to_and_never_after_the_authority(tmp_path):
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    leaves = new_authority(tmp_path / "a", PLAN, moment=moment)
    assert {leaf.expires - moment for leaf in leaves} == {timedelta(days=7)}
    late = moment + timedelta(days=360)
    renewed = renew(tmp_path / "a", moment=late)
    assert {leaf.expires - moment for leaf in renewed} == {timedelta(days=365)}
    with pytest.raises(ValueError, match=r"must be valid, but has ended at 2027-01-01 00:00 UTC"):
        renew(tmp_path / "a", moment=moment + timedelta(days=365))


def test_nothing_is_overwritten(folder):
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    with pytest.raises(ValueError, match="must be a new or an empty folder, but it holds files"):
        new_authority(folder, PLAN)
    assert {file: file.read_bytes() for file in before} == before


@pytest.mark.parametrize("write", [1, 9, 16])
def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch, write):
    count = iter(range(1, 1000))
    real = os.write

    def full(descriptor, content):
        if next(count) == write:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, content)

    monkeypatch.setattr(durable.os, "write", full)
    with pytest.raises(durable.WriteFailed, match="No space left"):
        new_authority(tmp_path / "a", PLAN)
    assert list(tmp_path.iterdir()) == []


def test_renewal_keeps_the_key_and_ends_later(folder):
    key, old = (folder / "sae-alice-app.key").read_bytes(), certificate(folder, "sae-alice-app")
    (leaf,) = renew(folder, ["alice-app"], days=30)
    new = certificate(folder, "sae-alice-app")
    assert (folder / "sae-alice-app.key").read_bytes() == key
    assert not leaf.has_new_key
    assert new.public_key() == old.public_key()
    assert new.not_valid_after_utc > old.not_valid_after_utc + timedelta(days=22)
    assert new.serial_number != old.serial_number
    assert verified(folder, "sae-alice-app") == "sae-alice-app.crt: OK\n"
    assert uris(folder, "sae-alice-app") == ["urn:e91:sae:alice-app"]


def test_new_keys_come_when_they_are_asked_for(folder):
    keys = {stem: (folder / f"{stem}.key").read_bytes() for stem in STEMS}
    assert all(leaf.has_new_key for leaf in renew(folder, new_keys=True))
    for stem in STEMS:
        assert (folder / f"{stem}.key").read_bytes() != keys[stem]
        assert stat.S_IMODE((folder / f"{stem}.key").stat().st_mode) == 0o600
        assert verified(folder, stem) == f"{stem}.crt: OK\n"


def test_revoking_a_name_ends_all_its_certificates_and_no_other(folder):
    first = (folder / "sae-alice-app.crt").read_bytes()
    renew(folder, ["alice-app"])
    assert len(revoke(folder, "alice-app")) == 2
    assert "certificate revoked" in verified(folder, "sae-alice-app")
    (folder / "first.crt").write_bytes(first)
    assert "certificate revoked" in verified(folder, "first")
    assert "OK" in verified(folder, "kme-alice")
    assert revoke(folder, "alice-app") == []


def test_what_is_revoked_stays_so_through_renewals_and_comes_back_with_a_new_key(folder):
    lost = (folder / "sae-alice-app.key").read_bytes()
    revoke(folder, "alice-app")
    assert {leaf.name for leaf in renew(folder)} == {"alice", "bob", "SAE/ü 1"}
    assert "certificate revoked" in verified(folder, "sae-alice-app")
    (leaf,) = renew(folder, ["alice-app"])
    assert leaf.has_new_key
    assert (folder / "sae-alice-app.key").read_bytes() != lost
    assert verified(folder, "sae-alice-app") == "sae-alice-app.crt: OK\n"


def test_revocation_lists_are_numbered_and_end(folder):
    numbers = []
    for change in (lambda: None, lambda: revoke(folder, "kme-bob"), lambda: renew(folder)):
        change()
        found = x509.load_pem_x509_crl((folder / "ca.crl").read_bytes())
        numbers.append(found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number)
        assert found.next_update_utc - found.last_update_utc == timedelta(days=7, minutes=5)
    assert numbers == [1, 2, 3]


def test_a_pair_that_a_crash_left_unfitting_is_mended_by_the_same_call(folder, monkeypatch):
    real = durable.replace_file

    def crash(target, content, *, mode):
        if target.suffix == ".crt":
            raise KeyboardInterrupt
        real(target, content, mode=mode)

    monkeypatch.setattr("e91.delivery.certificates.replace_file", crash)
    with pytest.raises(KeyboardInterrupt):
        renew(folder, ["alice-app"], new_keys=True)
    monkeypatch.undo()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    pair = (folder / "sae-alice-app.crt", folder / "sae-alice-app.key")
    with pytest.raises(ssl.SSLError, match="KEY_VALUES_MISMATCH"):
        context.load_cert_chain(*pair)
    (leaf,) = renew(folder, ["alice-app"])
    assert leaf.has_new_key
    context.load_cert_chain(*pair)


def test_a_revocation_list_of_somebody_else_is_never_built_upon(folder, tmp_path):
    new_authority(tmp_path / "other", PLAN)
    (folder / "ca.crl").write_bytes((tmp_path / "other" / "ca.crl").read_bytes())
    with pytest.raises(ValueError, match="must be this authority's revocation list, but is not"):
        revoke(folder, "alice-app")
    (folder / "ca.key").write_bytes((tmp_path / "other" / "ca.key").read_bytes())
    with pytest.raises(ValueError, match=r"must be for `ca.key`, but is for another key"):
        renew(folder)


def test_a_damaged_key_is_refused_without_a_word_of_it(folder):
    (folder / "ca.key").write_text("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n")
    with pytest.raises(ValueError, match="must be a private key") as caught:
        renew(folder)
    assert "c2VjcmV0" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_certificate_with_a_damaged_name_in_it_is_refused_as_none(folder):
    der = ssl.PEM_cert_to_DER_cert((folder / "ca.crt").read_text())
    name = b"E91 key delivery authority"
    (folder / "ca.crt").write_text(ssl.DER_cert_to_PEM_cert(der.replace(name, b"\xff" * len(name))))
    with pytest.raises(ValueError, match=r"`.*ca.crt` must be a certificate in PEM, but is not"):
        renew(folder)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: KmePlace("", "127.0.0.1", 1), "must be a name of 1 to 64 printable characters"),
        (lambda: KmePlace("a\n", "127.0.0.1", 1), "printable characters"),
        (lambda: KmePlace("a", "0.0.0.0", 1), "must be the address or the name that clients use"),
        (lambda: KmePlace("a", "a b", 1), "must be the address or the name that clients use"),
        (lambda: KmePlace("a", "::1", 65536), r"must lie in \[0, 65535\], but is 65536"),
        (lambda: SaePlace("ü" * 64, "a"), "at most 200 characters when percent-encoded"),
        (lambda: AuthorityPlan((), ()), "must name at least one KME, but is empty"),
        (lambda: AuthorityPlan(PLAN.kmes * 2, ()), "but `alice` is twice"),
        (lambda: AuthorityPlan(PLAN.kmes, (SaePlace("x", "carol"),)), "one of alice, bob, but x"),
        (lambda: AuthorityPlan(PLAN.kmes, (), leaf_days=0), r"must lie in \(0, 3,650\], but is 0"),
        (lambda: AuthorityPlan(PLAN.kmes, (), leaf_days=float("nan")), "but is nan"),
    ],
)
def test_a_wrong_plan_is_a_sentence(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        wrong()


@pytest.mark.parametrize("name", ["SAE_A", "a/b", "100 %", "ü", "urn:e91:sae:x", "a+b", "é" * 30])
def test_names_come_back_from_their_uris(name):
    assert name_of(uri_of(CertifiedRole.SAE, name), CertifiedRole.SAE) == name


@pytest.mark.parametrize(
    "uri",
    [
        "urn:e91:sae:", "urn:e91:sae:a b", "urn:e91:sae:%", "urn:e91:sae:%4", "urn:e91:sae:%FF",
        "urn:e91:sae:%00", "urn:e91:sae:ü", "urn:e91:sae:a/b", "URN:e91:sae:a", "urn:e91:kme:a",
        "urn:e91:sae:" + 65 * "a", "urn:e91:sae:a%0A", "urn:e91:sae:a\n",
    ],
)  # fmt: skip
def test_a_malformed_uri_names_nobody(uri):
    assert name_of(uri, CertifiedRole.SAE) is None


def test_two_names_or_a_malformed_one_beside_a_good_one_are_nobody():
    good = "urn:e91:sae:a"
    for more in ("urn:e91:sae:b", "urn:e91:sae:%", "urn:e91:kme:a", good):
        with pytest.raises(ValueError, match="exactly one SAE"):
            identity([good, more], CertifiedRole.SAE)
    assert identity([good, "urn:other:sae:b"], CertifiedRole.SAE) == "a"


def configuration(folder, name="kme.toml"):
    return read_configuration(folder / name).tables


def test_who_comes_later_is_certified_and_configured(tmp_path):
    folder = tmp_path / "pki"
    new_authority(folder, AuthorityPlan((KmePlace("alice", "127.0.0.1", 8443),), ()))
    leaves = add_members(
        folder, kmes=[KmePlace("carol", "::1", 8445)], saes=[SaePlace("pay", "carol")]
    )
    assert [(one.role.value, one.name) for one in leaves] == [("kme", "carol"), ("sae", "pay")]
    assert [kme.id for kme in configuration(folder).kmes] == ["alice", "carol"]
    assert [(sae.id, sae.kme) for sae in configuration(folder).saes] == [("pay", "carol")]
    client_context(ClientFiles(folder / "sae-pay.crt", folder / "sae-pay.key", folder / "ca.crt"))
    assert revoke(folder, "pay") == [leaves[1].serial]
    before = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    for wrong in (
        {"kmes": [KmePlace("alice", "127.0.0.1", 1)]},
        {"saes": [SaePlace("pay", "alice")]},
        {"saes": [SaePlace("new", "dora")]},
        {"saes": [SaePlace("new", "alice"), SaePlace("new", "alice")]},
        {},
    ):
        with pytest.raises(ValueError, match="must"):
            add_members(folder, **wrong)
    assert {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()} == before


def test_adding_goes_on_after_a_crash(tmp_path, monkeypatch):
    folder = tmp_path / "pki"
    new_authority(folder, AuthorityPlan((KmePlace("alice", "127.0.0.1", 8443),), ()))

    def crash(file, *_, **__):
        raise KeyboardInterrupt(str(file))

    with monkeypatch.context() as patched:
        patched.setattr("e91.delivery.certificates.replace_file", crash)
        with pytest.raises(KeyboardInterrupt):
            add_members(folder, saes=[SaePlace("pay", "alice")])
    assert configuration(folder).saes == ()
    [leaf] = add_members(folder, saes=[SaePlace("pay", "alice")])
    assert leaf.has_new_key
    assert [sae.id for sae in configuration(folder).saes] == ["pay"]


def test_an_application_is_made_known_to_kmes_on_other_machines(tmp_path):
    folder = tmp_path / "pki"
    kmes = (KmePlace("alice", "a.example", 8443), KmePlace("bob", "b.example", 8443))
    new_authority(folder, AuthorityPlan(kmes, (), is_apart=True))
    for name in ("b1", "b2"):
        add_members(folder, saes=[SaePlace(name, "bob")])
    assert [sae.id for sae in configuration(folder, "kme-bob.toml").saes] == ["b1", "b2"]
    assert configuration(folder, "kme-alice.toml").remote_kmes[0].saes == ("b1", "b2")
    with pytest.raises(ValueError, match="by hand"):
        add_members(folder, kmes=[KmePlace("carol", "c.example", 8443)])
    file = folder / "kme-alice.toml"
    file.write_text(file.read_text().replace("saes =", "saes  ="))
    with pytest.raises(ValueError, match="only you can change"):
        add_members(folder, saes=[SaePlace("b3", "bob")])
