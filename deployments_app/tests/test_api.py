"""The REST API of requests, placements, releases and rollouts, as an integrator and an approver use it."""

from itertools import count

import pytest
from django.test import Client

from deployments_app.models import Deployment, Promotion, Rollout, ServingKey
from deployments_app.tests.factories import QUICK_PLAN, make_world, pass_step
from portal.core.models import Role
from portal.core.testing import make_person
from portal.core.tokens import create_token

pytestmark = pytest.mark.django_db
clicks = count(1)
SCOPES = ["models:read", "promotions:request", "rollouts:operate", "rollouts:rollback", "admin"]


class Caller:
    """Somebody who calls the API; every POST has a key of its own."""

    def __init__(self, client):
        self.client = client

    def get(self, path):
        return self.client.get(f"/api/v1/{path}")

    def post(self, path, body=None, key=None):
        return self.client.post(
            f"/api/v1/{path}",
            body or {},
            content_type="application/json",
            headers={"Idempotency-Key": key or f"key-{next(clicks)}"},
        )

    def put(self, path, body):
        return self.client.put(f"/api/v1/{path}", body, content_type="application/json")

    def delete(self, path):
        return self.client.delete(f"/api/v1/{path}")


def signed_in(world, role):
    client = Client(HTTP_X_AISLE_SHOP=world.shop.slug)
    user = make_person(world.shop, role)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return Caller(client)


def by_token(world, owner, scopes=None):
    _, text = create_token(actor=owner, shop=world.shop, name="ci", scopes=scopes or SCOPES)
    return Caller(Client(HTTP_AUTHORIZATION=f"Bearer {text}"))


@pytest.fixture
def integrator(world):
    return by_token(world, world.admin)


@pytest.fixture
def approver(world):
    return signed_in(world, Role.APPROVER)


def ask(caller, world, version=None, **more):
    body = {
        "model_version": (version or world.version()).pk,
        "deployment": world.deployment.slug,
        "plan": QUICK_PLAN,
        **more,
    }
    return caller.post("promotions", body)


def test_from_request_to_rollback_by_api(world, integrator, approver):
    first = ask(integrator, world, comment="better lists").json()
    assert first["status"] == "open"
    assert {gate["verdict"] for gate in first["evidence"]["gates"]} == {"pass"}
    approved = approver.post(f"promotions/{first['id']}/approve", {"lock_version": first["lock_version"]})
    assert (approved.status_code, approved.json()["status"]) == (200, "approved")
    rollout_id = approved.json()["rollouts"][0]
    rollout = Rollout.objects.get(pk=rollout_id)
    world.advance(rollout, 2)
    second = ask(integrator, world).json()
    approved = approver.post(f"promotions/{second['id']}/approve", {"comment": "I looked at the shelves"})
    rollout = Rollout.objects.get(pk=approved.json()["rollouts"][0])
    world.advance(rollout)
    body = integrator.get(f"rollouts/{rollout.pk}").json()
    assert (body["status"], body["weight_pct"], body["step"]) == ("progressing", 10, 0)
    assert body["allowed"] == ["pause", "step", "promote", "abort"]
    pass_step(rollout)
    body = integrator.get(f"rollouts/{rollout.pk}").json()
    assert body["verdicts"][0]["verdict"] == "pass"
    paused = integrator.post(f"rollouts/{rollout.pk}/pause", {"lock_version": body["lock_version"]})
    assert paused.json()["status"] == "paused"
    stale = integrator.post(f"rollouts/{rollout.pk}/resume", {"lock_version": body["lock_version"]})
    assert (stale.status_code, stale.json()["code"]) == (409, "stale_state")
    assert integrator.post(f"rollouts/{rollout.pk}/resume").json()["status"] == "progressing"
    assert integrator.post(f"rollouts/{rollout.pk}/step").json()["weight_pct"] == 50
    assert integrator.post(f"rollouts/{rollout.pk}/promote").json()["status"] == "succeeded"
    live = integrator.get("deployments/home").json()
    assert (live["stable"]["number"], live["last_good"]["number"], live["canary"]) == (2, 1, None)
    assert list(live["weights"].values()) == [100]

    answer = integrator.post("deployments/home/rollback", {"to_release": None})
    assert answer.status_code == 202
    back = answer.json()
    assert answer["Location"] == f"/api/v1/jobs/{back['id']}"
    assert (back["kind"], back["status"], back["release"]["number"]) == ("rollback", "progressing", 1)
    assert integrator.get("deployments/home").json()["stable"]["number"] == 1
    noted = integrator.put(f"rollouts/{back['id']}/note", {"comment": "lists were empty"})
    assert noted.json()["note"] == "lists were empty"
    feed = integrator.get(f"rollouts/{back['id']}/events").json()["results"]
    assert [event["verb"] for event in feed] == ["rollout.explained", "rollout.rolled_back"]
    whole = integrator.get("deployments/home/events").json()["results"]
    assert {"rollout.started", "rollout.paused", "rollout.rolled_back"} <= {each["verb"] for each in whole}


