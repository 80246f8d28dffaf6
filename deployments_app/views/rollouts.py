"""Pages of rollouts: what happens right now, and the way back."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from deployments_app import rollout_words as words
from deployments_app import selectors
from deployments_app.forms import PressForm
from deployments_app.models import AnalysisVerdict, Deployment, Rollout
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
    "promote": ("Promote now", "fast-forward"),
    "conclude": ("", "flag"),
    "abort": ("Abort", "octagon-x"),
}


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
    deployment = selectors.bare_deployment(request.shop, deployment_id)
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
    seen = selectors.last_rollouts(deployment)
    target = selectors.rollback_target(deployment, seen)
    allowed = selectors.allowed_actions(rollout)
    cannot_operate = refusal(request.actor, "rollouts.operate", request.shop)
    cannot_roll_back = refusal(request.actor, "rollouts.rollback", request.shop) or words.cannot_roll_back(
        deployment, target
    )
    last = rollout if rollout.measured else seen.measured
    watched_until = words.watched_until(rollout, now) if is_live else None
    verdict = _newest_verdict(rollout, watched_until is not None)
    return {
        "rollout": rollout,
        "deployment": deployment,
        "headline": words.headline(rollout, is_live=is_live),
        "why": words.why(rollout, now),
        "remedy": words.what_to_do(rollout),
        # Why servers are not ready yet is the phase itself; what one said that ended is more.
        "troubles": [each for each in words.troubles(rollout.release) if is_current and each["log"]],
        "last_log": (rollout.error or {}).get("log", ""),
        "arms": words.arms(deployment, shoppers),
        "steps": words.steps(rollout, now, shoppers),
        "checks": words.check_lines(verdict),
        "verdict": verdict,
        "watched_until": watched_until,
        "is_unseen": rollout.status == "progressing"
        and not deployment.canary_weight_pct
        and not deployment.canary_mirror_pct,
        "held_share": words.held_share(rollout, now),
        "preview_call": _preview_call(deployment, rollout) if is_active else "",
        "events": words.feed(selectors.rollout_feed(rollout)[:FEED]),
        "is_active": is_active,
        "polls": is_active or _is_measured_soon(rollout, now) or watched_until is not None,
        "is_current": is_current,
        "took_ms": words.took_ms(rollout),
        "measured": words.measured_facts(rollout) if rollout.measured else [],
        "target": target,
        "last": last,
        "last_ms": words.took_ms(last) if last is not None else None,
        "buttons": _buttons(rollout, allowed),
        "no_way_back": words.cannot_roll_back(deployment, target),
        "cannot_operate": cannot_operate,
        "cannot_roll_back": cannot_roll_back,
        "effect": (cannot_roll_back or words.rollback_effect(deployment, target, shoppers, last))
        if is_current
        else f"This rollout is over. {words.placement_headline(deployment)}.",
        "bar_key": "-".join(
            str(part)
            for part in (
                rollout.lock_version,
                rollout.status,
                deployment.canary_weight_pct,
                target.release.pk if target.release else "",
            )
        ),
        "sends_bar": False,
        "curl": curl(f"rollouts/{rollout.pk}"),
    }


def _buttons(rollout: Rollout, allowed: tuple[str, ...]) -> list[dict[str, str]]:
    """The buttons in their fixed order: what is sent, what it says, its icon, what it does."""
    found = []
    strategy = rollout.plan.get("strategy")
    for do in allowed:
        label, icon = BUTTONS[do]
        if do == "conclude":
            was = rollout.from_release
            kept = (("new", rollout.release.number), ("live", was.number if was is not None else 0))
            found += [
                _button(rollout, f"conclude {keep}", f"Keep release {number}", icon) for keep, number in kept
            ]
        elif strategy == "ab" and do == "abort":
            continue  # keeping the live release is the same
        elif strategy == "blue_green" and do == "step":
            continue  # its next step is the switch
        else:
            label = "Switch everybody" if strategy == "blue_green" and do == "promote" else label
            found.append(_button(rollout, do, label, icon))
    return found


def _button(rollout: Rollout, do: str, label: str, icon: str) -> dict[str, str]:
    return {
        "do": do,
        "id": do.replace(" ", "-"),
        "label": label,
        "icon": icon,
        "effect": words.way_out(rollout, do),
    }


def _newest_verdict(rollout: Rollout, is_watched: bool) -> AnalysisVerdict | None:
    """Find what the checks said last: of the present step, or since it went live."""
    if rollout.kind != "promote":
        return None
    step = len(rollout.plan.get("steps", ())) if is_watched else rollout.step
    return selectors.verdicts(rollout).filter(step=step).first()


def _preview_call(deployment: Deployment, rollout: Rollout) -> str:
    """Write how to look at the new release before shoppers do; empty where it is not reached."""
    if deployment.canary_id != rollout.release_id or deployment.stable_id is None:
        return ""
    url = f"{settings.GATEWAY_URL}/{deployment.shop.slug}/{deployment.slug}/preview/recommendations"
    return f"curl '{url}?user=u42&k=10' \\\n  -H \"Authorization: Bearer $SERVING_KEY\""


def _is_measured_soon(rollout: Rollout, now: Any) -> bool:
    """Tell whether gateways may still say how long a rollback took."""
    return (
        rollout.kind == "rollback"
        and rollout.received_at is not None
        and now - rollout.received_at < MEASURING
    )
