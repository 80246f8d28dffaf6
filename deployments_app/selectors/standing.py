"""How far a request is, and what each person may do about it."""

from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from deployments_app.models import Promotion
from deployments_app.models.rollouts import ACTIVE
from portal.core.actors import Actor
from portal.core.permissions import refusal


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
