"""Where things run, and what it takes to get there."""

from typing import Any

from django.db import models
from django.utils import timezone

from deployments_app.plan_rules import DEFAULT_PLAN
from portal.core.ids import PrefixedIdField
from portal.core.models import Leased, Shop


class Environment(Leased):
    """Where it runs, by which backend, and how many approvals it asks.

    In a cluster it has gateways of its own, which are reconciled like the servers of releases.
    """

    QUEUE = "deploy"
    MAX_ATTEMPTS = None
    TASK = "deployments_app.reconcile_environment"

    id = PrefixedIdField("env")
    shop = models.ForeignKey(Shop, models.CASCADE, related_name="environments")
    slug = models.SlugField(max_length=40)
    name = models.CharField(max_length=80)
    backend = models.CharField(max_length=20, default="local")
    namespace = models.CharField(max_length=63, blank=True)  # of the cluster; local servers have none
    min_approvals = models.PositiveSmallIntegerField(default=1)
    blocking_gates = models.JSONField(default=list, blank=True)  # gates that nobody can argue away
    default_plan = models.JSONField(
        default=dict, blank=True
    )  # steps of a rollout unless the request says otherwise
    keep_warm_s = models.PositiveIntegerField(
        default=2 * 86_400
    )  # how long the last good release stays loaded
    # What was last seen of its own gateways; the one of the local stack is nobody's.
    gateways_ready = models.PositiveSmallIntegerField(default=0)
    gateways_reason = models.CharField(max_length=300, blank=True)
    gateways_address = models.CharField(max_length=300, blank=True)
    gateways_seen_at = models.DateTimeField(null=True, blank=True)
    removed_at = models.DateTimeField(null=True, blank=True)  # the row goes after its gateways
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["shop", "slug"],
                condition=models.Q(removed_at__isnull=True),
                name="one_environment_a_slug",
            ),
            models.CheckConstraint(condition=models.Q(min_approvals__gte=1), name="somebody_approves"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def plan(self) -> dict[str, Any]:
        """How a rollout goes here unless its request says otherwise."""
        return self.default_plan or DEFAULT_PLAN.to_json()

    @property
    def gateway_scope(self) -> str:
        """Whose routes its gateways ask for: their own, or those of all environments that share them."""
        return self.pk if self.namespace else self.backend


class Gateway(models.Model):
    """One Envoy and its agent, as last reported: which routes it runs."""

    id = PrefixedIdField("gwy")
    agent_id = models.CharField(max_length=80, unique=True)
    scope = models.CharField(max_length=40, default="local")  # what its routes are of
    running_version = models.CharField(max_length=64, blank=True)
    started_at = models.DateTimeField(null=True)
    reported_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.agent_id
