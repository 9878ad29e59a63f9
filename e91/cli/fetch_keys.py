"""``e91 key fetch`` and ``e91 key list``: keys of servers by ETSI GS QKD 014, and what is held."""

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from e91.cli.options import COUNT, JSON, as_one
from e91.cli.outcome import flush_output, refuse_terminal, write_output
from e91.model.trust import SecurityModel
from e91.system.durable import PRIVATE, WriteFailed, new_file, read_file
from e91.system.report_layout import table

if TYPE_CHECKING:
    from e91.delivery.client import FetchedKey, KeyClient

CONTAINER = "json"
"""The format that keeps IDs and provenance beside the keys: a key container of the standard."""

_FILE = click.Path(path_type=Path)
_MOST_BYTES = 2**27

_SERVER = as_one(
    "server",
    dict,
    click.option("--kme", metavar="URL", help="Your key server: https://HOST:PORT."),
    click.option("--certificate", type=_FILE, help="Your certificate for it, PEM."),
    click.option("--private-key", type=_FILE,
                 help="Its private key; by default in the same file."),
    click.option("--ca", type=_FILE, help="Authorities of key servers, PEM."),
    click.option("--kme-id", metavar="ID",
                 help="KME ID that the server's certificate must name; any by default."),
    click.option("--in", "folder", type=_FILE,
                 help="The folder that `e91 kme init` made, instead of all these."),
    click.option("--as", "sae", metavar="SAE", help="Who you are in that folder."),
    click.option("--peer", metavar="SAE", help="The application at the other end."),
    click.option("--timeout", "timeout_s", type=float, default=10.0, show_default=True,
                 help="For every wait, seconds."),
)  # fmt: skip
"""Which server is asked, and as whom."""

_WISHES = as_one(
    "wishes",
    dict,
    click.option("--number", type=COUNT, default=1, show_default=True, help="How many new keys."),
    click.option("--size", type=COUNT, help="Bits of each; the server's own size by default."),
    click.option("--key-id", "key_ids", multiple=True, metavar="ID",
                 help="Fetch this key instead, which the peer asked for; may be repeated."),
    click.option("--also", multiple=True, metavar="SAE",
                 help="Another application that gets the same keys; may be repeated."),
    click.option("--min-model", type=click.Choice([model.value for model in SecurityModel]),
                 help="The weakest security model that will do."),
    click.option("--max-epsilon", type=float, help="The largest failure probability."),
    click.option("--max-age", type=float, help="The largest age, seconds."),
    click.option("--route-type", type=click.Choice(["link", "relayed"]),
                 help="Keys that no relay knew, or others."),
    click.option("--disjoint-paths", type=COUNT,
                 help="The least number of paths without a common relay."),
)  # fmt: skip
"""Which keys are wanted."""

_DEMANDS = ("min_model", "max_epsilon", "max_age", "route_type", "disjoint_paths")


@click.command()
@_SERVER
@_WISHES
@click.option("--out", type=_FILE, help="A new file for the keys; its mode is 0600.")
@click.option("--format", "form", type=click.Choice([CONTAINER, "hex", "base64", "raw"]),
              help="How they are written; json by default, with IDs and provenance.  Without "
              "--out they are printed.")  # fmt: skip
@JSON
def fetch(
    server: dict[str, Any],
    *,
    wishes: dict[str, Any],
    out: Path | None,
    form: str | None,
    as_json: bool,
) -> None:
    """Get new keys, or keys by their IDs, from a key server (ETSI GS QKD 014).

    One end asks for new keys and tells the other end their IDs, which are no secret; that one
    fetches them with --key-id.  A key is delivered once to either.  The file is made before the
    server is asked; if it cannot be written to its end after that, what is lost is named.
    """
    _check_target(out, form, as_json=as_json)
    with _client(server) as client, _target(out) as write:
        keys = _asked(client, server["peer"], wishes)
        with _naming_what_is_lost(keys):
            if out is not None:
                write(_written(keys, form or CONTAINER))
            elif form is not None and not as_json:
                write_output(_written(keys, form))
            elif form is not None:
                click.echo(json.dumps({"keys": [_with_bits(key, form) for key in keys]}))
                flush_output()
    _report(keys, out, as_json=as_json)


