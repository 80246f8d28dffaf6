"""Before anything is applied, the plan shows line by line what differs from what the live release has."""

import copy
import sys
from typing import ClassVar

import pytest
from django.urls import reverse

from deployments_app.backends.differences import as_asked, compare
from deployments_app.backends.kubernetes import KubernetesBackend
from deployments_app.backends.kubernetes_api import Refused
from deployments_app.backends.local import LocalBackend
from deployments_app.backends.manifests import KINDS, ClusterSettings
from deployments_app.change_words import shown_changes
from deployments_app.models import Environment, Workload
from deployments_app.plan_templates import TEMPLATES
from deployments_app.services import reviews
from deployments_app.services.workloads import release_spec
from deployments_app.tests.factories import QUICK_PLAN
from portal.core.diffs import read_diff
from portal.core.errors import BackendError
from portal.core.ids import new_id


class StandInCluster:
    """Keeps what is applied and adds what a server adds; refuses what a test says."""

    there: ClassVar[dict[tuple[str, str], dict]] = {}
    refused: ClassVar[dict[str, str]] = {}
    namespace = "aisle"

    def get(self, kind, name):
        assert kind != "Secret", "Aisle may not read Secrets"
        return copy.deepcopy(self.there.get((kind, name)))

    def apply(self, manifest, *, dry_run=False):
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        if kind in self.refused:
            raise Refused(self.refused[kind], api_status=403)
        made = copy.deepcopy(manifest)
        own = {"uid": f"uid-{name}", "resourceVersion": "77", "generation": 3, "managedFields": [{"x": name}]}
        made["metadata"] |= own | {"creationTimestamp": "2026-01-01T00:00:00Z"}
        if kind == "Deployment":
            made["spec"]["progressDeadlineSeconds"] = 600  # a default of the server's
            made["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = name
        made["status"] = {"seen": name}
        if not dry_run:
            self.there[kind, name] = made
        return made


def in_a_cluster(namespace="aisle"):
    return KubernetesBackend(cluster=StandInCluster(), options=ClusterSettings("aisle:2"))


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setattr(StandInCluster, "there", {})
    monkeypatch.setattr(StandInCluster, "refused", {})
    return StandInCluster()


@pytest.fixture
def live_in_cluster(world, cluster, settings):
    """A release that was applied with an older image, and with an autoscaler that the next has not."""
    plan = {**QUICK_PLAN, "servers": {"replicas": 1, "max_replicas": 5}}
    live = world.advance(world.start(plan=plan), 3).release
    world.deployment.refresh_from_db()
    assert world.deployment.stable == live
    settings.DEPLOYMENT_BACKENDS["kubernetes"] = f"{__name__}.in_a_cluster"
    Environment.objects.update(backend="kubernetes", namespace="aisle")
    older = KubernetesBackend(cluster=cluster, options=ClusterSettings("aisle:1"))
    older.apply(release_spec(live, Workload(release=live)))
    cluster.there["Deployment", live.pk.lower().replace("_", "-")]["spec"]["replicas"] = 4
    return live


def changes_by_kind(found):
    return {each["what"]: each for each in found["backend"]["changes"]}


def lines(diff, kind):
    return [row.text[1:].strip() for row in read_diff(diff).rows if row.kind == kind]


@pytest.fixture
def ask_plan(world, visit, client):
    """Ask for a preview of a version by the API."""

    def ask(version):
        client.force_login(world.analyst.user)
        body = {
            "model_version": version.pk,
            "deployment": "home",
            "plan": TEMPLATES["careful"].plan.to_json(),
        }
        headers = {"X-Aisle-Shop": world.shop.slug, "Idempotency-Key": new_id("try")}
        answer = client.post(
            "/api/v1/promotions/preview", body, content_type="application/json", headers=headers
        )
        assert answer.status_code == 200, answer.content
        return answer.json()

    return ask


def test_each_object_is_compared_with_the_live_ones_as_it_is_in_the_cluster(
    world, live_in_cluster, ask_plan, cluster
):
    before = copy.deepcopy(cluster.there)
    found = ask_plan(world.version("item_knn"))
    assert (found["backend"]["problem"], found["backend"]["is_tried"]) == ("", True)
    changes = changes_by_kind(found)
    assert list(changes) == [*KINDS]
    assert changes["Deployment"]["act"] == "change"
    gone, new = (lines(changes["Deployment"]["diff"], kind) for kind in ("old", "new"))
    assert {'"image": "aisle:1",', '"replicas": 4,'} <= {*gone}
    assert {'"image": "aisle:2",', '"replicas": 1,', '"app.kubernetes.io/version": "2"'} <= {*new}
    shown = str(changes)
    for its_own in (live_in_cluster.pk, "uid-", "managedFields", "status", "progressDeadlineSeconds"):
        assert its_own not in "".join(gone + new)
    assert "signature" not in shown
    assert changes["Secret"]["act"] == "change"  # its labels tell the version; what is in it is hidden
    assert changes["HorizontalPodAutoscaler"]["act"] == "remove"
    assert not lines(changes["HorizontalPodAutoscaler"]["diff"], "new")
    assert cluster.there == before


def test_where_nothing_is_live_every_line_is_new(world, cluster, settings, ask_plan):
    settings.DEPLOYMENT_BACKENDS["kubernetes"] = f"{__name__}.in_a_cluster"
    Environment.objects.update(backend="kubernetes", namespace="aisle")
    changes = changes_by_kind(ask_plan(world.version()))
    assert [*changes] == [*KINDS[:-1]]
    assert {each["act"] for each in changes.values()} == {"make"}
    for each in changes.values():
        rows = read_diff(each["diff"])
        assert rows.old == 0
        assert rows.new > 5
        assert {row.kind for row in rows.rows} == {"place", "new"}
    assert '"name": "{release}"' in changes["Deployment"]["diff"]
    assert lines(changes["Secret"]["diff"], "new").count('"config.json": "(hidden)",') == 1
    assert "signature" not in str(changes)


def test_the_page_marks_lines_by_sign_and_says_what_a_dry_run_found(world, live_in_cluster, visit, cluster):
    version = world.version("item_knn")
    page = visit("analyst", "promotion_new", query=f"?version={version.pk}").text_
    assert "dry run passed" in page
    assert "Line by line against what release 1 has there now: + is new, - is gone." in page
    assert "<ins>+ " in page
    assert "&quot;image&quot;: &quot;aisle:2&quot;" in page.partition("<ins>")[2]
    assert "<del>- " in page
    assert "the new release has none" in page
    cluster.refused["Deployment"] = "the quota of the namespace aisle is used up: pods"
    page = visit("analyst", "promotion_new", query=f"?version={version.pk}").text_
    assert "would be refused" in page
    assert "The quota of the namespace aisle is used up: pods." in page
    assert "dry run passed" not in page


def test_whoever_decides_sees_the_same_of_a_request_that_waits(world, live_in_cluster, visit, client):
    asked = world.request(world.version("item_knn"))
    page = visit("approver", "promotion_detail", asked.pk).text_
    assert reverse("promotion_changes", args=[world.shop.slug, asked.pk]) in page
    page = visit("viewer", "promotion_changes", asked.pk).text_
    assert "dry run passed" in page
    assert f"<ins>+ &quot;aisle.dev/change-request&quot;: &quot;{asked.pk}&quot;,</ins>" in page
    headers = {"X-Aisle-Shop": world.shop.slug}
    found = client.get(f"/api/v1/promotions/{asked.pk}/changes", headers=headers).json()
    assert changes_by_kind(found)["Deployment"]["act"] == "change"
    reviews.review_promotion(world.approver, world.shop, asked, "reject", "Not yet.")
    assert client.get(f"/api/v1/promotions/{asked.pk}/changes", headers=headers).status_code == 409
    visit("viewer", "promotion_changes", asked.pk, status=302)
    page = visit("viewer", "promotion_detail", asked.pk).text_
    assert "This request is rejected: nothing of it will be applied any more." in page
    assert reverse("promotion_changes", args=[world.shop.slug, asked.pk]) not in page


def test_a_cluster_that_does_not_answer_leaves_the_rest_of_the_plan(world, told, visit, settings):
    world.make_live()
    settings.DEPLOYMENT_BACKENDS["kubernetes"] = f"{__name__}.cluster_away"
    Environment.objects.update(backend="kubernetes", namespace="aisle")
    page = visit("analyst", "promotion_new", query=f"?version={world.version('item_knn').pk}").text_
    assert "not checked" in page
    assert "The cluster has not answered since 10:00:00 UTC; serving goes on." in page
    assert "at the earliest" in page


def test_local_servers_are_compared_with_what_the_live_ones_run_by(
    world, told, run_dir, settings, ask_plan, visit
):
    first = ask_plan(world.version())
    assert first["backend"] is None
    live = world.make_live()
    settings.DEPLOYMENT_BACKENDS["local"] = f"{__name__}.sleeping_servers"
    backend = sleeping_servers()
    backend.apply(release_spec(live))
    version = world.version("item_knn")
    found = ask_plan(version)["backend"]["changes"]
    assert [(each["what"], each["act"]) for each in found] == [("Servers", "change")]
    gone, new = (lines(found[0]["diff"], kind) for kind in ("old", "new"))
    assert '"algorithm": "als",' in gone
    assert {'"algorithm": "item_knn",', '"port": "a free one",', '"release_number": 2,'} <= {*new}
    assert any(line.startswith('"port": ') for line in gone)
    assert str(run_dir) not in found[0]["diff"]
    assert live.pk not in found[0]["diff"]
    page = visit("analyst", "promotion_new", query=f"?version={version.pk}").text_
    assert "<del>- &quot;algorithm&quot;: &quot;als&quot;,</del>" in page


def sleeping_servers(namespace=""):
    return LocalBackend(server=(sys.executable, "-c", "import time; time.sleep(60)"))


def cluster_away(namespace=""):
    raise BackendError("the cluster has not answered since 10:00:00 UTC; serving goes on")


def test_what_only_names_a_release_is_no_difference():
    one = {"metadata": {"name": "rel-a", "labels": {"x": "rel_A"}}, "image": "1"}
    other = {"metadata": {"name": "rel-b", "labels": {"x": "rel_B"}}, "image": "1"}
    assert compare("Service", one, other, "rel_A", "rel_B").act == "keep"
    changed = compare("Service", one, {**other, "image": "2"}, "rel_A", "rel_B")
    assert lines(changed.diff, "new") == ['"image": "2",']
    assert compare("Service", one, None, "rel_A").act == "remove"
    assert compare("Service", None, one, "rel_A").act == "make"


def test_what_the_server_alone_writes_is_left_out_and_the_object_unchanged():
    there = {
        "kind": "Deployment",
        "metadata": {"name": "a", "uid": "u", "annotations": {"deployment.kubernetes.io/revision": "2"}},
        "status": {},
    }
    kept = copy.deepcopy(there)
    assert as_asked(there) == {"kind": "Deployment", "metadata": {"name": "a", "annotations": {}}}
    assert there == kept


def test_an_object_with_a_difference_of_its_own_is_shown_open():
    """What the release brings everywhere stands in each object, and must not hide the one that counts."""
    old, new = {"image": "1", "digest": "a"}, {"image": "2", "digest": "b"}
    changes = [
        compare("Service", {"digest": "a"}, {"digest": "b"}),
        compare("Deployment", old, new),
        compare("Secret", {"digest": "a"}, {"digest": "a"}),
        compare("HorizontalPodAutoscaler", {"digest": "a", "max": 5}, None),
    ]
    shown = shown_changes(changes, 3)
    assert [each.is_open for each in shown] == [False, True, False, True]
    assert [each.note for each in shown] == [
        *("1 new, 1 gone", "2 new, 2 gone", "the same but for its name", "the new release has none"),
    ]
    first = [compare("Service", None, {"digest": "a"}), compare("Deployment", None, new)]
    assert [(each.is_open, each.note) for each in shown_changes(first, None)] == [
        *((False, "3 lines"), (False, "4 lines")),
    ]
    assert shown_changes(first[:1], None)[0].is_open
    assert [each.is_open for each in shown_changes(changes[1:3], 3)] == [True, False]
    assert [each.note for each in shown_changes(first, 3)] == ["release 3 has none"] * 2


def test_a_line_that_looks_like_a_header_is_a_line():
    rows = read_diff("--- live\n+++ new\n@@ -1 +1 @@\n---- x\n++++ y\n same")
    assert [row.kind for row in rows.rows] == ["place", "old", "new", "same"]
    assert (rows.new, rows.old) == (1, 1)
    assert read_diff("").rows == ()
