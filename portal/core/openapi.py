"""What OpenAPI says of every operation alike: two ways of signing in, headers, refusals."""

from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

from portal.core.authentication import BearerAuthentication, ShopSessionAuthentication
from portal.core.problems import CONTENT_TYPE

SHOP = OpenApiParameter(
    "X-Aisle-Shop",
    str,
    OpenApiParameter.HEADER,
    description="Short name of the shop, for a person who belongs to several; a token belongs to one.",
)
KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    required=True,
    description="1 to 255 characters, e.g. a UUID. For 24 hours a retry with the same key acts once.",
)


class FieldProblemSerializer(serializers.Serializer):
    pointer = serializers.CharField(help_text="JSON pointer to the field (RFC 6901).")
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer):
    """Why a request was refused (RFC 9457)."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    instance = serializers.CharField()
    code = serializers.CharField(help_text="Stable, for programs.")
    request_id = serializers.CharField(help_text="Also in X-Request-Id; the server's log has it.")
    errors = FieldProblemSerializer(many=True, required=False)  # type: ignore[assignment]


class ApiSchema(AutoSchema):
    """Add to each operation what all views share, so that no view has to say it."""

    def get_override_parameters(self) -> list[Any]:
        acts_once = self.method == "POST" and not getattr(self.view, "repeatable", True)
        return [SHOP, KEY] if acts_once else [SHOP]

    def _get_response_bodies(self, direction: Any = "response") -> Any:
        bodies = super()._get_response_bodies(direction)
        bodies["default"] = self._get_response_for_code(ProblemSerializer, "default", [CONTENT_TYPE])
        bodies["default"]["description"] = "Refused"
        return bodies


class BearerScheme(OpenApiAuthenticationExtension):
    """A token of one shop."""

    target_class = BearerAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "aisle_<id>_<secret>",
            "description": "A token of one shop, with scopes and an expiry. No token approves a promotion.",
        }


class SessionScheme(OpenApiAuthenticationExtension):
    """A signed-in person."""

    target_class = ShopSessionAuthentication
    name = "session"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": settings.SESSION_COOKIE_NAME,
            "description": "A signed-in person, with X-CSRFToken on writes and X-Aisle-Shop for the shop.",
        }
