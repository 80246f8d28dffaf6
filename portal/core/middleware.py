"""What every request carries: an id, the acting party, the shop; and what becomes of a refusal."""

import re
from collections.abc import Callable
from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.functional import SimpleLazyObject

from portal.core.actors import Actor, person
from portal.core.errors import PortalError
from portal.core.ids import new_id
from portal.core.problems import database_away, problem, problem_http_response, refused_by_database

_REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$")

GetResponse = Callable[[HttpRequest], HttpResponse]


class RequestIdMiddleware:
    """Accept a plain `X-Request-Id` or make one, and echo it."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-Id", "")
        request.request_id = given if _REQUEST_ID.match(given) else new_id("req")  # type: ignore[attr-defined]
        request.shop = None  # type: ignore[attr-defined]
        response = self.get_response(request)
        response["X-Request-Id"] = request.request_id  # type: ignore[attr-defined]
        return response


class ShopMiddleware:
    """Set `request.actor`, and `request.shop` from the path's `shop`; others' shops do not exist (404)."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.actor = SimpleLazyObject(lambda: page_actor(request))  # type: ignore[attr-defined]
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: dict[str, Any]) -> None:
        slug = kwargs.pop("shop", None)
        if slug is None or not request.user.is_authenticated:
            return
        shop = request.actor.shop_named(slug)  # type: ignore[attr-defined]
        if shop is None:
            raise Http404("There is no such shop here.")
        request.shop = shop  # type: ignore[attr-defined]


class PortalErrorMiddleware:
    """Turn refusals of pages into a page that says what happened, what was not affected and what to do."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, (OperationalError, InterfaceError)):
            return database_away_response(request)
        refusal = refused_by_database(error) if isinstance(error, DatabaseError) else error
        if not isinstance(refusal, PortalError):
            return None
        if is_for_machines(request):
            return problem_http_response(request, refusal)
        response = render(
            request, "errors/problem.html", {"problem": problem(refusal, request)}, status=refusal.status
        )
        for name, value in refusal.headers.items():
            response[name] = value
        return response


def is_for_machines(request: HttpRequest) -> bool:
    """Tell whether a refusal is read by a program: problem+json, not a page."""
    return request.path.startswith(("/api/", "/gateway/"))


def database_away_response(request: HttpRequest) -> HttpResponse:
    """Answer 503 without asking the database for anything more, e.g. who is signed in."""
    error = database_away()
    if is_for_machines(request):
        return problem_http_response(request, error)
    return HttpResponse(render_to_string("errors/503.html"), status=error.status, headers=error.headers)


def page_actor(request: HttpRequest) -> Actor:
    if not request.user.is_authenticated:
        return Actor("person", "nobody")
    return person(request.user, request_id=getattr(request, "request_id", ""))
