"""One attempt to fit one configuration on one dataset version with one seed."""

from django.db import models
from django.db.models import Q

from models_app.models.datasets import DatasetVersion
from portal.core.ids import PrefixedIdField
from portal.core.models import LeasedJob, Shop, User


class RunRole(models.TextChoices):
    """What a run is for; only a candidate's model is registered."""

    CANDIDATE = "candidate"
    BASELINE = "baseline"  # popularity, which every candidate is compared with
    CHAMPION = "champion"  # a registered version's recipe, fitted anew on the same split


class TrainingRun(LeasedJob):
    """Fit, evaluate and, if it is a candidate, register."""

    STAGES = ("load", "split", "fit", "evaluate", "refit", "register")

    STATUSES = ("queued", "running", "succeeded", "failed", "canceling", "canceled")
    TRANSITIONS = {
        "queued": {"running", "canceled", "failed"},
        "running": {"succeeded", "failed", "canceling"},
        "canceling": {"canceled", "failed"},
        "succeeded": set(),
        "failed": set(),
        "canceled": set(),
    }
    CLAIMABLE = ("queued", "running", "canceling")
    RUNNING = "running"
    QUEUE = "train"
    MAX_ATTEMPTS = 3
    TASK = "models_app.run_training"

    id = PrefixedIdField("run")
    shop = models.ForeignKey(Shop, models.CASCADE, related_name="+")
    group = models.CharField(max_length=40, db_index=True)  # runs started together are compared together
    dataset_version = models.ForeignKey(DatasetVersion, models.PROTECT, related_name="runs")
    registered_model = models.ForeignKey("models_app.RegisteredModel", models.PROTECT, related_name="runs")
    algorithm = models.CharField(max_length=40)
    config = models.JSONField(default=dict)
    split = models.JSONField(default=dict)  # engine.splitting.SplitConfig
    split_note = models.TextField(blank=True)  # which split and why, in a sentence
    weighing = models.JSONField(default=dict, blank=True)  # engine.event_weights.EventWeights; {}: none
    seed = models.BigIntegerField(default=0)
    role = models.CharField(max_length=10, choices=RunRole, default=RunRole.CANDIDATE)
    recipe_of = models.ForeignKey(  # a champion run: the version whose algorithm and config it uses
        "models_app.ModelVersion", models.PROTECT, null=True, blank=True, related_name="+"
    )
    status = models.CharField(max_length=12, default="queued")
    created_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")

    log = models.TextField(blank=True)
    curve = models.JSONField(default=list, blank=True)  # [[iteration, value], …]
    metrics = models.JSONField(default=dict, blank=True)  # name -> {value, low, high, n}
    segments = models.JSONField(default=list, blank=True)  # engine.segments.Segment.summary of each
    gaps = models.JSONField(default=dict, blank=True)  # engine.gaps.Gaps.summary
    verdicts = models.JSONField(default=dict, blank=True)  # "popularity" | "live" -> comparison
    per_user_digest = models.CharField(max_length=64, blank=True)  # per-user metrics, for paired tests
    fit_s = models.FloatField(null=True, blank=True)
    evaluate_s = models.FloatField(null=True, blank=True)
    peak_memory_bytes = models.BigIntegerField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["group", "role"],
                condition=~Q(role="candidate"),
                name="one_baseline_and_champion_a_group",
            )
        ]
        indexes = [models.Index(fields=["shop", "-created_at"]), models.Index(fields=["due_at"])]

    def __str__(self) -> str:
        return f"{self.algorithm} on {self.dataset_version}"
