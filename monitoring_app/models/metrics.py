"""Measured points per release, from the gateways and the model servers."""

from django.db import models

from deployments_app.models import Deployment, Release
from portal.core.ids import PrefixedIdField


class ArmTotals(models.Model):
    """The last counters one gateway reported for one release, to take differences from."""

    id = PrefixedIdField("tot")
    agent_id = models.CharField(max_length=80)
    release = models.ForeignKey(Release, models.CASCADE, related_name="+")
    envoy_started_at = models.DateTimeField(null=True)  # counters begin again when it changes
    totals = models.JSONField(default=dict)
    reported_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["agent_id", "release"], name="one_total_an_arm")]

    def __str__(self) -> str:
        return f"{self.release} at {self.agent_id}"


class MetricPoint(models.Model):
    """What one release did in one bucket of time; buckets add up, histograms too."""

    BUCKET_S = 5

    id = models.BigAutoField(primary_key=True)
    deployment = models.ForeignKey(Deployment, models.CASCADE, related_name="+")
    release = models.ForeignKey(Release, models.CASCADE, related_name="+")
    at = models.DateTimeField()  # start of the bucket
    requests = models.BigIntegerField(default=0)
    errors = models.BigIntegerField(default=0)  # first attempts that failed
    fallbacks = models.BigIntegerField(default=0)
    empty = models.BigIntegerField(default=0)
    latency = models.JSONField(default=dict)  # upper bound in ms -> count in that bucket

    class Meta:
        constraints = [models.UniqueConstraint(fields=["release", "at"], name="one_point_a_bucket")]
        indexes = [models.Index(fields=["deployment", "at"])]

    def __str__(self) -> str:
        return f"{self.release} at {self.at:%H:%M:%S}"
