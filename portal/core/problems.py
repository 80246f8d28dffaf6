"""Errors as `application/problem+json` (RFC 9457)."""

import json
from http import HTTPStatus
from typing import Any

from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig
from django.core.exceptions import ValidationError as ModelValidationError
from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from portal.core import errors
from portal.core.errors import PortalError

CONTENT_TYPE = "application/problem+json"
UNIQUE_VIOLATION = "23505"


def problem(error: PortalError, request: Any) -> dict[str, Any]:
    """Build the body: type, title, status, detail, instance, code, errors, request_id."""
    body: dict[str, Any] = {
        "type": f"urn:aisle:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "instance": getattr(request, "path", ""),
        "code": error.code,
        "request_id": getattr(request, "request_id", ""),
    }
    if error.errors:
        body["errors"] = error.errors
    return {**error.extra, **body}


def problem_http_response(request: HttpRequest, error: PortalError) -> HttpResponse:
    """Answer with a problem outside DRF."""
    body = json.dumps(problem(error, request), default=str)
    return HttpResponse(body, status=error.status, content_type=CONTENT_TYPE, headers=error.headers)


def problem_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: every refusal becomes a problem; anything unknown stays a 500."""
    request = context["request"]._request
    known = as_portal_error(error)
    if known is None:
        return None
    set_rollback()
    response = Response(problem(known, request), status=known.status, content_type=CONTENT_TYPE)
    for name, value in known.headers.items():
        response[name] = value
    return response


def as_portal_error(error: Exception) -> PortalError | None:
    """Translate what Django and DRF raise."""
    if isinstance(error, PortalError):
        return error
    if isinstance(error, Http404):
        return errors.NotFound("There is nothing here, or you may not see it.")
    if isinstance(error, PermissionDenied):
        return errors.NotPermitted(str(error) or "You may not do this.")
    if isinstance(error, RequestDataTooBig):
        return errors.TooLarge("The body is larger than 1 MiB, which is the limit here.")
    if isinstance(error, (BadRequest, ModelValidationError)):
        return errors.InvalidInput("; ".join(getattr(error, "messages", [str(error)])))
    if isinstance(error, (OperationalError, InterfaceError)):
        return database_away()
    if isinstance(error, DatabaseError):
        return refused_by_database(error)
    if isinstance(error, exceptions.ValidationError):
        items = field_errors(error.detail)
        sentence = "; ".join(f"{item['pointer'] or 'body'}: {item['detail']}" for item in items[:3])
        return errors.InvalidInput(sentence, errors=items)
    if isinstance(error, exceptions.APIException):
        return _from_api_exception(error)
    return None


def database_away() -> PortalError:
    """Make the refusal for a database that does not answer: 503, try again in five seconds."""
    error = PortalError(
        "The database does not answer. Nothing was changed; serving goes on. Try again in a moment."
    )
    error.status, error.code, error.title = 503, "database_away", "Aisle is waiting for its database"
    error.headers["Retry-After"] = "5"
    return error


def refused_by_database(error: DatabaseError) -> PortalError | None:
    """Translate what only the database could see: a value it cannot hold, or a race for a unique name."""
    if isinstance(error, DataError):
        return errors.InvalidInput(
            "A value cannot be stored: it is too long, too large, or contains a NUL character.",
            code="value_out_of_range",
        )
    if isinstance(error, IntegrityError) and getattr(error.__cause__, "sqlstate", "") == UNIQUE_VIOLATION:
        return errors.Conflict(
            "Somebody else made the same at this very moment. Look at it again and decide anew."
        )
    return None


def _from_api_exception(error: exceptions.APIException) -> PortalError:
    known = PortalError(str(error.detail), code=error.default_code)
    known.status = error.status_code
    known.title = HTTPStatus(error.status_code).phrase
    header = getattr(error, "auth_header", None)
    if header:
        known.headers["WWW-Authenticate"] = header
    wait = getattr(error, "wait", None)
    if wait:
        known.headers["Retry-After"] = str(int(wait) + 1)
    return known


def field_errors(detail: Any, pointer: str = "") -> list[dict[str, Any]]:
    """Flatten DRF's nested error detail into a list with JSON pointers."""
    if isinstance(detail, dict):
        return [
            item
            for name, value in detail.items()
            for item in field_errors(value, f"{pointer}/{_escaped(str(name))}")
        ]
    if isinstance(detail, list):
        nested = [
            item
            for at, value in enumerate(detail)
            if isinstance(value, dict)
            for item in field_errors(value, f"{pointer}/{at}")
        ]
        plain = [value for value in detail if not isinstance(value, dict)]
        return nested + [_item(pointer, value) for value in plain]
    return [_item(pointer, detail)]


def _escaped(name: str) -> str:
    """Write a name as a part of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def _item(pointer: str, value: Any) -> dict[str, Any]:
    pointer = pointer.removesuffix("/non_field_errors")
    return {"pointer": pointer, "code": getattr(value, "code", "invalid"), "detail": str(value)}
