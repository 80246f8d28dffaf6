"""Who calls the API: a bearer token, or a signed-in person who names the shop."""

from typing import Any

from rest_framework.authentication import BaseAuthentication, SessionAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from portal.core.actors import Actor, bearer, person
from portal.core.errors import InvalidInput, NotFound
from portal.core.models import ApiToken, Shop, User
from portal.core.tokens import find_token


class BearerAuthentication(BaseAuthentication):
    """`Authorization: Bearer aisle_…`; a token in the query string is never read."""

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="aisle"'

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        parts = get_authorization_header(request).split()
        if not parts or parts[0].lower() != b"bearer":
            return None
        if len(parts) != 2:
            raise AuthenticationFailed("Send one token: `Authorization: Bearer aisle_…`.")
        token = find_token(parts[1].decode("latin-1"), ip=request.META.get("REMOTE_ADDR"))
        if token is None:
            raise AuthenticationFailed(
                "This token is unknown, expired or revoked. Make a new one under Settings, Tokens."
            )
        return token.created_by, token


class ShopSessionAuthentication(SessionAuthentication):
    """A signed-in person, with Django's CSRF check on every writing method."""

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="aisle"'


class IsSignedIn(BasePermission):
    """The door; what one may do behind it is checked in services."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return bool(request.user and request.user.is_authenticated and request.user.is_active)


def api_actor(request: Request) -> Actor:
    """Make the acting party of an API request."""
    request_id = getattr(request._request, "request_id", "")
    if isinstance(request.auth, ApiToken):
        return bearer(request.auth, request_id)
    assert isinstance(request.user, User)  # IsSignedIn stands before every view
    return person(request.user, request_id)


def api_shop(request: Request, actor: Actor) -> Shop:
    """Find the shop a request is about: the token's, or the one a session names by `X-Aisle-Shop`."""
    if actor.token is not None:
        return actor.token.shop
    named = request.headers.get("X-Aisle-Shop")
    if named:
        shop = actor.shop_named(named)
        if shop is None:
            raise NotFound("There is no such shop here.")
        return shop
    if len(actor.memberships) != 1:
        raise InvalidInput(
            "Say which shop: send its short name in the header X-Aisle-Shop.", code="shop_missing"
        )
    return actor.memberships[0].shop
