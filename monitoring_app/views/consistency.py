"""Whether what is served is what was registered: the page, *Check now*, and seeing an alert."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from monitoring_app.selectors import live_deployment
from monitoring_app.selectors.consistency import consistency_checks, open_alerts, silences
from monitoring_app.services.alerts import acknowledge_alert
from monitoring_app.services.consistency import EVERY_S, SHOPPERS, K, ask_for_check
from portal.core.permissions import refusal
from portal.core.requests import ShopRequest
from portal.core.snippets import curl

PAGE_SIZE = 20


@require_http_methods(["GET", "HEAD", "POST"])
def consistency(request: ShopRequest, deployment_id: str) -> HttpResponse:
    """Show the checks of one placement; a POST asks for another one now."""
    deployment = live_deployment(request.actor, request.shop, deployment_id)
    if request.method == "POST":
        ask_for_check(request.actor, request.shop, deployment_id)
        messages.info(request, "The servers are being asked. The result is here in a few seconds.")
        return redirect("consistency", request.shop.slug, deployment.pk)
    page = Paginator(consistency_checks(deployment), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "deployment": deployment,
        "page": page,
        "newest": page.object_list[0] if page.number == 1 and page.object_list else None,
        "alerts": open_alerts(deployment),
        "silent": silences(deployment.pk, {deployment.stable_id, deployment.canary_id}),
        "cannot_check": refusal(request.actor, "rollouts.operate", request.shop),
        "shoppers": SHOPPERS,
        "k": K,
        "hours": round(EVERY_S / 3600),
        "curl": curl(f"deployments/{deployment.pk}/consistency-checks"),
    }
    return render(request, "monitoring_app/consistency.html", context)


@require_POST
def alert_acknowledge(request: ShopRequest, alert_id: str) -> HttpResponse:
    """Take an alert from the top of every page; it stays open until its trouble is gone."""
    alert = acknowledge_alert(request.actor, request.shop, alert_id)
    messages.info(request, "You have seen it. It is resolved by itself when its trouble is gone.")
    return redirect("consistency", request.shop.slug, alert.deployment_id)
