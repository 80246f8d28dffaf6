"""Who sees what happened: an approver, operator or admin everything, others what they did themselves."""

import pytest
from django.core.management import call_command
from django.test import Client

from portal.core.models import Event
from portal.core.testing import make_actor
from portal.tests.calls import Person, Program

pytestmark = pytest.mark.django_db


@pytest.fixture
def told(shop):
    """Two analysts made a dataset each."""
    people = {name: Person(make_actor(shop, "analyst", name), shop) for name in ("Ann", "Bob")}
    for name, each in people.items():
        assert each.post("datasets", {"name": f"{name}s-ratings"}).status_code == 201
    return people


def labels(answer):
    return sorted(row["object_label"] for row in answer.json()["results"])


@pytest.mark.parametrize("role", ["approver", "operator", "admin"])
def test_those_who_answer_for_the_shop_see_everybodys_activity(shop, told, role):
    person = Person(make_actor(shop, role), shop)
    assert labels(person.get("audit-events?verb=dataset.created")) == ["Anns-ratings", "Bobs-ratings"]


def test_an_analyst_sees_what_they_did_and_a_viewer_nothing(shop, told):
    assert labels(told["Ann"].get("audit-events")) == ["Anns-ratings"]
    assert labels(told["Bob"].get("audit-events")) == ["Bobs-ratings"]
    assert labels(Person(make_actor(shop, "viewer"), shop).get("audit-events")) == []


@pytest.mark.parametrize(("role", "seen"), [("viewer", 0), ("analyst", 0), ("operator", 2)])
def test_the_page_shows_what_the_api_shows(shop, told, role, seen):
    client = Client()
    client.force_login(
        make_actor(shop, role, "Eve").user, backend="django.contrib.auth.backends.ModelBackend"
    )
    text = client.get(f"/{shop.slug}/activity").content.decode()
    assert sum(f"{name}s-ratings" in text for name in ("Ann", "Bob")) == seen


def test_a_token_sees_its_own_activity_unless_it_may_see_everybodys(shop, admin, told):
    narrow = Program(admin, shop, ["models:read", "datasets:write"])
    assert narrow.post("datasets", {"name": "by-token"}).status_code == 201
    assert labels(narrow.get("audit-events")) == ["by-token"]
    wide = Program(admin, shop, ["models:read", "admin"])
    assert len(labels(wide.get("audit-events?verb=dataset.created"))) == 3


def test_an_event_says_who_by_which_means_did_what_in_which_request(shop, admin):
    program = Program(admin, shop, ["datasets:write", "models:read"])
    program.post("datasets", {"name": "by-token"}, **{"X-Request-Id": "trace-1"})
    (event,) = program.get("audit-events").json()["results"]
    assert event["actor_kind"] == "token"
    assert event["actor_label"] == "Ada by token test"
    assert (event["verb"], event["object_type"], event["object_label"]) == (
        "dataset.created", "dataset", "by-token"
    )  # fmt: skip
    assert event["request_id"] == "trace-1"


def test_a_token_made_and_revoked_says_nothing_of_its_secret(shop, person):
    made = person.post("tokens", {"name": "nightly", "scopes": ["models:read"]}).json()
    person.call("DELETE", f"tokens/{made['id']}")
    events = Event.objects.filter(object_id=made["id"]).order_by("created_at")
    assert [event.verb for event in events] == ["token.created", "token.revoked"]
    assert not [event for event in events if made["token"].split("_", 2)[2] in str(event.__dict__)]


@pytest.mark.django_db(transaction=True)
def test_what_the_api_did_leaves_a_chain_that_verifies(shop, told):
    call_command("verify_audit")
    events = Event.objects.filter(shop=shop).order_by("seq")
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
