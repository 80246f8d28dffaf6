"""What shoppers did: single events for a time, what became of each list, sums per release for good."""

from typing import ClassVar

from django.db import models
from django.utils import timezone

from deployments_app.models import Deployment, Release
from monitoring_app.models.metrics import MetricPoint
from portal.core.ids import PrefixedIdField
from portal.core.models import Shop

ID_MAX = 256  # bytes of a shopper's, item's or session's id, as in uploaded files
EVENT_ID_MAX = 128


class FeedbackEvent(models.Model):
    """One thing that a shopper did, as the shop's site told it. Kept for `RETENTION_DAYS`."""

    RETENTION_DAYS: ClassVar[int] = 90  # no event older than a week is taken, so each id counts once for good

    id = PrefixedIdField("fbe")
    shop = models.ForeignKey(Shop, models.CASCADE, related_name="+")
    event_id = models.CharField(max_length=EVENT_ID_MAX)  # the shop's own
    type = models.CharField(max_length=30)
    user_id = models.CharField(max_length=ID_MAX, blank=True)
    session_id = models.CharField(max_length=ID_MAX, blank=True)
    item_id = models.CharField(max_length=ID_MAX, blank=True)
    position = models.PositiveSmallIntegerField(null=True)
    value = models.DecimalField(max_digits=14, decimal_places=4, null=True)
    currency = models.CharField(max_length=3, blank=True)
    recommendation_id = models.CharField(max_length=516, blank=True)
    release = models.ForeignKey(Release, models.CASCADE, null=True, related_name="+")  # whose list it was
    is_in_time = models.BooleanField(default=False)  # within the placement's window: it speaks for the list
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["shop", "event_id"], name="one_event_an_id")]
        indexes = [models.Index(fields=["received_at"])]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"


class ListOutcome(models.Model):
    """What became of one list for the first time: seen, clicked or bought from. Each counts once a list."""

    KINDS: ClassVar[tuple[str, ...]] = ("impressions", "seen", "clicks", "purchases")

    id = PrefixedIdField("lso")
    release = models.ForeignKey(Release, models.CASCADE, related_name="+")
    list_sha256 = models.CharField(max_length=64)  # of the recommendation_id
    kind = models.CharField(max_length=12)
    served_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["list_sha256", "kind"], name="one_outcome_a_list")]
        indexes = [models.Index(fields=["served_at"])]

    def __str__(self) -> str:
        return f"{self.kind} of {self.list_sha256[:12]}"


class FeedbackPoint(models.Model):
    """How many of the lists that one release gave out in one bucket of time were seen, clicked, bought from.

    The bucket is that of the answer, not of the click: so its share of clicked lists is one of the lists
    beside it, however late the click came.
    """

    RETENTION_DAYS: ClassVar[dict[int, int]] = MetricPoint.RETENTION_DAYS

    id = models.BigAutoField(primary_key=True)
    deployment = models.ForeignKey(Deployment, models.CASCADE, related_name="+")
    release = models.ForeignKey(Release, models.CASCADE, related_name="+")
    width_s = models.PositiveSmallIntegerField()
    at = models.DateTimeField()  # start of the bucket
    impressions = models.BigIntegerField(default=0)  # lists that the shop said were shown
    seen = models.BigIntegerField(default=0)  # those, and lists that somebody clicked or bought from
    clicks = models.BigIntegerField(default=0)
    purchases = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["release", "width_s", "at"], name="one_feedback_point_a_bucket")
        ]
        indexes = [models.Index(fields=["deployment", "width_s", "at"])]

    def __str__(self) -> str:
        return f"feedback on {self.release} at {self.at:%H:%M:%S}"


class FeedbackWindow(models.Model):
    """How long after an answer a click or a purchase still speaks for it, at one placement."""

    CLICK_S: ClassVar[int] = 30 * 60
    PURCHASE_S: ClassVar[int] = 24 * 3600

    deployment = models.OneToOneField(Deployment, models.CASCADE, primary_key=True, related_name="+")
    click_s = models.PositiveIntegerField(default=CLICK_S)
    purchase_s = models.PositiveIntegerField(default=PURCHASE_S)

    def __str__(self) -> str:
        return f"window of {self.deployment}"


class Rating(models.Model):
    """What one shopper last thought of one item: a new rating replaces the one before.

    One that was taken back is kept without a value, until no older one can arrive any more that would be
    taken for news.
    """

    id = models.BigAutoField(primary_key=True)
    shop = models.ForeignKey(Shop, models.CASCADE, related_name="+")
    user_id = models.CharField(max_length=ID_MAX)
    item_id = models.CharField(max_length=ID_MAX)
    value = models.FloatField(null=True)  # null: taken back
    rated_at = models.DateTimeField()  # when it was given, or taken back

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["shop", "user_id", "item_id"], name="one_rating_a_pair")
        ]
        indexes = [
            models.Index(fields=["rated_at"], condition=models.Q(value=None), name="ratings_taken_back")
        ]

    def __str__(self) -> str:
        said = "taken back" if self.value is None else f"{self.value:g}"
        return f"{self.user_id} on {self.item_id}: {said}"
