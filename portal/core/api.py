"""What every API view shares: the actor, the shop, strict input, cursor pages, 202 for long work."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.db.models import QuerySet
from django.utils.functional import cached_property
from rest_framework import serializers, status
from rest_framework.pagination import CursorPagination
from rest_framework.response import Response
from rest_framework.views import APIView

from portal.core.actors import Actor
from portal.core.authentication import api_actor, api_shop
from portal.core.errors import InvalidInput
from portal.core.idempotency import run_once
from portal.core.models import LeasedJob, Shop

MAX_PAGE_SIZE = 200
_PAGE_TOKEN = re.compile(r"[A-Za-z0-9+/=]{1,400}")


class StrictSerializer(serializers.Serializer):
    """A serializer that refuses names it does not know, instead of ignoring them."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            writable = {name for name, field in self.fields.items() if not field.read_only}
            unknown = sorted(set(data) - writable)
            if unknown:
                known = ", ".join(sorted(writable)) or "none"
                raise serializers.ValidationError(
                    {name: [f"Unknown or read-only field. Known are: {known}."] for name in unknown}
                )
        return super().to_internal_value(data)


class CursorPages(CursorPagination):
    """`?page_size=50&page_token=…` → `{results, next_page_token}` and a Link header (RFC 8288)."""

    page_size = 50
    max_page_size = MAX_PAGE_SIZE
    page_size_query_param = "page_size"
    cursor_query_param = "page_token"
    ordering = ("-created_at", "-pk")

    def get_page_size(self, request: Any) -> int:
        given = request.query_params.get("page_size")
        if given is None:
            return self.page_size
        if (
            len(given) > 9
            or not (given.isascii() and given.isdigit())
            or not 1 <= int(given) <= MAX_PAGE_SIZE
        ):
            raise InvalidInput(f"page_size is a number from 1 to {MAX_PAGE_SIZE}, not {given[:20]!r}.")
        return int(given)

    def decode_cursor(self, request: Any) -> Any:
        given = request.query_params.get("page_token")
        if given is not None and _PAGE_TOKEN.fullmatch(given) is None:
            raise InvalidInput("This page_token is none that was given out. Begin without one.")
        return super().decode_cursor(request)

    def get_paginated_response(self, data: Any) -> Response:
        link = self.get_next_link()
        token = parse_qs(urlsplit(link).query)["page_token"][0] if link else None
        headers = {"Link": f'<{link}>; rel="next"'} if link else {}
        return Response({"results": data, "next_page_token": token}, headers=headers)

    def get_paginated_response_schema(self, schema: Any) -> dict[str, Any]:
        return {
            "type": "object",
            "required": ["results", "next_page_token"],
            "properties": {"results": schema, "next_page_token": {"type": ["string", "null"]}},
        }


class EmptySerializer(StrictSerializer):
    """A body without fields."""


class ApiView(APIView):
    """Base of all API views. A POST needs an Idempotency-Key and acts once, unless `repeatable`."""

    repeatable = False  # True: a POST that may simply be sent again
    filters: frozenset[str] = frozenset()  # query parameters of a list, beside paging

    @cached_property
    def actor(self) -> Actor:
        return api_actor(self.request)

    @cached_property
    def shop(self) -> Shop:
        return api_shop(self.request, self.actor)

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        post = getattr(self, "post", None)  # without one, DRF answers 405
        if request.method == "POST" and post is not None and not self.repeatable:
            self.post = lambda drf_request, *a, **k: run_once(
                drf_request, self.actor, lambda: post(drf_request, *a, **k)
            )
        return super().dispatch(request, *args, **kwargs)

    def read(self, serializer: type[serializers.BaseSerializer], **options: Any) -> dict[str, Any]:
        """Validate the body; raises a 400 problem that points at each wrong field."""
        checked = serializer(data=self.request.data, **options)
        checked.is_valid(raise_exception=True)
        return checked.validated_data

    def page(self, rows: QuerySet[Any], serializer: type[serializers.BaseSerializer]) -> Response:
        """Answer with one cursor page of rows, newest first."""
        known = self.filters | {"page_size", "page_token"}
        unknown = sorted(set(self.request.query_params) - known)
        if unknown:
            raise InvalidInput(
                f"Unknown parameter {unknown[0][:80]!r}. Known are: {', '.join(sorted(known))}."
            )
        pages = CursorPages()
        chosen = pages.paginate_queryset(rows, self.request, view=self)
        return pages.get_paginated_response(serializer(chosen, many=True).data)


def accepted(job: LeasedJob, body: dict[str, Any]) -> Response:
    """Answer 202 for long work, with the place where its progress is."""
    location = f"/api/v1/jobs/{job.pk}"
    return Response(body, status=status.HTTP_202_ACCEPTED, headers={"Location": location})


JOB_STATES = {
    "uploading": "queued",
    "queued": "queued",
    "pending": "queued",
    "checking": "running",
    "running": "running",
    "progressing": "running",
    "paused": "running",
    "canceling": "running",
    "ready": "succeeded",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "canceled",
    "aborted": "canceled",
}


class ProgressSerializer(serializers.Serializer):
    stage = serializers.CharField(allow_blank=True)
    done = serializers.IntegerField()
    total = serializers.IntegerField(allow_null=True)
    unit = serializers.CharField(allow_blank=True)
    eta_seconds = serializers.FloatField(allow_null=True)


class JobSerializer(serializers.Serializer):
    """How long work is shown, whatever it is."""

    id = serializers.CharField()
    state = serializers.ChoiceField(choices=["queued", "running", "succeeded", "failed", "canceled"])
    status = serializers.CharField()
    progress = ProgressSerializer()
    result_url = serializers.CharField()
    error = serializers.JSONField(allow_null=True)


def job_body(job: LeasedJob, result_url: str) -> dict[str, Any]:
    """Describe a job: its state in the API's words, its progress, and where its result is."""
    name: str = job.status  # type: ignore[attr-defined]
    return {
        "id": job.pk,
        "state": JOB_STATES[name],
        "status": name,
        "progress": {
            "stage": job.stage,
            "done": job.progress_done,
            "total": job.progress_total,
            "unit": job.progress_unit,
            "eta_seconds": job.eta_s,
        },
        "result_url": result_url,
        "error": job.error,
    }
