"""What served when, and rehearsals of the way back."""

from typing import Any

from django.urls import path
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from deployments_app import selectors
from deployments_app.models import Rehearsal
from deployments_app.rollout_words import took_ms
from deployments_app.services.rehearsals import rehearse_rollback
from portal.core.api import ApiView, EmptySerializer
from portal.core.errors import InvalidInput
from portal.core.permissions import authorize


class PeriodSerializer(serializers.Serializer):
    """For how long one release was everybody's; `until` null: it still is."""

    release = serializers.CharField(source="release.pk")
    number = serializers.IntegerField(source="release.number")
    model_version = serializers.CharField(source="release.model_version_id")
    rollout = serializers.CharField(source="rollout.pk")
    kind = serializers.CharField(source="rollout.kind")
    since = serializers.DateTimeField()
    until = serializers.DateTimeField(allow_null=True)
    approved_by = serializers.ListField(child=serializers.CharField())


class HistorySerializer(serializers.Serializer):
    """What served at `at`; the canary is the release that a share got instead."""

    at = serializers.DateTimeField()
    live = PeriodSerializer(allow_null=True)
    canary = serializers.CharField(allow_null=True)
    canary_weight_pct = serializers.IntegerField()
    periods = PeriodSerializer(many=True)


class RehearsalSerializer(serializers.ModelSerializer):
    took_ms = serializers.SerializerMethodField()

    class Meta:
        model = Rehearsal
        fields = ("id", "deployment", "from_release", "to_release", "received_at", "measured", "took_ms")

    def get_took_ms(self, rehearsal: Rehearsal) -> float | None:
        return took_ms(rehearsal)


class HistoryView(ApiView):
    """The time machine: `at` is a time with an offset, now unless said otherwise."""

    @extend_schema(
        parameters=[OpenApiParameter("at", str, description="RFC 3339, e.g. 2026-01-02T03:04:05Z")],
        responses=HistorySerializer,
        operation_id="deployments_history",
    )
    def get(self, request: Request, deployment_id: str) -> Response:
        authorize(self.actor, "rollouts.read", self.shop)
        deployment = selectors.deployment(self.shop, deployment_id)
        at = timezone.now()
        if "at" in request.query_params:
            try:
                at = serializers.DateTimeField().to_internal_value(request.query_params["at"])
            except serializers.ValidationError as error:
                raise InvalidInput("at is a time as 2026-01-02T03:04:05Z.", code="invalid_time") from error
        found = selectors.periods(deployment)
        seen = selectors.moment(deployment, at, found)
        body: dict[str, Any] = {
            "at": at,
            "live": seen.period,
            "canary": seen.canary.pk if seen.canary else None,
            "canary_weight_pct": seen.canary_weight_pct,
            "periods": found,
        }
        return Response(HistorySerializer(body).data)


class RehearsalsView(ApiView):
    """Rollbacks tried on the gateways' own probes; a POST makes one, measured within seconds."""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        self.received_at = timezone.now()  # what is measured begins when the press arrives
        return super().dispatch(request, *args, **kwargs)

    @extend_schema(responses=RehearsalSerializer(many=True), operation_id="deployments_rehearsals")
    def get(self, request: Request, deployment_id: str) -> Response:
        authorize(self.actor, "rollouts.read", self.shop)
        deployment = selectors.bare_deployment(self.shop, deployment_id)
        return self.page(deployment.rehearsals.all(), RehearsalSerializer)

    @extend_schema(
        request=EmptySerializer, responses={201: RehearsalSerializer}, operation_id="deployments_rehearse"
    )
    def post(self, request: Request, deployment_id: str) -> Response:
        self.read(EmptySerializer)
        deployment = selectors.bare_deployment(self.shop, deployment_id)
        made = rehearse_rollback(self.actor, self.shop, deployment, self.received_at)
        return Response(RehearsalSerializer(made).data, status=201)


urlpatterns = [
    path("deployments/<str:deployment_id>/history", HistoryView.as_view(), name="api_history"),
    path("deployments/<str:deployment_id>/rehearsals", RehearsalsView.as_view(), name="api_rehearsals"),
]
