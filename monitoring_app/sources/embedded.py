"""The embedded source: ask each model server for `/metrics` and keep the counters in PostgreSQL."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from monitoring_app.services.metrics import Totals
from monitoring_app.sources.servers import connected

TIMEOUT_S = 1.0
ARM_FAILED = "arm_failed"
SHADOW = "shadow"  # the variant that a gateway says with a copy of a request


class EmbeddedSource:
    """Reads Prometheus text over HTTP from one server."""

    def read(self, release_id: str, endpoint: str) -> Totals:
        """Read one server's counters; raises ServerAway when it does not answer."""
        with connected(endpoint, TIMEOUT_S) as server:
            return totals_of(server.metrics(), release_id, endpoint)


def totals_of(text: str, release_id: str, endpoint: str) -> Totals:
    """Read the counters we keep from Prometheus text."""
    families = list(text_string_to_metric_families(text))
    started = _sum(families, "process_start_time_seconds")
    counts = {
        "answers": int(_sum(families, "aisle_recommendations_total")),
        # Answers for an arm that failed are that arm's trouble, not this release's.
        "fallbacks": int(_sum(families, "aisle_fallback_total", but_not={"reason": ARM_FAILED})),
        "copies": int(_sum(families, "aisle_recommendations_total", only={"variant": SHADOW})),
        "empty": int(_sum(families, "aisle_empty_total")),
    }
    return Totals(release_id, f"server {endpoint}", f"{started:.2f}", counts)


def _sum(
    families: Iterable[Metric],
    name: str,
    *,
    only: Mapping[str, str] = MappingProxyType({}),
    but_not: Mapping[str, str] = MappingProxyType({}),
) -> float:
    """Add a counter up over its labels: those that have all of `only` and none of `but_not`."""
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
        and only.items() <= sample.labels.items()
        and not but_not.items() & sample.labels.items()
    )