def test_a_token_never_approves_whoever_made_it(world, integrator):
    asked = ask(integrator, world).json()
    for owner in (world.admin, world.approver):
        for act in ("approve", "reject"):
            answer = by_token(world, owner, SCOPES[:-1]).post(
                f"promotions/{asked['id']}/{act}", {"comment": "x"}
            )
            assert answer.status_code == 403
            assert "A token may not" in answer.json()["detail"]
    assert Promotion.objects.get().status == "open"


def test_who_asked_by_token_does_not_approve_by_session(world):
    me = world.approver
    asked = ask(by_token(world, me, ["promotions:request", "models:read"]), world).json()
    client = Client(HTTP_X_AISLE_SHOP=world.shop.slug)
    client.force_login(me.user, backend="django.contrib.auth.backends.ModelBackend")
    answer = Caller(client).post(f"promotions/{asked['id']}/approve", {"comment": "x"})
    assert (answer.status_code, answer.json()["code"]) == (403, "four_eyes")


def test_a_second_rollback_click_says_what_is_under_way(world, integrator):
    world.make_live()
    world.make_live()
    first = integrator.post("deployments/home/rollback", {"to_release": None}, key="once")
    replayed = integrator.post("deployments/home/rollback", {"to_release": None}, key="once")
    assert replayed.content == first.content
    second = integrator.post("deployments/home/rollback", {})
    assert second.status_code == 409
    assert second.json()["rollout"] == first.json()["id"]
    assert second.json()["current"] == "progressing"


def test_409_names_the_state_and_what_can_be_done(world, integrator):
    rollout = world.start()
    answer = integrator.post(f"rollouts/{rollout.pk}/resume")
    assert answer.status_code == 409
    assert answer.json()["current"] == "pending"
    assert answer.json()["allowed"] == ["abort"]
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_keys_are_shown_once(world, approver):
    made = approver.post("deployments/home/keys", {"name": "web shop"})
    assert made.status_code == 201
    token = made.json()["key"]
    assert token.count(".") == 2
    listed = approver.get("deployments/home/keys")
    assert token not in listed.content.decode()
    assert approver.delete(f"deployments/home/keys/{made.json()['id']}").status_code == 204
    assert ServingKey.objects.get().revoked_at is not None


def test_a_token_issues_no_keys(world, integrator):
    assert integrator.post("deployments/home/keys", {"name": "web shop"}).status_code == 403


def test_environments_and_placements_are_made_by_operators(world, integrator, approver):
    body = {"slug": "staging", "name": "Staging", "min_approvals": 2, "blocking_gates": ["artifact"]}
    made = integrator.post("environments", body)
    assert made.status_code == 201
    assert made.json()["default_plan"]["steps"][0]["weight_pct"] == 10
    placed = integrator.post(
        "deployments", {"environment": "staging", "slug": "basket", "name": "Basket", "is_open": False}
    )
    assert placed.status_code == 201
    assert Deployment.objects.get(slug="basket").environment.slug == "staging"
    assert approver.post("environments", {**body, "slug": "other"}).status_code == 403
    assert integrator.post("environments", body).status_code == 409


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("environments", {"slug": "Übung", "name": "x"}),
        ("environments", {"slug": "ok", "name": " "}),
        ("environments", {"slug": "ok", "name": "x", "backend": "mainframe"}),
        ("environments", {"slug": "ok", "name": "x", "blocking_gates": ["luck"]}),
        ("environments", {"slug": "ok", "name": "x", "min_approvals": 0}),
        ("environments", {"slug": "ok", "name": "x", "default_plan": {"steps": []}}),
        ("environments", {"slug": "ok", "name": "x", "owner": "me"}),
        ("deployments", {"environment": "production", "slug": "v2", "name": "x"}),
        ("deployments/home/rollback", {"to": 3}),
        ("deployments/home/rollback", {"to_release": 3.5}),
        ("promotions", {}),
        ("promotions", {"model_version": "mv_x", "deployment": "home", "plan": []}),
    ],
)
def test_bad_input_is_refused_in_words(world, integrator, path, body):
    world.make_live()
    answer = integrator.post(path, body)
    assert answer.status_code in (400, 404), answer.content
    assert answer.json()["detail"]


