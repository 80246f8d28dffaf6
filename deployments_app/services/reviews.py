"""What people say to a request. Four eyes: who asked never approves, whoever that is and however they ask."""

from django.db import transaction
from django.utils import timezone

from deployments_app.models import Deployment, Promotion, Review
from deployments_app.services.locks import lock_deployment, lock_promotion
from deployments_app.services.promotions import check_comment
from deployments_app.services.starts import active_rollout_of, launch
from portal.core.actors import Actor
from portal.core.errors import Conflict, InvalidInput, InvalidTransition, NotPermitted
from portal.core.events import record
from portal.core.models import Shop
from portal.core.permissions import authorize
from portal.core.transitions import check_lock_version, transition

VERDICTS = ("approve", "reject", "comment")


def review_promotion(
    actor: Actor,
    shop: Shop,
    promotion: Promotion,
    verdict: str,
    comment: str = "",
    lock_version: int | None = None,
) -> Promotion:
    """Approve, reject or comment. The last approval needed creates the release and starts its rollout."""
    if verdict not in VERDICTS:
        raise InvalidInput(f"A verdict is one of {', '.join(VERDICTS)}, not {verdict[:40]!r}.")
    authorize(actor, "promotions.comment" if verdict == "comment" else "promotions.review", shop)
    if actor.user is None:
        raise NotPermitted("Only people review.", action="promotions.review")
    check_comment(comment)
    with transaction.atomic():
        # The deployment first: two reviewers at once would otherwise both count one approval too few.
        deployment = lock_deployment(shop, promotion.deployment_id)
        asked = lock_promotion(deployment, promotion.pk)
        if verdict == "comment":
            _comment(actor, asked, comment)
            return asked
        check_lock_version(asked, lock_version)
        _check_open(asked)
        if actor.user.pk == asked.requested_by_id:
            raise NotPermitted(
                "You asked for this promotion: somebody else has to decide. You can withdraw it.",
                code="four_eyes",
            )
        if asked.reviews.filter(reviewer=actor.user).exclude(verdict="comment").exists():
            raise Conflict("You have given your verdict on this request already.", code="already_reviewed")
        if verdict == "reject":
            _reject(actor, asked, comment)
        else:
            _approve(actor, deployment, asked, comment)
    return asked


def _approve(actor: Actor, deployment: Deployment, asked: Promotion, comment: str) -> None:
    _check_fresh(deployment, asked)
    failing = [gate for gate in asked.evidence.get("gates", []) if gate["verdict"] != "pass"]
    blocking = [gate for gate in failing if gate["name"] in deployment.environment.blocking_gates]
    if blocking:
        raise Conflict(
            f"The gate “{blocking[0]['label']}” blocks in {deployment.environment.name}: "
            f"{blocking[0]['sentence']}",
            code="gate_blocks",
            gates=[gate["name"] for gate in blocking],
        )
    if failing and not comment.strip():
        raise InvalidInput(
            f"“{failing[0]['label']}” did not pass. Write why you approve all the same.",
            code="reason_missing",
            errors=[{"pointer": "/comment", "code": "required", "detail": "A reason is needed here."}],
        )
    _add(actor, asked, "approve", comment)
    approvals = asked.reviews.filter(verdict="approve").count()
    needed = deployment.environment.min_approvals
    if approvals < needed:
        record(
            "promotion.reviewed",
            asked,
            actor=actor,
            shop=asked.shop_id,
            reason=comment.strip(),
            verdict="approve",
            approvals=approvals,
            needed=needed,
        )
        return
    transition(
        asked,
        "approved",
        actor=actor,
        shop=asked.shop_id,
        reason=comment.strip(),
        decided_at=timezone.now(),
        event_data={
            "approvals": approvals,
            "artifact_digest": asked.artifact_digest,
            "evidence_sha256": asked.evidence_sha256,
        },
    )
    if active_rollout_of(deployment) is None:
        launch(actor, deployment, asked)


def _reject(actor: Actor, asked: Promotion, comment: str) -> None:
    if not comment.strip():
        raise InvalidInput(
            "Write why you reject it: the person who asked needs to know.",
            code="reason_missing",
            errors=[{"pointer": "/comment", "code": "required", "detail": "A reason is needed here."}],
        )
    _add(actor, asked, "reject", comment)
    transition(
        asked,
        "rejected",
        actor=actor,
        shop=asked.shop_id,
        reason=comment.strip(),
        decided_at=timezone.now(),
    )


def _comment(actor: Actor, asked: Promotion, comment: str) -> None:
    if not comment.strip():
        raise InvalidInput("Write something.", code="comment_empty")
    _add(actor, asked, "comment", comment)
    record("promotion.commented", asked, actor=actor, shop=asked.shop_id, reason=comment.strip())


def _add(actor: Actor, asked: Promotion, verdict: str, comment: str) -> None:
    assert actor.user is not None
    Review.objects.create(
        promotion=asked,
        reviewer=actor.user,
        verdict=verdict,
        comment=comment.strip(),
        artifact_digest=asked.artifact_digest,
        evidence_sha256=asked.evidence_sha256,
    )


def _check_open(asked: Promotion) -> None:
    if asked.status == "open":
        return
    why = {"superseded": "is superseded: the champion changed since this evidence, or it expired"}
    raise InvalidTransition(
        f"This request {why.get(asked.status, f'is {asked.status} already')}.",
        current=asked.status,
        allowed=[],
    )


def _check_fresh(deployment: Deployment, asked: Promotion) -> None:
    if asked.expires_at <= timezone.now():
        raise Conflict(
            "This request has expired. Ask again on fresh evidence.", code="expired", current=asked.status
        )
    if asked.champion_id != deployment.stable_id:
        raise Conflict(
            "The champion changed since this evidence: another release is live now than it was compared "
            "with. Ask again on fresh evidence.",
            code="champion_changed",
            current=asked.status,
            allowed=["rejected", "withdrawn"],
        )
