"""What the gateways have to know, read from rows alone: agents look ten times a second.

Columns, not objects, are read, and unordered: that halves the processor time of an answer (8.4 to 4.3 ms).
"""

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from deployments_app.gateway_wire import Arm, DeploymentRoute, Routes, Shadow, Watch
from deployments_app.models import Deployment, Rehearsal, Rollout, ServingKey, Workload
from deployments_app.models.rollouts import ACTIVE

WATCHED_FOR = timedelta(seconds=30)  # how long gateways are asked to measure a rollback
REHEARSED_FOR = timedelta(seconds=6)  # longer than any gateway measures

_PLACEMENT = (
    "id", "slug", "shop__slug", "salt", "is_open", "stable_id", "stable__number", "canary_id",
    "canary__number", "canary_weight_pct", "canary_mirror_pct",
)  # fmt: skip
_SERVERS = ("release_id", "release__number", "release__deployment_id", "endpoints", "service", "is_wanted")
_ROLLOUT = ("deployment_id", "id", "kind", "received_at", "from_release_id", "release_id")

Row = dict[str, Any]
Place = tuple[str, str]  # placement, release


def routes_for_gateway(scope: str = "local", now: datetime | None = None) -> Routes:
    """Build the routes of every placement that a gateway serves, in five queries.

    scope: an environment whose gateways are its own, or the backend of all environments that share some.
    An arm is a release that is live, canary, or still loaded; the latter with weight 0, so that Envoy
    knows its servers before a click sends everybody there.
    """
    now = now or timezone.now()
    placements = Deployment.objects.filter(_within(scope)).values(*_PLACEMENT)
    servers: dict[str, list[Row]] = defaultdict(list)
    for row in Workload.objects.filter(_within(scope, "release__deployment__")).values(*_SERVERS):
        servers[row["release__deployment_id"]].append(row)
    keys: dict[str, list[Row]] = defaultdict(list)
    for deployment, jwk in ServingKey.objects.filter(
        _within(scope, "deployment__"), revoked_at=None, expires_at__gt=now
    ).values_list("deployment_id", "public_jwk"):
        keys[deployment].append(jwk)
    watches, shadows = _rollouts(scope, now)
    rehearsals = _rehearsals(scope, now)
    return Routes.of(
        scope,
        tuple(
            _route(
                row,
                servers[row["id"]],
                keys[row["id"]],
                watches.get((row["id"], row["stable_id"])) or rehearsals.get((row["id"], row["stable_id"])),
                shadows.get((row["id"], row["canary_id"])),
            )
            for row in placements
        ),
    )


def _within(scope: str, prefix: str = "") -> Q:
    """Select what belongs to one gateway; `prefix` leads from the row to its placement."""
    environment = f"{prefix}environment"
    return Q(**{environment: scope}) | Q(
        **{f"{environment}__backend": scope, f"{environment}__namespace": ""}
    )


def _route(
    row: Row, servers: list[Row], keys: list[Row], watch: Watch | None, shadowing: str | None
) -> DeploymentRoute:
    preview = row["canary_id"] if row["canary_id"] != row["stable_id"] else None
    mirror_pct = row["canary_mirror_pct"]
    weights = _weights(row)
    numbers = {row["stable_id"]: row["stable__number"], row["canary_id"]: row["canary__number"]}
    numbers.pop(None, None)
    # A cluster's own name for the servers stays right when nobody tells the gateway who came and went.
    endpoints = {
        row["release_id"]: [row["service"]] if row["service"] else row["endpoints"] for row in servers
    }
    numbers |= {
        server["release_id"]: server["release__number"]
        for server in servers
        if server["is_wanted"] and server["endpoints"]
    }
    return DeploymentRoute(
        id=row["id"],
        shop=row["shop__slug"],
        slug=row["slug"],
        salt=row["salt"],
        arms=tuple(
            Arm(
                release_id=release,
                number=numbers[release],
                weight_pct=weights.get(release, 0),
                variant="stable" if release == row["stable_id"] else "canary",
                endpoints=tuple(endpoints.get(release, ())),
            )
            for release in sorted(numbers)
        ),
        stable=row["stable_id"],
        keys=tuple(sorted(keys, key=lambda jwk: str(jwk["kid"]))),
        is_open=row["is_open"],
        watch=watch,
        rehearsal=watch.to_release if watch and row["stable_id"] != watch.to_release in numbers else None,
        preview=preview,
        shadow=Shadow(shadowing, preview, mirror_pct) if shadowing and preview and mirror_pct else None,
    )


def _weights(row: Row) -> dict[str, int]:
    """Share out 100 %: the canary's weight, and the rest to stable. Where nothing is stable, all of it."""
    stable, canary, share = row["stable_id"], row["canary_id"], row["canary_weight_pct"]
    if stable is None:
        return {canary: 100} if canary is not None else {}
    if canary is None or canary == stable:
        return {stable: 100}
    return {stable: 100 - share, canary: share}


def _rollouts(scope: str, now: datetime) -> tuple[dict[Place, Watch], dict[Place, str]]:
    """Find the fresh rollbacks whose effect is to be measured, and the rollouts that copy requests.

    Both by placement and by the release that they lead to.
    """
    fresh_rollback = Q(
        kind="rollback",
        status__in=("progressing", "succeeded"),
        received_at__gt=now - WATCHED_FOR,
        from_release__isnull=False,
    )
    shadowing = Q(kind="promote", status__in=ACTIVE, deployment__canary_mirror_pct__gt=0)
    rows = Rollout.objects.filter(_within(scope, "deployment__"), fresh_rollback | shadowing)
    watches: dict[Place, Watch] = {}
    shadows: dict[Place, str] = {}
    for row in sorted(rows.values(*_ROLLOUT), key=lambda row: str(row["received_at"])):
        place = (row["deployment_id"], row["release_id"])
        if row["kind"] == "promote":
            shadows[place] = row["id"]
        else:
            watches[place] = Watch(
                rollout_id=row["id"],
                received_at=row["received_at"].isoformat(),
                from_release=row["from_release_id"],
                to_release=row["release_id"],
            )
    return watches, shadows


def _rehearsals(scope: str, now: datetime) -> dict[Place, Watch]:
    """Find the rehearsals under way, by placement and by the release that shoppers have meanwhile."""
    rows = Rehearsal.objects.filter(
        _within(scope, "deployment__"),
        received_at__gt=now - REHEARSED_FOR,
        to_release__workload__is_wanted=True,
    ).values("id", "deployment_id", "received_at", "from_release_id", "to_release_id")
    return {
        (row["deployment_id"], row["from_release_id"]): Watch(
            rollout_id=row["id"],
            received_at=row["received_at"].isoformat(),
            from_release=row["from_release_id"],
            to_release=row["to_release_id"],
        )
        for row in sorted(rows, key=lambda row: row["received_at"])
    }
