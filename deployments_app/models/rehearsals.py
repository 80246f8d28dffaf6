"""A rollback tried on nobody: the whole way from the press to the gateways, measured."""

from django.db import models
from django.utils import timezone

from deployments_app.models.deployments import Deployment, Release
from portal.core.ids import PrefixedIdField
from portal.core.models import Shop, User


class Rehearsal(models.Model):
    """For a few seconds every gateway answers its own probes as after a rollback; shoppers notice nothing."""

    id = PrefixedIdField("reh")
    shop = models.ForeignKey(Shop, models.CASCADE, related_name="+")
    deployment = models.ForeignKey(Deployment, models.CASCADE, related_name="rehearsals")
    from_release = models.ForeignKey(Release, models.PROTECT, related_name="+")
    to_release = models.ForeignKey(Release, models.PROTECT, related_name="+")
    received_at = models.DateTimeField()  # when the press arrived
    measured = models.JSONField(default=dict, blank=True)  # as a rollback's
    created_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            models.Index(fields=["deployment", "-created_at"]),
            models.Index(fields=["received_at"]),
        ]

    def __str__(self) -> str:
        return f"Rehearsal of a rollback to {self.to_release}"
