"""The page of an environment: where it runs, its gateways, and what Aisle may do there."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from deployments_app import selectors
from deployments_app.services.access import check_access
from deployments_app.services.removals import remove_environment, why_not_removable
from portal.core.permissions import authorize, refusal
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
        "cannot_remove": refusal(request.actor, "deployments.write", request.shop)
        or why_not_removable(environment),
        "placements": selectors.deployments(request.shop).filter(environment=environment),
        "curl": curl(f"environments/{environment.pk}/access"),
    }
    return render(request, "deployments_app/environment_detail.html", context)


@require_POST
def environment_remove(request: ShopRequest, environment_id: str) -> HttpResponse:
    environment = selectors.environment(request.shop, environment_id)
    remove_environment(request.actor, request.shop, environment)
    also = ", and its gateways are being stopped" if environment.namespace else ""
    messages.success(request, f"{environment.name} is removed{also}.")
    return redirect("deployment_list", request.shop.slug)
