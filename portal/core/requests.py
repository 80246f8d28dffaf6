"""The type of a page's request."""

from django.http import HttpRequest

from portal.core.actors import Actor
from portal.core.models import Shop, User


class ShopRequest(HttpRequest):
    """A request below /{shop}/, as the middleware completes it: signed in, and a member of the shop."""

    actor: Actor
    shop: Shop
    user: User
    request_id: str
