"""A named source of ratings, and its immutable snapshots."""

from django.db import models
from django.utils import timezone

from portal.core.ids import PrefixedIdField
from portal.core.models import LeasedJob, Shop, User


class Dataset(models.Model):
    """A named source of interactions."""

    id = PrefixedIdField("ds")
    shop = models.ForeignKey(Shop, models.CASCADE, related_name="datasets")
    name = models.CharField(max_length=80)
    created_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    newest_version_id: str | None  # not a column: selectors.datasets annotates it

    class Meta:
        constraints = [models.UniqueConstraint(fields=["shop", "name"], name="one_dataset_a_name")]

    def __str__(self) -> str:
        return self.name


class DatasetVersion(LeasedJob):
    """One immutable snapshot: the file as it came, how it was read, and what was found in it.

    uploading: bytes arrive, then a person looks at the columns; checking: a worker reads every line, and
    before that writes the file where it is of ratings that were received one by one.
    """

    STATUSES = ("uploading", "checking", "ready", "failed", "canceled")
    TRANSITIONS = {
        "uploading": {"checking", "failed", "canceled"},
        "checking": {"ready", "failed", "canceled"},
        "ready": set(),
        "failed": set(),
        "canceled": set(),
    }
    CLAIMABLE = ("checking",)
    RUNNING = "checking"
    QUEUE = "train"
    MAX_ATTEMPTS = 3
    TASK = "models_app.check_dataset_version"

    id = PrefixedIdField("dsv")
    shop = models.ForeignKey(Shop, models.CASCADE, related_name="+")
    dataset = models.ForeignKey(Dataset, models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    status = models.CharField(max_length=12, default="uploading")
    created_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")

    file_name = models.CharField(max_length=255, blank=True)  # as the person called it; never a path
    file_sha256 = models.CharField(max_length=64, blank=True)
    file_size = models.BigIntegerField(null=True, blank=True)
    items_name = models.CharField(max_length=255, blank=True)
    items_sha256 = models.CharField(max_length=64, blank=True)
    items_size = models.BigIntegerField(null=True, blank=True)
    file_format = models.JSONField(default=dict, blank=True)  # engine.sniffing.FileFormat
    roles = models.JSONField(default=dict, blank=True)  # role -> column position
    items_format = models.JSONField(default=dict, blank=True)
    items_roles = models.JSONField(default=dict, blank=True)
    ratings_until = models.DateTimeField(null=True, blank=True)  # of ratings sent one by one; null: uploaded
    leave_out_bad_rows = models.BooleanField(default=False)  # load the right lines although some are wrong

    interactions_digest = models.CharField(max_length=64, blank=True)  # of models_app.snapshots, in storage
    row_count = models.BigIntegerField(null=True, blank=True)
    user_count = models.BigIntegerField(null=True, blank=True)
    item_count = models.BigIntegerField(null=True, blank=True)
    interaction_count = models.BigIntegerField(null=True, blank=True)
    density = models.FloatField(null=True, blank=True)  # interactions / (users x items)
    first_at = models.DateTimeField(null=True, blank=True)
    last_at = models.DateTimeField(null=True, blank=True)
    report = models.JSONField(default=dict, blank=True)  # histogram, long tail, warnings …
    problems = models.JSONField(default=list, blank=True)  # the first twenty, each with its line
    problem_count = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["dataset", "number"], name="one_dataset_version_a_number")
        ]
        indexes = [models.Index(fields=["shop", "-created_at"]), models.Index(fields=["due_at"])]

    def __str__(self) -> str:
        return f"{self.dataset.name} v{self.number}"
