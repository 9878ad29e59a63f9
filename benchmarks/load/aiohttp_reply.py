"""A fixed reply over mutual TLS by aiohttp's lowest level: what its objects cost."""

from __future__ import annotations

import asyncio
import ssl
import sys
from pathlib import Path

import uvloop
from aiohttp import web

BODY = b'{"message":"no such resource"}'


async def reply(_: web.BaseRequest) -> web.StreamResponse:
    """Answer always the same."""
    return web.Response(status=404, body=BODY, content_type="application/json")


async def serve(folder: Path) -> None:
    """Listen, print where, and answer until the process is ended."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "kme-alice.crt", folder / "kme-alice.key")
    context.load_verify_locations(folder / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    runner = web.ServerRunner(web.Server(reply, access_log=None))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    host, port = runner.addresses[0][:2]
    print(f"{host}:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1])))
