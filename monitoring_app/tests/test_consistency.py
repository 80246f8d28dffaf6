"""Offline = online: real model servers against the registry, and what follows when they disagree."""

import shutil
from contextlib import ExitStack

import pytest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape

from deployments_app.models import Release, Workload
from deployments_app.tests.factories import World, make_world, stored_artifact
from engine.tests.serving_process import SmallArtifact, running, server_config
from monitoring_app.analysis import judge
from monitoring_app.checks import Facts, Parity
from monitoring_app.consistency import Ranked, difference
from monitoring_app.models import Alert, Collector, ConsistencyCheck, ConsistencyWatch
from monitoring_app.selectors import ArmNumbers
from monitoring_app.selectors.consistency import parity_since, silences
from monitoring_app.services.collecting import collect
from monitoring_app.services.consistency import check_consistency, notice_change
from portal.core.models import Event
from portal.core.storage import store_tree, tree_path

EXPECTED = Ranked(["a", "b", "c", "d", "e"], [3.0, 2.0, 2.0, 1.0, 1.0])


@pytest.mark.parametrize(
    ("items", "scores", "told"),
    [
        (["a", "b", "c", "d"], [3, 2, 2, 1], ""),
        (["a", "c", "b", "d"], [3, 2, 2, 1], ""),  # a tie
        (["a", "b", "c", "e"], [3, 2, 2, 1], ""),  # a tie at the end
        (["b", "a", "c", "d"], [3, 2, 2, 1], "at rank 1 b instead of a"),
        (["a", "b", "c", "z"], [3, 2, 2, 1], "at rank 4 z instead of d"),  # an id map that is off
        (["a", "b", "c", "d"], [3, 2, 2, 0.9], "at rank 4 the score 0.9 instead of 1"),
        (["a", "b", "b", "d"], [3, 2, 2, 1], "an item comes twice"),
        (["a", "b", "c"], [3, 2, 2], "3 items instead of 4"),
    ],
)
def test_only_ties_may_change_places(items, scores, told):
    assert difference(EXPECTED, Ranked(items, scores), 4) == told


def test_a_step_fails_when_its_release_does_not_answer_as_registered():
    arm = ArmNumbers(requests=500, answers=500, latency={"5.0": 500})

    def of(parity):
        return judge(Facts(canary=arm, stable=arm, min_answers=100, since_s=60, parity=parity))

    verdict, checks = of(None)
    assert verdict == "not_enough_data"
    (told,) = (each["sentence"] for each in checks if each["name"] == "parity")
    assert told == "its servers have not been compared with the registry yet"
    assert of(Parity(64, 64))[0] == "pass"
    verdict, checks = of(Parity(64, 63, "127.0.0.1:1: at rank 1 b instead of a"))
    assert verdict == "fail"
    assert "63 of 64" in next(each["sentence"] for each in checks if each["name"] == "parity")


