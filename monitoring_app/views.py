"""Live numbers of a placement, as a page of its own and as the part that other pages fetch."""

from datetime import timedelta

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from monitoring_app import charts
from monitoring_app.selectors import WINDOWS_S, live_deployment, markers, series
from portal.core.snippets import curl

WINDOW_WORDS = {"5m": "5 minutes", "1h": "1 hour", "24h": "24 hours", "7d": "7 days"}
EVERY_S = {"5m": 2, "1h": 5, "24h": 30, "7d": 60}


def live_numbers(request: HttpRequest, deployment_id: str) -> HttpResponse:
    """Requests, latency and errors of every release with traffic, with the moments of each change."""
    deployment = live_deployment(request.actor, request.shop, deployment_id)
    window = request.GET.get("window", "5m")
    window = window if window in WINDOWS_S else "5m"
    now = timezone.now()
    arms = series(deployment, WINDOWS_S[window], now)
    marks = list(markers(deployment, now - timedelta(seconds=WINDOWS_S[window])))
    stable = deployment.stable.number if deployment.stable else None
    canary = deployment.canary.number if deployment.canary else None
    context = {
        "deployment": deployment,
        "arms": [(arm, _role(arm.number, stable, canary)) for arm in reversed(arms)],
        "rate": charts.rate_figure(arms, stable, canary, marks),
        "latency": charts.latency_figure(arms, stable, canary, marks),
        "errors": charts.error_figure(arms, stable, canary, marks),
        "p95": {arm.number: arm.total.latency_ms(0.95) for arm in arms},
        "p50": {arm.number: arm.total.latency_ms(0.50) for arm in arms},
        "p99": {arm.number: arm.total.latency_ms(0.99) for arm in arms},
        "window": window,
        "window_words": WINDOW_WORDS[window],
        "windows": list(WINDOW_WORDS.items()),
        "every_s": EVERY_S[window],
        "as_of": now,
        "curl": curl(f"deployments/{deployment.pk}/metrics?window={window}"),
    }
    fragment = request.headers.get("HX-Request") == "true"
    name = "_live_numbers.html" if fragment else "live_numbers.html"
    return render(request, f"monitoring_app/{name}", context)


def _role(number: int, stable: int | None, canary: int | None) -> str:
    return "canary" if number == canary else "stable" if number == stable else "baseline"
