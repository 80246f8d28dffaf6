"""Answering with a stored file: always as an attachment, never whole in memory."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from django.core.handlers.asgi import ASGIRequest
from django.http import FileResponse, HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header

from models_app.services.downloads import KeptFile

CHUNK_BYTES = 256 * 1024


def file_response(request: HttpRequest, kept: KeptFile) -> HttpResponseBase:
    """Stream a kept file under its owner's name (RFC 6266); its ETag is the content's digest."""
    response: HttpResponseBase
    if isinstance(request, ASGIRequest):
        response = StreamingHttpResponse(_read_in_thread(kept.path))
    else:
        response = FileResponse(kept.path.open("rb"))
    response["Content-Disposition"] = content_disposition_header(True, kept.name) or "attachment"
    response["Content-Type"] = "application/octet-stream"
    response["Content-Length"] = str(kept.size)
    response["Cache-Control"] = "private, no-store"
    response["ETag"] = f'"{kept.sha256}"'
    return response


async def _read_in_thread(path: Path) -> AsyncIterator[bytes]:
    # Under ASGI Django would collect a plain iterator whole before it sends the first byte.
    file = await asyncio.to_thread(path.open, "rb")
    try:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
    finally:
        file.close()
