"""From reports to points: differences, restarts, unknown releases, races."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from deployments_app.gateway_report import ArmReport, Pairs, Report
from deployments_app.models import Deployment, Environment, Release, Rollout
from models_app.models import Dataset, DatasetVersion, ModelVersion, RegisteredModel, TrainingRun
from monitoring_app.models import Collector, MetricPoint
from monitoring_app.selectors import numbers_since, pairs_of, series
from monitoring_app.services.metrics import ingest_gateway_report
from monitoring_app.services.sweeping import prune_points
from monitoring_app.sources.embedded import totals_of
from portal.core.testing import at_once, make_shop

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def release():
    shop = make_shop()
    dataset = Dataset.objects.create(shop=shop, name="ratings")
    data = DatasetVersion.objects.create(shop=shop, dataset=dataset, number=1, status="ready")
    model = RegisteredModel.objects.create(shop=shop, name="main")
    run = TrainingRun.objects.create(
        shop=shop,
        group="g",
        dataset_version=data,
        registered_model=model,
        algorithm="als",
        status="succeeded",
    )
    version = ModelVersion.objects.create(
        registered_model=model,
        number=1,
        run=run,
        artifact_digest="0" * 64,
        size_bytes=1,
        algorithm="als",
        card="",
    )
    environment = Environment.objects.create(shop=shop, slug="production", name="Production")
    deployment = Deployment.objects.create(shop=shop, environment=environment, slug="home", name="Home")
    return Release.objects.create(
        deployment=deployment, number=1, model_version=version, artifact_digest="0" * 64
    )


def report(release_id, requests, errors=0, since="s1", agent="agent-1"):
    arm = ArmReport("dep", release_id, requests, errors, 0, 0, ((5.0, requests // 2), (10.0, requests)))
    now = timezone.now().isoformat()
    return Report(agent, "env", now, since, "v", now, (arm,))


def total(release):
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    return numbers_since(release.pk, moment, moment)


def test_points_hold_the_differences_between_reports(release):
    for requests in (10, 25, 25):
        assert ingest_gateway_report(report(release.pk, requests)) == [release.deployment_id]
    numbers = total(release)
    assert numbers.requests == 25
    assert sum(numbers.latency.values()) == 25
    assert Collector.objects.filter(deployment_id=release.deployment_id).count() == 1


def test_points_lie_where_the_database_has_them_whatever_the_time_of_the_host(release, monkeypatch):
    """A step begins by the database's clock, so what was measured in it must be found by the same."""
    right = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: right() - timedelta(hours=1))
    ingest_gateway_report(report(release.pk, 10))
    fine = MetricPoint.objects.get(width_s=2)
    assert abs((right() - fine.at).total_seconds()) < 60


def test_an_agent_that_starts_again_counts_from_zero_and_loses_nothing(release):
    ingest_gateway_report(report(release.pk, 100))
    ingest_gateway_report(report(release.pk, 7, since="s2"))
    assert total(release).requests == 107


def test_comparisons_add_up_over_gateways_and_restarts_and_strangers_are_left_out(release):
    rollout = Rollout.objects.create(
        shop=release.deployment.shop, deployment=release.deployment, kind="promote", release=release, salt="s"
    )
    for asked, agent, since in ((10, "one", "s1"), (12, "one", "s1"), (5, "two", "s1"), (3, "one", "s2")):
        pairs = Pairs(rollout.pk, asked=asked, answered=asked, overlap=asked / 2)
        ingest_gateway_report(
            replace(report(release.pk, 0, since=since, agent=agent), pairs=(pairs, Pairs("rol_unknown", 9)))
        )
    assert pairs_of(rollout.pk) == Pairs(rollout.pk, asked=20, answered=20, overlap=10.0)


def test_two_gateways_add_up(release):
    ingest_gateway_report(report(release.pk, 10, agent="agent-1"))
    ingest_gateway_report(report(release.pk, 20, agent="agent-2"))
    assert total(release).requests == 30


def test_the_same_report_from_eight_threads_counts_once(release):
    ingest_gateway_report(report(release.pk, 1))
    results = at_once(8, lambda _: ingest_gateway_report(report(release.pk, 50)))
    assert not [result for result in results if isinstance(result, Exception)]
    assert total(release).requests == 50


def test_a_release_nobody_knows_is_passed_over(release):
    assert ingest_gateway_report(report("rel_unknown", 10)) == []
    assert not MetricPoint.objects.exists()


def test_series_show_rates_by_release(release):
    ingest_gateway_report(report(release.pk, 100, errors=10))
    now = timezone.now() + timedelta(seconds=4)
    (arm,) = series(release.deployment, 300, now)
    assert arm.number == 1
    assert sum(arm.per_second) * 2 == pytest.approx(100)
    assert max(value for value in arm.error_pct if value is not None) == pytest.approx(10)


def test_old_points_are_pruned_by_their_width(release):
    ingest_gateway_report(report(release.pk, 100))
    prune_points(release.deployment_id, timezone.now() + timedelta(days=2))
    assert set(MetricPoint.objects.values_list("width_s", flat=True)) == {60}


def test_a_model_servers_counters_are_read_from_prometheus_text():
    text = """# TYPE aisle_recommendations_total counter
aisle_recommendations_total{endpoint="list",variant="canary",served_by="als",outcome="ok"} 60.0
aisle_recommendations_total{endpoint="list",variant="shadow",served_by="als",outcome="ok"} 30.0
aisle_recommendations_total{endpoint="list",variant="canary",served_by="popularity",outcome="ok"} 10.0
aisle_recommendations_total{endpoint="batch",variant="canary",served_by="popularity",outcome="ok"} 1000.0
aisle_recommendations_total{endpoint="inference",variant="shadow",served_by="als",outcome="empty"} 500.0
# TYPE aisle_fallback_total counter
aisle_fallback_total{endpoint="list",reason="unknown_user"} 10.0
aisle_fallback_total{endpoint="list",reason="arm_failed"} 7.0
aisle_fallback_total{endpoint="batch",reason="unknown_user"} 1000.0
# TYPE aisle_empty_total counter
aisle_empty_total{endpoint="list"} 2.0
aisle_empty_total{endpoint="inference"} 500.0
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1.7e9
"""
    totals = totals_of(text, "rel_1", "127.0.0.1:1")
    assert totals.counts == {"answers": 100, "fallbacks": 10, "empty": 2, "copies": 30}
    assert totals.counting_since == "1700000000.00"
