"""Calling the API as a program and as a signed-in person, and what every refusal must look like."""

import json
import re
from typing import Any
from uuid import uuid4

from django.test import Client

from portal.core.actors import Actor
from portal.core.models import Shop
from portal.core.permissions import SCOPES
from portal.core.tokens import create_token

REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$")


class Program:
    """An integrator's client with one token (default: of every scope it can have)."""

    def __init__(self, actor: Actor, shop: Shop, scopes: list[str] | None = None, **options: Any) -> None:
        most = [scope for scope in SCOPES if scope != "admin" or actor.role_in(shop) == "admin"]
        self.token, self.text = create_token(actor=actor, shop=shop, name="test", scopes=scopes or most)
        self.client = Client(**options)
        self.headers = {"Authorization": f"Bearer {self.text}"}

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send JSON (or bytes as they are); a POST gets a fresh Idempotency-Key unless one is given."""
        if method == "POST":
            headers = {"Idempotency-Key": str(uuid4()), **headers}
        sent = {**self.headers, **headers}
        kind = sent.pop("Content-Type", "application/json")
        data = body if isinstance(body, bytes) else json.dumps(body if body is not None else {})
        if method == "GET":
            return self.client.get(f"/api/v1/{path}", headers=sent)
        return getattr(self.client, method.lower())(
            f"/api/v1/{path}", data=data, content_type=kind, headers=sent
        )

    def get(self, path: str, **headers: str) -> Any:
        return self.call("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.call("POST", path, body, **headers)


class Person(Program):
    """A signed-in person who calls the API from a browser: session and CSRF token."""

    def __init__(self, actor: Actor, shop: Shop, **options: Any) -> None:
        assert actor.user is not None
        self.client = Client(enforce_csrf_checks=True, **options)
        self.client.get("/sign-in")
        self.client.force_login(actor.user, backend="django.contrib.auth.backends.ModelBackend")
        csrf = self.client.cookies["aisle_csrf"].value
        self.headers = {"X-Aisle-Shop": shop.slug, "X-CSRFToken": csrf}


def check_problem(response: Any, status: int, code: str | None = None) -> dict[str, Any]:
    """Assert that this is a whole problem of that status; returns it."""
    assert response.status_code == status, (response.status_code, response.content[:400])
    assert response["Content-Type"] == "application/problem+json"
    found: dict[str, Any] = json.loads(response.content)
    assert found["type"] == f"urn:aisle:problem:{found['code']}"
    assert found["status"] == status
    assert found["instance"] == response.wsgi_request.path
    assert found["request_id"] == response["X-Request-Id"]
    assert REQUEST_ID.match(found["request_id"])
    for name in ("title", "detail", "code"):
        assert found[name]
        assert isinstance(found[name], str)
        assert "Traceback" not in found[name]
        assert "{" not in found["title"]
    for item in found.get("errors", []):
        assert {"pointer", "code", "detail"} <= set(item)
    if code is not None:
        assert found["code"] == code
    return found
