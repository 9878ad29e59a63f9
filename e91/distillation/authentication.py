"""Authentication: Wegman-Carter tags on the whole transcript, from a pre-shared key.

Each party tags, with Poly1305 under a one-time key of its own, all that it saw in the session, and
checks the other's tag against the same.  The tag is unconditionally secure: no computing power
helps a forger, as long as its 32-byte key is uniform, secret and used once.

The tags come last, once per session.  That is sound because nothing leaves the session before
both are checked: whatever an adversary changed earlier, the two transcripts then differ, one of
the tags fails except with `forgery_probability`, and the key is dropped.  Before that the parties
have only spoken more words that are public anyway, and a lie can make them disclose no key bit
that is still used.  Kiktenko et al., "Lightweight authentication for quantum key distribution",
arXiv 1903.10237, prove the delayed scheme.

A transcript has one reading: each message is preceded by the lengths of sender, subject and body
(`Message.head`).  A tag begins with the role of whoever makes it.

Not promised: a tag says nothing about *when*.  The session puts an identifier that never repeats
at the head of the transcript, and the messages stand there in order with their senders, so that an
old, reordered or reflected message makes another transcript.  That a message was lost at the very
end, the last tag itself, only its receiver notices.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from typing import TYPE_CHECKING

from e91.model.errors import AlreadyUsed, AuthenticationFailed
from e91.model.messages import Channel, Message, Party
from e91.model.numbers import check_not_negative

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.poly1305 import Poly1305

KEY_BYTES = 32
"""Length of the one-time key of one tag."""

_SHORT = 4096  # bytes
_ROLE_BYTES = 16  # before the transcript; they count as part of it

AUTHENTICATION_BITS = 2 * 8 * KEY_BYTES
"""Pre-shared key bits that a session consumes: one one-time key per party."""


class AuthenticationKey:
    """A pre-shared key: 64 secret bytes for the two tags of one session.

    It is a value that is used up.  Two transcripts under one key give both tags away, so the key is
    refused a second time, as is any other value with the same bytes in this process; what other
    processes do with them, their owner has to watch over.  A session uses its key up at the
    beginning, whatever comes of it.

    Args:
        secret: 64 uniformly random bytes that only Alice and Bob know.

    Raises:
        ValueError: ``secret`` is no bytes, or not 64 of them.

    Examples:
        >>> key = AuthenticationKey(bytes(range(7, 71)))
        >>> key, key.is_used, len(key.take()), key.is_used
        (AuthenticationKey(64 bytes), False, 64, True)
        >>> AuthenticationKey(bytes(range(7, 71))).take()
        Traceback (most recent call last):
            ...
        e91.model.errors.AlreadyUsed: An authentication key must serve one session, but this one ...
    """

    def __init__(self, secret: bytes) -> None:
        size = AUTHENTICATION_BITS // 8
        if type(secret) is not bytes:
            kind = type(secret).__name__
            raise ValueError(f"`authentication_key` must be bytes, but is a {kind}.")
        if len(secret) != size:
            raise ValueError(f"`authentication_key` must have {size} bytes, but has {len(secret)}.")
        self._secret = secret

    def take(self) -> bytes:
        """Return the 64 bytes, once in this process: for a session, or for another process.

        Raises:
            AlreadyUsed: They were taken before.
        """
        with _LOCK:
            self.check_unused()
            _TAKEN.add(self._digest)
        return self._secret

    @property
    def is_used(self) -> bool:
        """Whether its bytes were taken in this process."""
        return self._digest in _TAKEN

    def check_unused(self) -> None:
        """Return if the key can still serve a session.

        Raises:
            AlreadyUsed: It cannot.
        """
        if self.is_used:
            raise AlreadyUsed(
                "An authentication key must serve one session, but this one was used before: "
                "take the next one from the keys of the last session."
            )

    @property
    def _digest(self) -> bytes:
        return hashlib.sha256(self._secret).digest()

    def __len__(self) -> int:
        return len(self._secret)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} bytes)"  # never print key bits


class PublicKey(AuthenticationKey):
    """An authentication key that everybody knows, for links without authentication.

    It protects nothing, so there is nothing to use up.
    """

    def take(self) -> bytes:
        """Return the 64 bytes, as often as they are asked for."""
        return self._secret

    @property
    def is_used(self) -> bool:
        """Always False."""
        return False


_TAKEN: set[bytes] = set()
_LOCK = threading.Lock()


def unused(key: AuthenticationKey | bytes | None) -> AuthenticationKey | None:
    """Return a key that a user gave as the value that it is, if it may still be used.

    Raises:
        AlreadyUsed: It was used before.
        ValueError: It is neither a key nor 64 bytes.
    """
    if key is None:
        return None
    checked = key if isinstance(key, AuthenticationKey) else AuthenticationKey(key)
    checked.check_unused()
    return checked


def tag(transcript: bytes, key: bytes, *, role: Party) -> bytes:
    """Return the 16-byte tag of ``transcript`` by one of the parties.

    Args:
        transcript: All that the party saw, in an encoding that has one reading.
        key: The party's 32 secret bytes for this session; never use them for a second tag.
        role: Whose tag it is; it is tagged too, before the transcript.

    Raises:
        ValueError: ``key`` does not have 32 bytes.

    Source:
        Poly1305: Bernstein, FSE 2005, and RFC 8439, section 2.5.  With a one-time key it is a
        Wegman-Carter authenticator: Wegman and Carter, J. Comput. Syst. Sci. 22, 265 (1981).

    Examples:
        >>> tag(b"settings, parities, hash", bytes(range(32)), role=Party.BOB).hex()
        '769081774d5dc7712bb639745d1fa437'
    """
    mac = _begun(key, role)
    mac.update(transcript)
    return mac.finalize()


def _begun(key: bytes, role: Party) -> Poly1305:
    """Return a tag that has begun with its role, in a field of one size."""
    if len(key) != KEY_BYTES:
        raise ValueError(f"`key` must have {KEY_BYTES} bytes, but has {len(key)}.")
    # The command line knows every adversary's key before it needs a tag.
    from cryptography.hazmat.primitives.poly1305 import Poly1305

    mac = Poly1305(key)
    mac.update(f"e91 tag of {role.value}".encode().ljust(_ROLE_BYTES))
    return mac


def check(transcript: bytes, key: bytes, received: bytes, *, role: Party) -> None:
    """Return if ``received`` is the tag of ``transcript``; takes equally long if it is not.

    Args:
        transcript: All that *this* party saw.
        key: The other party's 32 secret bytes for this session.
        received: The other party's tag as it arrived.
        role: The other party.

    Raises:
        AuthenticationFailed: It is not, whatever the reason.
        ValueError: ``key`` does not have 32 bytes.
    """
    if not hmac.compare_digest(tag(transcript, key, role=role), received):
        raise AuthenticationFailed("The tag does not match.")


def forgery_probability(length: int) -> float:
    """Return an upper bound on the probability that one forged tag passes.

    Args:
        length: Bytes of the longer of the true and the forged transcript.

    Returns:
        ``8 ceil(length / 16) / 2**106``.  A session has two tags: add one bound for each.

    Raises:
        ValueError: ``length`` is negative.

    Source:
        Bernstein, FSE 2005, theorem 3.3: each difference of two tags has at most this
        probability over the first half of the key, and the second half hides the tag itself.

    Examples:
        >>> forgery_probability(10**7) < 1e-25
        True
    """
    check_not_negative(length=length)
    return float(8 * -(-length // 16)) / 2.0**106


class RunningTags:
    """Both parties' tags of a transcript that is not kept, for a channel that alters nothing.

    What arrives there is what was sent, so one transcript serves both views.

    Args:
        key: 64 pre-shared secret bytes, 32 for each tag; they are used up.

    Raises:
        ValueError: ``key`` does not have 64 bytes.

    Examples:
        >>> tags, message = RunningTags(bytes(64)), Message(Party.ALICE, "parity", b"1")
        >>> kept, heard = Channel(), Channel(listener=tags)
        >>> _ = kept.send(message), heard.send(message)
        >>> bob = Party.BOB
        >>> tags.finish()[bob] == tag(kept.transcript(bob), bytes(32), role=bob)
        True
    """

    def __init__(self, key: bytes) -> None:
        self._macs = {party: _begun(half, party) for party, half in _halves(key).items()}

    def __call__(self, party: Party, message: Message) -> None:
        """Take a message as ``party`` saw it."""
        if party is message.sender:
            head, body = message.head, message.body
            # A call costs as much as 2 kB of a body: short messages are taken in one piece.
            parts = (head + body,) if len(body) < _SHORT else (head, body)
            for mac in self._macs.values():
                for part in parts:
                    mac.update(part)

    def finish(self) -> dict[Party, bytes]:
        """Return each party's tag of all that was said; nothing can be taken after."""
        return {party: mac.finalize() for party, mac in self._macs.items()}


