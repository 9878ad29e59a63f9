"""The local port of a server: is it well, how much key is there, and figures for Prometheus.

Plain HTTP, for this machine or the network of its operator alone; no key and no key ID is there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from e91.delivery.http.exchange import Handler, HttpReply, HttpRequest, error_reply, json_reply

_TEXT = ("Content-Type", "text/plain; version=0.0.4; charset=utf-8")


@dataclass(frozen=True)
class HealthSources:
    """Where the local port gets what it says.

    Attributes:
        failed: Why no key is given, or None.
        status: What ``e91 kme status`` prints.
        metrics: Figures in the format of Prometheus.
        description: The OpenAPI document of the service.
    """

    failed: Callable[[], str | None]
    status: Callable[[], Mapping[str, Any]]
    metrics: Callable[[], bytes]
    description: Callable[[], bytes]


def health_handler(sources: HealthSources) -> Handler:
    """Return the handler of the local port.

    ``/health`` is 200 while keys can be given and 503 with the reason otherwise: a state, not a
    measurement, so nobody need wait for it.
    """
    answers: dict[str, Callable[[], HttpReply]] = {
        "/health": lambda: _health(sources.failed()),
        "/status": lambda: json_reply(200, sources.status()),
        "/metrics": lambda: HttpReply(200, sources.metrics(), (_TEXT,)),
        "/openapi.json": lambda: HttpReply(200, sources.description()),
    }

    async def handle(request: HttpRequest) -> HttpReply:
        """Answer by path."""
        answer = answers.get(request.target.partition("?")[0])
        if answer is None:
            return error_reply(404, "no such resource")
        if request.method not in ("GET", "HEAD"):
            return error_reply(405, "the method must be GET", ("Allow", "GET, HEAD"))
        return answer()

    return handle


def _health(failed: str | None) -> HttpReply:
    if failed is None:
        return json_reply(200, {"status": "well"})
    return json_reply(503, {"status": "failed", "message": failed})
