"""Pages of rollouts: what happens right now, and the way back."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from deployments_app import rollout_words as words
from deployments_app import selectors
from deployments_app.forms import PressForm
from deployments_app.models import Rollout
from deployments_app.models.rollouts import ACTIVE
from deployments_app.services import rollbacks, rollouts
from portal.core.errors import Conflict, InvalidInput
from portal.core.permissions import authorize, refusal
from portal.core.requests import ShopRequest
from portal.core.snippets import curl

FEED = 40
MEASURING = timedelta(seconds=35)  # gateways still report on a rollback for so long after it
ACTS: dict[str, tuple[Callable[..., Rollout], str]] = {
    "pause": (rollouts.pause_rollout, "Paused. Shares stay as they are."),
    "resume": (rollouts.resume_rollout, "Going on."),
    "step": (rollouts.step_now, "The next step is taken."),
    "promote": (rollouts.promote_now, "Everybody gets it now."),
    "conclude": (rollouts.conclude_rollout, "Concluded. Everybody gets the release that stays."),
    "abort": (rollouts.abort_rollout, "Called off. Everybody gets the live release again."),
}

BUTTONS = {
    "pause": ("Pause", "pause"),
    "resume": ("Resume", "play"),
    "step": ("Next step", "skip-forward"),
}
WAYS_OUT = {"promote": ("Promote now", "fast-forward"), "abort": ("Abort", "octagon-x")}


@require_safe
def rollout_detail(request: ShopRequest, rollout_id: str) -> HttpResponse:
    """A rollout or rollback: shares, checks, live numbers, what happened, and what can be done."""
    authorize(request.actor, "rollouts.read", request.shop)
    rollout = selectors.rollout(request.shop, rollout_id)
    return render(request, "deployments_app/rollout_detail.html", _context(request, rollout))


@require_safe
def rollout_status(request: ShopRequest, rollout_id: str) -> HttpResponse:
    """The part of a rollout's page that changes by itself; with the buttons when they changed."""
    authorize(request.actor, "rollouts.read", request.shop)
    context = _context(request, selectors.rollout(request.shop, rollout_id))
    context["sends_bar"] = request.GET.get("bar") != context["bar_key"]
    return render(request, "deployments_app/_rollout_status.html", context)


@require_POST
def rollout_act(request: ShopRequest, rollout_id: str) -> HttpResponse:
    """Pause, resume, next step, promote now or abort; `do` says which."""
    rollout = selectors.rollout(request.shop, rollout_id)
    pressed = PressForm(request.POST).read()
    do, _, keep = pressed["do"].partition(" ")
    if do not in ACTS:
        raise InvalidInput(f"A rollout can be told to {', '.join(ACTS)}; not {do[:40]!r}.")
    act, told = ACTS[do]
    try:
        which = (keep,) if do == "conclude" else ()
        act(request.actor, request.shop, rollout, *which, lock_version=pressed["lock_version"])
    except Conflict as error:
        messages.error(request, error.detail)
    else:
        messages.success(request, told)
    return redirect("rollout_detail", request.shop.slug, rollout.pk)


@require_POST
def rollout_note(request: ShopRequest, rollout_id: str) -> HttpResponse:
    """Say afterwards why it was done."""
    rollout = selectors.rollout(request.shop, rollout_id)
    rollouts.explain_rollout(request.actor, request.shop, rollout, PressForm(request.POST).read()["comment"])
    messages.success(request, "Noted. Everybody here can read why.")
    return redirect("rollout_detail", request.shop.slug, rollout.pk)


@require_POST
def roll_back(request: ShopRequest, deployment_id: str) -> HttpResponse:
    """Give everybody an earlier release: one press, no question; measured from its arrival."""
    received_at = timezone.now()
    deployment = selectors.deployment(request.shop, deployment_id)
    try:
        rollout = rollbacks.roll_back(
            request.actor,
            request.shop,
            deployment,
            to_release=PressForm(request.POST).read()["to_release"] or None,
            received_at=received_at,
        )
    except Conflict as error:
        under_way = error.extra.get("rollout")
        if under_way and error.code == "rollback_active":  # a second press: show what the first one does
            return redirect("rollout_detail", request.shop.slug, under_way)
        messages.error(request, error.detail)
        return redirect("deployment_detail", request.shop.slug, deployment.pk)
    return redirect("rollout_detail", request.shop.slug, rollout.pk)


def _context(request: ShopRequest, rollout: Rollout) -> dict[str, Any]:
    now = timezone.now()
    deployment = selectors.deployment(request.shop, rollout.deployment_id)
    shoppers = deployment.known_shoppers
    is_active = rollout.status in ACTIVE
    is_live = deployment.active_rollout_id is None and rollout.release_id == deployment.stable_id
    is_current = is_active or is_live
    target = selectors.rollback_target(deployment)
    allowed = selectors.allowed_actions(rollout)
    cannot_operate = refusal(request.actor, "rollouts.operate", request.shop)
    cannot_roll_back = refusal(request.actor, "rollouts.rollback", request.shop) or words.cannot_roll_back(
        deployment, target
    )
    last = rollout if rollout.measured else selectors.last_rollback(deployment)
    verdict = (
        selectors.verdicts(rollout).filter(step=rollout.step).first() if rollout.kind == "promote" else None
    )
    return {
        "rollout": rollout,
        "deployment": deployment,
        "headline": words.headline(rollout, is_live=is_live),
        "why": words.why(rollout, now),
        "arms": words.arms(deployment, shoppers),
        "steps": words.steps(rollout, now, shoppers),
        "checks": words.check_lines(verdict),
        "verdict": verdict,
        "events": words.feed(selectors.rollout_feed(rollout)[:FEED]),
        "is_active": is_active,
        "polls": is_active or _is_measured_soon(rollout, now),
        "is_current": is_current,
        "took_ms": words.took_ms(rollout),
        "measured": words.measured_facts(rollout) if rollout.measured else [],
        "target": target,
        "last": last,
        "last_ms": words.took_ms(last) if last is not None else None,
        "allowed": [(do, *BUTTONS[do]) for do in allowed if do in BUTTONS],
        "ways_out": [(do, *WAYS_OUT[do], words.way_out(rollout, do)) for do in allowed if do in WAYS_OUT],
        "no_way_back": words.cannot_roll_back(deployment, target),
        "cannot_operate": cannot_operate,
        "cannot_roll_back": cannot_roll_back,
        "effect": (cannot_roll_back or words.rollback_effect(deployment, target, shoppers, last))
        if is_current
        else f"This rollout is over. {words.placement_headline(deployment)}.",
        "bar_key": f"{rollout.lock_version}-{rollout.status}-{target.release.pk if target.release else ''}",
        "sends_bar": False,
        "curl": curl(f"rollouts/{rollout.pk}"),
    }


def _is_measured_soon(rollout: Rollout, now: Any) -> bool:
    """Tell whether gateways may still say how long a rollback took."""
    return (
        rollout.kind == "rollback"
        and rollout.received_at is not None
        and now - rollout.received_at < MEASURING
    )
