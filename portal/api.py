"""The API's shell: jobs, people, tokens and events of any stage; OpenAPI; what gateways' agents ask."""

import json
from collections.abc import AsyncIterator
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_safe
from drf_spectacular.utils import OpenApiTypes, extend_schema, extend_schema_field
from drf_spectacular.views import SpectacularJSONAPIView
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

import deployments_app.api
import models_app.api
import monitoring_app.api
from deployments_app.artifact_api import artifact_urlpatterns
from deployments_app.gateway_api import gateway_report, gateway_routes, gateway_shoppers
from deployments_app.gateway_report import Report
from monitoring_app.services.judging import judge_rollouts
from monitoring_app.services.metrics import ingest_gateway_report
from monitoring_app.services.reactions import watch_live
from portal.core import people, tokens
from portal.core.api import ApiView, JobSerializer, StrictSerializer
from portal.core.models import ApiToken, Event, Membership, Role
from portal.core.permissions import ACTIONS, SCOPES, refusal
from portal.core.selectors import visible_events, visible_members
from portal.jobs import FINISHED, find_job

STREAM_INTERVAL_S = 0.5
STREAM_MAX_S = 3600


class JobView(ApiView):
    """One long job, whatever it is."""

    @extend_schema(responses=JobSerializer, operation_id="jobs_get")
    def get(self, request: Request, job_id: str) -> Response:
        return Response(find_job(self.actor, self.shop, job_id))


class JobEventsView(ApiView):
    """A job's progress as server-sent events; `Last-Event-ID` skips what was seen."""

    @extend_schema(responses={(200, "text/event-stream"): OpenApiTypes.STR}, operation_id="jobs_events")
    def get(self, request: Request, job_id: str) -> StreamingHttpResponse:
        actor, shop = self.actor, self.shop
        first = find_job(actor, shop, job_id)
        seen = request.headers.get("Last-Event-ID", "")

        async def stream() -> AsyncIterator[bytes]:
            import asyncio

            body, last = first, seen
            for _ in range(int(STREAM_MAX_S / STREAM_INTERVAL_S)):
                mark = f"{body['status']}-{body['progress']['stage']}-{body['progress']['done']}".replace(
                    "\n", " "
                )
                if mark != last:
                    last = mark
                    yield f"id: {mark}\nevent: progress\ndata: {json.dumps(body)}\n\n".encode()
                if body["state"] in FINISHED:
                    return
                await asyncio.sleep(STREAM_INTERVAL_S)
                body = await sync_to_async(find_job)(actor, shop, job_id)

        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingHttpResponse(stream(), content_type="text/event-stream", headers=headers)


class MeSerializer(serializers.Serializer):
    id = serializers.CharField()
    name = serializers.CharField()
    shop = serializers.CharField()
    role = serializers.CharField()
    scopes = serializers.ListField(child=serializers.CharField(), allow_null=True)


class MeView(ApiView):
    @extend_schema(responses=MeSerializer, operation_id="me_get")
    def get(self, request: Request) -> Response:
        actor = self.actor
        body = {
            "id": actor.user.pk if actor.user else "",
            "name": actor.user.label if actor.user else "",
            "shop": self.shop.slug,
            "role": actor.role_in(self.shop),
            "scopes": actor.token.scopes if actor.token else None,
        }
        return Response(body)


class PermissionSerializer(serializers.Serializer):
    action = serializers.CharField()
    is_permitted = serializers.BooleanField()
    why_not = serializers.CharField(allow_null=True)


class PermissionsView(ApiView):
    """What the caller may do here, and why not the rest."""

    @extend_schema(responses=PermissionSerializer(many=True), operation_id="me_permissions")
    def get(self, request: Request) -> Response:
        reasons = {name: refusal(self.actor, name, self.shop) for name in ACTIONS}
        return Response(
            [{"action": name, "is_permitted": why is None, "why_not": why} for name, why in reasons.items()]
        )


class EventSerializer(serializers.ModelSerializer):
    class Meta:
        model = Event
        fields = (
            "id", "seq", "verb", "actor_kind", "actor_label", "object_type", "object_id", "object_label",
            "from_status", "to_status", "reason", "data", "request_id", "created_at", "prev_hash", "hash",
        )  # fmt: skip


class EventsView(ApiView):
    filters = frozenset({"object_id", "verb"})

    @extend_schema(responses=EventSerializer(many=True), operation_id="events_list")
    def get(self, request: Request) -> Response:
        chosen = {name: request.query_params[name] for name in self.filters if name in request.query_params}
        return self.page(visible_events(self.actor, self.shop).filter(**chosen), EventSerializer)


class MemberSerializer(serializers.ModelSerializer):
    name = serializers.CharField(source="user.label", read_only=True)
    email = serializers.EmailField(source="user.email", read_only=True)

    class Meta:
        model = Membership
        fields = ("id", "name", "email", "role", "created_at")


class NewMemberSerializer(StrictSerializer):
    username = serializers.SlugField(max_length=60)
    name = serializers.CharField(max_length=120)
    email = serializers.EmailField()
    role = serializers.ChoiceField(choices=Role.choices)


