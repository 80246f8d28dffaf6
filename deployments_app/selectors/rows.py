"""Rows of one shop; the singular functions raise NotFound, for other shops' ids too."""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Prefetch, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from deployments_app.models import (
    AnalysisVerdict,
    Deployment,
    Environment,
    Gateway,
    Promotion,
    Release,
    Review,
    Rollout,
    ServingKey,
    Workload,
)
from deployments_app.models.rollouts import ACTIVE
from models_app.selectors import sample_users
from portal.core.actors import Actor
from portal.core.errors import NotFound
from portal.core.models import Event, Shop
from portal.core.permissions import refusal

GATEWAY_LIVE_S = 10.0  # an agent that has not reported for so long counts as away

NAME_MAX = 40
COMPARED = 400  # shoppers in the sample that a shadow is compared on

_VERSION = "model_version__registered_model"
_SHOPPERS = "model_version__run__dataset_version__user_count"


def environments(shop: Shop) -> QuerySet[Environment]:
    return Environment.objects.filter(shop=shop, removed_at=None).order_by("created_at")


def environment(shop: Shop, name: str) -> Environment:
    """Find one by id or short name; raises NotFound."""
    return _one(environments(shop), Q(pk=name) | Q(slug=name), name, "environment")


def deployments(shop: Shop) -> QuerySet[Deployment]:
    """The placements, oldest first, with what serves now, `active_rollout_id` and `known_shoppers`.

    known_shoppers: how many were in the data that the live release was trained on; None where nothing serves.
    """
    releases = [f"{role}__{_VERSION}" for role in ("stable", "canary", "last_good")]
    servers = [f"{role}__workload" for role in ("stable", "canary", "last_good")]
    active = Rollout.objects.filter(deployment=OuterRef("pk"), status__in=ACTIVE)
    return (
        Deployment.objects.filter(shop=shop)
        .select_related("environment", "shop", *releases, *servers)
        .annotate(  # type: ignore[no-redef]
            active_rollout_id=Subquery(active.values("pk")[:1]),
            known_shoppers=Coalesce(F(f"stable__{_SHOPPERS}"), F(f"canary__{_SHOPPERS}")),
        )
        .order_by("created_at")
    )


def deployment(shop: Shop, name: str) -> Deployment:
    """Find one by id or short name; raises NotFound."""
    return _one(deployments(shop), Q(pk=name) | Q(slug=name), name, "placement")


def bare_deployment(shop: Shop, name: str) -> Deployment:
    """Find one by id or short name, without what `deployment` reads with it; raises NotFound."""
    return _one(Deployment.objects.filter(shop=shop), Q(pk=name) | Q(slug=name), name, "placement")


def releases(shop: Shop) -> QuerySet[Release]:
    """Releases of all placements, newest first, with their servers."""
    return (
        Release.objects.filter(deployment__shop=shop)
        .select_related("deployment__environment", _VERSION, "workload")
        .order_by("-created_at")
    )


def release(shop: Shop, pk: str) -> Release:
    return _one(releases(shop), Q(pk=pk), pk, "release")


def promotions(shop: Shop, *, with_evidence: bool = False) -> QuerySet[Promotion]:
    """Requests, newest first, with their reviews; the evidence is large and only read when asked for."""
    reviews = Review.objects.select_related("reviewer").order_by("created_at")
    rows = (
        Promotion.objects.filter(shop=shop)
        .select_related("deployment__environment", "deployment__stable", "champion", "requested_by", _VERSION)
        .prefetch_related(Prefetch("reviews", reviews), "rollouts")
        .order_by("-created_at")
    )
    return rows if with_evidence else rows.defer("evidence")


def request_list(actor: Actor, shop: Shop, which: str) -> QuerySet[Promotion]:
    """Requests for a list, each with its `gates` and `verdicts` of the evidence.

    which: needs (those this person could decide now), open, decided.
    """
    rows = promotions(shop).annotate(gates=F("evidence__gates"), verdicts=F("evidence__verdicts"))
    if which == "decided":
        return rows.exclude(status="open")
    rows = rows.filter(status="open").order_by("expires_at")
    if which == "open":
        return rows
    if refusal(actor, "promotions.review", shop) is not None or actor.user is None:
        return rows.none()
    spoken = Review.objects.filter(promotion=OuterRef("pk"), reviewer=actor.user).exclude(verdict="comment")
    return rows.filter(~Exists(spoken), expires_at__gt=timezone.now()).exclude(requested_by=actor.user)


