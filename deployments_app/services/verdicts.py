"""What the measuring stage hands over: verdicts on a step. No verdict yet means: wait."""

from typing import Any

from django.db import transaction

from deployments_app.models import AnalysisVerdict, Rollout
from deployments_app.models.rollouts import ACTIVE
from portal.core.clock import database_now
from portal.core.dispatch import enqueue_on_commit
from portal.core.errors import InvalidInput
from portal.core.jobs import wake_fields

VERDICTS = ("pass", "fail", "inconclusive", "not_enough_data")


def record_verdict(
    rollout_id: str, step: int, verdict: str, checks: list[dict[str, Any]]
) -> AnalysisVerdict | None:
    """Store a verdict on a rollout's present step; None if the rollout has moved on.

    checks: [{name, label, verdict, value, stable, threshold, unit, n, sentence}]; the sentence of the first
    check with the overall verdict is the reason people read. A check named "answers" carries how many
    answers the canary (`value`) and the stable release (`stable`) gave in this step.
    The same verdict again only renews the last row, so that the history shows changes.
    """
    if verdict not in VERDICTS:
        raise InvalidInput(f"A verdict is one of {', '.join(VERDICTS)}, not {verdict[:40]!r}.")
    with transaction.atomic():
        rollout = (
            Rollout.objects.select_for_update(no_key=True).filter(pk=rollout_id, status__in=ACTIVE).first()
        )
        if rollout is None or rollout.step != step or rollout.step_started_at is None:
            return None
        now = database_now()
        last = rollout.verdicts.filter(step=step).order_by("-created_at").first()
        if last is not None and last.verdict == verdict:
            last.checks, last.measured_at = checks, now
            last.save(update_fields=["checks", "measured_at"])
            return last
        found = AnalysisVerdict.objects.create(
            rollout=rollout, step=step, verdict=verdict, checks=checks, created_at=now, measured_at=now
        )
        if verdict == "fail":  # every second counts: shoppers see it
            Rollout.objects.filter(pk=rollout.pk).update(**wake_fields())
            enqueue_on_commit(rollout)
    return found


def record_watch(rollout: Rollout, verdict: str, checks: list[dict[str, Any]]) -> AnalysisVerdict:
    """Store what was found after a rollout succeeded, as a verdict on the step after its last one."""
    step = len(rollout.plan.get("steps", ()))
    now = database_now()
    with transaction.atomic():
        Rollout.objects.select_for_update(no_key=True).get(pk=rollout.pk)  # two reports at once: one row
        last = rollout.verdicts.filter(step=step).order_by("-created_at").first()
        if last is not None and last.verdict == verdict:
            last.checks, last.measured_at = checks, now
            last.save(update_fields=["checks", "measured_at"])
            return last
        return AnalysisVerdict.objects.create(
            rollout=rollout, step=step, verdict=verdict, checks=checks, created_at=now, measured_at=now
        )
