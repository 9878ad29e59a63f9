"""A call to somebody else's server when a link rings: a POST, tried again, never redirected."""

import asyncio
import http.client
import json
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_LOG = logging.getLogger("e91.delivery")
_LONGEST_WAIT_S = 60.0


@dataclass(frozen=True)
class WebHook:
    """Where an event goes.

    Attributes:
        url: Of http or https; the certificate of the latter is checked.
        attempts: How often it is tried.
        timeout_s: Seconds for each attempt.
        first_wait_s: Seconds before the second attempt; they double from one to the next.
    """

    url: str
    attempts: int = 6
    timeout_s: float = 5.0
    first_wait_s: float = 1.0

    async def send(self, event: Mapping[str, Any]) -> bool:
        """Post an event as JSON; return whether the server took it (2xx).

        A redirect counts as a failure, as it would let that server choose whom this one calls.
        """
        body = json.dumps(event, allow_nan=False).encode("ascii")
        for attempt in range(1, self.attempts + 1):
            reason = await asyncio.to_thread(_post, self.url, body, self.timeout_s)
            if reason is None:
                _LOG.info("web hook called", extra={"attempt": attempt})
                return True
            _LOG.warning("web hook failed", extra={"attempt": attempt, "reason": reason})
            if attempt < self.attempts:
                wait_s = min(_LONGEST_WAIT_S, self.first_wait_s * 2 ** (attempt - 1))
                await asyncio.sleep(wait_s)
        return False


def _post(url: str, body: bytes, timeout_s: float) -> str | None:
    """Post once; return why it failed, or None."""
    place = urlsplit(url)
    host, path = place.hostname or "", place.path or "/"
    path += f"?{place.query}" if place.query else ""
    headers = {"Content-Type": "application/json", "Connection": "close"}
    connection: http.client.HTTPConnection
    try:
        if place.scheme == "https":
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(
                host, place.port, timeout=timeout_s, context=context
            )
        else:
            connection = http.client.HTTPConnection(host, place.port, timeout=timeout_s)
        try:
            connection.request("POST", path, body, headers)
            status = connection.getresponse().status
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        return type(error).__name__
    return None if 200 <= status < 300 else f"status {status}"
