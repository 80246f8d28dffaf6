"""Load over HTTP: a few keep-alive connections, each with one request under way, and how long it waited."""

import asyncio
import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import cast

import numpy as np
import uvloop

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Load:
    """What a load met: answers a second, and milliseconds to an answer."""

    per_second: float
    p50_ms: float
    p99_ms: float
    refused: int  # answers that are not 200


@dataclass
class Shared:
    """What the connections of one load have in common."""

    requests: Iterator[bytes]
    is_over: bool = False
    taken_s: list[float] = field(default_factory=list)
    refused: int = 0


class Shopper(asyncio.Protocol):
    """One connection: sends a request, reads the answer whole, sends the next."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport
        self._read = bytearray()
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.gone.done():
            self.gone.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._read += data
        end = self._read.find(b"\r\n\r\n")
        length = LENGTH.search(self._read, 0, end) if end >= 0 else None
        if length is None or len(self._read) < end + 4 + int(length[1]):
            return
        self.shared.taken_s.append(time.perf_counter() - self._sent_at)
        self.shared.refused += self._read[9:12] != b"200"
        self._read.clear()
        if self.shared.is_over:
            self._transport.close()
        else:
            self._ask()

    def _ask(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(next(self.shared.requests))


def get(path: str) -> bytes:
    """Write a GET request."""
    return f"GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n".encode()


def post(path: str, value: object) -> bytes:
    """Write a POST request with a JSON body."""
    body = json.dumps(value)
    head = f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()


def put_load(port: int, requests: Sequence[bytes], *, connections: int = 8, seconds: float = 3.0) -> Load:
    """Send the requests in turn, over and over; raise RuntimeError if a connection is lost on the way."""
    return uvloop.run(_put_load(port, requests, connections, seconds))


async def _put_load(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Load:
    shared = Shared(cycle(requests))
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    shoppers = [
        (await loop.create_connection(lambda: Shopper(shared), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    await asyncio.sleep(seconds)
    if any(each.gone.done() for each in shoppers):
        raise RuntimeError("the server closed a connection in the middle of the load")
    shared.is_over = True
    async with asyncio.timeout(10):
        await asyncio.gather(*(each.gone for each in shoppers))
    took_s = time.perf_counter() - started
    p50, p99 = (1000 * np.percentile(shared.taken_s, [50, 99])).tolist()
    return Load(len(shared.taken_s) / took_s, p50, p99, shared.refused)
