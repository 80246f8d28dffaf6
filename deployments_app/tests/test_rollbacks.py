"""One click back: what it changes, what a second one does, and what there is nothing to go back to."""

from datetime import timedelta

import pytest
from django.utils import timezone

from deployments_app.gateway_report import WatchReport
from deployments_app.models import Deployment, Gateway, Rollout, Workload
from deployments_app.routing import routes_for_gateway
from deployments_app.selectors import moment, periods, rollback_target
from deployments_app.services.advance import advance_rollout
from deployments_app.services.gateways import record_gateway_measure
from deployments_app.services.rollbacks import roll_back
from deployments_app.services.rollouts import promote_now
from deployments_app.tests.factories import make_world, verbs
from portal.core.errors import Conflict, NotFound, NotPermitted
from portal.core.models import Event
from portal.core.testing import at_once

pytestmark = pytest.mark.django_db


def fresh(world):
    return Deployment.objects.get(pk=world.deployment.pk)


def numbers(world):
    row = fresh(world)
    return tuple(
        each.number if each is not None else None for each in (row.stable, row.canary, row.last_good)
    )


def back(world, actor=None, **options):
    return roll_back(actor or world.operator, world.shop, world.deployment, **options)


def confirmed(world, rollout, agent="gw-1"):
    """Let a gateway report that it runs the rollback's routes."""
    Gateway.objects.update_or_create(agent_id=agent, defaults={"reported_at": timezone.now()})
    record_gateway_measure(rollout.pk, agent, WatchReport(rollout.pk, 41.0, 58.5, 30, 0))
    return world.advance(rollout)


def test_one_click_gives_everybody_the_last_good_release_in_its_own_transaction(world):
    world.make_live()
    world.make_live()
    salt = fresh(world).salt
    rollout = back(world)
    assert numbers(world) == (1, None, 2)
    assert (rollout.kind, rollout.status, rollout.release.number) == ("rollback", "progressing", 1)
    assert rollout.from_release.number == 2
    assert fresh(world).salt == rollout.salt != salt
    arms = routes_for_gateway().deployments[0].arms
    assert {arm.number: arm.weight_pct for arm in arms} == {1: 100, 2: 0}
    assert verbs(rollout) == ["rollout.rolled_back"]


def test_it_ends_when_every_gateway_has_told_and_shows_the_measured_time(world):
    world.make_live()
    world.make_live()
    Gateway.objects.create(agent_id="gw-2", reported_at=timezone.now())
    rollout = back(world)
    confirmed(world, rollout, "gw-1")
    assert rollout.status == "progressing"
    assert "gw-2" in rollout.reason
    record_gateway_measure(rollout.pk, "gw-2", WatchReport(rollout.pk, None, 120.0, 25, 1))
    world.advance(rollout)
    assert rollout.status == "succeeded"
    assert rollout.measured["last_other_answer_ms"] == 41.0
    assert rollout.measured["routes_running_ms"] == 120.0
    assert (rollout.measured["probes"], rollout.measured["errors"]) == (55, 1)
    assert numbers(world) == (1, None, 2)


def test_a_gateway_that_runs_the_newest_routes_counts_without_a_measurement(world):
    world.make_live()
    world.make_live()
    rollout = back(world)
    Gateway.objects.create(
        agent_id="gw-1", running_version=routes_for_gateway().version, reported_at=timezone.now()
    )
    world.advance(rollout)
    assert rollout.status == "succeeded"


def test_a_second_click_changes_nothing(world):
    world.make_live()
    world.make_live()
    rollout = back(world)
    state = Deployment.objects.values().get(pk=world.deployment.pk)
    for options in ({}, {"to_release": rollout.release_id}):
        with pytest.raises(Conflict) as refusal:
            back(world, **options)
        assert refusal.value.extra["rollout"] == rollout.pk
    assert Deployment.objects.values().get(pk=world.deployment.pk) == state
    assert Rollout.objects.filter(kind="rollback").count() == 1


def test_a_second_click_after_the_end_does_not_go_forward_again(world):
    world.make_live()
    second = world.make_live()
    rollout = back(world)
    confirmed(world, rollout)
    assert rollout.status == "succeeded"
    with pytest.raises(Conflict, match="live since a rollback"):
        back(world)
    with pytest.raises(Conflict, match="serves everybody already"):
        back(world, to_release=rollout.release_id)
    assert numbers(world) == (1, None, 2)
    assert back(world, to_release=second.pk).release == second  # by name one can go forward again
    assert numbers(world) == (2, None, 1)


