"""What gateways report: which routes they run, and how long a rollback took to reach shoppers."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from deployments_app.gateway_report import Report, WatchReport
from deployments_app.gateway_wire import parse_time
from deployments_app.models import Deployment, Gateway, Rehearsal, Rollout
from deployments_app.routing import routes_for_gateway
from deployments_app.selectors import live_gateways
from deployments_app.services.timings import summarise
from portal.core.clock import database_now
from portal.core.dispatch import enqueue_on_commit
from portal.core.jobs import wake_fields

MEASURED_FOR = timedelta(minutes=10)  # reports on a rollback are taken for so long


def may_report(only: str, report: Report) -> bool:
    """Tell whether an agent that serves one environment speaks of nothing else; `only` empty: it may."""
    if not only:
        return True
    told = {arm.deployment_id for arm in report.arms}
    own = Deployment.objects.filter(environment_id=only, pk__in=told).values_list("pk", flat=True)
    return report.environment in (only, "unknown") and told == set(own)


def record_gateway_report(report: Report) -> Report:
    """Note what a gateway runs and measured; returns the report, whose counts the next stage takes."""
    started = parse_time(report.envoy_started_at, "envoy_started_at") if report.envoy_started_at else None
    Gateway.objects.update_or_create(
        agent_id=report.agent_id,
        defaults={
            "scope": report.environment[:40],
            "running_version": report.envoy_version_running or "",
            "started_at": started,
            "reported_at": database_now(),
        },
    )
    for watch in report.watches:
        record_gateway_measure(watch.rollout_id, report.agent_id, watch)
    return report


def record_gateway_measure(rollout_id: str, agent_id: str, watch: WatchReport) -> None:
    """Store what one gateway measured of a rollback; the last word of each gateway counts."""
    with transaction.atomic():
        fresh = {"pk": rollout_id, "received_at__gt": timezone.now() - MEASURED_FOR}
        rollout: Rollout | Rehearsal | None = (
            Rollout.objects.select_for_update(no_key=True).filter(kind="rollback", **fresh).first()
            or Rehearsal.objects.select_for_update(no_key=True).filter(**fresh).first()
        )
        if rollout is None:
            return
        gateways: dict[str, Any] = {
            **rollout.measured.get("gateways", {}),
            agent_id: {
                "last_other_answer_ms": watch.last_other_answer_ms,
                "routes_running_ms": watch.routes_running_ms,
                "probes": watch.probes,
                "errors": watch.errors,
            },
        }
        measured = summarise(gateways)
        if measured == rollout.measured:
            return
        if isinstance(rollout, Rehearsal):
            Rehearsal.objects.filter(pk=rollout.pk).update(measured=measured)
            return
        # One UPDATE: after a second one in the same transaction PostgreSQL would check the row's references
        # at commit, and so want the deployment after the rollout: the wrong way round.
        is_awaited = rollout.status == "progressing"
        Rollout.objects.filter(pk=rollout.pk).update(
            measured=measured, **(wake_fields() if is_awaited else {})
        )
        if is_awaited:
            enqueue_on_commit(rollout)


def gateways_running(rollout: Rollout, now: datetime) -> tuple[int, tuple[str, ...]]:
    """Count live gateways that run a rollback's routes, and name those that do not yet.

    A gateway runs them if it measured when they came into force, or if it runs the newest routes of all.
    """
    told = Rollout.objects.values_list("measured", flat=True).get(pk=rollout.pk).get("gateways", {})
    environment = rollout.deployment.environment
    newest = routes_for_gateway(environment.gateway_scope).version
    live = list(live_gateways(environment, now))
    waiting = [
        gateway.agent_id
        for gateway in live
        if told.get(gateway.agent_id, {}).get("routes_running_ms") is None
        and gateway.running_version != newest
    ]
    return len(live) - len(waiting), tuple(waiting)
