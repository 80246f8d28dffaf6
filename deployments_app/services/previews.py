"""What a promotion would do before anybody asks for it: steps with dates, shoppers, and what changes."""

from dataclasses import dataclass, fields
from typing import Any

from django.db.models import Max
from django.utils import timezone

from deployments_app.backends.base import Preview, PreviewingBackend, ReleaseSpec
from deployments_app.models import Deployment, Promotion, Release, Workload
from deployments_app.plan_rules import AT_ONCE, validate_plan
from deployments_app.plan_words import plan_steps, stop_rule
from deployments_app.services.workloads import backend_for, release_spec
from models_app.models import ModelVersion
from portal.core.actors import Actor
from portal.core.errors import BackendError, Conflict, NotFound
from portal.core.models import Shop
from portal.core.permissions import authorize

SHOWN = {
    "release_number": "Release",
    "model": "Model",
    "model_version": "Version",
    "algorithm": "Algorithm",
    "digest": "Files (SHA-256)",
    "replicas": "Servers",
    "memory_mb": "Memory of each, MB (0: as usual)",
    "cpu_s": "Processor time of each, s (0: no limit)",
}


@dataclass(frozen=True)
class PromotionPreview:
    """plan: complete; steps: as `plan_steps` has them; changes: the release spec beside the live one's.

    stop_rule: when it would stop by itself, in words; empty where nobody would be served otherwise.
    backend: what the backend itself would make, beside what the live release has there, where it can tell.
    """

    plan: dict[str, Any]
    steps: list[dict[str, Any]]
    changes: list[dict[str, Any]]
    stop_rule: str
    backend: Preview | None
    live_number: int | None = None  # of the release that all this is compared with


def preview_promotion(
    actor: Actor,
    shop: Shop,
    version: ModelVersion,
    deployment: Deployment,
    plan: dict[str, Any] | None = None,
) -> PromotionPreview:
    """Say what a request would lead to if it were approved now; changes nothing."""
    authorize(actor, "promotions.request", shop)
    if deployment.shop_id != shop.pk or version.registered_model.shop_id != shop.pk:
        raise NotFound("There is no such placement or model version here.")
    # The request has no id yet that its objects could name.
    return _preview(deployment, version, plan or deployment.environment.plan, request="the request")


def preview_request(actor: Actor, shop: Shop, promotion: Promotion) -> PromotionPreview:
    """Say what a request that is not on its way yet would lead to if it were approved now."""
    authorize(actor, "promotions.read", shop)
    if promotion.shop_id != shop.pk:
        raise NotFound("There is no such promotion request here.")
    if promotion.status not in ("open", "approved"):
        raise Conflict(
            f"This request is {promotion.status}: nothing of it will be applied any more.", code="decided"
        )
    return _preview(promotion.deployment, promotion.model_version, promotion.plan, request=promotion.pk)


def _preview(
    deployment: Deployment, version: ModelVersion, plan: dict[str, Any], *, request: str
) -> PromotionPreview:
    chosen = validate_plan(plan)
    if deployment.stable_id is None:
        chosen = {**AT_ONCE.to_json(), "servers": chosen["servers"]}
    release = _next_release(deployment, version, {**chosen["servers"], "promotion": request})
    spec = release_spec(release, Workload(release=release))
    stable = deployment.stable
    live = release_spec(stable, Workload(release=stable)) if stable is not None else None
    return PromotionPreview(
        plan=chosen,
        steps=plan_steps(chosen, version.run.dataset_version.user_count, timezone.now()),
        changes=compare_specs(live, spec),
        stop_rule=stop_rule(chosen) if deployment.stable_id is not None else "",
        backend=_ask_backend(deployment, spec, live),
        live_number=stable.number if stable is not None else None,
    )


def compare_specs(live: ReleaseSpec | None, new: ReleaseSpec) -> list[dict[str, Any]]:
    """Put what a backend is told of two releases side by side."""
    names = {each.name for each in fields(ReleaseSpec)}
    return [
        {
            "name": name,
            "label": label,
            "live": None if live is None else getattr(live, name),
            "new": getattr(new, name),
            "is_changed": live is None or getattr(live, name) != getattr(new, name),
        }
        for name, label in SHOWN.items()
        if name in names
    ]


def _next_release(deployment: Deployment, version: ModelVersion, config: dict[str, Any]) -> Release:
    """Describe the release that an approval would make; it is not saved."""
    last = Release.objects.filter(deployment=deployment).aggregate(last=Max("number"))["last"] or 0
    return Release(
        deployment=deployment,
        number=last + 1,
        model_version=version,
        artifact_digest=version.artifact_digest,
        config=config,
    )


def _ask_backend(deployment: Deployment, spec: ReleaseSpec, live: ReleaseSpec | None) -> Preview | None:
    try:
        backend = backend_for(deployment.environment)
        return backend.preview(spec, live) if isinstance(backend, PreviewingBackend) else None
    except BackendError as error:
        return Preview(problem=error.detail)
