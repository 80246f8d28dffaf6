"""Reads: environments, placements, requests, releases, rollouts. Each takes the shop it looks into."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Prefetch, Q, QuerySet, Subquery
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
from portal.core.actors import Actor
from portal.core.errors import NotFound
from portal.core.models import Event, Shop
from portal.core.permissions import refusal

GATEWAY_LIVE_S = 10.0  # an agent that has not reported for so long counts as away

NAME_MAX = 40

_VERSION = "model_version__registered_model"


def environments(shop: Shop) -> QuerySet[Environment]:
    return Environment.objects.filter(shop=shop).order_by("created_at")


def environment(shop: Shop, name: str) -> Environment:
    """Find one by id or short name; raises NotFound."""
    return _one(environments(shop), Q(pk=name) | Q(slug=name), name, "environment")


def deployments(shop: Shop) -> QuerySet[Deployment]:
    """The placements, oldest first, with what serves now and `active_rollout_id`."""
    releases = [f"{role}__{_VERSION}" for role in ("stable", "canary", "last_good")]
    servers = [f"{role}__workload" for role in ("stable", "canary", "last_good")]
    active = Rollout.objects.filter(deployment=OuterRef("pk"), status__in=ACTIVE)
    return (
        Deployment.objects.filter(shop=shop)
        .select_related("environment", "shop", *releases, *servers)
        .annotate(active_rollout_id=Subquery(active.values("pk")[:1]))
        .order_by("created_at")
    )


def deployment(shop: Shop, name: str) -> Deployment:
    """Find one by id or short name; raises NotFound."""
    return _one(deployments(shop), Q(pk=name) | Q(slug=name), name, "placement")


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


def active_rollout(deployment: Deployment) -> Rollout | None:
    return (
        Rollout.objects.filter(deployment=deployment, status__in=ACTIVE)
        .select_related("release", "from_release")
        .first()
    )


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


def live_gateways(now: datetime | None = None) -> QuerySet[Gateway]:
    """Gateways whose agent has reported lately."""
    since = (now or timezone.now()) - timedelta(seconds=GATEWAY_LIVE_S)
    return Gateway.objects.filter(reported_at__gt=since).order_by("agent_id")


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


# Standing of a request


@dataclass(frozen=True)
class Standing:
    """How far a request is, and what this person may do about it; a reason stands where they may not."""

    approvals: int
    needed: int
    is_stale: bool
    is_expired: bool
    failing_gates: list[dict[str, Any]]
    blocking_gates: list[dict[str, Any]]  # of the failing ones: nobody can argue them away
    cannot_approve: str | None
    cannot_reject: str | None
    cannot_withdraw: str | None
    cannot_start: str | None

    @property
    def needs_reason(self) -> bool:
        """Tell whether approving asks for a written reason."""
        return bool(self.failing_gates)


def is_stale(promotion: Promotion) -> bool:
    """Tell whether another release went live since this request's evidence was frozen."""
    return promotion.status == "open" and promotion.champion_id != promotion.deployment.stable_id


def is_expired(promotion: Promotion) -> bool:
    return promotion.status == "open" and promotion.expires_at <= timezone.now()


def standing(promotion: Promotion, actor: Actor) -> Standing:
    """Say how far a request is and what the actor may do."""
    reviews = list(promotion.reviews.all())
    failing = [gate for gate in promotion.evidence.get("gates", []) if gate["verdict"] != "pass"]
    blocking_names = promotion.deployment.environment.blocking_gates
    blocking = [gate for gate in failing if gate["name"] in blocking_names]
    decided = None if promotion.status == "open" else f"This request is {promotion.status} already."
    mine = [each for each in reviews if actor.user and each.reviewer_id == actor.user.pk]
    voted = next((each for each in mine if each.verdict != "comment"), None)
    reject = (
        decided
        or refusal(actor, "promotions.review", promotion.shop_id)
        or (f"You said {voted.verdict} already." if voted else None)
    )
    own = actor.user is not None and actor.user.pk == promotion.requested_by_id
    approve = (
        decided
        or ("You asked for this promotion: somebody else has to approve it." if own else None)
        or reject
        or ("This request has expired. Ask again on fresh evidence." if is_expired(promotion) else None)
        or (
            "The champion changed since this evidence. Ask again on fresh evidence."
            if is_stale(promotion)
            else None
        )
        or (f"The gate “{blocking[0]['label']}” blocks here: {blocking[0]['sentence']}" if blocking else None)
    )
    attempts = {rollout.status for rollout in promotion.rollouts.all()}
    waiting = promotion.status == "approved" and not attempts & {*ACTIVE, "succeeded"}
    return Standing(
        approvals=len({each.reviewer_id for each in reviews if each.verdict == "approve"}),
        needed=promotion.deployment.environment.min_approvals,
        is_stale=is_stale(promotion),
        is_expired=is_expired(promotion),
        failing_gates=failing,
        blocking_gates=blocking,
        cannot_approve=approve,
        cannot_reject=reject,
        cannot_withdraw=_cannot_withdraw(promotion, actor, waiting),
        cannot_start=refusal(actor, "rollouts.operate", promotion.shop_id)
        if waiting
        else "Its rollout starts by itself once it is approved.",
    )


