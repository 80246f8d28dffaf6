"""uvicorn's HTTP connection, with bounds on what a client may send before it has sent a request."""

import asyncio
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

HEAD_MAX_BYTES = 64 * 1024


class BoundedConnection(HttpToolsProtocol):
    """A request's line and headers must arrive in time and within 64 KiB, or the connection ends."""

    patience_s = 5.0
    _deadline: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._deadline is None:
            self._wait_for_head()

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        if self._deadline is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        if (
            self._deadline is not None
            and self._head_bytes > HEAD_MAX_BYTES
            and not self.transport.is_closing()
        ):
            self._refuse(431, "headers_too_large", "The request's line and headers are larger than 64 KiB.")

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "malformed_request", "This is not an HTTP request that can be read.")

    def _wait_for_head(self) -> None:
        self._head_bytes = 0
        self._deadline = self.loop.call_later(self.patience_s, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: int, code: str, detail: str) -> None:
        self._stop_waiting()
        facts: dict[str, Any] = {"type": f"urn:aisle:problem:{code}", "title": "The request cannot be read"}
        body = orjson.dumps({**facts, "status": status, "detail": detail, "code": code})
        head = b"content-type: application/problem+json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + head % len(body) + body)
        self.transport.close()


def patient_for(patience_s: float) -> type[BoundedConnection]:
    """Make the class of connections that wait so long, as uvicorn takes a class."""
    return type("PatientConnection", (BoundedConnection,), {"patience_s": patience_s})
