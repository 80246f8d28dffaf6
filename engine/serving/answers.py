"""What a request is and what is answered: plain values between the ASGI application and the endpoints."""

from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson

from engine.serving.requests import Query, Refusal

Headers = list[tuple[bytes, bytes]]
JSON_TYPE, PROBLEM_TYPE = b"application/json", b"application/problem+json"


@dataclass(frozen=True)
class Request:
    """One request, read whole. `headers` holds the last value of each name, names in lower case."""

    method: str
    path: str
    query: Query
    headers: dict[bytes, bytes]
    body: bytes
    started: float  # by time.perf_counter

    @property
    def is_probe(self) -> bool:
        """Tell whether this is a measurement, which is answered and not counted."""
        return b"x-aisle-probe" in self.headers

    def header(self, name: bytes) -> str:
        return self.headers.get(name, b"").decode("latin-1")


@dataclass(frozen=True)
class Answer:
    """One answer."""

    status: int
    body: bytes
    content_type: bytes = JSON_TYPE
    headers: Headers = field(default_factory=list)


def json_answer(value: Any, *, status: int = 200, headers: Headers | None = None) -> Answer:
    """Answer with a JSON document."""
    return Answer(status, orjson.dumps(value), JSON_TYPE, headers or [])


def problem(refusal: Refusal, request: Request) -> Answer:
    """Answer a refusal as RFC 9457 has it."""
    body: dict[str, Any] = {
        "type": f"urn:aisle:problem:{refusal.code}",
        "title": HTTPStatus(refusal.status).phrase,
        "status": refusal.status,
        "detail": refusal.detail,
        "instance": request.path,
        "code": refusal.code,
        "request_id": request.header(b"x-request-id"),
    }
    if refusal.pointer:
        entry = {"pointer": refusal.pointer, "code": refusal.code, "detail": refusal.detail}
        body["errors"] = [entry]
    return Answer(refusal.status, orjson.dumps(body), PROBLEM_TYPE, _headers(refusal))


def protocol_error(refusal: Refusal, request: Request) -> Answer:
    """Answer a refusal as the Open Inference Protocol has it."""
    return Answer(refusal.status, orjson.dumps({"error": refusal.detail}), JSON_TYPE, _headers(refusal))


Refuse = Callable[[Refusal, Request], Answer]


def _headers(refusal: Refusal) -> Headers:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in refusal.headers.items()]
