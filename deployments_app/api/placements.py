"""Environments, placements, what serves there, its keys and releases."""

from typing import Any

from django.urls import path
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from deployments_app import selectors
from deployments_app.serializers import (
    AccessSerializer,
    DeploymentSerializer,
    EnvironmentSerializer,
    FeedSerializer,
    NewDeploymentSerializer,
    NewEnvironmentSerializer,
    NewServingKeySerializer,
    ReleaseSerializer,
    RollbackSerializer,
    RolloutSerializer,
    ServingKeySerializer,
    ShownServingKeySerializer,
)
from deployments_app.services import access, artifacts, environments, keys, removals, rollbacks
from portal.core.api import ApiView, accepted
from portal.core.permissions import authorize


class EnvironmentsView(ApiView):
    @extend_schema(responses=EnvironmentSerializer(many=True), operation_id="environments_list")
    def get(self, request: Request) -> Response:
        authorize(self.actor, "rollouts.read", self.shop)
        return self.page(selectors.environments(self.shop), EnvironmentSerializer)

    @extend_schema(
        request=NewEnvironmentSerializer,
        responses={201: EnvironmentSerializer},
        operation_id="environments_create",
    )
    def post(self, request: Request) -> Response:
        made = environments.create_environment(self.actor, self.shop, **self.read(NewEnvironmentSerializer))
        return Response(EnvironmentSerializer(made).data, status=201)


class EnvironmentView(ApiView):
    @extend_schema(responses=EnvironmentSerializer, operation_id="environments_get")
    def get(self, request: Request, environment_id: str) -> Response:
        authorize(self.actor, "rollouts.read", self.shop)
        return Response(EnvironmentSerializer(selectors.environment(self.shop, environment_id)).data)

    @extend_schema(responses={204: None}, operation_id="environments_remove")
    def delete(self, request: Request, environment_id: str) -> Response:
        """Remove an environment in which nothing was ever asked for, with its gateways."""
        found = selectors.environment(self.shop, environment_id)
        removals.remove_environment(self.actor, self.shop, found)
        return Response(status=204)


class EnvironmentAccessView(ApiView):
    """What Aisle's account may do where the environment runs, and the Role that grants what is missing."""

    @extend_schema(responses=AccessSerializer, operation_id="environments_access")
    def get(self, request: Request, environment_id: str) -> Response:
        found = selectors.environment(self.shop, environment_id)
        return Response(AccessSerializer(access.check_access(self.actor, self.shop, found)).data)


class DeploymentsView(ApiView):
    @extend_schema(responses=DeploymentSerializer(many=True), operation_id="deployments_list")
    def get(self, request: Request) -> Response:
        authorize(self.actor, "rollouts.read", self.shop)
        return self.page(selectors.deployments(self.shop), DeploymentSerializer)

    @extend_schema(
        request=NewDeploymentSerializer,
        responses={201: DeploymentSerializer},
        operation_id="deployments_create",
    )
    def post(self, request: Request) -> Response:
        asked = self.read(NewDeploymentSerializer)
        environment = selectors.environment(self.shop, asked.pop("environment"))
        made = environments.create_deployment(self.actor, self.shop, environment, **asked)
        return Response(DeploymentSerializer(made).data, status=201)


class DeploymentView(ApiView):
    """What serves at a placement: live, canary, what is kept warm, and who gets which."""

    @extend_schema(responses=DeploymentSerializer, operation_id="deployments_get")
    def get(self, request: Request, deployment_id: str) -> Response:
        authorize(self.actor, "rollouts.read", self.shop)
        return Response(DeploymentSerializer(selectors.deployment(self.shop, deployment_id)).data)


class DeploymentEventsView(ApiView):
    @extend_schema(responses=FeedSerializer(many=True), operation_id="deployments_events")
    def get(self, request: Request, deployment_id: str) -> Response:
        authorize(self.actor, "rollouts.read", self.shop)
        found = selectors.bare_deployment(self.shop, deployment_id)
        return self.page(selectors.deployment_feed(found), FeedSerializer)


