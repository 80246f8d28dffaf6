"""How OpenAPI names the two ways of calling the API; importing it is enough."""

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

from portal.core.authentication import BearerAuthentication, ShopSessionAuthentication


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
