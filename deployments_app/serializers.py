"""What the API says of this stage's rows, and what it takes."""

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from deployments_app.models import (
    AnalysisVerdict,
    Deployment,
    Environment,
    Promotion,
    Release,
    Review,
    Rollout,
    ServingKey,
)
from deployments_app.plan_templates import Template
from deployments_app.rollout_words import what_to_do
from deployments_app.selectors import allowed_actions, is_expired, is_stale
from deployments_app.services.previews import PromotionPreview
from portal.core.api import StrictSerializer
from portal.core.models import Event


class EnvironmentSerializer(serializers.ModelSerializer):
    class Meta:
        model = Environment
        fields = (
            "id", "slug", "name", "backend", "namespace", "min_approvals", "blocking_gates", "default_plan",
            "keep_warm_s", "gateways_ready", "gateways_reason", "gateways_address", "created_at",
        )  # fmt: skip


class NewEnvironmentSerializer(StrictSerializer):
    slug = serializers.CharField(max_length=40)
    name = serializers.CharField(max_length=80)
    backend = serializers.CharField(max_length=20, default="local")
    namespace = serializers.CharField(max_length=63, default="")
    min_approvals = serializers.IntegerField(min_value=1, max_value=5, default=1)
    blocking_gates = serializers.ListField(
        child=serializers.CharField(max_length=40), default=list, max_length=20
    )
    default_plan = serializers.DictField(required=False)
    keep_warm_s = serializers.IntegerField(min_value=0, required=False)


class RightSerializer(serializers.Serializer):
    verb = serializers.CharField()
    group = serializers.CharField()
    resource = serializers.CharField()
    is_allowed = serializers.BooleanField()


class AccessSerializer(serializers.Serializer):
    rights = RightSerializer(many=True)
    role = serializers.CharField(help_text="The Role that grants what is missing, or all of it: YAML.")
    problem = serializers.CharField()


class ReleaseSerializer(serializers.ModelSerializer):
    deployment = serializers.CharField(source="deployment_id", read_only=True)
    model_version = serializers.CharField(source="model_version_id", read_only=True)
    model = serializers.CharField(source="model_version.registered_model.name", read_only=True)
    version = serializers.IntegerField(source="model_version.number", read_only=True)
    algorithm = serializers.CharField(source="model_version.algorithm", read_only=True)
    approved_by = serializers.ListField(child=serializers.CharField(), read_only=True)
    servers = serializers.SerializerMethodField()

    class Meta:
        model = Release
        fields = (
            "id", "deployment", "number", "model_version", "model", "version", "algorithm", "artifact_digest",
            "approved_by", "servers", "created_at",
        )  # fmt: skip

    @extend_schema_field({"type": "object", "additionalProperties": True})
    def get_servers(self, release: Release) -> dict[str, Any]:
        row = getattr(release, "workload", None)
        if row is None:
            return {"replicas": 0, "ready": 0, "reason": "not loaded", "restarts": 0, "log": ""}
        return {
            "replicas": row.replicas,
            "ready": row.ready,
            "reason": row.reason,
            "restarts": row.restarts,
            "log": row.log,
        }


class DeploymentSerializer(serializers.ModelSerializer):
    environment = serializers.CharField(source="environment_id", read_only=True)
    stable = ReleaseSerializer(read_only=True, allow_null=True)
    canary = ReleaseSerializer(read_only=True, allow_null=True)
    last_good = ReleaseSerializer(read_only=True, allow_null=True)
    weights = serializers.SerializerMethodField()
    rollout = serializers.SerializerMethodField()

    class Meta:
        model = Deployment
        fields = (
            "id", "slug", "name", "environment", "is_open", "stable", "canary", "last_good",
            "last_good_until", "weights", "rollout", "live_since", "created_at",
        )  # fmt: skip

    @extend_schema_field({"type": "object", "additionalProperties": {"type": "integer"}})
    def get_weights(self, row: Deployment) -> dict[str, int]:
        weights = {}
        if row.stable_id is not None:
            weights[row.stable_id] = 100 - (row.canary_weight_pct if row.canary_id else 0)
        if row.canary_id is not None:
            weights[row.canary_id] = row.canary_weight_pct
        return weights

    @extend_schema_field({"type": ["string", "null"]})
    def get_rollout(self, row: Deployment) -> str | None:
        return getattr(row, "active_rollout_id", None)


class NewDeploymentSerializer(StrictSerializer):
    environment = serializers.CharField(max_length=40)
    slug = serializers.CharField(max_length=40)
    name = serializers.CharField(max_length=80)
    is_open = serializers.BooleanField(default=False)


class ReviewSerializer(serializers.ModelSerializer):
    reviewer = serializers.CharField(source="reviewer.label", read_only=True)

    class Meta:
        model = Review
        fields = ("id", "reviewer", "verdict", "comment", "created_at")


class PromotionSerializer(serializers.ModelSerializer):
    """A request in a list: without its evidence."""

    deployment = serializers.CharField(source="deployment_id", read_only=True)
    model_version = serializers.CharField(source="model_version_id", read_only=True)
    champion = serializers.CharField(source="champion_id", read_only=True, allow_null=True)
    requested_by = serializers.CharField(source="requested_by.label", read_only=True)
    plan = serializers.DictField(read_only=True)
    reviews = ReviewSerializer(many=True, read_only=True)
    approvals_needed = serializers.IntegerField(source="deployment.environment.min_approvals", read_only=True)
    is_stale = serializers.SerializerMethodField()
    is_expired = serializers.SerializerMethodField()
    rollouts = serializers.SerializerMethodField()

    class Meta:
        model = Promotion
        fields: tuple[str, ...] = (
            "id", "status", "lock_version", "deployment", "model_version", "champion", "requested_by",
            "comment", "plan", "evidence_sha256", "artifact_digest", "reviews", "approvals_needed",
            "is_stale", "is_expired", "rollouts", "created_at", "expires_at", "decided_at",
        )  # fmt: skip

    def get_is_stale(self, row: Promotion) -> bool:
        return is_stale(row)

    def get_is_expired(self, row: Promotion) -> bool:
        return is_expired(row)

    def get_rollouts(self, row: Promotion) -> list[str]:
        return [rollout.pk for rollout in row.rollouts.all()]


