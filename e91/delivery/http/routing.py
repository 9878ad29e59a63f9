"""Several handlers behind one port, by the beginning of the path."""

from collections.abc import Mapping

from e91.delivery.http.exchange import Handler, HttpReply, HttpRequest, error_reply


def by_path(handlers: Mapping[str, Handler]) -> Handler:
    """Return a handler that gives a request to the one with the longest matching beginning.

    Args:
        handlers: By beginning of the path, e.g. ``/api/v1/keys/``.
    """
    ordered = sorted(handlers.items(), key=lambda entry: -len(entry[0]))

    async def handle(request: HttpRequest) -> HttpReply:
        """Answer by the handler of the path, or with 404."""
        for beginning, handler in ordered:
            if request.target.startswith(beginning):
                return await handler(request)
        return error_reply(404, "no such resource")

    return handle