@pytest.fixture
def world(db, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("portal.core.dispatch.enqueue", lambda model, pk: False)
    made = make_world()
    made.deployment.stable = Release.objects.create(
        deployment=made.deployment,
        number=1,
        model_version=made.version(),
        artifact_digest=stored_artifact("als")[0],
    )
    made.deployment.live_since = timezone.now()
    made.deployment.save()
    return made


def check(world: World) -> ConsistencyCheck | None:
    notice_change(world.deployment.pk)
    watch = ConsistencyWatch.objects.get(deployment=world.deployment)
    ConsistencyWatch.objects.filter(pk=watch.pk).update(lease_until=None)
    check_consistency(watch.pk)
    return ConsistencyCheck.objects.order_by("-created_at").first()


def test_every_server_is_compared_and_one_that_differs_is_told_until_it_is_mended(
    world, tmp_path, client, django_assert_max_num_queries
):
    release = world.deployment.stable
    right, wrong = (stored_artifact(name)[0] for name in ("als", "popularity"))
    with ExitStack() as started:
        ports = []
        for name, digest in (("als", right), ("popularity", wrong)):
            served = SmallArtifact(tree_path(digest), digest, name, None)
            server = started.enter_context(running(server_config(tmp_path / name, served)))
            server.wait_until_ready()
            ports.append(server.port)
        row = Workload.objects.create(
            release=release, replicas=1, ready=1, endpoints=[f"127.0.0.1:{ports[0]}"]
        )
        good = check(world)
        assert good is not None
        assert (good.servers, good.trigger, good.is_consistent) == (1, "change", True)
        assert good.compared == good.agreeing > 20
        assert not Alert.objects.exists()
        watch = ConsistencyWatch.objects.get()
        assert 3500 < (watch.due_at - good.created_at).total_seconds() < 3700

        row.endpoints.append(f"127.0.0.1:{ports[1]}")
        row.save()
        bad = check(world)
        assert bad is not None
        assert (bad.servers, bad.trigger, bad.is_consistent) == (2, "hourly", False)
        assert bad.differences[0]["server"].endswith(str(ports[1]))
        assert "it serves the artifact" in bad.differences[0]["sentence"]
        assert bad.compared > bad.agreeing >= good.agreeing
        check(world)  # the same trouble again is no second alert
        alert = Alert.objects.get()
        assert alert.status == "firing"
        assert Event.objects.filter(verb="alert.fired").count() == 1
        since = bad.created_at
        assert parity_since(release.pk, since).agreeing == bad.agreeing

        client.force_login(world.viewer.user)
        with django_assert_max_num_queries(15):
            shown = client.get(reverse("consistency", args=[world.shop.slug, world.deployment.pk]))
        assert "do not answer as the registry does" in shown.content.decode()
        assert alert.sentence[:40] in client.get(f"/{world.shop.slug}/activity").content.decode()
        client.force_login(world.operator.user)
        client.post(reverse("alert_acknowledge", args=[world.shop.slug, alert.pk]))
        assert 'role="alert"' not in client.get(f"/{world.shop.slug}/activity").content.decode()

        row.endpoints = row.endpoints[:1]
        row.save()
        check(world)
        alert.refresh_from_db()
        assert alert.status == "resolved"
        assert parity_since(release.pk, since).agreeing == good.agreeing


def test_a_server_that_is_away_is_named_with_since_when_and_asked_again_soon(world, client):
    row = Workload.objects.create(
        release=world.deployment.stable, replicas=1, ready=1, endpoints=["127.0.0.1:9"]
    )
    assert check(world) is None
    watch = ConsistencyWatch.objects.get()
    assert watch.checked_for == ""
    assert not Alert.objects.exists()
    first = silences(world.deployment.pk, {row.release_id})
    check(world)
    collector = Collector.objects.create(deployment=world.deployment)
    collect(collector.pk)
    (away,) = silences(world.deployment.pk, {row.release_id})  # both say it, of one server
    assert [away] == first  # since it was found, not since it was last tried
    assert "127.0.0.1:9 cannot be asked since" in away.sentence
    assert not silences(world.deployment.pk, {"rel_other"})

    client.force_login(world.viewer.user)
    shown = client.get(reverse("consistency", args=[world.shop.slug, world.deployment.pk])).content.decode()
    assert "1 server of Home page cannot be asked" in shown
    assert escape(away.sentence) in shown
    path = f"/api/v1/deployments/{world.deployment.pk}/metrics"
    (told,) = client.get(path, headers={"X-Aisle-Shop": world.shop.slug}).json()["silent"]
    assert (told["server"], told["reason"]) == ("127.0.0.1:9", away.reason)

    Workload.objects.update(endpoints=[])
    for model, turn in ((ConsistencyWatch, check_consistency), (Collector, collect)):
        model.objects.update(lease_until=None)
        turn(model.objects.get().pk)
    assert not silences(world.deployment.pk, {row.release_id})


def test_the_stores_own_copy_is_verified_too(world, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tree_path(stored_artifact("als")[0]), folder)
    member = max(folder.iterdir(), key=lambda path: path.stat().st_size)
    member.chmod(0o600)
    member.write_bytes(member.read_bytes()[:-1] + b"?")
    damaged = "d" * 64
    store_tree(folder, damaged)
    release = Release.objects.create(
        deployment=world.deployment,
        number=2,
        model_version=world.version(artifact_digest=damaged),
        artifact_digest=damaged,
    )
    world.deployment.stable = release
    world.deployment.save()
    Workload.objects.create(release=release, replicas=1, ready=1, endpoints=["127.0.0.1:9"])
    found = check(world)
    assert found is not None
    assert found.differences[0]["server"] == "the registry"
    assert Alert.objects.get().status == "firing"
