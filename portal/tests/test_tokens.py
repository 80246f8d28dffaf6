"""Tokens: only their hash is kept; each ends by date, by hand, or with its person; none approves."""

import logging
import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from portal.core.actors import bearer
from portal.core.models import ApiToken, Event, Membership, User
from portal.core.permissions import ACTIONS, SCOPES, is_permitted
from portal.core.testing import make_actor
from portal.core.tokens import MAX_DAYS, create_token, find_token
from portal.tests.calls import Person, Program, check_problem

pytestmark = pytest.mark.django_db


def everything_in_the_database() -> str:
    """Every row of every table, as text."""
    with connection.cursor() as cursor:
        rows = []
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT t::text FROM "{table}" t')
            rows += [row for (row,) in cursor.fetchall()]
    return "\n".join(rows)


def test_the_text_of_a_token_is_shown_once_and_kept_nowhere(person, program, caplog):
    with caplog.at_level(logging.DEBUG):
        made = person.post("tokens", {"name": "canary", "scopes": ["models:read"]}).json()
        text = made["token"]
        owner = Client()
        for header in (f"Bearer {text}", f"Bearer  {text} x", f"bearer {text}"):
            owner.get("/api/v1/me", headers={"Authorization": header})
        owner.get(f"/api/v1/nothing?access_token={text}", headers={"Authorization": f"Bearer {text}"})
        metrics = Client().get("/metrics").content.decode()
    secret = text.split("_", 2)[2]
    assert re.fullmatch(r"aisle_[0-9A-Z]{26}_[\w-]{43}", text)
    dump = everything_in_the_database()
    assert made["id"] in dump
    for place in (dump, metrics):
        assert secret not in place
    # The test's own client logs the address it asked for; the portal must not log the header.
    logged = "\n".join(line for line in caplog.text.splitlines() if "access_token" not in line)
    assert secret not in logged
    assert secret not in person.get("tokens").content.decode()
    assert person.get("tokens").json()["results"][0]["last_four"] == secret[-4:]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "",
        lambda text: "aisle",
        lambda text: "aisle__",
        lambda text: text[:-1],
        lambda text: text + "x",
        lambda text: text[:-1] + ("A" if text[-1] != "A" else "B"),
        lambda text: text.replace("aisle_", "other_"),
        lambda text: text.lower(),
        lambda text: "aisle_" + "0" * 26 + "_" + text.split("_", 2)[2],
        lambda text: "é" * 20,
        lambda text: "x" * 8000,
    ],
)
def test_a_text_that_is_no_token_is_401(program, spoil):
    answer = Client().get("/api/v1/me", headers={"Authorization": f"Bearer {spoil(program.text)}"})
    check_problem(answer, 401)
    assert answer["WWW-Authenticate"] == 'Bearer realm="aisle"'


def test_a_token_in_the_address_is_never_read(program):
    for name in ("token", "access_token", "api_key", "Authorization"):
        check_problem(Client().get(f"/api/v1/me?{name}={program.text}"), 401)


def test_a_token_opens_no_page(program, shop):
    answer = Client().get(f"/{shop.slug}/", headers=program.headers)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/sign-in")


def test_a_token_ends_on_its_day(program):
    ApiToken.objects.update(expires_at=timezone.now() + timedelta(seconds=30))
    assert program.get("me").status_code == 200
    ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    check_problem(program.get("me"), 401)


def test_a_revoked_token_ends_at_once_and_the_second_time_changes_nothing(person, program):
    token = program.token.pk
    assert person.call("DELETE", f"tokens/{token}").status_code == 204
    check_problem(program.get("me"), 401)
    revoked_at = ApiToken.objects.get(pk=token).revoked_at
    assert person.call("DELETE", f"tokens/{token}").status_code == 204
    assert ApiToken.objects.get(pk=token).revoked_at == revoked_at
    assert Event.objects.filter(verb="token.revoked", object_id=token).count() == 1


def test_a_token_ends_with_its_person(shop):
    analyst = make_actor(shop, "analyst")
    program = Program(analyst, shop)
    assert program.get("me").status_code == 200
    User.objects.filter(pk=analyst.user.pk).update(is_active=False)
    check_problem(program.get("me"), 401)


