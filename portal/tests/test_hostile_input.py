"""Whatever stands in an address, a form or a body: an answer below 500."""

import copy
from urllib.parse import quote

import pytest
from django.urls import reverse

from portal.tests.route_table import ROUTES
from portal.tests.scene import upload
from portal.tests.test_routes import CHANGES, WAYS, fill, send

pytestmark = [pytest.mark.django_db, pytest.mark.long]

TEXTS = {
    "NUL": "a\0b",
    "5,000 digits": "9" * 5000,
    "a long text": "x" * 70_000,
    "minus one": "-1",
    "a large number": str(2**63),
    "not a number": "NaN",
    "digits of another script": "٣٤",
    "a superscript, which isdigit": "²",
    "markup": "<img src=x onerror=alert(1)>",
    "a path": "../../../etc/passwd",
    "a template": "{{ 7*7 }}${7*7}",
    "turned around": "\u202egnp.exe",
    "nothing": "",
}
VALUES = {
    **TEXTS,
    "null": None,
    "a list": [],
    "an object": {"a": {"b": []}},
    "true": True,
    "1e308": 1e308,
    "2^70": 2**70,
}
# What pages read from the address beside the path.
PARAMETERS = (
    "page", "verb", "window", "shopper", "version", "deployment", "data", "dataset", "runs", "group", "user",
    "tab", "bar", "n", "k", "model", "status", "kind", "role", "object_id", "page_size", "page_token",
)  # fmt: skip


ALWAYS = {"NUL"}  # of every field; the other values by turns


def alone(name):
    """Parameters one at a time, for a refused one hides the next; each route tries a share of them."""
    every = [(each, kind) for each in PARAMETERS for kind in ("NUL", "5,000 digits")]
    return every[list(ROUTES).index(name) % 8 :: 8]


def fields_of(body):
    return sorted(body) if isinstance(body, dict) else []


@pytest.mark.parametrize(("name", "method"), WAYS)
def test_a_strange_address_is_refused_or_ignored_but_breaks_nothing(scene, name, method):
    route = ROUTES[name]
    arguments = [scene.ids.get(each, each) for each in (route.ways[method].at or route.at).split(",") if each]
    base = [scene.shop.slug] if route.kind == "page" else []
    where = reverse(name, args=[*base, *arguments])
    urls = []
    if arguments:
        urls += [
            where.replace(arguments[0], quote(TEXTS[kind], safe=""))
            for kind in ("NUL", "5,000 digits", "a path")
        ]
    if method == "GET":
        urls += [
            where + "?" + "&".join(f"{each}={quote(TEXTS[kind])}" for each in PARAMETERS)
            for kind in ("not a number", "minus one", "a superscript, which isdigit", "turned around")
        ]
        urls += [f"{where}?{each}={quote(TEXTS[kind])}" for each, kind in alone(name)]
    for url in urls:
        answer = send(scene, "admin", name, method, url=url)
        assert answer.status_code < 500, (url[:200], answer.content[:300])


FIELDS = [
    (name, method)
    for name, method in CHANGES
    if not isinstance(ROUTES[name].ways[method].body, bytes | list)  # of events: monitoring_app's own tests
]


@pytest.mark.parametrize(("name", "method"), FIELDS)
def test_a_strange_field_is_refused_or_kept_as_text_but_breaks_nothing(scene, name, method, monkeypatch):
    way = ROUTES[name].ways[method]
    body = fill(scene, way.body)
    is_page = ROUTES[name].kind == "page"
    extra = (
        {"lock_version", "comment", "reason", "to_release", "version", "next", "dataset"}
        if is_page
        else set()
    )
    fields = [*fields_of(body), *sorted(extra - set(body)), "unknown"]
    kinds = TEXTS if is_page else VALUES
    for at, field in enumerate(fields):
        for turn, (kind, value) in enumerate(kinds.items()):
            if kind not in ALWAYS and turn % len(fields) != at:
                continue
            sent = copy.copy(body)
            if "file" in sent:
                sent["file"] = upload()
            sent[field] = value
            answer = send(scene, "admin", name, method, body=sent)
            assert answer.status_code < 500, (field, kind, answer.content[:300])
            if not is_page and field == "unknown" and method != "DELETE":
                assert answer.status_code == 400, (kind, answer.content[:300])
