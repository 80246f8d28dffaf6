"""Where servers in a cluster fetch their artifact, below /gateway/v1/."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from django.contrib.auth.decorators import login_not_required
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import path
from django.views.decorators.http import require_GET

from deployments_app.gateway_api import agents_only, refuse
from deployments_app.services.artifacts import addresses_to_keep, open_artifact
from models_app.artifact_archive import archive_size, write_archive
from portal.core.errors import NotPermitted, PortalError
from portal.core.problems import problem_http_response


@agents_only
@require_GET
def gateway_artifacts(request: HttpRequest, *, only: str = "") -> HttpResponse:
    """List the addresses of the artifacts that an environment's caches are to keep."""
    environment = request.GET.get("backend", "")
    if only not in ("", environment):
        return refuse(request, NotPermitted("This token is for the gateways of another environment."))
    found = addresses_to_keep(environment)
    return JsonResponse({"artifacts": found}, headers={"Cache-Control": "no-store"})


@login_not_required
@require_GET
def gateway_artifact(request: HttpRequest, release_id: str, digest: str) -> HttpResponseBase:
    """Send an artifact, packed, to whoever holds its signed address, or send them to the S3 store for it."""
    from_store = request.GET.get("store") != "no"  # fetch_artifact.WITHOUT_STORE
    try:
        opened = open_artifact(release_id, digest, request.GET.get("signature", ""), from_store=from_store)
    except PortalError as error:
        return problem_http_response(request, error)
    if opened.url is not None:
        response: HttpResponseBase = HttpResponseRedirect(opened.url, preserve_request=True)
    else:
        response = _stream(request, opened.files)
    response["Cache-Control"] = "private, no-store"
    return response


def _stream(request: HttpRequest, files: list[Path]) -> HttpResponseBase:
    is_async = isinstance(request, ASGIRequest)
    response = StreamingHttpResponse(_in_threads(files) if is_async else write_archive(files))
    response["Content-Type"] = "application/x-tar"
    response["Content-Length"] = str(archive_size(files))
    return response


async def _in_threads(files: list[Path]) -> AsyncIterator[bytes]:
    # Under ASGI Django would collect a plain iterator whole before it sends the first byte.
    pieces = write_archive(files)
    while piece := await asyncio.to_thread(next, pieces, b""):
        yield piece


artifact_urlpatterns = [
    path("artifacts", gateway_artifacts, name="gateway_artifacts"),
    path("artifacts/<str:release_id>/<str:digest>", gateway_artifact, name="gateway_artifact"),
]