def _cannot_withdraw(promotion: Promotion, actor: Actor, waiting: bool) -> str | None:
    if promotion.status != "open" and not waiting:
        return f"This request is {promotion.status} already."
    if actor.user is None or actor.user.pk != promotion.requested_by_id:
        return "Only the person who asked can withdraw a request."
    return refusal(actor, "promotions.request", promotion.shop_id)


# What can be done to a rollout, and where a rollback leads

_ACTIONS = {
    "pending": ("abort",),
    "progressing": ("pause", "step", "promote", "abort"),
    "paused": ("resume", "step", "promote", "abort"),
}


def allowed_actions(rollout: Rollout) -> tuple[str, ...]:
    """Name what can be done to a rollout now: pause, resume, step, promote, abort."""
    if rollout.kind == "rollback":
        return ("abort",) if rollout.status == "pending" else ()
    return _ACTIONS.get(rollout.status, ())


@dataclass(frozen=True)
class RollbackTarget:
    """Where one click leads; `cannot` says why there is nothing to click."""

    release: Release | None
    is_warm: bool = False
    leaves: Release | None = None  # what shoppers see today and will not any more
    share_pct: int = 100  # of shoppers who will see a change
    cannot: str | None = None


def rollback_target(deployment: Deployment) -> RollbackTarget:
    """Find where `roll_back` without a named release would lead now."""
    active = active_rollout(deployment)
    if active is not None and active.kind == "rollback":
        return RollbackTarget(
            None, cannot=f"A rollback to release {active.release.number} is under way already."
        )
    if active is not None:
        if deployment.stable is None:
            return RollbackTarget(None, cannot="Nothing served here before; abort the rollout instead.")
        return RollbackTarget(
            deployment.stable,
            is_warm=is_warm(deployment.stable),
            leaves=active.release,
            share_pct=deployment.canary_weight_pct,
        )
    return _last_good_target(deployment)


def _last_good_target(deployment: Deployment) -> RollbackTarget:
    if deployment.stable is None:
        return RollbackTarget(None, cannot="Nothing serves here yet, so there is nothing to roll back.")
    if deployment.last_good is None:
        return RollbackTarget(
            None, cannot=f"Release {deployment.stable.number} is the first here: there is no earlier one."
        )
    last = Rollout.objects.filter(deployment=deployment, status="succeeded").order_by("-created_at").first()
    if last is not None and last.kind == "rollback" and last.release_id == deployment.stable_id:
        return RollbackTarget(
            None,
            cannot=f"Release {deployment.stable.number} is live since a rollback. To go to release "
            f"{deployment.last_good.number} again, name it.",
        )
    return RollbackTarget(
        deployment.last_good, is_warm=is_warm(deployment.last_good), leaves=deployment.stable
    )


def last_rollback(deployment: Deployment) -> Rollout | None:
    """The newest rollback of a placement whose time was measured."""
    rows = Rollout.objects.filter(deployment=deployment, kind="rollback").exclude(measured={})
    return rows.order_by("-created_at").first()


def known_shoppers(deployment: Deployment) -> int | None:
    """How many shoppers the live release knows: those of the data it was trained on."""
    release = deployment.stable or deployment.canary
    if release is None:
        return None
    rows = Release.objects.filter(pk=release.pk)
    found: int | None = rows.values_list("model_version__run__dataset_version__user_count", flat=True).get()
    return found


def is_warm(release: Release) -> bool:
    """Tell whether a release's servers are loaded and ready."""
    servers = Workload.objects.filter(release_id=release.pk).first()
    return servers is not None and servers.is_wanted and servers.ready > 0


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
