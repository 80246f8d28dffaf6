"""Servers that should be there are there, the others go; with real model servers where processes matter."""

import http.client
import json
import os
import signal
import time
from datetime import timedelta

import pytest
from django.utils import timezone

from deployments_app.backends.local import LocalBackend
from deployments_app.backends.local_process import ProcessId
from deployments_app.models import Deployment, Release, Workload
from deployments_app.routing import routes_for_gateway
from deployments_app.services.rollbacks import roll_back
from deployments_app.services.rollouts import abort_rollout
from deployments_app.services.workloads import reconcile_deployment
from deployments_app.testing import wait_until
from deployments_app.tests.factories import make_world
from portal.core.dispatch import dispatch_once
from portal.core.testing import at_once

pytestmark = pytest.mark.django_db


def later(**age):
    """Let time pass for servers that are not wanted."""
    Workload.objects.filter(unwanted_since__isnull=False).update(
        unwanted_since=timezone.now() - timedelta(**age)
    )


def wanted():
    return dict(Workload.objects.values_list("release__number", "is_wanted"))


def test_live_canary_and_last_good_are_kept(world, told):
    world.make_live()
    world.make_live()
    world.advance(world.start())
    told.exist.clear()
    world.reconcile()
    assert sorted(spec.release_number for spec in told.exist.values()) == [1, 2, 3]
    assert wanted() == {1: True, 2: True, 3: True}


def test_what_is_no_longer_wanted_leaves_the_routes_first_and_then_goes(world, told):
    world.make_live()
    rollout = world.advance(world.start())
    abort_rollout(world.operator, world.shop, rollout)
    world.reconcile()
    assert wanted() == {1: True, 2: True}  # requests under way end first
    later(seconds=6)
    world.reconcile()
    assert wanted() == {1: True, 2: False}
    assert rollout.release_id in told.exist
    later(seconds=11)
    world.reconcile()
    assert wanted() == {1: True}
    assert rollout.release_id not in told.exist


def test_what_is_wanted_again_stays(world, told):
    first = world.make_live()
    world.make_live()
    Deployment.objects.update(last_good_until=timezone.now() - timedelta(seconds=1))
    world.reconcile()
    assert Workload.objects.get(release=first).unwanted_since is not None
    Deployment.objects.update(last_good_until=timezone.now() + timedelta(hours=1))
    world.reconcile()
    row = Workload.objects.get(release=first)
    assert (row.is_wanted, row.unwanted_since) == (True, None)


def test_the_last_good_release_goes_when_its_warm_time_is_over(world, told):
    first = world.make_live()
    world.make_live()
    Deployment.objects.update(last_good_until=timezone.now() - timedelta(seconds=1))
    world.reconcile()
    later(seconds=60)
    world.reconcile()
    world.reconcile()
    assert first.pk not in told.exist
    assert wanted() == {2: True}
    assert Deployment.objects.get().last_good == first  # one can still go back: it is started first


def test_a_server_that_is_away_keeps_its_address_in_the_routes(world, told):
    live = world.make_live()
    told.is_ready = False
    world.reconcile()
    row = Workload.objects.get(release=live)
    assert (row.ready, row.endpoints) == (0, ["127.0.0.1:20001"])
    assert row.not_ready_since is not None
    assert row.reason == "warming up"


def test_it_looks_again_soon_while_something_is_not_ready(world, told):
    world.make_live()
    world.reconcile()
    calm = Deployment.objects.get().due_at - timezone.now()
    told.is_ready = False
    world.reconcile()
    urgent = Deployment.objects.get().due_at - timezone.now()
    assert urgent < timedelta(seconds=0.6) < calm < timedelta(seconds=2.1)


def test_a_backend_that_does_not_answer_changes_nothing_but_the_reason(world, told):
    live = world.make_live()
    told.error = "The cluster does not answer."
    world.reconcile()
    row = Workload.objects.get(release=live)
    assert row.reason == "The cluster does not answer."
    assert row.is_ready
    assert row.endpoints == ["127.0.0.1:20001"]


def test_one_worker_at_a_time_looks_after_a_placement(world, told):
    world.make_live()
    Deployment.objects.update(lease_until=timezone.now() + timedelta(seconds=15))
    told.calls.clear()
    world.reconcile()
    assert told.calls == []


def test_the_dispatcher_wakes_what_is_due(world, told, monkeypatch):
    woken = []
    world.make_live()
    monkeypatch.setattr("portal.core.dispatch.enqueue", lambda model, pk: woken.append(pk) or True)
    Deployment.objects.update(due_at=timezone.now(), sent_at=None)
    dispatch_once()
    assert world.deployment.pk in woken


