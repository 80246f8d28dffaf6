"""Compares a shadow with stable: asks both for the same shoppers through its gateway, again and again.

Envoy drops what a shadow answers to copies of requests, so what it would have shown is found here: beside
Envoy, which reaches the servers of every backend. The shoppers are a sample of those the model knows.
"""

import http.client
import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from deployments_app.agent_portal import Portal, PortalUnavailable
from deployments_app.agent_state import AgentState
from deployments_app.gateway import DeploymentRoute, Pairs, Ports
from deployments_app.gateway_routes import PROBE_HEADER, RELEASE_HEADER

PAIRS_PER_S = 5.0
LIST = 10
TIMEOUT_S = 3.0
TOKEN_FOR_S = 30.0  # a new one is signed well before the last one ends

log = logging.getLogger("aisle.agent")


class NotTheOneAsked(Exception):
    """Another release answered: Envoy does not run the routes yet that lead to each of the two."""


class Comparer:
    """One shadow's comparison, for as long as the routes name it."""

    def __init__(
        self,
        deployment: DeploymentRoute,
        state: AgentState,
        *,
        portal: Portal,
        ports: Ports,
        sign: Callable[[], str],
        probe_mark: str,
    ) -> None:
        assert deployment.shadow is not None
        assert deployment.stable is not None
        self.shadow = deployment.shadow
        self._releases = (deployment.stable, deployment.shadow.release_id)
        self._path = f"/{deployment.shop}/{deployment.slug}/recommendations?k={LIST}&user="
        self._state = state
        self._portal = portal
        self._sign = sign
        self._token, self._signed_at = "", 0.0
        self._mark = probe_mark
        self._connection = http.client.HTTPConnection("127.0.0.1", ports.port, timeout=TIMEOUT_S)
        self._over = threading.Event()

    def stop(self) -> None:
        """Ask `run` to return soon."""
        self._over.set()

    def run(self) -> None:
        """Compare until stopped; without a portal or shoppers, wait for them."""
        shoppers: list[str] = []
        number = 0
        while not (self._over.is_set() or self._state.stopping.is_set()):
            began = time.monotonic()
            if not shoppers:
                shoppers = self._fetch_shoppers()
            if shoppers:
                pair = self._compare(shoppers[number % len(shoppers)], number)
                number += 1
                if pair is not None:
                    self._note(pair)
            pause_s = 1 / PAIRS_PER_S if shoppers else 2.0
            self._over.wait(max(0.0, pause_s - (time.monotonic() - began)))
        self._connection.close()
        self._portal.close()

    def _fetch_shoppers(self) -> list[str]:
        try:
            return self._portal.fetch_shoppers(self.shadow.rollout_id)
        except PortalUnavailable as error:
            log.debug("%s", error)
            return []

    def _note(self, pair: Pairs) -> None:
        """Add one pair, unless the comparison ended while it was asked for: its sums are gone by then."""
        with self._state.lock:
            if self._over.is_set():
                return
            so_far = self._state.pairs.get(pair.rollout_id)
            self._state.pairs[pair.rollout_id] = pair if so_far is None else so_far.plus(pair)

    def _compare(self, user: str, number: int) -> Pairs | None:
        """Ask both, each first every second time, so that neither profits from a warm cache.

        None when the pair tells nothing: neither answered, or the routes of the shadow are not in force.
        """
        order = self._releases if number % 2 else self._releases[::-1]
        try:
            answers = {release: self._ask(release, user) for release in order}
        except NotTheOneAsked:
            return None
        (live, live_ms), (new, new_ms) = (answers[release] for release in self._releases)
        if live is None and new is None:
            return None
        failed = {"live_errors": int(live is None), "new_errors": int(new is None)}
        if live is None or new is None:
            return Pairs(self.shadow.rollout_id, asked=1, **failed)
        return pair_of(self.shadow.rollout_id, live, new, live_ms, new_ms)

    def _ask(self, release: str, user: str) -> tuple[list[tuple[str, float]] | None, float]:
        """Ask one release for one shopper's list: (items with scores, None for an error), and the time.

        Raises NotTheOneAsked.
        """
        headers = {PROBE_HEADER: self._mark, RELEASE_HEADER: release, "Authorization": self._authorization()}
        began = time.perf_counter()
        try:
            self._connection.request("GET", self._path + quote(user, safe=""), headers=headers)
            response = self._connection.getresponse()
            content = response.read()
            took_ms = (time.perf_counter() - began) * 1000
            if response.status != 200:
                return None, took_ms
            if response.headers.get("x-release-id") != release:
                raise NotTheOneAsked
            return _read_list(json.loads(content)), took_ms
        except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
            self._connection.close()
            return None, (time.perf_counter() - began) * 1000

    def _authorization(self) -> str:
        if time.monotonic() - self._signed_at > TOKEN_FOR_S or not self._token:
            self._token, self._signed_at = self._sign(), time.monotonic()
        return f"Bearer {self._token}"


def pair_of(
    rollout_id: str,
    live: list[tuple[str, float]],
    new: list[tuple[str, float]],
    live_ms: float,
    new_ms: float,
) -> Pairs:
    """Count one pair of lists; what they share is of the longer one, so equal short lists agree wholly."""
    longest = max(len(live), len(new))
    common = len({item for item, _ in live} & {item for item, _ in new})
    overlap = common / longest if longest else 1.0
    live_score, new_score = (_mean([score for _, score in each]) for each in (live, new))
    return Pairs(
        rollout_id,
        asked=1,
        answered=1,
        overlap=overlap,
        overlap_squared=overlap**2,
        live_ms=live_ms,
        new_ms=new_ms,
        slower_squared=(new_ms - live_ms) ** 2,
        live_score=live_score,
        live_score_squared=live_score**2,
        new_score=new_score,
    )


def _read_list(body: dict[str, Any]) -> list[tuple[str, float]]:
    return [(str(item["item_id"]), float(item["score"])) for item in body["items"]]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0
