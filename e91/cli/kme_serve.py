"""``e91 kme serve``: servers that hand out keys over HTTPS until they are stopped."""

from __future__ import annotations

import json
import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from e91.cli.feed import FEED_OPTIONS, FeedPlan
from e91.cli.options import JSON, as_one

if TYPE_CHECKING:
    from e91.delivery.configuration import ServiceFile
    from e91.delivery.server_process import Beside
    from e91.delivery.serving import KeyDelivery

_LOG = logging.getLogger("e91.delivery")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--session", "sessions", multiple=True, type=click.Path(path_type=Path),
              help="Move the key that `e91 run --out` left in a folder into the stores; it is "
              "used up there.")  # fmt: skip
@click.option("--ends", metavar="KME,KME",
              help="Who gets Alice's key and who Bob's; by default the only two KMEs, in the order "
              "of the file.  If one is at a [[remote_kme]], only the other one's key is taken, by "
              "default that whose key file alone is in the folder.")  # fmt: skip
@as_one("how", dict, *FEED_OPTIONS)
@JSON
def serve(
    file: Path, *, sessions: tuple[Path, ...], ends: str | None, how: dict[str, Any], as_json: bool
) -> None:
    """Hand out keys as FILE says, e.g. the kme.toml of `e91 kme init`.

    SIGTERM or Ctrl-C ends the server after the replies under way; SIGHUP reads certificates anew,
    and so does a certificate file that changes.  The log goes to standard error, a JSON object a
    line.  With ``--json`` the object says that every port is open; so does sd_notify.

    With ``--network`` a simulated network lives beside the server: its sites with the names of the
    KMEs get keys over its routes, and an alarm of a link reaches who asks.
    """
    from e91.cli.feed import feed_plan
    from e91.delivery.configuration import read_configuration
    from e91.delivery.event_log import EventLog
    from e91.delivery.server_process import run_loop, run_until_stopped
    from e91.delivery.serving import KeyDelivery
    from e91.model.errors import StoreFailed

    configuration = read_configuration(file)
    beside = _beside(configuration, feed_plan(how))
    feeds = [
        _feed(configuration, folder, _ends(configuration, folder, ends)) for folder in sessions
    ]
    log = configuration.tables.service.log
    with EventLog(None if log is None else configuration.folder / log):
        delivery = KeyDelivery(configuration)
        try:
            ready = partial(_say, as_json=as_json)
            run_loop(run_until_stopped(delivery, ready=ready, first=feeds, beside=beside))
        except StoreFailed as error:
            raise ValueError(str(error)) from None
        _LOG.info("stopped")
    if not as_json:
        click.echo("Stopped.")


def _beside(configuration: ServiceFile, plan: FeedPlan | None) -> list[Beside]:
    """Return what runs beside the server: the network that feeds it, if there is one."""
    from e91.cli.feed import fed_pairs, feed_delivery

    if plan is None:
        return []
    pairs = fed_pairs(configuration, plan.network)

    async def feeding(delivery: KeyDelivery) -> None:
        await feed_delivery(delivery, pairs, plan)

    return [feeding]


def _ends(configuration: ServiceFile, folder: Path, ends: str | None) -> tuple[str, str]:
    """Return the KMEs of Alice and Bob."""
    tables = configuration.tables
    known = [kme.id for kme in tables.kmes] + [kme.id for kme in tables.remote_kmes]
    chosen = _usual_ends(configuration, folder) if ends is None else ends.split(",")
    if len(chosen) != 2 or chosen[0] == chosen[1] or not set(chosen) <= set(known):
        raise ValueError(
            f"`--ends` must name two of the KMEs {', '.join(known)}, with a comma between, but "
            f"is {ends!r}."
        )
    return chosen[0], chosen[1]


def _usual_ends(configuration: ServiceFile, folder: Path) -> list[str]:
    """Return the only two KMEs; if one is remote, this server's is who has the only key file."""
    tables = configuration.tables
    here, there = [kme.id for kme in tables.kmes], [kme.id for kme in tables.remote_kmes]
    if len(here) != 1 or len(there) != 1:
        return here + there
    places = [folder, *folder.glob("block-*")]
    has_alice, has_bob = (
        any((place / f"{name}.key").exists() for place in places) for name in ("alice", "bob")
    )
    if has_alice and has_bob:
        raise ValueError(
            f"`--ends` must say whose key goes to `{here[0]}`, as both parties' key files are in "
            f"`{folder}`, but is not given."
        )
    return there + here if has_bob else here + there


def _feed(configuration: ServiceFile, folder: Path, ends: tuple[str, str]) -> Beside:
    """Return what moves a folder's key into the stores."""
    from e91.model.messages import Party

    here = [kme.id in ends for kme in configuration.tables.kmes].count(True)
    if here == 0:
        raise ValueError(f"`--ends` must name a KME of this server, but names {', '.join(ends)}.")
    own = {kme.id for kme in configuration.tables.kmes}
    owner = Party.ALICE if ends[0] in own else Party.BOB

    async def feed(delivery: KeyDelivery) -> None:
        """Move it."""
        from e91.cli.session_feed import deposit_folder, deposit_folder_end

        if here == 2:
            fed = await deposit_folder(delivery.service, folder, ends=ends)
        else:
            fed = await deposit_folder_end(delivery.service, folder, owner, ends=ends)
        facts = {"source": str(folder), "bits": fed.bits, "link": f"{ends[0]} - {ends[1]}"}
        _LOG.info("key came in", extra=facts)

    return feed


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
    for name, address in found["links"].items():
        click.echo(f"{name}: https://{address}/e91/link")
    for name, address in found["borders"].items():
        click.echo(f"{name}: https://{address}/kmapi")
    if found["health"] is not None:
        click.echo(f"health: http://{found['health']}")


def _addresses(delivery: KeyDelivery) -> dict[str, Any]:
    health = delivery.health
    return {
        "event": "ready",
        "kmes": {name: str(port.address) for name, port in delivery.listeners.items()},
        "skip": [str(port.address) for port in delivery.skips],
        "links": {name: str(port.address) for name, port in delivery.remote_kmes.listeners.items()},
        "borders": {
            f"{border.entry.kme} to {border.entry.peer}": str(border.listener.address)
            for border in delivery.borders.borders
        },
        "health": None if health is None else str(health.address),
    }
