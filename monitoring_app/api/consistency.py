"""Consistency checks and alerts over the API."""

from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from monitoring_app.models import Alert, ConsistencyCheck
from monitoring_app.selectors import live_deployment
from monitoring_app.selectors.consistency import alerts, consistency_checks
from monitoring_app.services.alerts import acknowledge_alert
from monitoring_app.services.consistency import ask_for_check
from portal.core.api import ApiView, EmptySerializer


class DisagreementSerializer(serializers.Serializer):
    """One disagreement; `shopper` is null when it is about the whole server."""

    server = serializers.CharField()
    sentence = serializers.CharField()
    shopper = serializers.CharField(allow_null=True)
    expected = serializers.ListField(child=serializers.CharField())
    served = serializers.ListField(child=serializers.CharField())


class ConsistencyCheckSerializer(serializers.ModelSerializer):
    release_number = serializers.IntegerField(source="release.number")
    is_consistent = serializers.BooleanField()
    differences = DisagreementSerializer(many=True)

    class Meta:
        model = ConsistencyCheck
        fields = (
            "id", "release", "release_number", "trigger", "servers", "shoppers", "k", "compared", "agreeing",
            "is_consistent", "differences", "created_at",
        )  # fmt: skip


class AskedSerializer(serializers.Serializer):
    deployment = serializers.CharField()
    checks_url = serializers.CharField()


class AlertSerializer(serializers.ModelSerializer):
    acknowledged_by = serializers.CharField(source="acknowledged_by.label", default=None)

    class Meta:
        model = Alert
        fields = (
            "id", "deployment", "kind", "status", "sentence", "created_at", "acknowledged_by", "resolved_at",
        )  # fmt: skip


class ConsistencyChecksView(ApiView):
    """What every server of the live and the new release answered, against the registry's own answer."""

    @extend_schema(
        responses=ConsistencyCheckSerializer(many=True), operation_id="deployments_consistency_checks"
    )
    def get(self, request: Request, deployment_id: str) -> Response:
        deployment = live_deployment(self.actor, self.shop, deployment_id)
        return self.page(consistency_checks(deployment), ConsistencyCheckSerializer)

    @extend_schema(
        request=EmptySerializer,
        responses={202: AskedSerializer},
        operation_id="deployments_check_consistency",
    )
    def post(self, request: Request, deployment_id: str) -> Response:
        self.read(EmptySerializer)
        watch = ask_for_check(self.actor, self.shop, deployment_id)
        body = {"deployment": watch.deployment_id, "checks_url": request.path}
        return Response(body, status=202, headers={"Location": request.path})


class AlertsView(ApiView):
    @extend_schema(responses=AlertSerializer(many=True), operation_id="alerts_list")
    def get(self, request: Request) -> Response:
        return self.page(alerts(self.actor, self.shop), AlertSerializer)


class AcknowledgeView(ApiView):
    @extend_schema(request=EmptySerializer, responses=AlertSerializer, operation_id="alerts_acknowledge")
    def post(self, request: Request, alert_id: str) -> Response:
        self.read(EmptySerializer)
        return Response(AlertSerializer(acknowledge_alert(self.actor, self.shop, alert_id)).data)


urlpatterns = [
    path(
        "deployments/<str:deployment_id>/consistency-checks",
        ConsistencyChecksView.as_view(),
        name="api_consistency_checks",
    ),
    path("alerts", AlertsView.as_view(), name="api_alerts"),
    path("alerts/<str:alert_id>/acknowledge", AcknowledgeView.as_view(), name="api_alert_acknowledge"),
]