@pytest.fixture
def live_world(run_dir, settings, db):
    """A placement with one real model server that serves everybody."""
    assert settings.DEPLOYMENT_BACKENDS["local"].endswith("LocalBackend")
    world = make_world()
    rollout = world.start(world.version("popularity"))
    for _ in range(400):
        if world.advance(rollout).status == "succeeded":
            break
        time.sleep(0.1)
    assert rollout.status == "succeeded", rollout.reason
    return world


def ask(endpoint, user):
    host, _, port = endpoint.partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=2)
    try:
        connection.request("GET", f"/shop/home/recommendations?user={user}&k=3")
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def process_of(release):
    state = json.loads((LocalBackend().root / f"{release.pk}-0" / "state.json").read_text())
    return ProcessId(state["pid"], state["start_ticks"])


def test_a_real_release_answers_and_a_killed_server_is_back(live_world):
    """Through the reconcile loop alone: no rollout is under way. Acceptance is 5 s on an idle machine."""
    live_world.reconcile()
    release = Release.objects.get()
    endpoint = Workload.objects.get().endpoints[0]
    status, answer = ask(endpoint, "u1")
    assert (status, answer["release_id"]) == (200, release.pk)
    assert len(answer["items"]) == 3

    os.kill(process_of(release).pid, signal.SIGKILL)
    killed_at = time.monotonic()

    def serves_again():
        reconcile_deployment(live_world.deployment.pk)
        try:
            return ask(endpoint, "u1")[0] == 200
        except OSError:
            return False

    wait_until(serves_again, within_s=25, what="the same address serves again", every_s=0.3)
    print(f"killed server back after {time.monotonic() - killed_at:.1f} s")
    live_world.reconcile()
    row = Workload.objects.get()
    assert row.is_ready
    assert row.restarts == 1
    assert row.endpoints == [endpoint]


@pytest.mark.django_db(transaction=True)
def test_loops_at_once_start_one_server_and_a_whole_life_ends_clean(run_dir):
    world = make_world()
    rollout = world.start(world.version("popularity"))
    backend = LocalBackend()

    def turn(n):
        if n % 2:
            return reconcile_deployment(world.deployment.pk)
        world.advance(rollout)
        return None

    for _ in range(3):
        assert at_once(4, turn) == [None] * 4
    assert backend.loaded() == [rollout.release_id]
    assert len(list(backend.root.glob("*/state.json"))) == 1
    rollout.refresh_from_db()
    if rollout.status in ("pending", "progressing"):
        abort_rollout(world.operator, world.shop, rollout)
    Deployment.objects.update(stable=None)
    world.reconcile()

    def gone():
        later(minutes=1)
        world.reconcile()
        return not backend.loaded() and not Workload.objects.exists()

    wait_until(gone, within_s=30, what="the server has ended and its row is gone", every_s=0.3)


def test_a_release_that_was_leaving_has_its_servers_in_the_routes_when_it_is_live_again(world, told):
    first = world.make_live()
    world.make_live()
    Deployment.objects.update(last_good_until=timezone.now() - timedelta(seconds=1))
    world.reconcile()
    later(seconds=6)
    world.reconcile()
    assert Workload.objects.get(release=first).is_wanted is False
    rollout = roll_back(world.operator, world.shop, world.deployment, to_release=first.pk)
    assert rollout.status == "pending"  # on its way out is not warm
    world.advance(rollout)
    arm = next(each for each in routes_for_gateway().deployments[0].arms if each.release_id == first.pk)
    assert (arm.weight_pct, arm.endpoints) == (100, ("127.0.0.1:20001",))


def test_servers_have_a_row_before_they_exist_so_that_a_dead_worker_leaves_none_behind(
    world, told, monkeypatch
):
    class Killed(BaseException):
        pass

    def start_and_die(self, spec):
        told.exist[spec.key] = spec
        raise Killed

    rollout = world.start()
    with monkeypatch.context() as patch:
        patch.setattr("deployments_app.tests.told_backend.ToldBackend.apply", start_and_die)
        with pytest.raises(Killed):
            world.advance(rollout)
    abort_rollout(world.operator, world.shop, rollout)
    world.reconcile()
    for _ in range(3):
        later(seconds=60)
        world.reconcile()
    assert told.exist == {}


def test_a_placement_where_nothing_runs_is_not_looked_at_again(world):
    world.reconcile()
    assert Deployment.objects.get().due_at is None
    world.request()
    world.reconcile()
    assert Deployment.objects.get().due_at > timezone.now() + timedelta(seconds=50)
