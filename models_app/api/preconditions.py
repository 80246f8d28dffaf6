"""ETag and If-Match: a change must name the version it was made from."""

from django.utils.http import parse_etags
from rest_framework.request import Request
from rest_framework.response import Response

from portal.core.errors import PortalError, StaleVersion
from portal.core.models import Versioned


class PreconditionMissing(PortalError):
    status = 428
    code = "if_match_missing"
    title = "Say which version you change"


def etag_of(row: Versioned) -> str:
    return f'"{row.lock_version}"'


def tagged(response: Response, row: Versioned) -> Response:
    """Add the row's ETag to an answer that shows it."""
    response["ETag"] = etag_of(row)
    return response


def require_match(request: Request, row: Versioned) -> None:
    """Raise unless If-Match names the row as it is now: 428 if it is missing, 412 if it is stale."""
    given = request.headers.get("If-Match")
    if given is None:
        raise PreconditionMissing("Send If-Match with the ETag of the version you read.")
    if given.strip() != "*" and etag_of(row) not in parse_etags(given):
        raise StaleVersion("This has changed since you read it. Read it again and repeat the change.")
