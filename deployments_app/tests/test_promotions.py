"""Asking for a promotion: what is frozen, what is refused, and what time and others do to a request."""

import pytest
from django.db import DatabaseError, transaction

from deployments_app.models import Deployment, Promotion, Release
from deployments_app.selectors import is_stale, promotion, standing
from deployments_app.services.promotions import evidence_digest, request_promotion, withdraw_promotion
from deployments_app.tests.factories import BETTER, QUICK_PLAN, days_ago, make_world, verbs
from portal.core.errors import Conflict, InvalidInput, InvalidTransition, NotFound, NotPermitted, StaleState
from portal.core.models import Event

pytestmark = pytest.mark.django_db


def gate(asked, name):
    return next(each for each in asked.evidence["gates"] if each["name"] == name)


def test_a_request_freezes_the_evidence_it_is_decided_on(world):
    version = world.version()
    asked = world.request(version)
    evidence = asked.evidence
    assert asked.status == "open"
    assert asked.artifact_digest == version.artifact_digest
    assert asked.evidence_sha256 == evidence_digest(evidence)
    assert evidence["metrics"]["ndcg@10"]["value"] == 0.31
    assert evidence["verdicts"]["popularity"]["verdict"] == "better"
    assert evidence["data"]["interactions"] == 464
    assert evidence["champion"] is None
    assert {each["verdict"] for each in evidence["gates"]} == {"pass"}
    assert (asked.expires_at - asked.created_at).days in (6, 7)
    assert verbs(asked) == ["promotion.requested"]


def test_the_shelves_show_six_shoppers_before_and_after(world):
    world.make_live(world.version("popularity"))
    asked = world.request(world.version("als"))
    shelves = asked.evidence["shelves"]
    assert len(shelves["shoppers"]) == 6
    assert shelves["compared"] == 59  # one of the sixty has no history
    assert 0 < shelves["changed_share"] <= 1
    for shopper in shelves["shoppers"]:
        live = {line["item_id"]: line for line in shopper["live"]}
        for line in shopper["new"]:
            before = live.get(line["item_id"])
            if before is None:
                assert line["change"] == "new"
            else:
                assert line["moved"] == before["rank"] - line["rank"]
                assert not before["is_lost"]
        shown = {line["item_id"] for line in shopper["new"]}
        assert all(line["is_lost"] == (line["item_id"] not in shown) for line in shopper["live"])
    assert any(line["title"].startswith("Title of") for line in shelves["shoppers"][0]["new"])


def test_the_champion_is_the_release_that_serves(world):
    live = world.make_live()
    asked = world.request(world.version())
    assert asked.champion == live
    assert asked.evidence["champion"]["number"] == live.number
    assert gate(asked, "not_worse_than_live")["verdict"] == "not_enough_data"


def test_a_verdict_against_the_live_version_counts_while_it_is_live(world):
    live = world.make_live()
    worse = {**BETTER, "difference": -0.05, "low": -0.07, "high": -0.03, "verdict": "worse"}
    against = {**worse, "model_version": live.model_version_id}
    asked = world.request(world.version(verdicts={"popularity": BETTER, "live": against}))
    assert gate(asked, "not_worse_than_live")["verdict"] == "fail"
    other = {**worse, "model_version": "mv_another"}
    asked = world.request(world.version(verdicts={"popularity": BETTER, "live": other}))
    assert gate(asked, "not_worse_than_live")["verdict"] == "not_enough_data"


def test_few_test_shoppers_are_not_enough_data(world):
    metrics = {"ndcg@10": {"value": 0.3, "low": 0.1, "high": 0.5, "n": 120}}
    asked = world.request(world.version(metrics=metrics))
    assert gate(asked, "test_users")["verdict"] == "not_enough_data"
    assert gate(asked, "beats_popularity")["verdict"] == "not_enough_data"
    assert "80 more are needed" in gate(asked, "test_users")["sentence"]


def test_missing_files_fail_their_gate(world):
    asked = world.request(world.version(artifact_digest="0" * 64))
    assert gate(asked, "artifact")["verdict"] == "fail"
    assert asked.evidence["shelves"] is None


@pytest.mark.parametrize(
    "column", [{"plan": {}}, {"evidence": {}}, {"artifact_digest": "f" * 64}, {"evidence_sha256": "f" * 64}]
)
def test_what_was_asked_never_changes(world, column):
    asked = world.request()
    with pytest.raises(DatabaseError, match="frozen once it is asked"), transaction.atomic():
        Promotion.objects.filter(pk=asked.pk).update(**column)


def test_the_same_version_is_asked_for_once_at_a_time(world):
    version = world.version()
    world.request(version)
    with pytest.raises(Conflict) as refusal:
        world.request(version)
    assert refusal.value.code == "already_asked"
    assert Promotion.objects.count() == 1


def test_what_serves_already_is_not_asked_for(world):
    live = world.make_live()
    with pytest.raises(Conflict) as refusal:
        world.request(live.model_version)
    assert refusal.value.code == "already_live"


