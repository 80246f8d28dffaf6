"""What OpenAPI says of every operation alike: two ways of signing in, headers, refusals."""

import inspect
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

    def get_summary(self) -> str | None:
        """Take the first sentence, so that a closed list of operations tells what each is for."""
        return self._own_words().partition("\n")[0].partition(". ")[0].rstrip(".") or None

    def get_description(self) -> str:  # type: ignore[override]
        words = self._own_words()
        return "" if words.rstrip(".") == self.get_summary() else words

    def _own_words(self) -> str:
        """Return what the method or its view says, but not what the base of all views says of itself."""
        method = getattr(self.view, self.method.lower(), None)
        if method is not None and method.__doc__:
            return inspect.cleandoc(method.__doc__)
        said_by = next(each for each in type(self.view).__mro__ if each.__dict__.get("__doc__"))
        return "" if said_by.__name__ == "ApiView" else inspect.cleandoc(said_by.__doc__ or "")

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