def test_what_is_not_here_is_404(world, integrator):
    other = make_world()
    elsewhere = other.start()
    for path in (
        f"rollouts/{elsewhere.pk}",
        f"promotions/{elsewhere.promotion_id}",
        f"releases/{elsewhere.release_id}",
        f"deployments/{other.deployment.pk}",
        f"deployments/{other.deployment.pk}/keys",
        f"rollouts/{elsewhere.pk}/events",
        "rollouts/" + "x" * 300,
        "rollouts/%00",
    ):
        assert integrator.get(path).status_code == 404, path
    for path in (
        f"rollouts/{elsewhere.pk}/abort",
        f"deployments/{other.deployment.pk}/rollback",
        f"promotions/{elsewhere.promotion_id}/comments",
    ):
        assert integrator.post(path, {"comment": "x"} if "comments" in path else {}).status_code == 404, path
    body = {"model_version": other.version().pk, "deployment": "home"}
    assert integrator.post("promotions", body).status_code == 404


def test_lists_can_be_narrowed_and_take_few_queries(world, integrator, django_assert_max_num_queries):
    world.make_live()
    for _ in range(4):
        ask(integrator, world)
    assert len(integrator.get("promotions?status=open").json()["results"]) == 4
    assert len(integrator.get("promotions?status=applied&deployment=home").json()["results"]) == 1
    assert len(integrator.get("rollouts?kind=rollback").json()["results"]) == 0
    assert "evidence" not in integrator.get("promotions").json()["results"][0]
    for wrong in ("promotions?state=open", "promotions?status=done", "rollouts?kind=%00"):
        assert integrator.get(wrong).status_code == 400
    assert integrator.get("rollouts?deployment=%00").status_code == 404
    for path in ("promotions", "rollouts", "releases", "deployments", "environments"):
        with django_assert_max_num_queries(9):
            assert integrator.get(path).status_code == 200


def test_a_viewer_reads_everything_and_changes_nothing(world):
    world.make_live()
    world.make_live()
    rollout = Rollout.objects.order_by("created_at").first()
    viewer = signed_in(world, Role.VIEWER)
    for path in ("environments", "deployments", "releases", "promotions", "rollouts"):
        assert viewer.get(path).status_code == 200
    for path, body in (
        ("deployments/home/rollback", {}),
        (f"rollouts/{rollout.pk}/abort", {}),
        (f"promotions/{rollout.promotion_id}/comments", {"comment": "x"}),
        ("deployments/home/keys", {"name": "x"}),
    ):
        assert viewer.post(path, body).status_code == 403, path
    assert Deployment.objects.get().stable.number == 2


def test_every_path_is_documented_without_a_warning(capsys):
    from django.core.management import call_command

    call_command("spectacular", "--validate")
    complaints = capsys.readouterr().err
    assert not [
        line for line in complaints.splitlines() if "deployments_app" in line and "uthenticat" not in line
    ]


def test_a_template_is_taken_edited_and_previewed_by_api(world, integrator):
    world.make_live()
    templates = {each["name"]: each for each in integrator.get("plan-templates").json()["results"]}
    assert {"careful", "normal", "at_once", "blue_green", "shadow_first", "ab"} == templates.keys()
    plan = templates["blue_green"]["plan"]
    plan["steps"][0] |= {"ends_by": "plan", "hold_s": 3600}
    body = {"model_version": world.version("item_knn").pk, "deployment": "home", "plan": plan}
    found = integrator.post("promotions/preview", body).json()
    assert [step["label"] for step in found["steps"]] == ["Preview", "Everyone"]
    assert found["steps"][1]["begins_at"] > found["steps"][0]["begins_at"]
    assert {each["name"] for each in found["changes"] if each["is_changed"]} >= {
        "algorithm",
        "release_number",
    }
    assert Promotion.objects.filter(status="open").count() == 0
    plan["strategy"] = "ab"
    refused = integrator.post("promotions/preview", body).json()
    assert (refused["code"], refused["errors"][0]["pointer"]) == ("invalid_plan", "/steps")
