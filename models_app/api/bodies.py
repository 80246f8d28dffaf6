"""A file in a request, raw or as a form, in chunks."""

from collections.abc import Iterator
from typing import Any

from django.utils.http import parse_header_parameters
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.request import Request

from models_app.services.refusals import invalid

CHUNK_BYTES = 1024 * 1024


class RawParser(BaseParser):
    """Any media type, left unread: the view streams it."""

    media_type = "*/*"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> dict[str, Any]:
        return {}


UPLOAD_PARSERS = [MultiPartParser, RawParser]


def uploaded(request: Request) -> tuple[Iterator[bytes], str]:
    """Return the file's chunks and its name, from a form's one file or from the raw body.

    The name of a raw body comes from `?name=` or from Content-Disposition.
    """
    if (request.content_type or "").startswith("multipart/form-data"):
        files = [file for _, group in request.FILES.lists() for file in group]
        if len(files) != 1:
            raise invalid("/file", "A form has exactly one part, the file; or send the file as the raw body.")
        return files[0].chunks(CHUNK_BYTES), files[0].name or ""
    disposition = request.headers.get("Content-Disposition", "")
    named = parse_header_parameters(disposition)[1].get("filename", "") if disposition else ""
    # Not request.data: DRF takes a body without a declared length for an empty one.
    raw = request._request
    return iter(lambda: raw.read(CHUNK_BYTES), b""), request.query_params.get("name", "") or named
