"""``e91 kme init``, ``renew``, ``revoke``: certificates for servers of keys and their clients."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from e91.cli.options import JSON

if TYPE_CHECKING:
    from e91.delivery.certificates import IssuedCertificate
    from e91.delivery.members import AuthorityPlan, KmePlace, SaePlace

_DAYS = click.option("--days", type=float, default=7.0, show_default=True,
                     help="How long the certificates are valid, days.")  # fmt: skip
_IN = click.option("--in", "folder", type=click.Path(path_type=Path), default=".",
                   show_default=True, help="The folder that `e91 kme init` made.")  # fmt: skip


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--kme", "kmes", multiple=True, metavar="NAME=HOST:PORT",
              default=("alice=127.0.0.1:8443", "bob=127.0.0.1:8444"), show_default=True,
              help="A KME and where it listens; HOST is what clients call it.")  # fmt: skip
@click.option("--sae", "saes", multiple=True, metavar="NAME@KME",
              help="An application and the KME that serves it; by default one for every KME, "
              "NAME-app.")  # fmt: skip
@click.option(
    "--health",
    metavar="HOST:PORT",
    default="127.0.0.1:8442",
    show_default=True,
    help="Where the server tells its state to this machine: no key is there.",
)
@click.option("--apart", is_flag=True,
              help="For KMEs on machines of their own: kme-NAME.toml for each, instead of one "
              "kme.toml.  They call each other at PORT + 1000.")  # fmt: skip
@_DAYS
@JSON
def init(
    folder: Path,
    *,
    kmes: tuple[str, ...],
    saes: tuple[str, ...],
    health: str,
    apart: bool,
    days: float,
    as_json: bool,
) -> None:
    """Make certificates and a configuration for servers of keys in FOLDER, which must be new.

    A certificate authority, its revocation list, for everybody a certificate that says who it is,
    and kme.toml, from which `e91 kme serve` starts.  Private keys have mode 0600.

    With ``--apart`` each KME is a process of its own, on a machine of its own if you like: give it
    kme-NAME.toml, kme-NAME.crt, kme-NAME.key, ca.crt and ca.crl.
    """
    from e91.delivery.certificates import new_authority
    from e91.delivery.configuration_texts import configurations_of
    from e91.delivery.http.listening import parse_address

    parse_address(health, name="health")
    plan = replace(_plan(kmes, saes, days), health=health, is_apart=apart)
    leaves = new_authority(folder, plan)
    files = [str(folder / name) for name in configurations_of(plan)]
    if as_json:
        found = {"folder": str(folder), "configuration": files[0], "configurations": files}
        click.echo(json.dumps(found | {"certificates": _as_data(leaves)}))
        return
    click.echo(f"{folder}: an authority, and certificates until {_end(leaves)}.\n")
    _print_table(leaves)
    for number, file in enumerate(files):
        click.echo(f"{'      ' if number else chr(10) + 'Next: '}e91 kme serve {file}")


@click.command()
@_IN
@click.option("--kme", "kmes", multiple=True, metavar="NAME=HOST:PORT",
              help="A new KME and where it listens; HOST is what clients call it.")  # fmt: skip
@click.option("--sae", "saes", multiple=True, metavar="NAME@KME",
              help="A new application and the KME that serves it.")  # fmt: skip
@_DAYS
@JSON
def add(
    *, folder: Path, kmes: tuple[str, ...], saes: tuple[str, ...], days: float, as_json: bool
) -> None:
    """Certify new KMEs and applications in a folder of `e91 kme init`, and configure them.

    Servers heed it when they are started anew.
    """
    from e91.delivery.certificates import add_members

    leaves = add_members(folder, kmes=_kme_places(kmes), saes=_sae_places(saes), days=days)
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "certificates": _as_data(leaves)}))
        return
    _print_table(leaves)
    click.echo("\nServers heed it when they are started anew.")


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@_IN
@_DAYS
@click.option("--new-keys", is_flag=True, help="Replace the private keys as well.")
@JSON
def renew(
    names: tuple[str, ...], *, folder: Path, days: float, new_keys: bool, as_json: bool
) -> None:
    """Sign new certificates for NAMEs, or for everybody who is not revoked.

    The revocation list is signed anew, too: one that has ended makes servers refuse everybody.
    Somebody who was revoked gets a new private key.
    """
    from e91.delivery.certificates import renew as signed_anew

    leaves = signed_anew(folder, names, days=days, new_keys=new_keys)
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "certificates": _as_data(leaves)}))
        return
    _print_table(leaves)


@click.command()
@click.argument("name")
@_IN
@JSON
def revoke(name: str, *, folder: Path, as_json: bool) -> None:
    """Revoke every certificate that NAME ever got.

    Servers heed the new revocation list when they read it again; `e91 kme serve` does so by itself.
    """
    from e91.delivery.certificates import revoke as revoked

    serials = revoked(folder, name)
    if as_json:
        file = str(folder / "ca.crl")
        click.echo(json.dumps({"name": name, "revoked": serials, "revocation_list": file}))
        return
    ended = f"{len(serials):,} certificate{'s' * (len(serials) != 1)}"
    again = "" if serials else "; all were before"
    click.echo(f"{folder / 'ca.crl'}: {ended} of {name} revoked{again}.")


def _plan(kmes: Sequence[str], saes: Sequence[str], days: float) -> "AuthorityPlan":
    """Return what the options ask for.

    Raises:
        ValueError: One of them is not of its form.
    """
    from e91.delivery.members import AuthorityPlan

    places = _kme_places(kmes)
    applications = _sae_places(saes or [f"{place.name}-app@{place.name}" for place in places])
    return AuthorityPlan(tuple(places), tuple(applications), leaf_days=days)


def _kme_places(kmes: Sequence[str]) -> "list[KmePlace]":
    """Return the KMEs that options name.

    Raises:
        ValueError: One of them is not of its form.
    """
    from e91.delivery.members import KmePlace

    places = []
    for text in kmes:
        name, _, listen = text.rpartition("=")
        host, _, port = listen.rpartition(":")
        if not (name and host and port.isdecimal() and port.isascii()):
            raise ValueError(f"`--kme` must be NAME=HOST:PORT, but is `{text}`.")
        places.append(KmePlace(name, host.removeprefix("[").removesuffix("]"), int(port[:6])))
    return places


def _sae_places(saes: Sequence[str]) -> "list[SaePlace]":
    """Return the applications that options name.

    Raises:
        ValueError: One of them is not of its form.
    """
    from e91.delivery.members import SaePlace

    applications = []
    for text in saes:
        name, _, kme = text.rpartition("@")
        if not (name and kme):
            raise ValueError(f"`--sae` must be NAME@KME, but is `{text}`.")
        applications.append(SaePlace(name, kme))
    return applications


def _as_data(leaves: "Sequence[IssuedCertificate]") -> list[dict[str, Any]]:
    return [
        {
            "role": leaf.role.value,
            "name": leaf.name,
            "certificate": str(leaf.file),
            "private_key": str(leaf.file.with_suffix(".key")),
            "serial": leaf.serial,
            "expires": leaf.expires.isoformat(),
            "new_key": leaf.has_new_key,
        }
        for leaf in leaves
    ]


def _end(leaves: "Sequence[IssuedCertificate]") -> str:
    return f"{min(leaf.expires for leaf in leaves):%Y-%m-%d %H:%M} UTC"


def _print_table(leaves: "Sequence[IssuedCertificate]") -> None:
    width = max((len(leaf.name) for leaf in leaves), default=0)
    for leaf in leaves:
        ends = f"{leaf.expires:%Y-%m-%d %H:%M} UTC"
        key = "  new key" * leaf.has_new_key
        click.echo(f"  {leaf.role.value}  {leaf.name:<{width}}  until {ends}{key}  {leaf.file}")
