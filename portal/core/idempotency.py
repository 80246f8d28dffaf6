"""A POST acts once: the key, the effect and the stored answer are one transaction.

Source: draft-ietf-httpapi-idempotency-key-header-07. Because the key's row is part of the effect's
transaction, a crash leaves neither, and a second request with the same key waits on the unique index
until the first has committed, then replays its bytes. What was refused is not stored: nothing happened.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from django.db import OperationalError, transaction
from django.db.utils import IntegrityError
from django.http import HttpResponse
from django.utils import timezone
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from portal.core.actors import Actor
from portal.core.errors import Conflict, InvalidInput, Unprocessable
from portal.core.models import IdempotencyKey

MAX_KEY = 255
_KEPT_HEADERS = ("Location", "ETag", "Link")


def run_once(request: Request, actor: Actor, act: Callable[[], Response]) -> HttpResponse:
    """Run `act` once for this key and owner, or replay what it answered."""
    key = _key_of(request)
    owner = actor.id
    digest = _digest_of(request)
    try:
        with transaction.atomic():
            IdempotencyKey.objects.filter(
                owner=owner, key=key, created_at__lt=timezone.now() - IdempotencyKey.LIFETIME
            ).delete()
            stored = _claim(owner, key, digest)
            answer = act()
            stored.response_status = answer.status_code
            stored.response_body = JSONRenderer().render(answer.data) if answer.data is not None else b""
            stored.response_headers = {name: answer[name] for name in _KEPT_HEADERS if name in answer}
            stored.save(update_fields=["response_status", "response_body", "response_headers"])
    except _Seen:
        stored = IdempotencyKey.objects.get(owner=owner, key=key)
        if stored.request_sha256 != digest:
            raise Unprocessable(
                "This Idempotency-Key was used for another request. Use a new key.",
                code="idempotency_key_reused",
            ) from None
    return _replay(stored)


class _Seen(Exception):
    """The key's row exists already."""


def _claim(owner: str, key: str, digest: str) -> IdempotencyKey:
    try:
        with transaction.atomic():
            return IdempotencyKey.objects.create(owner=owner, key=key, request_sha256=digest)
    except IntegrityError:
        raise _Seen from None
    except OperationalError as error:
        if "lock timeout" not in str(error):
            raise
        busy = Conflict(
            "The first request with this Idempotency-Key is still running.", code="idempotency_in_flight"
        )
        busy.headers["Retry-After"] = "1"
        raise busy from error


def _key_of(request: Request) -> str:
    key = request.headers.get("Idempotency-Key", "").strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not key:
        raise InvalidInput(
            "Send an Idempotency-Key header with this POST, e.g. a UUID: then a retry acts once.",
            code="idempotency_key_missing",
        )
    if len(key) > MAX_KEY or not key.isprintable():
        raise InvalidInput(
            f"An Idempotency-Key has 1 to {MAX_KEY} printable characters.", code="idempotency_key_invalid"
        )
    return key


def _digest_of(request: Request) -> str:
    body = json.dumps(request.data, sort_keys=True, separators=(",", ":"))
    shop = request.headers.get("X-Aisle-Shop", "")
    return hashlib.sha256(
        f"{request.method} {request.path}\n{shop}\n{body}".encode("utf-8", "surrogatepass")
    ).hexdigest()


def _replay(stored: IdempotencyKey) -> HttpResponse:
    body: Any = bytes(stored.response_body or b"")
    response = HttpResponse(body, status=stored.response_status, content_type="application/json")
    for name, value in stored.response_headers.items():
        response[name] = value
    return response