def exchange_tags(channel: Channel, key: bytes) -> bytes:
    """Let each party tag what it saw and check the other's tag against that.

    Args:
        channel: The session's channel, with both parties' transcripts or with `RunningTags` of
            the same key that listen to it.
        key: 64 pre-shared secret bytes, 32 for each tag; they are used up.

    Returns:
        Both tags as they were sent, Alice's first: public, and of this conversation alone.

    Raises:
        AuthenticationFailed: The parties saw different messages, or a tag was altered.
        ValueError: ``key`` does not have 64 bytes.
    """
    keys = _halves(key)
    if isinstance(channel.listener, RunningTags):
        tags, quiet = channel.listener.finish(), Channel(channel.transmission)
        for party in Party:
            received = quiet.send(Message(party, "tag", tags[party])).body
            if not hmac.compare_digest(tags[party], received):
                raise AuthenticationFailed("The tag does not match.")
        return b"".join(tags[party] for party in Party)
    seen = {party: channel.transcript(party) for party in Party}
    tags = {party: tag(seen[party], keys[party], role=party) for party in Party}
    for party in Party:
        received = channel.send(Message(party, "tag", tags[party])).body
        check(seen[party.peer], keys[party], received, role=party)
    return b"".join(tags[party] for party in Party)


def _halves(key: bytes) -> dict[Party, bytes]:
    if len(key) != AUTHENTICATION_BITS // 8:
        raise ValueError(f"`key` must have {AUTHENTICATION_BITS // 8} bytes, but has {len(key)}.")
    return {Party.ALICE: key[:KEY_BYTES], Party.BOB: key[KEY_BYTES:]}
