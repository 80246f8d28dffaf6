"""Ask for a promotion, and take the request back."""

import hashlib
import json
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from deployments_app.models import Deployment, Promotion
from deployments_app.models.rollouts import ACTIVE
from deployments_app.plan_rules import validate_plan
from deployments_app.services.evidence import collect_evidence
from deployments_app.services.expiry import set_aside_if_outdated
from deployments_app.services.locks import lock_deployment, lock_promotion
from deployments_app.services.workloads import wake_deployment
from models_app.models import ModelVersion
from portal.core.actors import Actor
from portal.core.errors import Conflict, InvalidInput, InvalidTransition, NotFound, NotPermitted
from portal.core.events import record
from portal.core.models import Shop
from portal.core.permissions import authorize
from portal.core.transitions import check_lock_version, transition

EXPIRES_AFTER = timedelta(days=7)
COMMENT_MAX = 4000


def request_promotion(
    actor: Actor,
    shop: Shop,
    model_version: ModelVersion,
    deployment: Deployment,
    plan: dict[str, Any] | None = None,
    comment: str = "",
) -> Promotion:
    """Ask that a version goes live at a placement, and freeze the evidence it is decided on."""
    authorize(actor, "promotions.request", shop)
    if actor.user is None:
        raise NotPermitted("A promotion is asked for by a person.", action="promotions.request")
    if deployment.shop_id != shop.pk:
        raise NotFound("There is no such placement here.")
    if model_version.registered_model.shop_id != shop.pk:
        raise NotFound("There is no such model version here.")
    check_comment(comment)
    chosen = validate_plan(plan or deployment.environment.plan)
    seen_champion = deployment.stable_id
    if deployment.stable is not None and deployment.stable.model_version_id == model_version.pk:
        raise Conflict(f"{model_version} is what serves at {deployment.name} already.", code="already_live")
    evidence = collect_evidence(deployment, model_version)
    with transaction.atomic():
        locked = lock_deployment(shop, deployment.pk)
        if locked.stable_id != seen_champion:
            raise Conflict(
                "Another release went live while the evidence was collected. Ask again.",
                code="champion_changed",
            )
        _make_room(locked, model_version)
        try:
            with transaction.atomic():
                promotion = Promotion.objects.create(
                    shop=shop,
                    deployment=locked,
                    model_version=model_version,
                    requested_by=actor.user,
                    comment=comment.strip(),
                    plan=chosen,
                    evidence=evidence,
                    evidence_sha256=evidence_digest(evidence),
                    artifact_digest=model_version.artifact_digest,
                    champion=locked.stable,
                    expires_at=timezone.now() + EXPIRES_AFTER,
                )
        except IntegrityError as error:
            raise Conflict(
                f"Somebody has asked for {model_version} at {deployment.name} already; that request is "
                "not decided yet.",
                code="already_asked",
            ) from error
        record(
            "promotion.requested",
            promotion,
            actor=actor,
            shop=shop,
            reason=promotion.comment,
            to_status="open",
            deployment=deployment.pk,
            model_version=model_version.pk,
            artifact_digest=promotion.artifact_digest,
            evidence_sha256=promotion.evidence_sha256,
        )
        wake_deployment(locked)  # its loop sets the request aside once it expires
    return promotion


def withdraw_promotion(
    actor: Actor, shop: Shop, promotion: Promotion, lock_version: int | None = None, reason: str = ""
) -> Promotion:
    """Take one's own request back, as long as nothing of it is on its way."""
    authorize(actor, "promotions.request", shop)
    check_comment(reason)
    with transaction.atomic():
        deployment = lock_deployment(shop, promotion.deployment_id)
        asked = lock_promotion(deployment, promotion.pk)
        check_lock_version(asked, lock_version)
        if actor.user is None or actor.user.pk != asked.requested_by_id:
            raise NotPermitted("Only the person who asked can withdraw a request.")
        if asked.rollouts.filter(status__in=ACTIVE).exists():
            raise InvalidTransition(
                "Its rollout is under way. Abort the rollout first, then withdraw the request.",
                current=asked.status,
                allowed=[],
            )
        transition(
            asked, "withdrawn", actor=actor, shop=shop, reason=reason.strip(), decided_at=timezone.now()
        )
    return asked


def evidence_digest(evidence: dict[str, Any]) -> str:
    """Hash evidence by its canonical JSON: sorted names, no spaces, UTF-8."""
    text = json.dumps(evidence, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def check_comment(comment: str) -> None:
    if len(comment) > COMMENT_MAX:
        raise InvalidInput(f"A comment has at most {COMMENT_MAX:,} characters, not {len(comment):,}.")


def _make_room(deployment: Deployment, model_version: ModelVersion) -> None:
    """Set an earlier request for the same version aside if its evidence no longer holds."""
    earlier = Promotion.objects.select_for_update(of=("self",), no_key=True).filter(
        deployment=deployment, model_version=model_version, status="open"
    )
    for promotion in earlier:
        set_aside_if_outdated(deployment, promotion)
