"""Shoppers: a bounded stream of requests to the gateway, over a few keep-alive connections."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

THREADS = 4
TIMEOUT_S = 5


class Traffic:
    """Asks for recommendations at `rate` a second until stopped; every second request is a POST.

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

    def _run(self, offset: int) -> None:
        connection = http.client.HTTPConnection(self._base.hostname or "", self._base.port, timeout=TIMEOUT_S)
        due, number = time.monotonic(), offset
        while not self._stopping.is_set():
            self._count(
                *self._ask(connection, self._users[number % len(self._users)], number // THREADS % 2 == 1)
            )
            number += THREADS
            due = max(due + self._interval_s, time.monotonic() - 1.0)
            self._stopping.wait(max(0.0, due - time.monotonic()))
        connection.close()

    def _ask(
        self, connection: http.client.HTTPConnection, user: str, is_post: bool
    ) -> tuple[int | None, str]:
        path = f"/{self._placement}/recommendations?user={quote(user, safe='')}&k=10"
        try:
            if is_post:
                connection.request("POST", path, b"{}", {"Content-Type": "application/json"})
            else:
                connection.request("GET", path)
            answer = connection.getresponse()
            raw = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return None, type(error).__name__
        if answer.status != 200:
            return None, str(answer.status)
        body: dict[str, Any] = json.loads(raw)
        if self._look is not None:
            self._look(user, body)
        return int(body["release"]), ""

    def _count(self, release: int | None, failure: str) -> None:
        with self._lock:
            if release is None:
                self.failures[failure] += 1
            else:
                self.answers[release] += 1
