"""Every answer tells the browser what it may do: nothing inline, no frame, no guessing of types."""

import re

import pytest

from portal.tests.route_table import OPEN, ROUTES
from portal.tests.test_routes import call, send

pytestmark = pytest.mark.django_db

PAGES = [name for name, route in ROUTES.items() if route.kind == "page" and "GET" in route.ways]


def check_headers(answer):
    policy = dict(
        re.match(r"\s*([\w-]+)\s*(.*)", part).groups()  # type: ignore[union-attr]
        for part in answer["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert re.fullmatch(r"'self'( 'nonce-[\w+/=-]+')?", policy["script-src"])
    assert policy["style-src"] == "'self'"
    assert policy["object-src"] == "'none'"
    assert policy["base-uri"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["form-action"] == "'self'"
    assert "unsafe" not in answer["Content-Security-Policy"]
    assert "http" not in answer["Content-Security-Policy"].replace("/csp-report", "")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer["X-Request-Id"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_carries_the_policy(scene, name):
    answer = send(scene, "admin", name, "GET")
    assert answer.status_code == 200
    check_headers(answer)
    if answer["Content-Type"].startswith("text/html"):
        text = answer.content.decode()
        assert not re.search(
            r"<[^>]+\s(?:style|on[a-z]+)=", re.sub(r"<script.*?</script>", "", text, flags=re.S)
        )
        assert not re.search(r"<script(?![^>]*(?:src=|application/json))", text)
        assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']https?:", text)
    elif "Content-Disposition" in answer:
        assert answer["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize(
    "name",
    [name for name in OPEN if name not in ("start", "sign_out", "theme", "csp_report", "gateway_artifact")],
)
def test_what_is_outside_of_shops_carries_it_too(scene, name):
    from django.urls import reverse

    arguments = [scene.ids["user"], scene.ids["link"]] if name == "sign_in_by_link" else []
    caller = "viewer" if name == "password" else "anonymous"
    answer = call(scene.clients[caller], "GET", reverse(name, args=arguments))
    assert answer.status_code == 200
    check_headers(answer)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/{shop}/nothing-here", 404),
        ("/api/v1/nothing", 404),
        ("/{shop}/people", 403),
        ("/api/v1/members", 403),
    ],
)
def test_a_refusal_carries_it_too(scene, path, status):
    client = scene.clients["viewer"]
    url = path.format(shop=scene.shop.slug)
    method = "POST" if status == 403 else "GET"
    answer = call(client, method, url, content_type="application/json")
    assert answer.status_code == status
    check_headers(answer)


def test_a_download_comes_as_an_attachment_whatever_it_holds(scene):
    answer = send(scene, "admin", "version_file", "GET")
    assert answer["Content-Disposition"].startswith("attachment;")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "html" not in answer["Content-Type"]


@pytest.mark.parametrize("name", ["tokens", "deployment_key_new"])
def test_a_page_that_shows_a_secret_is_not_stored(scene, name):
    answer = send(scene, "admin", name, "POST")
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
