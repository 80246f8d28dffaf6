"""Live numbers of a placement, as a page of its own and as the part that other pages fetch."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from deployments_app.models import Deployment
from monitoring_app import charts
from monitoring_app.feedback_words import compare_arms, interval_in_words, send_a_click, window_in_words
from monitoring_app.forms import WindowForm
from monitoring_app.selectors import WINDOWS_S, Series, live_deployment, markers, series
from monitoring_app.selectors.feedback import (
    Reaction,
    ReactionsAt,
    reactions_over_time,
    reactions_since,
    window,
)
from monitoring_app.services.windows import set_window
from portal.core.models import Event
from portal.core.permissions import authorize, refusal
from portal.core.requests import ShopRequest
from portal.core.snippets import curl

WINDOW_WORDS = {"5m": "5 minutes", "1h": "hour", "24h": "24 hours", "7d": "7 days"}
TABS = [(key, words if words[0].isdigit() else f"1 {words}") for key, words in WINDOW_WORDS.items()]
BUCKET_WORDS = {60: "every minute", 600: "every 10 minutes", 3600: "every hour", 86_400: "every day"}
EVERY_S = {"5m": 2, "1h": 5, "24h": 30, "7d": 60}


@require_http_methods(["GET", "HEAD", "POST"])
def live_numbers(request: ShopRequest, deployment_id: str) -> HttpResponse:
    """Requests, latency and errors of every release with traffic, with the moments of each change.

    A POST sets how long after an answer a click or a purchase counts for it.
    """
    deployment = live_deployment(request.actor, request.shop, deployment_id)
    counting = window(deployment)
    form = WindowForm(
        request.POST if request.method == "POST" else None, initial=WindowForm.values_of(counting)
    )
    if request.method == "POST":
        authorize(request.actor, "deployments.write", request.shop)
        if form.is_valid():
            counting = set_window(request.actor, request.shop, deployment.pk, **form.seconds())
            messages.success(request, f"{window_in_words(counting)} This holds for events from now on.")
            return redirect("live_numbers", request.shop.slug, deployment.pk)
    chosen = request.GET.get("window", "5m")
    chosen = chosen if chosen in WINDOWS_S else "5m"
    now = timezone.now()
    since = now - timedelta(seconds=WINDOWS_S[chosen])
    arms = series(deployment, WINDOWS_S[chosen], now)
    marks = list(markers(deployment, since))
    given_out = {arm.release_id: arm.total.to_shoppers for arm in arms}
    reactions = reactions_since(deployment.pk, given_out, since, now)
    roles = _roles(deployment)
    context = {
        "deployment": deployment,
        "arms": [_line(arm, roles, reactions[arm.release_id]) for arm in reversed(arms)],
        **_feedback(deployment, reactions),
        "counts": window_in_words(counting),
        "form": form,
        "changes": form.is_bound or "change" in request.GET,
        "cannot_set": refusal(request.actor, "deployments.write", request.shop),
        **_over_time(deployment, arms, roles, marks, (since, now)),
        "rate": charts.rate_figure(arms, roles, marks),
        "latency": charts.latency_figure(arms, roles, marks),
        "errors": charts.error_figure(arms, roles, marks),
        "window": chosen,
        "window_words": WINDOW_WORDS[chosen],
        "windows": TABS,
        "every_s": EVERY_S[chosen],
        "as_of": now,
        "curl": curl(f"deployments/{deployment.pk}/metrics?window={chosen}"),
    }
    fragment = request.headers.get("HX-Request") == "true"
    name = "_live_numbers.html" if fragment else "live_numbers.html"
    return render(request, f"monitoring_app/{name}", context, status=422 if form.errors else 200)


def _roles(deployment: Deployment) -> dict[int, str]:
    """Say which of the releases serve now, and as what, by their numbers."""
    arms = ((deployment.stable, "stable"), (deployment.canary, deployment.canary_role))
    return {release.number: role for release, role in arms if release is not None}


def _line(arm: Series, roles: Mapping[int, str], reaction: Reaction) -> dict[str, Any]:
    role = roles.get(arm.number) or charts.role_before(arm.number)
    times = {f"p{share}": arm.total.latency_ms(share / 100) for share in (50, 95, 99)}
    intervals = {
        "ctr_words": interval_in_words(reaction.ctr_interval, 1),
        "conversion_words": interval_in_words(reaction.conversion_interval, 2),
    }
    return {"arm": arm, "role": role, "reaction": reaction, **intervals, **times}


def _over_time(
    deployment: Deployment,
    arms: list[Series],
    roles: Mapping[int, str],
    marks: list[Event],
    span: tuple[datetime, datetime],
) -> dict[str, Any]:
    """Draw click rate and conversion over the window; what nobody tells of has no chart."""
    since, now = span
    width_s, found = reactions_over_time(deployment.pk, round((now - since).total_seconds()), now)
    half = timedelta(seconds=width_s / 2)
    drawn: dict[str, Any] = {}
    for kind, share in (("clicks", "ctr"), ("purchases", "conversion")):
        lines = [
            (arm.number, [_point(each, share, half, now) for each in found[arm.release_id]])
            for arm in arms
            if arm.release_id in found
        ]
        if any(getattr(each.reaction, kind) for points in found.values() for each in points):
            drawn[f"{share}_figure"] = charts.share_figure(lines, roles, marks, (since - half, now))
    return {**drawn, "by_bucket": f"One point {BUCKET_WORDS[width_s]}, of the lists given out then"}


def _point(
    each: ReactionsAt, share: str, half: timedelta, now: datetime
) -> tuple[datetime, float | None, int]:
    """Put a bucket's share at its middle, or at the present moment while it is still filling up."""
    return min(each.at + half, now), getattr(each.reaction, share), each.reaction.exposures


def _feedback(deployment: Deployment, reactions: dict[str, Reaction]) -> dict[str, Any]:
    """What shoppers did in the window: whether the shop tells, and how the canary compares with stable."""
    both = [reactions.get(each or "", Reaction()) for each in (deployment.canary_id, deployment.stable_id)]
    is_seen = deployment.canary_id is not None and deployment.canary_weight_pct > 0
    return {
        "tells": any(each.clicks or each.purchases or each.is_shown for each in reactions.values()),
        "compared": compare_arms(*both) if is_seen else [],
        "send": send_a_click(),
    }
