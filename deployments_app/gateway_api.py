"""What the agents beside the gateways ask and tell, below /gateway/v1/; each always asks again."""

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from deployments_app.gateway_report import Report, report_from_json
from deployments_app.gateway_tokens import scope_of
from deployments_app.gateway_wire import WireError, routes_to_json
from deployments_app.known_routes import await_routes, known_routes
from deployments_app.selectors import shoppers_to_compare
from deployments_app.services.gateways import may_report, record_gateway_report
from portal.core.errors import InvalidInput, NotPermitted, PortalError
from portal.core.problems import problem_http_response

View = Callable[..., HttpResponse]
_OTHER = NotPermitted("This agent's token is for the gateways of another environment.")


def agents_only(view: View) -> View:
    """Let an agent in by its token: the one of all agents, or that of one environment's."""

    @wraps(view)
    def guarded(request: HttpRequest, **options: Any) -> HttpResponse:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        options["only"] = scope_of(token) if scheme == "Bearer" else None
        if options["only"] is None:
            refused = NotPermitted("Agents show the AGENT_TOKEN that the portal gave them.")
            refused.status, refused.code = 401, "not_authenticated"
            refused.headers["WWW-Authenticate"] = 'Bearer realm="aisle-agents"'
            return refuse(request, refused)
        return view(request, **options)

    return login_not_required(csrf_exempt(guarded))


@agents_only
@require_GET
def gateway_routes(request: HttpRequest, *, only: str = "") -> HttpResponse:
    """Answer the present routes, or 304 when the agent has them.

    An agent that prefers to wait (RFC 7240, section 4.3) is answered when there are others, or half a
    second later.
    """
    scope = request.GET.get("backend", "local")
    if only not in ("", scope):
        return refuse(request, _OTHER)
    has = request.headers.get("If-None-Match", "")
    waits = request.headers.get("Prefer", "").startswith("wait=")
    routes = await_routes(scope, other_than=has.strip('"')) if waits else known_routes(scope)
    tag = f'"{routes.version}"'
    if has == tag:
        return HttpResponse(status=304, headers={"ETag": tag})
    body = json.dumps(routes_to_json(routes, timezone.now()), separators=(",", ":"))
    headers = {"ETag": tag, "Cache-Control": "no-store"}
    return HttpResponse(body, content_type="application/json", headers=headers)


@agents_only
@require_POST
def gateway_report(
    request: HttpRequest, *, only: str = "", and_then: Callable[[Report], Any] | None = None
) -> HttpResponse:
    """Take a report; `and_then` hands its counts to the stage that measures."""
    try:
        report = report_from_json(json.loads(request.body))
    except (WireError, ValueError, RecursionError) as error:
        return refuse(request, InvalidInput(f"The report cannot be read: {error}"))
    if not may_report(only, report):
        return refuse(request, _OTHER)
    record_gateway_report(report)
    if and_then is not None:
        and_then(report)
    return HttpResponse(status=204)


def refuse(request: HttpRequest, error: PortalError) -> HttpResponse:
    response = problem_http_response(request, error)
    for name, value in error.headers.items():
        response[name] = value
    return response


@agents_only
@require_GET
def gateway_shoppers(request: HttpRequest, *, only: str = "") -> HttpResponse:
    """Name shoppers for whom a rollout's shadow and stable are compared; none for what is no such rollout."""
    found = shoppers_to_compare(request.GET.get("rollout", ""), within=only)
    return JsonResponse({"shoppers": found}, headers={"Cache-Control": "no-store"})


gateway_urlpatterns = [
    path("routes", gateway_routes, name="gateway_routes"),
    path("shoppers", gateway_shoppers, name="gateway_shoppers"),
    path("report", gateway_report, name="gateway_report"),
]
