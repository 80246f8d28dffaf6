"""Whether what is served is what was registered."""

from django.db import models
from django.utils import timezone

from deployments_app.models import Deployment, Release
from portal.core.ids import PrefixedIdField
from portal.core.models import Leased


class ConsistencyWatch(Leased):
    """Compares one deployment's servers with the registry, after each change of what serves and hourly."""

    QUEUE = "light"
    MAX_ATTEMPTS = None
    TASK = "monitoring_app.check_consistency"

    id = PrefixedIdField("cow")
    deployment = models.OneToOneField(Deployment, models.CASCADE, related_name="+")
    checked_for = models.CharField(max_length=100, blank=True)  # the releases that served when it last did
    is_asked = models.BooleanField(default=False)  # a person wants to know now
    silent = models.JSONField(default=list)  # servers that could not be compared, as `silence` writes them

    def __str__(self) -> str:
        return f"consistency of {self.deployment}"


class ConsistencyCheck(models.Model):
    """One release's servers against the registry: the same sampled shoppers, asked of every one of them."""

    id = PrefixedIdField("chk")
    deployment = models.ForeignKey(Deployment, models.CASCADE, related_name="+")
    release = models.ForeignKey(Release, models.CASCADE, related_name="+")
    trigger = models.CharField(max_length=10)  # change, hourly, person
    servers = models.PositiveSmallIntegerField()  # that answered
    shoppers = models.PositiveSmallIntegerField()
    k = models.PositiveSmallIntegerField()
    compared = models.PositiveIntegerField()  # lists
    agreeing = models.PositiveIntegerField()  # of these, the same as the registry's
    # [{server, sentence, shopper, expected: [ids], served: [ids]}]; shopper null: about the whole server
    differences = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            models.Index(fields=["deployment", "-created_at"]),
            models.Index(fields=["release", "-created_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.agreeing} of {self.compared} lists of {self.release}"

    @property
    def is_consistent(self) -> bool:
        return not self.differences and self.agreeing == self.compared
