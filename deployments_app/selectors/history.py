"""What was live when, and by whose approval."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from deployments_app.models import Deployment, Rehearsal, Release, Rollout
from portal.core.models import Event

KEPT = 400  # periods read at most


@dataclass(frozen=True)
class Period:
    """For how long one release was everybody's. until None: it still is."""

    release: Release
    rollout: Rollout
    since: datetime
    until: datetime | None
    approved_by: tuple[str, ...]


@dataclass(frozen=True)
class Moment:
    """Who got what at one moment. period None: nothing served everybody then."""

    at: datetime
    period: Period | None
    canary: Release | None = None
    canary_weight_pct: int = 0


def periods(deployment: Deployment) -> list[Period]:
    """List the releases that served everybody here, newest first, without gaps."""
    rows = (
        Rollout.objects.filter(deployment=deployment)
        .filter(Q(kind="promote", status="succeeded") | Q(kind="rollback", step_started_at__isnull=False))
        .select_related("release__model_version__registered_model", "created_by")
        .order_by("-created_at")[:KEPT]
    )
    switches = sorted(((_switched_at(row), row) for row in rows), key=lambda each: each[0], reverse=True)
    found: list[Period] = []
    until: datetime | None = None
    for since, row in switches:
        found.append(Period(row.release, row, since, until, tuple(row.release.approved_by)))
        until = since
    return found


def moment(deployment: Deployment, at: datetime, known: Sequence[Period] | None = None) -> Moment:
    """Find what a shopper got at that moment."""
    known = periods(deployment) if known is None else known
    period = next((each for each in known if each.since <= at), None)
    ramp = (
        Rollout.objects.filter(deployment=deployment, kind="promote", created_at__lte=at)
        .filter(Q(finished_at=None) | Q(finished_at__gt=at))
        .select_related("release")
        .order_by("-created_at")
        .first()
    )
    if ramp is None:
        return Moment(at, period)
    told = (
        Event.objects.filter(object_id=ramp.pk, created_at__lte=at, data__has_key="weight_pct")
        .order_by("-created_at")
        .values_list("data", flat=True)
        .first()
    )
    weight = int(told["weight_pct"]) if told else 0
    return Moment(at, period, ramp.release if weight else None, weight)


def last_rehearsal(deployment: Deployment) -> Rehearsal | None:
    """The newest rehearsal of a rollback here."""
    return deployment.rehearsals.select_related("to_release", "created_by").order_by("-created_at").first()


def _switched_at(rollout: Rollout) -> datetime:
    """Tell when a rollout's release became everybody's: a rollback at once, a promotion at its end."""
    began = rollout.step_started_at if rollout.kind == "rollback" else rollout.finished_at
    return began or rollout.created_at
