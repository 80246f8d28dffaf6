"""What the gateways have to know, read from rows alone: every agent asks ten times a second."""

from collections import defaultdict
from datetime import datetime, timedelta

from django.utils import timezone

from deployments_app.gateway_wire import Arm, DeploymentRoute, Routes, Watch
from deployments_app.models import Deployment, Release, Rollout, ServingKey, Workload

WATCHED_FOR = timedelta(seconds=30)  # how long gateways are asked to measure a rollback


def routes_for_gateway(backend: str = "local") -> Routes:
    """Build the routes of every placement that this backend runs, in four queries.

    An arm is a release that is live, canary, or still loaded; the latter with weight 0, so that Envoy
    knows its servers before a click sends everybody there.
    """
    now = timezone.now()
    rows = list(
        Deployment.objects.filter(environment__backend=backend)
        .select_related("shop", "stable", "canary")
        .order_by("pk")
    )
    servers: dict[str, dict[str, Workload]] = defaultdict(dict)
    for server in Workload.objects.filter(release__deployment__environment__backend=backend).select_related(
        "release"
    ):
        servers[server.release.deployment_id][server.release_id] = server
    keys: dict[str, list[ServingKey]] = defaultdict(list)
    for key in ServingKey.objects.filter(
        revoked_at=None, expires_at__gt=now, deployment__environment__backend=backend
    ).order_by("pk"):
        keys[key.deployment_id].append(key)
    watches = _watches(backend, now)
    return Routes.of(
        backend,
        tuple(_route(row, servers[row.pk], keys[row.pk], watches.get(row.pk)) for row in rows),
    )


def _route(
    row: Deployment, servers: dict[str, Workload], keys: list[ServingKey], watch: Watch | None
) -> DeploymentRoute:
    weights = _weights(row)
    arms = {release.pk: release for release in (row.stable, row.canary) if release is not None}
    warm = {pk: server.release for pk, server in servers.items() if server.is_wanted and server.endpoints}
    arms |= warm
    return DeploymentRoute(
        id=row.pk,
        shop=row.shop.slug,
        slug=row.slug,
        salt=row.salt,
        arms=tuple(
            _arm(release, weights.get(pk, 0), row, servers.get(pk)) for pk, release in sorted(arms.items())
        ),
        stable=row.stable_id,
        keys=tuple(key.public_jwk for key in keys),
        is_open=row.is_open,
        watch=watch,
    )


def _weights(row: Deployment) -> dict[str, int]:
    """Share out 100 %: the canary's weight, and the rest to stable. Where nothing is stable, all of it."""
    if row.stable_id is None:
        return {row.canary_id: 100} if row.canary_id is not None else {}
    if row.canary_id is None or row.canary_id == row.stable_id:
        return {row.stable_id: 100}
    return {row.stable_id: 100 - row.canary_weight_pct, row.canary_id: row.canary_weight_pct}


def _arm(release: Release, weight_pct: int, row: Deployment, server: Workload | None) -> Arm:
    variant = "stable" if release.pk == row.stable_id else "canary"
    endpoints = tuple(server.endpoints) if server is not None else ()
    return Arm(release.pk, release.number, weight_pct, variant, endpoints)


def _watches(backend: str, now: datetime) -> dict[str, Watch]:
    """Name the rollbacks whose effect is to be measured: the newest of each placement, while it is fresh."""
    rows = (
        Rollout.objects.filter(
            kind="rollback",
            status__in=("progressing", "succeeded"),
            received_at__gt=now - WATCHED_FOR,
            from_release__isnull=False,
            deployment__environment__backend=backend,
        )
        .select_related("deployment")
        .order_by("created_at")
    )
    return {
        row.deployment_id: Watch(
            rollout_id=row.pk,
            received_at=row.received_at.isoformat(),
            from_release=row.from_release_id,
            to_release=row.release_id,
        )
        for row in rows
        if row.received_at is not None
        and row.from_release_id is not None
        and row.release_id == row.deployment.stable_id
    }
