"""One attempt to make a release live, and the verdicts it is judged by."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from deployments_app.models.deployments import Deployment, Release
from deployments_app.models.promotions import Promotion
from portal.core.ids import PrefixedIdField
from portal.core.models import LeasedJob, Shop, User

ACTIVE = ("pending", "progressing", "paused")


class Rollout(LeasedJob):
    """A promotion on its way to all shoppers, or a rollback to an earlier release: one path, one page."""

    STATUSES = ("pending", "progressing", "paused", "succeeded", "failed", "aborted")
    TRANSITIONS = {
        "pending": {"progressing", "failed", "aborted"},
        "progressing": {"paused", "succeeded", "failed", "aborted"},
        "paused": {"progressing", "failed", "aborted"},
        "succeeded": set(),
        "failed": set(),
        "aborted": set(),
    }
    CLAIMABLE = ("pending", "progressing", "paused")
    RUNNING = "progressing"
    QUEUE = "deploy"
    MAX_ATTEMPTS = None
    TASK = "deployments_app.advance_rollout"

    id = PrefixedIdField("rol")
    shop = models.ForeignKey(Shop, models.CASCADE, related_name="+")
    deployment = models.ForeignKey(Deployment, models.PROTECT, related_name="rollouts")
    kind = models.CharField(max_length=8, choices=[(v, v) for v in ("promote", "rollback")])
    release = models.ForeignKey(Release, models.PROTECT, related_name="rollouts")  # where it goes
    from_release = models.ForeignKey(Release, models.PROTECT, null=True, related_name="+")  # what was stable
    promotion = models.ForeignKey(Promotion, models.PROTECT, null=True, related_name="rollouts")
    status = models.CharField(max_length=12, default="pending")
    reason = models.CharField(max_length=300, blank=True)  # the finer phase, in words
    plan = models.JSONField(default=dict)  # {"steps": [...], "checks": {...}, "max_wait_s": …}
    step = models.PositiveSmallIntegerField(default=0)  # index into the steps
    weight_pct = models.PositiveSmallIntegerField(default=0)
    salt = models.CharField(max_length=40)
    step_started_at = models.DateTimeField(null=True, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True)  # when a person paused it; null if Aisle did
    created_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    note = models.TextField(blank=True)  # why somebody rolled back, told afterwards
    received_at = models.DateTimeField(null=True, blank=True)  # when the click arrived
    measured = models.JSONField(
        default=dict, blank=True
    )  # rollback: last_other_answer_ms, routes_running_ms …

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["deployment"], condition=Q(status__in=ACTIVE), name="one_active_rollout_a_deployment"
            )
        ]
        indexes = [models.Index(fields=["deployment", "-created_at"]), models.Index(fields=["due_at"])]

    def __str__(self) -> str:
        word = "Rollback" if self.kind == "rollback" else "Rollout"
        return f"{word} to release {self.release.number}"


class AnalysisVerdict(models.Model):
    """What was measured at one step, and what follows from it. Handed over by the monitoring stage."""

    id = PrefixedIdField("ver")
    rollout = models.ForeignKey(Rollout, models.CASCADE, related_name="verdicts")
    step = models.PositiveSmallIntegerField()
    verdict = models.CharField(max_length=16)  # pass, fail, inconclusive, not_enough_data
    checks = models.JSONField(
        default=list
    )  # [{name, label, verdict, value, stable, threshold, unit, n, sentence}]
    created_at = models.DateTimeField(default=timezone.now)
    measured_at = models.DateTimeField(default=timezone.now)  # last time that this verdict was found

    class Meta:
        indexes = [models.Index(fields=["rollout", "-created_at"])]

    def __str__(self) -> str:
        return f"{self.verdict} at step {self.step + 1}"
