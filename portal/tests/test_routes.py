"""Nobody passes a route that the table does not let them pass, whoever they are and whatever they send."""

import copy
import json
import re
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from portal.core.models import Event
from portal.core.permissions import ACTIONS
from portal.tests.route_table import (
    AGENTS,
    ASKS_WHO_FIRST,
    KNOWS_WHO,
    ONLY_WHO_ASKED,
    OPEN,
    RIGHTS,
    ROUTES,
    Route,
    Way,
)
from portal.tests.scene import CALLERS, PEOPLE, ROLES, Scene, upload

pytestmark = pytest.mark.django_db

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
UNSAFE = METHODS[1:]
PAGE_CALLERS = ("anonymous", *PEOPLE, "token admin")
WAYS = [(name, method) for name, route in ROUTES.items() for method in route.ways]
CHANGES = [(name, method) for name, method in WAYS if method != "GET"]


def names_of_all_routes() -> list[str | None]:
    def walk(resolver: URLResolver) -> list[str | None]:
        found: list[str | None] = []
        for entry in resolver.url_patterns:
            found += [entry.name] if isinstance(entry, URLPattern) else walk(entry)
        return found

    return walk(get_resolver())


def test_every_route_is_in_the_table_and_the_table_has_no_other():
    found = names_of_all_routes()
    assert None not in found
    assert set(found) - {"gallery"} == {*ROUTES, *OPEN, *AGENTS}
    assert len(found) == len(set(found)), [name for name in found if found.count(name) > 1]


def test_the_rights_are_those_that_were_agreed():
    actual = {
        name: (
            "".join(letter for role, letter in zip(ROLES, "vapos", strict=True) if role in rule.roles),
            rule.scope or "-",
        )
        for name, rule in ACTIONS.items()
    }
    assert actual == RIGHTS


def fill(scene: Scene, value: Any) -> Any:
    """Put ids and files where the table says @name."""
    if isinstance(value, dict):
        return {key: fill(scene, item) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(scene, item) for item in value]
    if value == "@file":
        return upload()
    return scene.ids[value[1:]] if isinstance(value, str) and value.startswith("@") else value


def address(scene: Scene, name: str, way: Way | None, shop: str | None = None) -> str:
    route = ROUTES[name]
    at = (way.at if way else "") or route.at
    arguments = [scene.ids.get(each, each) for each in at.split(",") if each]
    return reverse(name, args=[shop or scene.shop.slug, *arguments] if route.kind == "page" else arguments)


def send(
    scene: Scene, caller: str, name: str, method: str, *, shop: str | None = None, **options: Any
) -> Any:
    """Send what the table says; the client's cookies stay as they were."""
    route = ROUTES[name]
    way = route.ways.get(method)
    url = options.pop("url", None) or address(scene, name, way, shop)
    headers = {} if route.kind == "page" else dict(scene.headers[caller])
    if method in UNSAFE and (caller in PEOPLE or caller == "anonymous") and options.pop("csrf", True):
        headers["X-CSRFToken"] = scene.csrf(caller)
    if route.kind == "api":
        headers |= {"Idempotency-Key": str(uuid4()), "If-Match": "*"}
    elif caller.startswith("token"):
        headers |= scene.headers[caller]
    body = options.pop("body", None) or (fill(scene, way.body) if way is not None else None)
    extra: dict[str, Any] = {"headers": headers}
    if way is not None and way.query:
        extra["query_params"] = fill(scene, dict(way.query))
    if method in UNSAFE:
        if isinstance(body, bytes):
            extra |= {"data": body, "content_type": "text/csv"}
        elif route.kind == "api":
            extra |= {"data": json.dumps(body or {}), "content_type": "application/json"}
        elif method == "POST":
            extra["data"] = body or {}
    client = scene.clients[caller]
    return call(client, method, url, undo=options.pop("undo", True), **extra)


