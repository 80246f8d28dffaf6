"""The API describes itself wholly: every route, every method, and what a caller must send."""

import json

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import get_resolver

import portal.api
from portal.core.api import ApiView

METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture(scope="module")
def schema(tmp_path_factory):
    path = tmp_path_factory.mktemp("schema") / "openapi.json"
    call_command(
        "spectacular", "--fail-on-warn", "--validate", "--format", "openapi-json", "--file", str(path)
    )
    return json.loads(path.read_text())


def api_views():
    """Path template (as OpenAPI writes it) and view class of every route of the API."""
    for entry in portal.api.urlpatterns:
        view = getattr(entry.callback, "view_class", None)
        if view is not None and issubclass(view, ApiView):
            yield "/api/v1/" + str(entry.pattern).replace("<str:", "{").replace(">", "}"), view


def operations(schema):
    return [
        (path, method, operation)
        for path, ways in schema["paths"].items()
        for method, operation in ways.items()
        if method in METHODS
    ]


def test_the_description_is_made_without_a_warning_and_is_valid(schema):
    assert schema["openapi"].startswith("3.1")
    assert schema["info"]["title"] == "Aisle"


def test_every_route_and_method_is_described_and_nothing_else(schema):
    exist = {(path, method) for path, view in api_views() for method in METHODS if hasattr(view, method)}
    assert {(path, method) for path, method, _ in operations(schema)} == exist


def test_every_operation_has_a_name_of_its_own(schema):
    names = [operation["operationId"] for _, _, operation in operations(schema)]
    assert len(names) == len(set(names))
    assert not [name for name in names if name.startswith("api_v1") or name.endswith("_2")]


def test_every_operation_that_acts_once_says_that_it_wants_a_key(schema):
    views = dict(api_views())
    for path, method, operation in operations(schema):
        headers = {
            each["name"]: each.get("required", False)
            for each in operation.get("parameters", [])
            if each["in"] == "header"
        }
        wants_key = method == "post" and not views[path].repeatable
        assert headers.get("Idempotency-Key", False) is wants_key, (path, method)
        assert headers["X-Aisle-Shop"] is False, (path, method)


def test_every_operation_says_how_it_refuses(schema):
    for path, method, operation in operations(schema):
        refusal = operation["responses"]["default"]["content"]
        assert list(refusal) == ["application/problem+json"], (path, method)
        assert refusal["application/problem+json"]["schema"] == {"$ref": "#/components/schemas/Problem"}
    fields = schema["components"]["schemas"]["Problem"]["properties"]
    assert set(fields) == {
        "type", "title", "status", "detail", "instance", "code", "request_id", "errors"
    }  # fmt: skip


def test_every_operation_says_how_one_signs_in(schema):
    schemes = schema["components"]["securitySchemes"]
    assert {each["type"] for each in schemes.values()} == {"http", "apiKey"}
    for path, method, operation in operations(schema):
        assert operation.get("security"), (path, method)


@pytest.mark.django_db
def test_it_is_served_to_anybody_with_the_page_that_shows_it():
    client = Client()
    served = client.get("/api/v1/openapi.json")
    assert served.status_code == 200
    assert served.json()["openapi"].startswith("3.1")
    page = client.get("/api/docs")
    assert page.status_code == 200
    assert b"/api/v1/openapi.json" in page.content


def test_the_api_hangs_below_its_base():
    assert get_resolver().resolve("/api/v1/me").url_name == "api_me"
