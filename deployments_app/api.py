"""API paths, below /api/v1/: requests, placements, releases, rollouts."""

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.urls import path
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from deployments_app import selectors
from deployments_app.gateway_api import gateway_urlpatterns
from deployments_app.models import Promotion, Rollout
from deployments_app.serializers import (
    ActionSerializer,
    CommentSerializer,
    DeploymentSerializer,
    EnvironmentSerializer,
    FeedSerializer,
    NewDeploymentSerializer,
    NewEnvironmentSerializer,
    NewPromotionSerializer,
    NewServingKeySerializer,
    PromotionDetailSerializer,
    PromotionSerializer,
    ReleaseSerializer,
    RollbackSerializer,
    RolloutDetailSerializer,
    RolloutSerializer,
    ServingKeySerializer,
    ShownServingKeySerializer,
)
from deployments_app.services import environments, keys, promotions, reviews, rollbacks, rollouts, starts
from models_app.selectors import model_version
from portal.core.api import ApiView, accepted
from portal.core.errors import InvalidInput
from portal.core.permissions import authorize

__all__ = ["gateway_urlpatterns", "urlpatterns"]


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
        found = selectors.deployment(self.shop, deployment_id)
        return self.page(selectors.deployment_feed(found), FeedSerializer)


class RollbackView(ApiView):
    """Give everybody an earlier release at once; `to_release: null` is the last good one."""

    @extend_schema(
        request=RollbackSerializer, responses={202: RolloutSerializer}, operation_id="deployments_rollback"
    )
    def post(self, request: Request, deployment_id: str) -> Response:
        received_at = timezone.now()
        rollout = rollbacks.roll_back(
            self.actor,
            self.shop,
            selectors.deployment(self.shop, deployment_id),
            to_release=self.read(RollbackSerializer)["to_release"],
            received_at=received_at,
        )
        return accepted(rollout, dict(RolloutSerializer(selectors.rollout(self.shop, rollout.pk)).data))


class ServingKeysView(ApiView):
    # The answer holds the key, which must not be stored for a replay; making two keys harms nobody.
    repeatable = True

    @extend_schema(responses=ServingKeySerializer(many=True), operation_id="serving_keys_list")
    def get(self, request: Request, deployment_id: str) -> Response:
        authorize(self.actor, "rollouts.read", self.shop)
        found = selectors.deployment(self.shop, deployment_id)
        return self.page(selectors.serving_keys(found), ServingKeySerializer)

    @extend_schema(
        request=NewServingKeySerializer,
        responses={201: ShownServingKeySerializer},
        operation_id="serving_keys_create",
    )
    def post(self, request: Request, deployment_id: str) -> Response:
        found = selectors.deployment(self.shop, deployment_id)
        key, text = keys.issue_serving_key(self.actor, self.shop, found, **self.read(NewServingKeySerializer))
        return Response(ShownServingKeySerializer(key, context={"text": text}).data, status=201)


class ServingKeyView(ApiView):
    @extend_schema(responses={204: None}, operation_id="serving_keys_revoke")
    def delete(self, request: Request, deployment_id: str, key_id: str) -> Response:
        found = selectors.deployment(self.shop, deployment_id)
        keys.revoke_serving_key(self.actor, self.shop, found, key_id)
        return Response(status=204)


class ReleasesView(ApiView):
    filters = frozenset({"deployment"})

    @extend_schema(responses=ReleaseSerializer(many=True), operation_id="releases_list")
    def get(self, request: Request) -> Response:
        authorize(self.actor, "rollouts.read", self.shop)
        rows = selectors.releases(self.shop)
        if "deployment" in request.query_params:
            rows = rows.filter(deployment=selectors.deployment(self.shop, request.query_params["deployment"]))
        return self.page(rows, ReleaseSerializer)


class ReleaseView(ApiView):
    @extend_schema(responses=ReleaseSerializer, operation_id="releases_get")
    def get(self, request: Request, release_id: str) -> Response:
        authorize(self.actor, "rollouts.read", self.shop)
        return Response(ReleaseSerializer(selectors.release(self.shop, release_id)).data)


class PromotionsView(ApiView):
    filters = frozenset({"status", "deployment"})

    @extend_schema(responses=PromotionSerializer(many=True), operation_id="promotions_list")
    def get(self, request: Request) -> Response:
        authorize(self.actor, "promotions.read", self.shop)
        rows = _narrow(selectors.promotions(self.shop), request, status=Promotion.STATUSES)
        if "deployment" in request.query_params:
            rows = rows.filter(deployment=selectors.deployment(self.shop, request.query_params["deployment"]))
        return self.page(rows, PromotionSerializer)

    @extend_schema(
        request=NewPromotionSerializer,
        responses={201: PromotionDetailSerializer},
        operation_id="promotions_create",
    )
    def post(self, request: Request) -> Response:
        asked = self.read(NewPromotionSerializer)
        made = promotions.request_promotion(
            self.actor,
            self.shop,
            model_version(self.shop, asked["model_version"]),
            selectors.deployment(self.shop, asked["deployment"]),
            plan=asked.get("plan"),
            comment=asked.get("comment", ""),
        )
        return Response(_promotion(self, made.pk), status=201)


