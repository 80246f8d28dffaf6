"""The time machine, and rehearsing the way back."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from deployments_app import selectors
from deployments_app.models import Deployment
from deployments_app.selectors import Moment, Period
from deployments_app.services.rehearsals import rehearse_rollback
from portal.core.errors import Conflict
from portal.core.permissions import authorize, refusal
from portal.core.requests import ShopRequest
from portal.core.snippets import curl

SHOWN = 50
BACK = (
    ("an hour ago", timedelta(hours=1)),
    ("yesterday", timedelta(days=1)),
    ("a week ago", timedelta(days=7)),
)


class MomentForm(forms.Form):
    """A moment to look at."""

    at = forms.DateTimeField(
        label="Date and time (UTC)",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local", "step": 1}, format="%Y-%m-%dT%H:%M:%S"),
        input_formats=[
            "%Y-%m-%dT%H:%M:%S",
            "%Y-%m-%dT%H:%M",
            "%Y-%m-%d %H:%M:%S",
            "%Y-%m-%d %H:%M",
            "%Y-%m-%d",
        ],
    )


@require_safe
def time_machine(request: ShopRequest, deployment_id: str) -> HttpResponse:
    """Pick a moment: what served then, by whose approval, and a button that restores it."""
    authorize(request.actor, "rollouts.read", request.shop)
    deployment = selectors.deployment(request.shop, deployment_id)
    now = timezone.now()
    asked = "at" in request.GET
    form = MomentForm(request.GET if asked else None, initial={"at": now.astimezone(UTC)})
    at = form.cleaned_data["at"] if asked and form.is_valid() else now
    found = selectors.periods(deployment)
    seen = selectors.moment(deployment, at, found)
    context = {
        "deployment": deployment,
        "form": form,
        "moment": seen,
        "is_now": at >= now - timedelta(seconds=1),
        "periods": found[:SHOWN],
        "bands": _bands(found[:SHOWN], seen, now),
        "back": [(words, _written(now - ago)) for words, ago in BACK],
        "cannot_restore": _cannot_restore(request, deployment, seen),
        "curl": curl(f"deployments/{deployment.pk}/history?at={_written(at)}"),
    }
    return render(request, "deployments_app/time_machine.html", context, status=422 if form.errors else 200)


@require_POST
def rehearse(request: ShopRequest, deployment_id: str) -> HttpResponse:
    """Measure a rollback without a shopper noticing."""
    received_at = timezone.now()
    deployment = selectors.bare_deployment(request.shop, deployment_id)
    try:
        made = rehearse_rollback(request.actor, request.shop, deployment, received_at)
    except Conflict as error:
        messages.error(request, error.detail)
    else:
        messages.info(
            request,
            f"Rehearsing the way back to release {made.to_release.number}: measured in a few seconds.",
        )
    return redirect("deployment_detail", request.shop.slug, deployment.pk)


def _cannot_restore(request: ShopRequest, deployment: Deployment, seen: Moment) -> str:
    if seen.period is None:
        return "Nothing served everybody then."
    if seen.period.release.pk == deployment.stable_id:
        return f"Release {seen.period.release.number} serves everybody now."
    return refusal(request.actor, "rollouts.rollback", request.shop) or ""


def _bands(found: list[Period], seen: Moment, now: datetime) -> list[dict[str, Any]]:
    """Lay the periods out from left to right, by how long each lasted; a short one can still be seen."""
    if not found:
        return []
    begin = found[-1].since
    span = max((now - begin).total_seconds(), 1.0)
    bands = []
    for each in reversed(found):
        start = 100 * (each.since - begin).total_seconds() / span
        width = 100 * ((each.until or now) - each.since).total_seconds() / span
        is_chosen = seen.period is not None and each.rollout.pk == seen.period.rollout.pk
        bands.append(
            {
                "x": round(start, 3),
                "width": round(max(width, 0.4), 3),
                "role": "stable" if is_chosen else "baseline",
                "number": each.release.number,
            }
        )
    return bands


def _written(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"