def test_an_expired_request_makes_room_for_a_new_one(world):
    version = world.version()
    old = world.request(version)
    Promotion.objects.filter(pk=old.pk).update(expires_at=days_ago(0.01))
    new = world.request(version)
    old.refresh_from_db()
    assert (old.status, new.status) == ("superseded", "open")
    assert verbs(old)[-1] == "promotion.superseded"


def test_a_request_is_stale_once_another_release_is_live(world):
    waiting = world.request(world.version())
    assert not is_stale(waiting)
    live = world.make_live(world.version())
    waiting = promotion(world.shop, waiting.pk)
    assert waiting.champion_id != live.pk
    assert is_stale(waiting)
    assert "champion changed" in standing(waiting, world.approver).cannot_approve


def test_reconciling_sets_stale_and_expired_requests_aside(world):
    stale, fresh_later = world.request(world.version()), world.version()
    world.make_live(world.version())
    expired, fine = world.request(fresh_later), world.request(world.version())
    Promotion.objects.filter(pk=expired.pk).update(expires_at=days_ago(1))
    world.reconcile()
    found = dict(Promotion.objects.values_list("pk", "status"))
    assert found[stale.pk] == "superseded"
    assert found[expired.pk] == "superseded"
    assert found[fine.pk] == "open"
    reasons = dict(Event.objects.filter(verb="promotion.superseded").values_list("object_id", "reason"))
    assert "champion changed" in reasons[stale.pk]
    assert "expired" in reasons[expired.pk]


def test_a_request_takes_the_environments_plan_unless_it_brings_its_own(world):
    plan = {**QUICK_PLAN, "max_wait_s": 77}
    world.environment.default_plan = plan
    world.environment.save(update_fields=["default_plan"])
    asked = request_promotion(
        world.analyst, world.shop, world.version(), Deployment.objects.get(pk=world.deployment.pk)
    )
    assert asked.plan["max_wait_s"] == 77


def test_a_wrong_plan_is_refused_before_anything_is_written(world):
    with pytest.raises(InvalidInput, match="last step must be 100"):
        world.request(plan={"steps": [{"weight_pct": 10}]})
    assert not Promotion.objects.exists()


def test_a_viewer_and_an_operator_may_not_ask(world):
    for actor in (world.viewer, world.operator):
        with pytest.raises(NotPermitted):
            world.request(actor=actor)


def test_another_shops_version_or_placement_does_not_exist(world):
    other = make_world()
    with pytest.raises(NotFound, match="no such model version"):
        world.request(other.version())
    with pytest.raises(NotFound, match="no such placement"):
        request_promotion(world.analyst, world.shop, world.version(), other.deployment)


def test_whoever_asked_can_withdraw_and_nobody_else(world):
    asked = world.request()
    for actor in (world.approver, world.admin):
        with pytest.raises(NotPermitted, match="Only the person who asked"):
            withdraw_promotion(actor, world.shop, asked)
    withdraw_promotion(world.analyst, world.shop, asked, reason="a newer one comes")
    asked.refresh_from_db()
    assert asked.status == "withdrawn"
    assert verbs(asked) == ["promotion.requested", "promotion.withdrawn"]
    with pytest.raises(InvalidTransition):
        withdraw_promotion(world.analyst, world.shop, asked)


def test_a_form_made_from_an_older_state_is_refused(world):
    asked = world.request()
    with pytest.raises(StaleState):
        withdraw_promotion(world.analyst, world.shop, asked, lock_version=asked.lock_version + 1)


def test_a_request_on_its_way_is_not_withdrawn(world):
    rollout = world.start()
    with pytest.raises(InvalidTransition, match="Abort the rollout first"):
        withdraw_promotion(world.analyst, world.shop, rollout.promotion)


def test_a_release_is_numbered_once_and_never_changes(world):
    first, second = world.make_live(), world.make_live()
    assert (first.number, second.number) == (1, 2)
    assert first.approved_by == [world.approver.user.label]
    with pytest.raises(DatabaseError, match="written once"), transaction.atomic():
        Release.objects.filter(pk=first.pk).update(number=7)


def test_the_evidence_digest_does_not_depend_on_order():
    assert evidence_digest({"a": 1, "b": [1, 2]}) == evidence_digest({"b": [1, 2], "a": 1})
    assert evidence_digest({"a": 1}) != evidence_digest({"a": 2})


def test_standing_says_what_each_person_may_do(world):
    asked = promotion(world.shop, world.request().pk)
    assert "somebody else" in standing(asked, world.analyst).cannot_approve
    assert standing(asked, world.analyst).cannot_withdraw is None
    assert standing(asked, world.approver).cannot_approve is None
    assert standing(asked, world.approver).cannot_withdraw is not None
    assert "You may not" in standing(asked, world.viewer).cannot_approve
    assert standing(asked, world.approver).needed == 1
