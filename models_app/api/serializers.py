"""How rows of this stage look in the API, and what may be sent."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from models_app.models import Dataset, DatasetVersion, ModelVersion, RegisteredModel, TrainingRun
from portal.core.api import StrictSerializer


class DatasetSerializer(serializers.ModelSerializer):
    created_by = serializers.CharField(source="created_by.label", default=None, read_only=True)
    newest_version = serializers.CharField(source="newest_version_id", default=None, read_only=True)

    class Meta:
        model = Dataset
        fields = ("id", "name", "newest_version", "created_by", "created_at")


class NewDatasetSerializer(StrictSerializer):
    name = serializers.CharField(max_length=80)


class FileFormatSerializer(serializers.Serializer):
    compression = serializers.CharField()
    encoding = serializers.CharField()
    delimiter = serializers.CharField(trim_whitespace=False)
    has_header = serializers.BooleanField()
    columns = serializers.ListField(child=serializers.CharField())
    kind = serializers.CharField()


class DatasetVersionSerializer(serializers.ModelSerializer):
    dataset = serializers.CharField(source="dataset_id")
    created_by = serializers.CharField(source="created_by.label", default=None, read_only=True)
    file_format = serializers.SerializerMethodField()
    items_format = serializers.SerializerMethodField()
    roles = serializers.DictField(child=serializers.IntegerField())
    items_roles = serializers.DictField(child=serializers.IntegerField())
    report = serializers.DictField()
    problems = serializers.ListField(child=serializers.DictField())
    error = serializers.DictField(allow_null=True)

    class Meta:
        model = DatasetVersion
        fields = (
            "id", "dataset", "number", "status", "created_by", "created_at", "started_at", "finished_at",
            "file_name", "file_sha256", "file_size", "items_name", "items_sha256", "items_size",
            "file_format", "roles", "items_format", "items_roles", "leave_out_bad_rows", "ratings_until",
            "row_count", "user_count", "item_count", "interaction_count", "density", "first_at", "last_at",
            "report", "problems", "problem_count", "error",
        )  # fmt: skip

    @extend_schema_field(FileFormatSerializer(allow_null=True))
    def get_file_format(self, version: DatasetVersion) -> Any:
        return _without_rows(version.file_format)

    @extend_schema_field(FileFormatSerializer(allow_null=True))
    def get_items_format(self, version: DatasetVersion) -> Any:
        return _without_rows(version.items_format)


def _without_rows(facts: dict[str, Any]) -> dict[str, Any] | None:
    """Leave out the sample of rows: who may see a dataset may not always have its content."""
    return FileFormatSerializer(facts).data if facts else None


class UploadedVersionSerializer(DatasetVersionSerializer):
    """A version as an upload answers it: with the versions that hold the very same file."""

    same_file_as = serializers.SerializerMethodField()

    class Meta:
        model = DatasetVersion
        fields = (*DatasetVersionSerializer.Meta.fields, "same_file_as")

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_same_file_as(self, version: DatasetVersion) -> list[str]:
        return [other.pk for other in self.context["same_file"]]


class ColumnsSerializer(StrictSerializer):
    roles = serializers.DictField(
        child=serializers.IntegerField(min_value=0), required=False, help_text="Column position by role."
    )
    items_roles = serializers.DictField(child=serializers.IntegerField(min_value=0), required=False)
    leave_out_bad_rows = serializers.BooleanField(required=False)


class ReasonSerializer(StrictSerializer):
    reason = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class RetrySerializer(StrictSerializer):
    leave_out_bad_rows = serializers.BooleanField(required=False, allow_null=True, default=None)


class ParameterSerializer(serializers.Serializer):
    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=["integer", "number", "boolean", "choice"])
    default = serializers.JSONField()
    title = serializers.CharField()
    help = serializers.CharField()
    minimum = serializers.FloatField(allow_null=True)
    maximum = serializers.FloatField(allow_null=True)
    step = serializers.FloatField(allow_null=True)
    choices = serializers.ListField(child=serializers.ListField(child=serializers.CharField()))


class EstimateSerializer(serializers.Serializer):
    memory_bytes = serializers.IntegerField()
    seconds = serializers.FloatField()


class AlgorithmSerializer(serializers.Serializer):
    name = serializers.CharField()
    title = serializers.CharField()
    when_to_use = serializers.CharField()
    family = serializers.CharField(help_text="What it rests on, as a page groups algorithms.")
    needs = serializers.ListField(
        child=serializers.ChoiceField(choices=["items", "times"]),
        help_text="Facts beside the interactions without which it cannot be trained.",
    )
    parameters = ParameterSerializer(many=True)
    estimate = EstimateSerializer(allow_null=True)
    verdict = serializers.ChoiceField(choices=["ready", "weak", "not_ready", "too_big"])
    reason = serializers.CharField()
    is_recommended = serializers.BooleanField()


class EventTypeSerializer(serializers.Serializer):
    name = serializers.CharField()
    rows = serializers.IntegerField()
    suggested_weight = serializers.FloatField()


class PlanSerializer(serializers.Serializer):
    algorithms = AlgorithmSerializer(many=True)
    split = serializers.DictField()
    split_why = serializers.CharField()
    split_parameters = ParameterSerializer(many=True)
    model_name = serializers.CharField()
    memory_available_bytes = serializers.IntegerField()
    event_types = EventTypeSerializer(many=True, help_text="Those that `event_weights` may weigh.")
    has_times = serializers.BooleanField(help_text="Whether `half_life_days` may be given.")


class ChosenAlgorithmSerializer(StrictSerializer):
    algorithm = serializers.CharField(max_length=40)
    config = serializers.DictField(required=False, default=dict)


class EstimateTrainingSerializer(StrictSerializer):
    dataset_version = serializers.CharField(max_length=40)
    algorithms = ChosenAlgorithmSerializer(many=True, allow_empty=False)


class ForecastSerializer(serializers.Serializer):
    algorithms = AlgorithmSerializer(many=True)
    seconds = serializers.FloatField(help_text="All fits, one after the other; each recipe is fitted twice.")
    memory_bytes = serializers.IntegerField(help_text="The most that one of them takes.")
    memory_available_bytes = serializers.IntegerField()


class NewTrainingSerializer(StrictSerializer):
    dataset_version = serializers.CharField(max_length=40)
    model = serializers.CharField(max_length=60)
    algorithms = ChosenAlgorithmSerializer(many=True, allow_empty=False)
    split = serializers.DictField(required=False, allow_null=True, default=None)
    seed = serializers.IntegerField(required=False, default=0, min_value=0, max_value=2**31 - 1)
    event_weights = serializers.DictField(
        child=serializers.FloatField(), required=False, allow_null=True, default=None,
        help_text="What a row of each event type counts, 0 to leave it out; algorithms that can read values "
        "then do, unless their config says otherwise. null: each pair of shopper and item counts once.",
    )  # fmt: skip
    half_life_days = serializers.FloatField(
        required=False, allow_null=True, default=None,
        help_text="How much older than the newest row one must be to count half. null: age does not matter.",
    )  # fmt: skip
    champion = serializers.CharField(
        max_length=40, required=False, allow_null=True, default=None,
        help_text="A model version, usually the live one: its recipe is fitted on the same split to compare.",
    )  # fmt: skip


class TrainingRunSerializer(serializers.ModelSerializer):
    # A text in the schema: memberships have a field of this name with other choices.
    role = serializers.CharField(help_text="candidate, baseline or champion")
    dataset_version = serializers.CharField(source="dataset_version_id")
    model = serializers.CharField(source="registered_model.name")
    model_version = serializers.SerializerMethodField()
    recipe_of = serializers.CharField(source="recipe_of_id", allow_null=True)
    created_by = serializers.CharField(source="created_by.label", default=None, read_only=True)
    config = serializers.DictField()
    split = serializers.DictField()
    weighing = serializers.DictField(
        help_text="by_type and half_life_days, what a row counts; empty for none."
    )
    curve = serializers.ListField(child=serializers.ListField(child=serializers.FloatField()))
    metrics = serializers.DictField()
    verdicts = serializers.DictField()
    error = serializers.DictField(allow_null=True)

    class Meta:
        model = TrainingRun
        fields = (
            "id", "group", "role", "status", "dataset_version", "model", "model_version", "recipe_of",
            "algorithm", "config", "split", "split_note", "weighing", "seed", "stage", "progress_done",
            "progress_total", "progress_unit", "eta_s", "curve", "metrics", "verdicts", "fit_s", "evaluate_s",
            "peak_memory_bytes", "error", "created_by", "created_at", "started_at", "finished_at",
        )  # fmt: skip

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_model_version(self, run: TrainingRun) -> str | None:
        made: ModelVersion | None = getattr(run, "model_version", None)
        return made.pk if made else None


class IntervalSerializer(serializers.Serializer):
    value = serializers.FloatField()
    low = serializers.FloatField()
    high = serializers.FloatField()


class SegmentSerializer(serializers.Serializer):
    """How good the lists are for one kind of shopper, or for one kind of item."""

    kind = serializers.CharField(help_text="shoppers, items or category")
    name = serializers.CharField(help_text="new, light, heavy; head, tail; or the category's name")
    title = serializers.CharField()
    n = serializers.IntegerField(help_text="Test shoppers behind the means.")
    note = serializers.CharField(help_text="Why there are no metrics, empty where there are some.")
    metrics = serializers.DictField(
        child=IntervalSerializer(), help_text="Mean and 95 % interval by name, such as ndcg@10 or recall@10."
    )


class GroupMeanSerializer(serializers.Serializer):
    n = serializers.IntegerField(help_text="Test shoppers of the group.")
    mean = IntervalSerializer(allow_null=True, help_text="null where they are fewer than 30.")


class ShopperGapSerializer(serializers.Serializer):
    gap = IntervalSerializer(allow_null=True, help_text="Mean of the best served group less the worst's.")
    best = serializers.CharField(allow_null=True, help_text="new, light or heavy")
    worst = serializers.CharField(allow_null=True)
    groups = serializers.DictField(child=GroupMeanSerializer())


class ExposureSerializer(serializers.Serializer):
    label = serializers.CharField()  # type: ignore[assignment]  # the seller's or category's name
    n_items = serializers.IntegerField()
    catalogue_share = serializers.FloatField(help_text="Share of the items that have such a label, 0 to 1.")
    exposure_share = serializers.FloatField(help_text="Share of the places in lists, by depth as in NDCG.")


class ExposureGapSerializer(serializers.Serializer):
    gap = serializers.FloatField(
        allow_null=True, help_text="Share of the exposure that would have to move, 0 (even) to 1."
    )
    n_labels = serializers.IntegerField()
    labels = ExposureSerializer(many=True, help_text="The 50 with most items.")


class GapsSerializer(serializers.Serializer):
    """How evenly shoppers are served and sellers shown; all null where it was not measured."""

    metric = serializers.CharField(default="", help_text="The one that shoppers are compared by.")
    shoppers = ShopperGapSerializer(default=None, allow_null=True)
    sellers = ExposureGapSerializer(default=None, allow_null=True, help_text="null without a seller column.")
    categories = ExposureGapSerializer(default=None, allow_null=True)


class TrainingRunDetailSerializer(TrainingRunSerializer):
    """A run with its metrics by segment and gaps; empty for runs evaluated before these were kept."""

    segments = SegmentSerializer(many=True)
    gaps = GapsSerializer()

    class Meta:
        model = TrainingRun
        fields = (*TrainingRunSerializer.Meta.fields, "segments", "gaps")


class StartedTrainingSerializer(serializers.Serializer):
    group = serializers.CharField()
    runs = TrainingRunSerializer(many=True)


class LogSerializer(serializers.Serializer):
    log = serializers.CharField()


class RegisteredModelSerializer(serializers.ModelSerializer):
    newest_number = serializers.IntegerField(allow_null=True)
    newest_version = serializers.CharField(source="newest_version_id", allow_null=True)

    class Meta:
        model = RegisteredModel
        fields = ("id", "name", "description", "newest_number", "newest_version", "created_at")


class ModelVersionSerializer(serializers.ModelSerializer):
    model = serializers.CharField(source="registered_model_id")
    model_name = serializers.CharField(source="registered_model.name")
    run = serializers.CharField(source="run_id")
    metrics = serializers.DictField()
    lineage = serializers.DictField()
    verdicts = serializers.DictField(source="run.verdicts")

    class Meta:
        model = ModelVersion
        fields = (
            "id", "model", "model_name", "number", "run", "algorithm", "artifact_digest", "size_bytes",
            "metrics", "verdicts", "lineage", "created_at",
        )  # fmt: skip


class ModelVersionDetailSerializer(ModelVersionSerializer):
    """A version with the metrics by segment and the gaps of the run that made it."""

    segments = SegmentSerializer(source="run.segments", many=True)
    gaps = GapsSerializer(source="run.gaps")

    class Meta:
        model = ModelVersion
        fields = (*ModelVersionSerializer.Meta.fields, "segments", "gaps")


class ShoppersSerializer(serializers.Serializer):
    shoppers = serializers.ListField(child=serializers.CharField())


class CellSerializer(serializers.Serializer):
    value = serializers.FloatField()
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)
    n = serializers.IntegerField()
    is_best = serializers.BooleanField()
    is_like_best = serializers.BooleanField(allow_null=True)


class MetricRowSerializer(serializers.Serializer):
    name = serializers.CharField()
    title = serializers.CharField()
    cells = serializers.ListField(child=CellSerializer(allow_null=True))


class DifferenceSerializer(serializers.Serializer):
    name = serializers.CharField()
    values = serializers.ListField(child=serializers.CharField())


class SegmentCellSerializer(serializers.Serializer):
    n = serializers.IntegerField(help_text="Test shoppers behind the means.")
    note = serializers.CharField(help_text="Why there are no metrics, empty where there are some.")
    metrics = serializers.DictField(child=IntervalSerializer())
    best_in = serializers.ListField(
        child=serializers.CharField(), help_text="Metrics in which no other run is higher, chance or not."
    )


class SegmentRowSerializer(serializers.Serializer):
    kind = serializers.CharField(help_text="shoppers, items or category")
    name = serializers.CharField()
    title = serializers.CharField()
    cells = serializers.ListField(child=SegmentCellSerializer(allow_null=True))


class GapCellSerializer(serializers.Serializer):
    value = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)
    note = serializers.CharField(help_text="Who is best and worst served, or why there is no value.")


class GapRowSerializer(serializers.Serializer):
    kind = serializers.CharField(help_text="shoppers, sellers or categories")
    title = serializers.CharField()
    says = serializers.CharField(help_text="What is measured; 0 is even.")
    cells = serializers.ListField(child=GapCellSerializer(allow_null=True))


class ComparisonSerializer(serializers.Serializer):
    runs = TrainingRunSerializer(many=True)
    metrics = MetricRowSerializer(many=True)
    segments = SegmentRowSerializer(many=True)
    gaps = GapRowSerializer(many=True)
    differences = DifferenceSerializer(many=True)
    why_not = serializers.CharField()


class LineSerializer(serializers.Serializer):
    rank = serializers.IntegerField()
    item_id = serializers.CharField()
    title = serializers.CharField()
    category = serializers.CharField(allow_null=True)
    price = serializers.FloatField(allow_null=True)
    score = serializers.FloatField(allow_null=True)


class CauseSerializer(serializers.Serializer):
    item_id = serializers.CharField()
    title = serializers.CharField(help_text="The item's id where no title is known.")
    contribution = serializers.FloatField(help_text="What it adds to the score, above 0.")


class RecommendedSerializer(LineSerializer):
    reason = serializers.CharField(
        allow_null=True, help_text="Why it is in the list, in a sentence; null without `explain`."
    )
    contributions = CauseSerializer(
        many=True,
        help_text="The items of the shopper's history that speak for it most, strongest first, at most 3; "
        "empty where no item of the history has a part in it.",
    )


class PreviewSerializer(serializers.Serializer):
    user_id = serializers.CharField()
    is_known = serializers.BooleanField()
    history = LineSerializer(many=True)
    history_size = serializers.IntegerField()
    items = RecommendedSerializer(many=True)
