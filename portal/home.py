"""What the home page says: the state in a sentence, the first steps, and what waits."""

from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from deployments_app.models import Deployment, Promotion, Rollout
from models_app.models import DatasetVersion, ModelVersion, TrainingRun
from portal.core.actors import Actor
from portal.core.models import Shop
from portal.core.permissions import is_permitted


@dataclass(frozen=True)
class FirstStep:
    """One line of the checklist. state: done, now, later."""

    title: str
    detail: str
    state: str
    url: str = ""
    action: str = ""
    took_s: float | None = None
    estimate: str = ""


def live_deployments(shop: Shop) -> list[Deployment]:
    """Every placement of the shop, with who serves it."""
    rows = Deployment.objects.filter(shop=shop).select_related(
        "environment",
        "stable__model_version__registered_model",
        "stable__model_version__run",
        "canary__model_version__registered_model",
    )
    return list(rows.order_by("-live_since", "name"))


def waiting_promotions(actor: Actor, shop: Shop) -> list[Promotion]:
    """Open requests that this person could decide: not their own."""
    if not is_permitted(actor, "promotions.review", shop):
        return []
    rows = Promotion.objects.filter(shop=shop, status="open").exclude(requested_by=actor.user)
    return list(
        rows.select_related("model_version__registered_model", "deployment", "requested_by").order_by(
            "-created_at"
        )[:20]
    )


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
    if newest.canary is not None:
        title = f"Release {newest.canary.number} serves {newest.canary_weight_pct} % of {newest.name}"
        return title, f"Release {stable.number} serves everybody else. You can roll back at any moment."
    title = f"Release {stable.number} serves every shopper of {newest.name}"
    approved = ", ".join(stable.approved_by)
    why = f"{stable.model_version}, by {stable.model_version.algorithm}"
    return title, f"{why}; approved by {approved}." if approved else f"{why}."


def first_steps(shop: Shop) -> list[FirstStep]:
    """The five steps to a first release, each with its state; empty once a release is live."""
    version = (
        DatasetVersion.objects.filter(shop=shop).select_related("dataset").order_by("-created_at").first()
    )
    ready = DatasetVersion.objects.filter(shop=shop, status="ready").order_by("-created_at").first()
    run = TrainingRun.objects.filter(shop=shop, status="succeeded").order_by("-created_at").first()
    model = ModelVersion.objects.filter(registered_model__shop=shop).select_related("registered_model").last()
    promotion = Promotion.objects.filter(shop=shop).order_by("-created_at").first()
    live = Rollout.objects.filter(shop=shop, status="succeeded").exists()
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
            live,
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
        FirstStep(
            title=title,
            detail=detail,
            state="done" if is_done else ("now" if at == current else "later"),
            url=url,
            action=action,
            took_s=took_s,
            estimate=estimate,
        )
        for at, (is_done, title, detail, url, action, estimate, took_s) in enumerate(steps)
    ]


def _checked(version: DatasetVersion) -> str:
    users, items = f"{version.user_count:,} shoppers", f"{version.item_count:,} items"
    return f"{version.interaction_count:,} interactions of {users} with {items}"


def _seconds(job: DatasetVersion | TrainingRun | None) -> float | None:
    if job is None or job.started_at is None or job.finished_at is None:
        return None
    return (job.finished_at - job.started_at).total_seconds()
