"""The page and the fragment of live numbers."""

import json
import re
from datetime import datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from deployments_app.tests.factories import World, make_world, stored_artifact
from monitoring_app.models import FeedbackPoint, FeedbackWindow, MetricPoint
from portal.core.events import record
from portal.core.models import Event

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A placement whose release 2 is a canary of release 1; both answered in the last minute."""
    from deployments_app.models import Release, Rollout

    monkeypatch.setattr("portal.core.dispatch.enqueue", lambda model, pk: False)
    made = make_world()
    releases = [
        Release.objects.create(
            deployment=made.deployment,
            number=number,
            model_version=made.version(),
            artifact_digest=stored_artifact("als")[0],
        )
        for number in (1, 2)
    ]
    made.deployment.stable, made.deployment.canary = releases
    made.deployment.canary_weight_pct = 10
    made.deployment.save()
    rollout = Rollout.objects.create(
        shop=made.shop,
        deployment=made.deployment,
        kind="promote",
        release=releases[1],
        status="progressing",
        salt="s",
    )
    record("rollout.step_advanced", rollout, actor=made.operator, shop=made.shop, weight_pct=10)
    at = datetime.fromtimestamp(timezone.now().timestamp() // 2 * 2, timezone.get_current_timezone())
    for release, requests, errors in zip(releases, (90, 10), (0, 1), strict=True):
        MetricPoint.objects.create(
            deployment=made.deployment,
            release=release,
            width_s=2,
            at=at - timedelta(seconds=20),
            requests=requests,
            errors=errors,
            answers=requests,
            latency={"5.0": requests},
        )
    return made


def show(client, world, role="viewer", status=200, **options):
    client.force_login(getattr(world, role).user)
    url = reverse("live_numbers", args=[world.shop.slug, world.deployment.pk])
    answer = client.get(url, options, headers={"HX-Request": "true"} if options.pop("part", "") else {})
    assert answer.status_code == status
    return re.sub(r"\s+", " ", answer.content.decode())


def test_a_page_tells_what_each_release_did(client, world):
    page = show(client, world)
    assert "2 releases answered at Home page in the last 5 minutes" in page
    assert re.search(r"2 new</th> <td class=\"num\">10</td> <td class=\"num\">10.00 %</td>", page)
    assert re.search(r"1 live</th> <td class=\"num\">90</td> <td class=\"num\">0.00 %</td>", page)


def test_a_fragment_brings_its_figures_where_a_swap_keeps_them(client, world):
    part = show(client, world, part=True)
    assert "<html" not in part
    assert part.count("data-figure") == 3
    assert "<script" not in part
    assert 'hx-trigger="every 2s"' in part


def test_charts_mark_the_moment_at_which_traffic_was_moved(client, world):
    part = show(client, world, part=True)
    assert '"text":"2 at 10 %"' in part.replace("&quot;", '"')
    assert '"color":"--canary-line"' in part.replace("&quot;", '"')


def test_words_of_crowded_moments_do_not_lie_on_each_other(client, world):
    rollout = world.deployment.rollouts.get()
    for share in (20, 30, 40):
        record("rollout.step_advanced", rollout, actor=world.operator, shop=world.shop, weight_pct=share)
    part = show(client, world, part=True).replace("&quot;", '"')
    assert '"text":"2 at 40 %"' in part
    assert '"text":"2 at 30 %"' not in part


def test_traffic_without_any_change_in_the_window_is_shown_too(client, world):
    quiet = timezone.now() - timedelta(seconds=30)
    for point in MetricPoint.objects.all():
        MetricPoint.objects.create(
            deployment=world.deployment, release=point.release, width_s=2, at=quiet, requests=7
        )
    world.deployment.rollouts.all().delete()  # nothing moved the traffic since
    part = show(client, world, part=True)
    assert part.count("data-figure") == 3


@pytest.mark.parametrize(("window", "words"), [("1h", "hour"), ("24h", "24 hours"), ("7d", "7 days")])
def test_longer_windows_can_be_chosen(client, world, window, words):
    assert f"in the last {words}" in show(client, world, window=window)


def test_an_unknown_window_is_the_shortest(client, world):
    assert "in the last 5 minutes" in show(client, world, window="1y")


def test_silence_is_said_in_words(client, world):
    MetricPoint.objects.all().delete()
    page = show(client, world)
    assert "Nobody asked Home page in the last 5 minutes" in page
    assert "data-figure" not in page


def test_a_shop_that_sends_no_events_is_told_how(client, world):
    page = show(client, world)
    assert "No click and no purchase was sent for lists of the last 5 minutes" in page
    assert "/api/v1/events" in page
    assert "Idempotency-Key" not in page.partition("/api/v1/events")[2].partition("</pre>")[0]


def test_what_shoppers_did_is_told_by_release_with_its_interval(client, world):
    for release, clicks, purchases in (
        (world.deployment.canary, 1, 0),
        (world.deployment.stable, 45, 9),
    ):
        point = MetricPoint.objects.get(release=release)
        FeedbackPoint.objects.create(
            deployment=world.deployment, release=release, width_s=2, at=point.at, seen=clicks,
            clicks=clicks, purchases=purchases,
        )  # fmt: skip
    page = show(client, world, part=True).replace("\u00a0", " ")
    assert '50.0 %<span class="sub">39.9 to 60.1 %</span><span class="sub">45 lists</span>' in page
    assert '10.0 %<span class="sub">1.8 to 40.4 %</span><span class="sub">1 list</span>' in page
    assert '10.00 %<span class="sub">5.35 to 17.92 %</span><span class="sub">9 lists</span>' in page
    assert "90 lists</span>" in page
    assert "Fewer clicks than live" in page
    assert "−40.0 points (95 %: −53.0 to −7.9)" in page
    assert "No proven difference in purchases" in page
    assert "within 30 min after the answer, a purchase within 1 d" in page
    path = f"/api/v1/deployments/{world.deployment.pk}/metrics"
    arms = client.get(path, headers={"X-Aisle-Shop": world.shop.slug}).json()["arms"]
    assert [arm["feedback"]["ctr"] for arm in arms] == [0.5, 0.1]
    assert arms[0]["feedback"]["ctr_interval"] == pytest.approx([0.399, 0.601], abs=1e-3)
    FeedbackPoint.objects.update(impressions=45)  # of 90 lists, and of 10
    assert "that the shop says were shown" in show(client, world, part=True)


def test_click_rate_and_conversion_are_drawn_day_by_day(client, world, django_assert_max_num_queries):
    stable, today = world.deployment.stable, timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    for days, clicks in ((3, 20), (2, 30), (2, 0)):
        at = today - timedelta(days=days) + timedelta(hours=2 if clicks else 3)
        MetricPoint.objects.create(
            deployment=world.deployment, release=stable, width_s=60, at=at, requests=100, answers=100
        )
        if clicks:
            FeedbackPoint.objects.create(
                deployment=world.deployment, release=stable, width_s=60, at=at, seen=clicks, clicks=clicks
            )
    part = show(client, world, part=True, window="7d").replace("&quot;", '"')
    (figure,) = re.findall(r'id="live-ctr".*?data-figure>(.*?)</div>', part)
    (line,) = json.loads(figure)["data"]
    assert (line["y"], line["customdata"]) == ([20.0, 15.0], [100, 200])
    assert line["x"][0] == f"{today - timedelta(days=2, hours=12):%Y-%m-%dT%H:%M:%SZ}"
    assert [each["text"] for each in json.loads(figure)["layout"]["annotations"]] == ["2 at 10 %"]
    assert "One point every day" in part
    assert "live-conversion" not in part
    FeedbackPoint.objects.update(purchases=1)
    assert 'id="live-conversion"' in show(client, world, part=True, window="7d")
    path = f"/api/v1/deployments/{world.deployment.pk}/metrics?window=7d"
    told = client.get(path, headers={"X-Aisle-Shop": world.shop.slug}).json()
    assert told["feedback_bucket_s"] == 86_400
    assert [
        (each["at"], each["exposures"], each["ctr"]) for each in told["arms"][0]["feedback_over_time"]
    ] == [
        (f"{today - timedelta(days=3):%Y-%m-%dT%H:%M:%SZ}", 100, 0.2),
        (f"{today - timedelta(days=2):%Y-%m-%dT%H:%M:%SZ}", 200, 0.15),
    ]
    url = reverse("live_numbers", args=[world.shop.slug, world.deployment.pk])
    client.force_login(world.approver.user)
    with django_assert_max_num_queries(15):
        client.get(url, {"window": "7d"})


def test_without_a_click_there_is_no_chart_of_clicks(client, world):
    part = show(client, world, part=True, window="1h")
    assert "live-ctr" not in part
    assert "No click and no purchase was sent" in part
    path = f"/api/v1/deployments/{world.deployment.pk}/metrics?window=1h"
    told = client.get(path, headers={"X-Aisle-Shop": world.shop.slug}).json()
    assert told["feedback_bucket_s"] == 600
    assert [arm["feedback_over_time"] for arm in told["arms"]] == [[], []]


def test_a_shadow_is_called_one_and_compared_with_nobody(client, world):
    world.deployment.canary_weight_pct, world.deployment.canary_mirror_pct = 0, 25
    world.deployment.save()
    MetricPoint.objects.filter(release=world.deployment.canary).update(copies=10)
    point = MetricPoint.objects.get(release=world.deployment.stable)
    FeedbackPoint.objects.create(
        deployment=world.deployment,
        release=world.deployment.stable,
        width_s=2,
        at=point.at,
        seen=45,
        clicks=45,
    )
    part = show(client, world, part=True).replace("&quot;", '"')
    assert re.search(r'<tr data-arm="shadow"> <th scope="row"><span [^>]*></span> 2 shadow</th>', part)
    assert '"name":"Release 2 (shadow)"' in part
    assert '"color":"--shadow-arm-line"' in part
    assert "--canary-line" not in part
    assert "nobody sees its lists" in part
    assert "clicks than live" not in part
    # Once shoppers see it, its answers to copies of requests still count as lists of nobody.
    world.deployment.canary_weight_pct, world.deployment.canary_mirror_pct = 10, 0
    world.deployment.save()
    point.pk, point.release, point.requests, point.answers = None, world.deployment.canary, 5, 5
    point.at += timedelta(seconds=2)
    point.save()
    path = f"/api/v1/deployments/{world.deployment.pk}/metrics"
    arms = client.get(path, headers={"X-Aisle-Shop": world.shop.slug}).json()["arms"]
    assert [arm["feedback"]["exposures"] for arm in arms] == [90, 5]


def test_how_long_a_click_counts_is_set_by_whoever_manages_placements(client, world):
    assert 'href="?change=counting#counting"' in show(client, world, role="admin")
    page = show(client, world, role="admin", change="counting")
    assert 'http-equiv="refresh"' not in page, "what was typed would be gone"
    assert re.search(r'name="click_min" value="30"', page)
    assert re.search(r'name="purchase_h" value="24"', page)
    url = reverse("live_numbers", args=[world.shop.slug, world.deployment.pk])
    told = client.post(url, {"click_min": "7.5", "purchase_h": "48"}, follow=True).content.decode()
    assert "A click counts for the list within 7 min 30 s after the answer" in told.replace("\u00a0", " ")
    window = FeedbackWindow.objects.get(deployment=world.deployment)
    assert (window.click_s, window.purchase_s) == (450, 172_800)
    assert Event.objects.filter(verb="deployment.windows_set", object_id=world.deployment.pk).count() == 1
    for wrong in ({"click_min": "0.5", "purchase_h": "48"}, {"click_min": "5", "purchase_h": "721"}, {}):
        answer = client.post(url, wrong)
        assert answer.status_code == 422
        assert 'name="purchase_h"' in answer.content.decode()
    window.refresh_from_db()
    assert (window.click_s, window.purchase_s) == (450, 172_800)
    page = show(client, world, role="viewer", change="counting")
    assert "click_min" not in page
    assert "Ask one of: admin, operator." in page
    assert client.post(url, {"click_min": "5", "purchase_h": "5"}).status_code == 403


def test_another_shops_numbers_do_not_exist(client, world):
    other = make_world()
    client.force_login(world.admin.user)
    url = reverse("live_numbers", args=[world.shop.slug, other.deployment.pk])
    assert client.get(url).status_code == 404


def test_the_fragment_reads_little(client, world, django_assert_max_num_queries):
    show(client, world, part=True)
    url = reverse("live_numbers", args=[world.shop.slug, world.deployment.pk])
    with django_assert_max_num_queries(10):
        client.get(url, headers={"HX-Request": "true"})