def promotion(shop: Shop, pk: str) -> Promotion:
    """Find one, with its evidence; raises NotFound."""
    return _one(promotions(shop, with_evidence=True), Q(pk=pk), pk, "promotion request")


def rollouts(shop: Shop) -> QuerySet[Rollout]:
    """Rollouts and rollbacks, newest first."""
    return (
        Rollout.objects.filter(shop=shop)
        .select_related(
            "deployment__environment",
            f"release__{_VERSION}",
            "release__workload",
            f"from_release__{_VERSION}",
            "promotion",
            "created_by",
        )
        .defer("promotion__evidence")
        .order_by("-created_at")
    )


def rollout(shop: Shop, pk: str) -> Rollout:
    return _one(rollouts(shop), Q(pk=pk), pk, "rollout")


def verdicts(rollout: Rollout) -> QuerySet[AnalysisVerdict]:
    """What was measured at each step, newest first."""
    return rollout.verdicts.order_by("-created_at")


def rollout_feed(rollout: Rollout) -> QuerySet[Event]:
    """What happened to a rollout, in words (`reason`, `verb`), newest first."""
    return Event.objects.filter(object_id=rollout.pk).order_by("-created_at", "-pk")


def deployment_feed(deployment: Deployment) -> QuerySet[Event]:
    """What happened at a placement: its rollouts, rollbacks and keys, newest first."""
    ids = Rollout.objects.filter(deployment=deployment).values("pk")
    return Event.objects.filter(
        Q(object_id=deployment.pk) | Q(object_type="rollout", object_id__in=ids)
    ).order_by("-created_at", "-pk")


def serving_keys(deployment: Deployment) -> QuerySet[ServingKey]:
    return (
        ServingKey.objects.filter(deployment=deployment).select_related("created_by").order_by("-created_at")
    )


def servers(deployment: Deployment) -> QuerySet[Workload]:
    """The servers of every loaded release of a placement."""
    return (
        Workload.objects.filter(release__deployment=deployment)
        .select_related("release")
        .order_by("-release__number")
    )


def shoppers_to_compare(rollout_id: str, within: str = "") -> list[str]:
    """Sample shoppers whom the release of a rollout under way knows, from the least to the most active.

    within: the one environment that may be asked about, if not all.
    """
    rows = Rollout.objects.filter(status__in=ACTIVE).select_related("release__model_version")
    rows = rows.filter(deployment__environment=within) if within else rows
    is_name = len(rollout_id) <= NAME_MAX and "\0" not in rollout_id
    rollout = rows.filter(pk=rollout_id).first() if is_name else None
    return sample_users(rollout.release.model_version, COMPARED) if rollout is not None else []


def live_gateways(environment: Environment, now: datetime | None = None) -> QuerySet[Gateway]:
    """Gateways of an environment whose agent has reported lately."""
    since = (now or timezone.now()) - timedelta(seconds=GATEWAY_LIVE_S)
    mine = Gateway.objects.filter(scope=environment.gateway_scope)
    return mine.filter(reported_at__gt=since).order_by("agent_id")


def live_versions(shop: Shop) -> dict[str, list[str]]:
    """Model version id -> names of the placements that serve it to everybody else than a canary's share."""
    found: dict[str, list[str]] = {}
    rows = Deployment.objects.filter(shop=shop, stable__isnull=False).values_list(
        "stable__model_version_id", "name"
    )
    for version, name in rows.order_by("created_at"):
        found.setdefault(version, []).append(name)
    return found


def live_version_of(shop: Shop, registered_model_id: str) -> Any:
    """The version of a model that serves now (the newest placement's), or None."""
    found = (
        Deployment.objects.filter(shop=shop, stable__model_version__registered_model_id=registered_model_id)
        .select_related(f"stable__{_VERSION}", "stable__model_version__run")
        .order_by("-live_since")
        .first()
    )
    return found.stable.model_version if found is not None and found.stable is not None else None


def count_waiting(shop: Shop) -> int:
    """How many requests wait for somebody's decision."""
    return Promotion.objects.filter(shop=shop, status="open", expires_at__gt=timezone.now()).count()


def rollout_counts(shop: Shop) -> dict[str, int]:
    """How many rollouts are in each status."""
    rows = Rollout.objects.filter(shop=shop).values("status").annotate(count=Count("pk"))
    return {row["status"]: row["count"] for row in rows}


def _one(rows: QuerySet[Any], which: Q, name: str, what: str) -> Any:
    # What PostgreSQL cannot even compare is no name of anything.
    found = rows.filter(which).first() if len(name) <= NAME_MAX and "\0" not in name else None
    if found is None:
        raise NotFound(f"There is no such {what} here.")
    return found
