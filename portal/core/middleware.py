"""What every request carries: an id, the acting party, the shop; and what becomes of a refusal."""

import re
from collections.abc import Callable
from typing import Any

from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.functional import SimpleLazyObject

from portal.core.actors import Actor, person
from portal.core.errors import PortalError
from portal.core.ids import new_id
from portal.core.models import Shop
from portal.core.problems import problem, problem_http_response

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
        shop = Shop.objects.filter(slug=slug).first()
        if shop is None or request.actor.role_in(shop) is None:  # type: ignore[attr-defined]
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
            error = database_away()
        if not isinstance(error, PortalError):
            return None
        if request.path.startswith(("/api/", "/gateway/")):
            return problem_http_response(request, error)
        response = render(
            request, "errors/problem.html", {"problem": problem(error, request)}, status=error.status
        )
        for name, value in error.headers.items():
            response[name] = value
        return response


def database_away() -> PortalError:
    """Make the refusal for a database that does not answer: 503, try again in five seconds."""
    error = PortalError(
        "The database does not answer. Nothing was changed; serving goes on. Try again in a moment."
    )
    error.status, error.code, error.title = 503, "database_away", "Aisle is waiting for its database"
    error.headers["Retry-After"] = "5"
    return error


def page_actor(request: HttpRequest) -> Actor:
    if not request.user.is_authenticated:
        return Actor("person", "nobody")
    return person(request.user, request_id=getattr(request, "request_id", ""))
