"""The agent's side of the talk with the portal: one kept-alive connection, conditional requests."""

import http.client
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from deployments_app.gateway_wire import Routes, WireError, read_list, read_object, routes_from_json

ROUTES_PATH = "/gateway/v1/routes"
REPORT_PATH = "/gateway/v1/report"
SHOPPERS_PATH = "/gateway/v1/shoppers"
TIMEOUT_S = 2.0
ANSWER_MAX_BYTES = 16 * 1024 * 1024


class PortalUnavailable(Exception):
    """The portal gave no answer that can be used; the message says what happened."""


@dataclass(frozen=True)
class Fetched:
    """New routes, and how far the portal's clock is ahead of ours."""

    routes: Routes
    clock_offset_s: float


class Portal:
    """Asks one portal, with one token, for one backend's routes. Not for use by two threads at once."""

    def __init__(self, url: str, token: str, backend: str = "local") -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"PORTAL_URL {url!r} is not an http address")
        secure = parts.scheme == "https"
        connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self._connection = connect(parts.hostname, parts.port, timeout=TIMEOUT_S)
        self._prefix = parts.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self._routes_path = f"{ROUTES_PATH}?{urlencode({'backend': backend})}"
        self._etag = ""

    def fetch_routes(self) -> Fetched | None:
        """Ask for routes newer than the last ones, and wait for them a little: None when there are none.

        Raises PortalUnavailable; routes that cannot be read raise it too, and are asked for again.
        """
        condition = {"If-None-Match": self._etag, "Prefer": "wait=1"} if self._etag else {}
        asked_at = time.time()
        status, headers, content = self._request("GET", self._routes_path, None, condition)
        answered_at = time.time()
        if status == 304:
            return None
        if status != 200:
            raise PortalUnavailable(f"The portal answered {status} when asked for routes.")
        try:
            routes, portal_now = routes_from_json(json.loads(content))
        except (WireError, ValueError, RecursionError) as error:
            raise PortalUnavailable(f"The portal's routes cannot be read: {error}") from error
        self._etag = headers.get("etag", "")
        return Fetched(routes, _clock_offset_s(portal_now, asked_at, answered_at))

    def fetch_shoppers(self, rollout_id: str) -> list[str]:
        """Ask for shoppers whom a shadow is compared for. Raises PortalUnavailable."""
        path = f"{SHOPPERS_PATH}?{urlencode({'rollout': rollout_id})}"
        status, _, content = self._request("GET", path, None, {})
        if status != 200:
            raise PortalUnavailable(f"The portal answered {status} when asked for shoppers.")
        try:
            found = read_list(read_object(json.loads(content), "shoppers"), "shoppers", "shoppers")
        except (WireError, ValueError, RecursionError) as error:
            raise PortalUnavailable(f"The portal's shoppers cannot be read: {error}") from error
        return [str(each) for each in found]

    def post_report(self, report: dict[str, Any]) -> None:
        """Hand over one report. Raises PortalUnavailable."""
        body = json.dumps(report).encode()
        status, _, _ = self._request("POST", REPORT_PATH, body, {"Content-Type": "application/json"})
        if not 200 <= status < 300:
            raise PortalUnavailable(f"The portal answered {status} to a report.")

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._connection.close()

    def _request(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        try:
            return self._request_once(method, path, body, headers)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            self.close()  # the server closed an idle connection: ask once more on a new one
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise PortalUnavailable(f"The portal cannot be reached: {error}") from error
        try:
            return self._request_once(method, path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise PortalUnavailable(f"The portal cannot be reached: {error}") from error

    def _request_once(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        self._connection.request(method, self._prefix + path, body, {**self._headers, **headers})
        response = self._connection.getresponse()
        content = response.read(ANSWER_MAX_BYTES + 1)
        if len(content) > ANSWER_MAX_BYTES:
            raise http.client.HTTPException("the answer is larger than 16 MiB")
        return response.status, {name.lower(): value for name, value in response.getheaders()}, content


def read_kept(path: Path) -> Routes | None:
    """Read routes that were kept for a gateway without a portal; None where there are none to serve by."""
    try:
        routes, _ = routes_from_json(json.loads(path.read_text()))
    except (OSError, WireError, ValueError, RecursionError):
        return None
    return routes if routes.deployments else None


def _clock_offset_s(portal_now: datetime, asked_at: float, answered_at: float) -> float:
    """Reckon the portal's clock minus ours: the smallest that asking and answering allow.

    Two processes on one machine get exactly 0, however long the portal thought about its answer.
    """
    now = portal_now.astimezone(UTC).timestamp()
    return min(0.0, now - asked_at) + max(0.0, now - answered_at)
