"""What the home page says: the state in a sentence, the first steps, and what waits."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils import timezone

from deployments_app.models import Deployment, Promotion, Rollout
from models_app.models import DatasetVersion, ModelVersion, TrainingRun
from monitoring_app import histograms
from monitoring_app.selectors import series
from portal.core.actors import Actor
from portal.core.models import Shop
from portal.core.permissions import is_permitted
from portal.core.selectors import visible_events
from portal.core.templatetags.ui import duration

WINDOW_S = 300
LATELY = 6


@dataclass(frozen=True)
class LiveNow:
    """A placement's last five minutes."""

    rate: float  # requests a second, over the last half minute
    rates: list[float]
    p95_ms: float | None


def live_deployments(shop: Shop) -> list[Any]:
    """Every placement of the shop, with who serves it and what it did lately (`live`)."""
    rows = Deployment.objects.filter(shop=shop).select_related(
        "environment",
        "stable__model_version__registered_model",
        "stable__model_version__run",
        "canary__model_version__registered_model",
    )
    placements: list[Any] = list(rows.order_by("-live_since", "name"))
    now = timezone.now()
    for placement in placements:
        placement.live = live_now(placement, now)
        placement.canary_label = _canary_in_words(placement)
    return placements


def _canary_in_words(deployment: Deployment) -> str:
    """Name the new release by who gets it."""
    if deployment.canary_role == "shadow":
        return f"shadow, copies of {deployment.canary_mirror_pct} %"
    return f"canary {deployment.canary_weight_pct} %" if deployment.canary_weight_pct else "preview"


def live_now(deployment: Deployment, now: datetime) -> LiveNow:
    """Add the arms up: requests a second, and the p95 over all of them."""
    arms = series(deployment, WINDOW_S, now)
    rates = [sum(values) for values in zip(*(arm.per_second for arm in arms), strict=True)] if arms else []
    lately = rates[-15:]
    latency = histograms.add(*(arm.total.latency for arm in arms))
    return LiveNow(
        rate=sum(lately) / len(lately) if lately else 0.0,
        rates=rates,
        p95_ms=histograms.quantile(latency, 0.95),
    )


def waiting_promotions(actor: Actor, shop: Shop) -> list[dict[str, Any]]:
    """Open requests that this person could decide (not their own), as lines of a feed."""
    if not is_permitted(actor, "promotions.review", shop):
        return []
    rows = Promotion.objects.filter(shop=shop, status="open").exclude(requested_by=actor.user)
    rows = rows.select_related("model_version__registered_model", "deployment", "requested_by").order_by(
        "-created_at"
    )
    return [
        {
            "at": promotion.created_at,
            "text": f"Promote {promotion}",
            "url": reverse("promotion_detail", args=[shop.slug, promotion.pk]),
            "reason": promotion.comment,
            "icon": "badge-check",
            "tone": "busy",
        }
        for promotion in rows[:20]
    ]


def lately(actor: Actor, shop: Shop) -> list[dict[str, Any]]:
    """What happened last, as lines of a feed."""
    return [
        {
            "at": event.created_at,
            "who": event.actor_label,
            "text": f"{verb_in_words(event.verb)} {event.object_label}",
            "reason": event.reason,
        }
        for event in visible_events(actor, shop).exclude(verb="rollout.noted")[:LATELY]
    ]


def verb_in_words(verb: str) -> str:
    """“promotion.approved” → “approved”; “datasetversion.file_received” → “file received”."""
    return verb.rpartition(".")[2].replace("_", " ")


def freshness(shop: Shop) -> list[dict[str, Any]]:
    """How old the data is that is live or ready: the newest version of each dataset."""
    newest = DatasetVersion.objects.filter(shop=shop, status="ready").select_related("dataset")
    return [
        {
            "label": str(version),
            "url": reverse("dataset_version_detail", args=[shop.slug, version.pk]),
            "last_at": version.last_at,
            "count": version.interaction_count,
        }
        for version in newest.order_by("dataset_id", "-number").distinct("dataset_id")[:5]
    ]


