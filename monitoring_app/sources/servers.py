"""Ask one model server directly, past the gateway, as a measurement that counts for no shopper."""

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from prometheus_client.parser import text_string_to_metric_families

from monitoring_app.consistency import Ranked

TIMEOUT_S = 2.0
BODY_MAX_BYTES = 1024 * 1024
AS_A_MEASUREMENT = {"x-aisle-probe": "1"}


class ServerAway(Exception):
    """The server did not answer, or not with what was asked for."""


class Server:
    """One kept connection to one server."""

    def __init__(self, endpoint: str, timeout_s: float) -> None:
        host, _, port = endpoint.rpartition(":")
        self.endpoint = endpoint
        self._connection = http.client.HTTPConnection(host, int(port), timeout=timeout_s)

    def close(self) -> None:
        self._connection.close()

    def metrics(self) -> str:
        """Return its counters as Prometheus text."""
        return self._get("/metrics").decode("utf-8", "replace")

    def artifact_digest(self) -> str:
        """Return the sha256 of the manifest that this server says it serves; empty if it says none."""
        for family in text_string_to_metric_families(self.metrics()):
            for sample in family.samples:
                if sample.name == "aisle_artifact_info":
                    return str(sample.labels.get("digest", ""))
        return ""

    def list_for(self, path: str, user: str, k: int) -> Ranked:
        """Ask for one shopper's list. path: `{shop}/{deployment}`."""
        body = self._get(f"/{path}/recommendations?user={quote(user, safe='')}&k={k}")
        try:
            items = json.loads(body)["items"]
            return Ranked([str(each["item_id"]) for each in items], [float(each["score"]) for each in items])
        except (ValueError, KeyError, TypeError) as error:
            raise ServerAway("its answer cannot be read") from error

    def _get(self, target: str) -> bytes:
        try:
            self._connection.request("GET", target, headers=AS_A_MEASUREMENT)
            answer = self._connection.getresponse()
            body = answer.read(BODY_MAX_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise ServerAway(f"it did not answer: {error}") from error
        if answer.status != 200:
            raise ServerAway(f"it answered {answer.status} to {target.partition('?')[0]}")
        return body


@contextmanager
def connected(endpoint: str, timeout_s: float = TIMEOUT_S) -> Iterator[Server]:
    server = Server(endpoint, timeout_s)
    try:
        yield server
    finally:
        server.close()
