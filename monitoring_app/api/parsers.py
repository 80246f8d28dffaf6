"""Events as a list, or as lines: a line that cannot be read is refused alone, the others are taken."""

from typing import Any

from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from monitoring_app.event_rules import MAX_EVENTS, Unreadable
from portal.core.errors import TooLarge
from portal.core.parsers import parse_strict, read_body

LINE_MAX_BYTES = 64 * 1024


class EventsParser(BaseParser):
    """JSON within the strict rules, in which a thousand events of any legal length fit.

    No JSONParser: DRF hands those Django's `body`, which has the limit of all other routes.
    """

    media_type = "application/json"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        return parse_strict(read_body(stream, settings.EVENTS_BODY_MAX_BYTES))


class NdjsonParser(BaseParser):
    """One JSON value a line (application/x-ndjson), each by the same strict rules as a whole body."""

    media_type = "application/x-ndjson"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        raw = read_body(stream, settings.EVENTS_BODY_MAX_BYTES)
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
