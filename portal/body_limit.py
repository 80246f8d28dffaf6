"""Refuse bodies that are too large before they are stored: the ASGI layer in front of Django.

Django under ASGI spools a whole body to disk before the first middleware runs, so its own limits come too
late. Here a declared length is refused at once, and a body without one is counted while it streams.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any

from portal.core.errors import TooLarge
from portal.core.ids import new_id
from portal.core.problems import CONTENT_TYPE, problem

Message = Mapping[str, Any]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# Where files arrive; every other path gets the small limit.
UPLOAD_PATHS = (
    re.compile(r"^/api/v1/dataset-versions/[^/]+/(file|items)$"),
    re.compile(r"^/(?!api/)[^/]+/data(/.*)?$"),
)
EVENTS_PATH = "/api/v1/events"  # where a shop sends what a thousand shoppers did
LINGER_S = 2.0  # how long a refused sender may go on: closing under his hands would hide the answer


class BodyTooLarge(Exception):
    """More bytes arrived than this path allows."""


class BodyLimit:
    """Wrap an ASGI application with a limit on the size of request bodies."""

    def __init__(
        self, application: Application, *, upload_max_bytes: int, events_max_bytes: int, other_max_bytes: int
    ) -> None:
        self.application = application
        self.upload_max_bytes = upload_max_bytes
        self.events_max_bytes = events_max_bytes
        self.other_max_bytes = other_max_bytes

    def limit_for(self, path: str) -> int:
        """Return how many bytes a body for this path may have."""
        if path == EVENTS_PATH:
            return self.events_max_bytes
        is_upload = any(pattern.match(path) for pattern in UPLOAD_PATHS)
        return self.upload_max_bytes if is_upload else self.other_max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        limit = self.limit_for(scope["path"])
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if int(declared) > limit:  # the server lets only digits through
            await refuse(scope, receive, send, limit)
            return
        received = 0
        answered = False

        async def counted_receive() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > limit:
                    raise BodyTooLarge
            return message

        async def noted_send(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self.application(scope, counted_receive, noted_send)
        except BodyTooLarge:
            if answered:
                raise
            await refuse(scope, receive, send, limit)


async def refuse(scope: Scope, receive: Receive, send: Send, limit: int) -> None:
    """Answer 413 at once, swallow what is still on its way for a moment, then close the connection."""
    given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    request_id = given if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", given) else new_id("req")
    error = TooLarge(f"The body is larger than {size_in_words(limit)}, which is the limit here.")
    request = SimpleNamespace(path=scope["path"], request_id=request_id)
    body = json.dumps(problem(error, request)).encode()
    headers = {
        "content-type": CONTENT_TYPE,
        "content-length": str(len(body)),
        "connection": "close",
        "x-content-type-options": "nosniff",
        "x-request-id": request_id,
    }
    await send(
        {
            "type": "http.response.start",
            "status": error.status,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": body, "more_body": True})
    try:
        async with asyncio.timeout(LINGER_S):
            more = True
            while more:
                message = await receive()
                more = message["type"] == "http.request" and message.get("more_body", False)
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b""})


def size_in_words(size: int) -> str:
    """Write a limit the way people say it: in the largest unit that divides it well."""
    for unit, factor in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size} bytes"