class RollbackView(ApiView):
    """Give everybody an earlier release at once; `to_release: null` is the last good one."""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        self.received_at = timezone.now()  # what is measured begins when the click arrives
        return super().dispatch(request, *args, **kwargs)

    @extend_schema(
        request=RollbackSerializer, responses={202: RolloutSerializer}, operation_id="deployments_rollback"
    )
    def post(self, request: Request, deployment_id: str) -> Response:
        rollout = rollbacks.roll_back(
            self.actor,
            self.shop,
            selectors.bare_deployment(self.shop, deployment_id),
            to_release=self.read(RollbackSerializer)["to_release"],
            received_at=self.received_at,
        )
        return accepted(rollout, dict(RolloutSerializer(selectors.rollout(self.shop, rollout.pk)).data))


class ServingKeysView(ApiView):
    # The answer holds the key, which must not be stored for a replay; making two keys harms nobody.
    repeatable = True

    @extend_schema(responses=ServingKeySerializer(many=True), operation_id="serving_keys_list")
    def get(self, request: Request, deployment_id: str) -> Response:
        authorize(self.actor, "rollouts.read", self.shop)
        found = selectors.bare_deployment(self.shop, deployment_id)
        return self.page(selectors.serving_keys(found), ServingKeySerializer)

    @extend_schema(
        request=NewServingKeySerializer,
        responses={201: ShownServingKeySerializer},
        operation_id="serving_keys_create",
    )
    def post(self, request: Request, deployment_id: str) -> Response:
        found = selectors.bare_deployment(self.shop, deployment_id)
        key, text = keys.issue_serving_key(self.actor, self.shop, found, **self.read(NewServingKeySerializer))
        return Response(ShownServingKeySerializer(key, context={"text": text}).data, status=201)


class ServingKeyView(ApiView):
    @extend_schema(responses={204: None}, operation_id="serving_keys_revoke")
    def delete(self, request: Request, deployment_id: str, key_id: str) -> Response:
        found = selectors.bare_deployment(self.shop, deployment_id)
        keys.revoke_serving_key(self.actor, self.shop, found, key_id)
        return Response(status=204)


class ReleasesView(ApiView):
    filters = frozenset({"deployment"})

    @extend_schema(responses=ReleaseSerializer(many=True), operation_id="releases_list")
    def get(self, request: Request) -> Response:
        authorize(self.actor, "rollouts.read", self.shop)
        rows = selectors.releases(self.shop)
        if "deployment" in request.query_params:
            found = selectors.bare_deployment(self.shop, request.query_params["deployment"])
            rows = rows.filter(deployment=found)
        return self.page(rows, ReleaseSerializer)


class ReleaseView(ApiView):
    @extend_schema(responses=ReleaseSerializer, operation_id="releases_get")
    def get(self, request: Request, release_id: str) -> Response:
        authorize(self.actor, "rollouts.read", self.shop)
        return Response(ReleaseSerializer(selectors.release(self.shop, release_id)).data)


class ReleaseAddressView(ApiView):
    """Where a cluster fetches a release's artifact; once taken back, later servers get a new address."""

    @extend_schema(responses={204: None}, operation_id="release_artifact_address_revoke")
    def delete(self, request: Request, release_id: str) -> Response:
        artifacts.revoke_artifact_addresses(self.actor, self.shop, selectors.release(self.shop, release_id))
        return Response(status=204)


urlpatterns = [
    path("environments", EnvironmentsView.as_view(), name="api_environments"),
    path("environments/<str:environment_id>", EnvironmentView.as_view(), name="api_environment"),
    path(
        "environments/<str:environment_id>/access",
        EnvironmentAccessView.as_view(),
        name="api_environment_access",
    ),
    path("deployments", DeploymentsView.as_view(), name="api_deployments"),
    path("deployments/<str:deployment_id>", DeploymentView.as_view(), name="api_deployment"),
    path(
        "deployments/<str:deployment_id>/events", DeploymentEventsView.as_view(), name="api_deployment_events"
    ),
    path("deployments/<str:deployment_id>/rollback", RollbackView.as_view(), name="api_rollback"),
    path("deployments/<str:deployment_id>/keys", ServingKeysView.as_view(), name="api_serving_keys"),
    path(
        "deployments/<str:deployment_id>/keys/<str:key_id>", ServingKeyView.as_view(), name="api_serving_key"
    ),
    path("releases", ReleasesView.as_view(), name="api_releases"),
    path("releases/<str:release_id>", ReleaseView.as_view(), name="api_release"),
    path(
        "releases/<str:release_id>/artifact-address",
        ReleaseAddressView.as_view(),
        name="api_release_address",
    ),
]
