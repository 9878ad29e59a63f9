"""Why a request is not fulfilled: a status, a sentence, details; and the reply that says so.

The five sentences in capitals are fixed by ETSI GS QKD 014 V1.1.1 (tables 6 and 8); all others are
this program's.  None repeats a value of the request: the caller knows it, and a log must
not learn it.
"""

import math

from e91.delivery.http.exchange import HttpReply, json_reply

SIZE_IS_NO_MULTIPLE = "size shall be a multiple of 8"
MANDATORY_NOT_SUPPORTED = "not all extension_mandatory parameters are supported"
MANDATORY_NOT_MET = "not all extension_mandatory request options could be met"
KEYS_NOT_FOUND = "one or more keys specified are not found on KME"
UNAUTHORIZED = "unauthorized"


class Refused(Exception):
    """A request that is not fulfilled; nothing was taken.

    Attributes:
        status: 400, 401, 404, 405, 413 or 503.
        message: Why.
        details: Objects that say more.
        headers: Of the reply.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        details: tuple[dict[str, str], ...] = (),
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.details = details
        self.headers = headers

    @property
    def reply(self) -> HttpReply:
        """The error object of clause 6.5; with 401 too, as public clients read it there."""
        details = {"details": list(self.details)} if self.details else {}
        return json_reply(self.status, {"message": self.message, **details}, *self.headers)


def bad_request(message: str) -> Refused:
    """Return the refusal of a request that cannot be understood or fulfilled as it is."""
    return Refused(400, message)


def unauthorized() -> Refused:
    """Return the refusal of a caller; it says no more than that."""
    return Refused(401, UNAUTHORIZED)


def not_now(message: str, *, retry_after_s: float) -> Refused:
    """Return the refusal of what may be fulfilled later."""
    return Refused(503, message, headers=(("Retry-After", str(max(1, math.ceil(retry_after_s)))),))
