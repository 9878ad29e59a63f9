"""A server on the bench: applications that ask it, and everything that it has answered so far."""

import base64
import json
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from e91.delivery.https_client import (
    Answer,
    ClientFiles,
    HttpsClient,
    ServerPlace,
    client_context,
)
from e91.delivery.probing.verdicts import NotTestable, Observation
from e91.model.errors import DeliveryFailed

KEYS_NOT_FOUND = "one or more keys specified are not found on KME"
"""The text's sentence of clause 5.4 and 6.4 for IDs without a key."""


def _path_of(sae: str) -> str:
    """Return the beginning of the paths that name an SAE."""
    return f"/api/v1/keys/{quote(sae, safe='')}"


@dataclass(frozen=True)
class Application:
    """An SAE that a certificate makes of the probe.

    Attributes:
        name: Its SAE ID.
        files: Its TLS.
        https: Its connection, to the KME that serves it.
    """

    name: str
    files: ClientFiles
    https: HttpsClient

    @property
    def path(self) -> str:
        """The beginning of the paths that name it as the other SAE."""
        return _path_of(self.name)


@dataclass(frozen=True, eq=False, repr=False)
class TakenKey:
    """A key that the probe took, for comparing.

    Attributes:
        key_id: As the server wrote it.
        text: The key as it stood in the answer.
        content: Its bytes.
    """

    key_id: str
    text: str
    content: bytes


