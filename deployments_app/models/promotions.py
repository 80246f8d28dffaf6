"""The change request, and what people say to it."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from deployments_app.models.deployments import Deployment, Release
from models_app.models import ModelVersion
from portal.core.ids import PrefixedIdField
from portal.core.models import Shop, User, Versioned


class Promotion(Versioned):
    """This version, to that deployment of that environment, on this evidence, by this plan."""

    STATUSES = ("open", "approved", "applied", "rejected", "withdrawn", "superseded")
    TRANSITIONS = {
        "open": {"approved", "rejected", "withdrawn", "superseded"},
        "approved": {"applied", "withdrawn", "superseded"},
        "applied": set(),
        "rejected": set(),
        "withdrawn": set(),
        "superseded": set(),
    }

    id = PrefixedIdField("pro")
    shop = models.ForeignKey(Shop, models.CASCADE, related_name="+")
    deployment = models.ForeignKey(Deployment, models.PROTECT, related_name="promotions")
    model_version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="promotions")
    status = models.CharField(max_length=12, default="open")
    requested_by = models.ForeignKey(User, models.PROTECT, related_name="+")
    comment = models.TextField(blank=True)
    plan = models.JSONField(
        default=dict
    )  # {"steps": [{"weight_pct", "hold_s", "min_answers"}], "max_wait_s"}
    evidence = models.JSONField(default=dict)  # frozen at the request: metrics, verdicts, gates, shelves
    evidence_sha256 = models.CharField(max_length=64)
    artifact_digest = models.CharField(max_length=64)  # what is approved is exactly this
    champion = models.ForeignKey(
        Release, models.PROTECT, null=True, related_name="+"
    )  # live when it was asked
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["deployment", "model_version"],
                condition=Q(status__in=["open", "approved"]),
                name="one_open_request_a_version",
            )
        ]
        indexes = [models.Index(fields=["shop", "status", "-created_at"])]

    def __str__(self) -> str:
        return f"{self.model_version} to {self.deployment.name}"


class Review(models.Model):
    """One person's word on a promotion. Four eyes: the requester's never counts (checked by trigger, too)."""

    id = PrefixedIdField("rev")
    promotion = models.ForeignKey(Promotion, models.CASCADE, related_name="reviews")
    reviewer = models.ForeignKey(User, models.PROTECT, related_name="+")
    verdict = models.CharField(max_length=8, choices=[(v, v) for v in ("approve", "reject", "comment")])
    comment = models.TextField(blank=True)
    # What was approved, repeated here so that the row proves it alone.
    artifact_digest = models.CharField(max_length=64)
    evidence_sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["promotion", "reviewer"],
                condition=Q(verdict__in=["approve", "reject"]),
                name="one_verdict_a_person",
            )
        ]

    def __str__(self) -> str:
        return f"{self.reviewer.label}: {self.verdict}"
