"""The page of an environment: where it runs, its gateways, and what Aisle may do there."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from deployments_app import selectors
from deployments_app.services.access import check_access
from portal.core.permissions import authorize
from portal.core.requests import ShopRequest
from portal.core.snippets import curl


@require_safe
def environment_detail(request: ShopRequest, environment_id: str) -> HttpResponse:
    authorize(request.actor, "rollouts.read", request.shop)
    environment = selectors.environment(request.shop, environment_id)
    context = {
        "environment": environment,
        "access": check_access(request.actor, request.shop, environment),
        "gateways": list(selectors.live_gateways(environment)),
        "curl": curl(f"environments/{environment.pk}/access"),
    }
    return render(request, "deployments_app/environment_detail.html", context)
