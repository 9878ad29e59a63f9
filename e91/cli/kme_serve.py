"""``e91 kme serve``: servers that hand out keys over HTTPS until they are stopped."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from e91.cli.options import JSON

if TYPE_CHECKING:
    from e91.delivery.serving import KeyDelivery


_LOG = logging.getLogger("e91.delivery")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@JSON
def serve(file: Path, *, as_json: bool) -> None:
    """Hand out keys as FILE says, e.g. the kme.toml of `e91 kme init`.

    SIGTERM or Ctrl-C ends the server after the replies under way; SIGHUP reads certificates anew,
    and so does a certificate file that changes.  The log goes to standard error, a JSON object a
    line.  With ``--json`` the object says that every port is open; so does sd_notify.
    """
    from e91.delivery.configuration import read_configuration
    from e91.delivery.event_log import EventLog
    from e91.delivery.server_process import run_loop, run_until_stopped
    from e91.delivery.serving import KeyDelivery
    from e91.model.errors import StoreFailed

    configuration = read_configuration(file)
    log = configuration.tables.service.log
    with EventLog(None if log is None else configuration.folder / log):
        delivery = KeyDelivery(configuration)
        try:
            run_loop(run_until_stopped(delivery, ready=lambda found: _say(found, as_json=as_json)))
        except StoreFailed as error:
            raise ValueError(str(error)) from None
        _LOG.info("stopped")
    if not as_json:
        click.echo("Stopped.")


def _say(delivery: KeyDelivery, *, as_json: bool) -> None:
    """Print where every port is, and write it into the log."""
    found = _addresses(delivery)
    for kme, address in found["kmes"].items():
        _LOG.info("ready", extra={"kme": kme, "listen": address})
    if as_json:
        click.echo(json.dumps(found))
        return
    for kme, address in found["kmes"].items():
        click.echo(f"{kme}: https://{address}")
    for address in found["skip"]:
        click.echo(f"SKIP: {address}")
    if found["health"] is not None:
        click.echo(f"health: http://{found['health']}")


def _addresses(delivery: KeyDelivery) -> dict[str, Any]:
    health = delivery.health
    return {
        "event": "ready",
        "kmes": {name: str(port.address) for name, port in delivery.listeners.items()},
        "skip": [str(port.address) for port in delivery.skips],
        "health": None if health is None else str(health.address),
    }
