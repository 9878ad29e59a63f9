"""What the KME of another network may ask of us: ETSI GS QKD 020 V1.1.1, asynchronous mode.

Only the configured peer is heard, by its certificate; an SAE is refused here, as a KME is at the
door for applications.  Acknowledgements go to the configured peer alone: a callback URL that points
anywhere else is refused, and no connection is made.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from e91.delivery.between_networks.handover import Handover
from e91.delivery.between_networks.peer_messages import (
    ACKS,
    KEYS,
    VERSIONS,
    VOIDS,
    PeerRefused,
    acknowledgements,
    as_refusal,
    as_reply,
    keys_request,
    void_request,
)
from e91.delivery.http.exchange import HttpReply, HttpRequest
from e91.model.errors import NotDelivered

_LOG = logging.getLogger("e91.delivery")
KNOWN_MANDATORY = ("E32473_e91_conditions",)
"""Mandatory extensions that are heeded.  32473 is the enterprise number kept for examples: this
project has none of its own."""


@dataclass(frozen=True)
class PeerPolicy:
    """Whom we take keys from, and for whom.

    Attributes:
        peer: KME ID of the other network's KME.
        callback: The URL at which it takes acknowledgements; no other one is called.
        local: SAEs that are reached in our network.
        behind_peer: SAEs that are reached over the peer itself.
        accept_from: SAEs of the other network whose keys are taken; None takes all.
    """

    peer: str
    callback: str
    local: frozenset[str]
    behind_peer: frozenset[str]
    accept_from: frozenset[str] | None = None


class PeerDoor:
    """Answers a peer's requests.

    Args:
        handover: What is done.
        policy: For whom.
    """

    def __init__(self, handover: Handover, policy: PeerPolicy) -> None:
        self._handover, self._policy = handover, policy
        self._calls: dict[tuple[str, str], Callable[[bytes], Awaitable[HttpReply]]] = {
            ("GET", VERSIONS): self._versions,
            ("POST", KEYS): self._keys,
            ("POST", ACKS): self._acknowledgements,
            ("POST", VOIDS): self._voids,
        }

    async def __call__(self, request: HttpRequest) -> HttpReply:
        """Return the reply to a request."""
        try:
            return await self._answer(request)
        except PeerRefused as refused:
            _LOG.info(
                "a request of another network is refused",
                extra={
                    "peer": self._policy.peer,
                    "status": refused.status,
                    "reason": refused.title,
                },
            )
            return as_refusal(refused)
        except NotDelivered as failed:
            _LOG.error("a request of another network fails", extra={"reason": str(failed)})
            return as_refusal(PeerRefused(503, "the KME cannot keep keys now", kme_failed="yes"))

    async def _answer(self, request: HttpRequest) -> HttpReply:
        if request.peer.kme != self._policy.peer:
            raise PeerRefused(401, "unauthorized")
        path = request.target.partition("?")[0]
        call = self._calls.get((request.method, path))
        if call is None:
            methods = [method for method, known in self._calls if known == path]
            if not methods:
                raise PeerRefused(404, "no such resource")
            refusal = as_refusal(PeerRefused(405, "another method is wanted here"))
            return HttpReply(405, refusal.body, (*refusal.headers, ("Allow", methods[0])))
        if request.body is None:
            raise PeerRefused(413, "the body is too large")
        return await call(request.body)

    async def _versions(self, _: bytes) -> HttpReply:
        return as_reply(200, {"versions": ["v1"]})

    async def _keys(self, body: bytes) -> HttpReply:
        asked = keys_request(body)
        self._check_callback(asked.callback)
        if unknown := asked.mandatory.keys() - set(KNOWN_MANDATORY):
            words = f"a mandatory extension is not supported: {', '.join(sorted(unknown))}"
            raise PeerRefused(
                503, words, unsupported_mandatory_extension=", ".join(sorted(unknown))
            )
        self._check_route(asked.initiator, asked.targets)
        await self._handover.take_keys(asked)
        return as_reply(202)

    async def _acknowledgements(self, body: bytes) -> HttpReply:
        await self._handover.take_acknowledgements(acknowledgements(body))
        return as_reply(200)

    async def _voids(self, body: bytes) -> HttpReply:
        asked = void_request(body)
        self._check_callback(asked.callback)
        await self._handover.take_voids(asked)
        return as_reply(202)

    def _check_callback(self, url: str) -> None:
        if url != self._policy.callback:
            words = "ack_callback_url must be where this peer is known to be"
            raise PeerRefused(400, words, ack_callback_url=words)

    def _check_route(self, initiator: str, targets: tuple[str, ...]) -> None:
        """Refuse keys that would go nowhere, or back where they come from."""
        policy = self._policy
        if any(target in policy.behind_peer for target in targets):
            words = "a target is reached over the peer that sends the key"
            raise PeerRefused(400, words, pass_back=words)
        if not policy.local.issuperset(targets):
            words = "no route to a target is known"
            raise PeerRefused(400, words, **{"key-routing-error": words})
        if policy.accept_from is not None and initiator not in policy.accept_from:
            words = "keys of this initiator are not taken"
            raise PeerRefused(400, words, initiator_sae_id=words)
