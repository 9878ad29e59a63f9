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

Not promised: a tag says nothing about *when*.  The session puts an identifier that never repeats
at the head of the transcript, and the messages stand there in order with their senders, so that an
old, reordered or reflected message makes another transcript.  That a message was lost at the very
end, the last tag itself, only its receiver notices.
"""

import hmac

from cryptography.hazmat.primitives.poly1305 import Poly1305

from e91.model.errors import AuthenticationFailed
from e91.model.messages import Channel, Message, Party
from e91.model.numbers import check_not_negative

KEY_BYTES = 32
"""Length of the one-time key of one tag."""

_SHORT = 4096  # bytes

AUTHENTICATION_BITS = 2 * 8 * KEY_BYTES
"""Pre-shared key bits that a session consumes: one one-time key per party."""


def tag(transcript: bytes, key: bytes) -> bytes:
    """Return the 16-byte tag of ``transcript``.

    Args:
        transcript: All that the party saw, in an unambiguous encoding.
        key: The party's 32 secret bytes for this session; never use them for a second tag.

    Raises:
        ValueError: ``key`` does not have 32 bytes.

    Source:
        Poly1305: Bernstein, FSE 2005, and RFC 8439, section 2.5.  With a one-time key it is a
        Wegman-Carter authenticator: Wegman and Carter, J. Comput. Syst. Sci. 22, 265 (1981).

    Examples:
        >>> tag(b"settings, parities, hash", bytes(range(32))).hex()
        '7f3f67bcf64a1f12d53d41315041fdef'
    """
    if len(key) != KEY_BYTES:
        raise ValueError(f"`key` must have {KEY_BYTES} bytes, but has {len(key)}.")
    return Poly1305.generate_tag(key, transcript)


def check(transcript: bytes, key: bytes, received: bytes) -> None:
    """Return if ``received`` is the tag of ``transcript``; takes equally long if it is not.

    Args:
        transcript: All that *this* party saw.
        key: The other party's 32 secret bytes for this session.
        received: The other party's tag as it arrived.

    Raises:
        AuthenticationFailed: It is not, whatever the reason.
        ValueError: ``key`` does not have 32 bytes.
    """
    if not hmac.compare_digest(tag(transcript, key), received):
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
        >>> tags.finish()[Party.BOB] == tag(kept.transcript(Party.BOB), bytes(32))
        True
    """

    def __init__(self, key: bytes) -> None:
        self._macs = {party: Poly1305(half) for party, half in _halves(key).items()}

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


def exchange_tags(channel: Channel, key: bytes) -> None:
    """Let each party tag what it saw and check the other's tag against that.

    Args:
        channel: The session's channel, with both parties' transcripts or with `RunningTags` of
            the same key that listen to it.
        key: 64 pre-shared secret bytes, 32 for each tag; they are used up.

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
        return
    seen = {party: channel.transcript(party) for party in Party}
    for party in Party:
        body = tag(seen[party], keys[party])
        received = channel.send(Message(party, "tag", body)).body
        check(seen[party.peer], keys[party], received)


def _halves(key: bytes) -> dict[Party, bytes]:
    if len(key) != AUTHENTICATION_BITS // 8:
        raise ValueError(f"`key` must have {AUTHENTICATION_BITS // 8} bytes, but has {len(key)}.")
    return {Party.ALICE: key[:KEY_BYTES], Party.BOB: key[KEY_BYTES:]}