class PromotionView(ApiView):
    @extend_schema(responses=PromotionDetailSerializer, operation_id="promotions_get")
    def get(self, request: Request, promotion_id: str) -> Response:
        authorize(self.actor, "promotions.read", self.shop)
        return Response(_promotion(self, promotion_id))


class PromotionReviewView(ApiView):
    """Approve or reject. Who asked may not, and no token may: an approver signs in."""

    verdict = ""

    @extend_schema(request=ActionSerializer, responses=PromotionDetailSerializer)
    def post(self, request: Request, promotion_id: str) -> Response:
        reviews.review_promotion(
            self.actor,
            self.shop,
            selectors.promotion(self.shop, promotion_id),
            self.verdict,
            **self.read(ActionSerializer),
        )
        return Response(_promotion(self, promotion_id))


@extend_schema(operation_id="promotions_approve")
class PromotionApproveView(PromotionReviewView):
    verdict = "approve"


@extend_schema(operation_id="promotions_reject")
class PromotionRejectView(PromotionReviewView):
    verdict = "reject"


class PromotionWithdrawView(ApiView):
    @extend_schema(
        request=ActionSerializer, responses=PromotionDetailSerializer, operation_id="promotions_withdraw"
    )
    def post(self, request: Request, promotion_id: str) -> Response:
        asked = self.read(ActionSerializer)
        promotions.withdraw_promotion(
            self.actor,
            self.shop,
            selectors.promotion(self.shop, promotion_id),
            lock_version=asked["lock_version"],
            reason=asked["comment"],
        )
        return Response(_promotion(self, promotion_id))


class PromotionStartView(ApiView):
    """Start the rollout of an approved request that waited, or whose last rollout did not succeed."""

    @extend_schema(
        request=ActionSerializer, responses={202: RolloutSerializer}, operation_id="promotions_start"
    )
    def post(self, request: Request, promotion_id: str) -> Response:
        asked = self.read(ActionSerializer)
        rollout = starts.start_rollout(
            self.actor,
            self.shop,
            selectors.promotion(self.shop, promotion_id),
            lock_version=asked["lock_version"],
        )
        return accepted(rollout, dict(RolloutSerializer(selectors.rollout(self.shop, rollout.pk)).data))


class PromotionCommentsView(ApiView):
    @extend_schema(
        request=CommentSerializer,
        responses={201: PromotionDetailSerializer},
        operation_id="promotions_comment",
    )
    def post(self, request: Request, promotion_id: str) -> Response:
        reviews.review_promotion(
            self.actor,
            self.shop,
            selectors.promotion(self.shop, promotion_id),
            "comment",
            **self.read(CommentSerializer),
        )
        return Response(_promotion(self, promotion_id), status=201)


class RolloutsView(ApiView):
    filters = frozenset({"status", "deployment", "kind"})

    @extend_schema(responses=RolloutSerializer(many=True), operation_id="rollouts_list")
    def get(self, request: Request) -> Response:
        authorize(self.actor, "rollouts.read", self.shop)
        rows = _narrow(
            selectors.rollouts(self.shop), request, status=Rollout.STATUSES, kind=("promote", "rollback")
        )
        if "deployment" in request.query_params:
            rows = rows.filter(deployment=selectors.deployment(self.shop, request.query_params["deployment"]))
        return self.page(rows, RolloutSerializer)


class RolloutView(ApiView):
    @extend_schema(responses=RolloutDetailSerializer, operation_id="rollouts_get")
    def get(self, request: Request, rollout_id: str) -> Response:
        authorize(self.actor, "rollouts.read", self.shop)
        found = selectors.rollout(self.shop, rollout_id)
        return Response(RolloutDetailSerializer(found).data)


class RolloutEventsView(ApiView):
    """What happened to a rollout, in words, newest first."""

    @extend_schema(responses=FeedSerializer(many=True), operation_id="rollouts_events")
    def get(self, request: Request, rollout_id: str) -> Response:
        authorize(self.actor, "rollouts.read", self.shop)
        found = selectors.rollout(self.shop, rollout_id)
        return self.page(selectors.rollout_feed(found), FeedSerializer)


class RolloutActionView(ApiView):
    act: Callable[..., Rollout]
    takes_reason = False

    @extend_schema(request=ActionSerializer, responses=RolloutDetailSerializer)
    def post(self, request: Request, rollout_id: str) -> Response:
        asked = self.read(ActionSerializer)
        reason: dict[str, Any] = {"reason": asked["comment"]} if self.takes_reason else {}
        act = type(self).act
        act(
            self.actor,
            self.shop,
            selectors.rollout(self.shop, rollout_id),
            lock_version=asked["lock_version"],
            **reason,
        )
        return Response(RolloutDetailSerializer(selectors.rollout(self.shop, rollout_id)).data)


