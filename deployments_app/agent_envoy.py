"""What Envoy itself says: the versions it runs, and its counters. One scrape is one admin request.

Whom Envoy 1.40 charges when an arm is an aggregate cluster (found by trial, pinned by the tests):

- the aggregate `arm/{r}/{s}`: `upstream_rq_completed`, `upstream_rq_5xx` and `upstream_rq_time` once per
  shopper's request, by the answer that the shopper got and the whole time it took; `upstream_rq_retry`,
  and `upstream_rq_retry_success` when the second attempt was answered. Times are merged when they are
  read (`stats_flush_on_admin`), so they trail the counters by one scrape;
- its members `release/{r}`, `fallback/{r}/{s}`: `upstream_rq_total` per attempt, `upstream_rq_active`.

`upstream_rq_per_try_timeout` stays 0, because a hedged attempt is not cut off but joined by a second one.
"""

import http.client
import re
import time
from dataclasses import dataclass, field
from urllib.parse import quote

VERSIONS = {
    "clusters": "cluster_manager.cds.version_text",
    "keys": "extension_config_discovery.http_filter.envoy.filters.http.jwt_authn.version_text",
    "routes": "http.gateway.rds.main.version_text",
}
CLUSTERS = "arm|release|fallback|last|shadow"
NAMES = "completed|5xx|retry|retry_success|total|active|time"
SCRAPE = rf"^cluster\.({CLUSTERS})/.*\.upstream_rq_({NAMES})$|^server\.uptime$"
BUCKET = re.compile(r"B([0-9.]+)\([0-9]+,([0-9]+)\)")


class EnvoyUnavailable(Exception):
    """Envoy's admin port gave no answer."""


@dataclass
class Scrape:
    """Envoy's counters at one moment: by cluster and name; histograms as counts up to each bound, in ms."""

    uptime_s: int = 0  # whole seconds
    at: float = 0.0  # monotonic seconds
    is_first: bool = True  # the first on this connection: another Envoy may have been started before it
    counters: dict[tuple[str, str], int] = field(default_factory=dict)
    times: dict[str, dict[float, int]] = field(default_factory=dict)


class EnvoyAdmin:
    """Reads one Envoy's admin port. Not for use by two threads at once."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        self._is_new = True

    def read_versions(self) -> dict[str, str]:
        """Read which version of each watched file is in force. Raises EnvoyUnavailable.

        Envoy keeps them as text readouts, so this takes a fraction of what `/config_dump` does.
        """
        text = self._get("/stats?type=TextReadouts&filter=" + quote(r"version_text$"))
        found = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
        return {kind: found.get(name, "").strip('"') for kind, name in VERSIONS.items()}

    def has_clusters(self, version: str) -> bool:
        """Tell whether this version's clusters are in force, every name among them found."""
        text = self._get("/stats?filter=" + quote(r"^cluster_manager\.(cds\.version_text|warming_clusters)$"))
        found = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
        is_newest = found.get(VERSIONS["clusters"], "").strip('"') == version
        return is_newest and found.get("cluster_manager.warming_clusters") == "0"

    def scrape(self) -> Scrape:
        """Read the counters. Raises EnvoyUnavailable."""
        scrape = Scrape(at=time.monotonic())
        for line in self._get(
            "/stats?usedonly&histogram_buckets=cumulative&filter=" + quote(SCRAPE)
        ).splitlines():
            name, _, value = line.partition(": ")
            if name == "server.uptime":
                scrape.uptime_s = int(value)
            elif name.startswith("cluster."):
                cluster, _, counter = name.removeprefix("cluster.").rpartition(".upstream_rq_")
                if counter == "time":
                    scrape.times[cluster] = {float(upper): int(n) for upper, n in BUCKET.findall(value)}
                elif value.isdigit():
                    scrape.counters[cluster, counter] = int(value)
        scrape.is_first, self._is_new = self._is_new, False
        return scrape

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._connection.close()
        self._is_new = True

    def _get(self, path: str) -> str:
        for is_last in (False, True):
            try:
                self._connection.request("GET", path)
                return self._connection.getresponse().read().decode()
            except (OSError, http.client.HTTPException) as error:
                self.close()  # Envoy may have been restarted since: once more on a new connection
                if is_last:
                    raise EnvoyUnavailable(f"Envoy's admin port does not answer: {error}") from error
        raise AssertionError("the loop returns or raises")
