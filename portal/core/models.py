"""Tenants, people, tokens, the audit chain, idempotency keys, and what every job row carries."""

from datetime import timedelta
from typing import ClassVar

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from portal.core.ids import PrefixedIdField


class User(AbstractUser):
    """A person who signs in; roles come from memberships, never from the flags of this row."""

    id = PrefixedIdField("usr")
    email = models.EmailField(unique=True)

    USERNAME_FIELD = "username"

    @property
    def label(self) -> str:
        return self.get_full_name() or self.username


class Role(models.TextChoices):
    VIEWER = "viewer"
    ANALYST = "analyst"
    APPROVER = "approver"
    OPERATOR = "operator"
    ADMIN = "admin"


class Shop(models.Model):
    """The tenant: data, models, deployments and tokens belong to one shop."""

    id = PrefixedIdField("shp")
    slug = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=80)
    currency = models.CharField(max_length=3, default="EUR")
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """One person's role in one shop."""

    id = PrefixedIdField("mem")
    shop = models.ForeignKey(Shop, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["shop", "user"], name="one_membership_a_shop")]

    def __str__(self) -> str:
        return f"{self.user} is {self.role} of {self.shop}"


class ApiToken(models.Model):
    """A bearer token of one shop: only the SHA-256 of its secret is kept.

    It acts for the person who made it, within its scopes and that person's role, and never approves.
    """

    id = PrefixedIdField("tok")
    shop = models.ForeignKey(Shop, models.CASCADE, related_name="tokens")
    created_by = models.ForeignKey(User, models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=80)
    secret_sha256 = models.CharField(max_length=64, unique=True)
    last_four = models.CharField(max_length=4)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    last_used_ip = models.GenericIPAddressField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.name} (…{self.last_four})"


class Event(models.Model):
    """Who did what to which object, from which status to which, and why. Append-only.

    `seq`, `prev_hash` and `hash` are assigned by the database when the transaction commits, under one
    lock a shop, so the chain's order is the commit order and no statement before it can deadlock on it.
    """

    id = PrefixedIdField("evt")
    shop = models.ForeignKey(Shop, models.PROTECT, related_name="events")
    seq = models.BigIntegerField(null=True, editable=False)
    verb = models.CharField(max_length=60)  # dotted, past tense: "promotion.approved"
    actor_kind = models.CharField(max_length=10)  # person, token, system
    actor_id = models.CharField(max_length=40, blank=True)
    actor_label = models.CharField(max_length=160)
    object_type = models.CharField(max_length=40)
    object_id = models.CharField(max_length=40)
    object_label = models.CharField(max_length=160, blank=True)
    from_status = models.CharField(max_length=20, blank=True)
    to_status = models.CharField(max_length=20, blank=True)
    reason = models.TextField(blank=True)
    data = models.JSONField(default=dict, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)  # the database's clock, not a host's
    prev_hash = models.CharField(max_length=64, blank=True, editable=False)
    hash = models.CharField(max_length=64, blank=True, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["shop", "seq"], name="one_event_a_place_in_the_chain")]
        indexes = [
            models.Index(fields=["object_id", "created_at"]),
            models.Index(fields=["shop", "-created_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.actor_label}: {self.verb} {self.object_id}"


class IdempotencyKey(models.Model):
    """The stored answer to one POST, so that a retry acts once. Kept for 24 hours."""

    LIFETIME = timedelta(hours=24)

    id = PrefixedIdField("idk")
    owner = models.CharField(max_length=40)  # token or person
    key = models.CharField(max_length=255)
    request_sha256 = models.CharField(max_length=64)
    response_status = models.PositiveSmallIntegerField(null=True)
    response_body = models.BinaryField(null=True)
    response_headers = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "key"], name="one_answer_a_key")]

    def __str__(self) -> str:
        return self.key


class Versioned(models.Model):
    """A row whose status only `transition()` writes."""

    STATUSES: ClassVar[tuple[str, ...]]
    TRANSITIONS: ClassVar[dict[str, set[str]]]  # from -> to

    lock_version = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        abstract = True


class Leased(models.Model):
    """A row that one worker at a time works on, for as long as it renews its lease.

    `attempt` is the fencing token: every write of a worker says `WHERE attempt = mine`.
    """

    QUEUE: ClassVar[str] = "light"
    MAX_ATTEMPTS: ClassVar[int | None] = None  # None: reconciled for ever
    TASK: ClassVar[str]  # name of the Celery task that takes the id

    attempt = models.PositiveIntegerField(default=0, editable=False)
    owner = models.CharField(max_length=80, blank=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    due_at = models.DateTimeField(null=True, blank=True, editable=False)  # null: nothing to do
    sent_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        abstract = True


class LeasedJob(Versioned, Leased):
    """A long job: its row is the truth; the Celery message is only a wake-up."""

    # Statuses in which a worker may claim the row, and the one that says "a worker has it".
    CLAIMABLE: ClassVar[tuple[str, ...]]
    RUNNING: ClassVar[str]

    stage = models.CharField(max_length=40, blank=True)
    progress_done = models.BigIntegerField(default=0)
    progress_total = models.BigIntegerField(null=True, blank=True)
    progress_unit = models.CharField(max_length=20, blank=True)
    eta_s = models.FloatField(null=True, blank=True)
    error = models.JSONField(null=True, blank=True)  # a problem: {title, detail, …}
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True

    @property
    def progress_pct(self) -> float | None:
        if not self.progress_total:
            return None
        return min(100.0, 100.0 * self.progress_done / self.progress_total)


def active(*statuses: str) -> Q:
    """Condition of a partial unique constraint: the row is in one of these statuses."""
    return Q(status__in=statuses)
