"""Events as lines: a line that cannot be read is refused alone, the others are taken."""

from typing import Any

from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from monitoring_app.event_rules import MAX_EVENTS, Unreadable
from portal.core.errors import TooLarge
from portal.core.parsers import parse_strict

LINE_MAX_BYTES = 64 * 1024


class NdjsonParser(BaseParser):
    """One JSON value a line (application/x-ndjson), each by the same strict rules as a whole body."""

    media_type = "application/x-ndjson"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        raw = stream.read(settings.API_BODY_MAX_BYTES + 1)
        if len(raw) > settings.API_BODY_MAX_BYTES:
            raise TooLarge("The body is larger than 1 MiB, which is the limit here.")
        lines = [line for line in raw.split(b"\n") if line.strip()]
        if len(lines) > MAX_EVENTS:
            raise TooLarge(f"At most {MAX_EVENTS:,} events at a time; these are {len(lines):,} lines.")
        return [_read_line(line) for line in lines]


def _read_line(line: bytes) -> Any:
    if len(line) > LINE_MAX_BYTES:
        return Unreadable(f"This line is longer than {LINE_MAX_BYTES:,} bytes.")
    try:
        return parse_strict(line)
    except ParseError as error:
        return Unreadable(str(error.detail).replace("The body", "This line"))
