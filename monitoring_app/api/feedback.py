"""What shops send over the API: events and ratings; and how long an answer is spoken for."""

from typing import Any

from django.urls import path
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from monitoring_app.api.parsers import EventsParser, NdjsonParser
from monitoring_app.event_rules import MAX_EVENTS, MAX_VALUE, TYPES, Refused, read_id, read_time
from monitoring_app.selectors.feedback import window_of
from monitoring_app.services.feedback import take_events
from monitoring_app.services.ratings import rate, take_rating_back
from monitoring_app.services.windows import MAX_S, set_window
from portal.core.api import ApiView, StrictSerializer
from portal.core.errors import InvalidInput


class ShopEventSerializer(serializers.Serializer):
    """One thing that a shopper did. Only the documentation reads this: `event_rules` reads the events."""

    event_id = serializers.CharField(help_text="The shop's own, e.g. a UUID; the same id counts once.")
    type = serializers.ChoiceField(choices=list(TYPES))
    user_id = serializers.CharField(required=False, help_text="As in the ratings file, and in ?user=.")
    session_id = serializers.CharField(required=False, help_text="For somebody who is not signed in.")
    item_id = serializers.CharField(required=False)
    recommendation_id = serializers.CharField(
        required=False, help_text="From the answer that carried the list; without it no release is credited."
    )
    position = serializers.IntegerField(required=False, help_text="Place in the list, from 1.")
    value = serializers.FloatField(required=False, help_text="Price paid, or the rating.")
    currency = serializers.CharField(required=False, help_text="ISO 4217: EUR.")
    occurred_at = serializers.DateTimeField(
        required=False, help_text="With a zone, at most 7 days ago; without it: now."
    )


class RefusedEventSerializer(serializers.Serializer):
    index = serializers.IntegerField(help_text="Place in the batch, from 0.")
    code = serializers.CharField()
    pointer = serializers.CharField()
    detail = serializers.CharField()


class TakenSerializer(serializers.Serializer):
    accepted = serializers.IntegerField(help_text="New, right, and on disk.")
    duplicates = serializers.IntegerField(help_text="Their event_id was known already.")
    rejected = RefusedEventSerializer(many=True)


SHOWN = OpenApiExample(
    "A click",
    [
        {
            "event_id": "0b6e0d0e-6a53-4f7f-a0d4-55ad8f6f6a6e",
            "type": "recommendation-click",
            "user_id": "u42",
            "item_id": "i3",
            "recommendation_id": "rec_…",
            "position": 1,
            "occurred_at": "2026-01-02T03:04:05Z",
        }
    ],
    request_only=True,
)


class FeedbackEventsView(ApiView):
    """Take what shoppers did: up to 1,000 events as a JSON array or as lines (application/x-ndjson).

    Every event has its own verdict: what is wrong with one does not stop the others. What was accepted is
    on disk. Needs no Idempotency-Key: each event has its event_id, so a batch may simply be sent again.
    """

    repeatable = True
    parser_classes = (EventsParser, NdjsonParser)

    @extend_schema(
        request={
            "application/json": ShopEventSerializer(many=True),
            "application/x-ndjson": OpenApiTypes.STR,
        },
        responses={202: TakenSerializer},
        examples=[SHOWN],
        operation_id="events_send",
    )
    def post(self, request: Request) -> Response:
        given: Any = request.data
        if not isinstance(given, list):
            raise InvalidInput(
                f"Send an array of up to {MAX_EVENTS:,} events, even for one: [{{…}}].",
                errors=[{"pointer": "", "code": "not_a_list", "detail": "This must be an array."}],
            )
        return Response(TakenSerializer(take_events(self.actor, self.shop, given)).data, status=202)


class RatingSerializer(StrictSerializer):
    """What one shopper thinks of one item."""

    user_id = serializers.CharField()
    item_id = serializers.CharField()
    value = serializers.FloatField(min_value=-MAX_VALUE, max_value=MAX_VALUE)
    rated_at = serializers.CharField(required=False, help_text="With a zone; without it: now.")


class RatingsView(ApiView):
    """A shopper's ratings, one an item: a new one replaces the one before, unless it is the older."""

    @extend_schema(request=RatingSerializer, responses={201: RatingSerializer}, operation_id="ratings_create")
    def post(self, request: Request) -> Response:
        given = self.read(RatingSerializer)
        now = timezone.now()
        at = _checked(read_time, given["rated_at"], "rated_at", now) if "rated_at" in given else now
        pair = {name: _named(given[name], name) for name in ("user_id", "item_id")}
        rate(self.actor, self.shop, **pair, value=given["value"], rated_at=at)
        body = {**pair, "value": given["value"], "rated_at": at.isoformat().replace("+00:00", "Z")}
        return Response(body, status=201)

    @extend_schema(
        parameters=[OpenApiParameter(name, str, required=True) for name in ("user_id", "item_id")],
        responses={204: None},
        operation_id="ratings_delete",
    )
    def delete(self, request: Request) -> Response:
        """Take a rating back; there was none is fine too."""
        unknown = sorted(set(request.query_params) - {"user_id", "item_id"})
        if unknown:
            raise InvalidInput(f"Unknown parameter {unknown[0][:80]!r}. Known are: item_id, user_id.")
        pair = {name: _named(request.query_params.get(name, ""), name) for name in ("user_id", "item_id")}
        take_rating_back(self.actor, self.shop, **pair)
        return Response(status=204)


class WindowSerializer(StrictSerializer):
    click_s = serializers.IntegerField(min_value=1, max_value=MAX_S)
    purchase_s = serializers.IntegerField(min_value=1, max_value=MAX_S)


class WindowView(ApiView):
    """How long after an answer a click or a purchase still speaks for it, at one placement."""

    @extend_schema(responses=WindowSerializer, operation_id="deployments_feedback_window_get")
    def get(self, request: Request, deployment_id: str) -> Response:
        return Response(WindowSerializer(window_of(self.actor, self.shop, deployment_id)).data)

    @extend_schema(
        request=WindowSerializer, responses=WindowSerializer, operation_id="deployments_feedback_window_set"
    )
    def put(self, request: Request, deployment_id: str) -> Response:
        window = set_window(self.actor, self.shop, deployment_id, **self.read(WindowSerializer))
        return Response(WindowSerializer(window).data)


def _named(text: str, field: str) -> str:
    name: str = _checked(read_id, text, field)
    if not name:
        raise InvalidInput(
            f"Say whose: {field} is missing.",
            errors=[{"pointer": f"/{field}", "code": "missing", "detail": "Fill it in."}],
        )
    return name


def _checked(read: Any, *given: Any) -> Any:
    """Read one field by the rules of events; what they refuse is a 400 here."""
    try:
        return read(*given)
    except Refused as error:
        place = {"pointer": error.pointer, "code": error.code, "detail": error.detail}
        raise InvalidInput(error.detail, errors=[place]) from error


urlpatterns = [
    path("events", FeedbackEventsView.as_view(), name="api_feedback_events"),
    path("ratings", RatingsView.as_view(), name="api_ratings"),
    path(
        "deployments/<str:deployment_id>/feedback-window",
        WindowView.as_view(),
        name="api_feedback_window",
    ),
]
