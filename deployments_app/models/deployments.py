"""Stable placements, their numbered releases, and the servers that run them."""

import secrets

from django.db import models
from django.utils import timezone

from deployments_app.models.environments import Environment
from models_app.models import ModelVersion
from portal.core.ids import PrefixedIdField
from portal.core.models import Leased, Shop, User


def new_nonce() -> str:
    """Make a number that was never used before."""
    return secrets.token_hex(8)


class Deployment(Leased):
    """The stable identity of a placement ("home"): who serves it now, and in which shares.

    `stable` gets what the canary does not; the previous good release stays warm. These columns are the
    routes: they change in the same transaction as the decision, and every gateway's agent fetches them.
    """

    QUEUE = "deploy"
    MAX_ATTEMPTS = None
    TASK = "deployments_app.reconcile_deployment"

    id = PrefixedIdField("dep")
    shop = models.ForeignKey(Shop, models.CASCADE, related_name="+")
    environment = models.ForeignKey(Environment, models.PROTECT, related_name="deployments")
    slug = models.SlugField(max_length=40)
    name = models.CharField(max_length=80)
    is_open = models.BooleanField(default=False)  # True: served without a key; its page says so
    stable = models.ForeignKey("Release", models.PROTECT, null=True, blank=True, related_name="+")
    canary = models.ForeignKey("Release", models.PROTECT, null=True, blank=True, related_name="+")
    canary_weight_pct = models.PositiveSmallIntegerField(default=0)
    canary_mirror_pct = models.PositiveSmallIntegerField(default=0)  # copies of requests, answers unseen
    salt = models.CharField(
        max_length=40, blank=True
    )  # new for every rollout, else the same shoppers are every canary
    last_good = models.ForeignKey("Release", models.PROTECT, null=True, blank=True, related_name="+")
    last_good_until = models.DateTimeField(null=True, blank=True)  # warm until then
    live_since = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    active_rollout_id: str | None  # not columns: selectors.deployments annotates these two
    known_shoppers: int | None

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["shop", "slug"], name="one_deployment_a_slug"),
            models.CheckConstraint(condition=models.Q(canary_weight_pct__lte=100), name="weight_is_a_share"),
            models.CheckConstraint(condition=models.Q(canary_mirror_pct__lte=100), name="mirror_is_a_share"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def canary_role(self) -> str:
        """Say what the new release is: a shadow as long as it only answers copies of requests."""
        return "shadow" if self.canary_mirror_pct and not self.canary_weight_pct else "canary"


class Release(models.Model):
    """Numbered and immutable: a model version and its configuration, at one deployment."""

    id = PrefixedIdField("rel")
    deployment = models.ForeignKey(Deployment, models.PROTECT, related_name="releases")
    number = models.PositiveIntegerField()
    model_version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="releases")
    config = models.JSONField(default=dict)
    artifact_digest = models.CharField(max_length=64)
    approved_by = models.JSONField(default=list)  # labels, as they were
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["deployment", "number"], name="one_release_a_number")]

    def __str__(self) -> str:
        return f"release {self.number}"


class Workload(models.Model):
    """The servers of one release: whether they are wanted, and what the backend last saw."""

    release = models.OneToOneField(Release, models.CASCADE, primary_key=True, related_name="workload")
    is_wanted = models.BooleanField(default=True)  # False: out of the routes, about to be removed
    unwanted_since = models.DateTimeField(null=True, blank=True)
    replicas = models.PositiveSmallIntegerField(default=1)
    ready = models.PositiveSmallIntegerField(default=0)
    # "host:port" of ready servers; while none is ready, of the last that were: they come back there, and
    # until then the gateway asks the stable release.
    endpoints = models.JSONField(default=list)
    # "name:port" that leads to the ready ones and that the cluster keeps current; the gateway prefers it.
    service = models.CharField(max_length=300, blank=True)
    # Part of the signature of the artifact's address: a new one takes back all addresses given out before.
    artifact_nonce = models.CharField(max_length=32, default=new_nonce, editable=False)
    reason = models.CharField(max_length=300, blank=True)
    log = models.TextField(blank=True)  # its last lines, while servers end by themselves
    restarts = models.PositiveIntegerField(default=0)
    observed_at = models.DateTimeField(null=True)
    not_ready_since = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"servers of {self.release}"

    @property
    def is_ready(self) -> bool:
        return self.ready >= self.replicas


class ServingKey(models.Model):
    """A key that lets a shop's site ask one deployment. Only its public half is kept."""

    id = PrefixedIdField("key")
    deployment = models.ForeignKey(Deployment, models.CASCADE, related_name="keys")
    name = models.CharField(max_length=80)
    kid = models.CharField(max_length=80, unique=True)
    public_jwk = models.JSONField()
    created_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name