def test_a_token_ends_when_its_person_leaves_the_shop_although_they_belong_to_another(shop, person):
    from portal.core.testing import make_shop

    analyst = make_actor(shop, "analyst")
    program = Program(analyst, shop)
    Membership.objects.create(shop=make_shop(), user=analyst.user, role="admin")
    member = Membership.objects.get(shop=shop, user=analyst.user)
    assert person.call("DELETE", f"members/{member.pk}").status_code == 204
    check_problem(program.get("me"), 401)


def test_a_token_does_no_more_than_its_person_may_do_now(shop):
    analyst = make_actor(shop, "analyst")
    program = Program(analyst, shop, ["datasets:read", "datasets:write"])
    assert program.post("datasets", {"name": "before"}).status_code == 201
    Membership.objects.filter(user=analyst.user).update(role="viewer")
    problem = check_problem(program.post("datasets", {"name": "after"}), 403, "not_permitted")
    assert "viewer" in problem["detail"]


def test_a_refusal_names_the_scope_that_is_missing(shop, admin):
    program = Program(admin, shop, ["models:read"])
    problem = check_problem(program.post("datasets", {"name": "a"}), 403, "not_permitted")
    assert "datasets:write" in problem["detail"]


def test_a_token_belongs_to_one_shop_whatever_it_names(program, shop):
    from portal.core.testing import make_shop

    assert program.get("me", **{"X-Aisle-Shop": make_shop().slug}).json()["shop"] == shop.slug


def test_no_scope_lets_a_token_decide_or_manage_people_keys_and_tokens(shop, admin):
    token, _ = create_token(actor=admin, shop=shop, name="all", scopes=list(SCOPES))
    never = {name for name in ACTIONS if not is_permitted(bearer(token), name, shop)}
    assert never == {"promotions.review", "keys.write", "tokens.read", "tokens.write", "people.write"}


def test_when_and_from_where_a_token_was_used_is_noted_at_most_once_a_minute(program):
    program.get("me")
    first = ApiToken.objects.get(pk=program.token.pk)
    assert timezone.now() - first.last_used_at < timedelta(seconds=30)
    assert first.last_used_ip == "127.0.0.1"
    program.get("me")
    assert ApiToken.objects.get(pk=first.pk).last_used_at == first.last_used_at
    ApiToken.objects.update(last_used_at=first.last_used_at - timedelta(seconds=61))
    program.get("me")
    assert ApiToken.objects.get(pk=first.pk).last_used_at > first.last_used_at - timedelta(seconds=61)


def test_a_refused_token_is_not_noted_as_used(program):
    ApiToken.objects.update(revoked_at=timezone.now())
    assert find_token(program.text, ip="127.0.0.1") is None
    assert ApiToken.objects.get(pk=program.token.pk).last_used_at is None


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"scopes": ["models:read"]}, "/name"),
        ({"name": "a"}, "/scopes"),
        ({"name": "a", "scopes": []}, "/scopes"),
        ({"name": "a", "scopes": ["models:delete"]}, "/scopes/0"),
        ({"name": "a", "scopes": ["models:read"], "days": MAX_DAYS + 1}, "/days"),
        ({"name": "a", "scopes": ["models:read"], "expires_at": "2099-01-01"}, "/expires_at"),
    ],
)
def test_a_token_without_name_or_scope_or_end_is_not_made(person, body, pointer):
    problem = check_problem(person.post("tokens", body), 400)
    assert pointer in [each["pointer"] for each in problem["errors"]]
    assert not ApiToken.objects.exists()


def test_only_an_admin_makes_a_token_of_the_scope_admin(shop):
    approver = Person(make_actor(shop, "approver"), shop)
    check_problem(approver.post("tokens", {"name": "a", "scopes": ["admin"]}), 400)
    assert not ApiToken.objects.exists()


def test_one_sees_and_revokes_ones_own_tokens_and_an_admin_all(shop, person):
    ann, bob = make_actor(shop, "analyst", "Ann"), make_actor(shop, "analyst", "Bob")
    token, _ = create_token(actor=ann, shop=shop, name="ann's", scopes=["models:read"])
    other = Person(bob, shop)
    assert other.get("tokens").json()["results"] == []
    check_problem(other.call("DELETE", f"tokens/{token.pk}"), 404)
    assert [row["id"] for row in person.get("tokens").json()["results"]] == [token.pk]
    assert person.call("DELETE", f"tokens/{token.pk}").status_code == 204
