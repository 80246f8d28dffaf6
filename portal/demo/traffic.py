"""Shoppers: a bounded stream of requests to the gateway, over connections some of which are new."""

import http.client
import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

THREADS = 4
TIMEOUT_S = 5
LATENCIES_KEPT = 100_000


class Traffic:
    """Asks for recommendations at `rate` a second until stopped; every second request is a POST.

    Every tenth opens a connection, as a shopper who just came does; the others keep theirs. An answer that
    lists nothing is a failure as one that does not come is.

    look: what a shopper does with an answer, called from several threads.
    """

    def __init__(
        self,
        gateway_url: str,
        placement: str,
        users: Sequence[str],
        rate: float,
        look: Callable[[str, dict[str, Any]], None] | None = None,
    ) -> None:
        self._look = look
        self._base = urlsplit(gateway_url)
        self._placement = placement
        self._users = users
        self._interval_s = THREADS / rate
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self.answers: Counter[int] = Counter()  # by release number
        self.failures: Counter[str] = Counter()
        self._latencies_ms: deque[float] = deque(maxlen=LATENCIES_KEPT)  # of answers that were good
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(THREADS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(TIMEOUT_S + 1)

    @property
    def total(self) -> int:
        return sum(self.answers.values()) + sum(self.failures.values())

    def latency_ms(self, percent: float) -> float:
        """Return how long this share of the good answers took at most; 0 when there was none."""
        with self._lock:
            ordered = sorted(self._latencies_ms)
        return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)] if ordered else 0.0

    def __str__(self) -> str:
        failed = sum(self.failures.values())
        return (
            f"{self.total:,} requests, {failed} failed{f' ({dict(self.failures)})' if failed else ''}, "
            f"p50 {self.latency_ms(50):.1f} ms, p99 {self.latency_ms(99):.1f} ms"
        )

    def _run(self, offset: int) -> None:
        connection = http.client.HTTPConnection(self._base.hostname or "", self._base.port, timeout=TIMEOUT_S)
        due, number = time.monotonic(), 0
        while not self._stopping.is_set():
            if number % 10 == number // 10 % 2:  # of each ten one, by turns a GET and a POST
                connection.close()  # it opens again by itself
            user = self._users[(offset + number * THREADS) % len(self._users)]
            self._count(*self._ask(connection, user, number % 2 == 1))
            number += 1
            due = max(due + self._interval_s, time.monotonic() - 1.0)
            self._stopping.wait(max(0.0, due - time.monotonic()))
        connection.close()

    def _ask(
        self, connection: http.client.HTTPConnection, user: str, is_post: bool
    ) -> tuple[int | None, str, float]:
        """Ask once; returns the release that answered, or None and what was wrong, and the ms it took."""
        path = f"/{self._placement}/recommendations?user={quote(user, safe='')}&k=10"
        began = time.monotonic()
        try:
            if is_post:
                connection.request("POST", path, b"{}", {"Content-Type": "application/json"})
            else:
                connection.request("GET", path)
            answer = connection.getresponse()
            raw = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return None, type(error).__name__, 0.0
        took_ms = (time.monotonic() - began) * 1000
        if answer.status != 200:
            return None, str(answer.status), took_ms
        body: dict[str, Any] = json.loads(raw)
        if not body["items"]:
            return None, "an empty list", took_ms
        if self._look is not None:
            self._look(user, body)
        return int(body["release"]), "", took_ms

    def _count(self, release: int | None, failure: str, took_ms: float) -> None:
        with self._lock:
            if release is None:
                self.failures[failure] += 1
            else:
                self.answers[release] += 1
                self._latencies_ms.append(took_ms)
