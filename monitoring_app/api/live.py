"""Live numbers over the API."""

from datetime import timedelta
from typing import Any

from django.urls import path
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from monitoring_app.selectors import WINDOWS_S, Series, live_deployment, series
from monitoring_app.selectors.consistency import silences
from monitoring_app.selectors.feedback import reactions_over_time, reactions_since
from portal.core.api import ApiView
from portal.core.errors import InvalidInput


class ReactionSerializer(serializers.Serializer):
    """What shoppers did with a release's lists; null without a list. Intervals are Wilson's, 95 %."""

    exposures = serializers.IntegerField(help_text="Lists given out; lists shown, where the shop tells.")
    clicks = serializers.IntegerField(help_text="Lists with at least one click.")
    purchases = serializers.IntegerField(help_text="Lists with at least one purchase.")
    ctr = serializers.FloatField(allow_null=True)
    ctr_interval = serializers.ListField(child=serializers.FloatField(), min_length=2, max_length=2)
    conversion = serializers.FloatField(allow_null=True)
    conversion_interval = serializers.ListField(child=serializers.FloatField(), min_length=2, max_length=2)


class ReactionAtSerializer(serializers.Serializer):
    """The same for the lists of one bucket of time, which began at `at`."""

    at = serializers.DateTimeField()
    exposures = serializers.IntegerField(source="reaction.exposures")
    clicks = serializers.IntegerField(source="reaction.clicks")
    purchases = serializers.IntegerField(source="reaction.purchases")
    ctr = serializers.FloatField(source="reaction.ctr", allow_null=True)
    conversion = serializers.FloatField(source="reaction.conversion", allow_null=True)


class ArmSerializer(serializers.Serializer):
    """One release in the window: what it did in all, and one value a step."""

    release_id = serializers.CharField()
    number = serializers.IntegerField()
    requests = serializers.IntegerField(source="total.requests")
    errors = serializers.IntegerField(source="total.errors")  # type: ignore[assignment]
    fallbacks = serializers.IntegerField(source="total.fallbacks")
    p50_ms = serializers.SerializerMethodField()
    p95_ms = serializers.SerializerMethodField()
    p99_ms = serializers.SerializerMethodField()
    feedback = serializers.SerializerMethodField()
    feedback_over_time = serializers.SerializerMethodField()
    at = serializers.ListField(child=serializers.DateTimeField())
    per_second = serializers.ListField(child=serializers.FloatField())

    @extend_schema_field(ReactionSerializer)
    def get_feedback(self, arm: Series) -> Any:
        return ReactionSerializer(self.context["reactions"][arm.release_id]).data

    @extend_schema_field(ReactionAtSerializer(many=True))
    def get_feedback_over_time(self, arm: Series) -> Any:
        return ReactionAtSerializer(self.context["over_time"].get(arm.release_id, []), many=True).data

    def get_p50_ms(self, arm: Series) -> float | None:
        return arm.total.latency_ms(0.50)

    def get_p95_ms(self, arm: Series) -> float | None:
        return arm.total.latency_ms(0.95)

    def get_p99_ms(self, arm: Series) -> float | None:
        return arm.total.latency_ms(0.99)


class SilenceSerializer(serializers.Serializer):
    """A server of the live or the new release that cannot be asked: nobody counts what it answers."""

    release_id = serializers.CharField()
    server = serializers.CharField()
    since = serializers.DateTimeField()
    reason = serializers.CharField()


class LiveNumbersSerializer(serializers.Serializer):
    deployment = serializers.CharField()
    window_s = serializers.IntegerField()
    feedback_bucket_s = serializers.IntegerField(help_text="Seconds between two of feedback_over_time.")
    as_of = serializers.DateTimeField()
    arms = ArmSerializer(many=True)
    silent = SilenceSerializer(many=True)


class LiveNumbersView(ApiView):
    """Requests, errors and latency of every release with traffic in the window."""

    @extend_schema(
        parameters=[OpenApiParameter("window", str, enum=list(WINDOWS_S), default="5m")],
        responses=LiveNumbersSerializer,
        operation_id="deployments_metrics",
    )
    def get(self, request: Request, deployment_id: str) -> Response:
        window = request.query_params.get("window", "5m")
        if window not in WINDOWS_S:
            raise InvalidInput(f"window is one of {', '.join(WINDOWS_S)}.")
        deployment, now = live_deployment(self.actor, self.shop, deployment_id), timezone.now()
        arms = series(deployment, WINDOWS_S[window], now)
        given_out = {arm.release_id: arm.total.to_shoppers for arm in arms}
        since = now - timedelta(seconds=WINDOWS_S[window])
        reactions = reactions_since(deployment.pk, given_out, since, now)
        bucket_s, over_time = reactions_over_time(deployment.pk, WINDOWS_S[window], now)
        body = {
            "deployment": deployment.pk,
            "window_s": WINDOWS_S[window],
            "feedback_bucket_s": bucket_s,
            "as_of": now,
            "arms": arms,
            "silent": silences(deployment.pk, {deployment.stable_id, deployment.canary_id}),
        }
        return Response(
            LiveNumbersSerializer(body, context={"reactions": reactions, "over_time": over_time}).data
        )


urlpatterns = [
    path("deployments/<str:deployment_id>/metrics", LiveNumbersView.as_view(), name="api_deployment_metrics"),
]