def test_mid_rollout_it_is_back_to_stable_for_everybody(world):
    world.make_live()
    canary = world.advance(world.start())
    target = rollback_target(fresh(world))
    assert (target.release.number, target.leaves.number, target.share_pct) == (1, 2, 10)
    rollout = back(world)
    canary.refresh_from_db()
    assert canary.status == "aborted"
    assert "rolled back to release 1" in canary.reason
    assert numbers(world) == (1, None, None)
    assert (rollout.release.number, rollout.from_release.number) == (1, 2)
    weights = {arm.number: arm.weight_pct for arm in routes_for_gateway().deployments[0].arms}
    assert weights == {1: 100, 2: 0}


def test_it_works_although_the_new_release_never_got_ready(world, told):
    world.make_live()
    stuck = world.start()
    told.never_ready.add(stuck.release_id)
    world.advance(stuck)
    back(world)
    stuck.refresh_from_db()
    assert stuck.status == "aborted"
    assert numbers(world) == (1, None, None)


def test_the_last_good_release_stays_when_a_canary_is_rolled_back(world):
    world.make_live()
    world.make_live()
    world.advance(world.start())
    rollout = back(world)
    assert numbers(world) == (2, None, 1)
    confirmed(world, rollout)
    # The live release was never left: the next click goes to the release before it, once it is named.
    first = fresh(world).last_good
    assert back(world, to_release=first.pk).release.number == 1


def test_a_third_release_can_be_named_while_a_rollback_is_confirmed(world):
    first, second = world.make_live(), world.make_live()
    world.make_live()
    one = back(world)
    assert (one.status, numbers(world)) == ("progressing", (2, None, 3))
    asked_at = timezone.now()
    other = back(world, to_release=first.pk)
    one.refresh_from_db()
    assert (one.status, other.status, numbers(world)) == ("aborted", "progressing", (1, None, 2))
    assert f"{world.operator.label} rolled back to release 1" in one.reason
    assert other.from_release == second
    arms = routes_for_gateway().deployments[0].arms
    assert {arm.number: arm.weight_pct for arm in arms if arm.weight_pct} == {1: 100}
    confirmed(world, other)
    world.advance(one)  # a wake-up that came late changes nothing
    assert (one.status, other.status, numbers(world)) == ("aborted", "succeeded", (1, None, 2))
    assert verbs(one) == ["rollout.rolled_back", "rollout.aborted"]
    assert verbs(other) == ["rollout.rolled_back", "rollout.succeeded"]
    found = periods(fresh(world))
    assert [each.release.number for each in found] == [1, 2, 3, 2, 1]
    assert [each.until for each in found[1:]] == [each.since for each in found[:-1]]
    assert found[1].rollout == one  # release 2 was everybody's between the two clicks
    assert moment(fresh(world), asked_at).period.release == second
    assert moment(fresh(world), timezone.now()).period.release == first
    with pytest.raises(Conflict, match="To go to release 2 again, name it"):
        back(world)


def test_a_third_release_can_be_named_while_a_rollback_still_loads_its_servers(world, told):
    first, second, third = world.make_live(), world.make_live(), world.make_live()
    Workload.objects.filter(release=first).delete()
    told.exist.pop(first.pk)
    told.never_ready.add(first.pk)
    one = world.advance(back(world, to_release=first.pk))
    assert (one.status, numbers(world)) == ("pending", (3, None, 2))
    asked_at = timezone.now()
    other = back(world, to_release=second.pk)
    one.refresh_from_db()
    assert (one.status, other.status, numbers(world)) == ("aborted", "progressing", (2, None, 3))
    assert other.from_release == third
    told.never_ready.clear()
    world.advance(one)  # its servers would be ready now, but nobody wants it any more
    confirmed(world, other)
    assert (one.status, other.status, numbers(world)) == ("aborted", "succeeded", (2, None, 3))
    assert verbs(one)[-1] == "rollout.aborted"
    found = periods(fresh(world))
    assert [each.release.number for each in found] == [2, 3, 2, 1]  # release 1 was nobody's in between
    assert found[0].rollout == other
    assert moment(fresh(world), asked_at).period.release == third
    world.reconcile()
    Workload.objects.filter(release=first).update(unwanted_since=timezone.now() - timedelta(minutes=1))
    world.reconcile()
    assert first.pk not in told.exist  # what was being loaded for the first click is given back


def test_nothing_served_yet_is_nothing_to_roll_back(world):
    with pytest.raises(Conflict, match="Nothing serves here yet"):
        back(world)


def test_the_first_release_has_nothing_before_it(world):
    world.make_live()
    with pytest.raises(Conflict, match="is the first here") as refusal:
        back(world)
    assert refusal.value.code == "nothing_to_roll_back"


def test_the_very_first_rollout_is_aborted_not_rolled_back(world):
    world.advance(world.start())
    with pytest.raises(Conflict, match="abort the rollout instead"):
        back(world)


