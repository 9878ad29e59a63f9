"""``e91 kme``: servers that hand out keys, their certificates, and a test of any such server."""

import click

from e91.cli.certify import add, init, renew, revoke
from e91.cli.kme_serve import serve
from e91.cli.kme_status import status
from e91.cli.probe_server import probe


@click.group()
def kme() -> None:
    """Servers that hand out keys (ETSI GS QKD 014): certificates, service, state, a test."""


for command in (init, add, renew, revoke, serve, status, probe):
    kme.add_command(command)