def count_events() -> int:
    """Count them in SQL: it is asked thousands of times."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM core_event")
        return cursor.fetchone()[0]


def call(client: Client, method: str, url: str, *, undo: bool = True, **extra: Any) -> Any:
    """Send one request and undo it: in the database (unless told otherwise) and in the client's cookies."""
    from django.db import transaction

    cookies = copy.deepcopy(client.cookies)
    with transaction.atomic():
        before = count_events()
        response = getattr(client, method.lower())(url, **extra)
        if response.streaming and not response.is_async:
            list(response)  # a download holds its file until it is read
        response.new_events = count_events() - before
        transaction.set_rollback(undo)
    client.cookies = cookies
    return response


def expected(route: Route, method: str, caller: str) -> int:
    way = route.ways.get(method)
    is_page = route.kind == "page"
    if caller == "anonymous" or (is_page and caller.startswith("token")):
        return 302 if is_page else 401
    if is_page and caller == "outsider":
        return 404
    if way is None:
        return 405
    if caller in way.but:
        return way.but[caller]
    of_another_shop = caller.startswith("outsider")
    if of_another_shop and (route.at or way.at or "'@" in f"{way.body}{way.query}"):
        return 404
    return way.status if way.allows(caller) else 403


def who_tries(name: str, method: str) -> list[str]:
    """Everybody by each method of the route; by other methods the admin, and by turns one of the rest."""
    route = ROUTES[name]
    everybody: list[str] = list(PAGE_CALLERS if route.kind == "page" else CALLERS)
    if route.kind == "page" and method in UNSAFE:
        everybody.remove(
            "token admin"
        )  # no session and no CSRF token: refused before anybody looks who it is
    if method in route.ways:
        return everybody
    rest = [caller for caller in everybody if caller != "admin"]
    turn = (list(ROUTES).index(name) * len(METHODS) + METHODS.index(method)) % len(rest)
    return ["admin", rest[turn]]


@pytest.mark.parametrize("name", ROUTES)
def test_a_route_answers_each_caller_and_method_as_the_table_says(scene, name):
    route = ROUTES[name]
    wrong = []
    for method in METHODS:
        for caller in who_tries(name, method):
            answer = send(scene, caller, name, method)
            wanted = expected(route, method, caller)
            if answer.status_code != wanted:
                text = "" if answer.streaming else re.sub(r"\s+", " ", answer.content.decode()[:300])
                wrong.append(f"{caller} {method}: {answer.status_code}, not {wanted} {text}")
            if wanted == 302 and caller == "anonymous":
                assert answer["Location"].startswith("/sign-in?next=/")
            way = route.ways.get(method)
            is_done = way is not None and caller != "anonymous" and wanted == way.status
            events = way.events if way is not None and is_done else 0
            if answer.new_events != events:
                wrong.append(f"{caller} {method}: {answer.new_events} events, not {events}")
    assert not wrong, "\n".join(wrong[:12])


@pytest.mark.parametrize("name", OPEN)
def test_a_route_outside_of_shops_answers_as_the_table_says(scene, name):
    places = {
        "sign_in_by_link": [scene.ids["user"], scene.ids["link"]],
        "gateway_artifact": [scene.ids["release"], "0" * 64],
    }
    arguments = places.get(name, [])
    wrong = []
    for caller, at in (("anonymous", 0), ("viewer", 1), ("outsider", 1)):
        for method in METHODS:
            headers = {"X-CSRFToken": scene.csrf(caller)} if method in UNSAFE else {}
            body = {"data": {"nothing": "known"}} if method == "POST" else {}
            answer = call(
                scene.clients[caller], method, reverse(name, args=arguments), headers=headers, **body
            )
            wanted = OPEN[name][method][at] if method in OPEN[name] else 405
            if name in (ASKS_WHO_FIRST if caller == "anonymous" else KNOWS_WHO):
                wanted = 302
            if answer.status_code != wanted:
                wrong.append(f"{caller} {method}: {answer.status_code}, not {wanted}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", AGENTS)
