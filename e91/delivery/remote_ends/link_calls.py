"""Calls to the other end of a link: TLS 1.3, certificates on both sides, one connection kept."""

import asyncio
import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from e91.delivery.https_client import ClientFiles, HttpsClient, client_context, place_of
from e91.delivery.remote_ends.link_messages import TYPE
from e91.delivery.tls.contexts import TlsFiles
from e91.delivery.tls.identity import identity_of
from e91.model.errors import DeliveryFailed

_TIMEOUT_S = 5.0
_LONGEST_REASON = 300  # characters


class HttpsLinkCalls:
    """The other end, by HTTPS.

    Args:
        url: Where it is: ``https://HOST:PORT``.
        peer: Its KME ID, which its certificate must say.
        tls: Our files; read anew for every new connection, as certificates are renewed.

    Raises:
        ValueError: The URL is another kind, or a file is not what it should be.
    """

    def __init__(self, url: str, *, peer: str, tls: TlsFiles) -> None:
        self._place, self._peer = place_of(url), peer
        self._files = ClientFiles(tls.certificate, tls.private_key, tls.ca, tls.crl)
        self._client: HttpsClient | None = None
        client_context(self._files)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"link-{peer}")

    async def ask(self, path: str, body: bytes) -> bytes:
        """Return the answer to a message.

        Raises:
            DeliveryFailed: There is none, or a refusal.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, path, body)

    def _ask(self, path: str, body: bytes) -> bytes:
        try:
            answer = self._connected().ask("POST", path, body=body, headers=dict([TYPE]))
        except (DeliveryFailed, ValueError) as error:
            self._end()
            raise DeliveryFailed(str(error)) from None
        if answer.status != 200:
            said = answer.body[:_LONGEST_REASON].decode("utf-8", "replace")
            raise DeliveryFailed(
                f"{self._place.authority} must agree, but answers {answer.status}: {said}"
            )
        return answer.body

    def _connected(self) -> HttpsClient:
        if self._client is None:
            context = client_context(self._files)
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            self._client = HttpsClient(
                self._place, context, timeout_s=_TIMEOUT_S, check=self._check_peer
            )
        return self._client

    def _check_peer(self, certificate: Mapping[str, Any]) -> None:
        found = identity_of(certificate)
        if found.kme != self._peer:
            raise DeliveryFailed(
                f"{self._place.authority} must be the KME {self._peer}, but is another."
            )

    def _end(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def close(self) -> None:
        """End the connection, and the thread."""
        self._thread.submit(self._end)
        self._thread.shutdown()