@extend_schema(operation_id="rollouts_pause")
class RolloutPauseView(RolloutActionView):
    act = staticmethod(rollouts.pause_rollout)
    takes_reason = True


@extend_schema(operation_id="rollouts_resume")
class RolloutResumeView(RolloutActionView):
    act = staticmethod(rollouts.resume_rollout)


@extend_schema(operation_id="rollouts_step")
class RolloutStepView(RolloutActionView):
    act = staticmethod(rollouts.step_now)


@extend_schema(operation_id="rollouts_promote")
class RolloutPromoteView(RolloutActionView):
    act = staticmethod(rollouts.promote_now)


@extend_schema(operation_id="rollouts_abort")
class RolloutAbortView(RolloutActionView):
    act = staticmethod(rollouts.abort_rollout)
    takes_reason = True


class RolloutNoteView(ApiView):
    """Say afterwards why it was done."""

    @extend_schema(request=CommentSerializer, responses=RolloutDetailSerializer, operation_id="rollouts_note")
    def put(self, request: Request, rollout_id: str) -> Response:
        rollouts.explain_rollout(
            self.actor,
            self.shop,
            selectors.rollout(self.shop, rollout_id),
            self.read(CommentSerializer)["comment"],
        )
        return Response(RolloutDetailSerializer(selectors.rollout(self.shop, rollout_id)).data)


def _narrow(rows: QuerySet[Any], request: Request, **choices: tuple[str, ...]) -> QuerySet[Any]:
    """Filter rows by what the query names; raises InvalidInput for what no row can be."""
    for name, known in choices.items():
        wanted = request.query_params.get(name)
        if wanted is not None and wanted not in known:
            raise InvalidInput(f"Unknown {name} {wanted[:40]!r}. Known are: {', '.join(known)}.")
        if wanted is not None:
            rows = rows.filter(**{name: wanted})
    return rows


def _promotion(view: ApiView, pk: str) -> dict[str, Any]:
    return dict(PromotionDetailSerializer(selectors.promotion(view.shop, pk)).data)


_deployment, _promotion_path, _rollout = (
    "deployments/<str:deployment_id>",
    "promotions/<str:promotion_id>",
    "rollouts/<str:rollout_id>",
)
urlpatterns = [
    path("environments", EnvironmentsView.as_view(), name="api_environments"),
    path("deployments", DeploymentsView.as_view(), name="api_deployments"),
    path(_deployment, DeploymentView.as_view(), name="api_deployment"),
    path(f"{_deployment}/events", DeploymentEventsView.as_view(), name="api_deployment_events"),
    path(f"{_deployment}/rollback", RollbackView.as_view(), name="api_rollback"),
    path(f"{_deployment}/keys", ServingKeysView.as_view(), name="api_serving_keys"),
    path(f"{_deployment}/keys/<str:key_id>", ServingKeyView.as_view(), name="api_serving_key"),
    path("releases", ReleasesView.as_view(), name="api_releases"),
    path("releases/<str:release_id>", ReleaseView.as_view(), name="api_release"),
    path("promotions", PromotionsView.as_view(), name="api_promotions"),
    path(_promotion_path, PromotionView.as_view(), name="api_promotion"),
    path(f"{_promotion_path}/approve", PromotionApproveView.as_view(), name="api_promotion_approve"),
    path(f"{_promotion_path}/reject", PromotionRejectView.as_view(), name="api_promotion_reject"),
    path(f"{_promotion_path}/withdraw", PromotionWithdrawView.as_view(), name="api_promotion_withdraw"),
    path(f"{_promotion_path}/start", PromotionStartView.as_view(), name="api_promotion_start"),
    path(f"{_promotion_path}/comments", PromotionCommentsView.as_view(), name="api_promotion_comments"),
    path("rollouts", RolloutsView.as_view(), name="api_rollouts"),
    path(_rollout, RolloutView.as_view(), name="api_rollout"),
    path(f"{_rollout}/events", RolloutEventsView.as_view(), name="api_rollout_events"),
    path(f"{_rollout}/pause", RolloutPauseView.as_view(), name="api_rollout_pause"),
    path(f"{_rollout}/resume", RolloutResumeView.as_view(), name="api_rollout_resume"),
    path(f"{_rollout}/step", RolloutStepView.as_view(), name="api_rollout_step"),
    path(f"{_rollout}/promote", RolloutPromoteView.as_view(), name="api_rollout_promote"),
    path(f"{_rollout}/abort", RolloutAbortView.as_view(), name="api_rollout_abort"),
    path(f"{_rollout}/note", RolloutNoteView.as_view(), name="api_rollout_note"),
]
