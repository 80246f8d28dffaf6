"""What becomes of what nothing caught: a problem for machines, a page for people, never a trace."""

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from portal.core.errors import InvalidInput, NotFound, NotPermitted, PortalError
from portal.core.middleware import database_away_response, is_for_machines
from portal.core.problems import problem_http_response


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if is_for_machines(request):
        return problem_http_response(
            request, InvalidInput("This request makes no sense: look at its address.")
        )
    return render(request, "errors/400.html", status=400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    if is_for_machines(request):
        return problem_http_response(request, NotPermitted("You may not do this."))
    return render(request, "errors/403.html", status=403)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    if is_for_machines(request):
        return problem_http_response(
            request, NotPermitted(f"CSRF check failed: {reason}", code="csrf_failed")
        )
    return render(request, "errors/403_csrf.html", status=403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if is_for_machines(request):
        return problem_http_response(request, NotFound("There is nothing here, or you may not see it."))
    return render(request, "errors/404.html", status=404)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer without the database and without the frame: either may be what broke."""
    if isinstance(sys.exc_info()[1], (OperationalError, InterfaceError)):
        return database_away_response(request)
    if is_for_machines(request):
        broken = PortalError(
            "Something broke on our side. Tell the operator the request_id: the log has the details.",
            code="internal_error",
        )
        broken.status, broken.title = 500, "Something broke on our side"
        return problem_http_response(request, broken)
    return HttpResponse(render_to_string("errors/500.html"), status=500)
