"""Named models and their numbered, immutable versions."""

from django.db import models
from django.utils import timezone

from models_app.models.training import TrainingRun
from portal.core.ids import PrefixedIdField
from portal.core.models import Shop


class RegisteredModel(models.Model):
    """A use of recommendations ("shop-main"); its versions may be of any algorithm."""

    id = PrefixedIdField("mdl")
    shop = models.ForeignKey(Shop, models.CASCADE, related_name="registered_models")
    name = models.SlugField(max_length=60)
    description = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    newest_number: int | None  # not columns: selectors.registered_models annotates these two
    newest_version_id: str | None

    class Meta:
        constraints = [models.UniqueConstraint(fields=["shop", "name"], name="one_model_a_name")]

    def __str__(self) -> str:
        return self.name


class ModelVersion(models.Model):
    """What a run produced: artifact, digest, metrics, lineage. Written once, never changed."""

    id = PrefixedIdField("mv")
    registered_model = models.ForeignKey(RegisteredModel, models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    run = models.OneToOneField(TrainingRun, models.PROTECT, related_name="model_version")
    artifact_digest = models.CharField(max_length=64)  # sha256 of the manifest, which names every member's
    size_bytes = models.BigIntegerField()
    algorithm = models.CharField(max_length=40)
    metrics = models.JSONField(default=dict)
    lineage = models.JSONField(
        default=dict
    )  # dataset version and digest, config, seed, split, library versions
    card = models.TextField()  # Markdown with YAML front matter
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["registered_model", "number"], name="one_model_version_a_number")
        ]

    def __str__(self) -> str:
        return f"{self.registered_model.name} {self.number}"