@dataclass(eq=False)
class Bench:
    """The server and those who ask it.

    Attributes:
        place: The server of the master.
        master: The SAE that asks for new keys.
        peer: The one that fetches them, or None.
        third: One that has no right to them, or None.
        ca: The authorities of servers.
        timeout_s: For every wait, seconds.
        known_peer: The SAE ID of the peer, if there is no certificate of it.
        must_refuse: Certificates with keys that no server may let in.
        drains: Whether the pool may be emptied.
        slow_body_s: How long an unfinished body is left lying, seconds; 0: not at all.
    """

    place: ServerPlace
    master: Application
    peer: Application | None
    third: Application | None
    ca: Path
    timeout_s: float
    known_peer: str | None = None
    must_refuse: tuple[ClientFiles, ...] = ()
    drains: bool = False
    slow_body_s: float = 0.0
    answers: list[Answer] = field(default_factory=list, repr=False)
    key_ids: list[str] = field(default_factory=list, repr=False)

    @property
    def other(self) -> Application:
        """The peer.

        Raises:
            NotTestable: No certificate of one was given.
        """
        if self.peer is None:
            raise NotTestable("needs the certificate of the other SAE (`--peer-certificate`)")
        return self.peer

    @property
    def peer_id(self) -> str:
        """The SAE ID of the peer, which stands in the paths of the master's requests.

        Raises:
            NotTestable: It is not known.
        """
        found = self.known_peer if self.peer is None else self.peer.name
        if found is None:
            raise NotTestable("needs the other SAE (`--peer-sae`, `--peer-certificate`)")
        return found

    @property
    def peer_path(self) -> str:
        """The beginning of the paths of the master's requests."""
        return _path_of(self.peer_id)

    @property
    def stranger(self) -> Application:
        """The third SAE.

        Raises:
            NotTestable: No certificate of one was given.
        """
        if self.third is None:
            raise NotTestable("needs the certificate of a third SAE (`--third-certificate`)")
        return self.third

    def ask(
        self,
        who: Application,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return an answer, and remember it."""
        answer = who.https.ask(method, path, body=body, headers=headers)
        self.answers.append(answer)
        return answer

    def status(self, *, headers: Mapping[str, str] | None = None) -> Answer:
        """Return the answer to the master's question how many keys there are for the peer."""
        return self.ask(self.master, "GET", f"{self.peer_path}/status", headers=headers)

    def stated(self, name: str) -> int:
        """Return a whole number that the status states.

        Raises:
            NotTestable: It states none.
        """
        value = document_of(self.status()).get(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise NotTestable(f"the status states no whole number as {name}")
        return value

    def enc(self, asked: object) -> Answer:
        """Return the answer to the master's POST for new keys."""
        return self.ask(
            self.master, "POST", f"{self.peer_path}/enc_keys", body=json.dumps(asked).encode()
        )

    def dec(self, who: Application, key_ids: Sequence[object], *, master: str = "") -> Answer:
        """Return the answer to a POST for keys by their IDs, those of the master by default."""
        document = {"key_IDs": [{"key_ID": key_id} for key_id in key_ids]}
        return self.dec_with(who, document, master=master)

    def dec_with(self, who: Application, document: object, *, master: str = "") -> Answer:
        """Return the answer to a POST with any body for keys by their IDs."""
        path = f"{_path_of(master or self.master.name)}/dec_keys"
        return self.ask(who, "POST", path, body=json.dumps(document).encode())

    def take(self, number: int = 1, **asked: object) -> list[TakenKey]:
        """Return new keys of the master.

        Raises:
            NotTestable: The server gives none.
        """
        answer = self.enc({"number": number, **asked} if asked or number > 1 else {})
        keys = keys_of(answer)
        if answer.status != 200 or len(keys) != number:
            raise NotTestable(f"no key could be taken for it: {shown(answer)}")
        self.key_ids += [key.key_id for key in keys]
        return keys


def document_of(answer: Answer) -> dict[str, Any]:
    """Return the JSON object of an answer, or an empty one."""
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def message_of(answer: Answer) -> str | None:
    """Return the message of an error, or None without one."""
    message = document_of(answer).get("message")
    return message if isinstance(message, str) else None


def keys_of(answer: Answer) -> list[TakenKey]:
    """Return the keys of a container that can be read, whatever its status."""
    document = document_of(answer)
    entries = document.get("keys", document.get("Keys"))
    found = [_taken(entry) for entry in entries] if isinstance(entries, list) else []
    return [key for key in found if key is not None]


def _taken(entry: object) -> TakenKey | None:
    if not isinstance(entry, dict):
        return None
    key_id, text = entry.get("key_ID"), entry.get("key")
    if not isinstance(key_id, str) or not isinstance(text, str):
        return None
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError:
        content = b""
    return TakenKey(key_id, text, content)


def gives(answer: Answer) -> bool:
    """Return whether an answer is a success."""
    return 200 <= answer.status < 300


def shown(answer: Answer) -> str:
    """Return an answer in words, without what may be a key.

    Examples:
        >>> shown(Answer(400, {}, b'{"message": "no"}'))
        '400, message "no"'
    """
    if gives(answer):
        number = len(keys_of(answer))
        return f"{answer.status}" + (f" with {number} key{'s' * (number != 1)}" if number else "")
    message = message_of(answer)
    if message is None:
        return f"{answer.status}, no message"
    text = message if message.isprintable() else ascii(message)
    return f'{answer.status}, message "{text[:120]}"'


def refusal_of(bench: Bench, context: ssl.SSLContext) -> str | None:
    """Return how a client with this TLS is kept out, in words, or None if it is let in.

    Under TLS 1.3 a client sees its handshake succeed before the server has looked at its
    certificate, so a request is sent before anything is judged.  An alert, an end of the
    connection and an error of HTTP all count: some servers send no alert.
    """
    client = HttpsClient(bench.place, context, bench.timeout_s)
    try:
        answer = client.ask("GET", f"{bench.peer_path}/status")
    except DeliveryFailed as error:
        said = str(error).partition("but ")[2].partition(";")[0]
        return said.rstrip(".")
    finally:
        client.close()
    return None if gives(answer) else f"HTTP {answer.status}"


def context_with(files: ClientFiles) -> ssl.SSLContext:
    """Return the TLS of a client with other files.

    Raises:
        NotTestable: They cannot be used.
    """
    try:
        return client_context(files)
    except ValueError as error:
        raise NotTestable(str(error)) from None


@dataclass(frozen=True)
class ProbeClause:
    """A clause of the standard, and how it is looked at.

    Attributes:
        name: For programs.
        clause: Of ETSI GS QKD 014 V1.1.1.
        demand: What it demands, in our words.
        look: Looks at the server.
        keys: How many keys that takes.
    """

    name: str
    clause: str
    demand: str
    look: Callable[[Bench], Observation]
    keys: int = 0
