"""Rollouts and rollbacks: what happens, and what people do to them."""

from collections.abc import Callable
from typing import Any

from django.urls import path
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from deployments_app import selectors
from deployments_app.api.narrowing import narrow
from deployments_app.models import Rollout
from deployments_app.serializers import (
    ActionSerializer,
    CommentSerializer,
    ConcludeSerializer,
    FeedSerializer,
    RolloutDetailSerializer,
    RolloutSerializer,
)
from deployments_app.services import rollouts
from portal.core.api import ApiView
from portal.core.permissions import authorize


class RolloutsView(ApiView):
    filters = frozenset({"status", "deployment", "kind"})

    @extend_schema(responses=RolloutSerializer(many=True), operation_id="rollouts_list")
    def get(self, request: Request) -> Response:
        authorize(self.actor, "rollouts.read", self.shop)
        rows = narrow(
            selectors.rollouts(self.shop), request, status=Rollout.STATUSES, kind=("promote", "rollback")
        )
        if "deployment" in request.query_params:
            found = selectors.bare_deployment(self.shop, request.query_params["deployment"])
            rows = rows.filter(deployment=found)
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


@extend_schema_view(post=extend_schema(operation_id="rollouts_pause"))
class RolloutPauseView(RolloutActionView):
    act = staticmethod(rollouts.pause_rollout)
    takes_reason = True


@extend_schema_view(post=extend_schema(operation_id="rollouts_resume"))
class RolloutResumeView(RolloutActionView):
    act = staticmethod(rollouts.resume_rollout)


@extend_schema_view(post=extend_schema(operation_id="rollouts_step"))
class RolloutStepView(RolloutActionView):
    act = staticmethod(rollouts.step_now)


@extend_schema_view(post=extend_schema(operation_id="rollouts_promote"))
class RolloutPromoteView(RolloutActionView):
    act = staticmethod(rollouts.promote_now)


@extend_schema_view(post=extend_schema(operation_id="rollouts_abort"))
class RolloutAbortView(RolloutActionView):
    act = staticmethod(rollouts.abort_rollout)
    takes_reason = True


class RolloutConcludeView(ApiView):
    """End an A/B test: say which release stays."""

    @extend_schema(
        request=ConcludeSerializer, responses=RolloutDetailSerializer, operation_id="rollouts_conclude"
    )
    def post(self, request: Request, rollout_id: str) -> Response:
        asked = self.read(ConcludeSerializer)
        rollouts.conclude_rollout(
            self.actor,
            self.shop,
            selectors.rollout(self.shop, rollout_id),
            asked["keep"],
            lock_version=asked["lock_version"],
            reason=asked["comment"],
        )
        return Response(RolloutDetailSerializer(selectors.rollout(self.shop, rollout_id)).data)


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


urlpatterns = [
    path("rollouts", RolloutsView.as_view(), name="api_rollouts"),
    path("rollouts/<str:rollout_id>", RolloutView.as_view(), name="api_rollout"),
    path("rollouts/<str:rollout_id>/events", RolloutEventsView.as_view(), name="api_rollout_events"),
    path("rollouts/<str:rollout_id>/pause", RolloutPauseView.as_view(), name="api_rollout_pause"),
    path("rollouts/<str:rollout_id>/resume", RolloutResumeView.as_view(), name="api_rollout_resume"),
    path("rollouts/<str:rollout_id>/step", RolloutStepView.as_view(), name="api_rollout_step"),
    path("rollouts/<str:rollout_id>/promote", RolloutPromoteView.as_view(), name="api_rollout_promote"),
    path("rollouts/<str:rollout_id>/abort", RolloutAbortView.as_view(), name="api_rollout_abort"),
    path("rollouts/<str:rollout_id>/conclude", RolloutConcludeView.as_view(), name="api_rollout_conclude"),
    path("rollouts/<str:rollout_id>/note", RolloutNoteView.as_view(), name="api_rollout_note"),
]
