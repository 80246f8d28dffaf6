"""The ASGI application of a model server: finds the endpoint, reads the body, turns refusals into answers.

Paths come through the gateway as `/{shop}/{deployment}/…`; what they end in decides. The inference
protocol is at `/v2/…` too, and `/metrics` only bare, so that the gateway never shows it to shoppers.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from engine.serving import inference_protocol as protocol
from engine.serving.answers import Answer, Refuse, Request, problem, protocol_error
from engine.serving.batch import Batches
from engine.serving.batch_limits import BatchRoom
from engine.serving.config import ServingConfig
from engine.serving.counters import CONTENT_TYPE, Counters
from engine.serving.domain import Domain
from engine.serving.inference_protocol import InferenceProtocol
from engine.serving.model import ServedModel
from engine.serving.requests import BODY_MAX_BYTES, Refusal, read_id, read_query

log = logging.getLogger("aisle.serving")

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

LISTEN_MAX_BYTES = 16 * BODY_MAX_BYTES  # heard out, though refused: a client that still sends reads no answer
# What a body may say that it is; nothing is fine too.
JSON_IN_UTF8 = re.compile(r'(application/json\s*(;\s*charset\s*=\s*"?utf-?8"?\s*)?)?', re.IGNORECASE)
BRIEF, CLOSE = (b"cache-control", b"private, no-store"), (b"connection", b"close")


class ClientGone(Exception):
    """The connection closed before the request was whole."""


@dataclass(frozen=True)
class Endpoints:
    """What answers once the model is there."""

    domain: Domain
    batches: Batches
    protocol: InferenceProtocol


class ModelServer:
    """One release over HTTP. It is live at once, ready after `start`, and no longer after `drain`."""

    def __init__(self, config: ServingConfig, key: bytes) -> None:
        self.config = config
        self.counters = Counters(config)
        self._key = key
        self._endpoints: Endpoints | None = None
        self._is_draining = False
        self._under_way = 0

    @property
    def is_loading(self) -> bool:
        return self._endpoints is None

    @property
    def is_ready(self) -> bool:
        return self._endpoints is not None and not self._is_draining

    def start(self, model: ServedModel) -> None:
        """Take a model that has been warmed up: ready from now on."""
        domain, room = Domain(self.config, self._key, model, self.counters), BatchRoom()
        self._endpoints = Endpoints(domain, Batches(domain, room), InferenceProtocol(domain, room))
        self.counters.ready.set(1)

    def drain(self) -> None:
        """Say from now on that this server is not ready, and answer whoever still asks."""
        self._is_draining = True
        self.counters.ready.set(0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        request = Request(
            method, scope["path"], read_query(scope["query_string"]), dict(scope["headers"]), b"", started
        )
        segments = scope["raw_path"].decode("ascii").split("/")[1:]
        is_protocol = segments[0] == "v2" or segments[2:3] == ["v2"]
        refuse: Refuse = protocol_error if is_protocol else problem
        try:
            answer = await self._answer_in_turn(
                await _with_body(request, receive, self.config.patience_s), segments
            )
        except Refusal as refusal:
            answer = self._refuse(refusal, refuse, request)
        except ClientGone:
            return
        except Exception:
            log.exception("a request failed")
            failure = Refusal(500, "failed", "The model server failed on this request.")
            answer = self._refuse(failure, refuse, request)
        await self._send(answer, send)

    async def _answer_in_turn(self, request: Request, segments: list[str]) -> Answer:
        """Answer, or refuse at once when too many wait already: late answers help nobody.

        Whether the server is there is always told. A body that is still on its way does not count: a few slow
        clients would keep all others out. All that arrived together are counted before the first is
        answered: otherwise those that are answered without any waiting would never be too many.
        """
        if segments[-2:-1] == ["health"] or segments == ["metrics"]:
            return await self._answer(request, segments)
        if self._under_way >= self.config.under_way_max:
            detail = f"{self._under_way} requests are under way already; ask again in a second."
            raise Refusal(429, "overloaded", detail, headers={"Retry-After": "1"})
        self._under_way += 1
        try:
            await asyncio.sleep(0)
            return await self._answer(request, segments)
        finally:
            self._under_way -= 1

    async def _answer(self, request: Request, segments: list[str]) -> Answer:
        if segments[0] == "v2":
            return await self._answer_protocol(request, segments[1:])
        match segments:
            case ["metrics"]:
                _allow(request, "GET")
                return Answer(200, self.counters.write(), CONTENT_TYPE)
            case [_, _, "v2", *rest]:
                return await self._answer_protocol(request, rest)
            case [_, _, "recommendations"]:
                _allow(request, "GET", "POST")
                return await self._ready().domain.recommendations(request)
            case [_, _, "recommendations", "batch"]:
                _allow(request, "POST")
                return await self._ready().batches.answer(request)
            case [_, _, "trending"]:
                _allow(request, "GET")
                return await self._ready().domain.trending(request)
            case [_, _, "items", item, "similar"] if item:
                _allow(request, "GET")
                return await self._ready().domain.similar(request, item)
            case [_, _, "session"]:
                _allow(request, "POST")
                return await self._ready().domain.session(request)
        raise Refusal(404, "not_found", "There is nothing at this address.")

    async def _answer_protocol(self, request: Request, rest: list[str]) -> Answer:
        if rest[-1:] == ["infer"]:
            _allow(request, "POST")
        else:
            _allow(request, "GET")
        match rest:
            case [] | [""]:
                return protocol.server_metadata()
            case ["health", "live"]:
                return protocol.live()
            case ["health", "ready"]:
                return protocol.ready(self.is_ready)
            case ["models", name, *more] if name:
                return await self._answer_model(request, read_id(name, "model"), more)
        raise Refusal(404, "not_found", "There is nothing at this address.")

    async def _answer_model(self, request: Request, name: str, more: list[str]) -> Answer:
        version = None
        if more[:1] == ["versions"] and len(more) > 1:
            version, more = read_id(more[1], "version"), more[2:]
        endpoint = self._ready().protocol
        endpoint.check_model(name, version)
        match more:
            case []:
                return endpoint.metadata()
            case ["ready"]:
                return endpoint.model_ready()
            case ["infer"]:
                return await endpoint.infer(request)
        raise Refusal(404, "not_found", "There is nothing at this address.")

    def _ready(self) -> Endpoints:
        if self._endpoints is None:
            raise Refusal(503, "not_ready", "The model is still loading.", headers={"Retry-After": "1"})
        return self._endpoints

    def _refuse(self, refusal: Refusal, refuse: Refuse, request: Request) -> Answer:
        if not request.is_probe:
            self.counters.refuse(refusal.status)
        return refuse(refusal, request)

    async def _send(self, answer: Answer, send: Send) -> None:
        headers = [
            (b"content-type", answer.content_type),
            (b"content-length", str(len(answer.body)).encode()),
            BRIEF,
            *answer.headers,
        ]
        if self._is_draining or answer.status in (408, 413):
            headers.append(CLOSE)
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})


def _allow(request: Request, *methods: str) -> None:
    """Refuse another method than these, and a body that does not say that it is JSON."""
    if request.method not in methods:
        listed = ", ".join([*methods, "HEAD"] if "GET" in methods else methods)
        detail = f"This address takes {listed}."
        raise Refusal(405, "method_not_allowed", detail, headers={"Allow": listed})
    given = request.header(b"content-type")
    if request.body and not JSON_IN_UTF8.fullmatch(given):
        detail = f"A body is application/json in UTF-8, not {given[:80]!r}."
        raise Refusal(415, "unsupported_media_type", detail, headers={"Accept": "application/json"})


async def _with_body(request: Request, receive: Receive, patience_s: float) -> Request:
    """Read a POST's body, at most 1 MiB, in so many seconds."""
    if request.method != "POST":
        return request
    body, size = bytearray(), 0
    try:
        async with asyncio.timeout(patience_s):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                size += len(message["body"])
                if size <= BODY_MAX_BYTES:
                    body += message["body"]
                if not message["more_body"] or size > LISTEN_MAX_BYTES:
                    break
    except TimeoutError:
        raise Refusal(408, "request_too_slow", "The body did not arrive in time.") from None
    if size > BODY_MAX_BYTES:
        raise Refusal(413, "body_too_large", "A request's body may have at most 1 MiB.")
    return replace(request, body=bytes(body))