class RoleSerializer(StrictSerializer):
    role = serializers.ChoiceField(choices=Role.choices)


class MembersView(ApiView):
    @extend_schema(responses=MemberSerializer(many=True), operation_id="members_list")
    def get(self, request: Request) -> Response:
        return self.page(visible_members(self.actor, self.shop), MemberSerializer)

    @extend_schema(
        request=NewMemberSerializer, responses={201: MemberSerializer}, operation_id="members_create"
    )
    def post(self, request: Request) -> Response:
        user = people.add_person(actor=self.actor, shop=self.shop, **self.read(NewMemberSerializer))
        member = visible_members(self.actor, self.shop).get(user=user)
        return Response(MemberSerializer(member).data, status=201)


class MemberView(ApiView):
    @extend_schema(request=RoleSerializer, responses=MemberSerializer, operation_id="members_change")
    def patch(self, request: Request, membership_id: str) -> Response:
        role = self.read(RoleSerializer)["role"]
        changed = people.change_role(actor=self.actor, shop=self.shop, membership_id=membership_id, role=role)
        return Response(MemberSerializer(changed).data)

    @extend_schema(responses={204: None}, operation_id="members_remove")
    def delete(self, request: Request, membership_id: str) -> Response:
        people.remove_person(actor=self.actor, shop=self.shop, membership_id=membership_id)
        return Response(status=204)


class TokenSerializer(serializers.ModelSerializer):
    created_by = serializers.CharField(source="created_by.label", read_only=True)
    scopes = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = ApiToken
        fields: tuple[str, ...] = (
            "id", "name", "scopes", "created_by", "created_at", "expires_at", "revoked_at", "last_used_at",
            "last_four",
        )  # fmt: skip


class NewTokenSerializer(StrictSerializer):
    name = serializers.CharField(max_length=80)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=list(SCOPES)), min_length=1)
    days = serializers.IntegerField(min_value=1, max_value=tokens.MAX_DAYS, default=tokens.DEFAULT_DAYS)


class ShownTokenSerializer(TokenSerializer):
    token = serializers.SerializerMethodField()

    class Meta(TokenSerializer.Meta):
        fields = (*TokenSerializer.Meta.fields, "token")

    @extend_schema_field(OpenApiTypes.STR)
    def get_token(self, token: ApiToken) -> str:
        return str(self.context["text"])


class TokensView(ApiView):
    # The answer holds the secret, which must not be stored for a replay; making two tokens harms nobody.
    repeatable = True

    @extend_schema(responses=TokenSerializer(many=True), operation_id="tokens_list")
    def get(self, request: Request) -> Response:
        return self.page(tokens.visible_tokens(self.actor, self.shop), TokenSerializer)

    @extend_schema(
        request=NewTokenSerializer, responses={201: ShownTokenSerializer}, operation_id="tokens_create"
    )
    def post(self, request: Request) -> Response:
        token, text = tokens.create_token(actor=self.actor, shop=self.shop, **self.read(NewTokenSerializer))
        return Response(ShownTokenSerializer(token, context={"text": text}).data, status=201)


class TokenView(ApiView):
    @extend_schema(responses={204: None}, operation_id="tokens_revoke")
    def delete(self, request: Request, token_id: str) -> Response:
        tokens.revoke_token(actor=self.actor, shop=self.shop, token_id=token_id)
        return Response(status=204)


@method_decorator(login_not_required, name="dispatch")
class SchemaView(SpectacularJSONAPIView):
    permission_classes: Any = []
    authentication_classes: Any = []


@login_not_required
@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """The API reference, rendered from assets served here."""
    return render(request, "portal/api_docs.html")


urlpatterns = [
    path("openapi.json", SchemaView.as_view(), name="openapi"),
    path("jobs/<str:job_id>", JobView.as_view(), name="api_job"),
    path("jobs/<str:job_id>/events", JobEventsView.as_view(), name="api_job_events"),
    path("me", MeView.as_view(), name="api_me"),
    path("me/permissions", PermissionsView.as_view(), name="api_permissions"),
    path("audit-events", EventsView.as_view(), name="api_events"),
    path("members", MembersView.as_view(), name="api_members"),
    path("members/<str:membership_id>", MemberView.as_view(), name="api_member"),
    path("tokens", TokensView.as_view(), name="api_tokens"),
    path("tokens/<str:token_id>", TokenView.as_view(), name="api_token"),
    *models_app.api.urlpatterns,
    *deployments_app.api.urlpatterns,
    *monitoring_app.api.urlpatterns,
]


def take_counts(report: Report) -> None:
    """Hand a gateway's counts to the stage that measures, which hands verdicts back to the one that acts."""
    deployments = ingest_gateway_report(report)
    judge_rollouts(deployments)
    watch_live(deployments)


gateway_urlpatterns = [
    *artifact_urlpatterns,
    path("routes", gateway_routes, name="gateway_routes"),
    path("shoppers", gateway_shoppers, name="gateway_shoppers"),
    path("report", gateway_report, {"and_then": take_counts}, name="gateway_report"),
]
