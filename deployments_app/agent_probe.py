"""Measures a rollback as shoppers see it: asks the gateway until no other release answers any more."""

import http.client
import threading
import time
from dataclasses import dataclass
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ulid import ULID

from deployments_app.gateway import DeploymentRoute, Ports, Watch, WatchReport
from deployments_app.gateway_routes import PROBE_HEADER
from deployments_app.gateway_wire import parse_time
from deployments_app.serving_keys import public_jwk, sign_token

RATE_PER_S = 50
ASKERS = 5  # connections that take turns, so that one slow answer delays no other
QUIET_S = 0.5
LIMIT_S = 5.0
STALE_S = 10.0  # a rollback this old is history: an agent that has just started cannot measure it


class ProbeKey:
    """The agent's own key: its public half stands in every deployment's key set of this gateway."""

    def __init__(self) -> None:
        self._private_key = Ed25519PrivateKey.generate()
        self._kid = f"agent_{ULID()}"
        self.jwk = public_jwk(self._private_key, self._kid)

    def token(self, audience: str) -> str:
        """Sign a token for one deployment that outlasts one measurement."""
        return sign_token(self._private_key, self._kid, audience, int(time.time()) + 60)


@dataclass
class _Seen:
    """What the askers have seen so far; times by this machine's clock, in seconds since 1970."""

    asked: int = 0
    errors: int = 0
    last_other_at: float | None = None
    quiet_since: float = 0.0  # the last answer of another release, or the last error


class Prober:
    """One measurement: 50 requests a second with distinct users, until 0.5 s without another release."""

    def __init__(
        self,
        deployment: DeploymentRoute,
        *,
        ports: Ports,
        token: str,
        probe_mark: str,
        clock_offset_s: float,
    ) -> None:
        assert deployment.watch is not None
        self.watch = watch = deployment.watch
        self._path = f"/{deployment.shop}/{deployment.slug}/recommendations?k=1&user="
        self._port = ports.port
        self._headers = {"Authorization": f"Bearer {token}", PROBE_HEADER: probe_mark}
        self._received_at = parse_time(watch.received_at, "received_at").timestamp() - clock_offset_s
        self._lock = threading.Lock()
        self._seen = _Seen()
        self._routes_running_at: float | None = None

    def routes_are_running(self, at: float) -> None:
        """Note when Envoy first named the routes of this rollback as in force."""
        if self._routes_running_at is None:
            self._routes_running_at = at

    def measure(self) -> WatchReport:
        """Ask until it is quiet, at most 5 s, and say what was seen."""
        started = self._seen.quiet_since = time.time()
        askers = [
            threading.Thread(target=self._ask, args=(turn, started), daemon=True) for turn in range(ASKERS)
        ]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
        seen = self._seen
        return WatchReport(
            rollout_id=self.watch.rollout_id,
            last_other_answer_ms=self._after_click_ms(seen.last_other_at),
            routes_running_ms=self._after_click_ms(self._routes_running_at),
            probes=seen.asked,
            errors=seen.errors,
        )

    def _after_click_ms(self, at: float | None) -> float | None:
        return None if at is None else round((at - self._received_at) * 1000, 1)

    def _ask(self, turn: int, started: float) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=3)
        number = turn
        while not self._is_over(started):
            time.sleep(max(0.0, started + number / RATE_PER_S - time.time()))
            self._note(self._ask_once(connection, number))
            number += ASKERS
        connection.close()

    def _is_over(self, started: float) -> bool:
        now = time.time()
        is_quiet = now - max(self._seen.quiet_since, self._routes_running_at or now) >= QUIET_S
        return is_quiet or now - started >= LIMIT_S

    def _ask_once(self, connection: http.client.HTTPConnection, number: int) -> str | None:
        """Ask for one user; the release that answered, or None for an error."""
        user = quote(f"probe-{self.watch.rollout_id}-{number}")
        try:
            connection.request("GET", self._path + user, headers=self._headers)
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            return None
        return response.headers.get("x-release-id") if response.status == 200 else None

    def _note(self, release: str | None) -> None:
        now = time.time()
        with self._lock:
            self._seen.asked += 1
            if release == self.watch.to_release:
                return
            self._seen.quiet_since = now
            if release is None:
                self._seen.errors += 1
            else:
                self._seen.last_other_at = now


def is_worth_measuring(watch: Watch, portal_now: float) -> bool:
    """Tell whether the click is recent enough for its effect to be seen."""
    return portal_now - parse_time(watch.received_at, "received_at").timestamp() < STALE_S