@click.command("list")
@click.argument("files", nargs=-1, type=_FILE, metavar="[FILE]...")
@_SERVER
@JSON
def list_keys(files: tuple[Path, ...], *, server: dict[str, Any], as_json: bool) -> None:
    """List what FILEs hold, or how a key server stands: IDs and provenance, no key bits.

    A FILE is what `e91 key fetch --out` wrote.  A server says how many keys it has for you and the
    peer; IDs exist only when keys are given.
    """
    if not files and server["kme"] is server["folder"] is None:
        raise click.UsageError(
            "`e91 key list` must be given a FILE, or a server by `--kme` or `--in`, but is not."
        )
    if not files:
        with _client(server) as client:
            status = client.status(server["peer"])
        click.echo(json.dumps(status, indent=None if as_json else 2))
        return
    found = [(file, container_in(file)) for file in files]
    rows = [{"file": str(file), **_facts(key)} for file, keys in found for key in keys]
    if as_json:
        click.echo(json.dumps({"keys": rows}))
        return
    click.echo("\n".join(_lines([key for _, keys in found for key in keys])))


def container_in(file: Path) -> "list[FetchedKey]":
    """Return the keys in a file that `e91 key fetch --out` wrote.

    Raises:
        ValueError: It is no such file; the sentence repeats nothing of it.
    """
    from e91.delivery.client import keys_in

    keys = keys_in(read_file(file, most_bytes=_MOST_BYTES))
    if keys is None:
        raise ValueError(f"`{file}` must be a key container in JSON, but is not.")
    return keys


def _check_target(out: Path | None, form: str | None, *, as_json: bool) -> None:
    """Refuse a request whose keys would go nowhere, before any is asked for."""
    if out is None and form is None:
        raise click.UsageError("`--out` or `--format` must be given, as keys are delivered once.")
    if out == Path("-"):
        raise click.UsageError("`--out` must be a new file; `--format` prints.")
    if out is None and form == "raw" and as_json:
        raise click.UsageError("`--format raw` must come without `--json`, which is text.")
    if out is None and form == "raw":
        refuse_terminal("`--format raw`")


@contextmanager
def _target(out: Path | None) -> Iterator[Callable[[bytes], None]]:
    """Give a function that writes the file, if one is wanted; it is open before keys are."""
    if out is None:
        yield lambda _: None
        return
    with new_file(out, mode=PRIVATE) as write:
        yield write


@contextmanager
def _naming_what_is_lost(keys: "Sequence[FetchedKey]") -> Iterator[None]:
    """Say which keys are lost, if what was delivered cannot be written."""
    try:
        yield
    except WriteFailed as error:
        lost = ", ".join(key.key_id for key in keys)
        words = f"{error.strerror}; delivered, and lost: {lost}"
        raise WriteFailed(error.errno, words, error.filename) from error


def _client(server: dict[str, Any]) -> "KeyClient":
    """Return a client of the server that is asked.

    Raises:
        click.UsageError: An option is missing, or there is one too many.
        ValueError: A file is not what it should be.
    """
    from e91.delivery.client import KeyClient

    given = dict(server)
    if given["folder"] is not None:
        given |= _of_folder(given["folder"], given["sae"], given["kme"])
    elif given["sae"] is not None:
        raise click.UsageError("`--as` must come with `--in`, but there is none.")
    needed = ("peer", "kme", "certificate", "ca")
    for name in (name for name in needed if given[name] is None):
        instead = "" if name == "peer" else ", or `--in DIR --as SAE`"
        raise click.UsageError(f"`--{name}` must be given{instead}, but is not.")
    return KeyClient(
        given["kme"],
        certificate=given["certificate"],
        private_key=given["private_key"],
        ca=given["ca"],
        kme=given["kme_id"],
        timeout_s=given["timeout_s"],
    )


