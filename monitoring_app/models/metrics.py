"""Measured points per release, from the gateways and the model servers."""

from typing import ClassVar

from django.db import models

from deployments_app.models import Deployment, Release, Rollout
from monitoring_app.buckets import COARSE_S, FINE_S
from portal.core.ids import PrefixedIdField
from portal.core.models import Leased


class SourceTotals(models.Model):
    """The last counters that one source reported for one release, to take differences from."""

    id = PrefixedIdField("tot")
    source = models.CharField(max_length=120)  # an agent's id, or a model server's address
    release = models.ForeignKey(Release, models.CASCADE, related_name="+")
    counting_since = models.CharField(max_length=128)  # the counters began again at 0 when it changes
    totals = models.JSONField(default=dict)
    reported_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "release"], name="one_total_a_source")]

    def __str__(self) -> str:
        return f"{self.release} at {self.source}"


class MetricPoint(models.Model):
    """What one release did in one bucket of time; counts and histograms of buckets add up."""

    # Width of a bucket in seconds -> how long it is kept, in days.
    RETENTION_DAYS: ClassVar[dict[int, int]] = {FINE_S: 1, COARSE_S: 90}

    id = models.BigAutoField(primary_key=True)
    deployment = models.ForeignKey(Deployment, models.CASCADE, related_name="+")
    release = models.ForeignKey(Release, models.CASCADE, related_name="+")
    width_s = models.PositiveSmallIntegerField()
    at = models.DateTimeField()  # start of the bucket
    requests = models.BigIntegerField(default=0)  # answered, by the arm they were assigned to
    errors = models.BigIntegerField(default=0)  # first attempts that failed
    answers = models.BigIntegerField(default=0)  # lists that this release's servers made
    fallbacks = models.BigIntegerField(default=0)  # of these, by popularity
    empty = models.BigIntegerField(default=0)  # of these, without an item
    copies = models.BigIntegerField(default=0)  # of these, to copies of requests: nobody saw them
    latency = models.JSONField(default=dict)  # upper bound in ms (text) -> answers in that bucket

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["release", "width_s", "at"], name="one_point_a_bucket")
        ]
        indexes = [models.Index(fields=["deployment", "width_s", "at"])]

    def __str__(self) -> str:
        return f"{self.release} at {self.at:%H:%M:%S}"


class PairTotals(models.Model):
    """The last sums that one gateway's agent reported of comparing a shadow with stable."""

    id = PrefixedIdField("par")
    source = models.CharField(max_length=128)  # an agent's id
    counting_since = models.CharField(max_length=128)  # a restarted agent counts from 0: a row of its own
    rollout = models.ForeignKey(Rollout, models.CASCADE, related_name="+")
    sums = models.JSONField(default=dict)
    reported_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["rollout", "source", "counting_since"], name="one_sum_a_counting_agent"
            )
        ]

    def __str__(self) -> str:
        return f"pairs of {self.rollout} at {self.source}"


class Collector(Leased):
    """Asks the model servers of one deployment for their counters, again and again."""

    QUEUE = "light"
    MAX_ATTEMPTS = None
    TASK = "monitoring_app.collect"

    id = PrefixedIdField("col")
    deployment = models.OneToOneField(Deployment, models.CASCADE, related_name="+")
    collected_at = models.DateTimeField(null=True)
    silent = models.JSONField(default=list)  # servers that did not answer last time, as `silence` writes them

    def __str__(self) -> str:
        return f"collector of {self.deployment}"
