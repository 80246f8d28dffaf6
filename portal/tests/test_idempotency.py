"""A POST acts once for one key of one caller, however often and however concurrently it is sent."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from models_app.models import Dataset
from portal.core.models import Event, IdempotencyKey
from portal.core.testing import at_once, make_actor, statuses
from portal.tests.calls import Person, Program, check_problem

pytestmark = pytest.mark.django_db


@pytest.mark.django_db(transaction=True)
def test_24_posts_with_one_key_at_once_act_once_and_get_the_same_bytes(program):
    def send(number):
        sender = Program.__new__(Program)
        sender.__dict__ |= program.__dict__ | {"client": type(program.client)()}
        return sender.post("datasets", {"name": "ratings"}, **{"Idempotency-Key": "same"})

    answers = at_once(24, send)
    assert statuses(answers) == [201] * 24
    assert len({answer.content for answer in answers}) == 1
    assert len({answer["Location"] for answer in answers}) == 1
    assert Dataset.objects.count() == 1
    assert Event.objects.filter(verb="dataset.created").count() == 1
    assert IdempotencyKey.objects.count() == 1


def test_a_retry_gets_the_stored_answer_although_the_world_has_moved_on(program):
    first = program.post("datasets", {"name": "ratings"}, **{"Idempotency-Key": "k"})
    Dataset.objects.update(name="renamed")
    again = program.post("datasets", {"name": "ratings"}, **{"Idempotency-Key": "k"})
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again["Location"] == first["Location"]


def test_the_same_key_with_another_body_or_another_path_is_422(program):
    program.post("datasets", {"name": "ratings"}, **{"Idempotency-Key": "k"})
    answer = program.post("datasets", {"name": "other"}, **{"Idempotency-Key": "k"})
    check_problem(answer, 422, "idempotency_key_reused")
    made = Dataset.objects.get()
    answer = program.post(f"datasets/{made.pk}/versions", {}, **{"Idempotency-Key": "k"})
    check_problem(answer, 422, "idempotency_key_reused")
    assert Dataset.objects.count() == 1


def test_names_in_another_order_and_other_spaces_are_the_same_body(person):
    bodies = [b'{"slug": "s", "name": "S"}', b'{ "name":"S",\n"slug":"s" }']
    answers = [person.post("environments", body, **{"Idempotency-Key": "k"}) for body in bodies]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].content == answers[1].content


def test_a_key_belongs_to_its_caller(shop, program, admin):
    """Another person's, and another token's of the same person, with the same key is another request."""
    program.post("datasets", {"name": "mine"}, **{"Idempotency-Key": "k"})
    for at, other in enumerate(
        [Program(make_actor(shop, "analyst"), shop), Program(admin, shop), Person(admin, shop)]
    ):
        answer = other.post("datasets", {"name": f"theirs {at}"}, **{"Idempotency-Key": "k"})
        assert answer.status_code == 201
        assert answer.json()["name"] == f"theirs {at}"


def test_a_crash_inside_leaves_no_key_and_no_effect_and_the_retry_acts(shop, admin, monkeypatch):
    program = Program(admin, shop, raise_request_exception=False)
    with monkeypatch.context() as patch:

        def crash(*args, **options):
            raise RuntimeError("after the effect, before the answer")

        patch.setattr("models_app.api.serializers.DatasetSerializer.to_representation", crash)
        answer = program.post("datasets", {"name": "ratings"}, **{"Idempotency-Key": "k"})
    check_problem(answer, 500, "internal_error")
    assert not Dataset.objects.exists()
    assert not IdempotencyKey.objects.exists()
    assert program.post("datasets", {"name": "ratings"}, **{"Idempotency-Key": "k"}).status_code == 201


def test_a_refusal_is_not_kept_so_the_repaired_request_may_use_the_same_key(program):
    check_problem(program.post("datasets", {"name": ""}, **{"Idempotency-Key": "k"}), 400)
    assert program.post("datasets", {"name": "a"}, **{"Idempotency-Key": "k"}).status_code == 201


@pytest.mark.parametrize("key", ["", "  ", '""'])
def test_a_post_without_a_key_is_400(program, key):
    answer = program.post("datasets", {"name": "a"}, **{"Idempotency-Key": key})
    check_problem(answer, 400, "idempotency_key_missing")
    assert not Dataset.objects.exists()


@pytest.mark.parametrize("key", ["k" * 256, "a\tb", "\u200b"])
def test_a_key_that_is_too_long_or_not_printable_is_400(program, key):
    answer = program.post("datasets", {"name": "a"}, **{"Idempotency-Key": key})
    check_problem(answer, 400, "idempotency_key_invalid")


def test_a_key_of_255_characters_is_fine(program):
    assert program.post("datasets", {"name": "a"}, **{"Idempotency-Key": "k" * 255}).status_code == 201


def test_a_quoted_key_is_the_same_as_an_unquoted_one(program):
    first = program.post("datasets", {"name": "a"}, **{"Idempotency-Key": '"8e03978e-40d5"'})
    again = program.post("datasets", {"name": "a"}, **{"Idempotency-Key": "8e03978e-40d5"})
    assert first.content == again.content
    assert Dataset.objects.count() == 1


def test_a_key_older_than_a_day_is_new_again(program):
    program.post("datasets", {"name": "a"}, **{"Idempotency-Key": "k"})
    almost = timezone.now() - IdempotencyKey.LIFETIME + timedelta(minutes=1)
    IdempotencyKey.objects.update(created_at=almost)
    answer = program.post("datasets", {"name": "b"}, **{"Idempotency-Key": "k"})
    check_problem(answer, 422)
    IdempotencyKey.objects.update(created_at=timezone.now() - IdempotencyKey.LIFETIME - timedelta(seconds=1))
    answer = program.post("datasets", {"name": "b"}, **{"Idempotency-Key": "k"})
    assert json.loads(answer.content)["name"] == "b"
    assert IdempotencyKey.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_while_the_first_is_still_at_work_the_second_is_told_to_wait(program, monkeypatch):
    """The first holds the key's row; after the lock timeout the second hears 409 with Retry-After."""
    from threading import Event as Signal

    from django.db import connection

    from models_app.services import datasets

    entered, leave = Signal(), Signal()
    create = datasets.create_dataset

    def slow(*args, **options):
        entered.set()
        leave.wait(20)
        return create(*args, **options)

    monkeypatch.setattr(datasets, "create_dataset", slow)

    def send(number):
        sender = Program.__new__(Program)
        sender.__dict__ |= program.__dict__ | {"client": type(program.client)()}
        if number == 1:
            entered.wait(20)
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = 200")
        answer = sender.post("datasets", {"name": "ratings"}, **{"Idempotency-Key": "k"})
        leave.set()
        return answer

    first, second = at_once(2, send)
    assert first.status_code == 201
    check_problem(second, 409, "idempotency_in_flight")
    assert second["Retry-After"] == "1"
    assert Dataset.objects.count() == 1


def test_keys_and_tokens_whose_text_is_shown_once_are_not_stored_for_a_replay(person):
    body = {"name": "nightly", "scopes": ["models:read"]}
    first, second = (person.post("tokens", body, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert first.json()["token"] != second.json()["token"]
    assert not IdempotencyKey.objects.exists()
