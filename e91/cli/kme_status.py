"""``e91 kme status``: how much key a server has, link by link."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from e91.cli.options import JSON
from e91.cli.outcome import columns
from e91.system.report_layout import WIDTH, Layout

if TYPE_CHECKING:
    from e91.delivery.configuration import ServiceFile

_TIMEOUT_S = 5.0
_LARGEST_STATUS = 10_000_000  # bytes


@click.command()
@click.argument("place", metavar="FILE|URL")
@JSON
def status(place: str, *, as_json: bool) -> None:
    """Tell how much key is there at every end of every link; no key bit is printed or used.

    Of a FILE, the kme.toml of a server: if that serves and has a `health` port, it is asked;
    otherwise its stores are opened, which nobody else may have open.  A URL is that port, e.g.
    http://127.0.0.1:9014.
    """
    if place.startswith("https://"):
        raise ValueError(
            f"`{place}` must be a file or the health port (http://), which know all links, but is "
            "a port for applications; what one of these may have, `e91 key list --kme "
            f"{place} --certificate FILE --private-key FILE --ca FILE --peer SAE` tells."
        )
    found = _asked(place) if place.startswith("http://") else _of_file(Path(place))
    click.echo(json.dumps(found) if as_json else _text(found))


def _of_file(file: Path) -> dict[str, Any]:
    from e91.delivery.configuration import read_configuration

    configuration = read_configuration(file)
    health = configuration.tables.service.health
    if health is not None:
        try:
            return _asked(f"http://{health}")
        except ValueError:
            pass  # nobody serves it now
    return _of_stores(configuration)


def _of_stores(configuration: ServiceFile) -> dict[str, Any]:
    """Open the stores, look and close them."""
    import asyncio

    from e91.delivery.link_states import status_of
    from e91.delivery.serving import service_of
    from e91.model.errors import StoreFailed

    async def look() -> dict[str, Any]:
        """Return the state of all KMEs."""
        service = service_of(configuration)
        await service.start()
        try:
            key_size = configuration.tables.service.key_size
            return status_of(service.kmes(), key_size=key_size)
        finally:
            await service.close()

    try:
        return asyncio.run(look())
    except StoreFailed as error:
        raise ValueError(str(error)) from None


def _asked(url: str) -> dict[str, Any]:
    """Ask the local port of a server."""
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    try:
        connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=_TIMEOUT_S
        )
        try:
            connection.request("GET", "/status")
            content = connection.getresponse().read(_LARGEST_STATUS)
        finally:
            connection.close()
        found = json.loads(content)
    except (OSError, http.client.HTTPException, ValueError):
        found = None
    if not isinstance(found, dict) or "links" not in found:
        raise ValueError(f"`{url}` must be the health port of a server of keys, but is none.")
    return found


def _text(found: dict[str, Any]) -> str:
    page = Layout(columns(WIDTH + 2) - 2)
    lines: list[str] = []
    for kme in found["kmes"]:
        lines += [page.title(f"KME {kme['kme']}")]
        if kme["failed"] is not None:
            lines += page.text(f"No key is given: {kme['failed']}")
        given = f"{kme['keys_given']:,} given, {kme['keys_fetched']:,} fetched"
        lines += [page.row("keys", f"{given}, {kme['keys_waiting']:,} waiting")]
        links = [link for link in found["links"] if link["kme"] == kme["kme"]]
        lines += [page.row(f"to {link['peer']}", _link_text(link)) for link in links]
        lines += ["" if links else page.row("links", "none yet")]
    return "\n".join(lines).rstrip()


def _link_text(link: dict[str, Any]) -> str:
    if link["alarm"] is not None:
        return f"alarm: {link['alarm']}"
    if link["silent"] is not None:
        return f"gives none now: {link['silent']}"
    if link["model"] is None:
        return "no key"
    epsilon = "none is proved" if link["epsilon"] is None else f"{link['epsilon']:.3g}"
    seeded = "; reproducible, so not secret" if link["reproducible"] else ""
    return (
        f"{link['keys']:,} keys ({link['bits']:,} bits), {link['model']}, epsilon {epsilon}{seeded}"
    )
