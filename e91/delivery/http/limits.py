"""What the door lets in: sizes, times, numbers; and how fast one caller may ask."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DoorLimits:
    """Limits of one port.

    Attributes:
        body_bytes: Of a request's body.
        head_bytes: Of a request's line and headers.
        request_s: Seconds from a request's first byte to its last.
        idle_s: Seconds that a connection may wait for its next request.
        handshake_s: Seconds for a handshake of TLS.
        reading_s: Seconds in which a client must have read what was sent.
        linger_s: Seconds in which what a refused client still sends is read and dropped.
        connections: At once, in all.
        connections_per_peer: At once, of one SAE or KME.
        waiting_requests: Sent ahead on one connection; then no more is read from it.
    """

    body_bytes: int = 65_536
    head_bytes: int = 16_384
    request_s: float = 10.0
    idle_s: float = 75.0
    handshake_s: float = 10.0
    reading_s: float = 10.0
    linger_s: float = 2.0
    connections: int = 4_096
    connections_per_peer: int = 512
    waiting_requests: int = 16


@dataclass(slots=True)
class TokenBucket:
    """How much one caller may still ask: tokens that come at a rate, up to a second's worth.

    Attributes:
        per_second: Tokens that come each second.
        tokens: That are there.
        at: When they were counted, seconds on the clock of the caller.

    Examples:
        >>> bucket = TokenBucket(per_second=2.0, tokens=2.0, at=0.0)
        >>> [bucket.wait_s(0.0) for _ in range(3)]
        [0.0, 0.0, 0.5]
        >>> bucket.wait_s(0.5)
        0.0
    """

    per_second: float
    tokens: float
    at: float

    def wait_s(self, now: float) -> float:
        """Take one token and return 0, or return in how many seconds there will be one."""
        most = max(1.0, self.per_second)
        self.tokens = min(most, self.tokens + max(0.0, now - self.at) * self.per_second)
        self.at = now
        if self.tokens >= 1.0:
            self.tokens -= 1.0
            return 0.0
        return (1.0 - self.tokens) / self.per_second
