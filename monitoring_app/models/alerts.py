"""What is wrong now and wants somebody's eye."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from deployments_app.models import Deployment, Release
from portal.core.ids import PrefixedIdField
from portal.core.models import Shop, User, Versioned


class Alert(Versioned):
    """One trouble of one placement, from when it was found until it was found gone."""

    STATUSES = ("firing", "acknowledged", "resolved")
    TRANSITIONS = {
        "firing": {"acknowledged", "resolved"},
        "acknowledged": {"resolved"},
        "resolved": set(),
    }

    id = PrefixedIdField("alr")
    shop = models.ForeignKey(Shop, models.CASCADE, related_name="+")
    deployment = models.ForeignKey(Deployment, models.CASCADE, related_name="+")
    release = models.ForeignKey(Release, models.CASCADE, null=True, related_name="+")  # whose trouble it is
    kind = models.CharField(max_length=20)  # consistency, live_checks
    status = models.CharField(max_length=12, default="firing")
    sentence = models.CharField(max_length=400)
    created_at = models.DateTimeField(default=timezone.now)
    acknowledged_by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    resolved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["deployment", "kind"], condition=~Q(status="resolved"), name="one_open_alert_a_kind"
            )
        ]
        indexes = [models.Index(fields=["shop", "status", "-created_at"])]

    def __str__(self) -> str:
        return f"{self.kind} alert of {self.deployment}"
