"""One strict JSON parser: what PostgreSQL or Python would stumble over later is refused here."""

import json
from typing import Any

from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from portal.core.errors import TooLarge

MAX_DEPTH = 32


class StrictJSONParser(JSONParser):
    """JSON with bounds: 1 MiB, depth 32, no duplicate names, NaN, NUL or lone surrogates."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        return parse_strict(read_body(stream, settings.API_BODY_MAX_BYTES))


def read_body(stream: Any, max_bytes: int) -> bytes:
    """Read a whole body; raises TooLarge when it is longer."""
    raw: bytes = stream.read(max_bytes + 1)
    if len(raw) > max_bytes:
        raise TooLarge(f"The body is larger than {max_bytes / 1024**2:g} MiB, which is the limit here.")
    return raw


def parse_strict(raw: bytes) -> Any:
    """Parse one JSON document; raises ParseError with the reason."""
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_no_duplicates)
        _check(value, 1)
    except ParseError:
        raise
    except UnicodeDecodeError as error:
        raise ParseError(f"The body is not UTF-8: byte {error.start}.") from error
    except RecursionError as error:
        raise ParseError(f"The body is nested deeper than {MAX_DEPTH} levels.") from error
    except ValueError as error:
        raise ParseError(f"The body is not JSON: {error}") from error
    return value


def _no_constant(name: str) -> None:
    raise ParseError(f"{name} is not JSON.")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ParseError(f"The name {twice[:80]!r} appears twice in one object.")
    return result


def _check(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ParseError(f"The body is nested deeper than {MAX_DEPTH} levels.")
    if isinstance(value, str):
        if "\x00" in value:
            raise ParseError("A text contains a NUL character.")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise ParseError("A text contains half of a surrogate pair.")
    elif isinstance(value, float):
        if value in (float("inf"), float("-inf")):
            raise ParseError("A number is too large.")
    elif isinstance(value, dict):
        for name, inner in value.items():
            _check(name, depth)
            _check(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _check(inner, depth + 1)
