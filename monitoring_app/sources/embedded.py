"""The embedded source: ask each model server for `/metrics` and keep the counters in PostgreSQL."""

from collections.abc import Iterable, Set

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from monitoring_app.services.metrics import Totals
from monitoring_app.sources.servers import connected

TIMEOUT_S = 1.0
SHADOW = ("variant", "shadow")  # what a gateway says with a copy of a request
# A request for many goes whole to one arm, and its users are whom somebody wrote down, not who came.
FOR_MANY = frozenset({("endpoint", "batch"), ("endpoint", "inference")})
# Answers for an arm that failed are that arm's trouble, not this release's.
ARM_FAILED = ("reason", "arm_failed")
NONE: frozenset[tuple[str, str]] = frozenset()


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
        "answers": int(_sum(families, "aisle_recommendations_total", but_not=FOR_MANY)),
        "fallbacks": int(_sum(families, "aisle_fallback_total", but_not=FOR_MANY | {ARM_FAILED})),
        "copies": int(_sum(families, "aisle_recommendations_total", only={SHADOW}, but_not=FOR_MANY)),
        "empty": int(_sum(families, "aisle_empty_total", but_not=FOR_MANY)),
    }
    return Totals(release_id, f"server {endpoint}", f"{started:.2f}", counts)


def _sum(
    families: Iterable[Metric],
    name: str,
    *,
    only: Set[tuple[str, str]] = NONE,
    but_not: Set[tuple[str, str]] = NONE,
) -> float:
    """Add a counter up over its labels: those that have all of `only` and none of `but_not`."""
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == name and only <= sample.labels.items() and not but_not & sample.labels.items()
    )
