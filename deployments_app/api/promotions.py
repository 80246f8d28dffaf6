"""Requests: asked for, looked at, decided."""

from typing import Any

from django.urls import path
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from deployments_app import selectors
from deployments_app.api.narrowing import narrow
from deployments_app.models import Promotion
from deployments_app.plan_templates import TEMPLATES
from deployments_app.serializers import (
    ActionSerializer,
    CommentSerializer,
    NewPromotionSerializer,
    PlanPreviewSerializer,
    PlanTemplateSerializer,
    PromotionDetailSerializer,
    PromotionSerializer,
    RolloutSerializer,
)
from deployments_app.services import promotions, reviews, starts
from deployments_app.services.previews import preview_promotion, preview_request
from models_app.selectors import model_version
from portal.core.api import ApiView, accepted
from portal.core.permissions import authorize


class PromotionsView(ApiView):
    filters = frozenset({"status", "deployment"})

    @extend_schema(responses=PromotionSerializer(many=True), operation_id="promotions_list")
    def get(self, request: Request) -> Response:
        authorize(self.actor, "promotions.read", self.shop)
        rows = narrow(selectors.promotions(self.shop), request, status=Promotion.STATUSES)
        if "deployment" in request.query_params:
            found = selectors.bare_deployment(self.shop, request.query_params["deployment"])
            rows = rows.filter(deployment=found)
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


class PromotionPreviewView(ApiView):
    """What a request would lead to: steps with dates and shoppers, and what changes. Nothing is done."""

    @extend_schema(
        request=NewPromotionSerializer, responses=PlanPreviewSerializer, operation_id="promotions_preview"
    )
    def post(self, request: Request) -> Response:
        asked = self.read(NewPromotionSerializer)
        found = preview_promotion(
            self.actor,
            self.shop,
            model_version(self.shop, asked["model_version"]),
            selectors.deployment(self.shop, asked["deployment"]),
            plan=asked.get("plan"),
        )
        return Response(PlanPreviewSerializer(found).data)


class PromotionChangesView(ApiView):
    """What a request that waits would change now: the same as its preview did, against what is live now."""

    @extend_schema(responses=PlanPreviewSerializer, operation_id="promotions_changes")
    def get(self, request: Request, promotion_id: str) -> Response:
        found = preview_request(self.actor, self.shop, selectors.promotion(self.shop, promotion_id))
        return Response(PlanPreviewSerializer(found).data)


class PlanTemplatesView(ApiView):
    """Plans to begin with; each can be sent with a request as it is, or edited."""

    @extend_schema(responses=PlanTemplateSerializer(many=True), operation_id="plan_templates_list")
    def get(self, request: Request) -> Response:
        authorize(self.actor, "promotions.read", self.shop)
        rows = PlanTemplateSerializer(list(TEMPLATES.values()), many=True).data
        return Response({"results": rows, "next_page_token": None})


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


@extend_schema_view(post=extend_schema(operation_id="promotions_approve"))
class PromotionApproveView(PromotionReviewView):
    verdict = "approve"


@extend_schema_view(post=extend_schema(operation_id="promotions_reject"))
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


def _promotion(view: ApiView, pk: str) -> dict[str, Any]:
    return dict(PromotionDetailSerializer(selectors.promotion(view.shop, pk)).data)


urlpatterns = [
    path("promotions", PromotionsView.as_view(), name="api_promotions"),
    path("promotions/preview", PromotionPreviewView.as_view(), name="api_promotion_preview"),
    path("plan-templates", PlanTemplatesView.as_view(), name="api_plan_templates"),
    path("promotions/<str:promotion_id>", PromotionView.as_view(), name="api_promotion"),
    path(
        "promotions/<str:promotion_id>/approve", PromotionApproveView.as_view(), name="api_promotion_approve"
    ),
    path("promotions/<str:promotion_id>/reject", PromotionRejectView.as_view(), name="api_promotion_reject"),
    path(
        "promotions/<str:promotion_id>/withdraw",
        PromotionWithdrawView.as_view(),
        name="api_promotion_withdraw",
    ),
    path(
        "promotions/<str:promotion_id>/changes", PromotionChangesView.as_view(), name="api_promotion_changes"
    ),
    path("promotions/<str:promotion_id>/start", PromotionStartView.as_view(), name="api_promotion_start"),
    path(
        "promotions/<str:promotion_id>/comments",
        PromotionCommentsView.as_view(),
        name="api_promotion_comments",
    ),
]
