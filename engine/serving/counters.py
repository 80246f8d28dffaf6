"""What a model server counts, for /metrics; labels are few and never name a shopper or an item."""

import re
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from engine.serving.config import ServingConfig
from engine.serving.ranking import RankedList

BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
VARIANT = re.compile(r"[a-z_]{1,16}")
VARIANTS_MAX = 8
OTHER = "other"
CONTENT_TYPE = CONTENT_TYPE_LATEST.encode()
OUTCOMES = ("ok", "empty")
# What asked for a list: one shopper's visit, or a request for many, which says nothing of how shoppers fare.
LIST, BATCH, INFERENCE = ENDPOINTS = ("list", "batch", "inference")


@dataclass(frozen=True)
class Served:
    """One list that went out: what is counted of it. model_s: None when no model was asked for it."""

    variant: str
    served_by: str
    fallback_reason: str | None
    n_items: int
    is_short: bool
    dropped: int
    total_s: float
    model_s: float | None = None
    endpoint: str = LIST

    @classmethod
    def of(
        cls, ranked: RankedList, variant: str, made_by: tuple[str, str | None], total_s: float, endpoint: str
    ) -> "Served":
        """Take a list as it was made; made_by: what is said of who served it, and why not the model."""
        served_by, reason = made_by
        facts = (len(ranked.items), ranked.is_short, ranked.dropped)
        return cls(variant, served_by, reason, *facts, total_s, ranked.model_s, endpoint)


class Counters:
    """This server's metrics, in a registry of their own."""

    def __init__(self, config: ServingConfig) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self.registry)
        place = ("shop", "placement", "release")
        self._place = (config.shop, config.deployment_id, config.release_id)
        self._variants: set[str] = set()
        # Looking labels up costs more than counting.
        self._lists_of: dict[tuple[str, str, str, str], Counter] = {}

        def counter(name: str, what: str, *more: str) -> Counter:
            return Counter(name, what, (*place, *more), registry=self.registry)

        self._lists = counter(
            "aisle_recommendations_total", "Lists answered.", "endpoint", "variant", "served_by", "outcome"
        )
        self._fallback = counter(
            "aisle_fallback_total",
            "Lists not made by this release's model for this user.",
            *("endpoint", "reason"),
        )
        empty = counter("aisle_empty_total", "Lists without any item.", "endpoint")
        self._empty = {each: empty.labels(*self._place, each) for each in ENDPOINTS}
        self._short = counter(
            "aisle_short_lists_total", "Lists shorter than asked although items remained."
        ).labels(*self._place)
        self._dropped = counter(
            "aisle_dropped_scores_total", "Items left out because their score was not finite."
        ).labels(*self._place)
        self._refused = counter("aisle_refused_total", "Requests answered with an error.", "status")
        looks = counter("aisle_cache_requests_total", "Looks for a list made before.", "result")
        self._hits, self._misses = (looks.labels(*self._place, result) for result in ("hit", "miss"))
        duration = Histogram(
            "aisle_recommendation_duration_seconds",
            "Time to answer: total, and of it model, the scoring.",
            (*place, "stage"),
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self._total, self._model = (duration.labels(*self._place, stage) for stage in ("total", "model"))
        self.ready = Gauge(
            "aisle_ready", "1 while this server takes requests.", place, registry=self.registry
        ).labels(*self._place)
        artifact = Gauge(
            "aisle_artifact_info",
            "Always 1; which artifact is served.",
            (*place, "digest", "algorithm", "model", "version"),
            registry=self.registry,
        )
        artifact.labels(
            *self._place, config.digest, config.algorithm, config.model, str(config.model_version)
        ).set(1)
        for outcome in OUTCOMES:
            self._lists.labels(*self._place, LIST, "stable", config.algorithm, outcome)

    def count(self, served: Served) -> None:
        """Count one list."""
        outcome = OUTCOMES[not served.n_items]
        kind = (served.endpoint, self._known(served.variant), served.served_by, outcome)
        lists = self._lists_of.get(kind)
        if lists is None:
            lists = self._lists_of[kind] = self._lists.labels(*self._place, *kind)
        lists.inc()
        self._total.observe(served.total_s)
        if served.model_s is not None:
            self._model.observe(served.model_s)
        if served.fallback_reason is not None:
            self._fallback.labels(*self._place, served.endpoint, served.fallback_reason).inc()
        if not served.n_items:
            self._empty[served.endpoint].inc()
        if served.is_short:
            self._short.inc()
        if served.dropped:
            self._dropped.inc(served.dropped)

    def look_up(self, *, is_hit: bool) -> None:
        """Count one look into the cache of lists."""
        (self._hits if is_hit else self._misses).inc()

    def refuse(self, status: int) -> None:
        """Count an answer that is an error."""
        self._refused.labels(*self._place, str(status)).inc()

    def write(self) -> bytes:
        """Write all metrics in Prometheus' text form."""
        return generate_latest(self.registry)

    def _known(self, variant: str) -> str:
        """Keep the label bounded, whoever sends the header."""
        if variant in self._variants:
            return variant
        if len(self._variants) < VARIANTS_MAX and VARIANT.fullmatch(variant):
            self._variants.add(variant)
            return variant
        return OTHER
