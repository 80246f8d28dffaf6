"""Totals per arm that only grow: Envoy's counters, added up over its restarts and forgotten clusters."""

import time
from collections import defaultdict
from dataclasses import dataclass, field

from deployments_app.agent_envoy import Scrape
from deployments_app.gateway import ArmReport, Routes
from deployments_app.gateway_bootstrap import LATENCY_BUCKETS_MS
from deployments_app.gateway_clusters import (
    arm_cluster,
    fallback_cluster,
    last_cluster,
    release_cluster,
    shadow_cluster,
)

Arm = tuple[str, str]  # deployment id, release id


@dataclass
class _Totals:
    requests: int = 0
    errors: int = 0
    retried: int = 0
    active: int = 0
    owed: int = 0  # retries of the last scrape that fallback had not got yet
    times: dict[float, int] = field(default_factory=lambda: dict.fromkeys(map(float, LATENCY_BUCKETS_MS), 0))


class ArmCounts:
    """Adds up what each arm did since this object was made."""

    def __init__(self) -> None:
        self._totals: dict[Arm, _Totals] = defaultdict(_Totals)
        self._arms: list[Arm] = []
        self._clusters: dict[str, tuple[Arm, str]] = {}  # cluster -> its arm and which part it plays
        self._made_at = time.monotonic()
        self._before: Scrape | None = None

    def follow(self, routes: Routes) -> None:
        """Learn which clusters belong to which arm; earlier ones stay known."""
        self._arms = [(each.id, arm.release_id) for each in routes.deployments for arm in each.arms]
        for deployment in routes.deployments:
            if deployment.shadow is not None:  # copies of requests: the shadow is judged by them
                own = deployment.shadow.release_id
                self._clusters[shadow_cluster(own)] = ((deployment.id, own), "arm")
            for own in (arm.release_id for arm in deployment.arms):
                arm = (deployment.id, own)
                self._clusters[arm_cluster(own, own)] = (arm, "arm")
                self._clusters[last_cluster(own)] = (arm, "server")
                if deployment.stable is not None and deployment.stable != own:
                    self._clusters[arm_cluster(own, deployment.stable)] = (arm, "arm")
                    self._clusters[fallback_cluster(own, deployment.stable)] = (arm, "fallback")
                    self._clusters[release_cluster(own)] = (arm, "server")

    def add(self, scrape: Scrape) -> None:
        """Add what happened since the scrape before."""
        if self._before is None and scrape.uptime_s > scrape.at - self._made_at:
            self._before = scrape  # what an older Envoy did before was another agent's to count
        before = self._before
        if before is None or _is_restarted(scrape, before):
            before = Scrape()
        grown: dict[Arm, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for (cluster, counter), value in scrape.counters.items():
            if cluster in self._clusters:
                arm, part = self._clusters[cluster]
                past = 0 if counter == "active" else before.counters.get((cluster, counter), 0)
                grown[arm][f"{part}.{counter}"] += value - past if value >= past else value
        for arm, more in grown.items():
            self._add_counters(self._totals[arm], more)
        for arm in self._totals.keys() - grown.keys():
            self._totals[arm].active = 0
        for cluster, times in scrape.times.items():
            if cluster in self._clusters and self._clusters[cluster][1] == "arm":
                self._add_times(cluster, times, before.times.get(cluster, {}))
        self._before = scrape

    def reports(self) -> tuple[ArmReport, ...]:
        """Report every arm of the routes followed last."""
        return tuple(self._report(arm) for arm in self._arms)

    def _add_counters(self, totals: _Totals, more: dict[str, int]) -> None:
        """Count a request once as failed: by its final 5xx, or by stable having answered instead.

        Stable answers after a retry, or at once when every server of the arm is ejected or gone: those
        are the attempts that fallback got beyond the retries. A retry waits a millisecond before it is
        an attempt, so one may be counted a scrape earlier.
        """
        unasked = more["fallback.total"] - more["arm.retry"] - totals.owed
        totals.owed = max(0, more["arm.retry"] - more["fallback.total"])
        totals.requests += more["arm.completed"]
        totals.errors += more["arm.5xx"] + more["arm.retry_success"] + max(0, unasked)
        totals.retried += more["arm.retry"]
        totals.active = more["server.active"] + more["fallback.active"]

    def _add_times(self, cluster: str, times: dict[float, int], before: dict[float, int]) -> None:
        totals = self._totals[self._clusters[cluster][0]].times
        if any(count < before.get(upper, 0) for upper, count in times.items()):
            before = {}
        for upper, count in times.items():
            if upper in totals:
                totals[upper] += count - before.get(upper, 0)

    def _report(self, arm: Arm) -> ArmReport:
        totals = self._totals[arm]
        return ArmReport(
            deployment_id=arm[0],
            release_id=arm[1],
            requests_total=totals.requests,
            errors_5xx_total=min(totals.errors, totals.requests),
            retried_total=totals.retried,
            active=totals.active,
            latency_ms=tuple(sorted(totals.times.items())),
        )


def _is_restarted(scrape: Scrape, before: Scrape) -> bool:
    """Tell whether this is another Envoy: younger, or on a new connection and maybe as young."""
    could_be = scrape.is_first and scrape.uptime_s <= scrape.at - before.at + 1
    return could_be or scrape.uptime_s < before.uptime_s