def headline(deployments: list[Deployment]) -> tuple[str, str]:
    """Say the state as a shop owner would, and one line of why."""
    live = [deployment for deployment in deployments if deployment.stable]
    if not deployments or not live:
        return (
            "Nothing is live yet",
            "Upload ratings, train, and let a second person approve: five steps, below.",
        )
    newest = live[0]
    stable: Any = newest.stable
    if newest.canary is not None and newest.canary_weight_pct:
        title = f"Release {newest.canary.number} serves {newest.canary_weight_pct} % of {newest.name}"
        return title, f"Release {stable.number} serves everybody else. You can roll back at any moment."
    title = f"Release {stable.number} serves every shopper of {newest.name}"
    approved = ", ".join(stable.approved_by)
    why = f"{stable.model_version}, by {stable.model_version.algorithm}"
    return title, f"{why}; approved by {approved}." if approved else f"{why}."


def first_steps(shop: Shop) -> list[dict[str, Any]]:
    """The five steps to a first release, each with its state; none once a release is live."""
    if Rollout.objects.filter(shop=shop, status="succeeded").exists():
        return []
    version = (
        DatasetVersion.objects.filter(shop=shop).select_related("dataset").order_by("-created_at").first()
    )
    ready = DatasetVersion.objects.filter(shop=shop, status="ready").order_by("-created_at").first()
    run = TrainingRun.objects.filter(shop=shop, status="succeeded").order_by("-created_at").first()
    model = ModelVersion.objects.filter(registered_model__shop=shop).select_related("registered_model").last()
    promotion = Promotion.objects.filter(shop=shop).order_by("-created_at").first()
    data_new = reverse("data_new", args=[shop.slug])
    steps = [
        (
            version is not None and bool(version.file_sha256),
            "Upload your ratings",
            f"{version.file_name}"
            if version and version.file_name
            else "A CSV with user, item and rating is enough",
            data_new,
            "Upload",
            "a minute",
            None,
        ),
        (
            ready is not None,
            "Check them",
            _checked(ready) if ready else "Every line is read; problems are shown with their line",
            reverse("dataset_version_detail", args=[shop.slug, version.pk]) if version else data_new,
            "Look",
            "a few seconds",
            _seconds(ready),
        ),
        (
            run is not None,
            "Train and compare",
            f"{run.algorithm} is done" if run else "Popularity is always trained too, as the baseline",
            reverse("run_new", args=[shop.slug]),
            "Train",
            "under a minute",
            _seconds(run),
        ),
        (
            promotion is not None,
            "Ask for promotion",
            str(promotion) if promotion else "A second person approves; they see the evidence you see",
            reverse("version_detail", args=[shop.slug, model.pk])
            if model
            else reverse("model_list", args=[shop.slug]),
            "Ask",
            "a minute",
            None,
        ),
        (
            False,
            "Watch it go live",
            "10 %, 50 %, then everyone; roll back at any moment",
            reverse("deployment_list", args=[shop.slug]),
            "Watch",
            "minutes to days, by your plan",
            None,
        ),
    ]
    current = next((at for at, step in enumerate(steps) if not step[0]), len(steps))
    return [
        {
            "label": title,
            "note": detail,
            "state": "done" if is_done else ("now" if at == current else "later"),
            "action_url": url if at == current else "",
            "action_label": action,
            "aside": duration(took_s) if is_done and took_s is not None else ("" if is_done else estimate),
        }
        for at, (is_done, title, detail, url, action, estimate, took_s) in enumerate(steps)
    ]


def _checked(version: DatasetVersion) -> str:
    users, items = f"{version.user_count:,} shoppers", f"{version.item_count:,} items"
    return f"{version.interaction_count:,} interactions of {users} with {items}"


def _seconds(job: DatasetVersion | TrainingRun | None) -> float | None:
    if job is None or job.started_at is None or job.finished_at is None:
        return None
    return (job.finished_at - job.started_at).total_seconds()