def test_only_an_agent_reaches_what_is_for_agents(scene, name, settings):
    url = reverse(name)
    wrong = [
        f"{caller} {method}: {answer.status_code}"
        for caller in CALLERS
        for method in METHODS
        if (answer := call(scene.clients[caller], method, url, headers=scene.headers[caller])).status_code
        != 401
    ]
    assert not wrong, "\n".join(wrong)
    agent = {"Authorization": f"Bearer {settings.AGENT_TOKEN}"}
    client = scene.clients["anonymous"]
    assert call(client, AGENTS[name], url, headers=agent).status_code in (200, 400)
    for method in set(METHODS) - {AGENTS[name]}:
        assert call(client, method, url, headers=agent).status_code == 405
    settings.AGENT_TOKEN = ""
    assert call(client, AGENTS[name], url, headers={"Authorization": "Bearer "}).status_code == 401


@pytest.mark.parametrize(("name", "method"), CHANGES)
def test_a_session_changes_nothing_without_its_csrf_token(scene, name, method):
    answer = send(scene, "admin", name, method, csrf=False)
    assert answer.status_code == 403
    assert "CSRF" in answer.content.decode() or "open for too long" in answer.content.decode()
    assert answer.new_events == 0


@pytest.mark.parametrize(("name", "method"), [way for way in WAYS if ROUTES[way[0]].ways[way[1]].events])
def test_a_change_whose_event_cannot_be_written_does_not_happen(scene, name, method, monkeypatch):
    from django.db import transaction

    def refuse(*args: Any, **options: Any) -> None:
        raise RuntimeError("the audit chain is away")

    caller = "analyst" if ROUTES[name].ways[method].but == ONLY_WHO_ASKED else "admin"
    monkeypatch.setattr(Event, "save", refuse)
    with transaction.atomic():
        before = fingerprint()
        answer = send(scene, caller, name, method, undo=False)
        after = fingerprint()
        transaction.set_rollback(True)
    assert answer.status_code == 500
    assert after == before


def fingerprint() -> dict[str, str]:
    """A hash of every table but those of sessions and sign-ins."""
    from django.db import connection

    found = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            if not table.startswith(("django_", "axes_", "auth_")):
                cursor.execute(
                    f"SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM \"{table}\" t"
                )
                found[table] = cursor.fetchone()[0]
    return found


OBJECTS = [
    (name, "GET")
    for name, route in ROUTES.items()
    if route.at and "GET" in route.ways and name != "sample_file"
]


@pytest.mark.parametrize(("name", "method"), OBJECTS)
def test_an_object_of_another_shop_looks_like_one_that_never_was(scene, name, method):
    """From one's own shop: the same answer for another shop's object as for none, but for what was asked."""
    route = ROUTES[name]
    way = route.ways[method]
    real = [scene.ids.get(each, each) for each in (way.at or route.at).split(",")]
    prefix, _, digits = real[0].partition("_")
    made_up = [f"{prefix}_{digits[:10]}{digits[10:][::-1]}", *real[1:]]
    callers = ["outsider"] if route.kind == "page" else ["outsider", "outsider's token"]
    for caller in callers:
        answers = []
        for arguments in (real, made_up):
            path = [scene.other_shop.slug, *arguments] if route.kind == "page" else arguments
            answer = send(scene, caller, name, method, url=reverse(name, args=path))
            assert answer.status_code == 404, (caller, arguments)
            text = answer.content.decode().replace(arguments[0], "ID")
            answers.append(
                re.sub(r"req_\w{26}|nonce=\"[^\"]+\"|csrf\w*\W+[A-Za-z0-9]{64}|[A-Za-z0-9]{64}", "", text)
            )
        assert answers[0] == answers[1]


def test_lists_of_one_shop_hold_nothing_of_another(scene):
    known = {
        value for value in scene.ids.values() if isinstance(value, str) and len(value) > 20 and "_" in value
    }
    for name, route in ROUTES.items():
        if "GET" in route.ways and not route.at and not route.ways["GET"].query:
            callers = ["outsider"] if route.kind == "page" else ["outsider", "outsider's token"]
            for caller in callers:
                answer = send(scene, caller, name, "GET", shop=scene.other_shop.slug)
                text = answer.content.decode()
                assert not [each for each in known if each in text], name
                assert scene.shop.slug not in text, name
                if answer.status_code != 403:
                    assert answer.status_code == 200, name
