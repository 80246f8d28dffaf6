"""What JSON lets through and PostgreSQL, Python or a reader stumble over later is refused at the door."""

import json

import pytest

from models_app.models import Dataset
from portal.core.models import Membership, User
from portal.core.parsers import MAX_DEPTH
from portal.core.testing import make_person
from portal.tests.calls import check_problem

pytestmark = pytest.mark.django_db


def nested(depth: int) -> bytes:
    return b'{"name":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


BROKEN = {
    "nothing but a brace": b"{",
    "trailing comma": b'{"name": "a",}',
    "single quotes": b"{'name': 'a'}",
    "two documents": b'{"name": "a"} {"name": "b"}',
    "not UTF-8": b'{"name": "\xff\xfe"}',
    "UTF-16": '{"name": "a"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"name": "a"}',
    "NaN": b'{"name": NaN}',
    "Infinity": b'{"name": -Infinity}',
    "a number past every float": b'{"name": 1e999}',
    "a number of 5,000 digits": b'{"name": ' + b"9" * 5000 + b"}",
    "NUL in a text": b'{"name": "a\\u0000b"}',
    "NUL in a name": b'{"na\\u0000me": "a"}',
    "half a surrogate pair": b'{"name": "\\ud83d"}',
    "the halves in the wrong order": b'{"name": "\\ude00\\ud83d"}',
    "the same name twice": b'{"name": "a", "name": "b"}',
    "the same name twice, inside": b'{"name": {"a": 1, "a": 2}}',
    "too deep": nested(MAX_DEPTH + 1),
    "far too deep": nested(100_000),
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_a_body_that_is_not_plain_json_is_400_and_makes_nothing(program, body):
    problem = check_problem(program.post("datasets", body), 400)
    assert len(problem["detail"]) < 300
    assert not Dataset.objects.exists()


MISFIT = {
    "an array": b'[{"name": "a"}]',
    "a text": b'"name"',
    "null": b"null",
    "a number": b"1",
    "an empty object": b"{}",
    "an empty name": b'{"name": ""}',
    "a blank name": b'{"name": "   "}',
    "a name that is null": b'{"name": null}',
    "a name that is a number": b'{"name": {"a": 1}}',
    "a name that is true": b'{"name": true}',
    "a name that is too long": json.dumps({"name": "x" * 81}).encode(),
    "as deep as may be": nested(MAX_DEPTH),
    "an unknown field": b'{"name": "a", "colour": "red"}',
    "a field that only we set": b'{"name": "a", "id": "ds_1", "created_by": "me"}',
}


@pytest.mark.parametrize("body", MISFIT.values(), ids=MISFIT)
def test_a_body_that_does_not_fit_is_400_and_points_at_what_is_wrong(program, body):
    problem = check_problem(program.post("datasets", body), 400, "invalid_input")
    assert problem["errors"], problem
    assert not Dataset.objects.exists()


def test_an_unknown_field_is_named_with_those_that_are_known(program):
    problem = check_problem(program.post("datasets", {"name": "a", "a/b~c": 1}), 400)
    (wrong,) = problem["errors"]
    assert wrong["pointer"] == "/a~1b~0c"
    assert "name" in wrong["detail"]


def test_emoji_and_other_scripts_are_kept_as_they_are(program):
    name = "Ratings \U0001f6d2 рейтинги 評価"
    made = program.post("datasets", json.dumps({"name": name}, ensure_ascii=True).encode())
    assert made.status_code == 201, made.content
    assert Dataset.objects.get().name == name
    check_problem(program.post("datasets", {"name": "turned \u202e around"}), 400)


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data; boundary=x", ""])
def test_another_kind_of_body_is_415(program, kind):
    check_problem(program.post("datasets", b'{"name": "a"}', **{"Content-Type": kind}), 415)
    assert not Dataset.objects.exists()


@pytest.mark.parametrize("accept", ["application/xml", "text/html", "image/png;q=0.5"])
def test_what_is_only_json_is_not_sent_as_something_else(program, accept):
    check_problem(program.get("datasets", Accept=accept), 406)


def test_a_body_of_more_than_a_mebibyte_is_413(program):
    body = json.dumps({"name": "x" * (1024 * 1024)}).encode()
    check_problem(program.post("datasets", body), 413, "too_large")


INTEGERS = [-1, 0, 366, 2**31, 2**63, 10**30, 1.5, "ten", True, None, [90], {"days": 1}]


@pytest.mark.parametrize("days", INTEGERS, ids=str)
def test_a_number_outside_its_range_is_400(person, days):
    body = {"name": "t", "scopes": ["models:read"], "days": days}
    problem = check_problem(person.post("tokens", body), 400)
    assert [each["pointer"] for each in problem["errors"]] == ["/days"]


@pytest.mark.parametrize("field", ["id", "shop", "user", "user_id", "is_superuser", "created_at"])
def test_nobody_sets_what_only_the_portal_sets(person, shop, field):
    member = Membership.objects.get(shop=shop, user=make_person(shop, "viewer"))
    before = Membership.objects.filter(pk=member.pk).values().get()
    check_problem(person.call("PATCH", f"members/{member.pk}", {"role": "analyst", field: "x"}), 400)
    assert Membership.objects.filter(pk=member.pk).values().get() == before
    assert not User.objects.filter(is_superuser=True).exists()


def test_a_number_that_only_the_database_finds_too_large_is_400(person):
    body = {"slug": "stage", "name": "Stage", "keep_warm_s": 2**40}
    check_problem(person.post("environments", body), 400)
