"""Every refusal is one shape, and an accident tells nobody anything but its request's id."""

import logging

import pytest
from django.test import Client

from portal.core.errors import PortalError
from portal.core.testing import make_actor, make_shop
from portal.tests.calls import Person, Program, check_problem

pytestmark = pytest.mark.django_db

SECRET = "the-password-is-hunter2"


@pytest.fixture
def quiet_program(shop, admin):
    return Program(admin, shop, raise_request_exception=False)


@pytest.mark.parametrize("path", ["nothing-here", "datasets/", "datasets//x", "", "jobs/x/y/z", "../admin"])
def test_an_unknown_address_of_the_api_is_a_problem_not_a_page(program, path):
    check_problem(program.get(path), 404, "not_found")


def test_an_unknown_address_elsewhere_is_a_page(admin, shop):
    client = Client()
    client.force_login(admin.user, backend="django.contrib.auth.backends.ModelBackend")
    answer = client.get(f"/{shop.slug}/nothing-here")
    assert answer.status_code == 404
    assert answer["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    "path", ["datasets/ds_unknown", "jobs/run_unknown", "jobs/zzz", "rollouts/1", "members/%2e%2e%2fme"]
)
def test_an_unknown_object_is_404(program, path):
    check_problem(program.get(path), 404)


@pytest.mark.parametrize("path", ["datasets/%00", "model-versions/a%00b/preview?user=u", "releases/%00"])
def test_a_nul_in_an_address_is_refused_and_breaks_nothing(program, path):
    answer = program.get(path)
    check_problem(answer, 400 if answer.status_code == 400 else 404)


@pytest.mark.parametrize(
    "name", ["x" * 5000, "%ED%A0%80", "..%2f..%2fetc%2fpasswd", "%252e%252e", "%F0%9F%9B%92"]
)
def test_a_strange_id_is_only_not_found(program, name):
    check_problem(program.get(f"datasets/{name}"), 404)


def test_a_method_that_is_not_there_is_405_and_names_those_that_are(program):
    answer = program.call("DELETE", "datasets")
    check_problem(answer, 405, "method_not_allowed")
    assert {"GET", "POST"} <= set(answer["Allow"].split(", "))
    check_problem(program.post("me"), 405)


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND"])
def test_methods_from_elsewhere_are_405(program, method):
    answer = program.client.generic(method, "/api/v1/datasets", headers=program.headers)
    check_problem(answer, 405)


def test_a_method_cannot_be_smuggled_in_a_header(program):
    answer = program.get("datasets", **{"X-HTTP-Method-Override": "DELETE"})
    assert answer.status_code == 200


def test_no_other_site_is_let_in_by_cors(program):
    answer = program.client.options(
        "/api/v1/datasets",
        headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"},
    )
    check_problem(answer, 401)
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


def test_whoever_is_not_signed_in_is_told_how():
    answer = Client().get("/api/v1/me")
    check_problem(answer, 401, "not_authenticated")
    assert answer["WWW-Authenticate"] == 'Bearer realm="aisle"'


def test_a_session_without_its_csrf_token_is_403(person):
    del person.headers["X-CSRFToken"]
    problem = check_problem(person.post("datasets", {"name": "a"}), 403)
    assert "CSRF" in problem["detail"]


def test_a_session_from_another_site_is_403(person):
    answer = person.post("datasets", {"name": "a"}, Origin="https://evil.example")
    assert "CSRF" in check_problem(answer, 403)["detail"]


def test_a_person_of_two_shops_says_which_and_only_one_of_theirs(shop, admin):
    second, foreign = make_shop(), make_shop()
    from portal.core.models import Membership

    Membership.objects.create(shop=second, user=admin.user, role="viewer")
    person = Person(admin, shop)
    assert person.get("me").json()["shop"] == shop.slug
    person.headers["X-Aisle-Shop"] = second.slug
    assert person.get("me").json() | {"name": ""} == {
        "id": admin.user.pk, "name": "", "shop": second.slug, "role": "viewer", "scopes": None
    }  # fmt: skip
    person.headers["X-Aisle-Shop"] = foreign.slug
    not_mine = check_problem(person.get("me"), 404)
    person.headers["X-Aisle-Shop"] = "no-such-shop"
    missing = check_problem(person.get("me"), 404)
    assert not_mine | {"request_id": ""} == missing | {"request_id": ""}
    del person.headers["X-Aisle-Shop"]
    check_problem(person.get("me"), 400, "shop_missing")


@pytest.mark.parametrize("given", ["my-id.42_x", "A" * 64])
def test_a_plain_request_id_is_taken_over(program, given):
    answer = program.get("datasets/ds_x", **{"X-Request-Id": given})
    assert answer["X-Request-Id"] == given
    assert check_problem(answer, 404)["request_id"] == given


@pytest.mark.parametrize("given", ["", "A" * 65, "a b", "<script>", "a\tb", "é"])
def test_another_request_id_is_replaced(program, given):
    answer = program.get("me", **{"X-Request-Id": given})
    assert answer["X-Request-Id"].startswith("req_")


def test_an_event_carries_the_id_of_its_request(program):
    program.post("datasets", {"name": "a"}, **{"X-Request-Id": "from-outside-1"})
    (event,) = program.get("audit-events?verb=dataset.created").json()["results"]
    assert event["request_id"] == "from-outside-1"


@pytest.fixture
def broken(monkeypatch):
    def burst(*args, **options):
        raise RuntimeError(f"{SECRET} in /srv/aisle/portal/secret.py")

    monkeypatch.setattr("portal.core.api.api_shop", burst)
    monkeypatch.setattr("portal.home.first_steps", burst)


def test_an_accident_in_the_api_is_a_problem_that_tells_nothing(quiet_program, broken, caplog):
    with caplog.at_level(logging.ERROR):
        answer = quiet_program.get("me")
    problem = check_problem(answer, 500, "internal_error")
    assert SECRET not in answer.content.decode()
    assert "secret.py" not in answer.content.decode()
    assert problem["request_id"].startswith("req_")
    assert SECRET in caplog.text  # the log has it


def test_an_accident_on_a_page_is_a_page_that_tells_nothing(shop, admin, broken):
    client = Client(raise_request_exception=False)
    client.force_login(admin.user, backend="django.contrib.auth.backends.ModelBackend")
    answer = client.get(f"/{shop.slug}/")
    assert answer.status_code == 500
    assert answer["Content-Type"].startswith("text/html")
    assert "secret.py" not in answer.content.decode()
    assert SECRET not in answer.content.decode()
    assert answer["X-Request-Id"].startswith("req_")


def test_a_refused_page_says_what_happened_and_what_did_not(shop):
    viewer = make_actor(shop, "viewer")
    client = Client()
    client.force_login(viewer.user, backend="django.contrib.auth.backends.ModelBackend")
    answer = client.get(f"/{shop.slug}/train/new")
    assert answer.status_code == 403
    text = answer.content.decode()
    assert "You may not train models" in text
    assert answer["X-Request-Id"] in text


def test_a_forged_host_is_400_and_says_nothing_of_ours():
    answer = Client().get("/api/v1/me", headers={"Host": "evil.example"})
    check_problem(answer, 400)
    assert Client().get("/sign-in", headers={"Host": "evil.example"}).status_code == 400


def test_a_problem_never_lets_an_error_overwrite_its_own_fields():
    from types import SimpleNamespace

    from portal.core.problems import problem

    error = PortalError("It is so.", status=999, instance="/other", current="open")
    body = problem(error, SimpleNamespace(path="/x", request_id="r"))
    assert (body["status"], body["instance"], body["current"]) == (400, "/x", "open")