def test_a_release_that_is_not_loaded_is_started_first_and_serving_is_untouched(world, told):
    first = world.make_live()
    world.make_live()
    world.make_live()
    Workload.objects.filter(release=first).delete()
    told.exist.pop(first.pk, None)
    told.never_ready.add(first.pk)
    rollout = back(world, to_release=first.pk)
    assert rollout.status == "pending"
    assert "is not loaded any more" in rollout.reason
    assert numbers(world)[0] == 3
    world.advance(rollout)
    assert (rollout.status, numbers(world)[0]) == ("pending", 3)
    told.never_ready.clear()
    world.advance(rollout)
    assert (rollout.status, numbers(world)) == ("progressing", (1, None, 3))


def test_a_release_that_cannot_be_loaded_ends_in_failed_and_serving_is_untouched(world, told):
    first = world.make_live()
    world.make_live()
    world.make_live()
    Workload.objects.filter(release=first).delete()
    told.never_ready.add(first.pk)
    rollout = world.advance(back(world, to_release=first.pk))
    Rollout.objects.filter(pk=rollout.pk).update(started_at=timezone.now() - timedelta(minutes=3))
    world.advance(rollout)
    assert rollout.status == "failed"
    assert numbers(world) == (3, None, 2)


def test_a_release_that_never_served_everybody_is_no_target(world):
    world.make_live()
    world.make_live()
    canary = world.advance(world.start())
    with pytest.raises(Conflict, match="is under way"):
        back(world, to_release=canary.release_id)
    back(world)
    with pytest.raises(Conflict, match="never served everybody"):
        back(world, to_release=canary.release_id)


def test_another_placements_release_does_not_exist_here(world):
    world.make_live()
    other = make_world()
    release = other.make_live()
    with pytest.raises(NotFound):
        back(world, to_release=release.pk)


def test_viewers_and_analysts_may_not(world):
    world.make_live()
    world.make_live()
    for actor in (world.viewer, world.analyst):
        with pytest.raises(NotPermitted):
            back(world, actor)
    assert numbers(world) == (2, None, 1)


def test_without_a_gateways_word_it_ends_after_a_while_and_says_so(world):
    world.make_live()
    world.make_live()
    rollout = world.advance(back(world))
    assert rollout.status == "progressing"
    Rollout.objects.filter(pk=rollout.pk).update(step_started_at=timezone.now() - timedelta(seconds=31))
    world.advance(rollout)
    assert rollout.status == "succeeded"
    assert "no word yet from any gateway" in rollout.reason


def test_a_new_promotion_can_follow_a_rollback(world):
    world.make_live()
    world.make_live()
    confirmed(world, back(world))
    assert world.make_live().number == 3
    assert numbers(world) == (3, None, 1)


def test_what_a_gateway_measured_of_something_else_is_not_taken(world):
    world.make_live()
    rollout = Rollout.objects.get()
    record_gateway_measure(rollout.pk, "gw-1", WatchReport(rollout.pk, 1.0, 1.0, 1, 0))
    record_gateway_measure("rol_unknown", "gw-1", WatchReport("rol_unknown", 1.0, 1.0, 1, 0))
    rollout.refresh_from_db()
    assert rollout.measured == {}


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_24_clicks_at_once_roll_back_once(self, world):
        world.make_live()
        world.make_live()
        results = at_once(24, lambda n: back(world))
        won = [each for each in results if isinstance(each, Rollout)]
        assert len(won) == 1
        assert [each.status for each in results if isinstance(each, Exception)] == [409] * 23
        assert numbers(world) == (1, None, 2)
        assert Event.objects.filter(verb="rollout.rolled_back").count() == 1

    def test_a_rollback_and_a_promotion_at_once_leave_one_live(self, world):
        world.make_live()
        canary = world.advance(world.start())

        def act(n):
            return back(world) if n % 2 else promote_now(world.operator, world.shop, canary)

        results = at_once(24, act)
        refused = [each for each in results if isinstance(each, Exception)]
        assert all(getattr(each, "status", 500) == 409 for each in refused), refused
        row = fresh(world)
        assert row.canary is None
        assert Rollout.objects.filter(status__in=["pending", "progressing", "paused"]).count() <= 1
        rolled_back = Rollout.objects.filter(kind="rollback").count()
        assert rolled_back in (0, 1)
        if rolled_back:
            assert row.stable.number == 1
        else:
            assert row.stable.number == 2

    def test_gateways_words_and_the_loop_do_not_wait_for_each_other_in_a_circle(self, world):
        world.make_live()
        world.make_live()
        rollout = back(world)
        Gateway.objects.create(agent_id="gw-0", reported_at=timezone.now())

        def act(n):
            if n % 2:
                return advance_rollout(rollout.pk)
            for probes in range(20):
                watch = WatchReport(rollout.pk, 1.0, None, probes, 0)
                record_gateway_measure(rollout.pk, f"gw-{n}", watch)
            return None

        assert at_once(12, act) == [None] * 12
