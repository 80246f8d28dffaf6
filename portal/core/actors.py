"""Who acts: a person, a token on a person's behalf, or the system itself."""

from dataclasses import dataclass
from functools import cached_property

from portal.core.models import ApiToken, Membership, Role, Shop, User


@dataclass(frozen=True)
class Actor:
    """One acting party. `request_id` ties its events to one request."""

    kind: str  # person, token, system
    label: str
    user: User | None = None
    token: ApiToken | None = None
    request_id: str = ""

    @property
    def id(self) -> str:
        if self.token is not None:
            return self.token.pk
        return self.user.pk if self.user is not None else ""

    @cached_property
    def memberships(self) -> list[Membership]:
        """Where it belongs, each with its shop, by the shop's name; read once an actor (once a request)."""
        if self.user is None or not self.user.is_active:
            return []
        memberships = Membership.objects.filter(user=self.user).select_related("shop").order_by("shop__name")
        if self.token is not None:
            memberships = memberships.filter(shop_id=self.token.shop_id)
        return list(memberships)

    @cached_property
    def roles(self) -> dict[str, Role]:
        """Role by shop id."""
        return {membership.shop_id: Role(membership.role) for membership in self.memberships}

    def shop_named(self, slug: str) -> Shop | None:
        """Find a shop where it belongs; there are no others for it."""
        return next((each.shop for each in self.memberships if each.shop.slug == slug), None)

    def role_in(self, shop: Shop | str) -> Role | None:
        return self.roles.get(shop if isinstance(shop, str) else shop.pk)


def person(user: User, request_id: str = "") -> Actor:
    """Make the actor of a signed-in person."""
    return Actor("person", user.label, user=user, request_id=request_id)


def bearer(token: ApiToken, request_id: str = "") -> Actor:
    """Make the actor of a token: its person, narrowed to its shop and scopes."""
    label = f"{token.created_by.label} by token {token.name}"[:160]
    return Actor("token", label, user=token.created_by, token=token, request_id=request_id)


def system(name: str) -> Actor:
    """Make the actor for what Aisle does by itself, e.g. `system("rollout")`."""
    return Actor("system", f"Aisle ({name})")