class PromotionDetailSerializer(PromotionSerializer):
    evidence = serializers.DictField(read_only=True)

    class Meta(PromotionSerializer.Meta):
        fields = (*PromotionSerializer.Meta.fields, "evidence")


class NewPromotionSerializer(StrictSerializer):
    model_version = serializers.CharField(max_length=40)
    deployment = serializers.CharField(max_length=40)
    plan = serializers.DictField(required=False, allow_null=True)
    comment = serializers.CharField(max_length=4000, required=False, allow_blank=True)


class PlanPreviewSerializer(serializers.Serializer):
    """What a request would lead to if it were approved now."""

    plan = serializers.DictField()
    steps = serializers.ListField(child=serializers.DictField())
    changes = serializers.ListField(child=serializers.DictField())
    stop_rule = serializers.CharField(help_text="When it would stop by itself; empty for a first release.")
    backend = serializers.SerializerMethodField()

    @extend_schema_field({"type": ["object", "null"], "additionalProperties": True})
    def get_backend(self, row: PromotionPreview) -> dict[str, Any] | None:
        return None if row.backend is None else asdict(row.backend)


class PlanTemplateSerializer(serializers.Serializer):
    name = serializers.CharField()
    title = serializers.CharField()
    note = serializers.CharField()
    plan = serializers.SerializerMethodField()

    @extend_schema_field({"type": "object", "additionalProperties": True})
    def get_plan(self, row: Template) -> dict[str, Any]:
        return row.plan.to_json()


class ActionSerializer(StrictSerializer):
    """Body of an action: what to say about it, and from which state the decision was made."""

    comment = serializers.CharField(max_length=4000, required=False, allow_blank=True, default="")
    lock_version = serializers.IntegerField(min_value=0, required=False, allow_null=True, default=None)


class ConcludeSerializer(ActionSerializer):
    keep = serializers.ChoiceField(choices=["new", "live"])


class CommentSerializer(StrictSerializer):
    comment = serializers.CharField(max_length=4000)


class VerdictSerializer(serializers.ModelSerializer):
    checks = serializers.ListField(child=serializers.DictField(), read_only=True)

    class Meta:
        model = AnalysisVerdict
        fields = ("step", "verdict", "checks", "created_at", "measured_at")


class RolloutSerializer(serializers.ModelSerializer):
    deployment = serializers.CharField(source="deployment_id", read_only=True)
    promotion = serializers.CharField(source="promotion_id", read_only=True, allow_null=True)
    release = ReleaseSerializer(read_only=True)
    from_release = serializers.CharField(source="from_release_id", read_only=True, allow_null=True)
    plan = serializers.DictField(read_only=True)
    measured = serializers.DictField(read_only=True)
    allowed = serializers.SerializerMethodField()
    remedy = serializers.SerializerMethodField(help_text="What to do about the reason; empty for nothing.")

    class Meta:
        model = Rollout
        fields: tuple[str, ...] = (
            "id", "kind", "status", "reason", "remedy", "lock_version", "deployment", "promotion", "release",
            "from_release", "plan", "step", "weight_pct", "step_started_at", "allowed", "note", "received_at",
            "measured", "created_at", "started_at", "finished_at",
        )  # fmt: skip

    def get_allowed(self, row: Rollout) -> list[str]:
        return list(allowed_actions(row))

    def get_remedy(self, row: Rollout) -> str:
        return what_to_do(row)


class RolloutDetailSerializer(RolloutSerializer):
    verdicts = serializers.SerializerMethodField()

    class Meta(RolloutSerializer.Meta):
        fields = (*RolloutSerializer.Meta.fields, "verdicts")

    @extend_schema_field(VerdictSerializer(many=True))
    def get_verdicts(self, row: Rollout) -> Any:
        return VerdictSerializer(row.verdicts.order_by("-created_at")[:50], many=True).data


class RollbackSerializer(StrictSerializer):
    to_release = serializers.CharField(max_length=40, required=False, allow_null=True, default=None)


class FeedSerializer(serializers.ModelSerializer):
    class Meta:
        model = Event
        fields = (
            "id", "created_at", "verb", "actor_label", "object_id", "object_label", "from_status",
            "to_status", "reason", "data",
        )  # fmt: skip


class ServingKeySerializer(serializers.ModelSerializer):
    created_by = serializers.SerializerMethodField()

    class Meta:
        model = ServingKey
        fields: tuple[str, ...] = (
            "id",
            "name",
            "kid",
            "created_by",
            "created_at",
            "expires_at",
            "revoked_at",
        )

    def get_created_by(self, row: ServingKey) -> str:
        return row.created_by.label if row.created_by is not None else "Aisle"


class NewServingKeySerializer(StrictSerializer):
    name = serializers.CharField(max_length=80)
    days = serializers.IntegerField(min_value=1, max_value=365, default=90)


class ShownServingKeySerializer(ServingKeySerializer):
    key = serializers.SerializerMethodField()

    class Meta(ServingKeySerializer.Meta):
        fields = (*ServingKeySerializer.Meta.fields, "key")

    def get_key(self, row: ServingKey) -> str:
        return str(self.context["text"])