def _of_folder(folder: Path, sae: str | None, url: str | None) -> dict[str, Any]:
    """Return where an application of an authority's folder finds its server and its files.

    Raises:
        click.UsageError: It is not said which application.
        ValueError: There is no such application, or no such folder.
    """
    from e91.delivery.configuration import read_configuration
    from e91.delivery.identities import CertifiedRole
    from e91.delivery.members import file_stem
    from e91.system.documents import did_you_mean

    if sae is None:
        raise click.UsageError("`--in` must come with `--as SAE`, but does not.")
    # With KMEs on machines of their own, each has a configuration.
    places = sorted(folder.glob("kme-*.toml")) or [folder / "kme.toml"]
    files = [read_configuration(place) for place in places]
    kmes = {kme.id: kme.listen for file in files for kme in file.tables.kmes}
    sae_kmes = {sae: kme for file in files for sae, kme in file.sae_kmes.items()}
    if sae not in sae_kmes:
        raise ValueError(
            f"`--as` must be one of {', '.join(sae_kmes)}, but is `{sae}`"
            f"{did_you_mean(sae, sae_kmes)}"
        )
    kme = sae_kmes[sae]
    stem = file_stem(CertifiedRole.SAE, sae)
    return {
        "kme": url or f"https://{kmes[kme]}",
        "certificate": folder / f"{stem}.crt",
        "private_key": folder / f"{stem}.key",
        "ca": folder / "ca.crt",
        "kme_id": kme,
    }


def _asked(client: "KeyClient", peer: str, wishes: dict[str, Any]) -> "list[FetchedKey]":
    """Return the keys that are wanted."""
    demands = {name: wishes[name] for name in _DEMANDS if wishes[name] is not None}
    if wishes["key_ids"]:
        if demands or wishes["size"] is not None or wishes["number"] != 1 or wishes["also"]:
            raise click.UsageError("`--key-id` must come without what describes new keys.")
        return client.get_keys_by_id(peer, wishes["key_ids"])
    return client.get_keys(
        peer,
        number=wishes["number"],
        size=wishes["size"],
        additional=wishes["also"],
        mandatory=[{f"e91_{name}": value} for name, value in demands.items()],
    )


def _written(keys: "Sequence[FetchedKey]", form: str) -> bytes:
    """Return keys as they are written: raw ones without a gap, others a line each."""
    if form == "raw":
        return b"".join(key.content for key in keys)
    if form == CONTAINER:
        container = {"keys": [_entry(key) for key in keys]}
        return json.dumps(container, indent=1).encode() + b"\n"
    return "".join(f"{_text(key, form)}\n" for key in keys).encode()


def _entry(key: "FetchedKey") -> dict[str, Any]:
    extension = {} if key.extension is None else {"key_extension": key.extension}
    return {"key_ID": key.key_id, "key": _text(key, "base64"), **extension}


def _text(key: "FetchedKey", form: str) -> str:
    return key.content.hex() if form == "hex" else base64.b64encode(key.content).decode()


def _with_bits(key: "FetchedKey", form: str) -> dict[str, Any]:
    return {**_facts(key), "key": _text(key, form)}


def _facts(key: "FetchedKey") -> dict[str, Any]:
    """Return all that may be said of a key."""
    provenance = (key.extension or {}).get("e91_provenance")
    return {"key_id": key.key_id, "bits": 8 * len(key.content), "provenance": provenance}


def _report(keys: "Sequence[FetchedKey]", out: Path | None, *, as_json: bool) -> None:
    """Say which keys came, and what may be said of them."""
    if as_json:
        if out is not None:
            found = {"file": str(out), "keys": [_facts(key) for key in keys]}
            click.echo(json.dumps(found))
        return
    if out is not None:
        click.echo(f"{out}: {len(keys):,} key{'s' * (len(keys) != 1)}.")
    click.echo("\n".join(_lines(keys)), err=out is None)


def _lines(keys: "Sequence[FetchedKey]") -> list[str]:
    rows = [["key ID", "bits", "security", "epsilon", "route"]]
    for key in keys:
        facts = _facts(key)["provenance"]
        said = facts if isinstance(facts, dict) else {}
        epsilon, route = said.get("epsilon"), said.get("route")
        security = str(said.get("security", "not stated"))
        rows.append([
            key.key_id,
            f"{8 * len(key.content):,}",
            security + ", reproducible" * (said.get("reproducible") is True),
            f"{epsilon:.3g}" if isinstance(epsilon, int | float) else "-",
            " - ".join(map(str, route)) if isinstance(route, list) else "-",
        ])  # fmt: skip
    return table(rows)
