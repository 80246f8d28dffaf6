"""People, shops and roles."""

import re

from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core.exceptions import ValidationError
from django.db import transaction

from portal.core.actors import Actor, system
from portal.core.errors import Conflict, InvalidInput, NotFound
from portal.core.events import record
from portal.core.models import Membership, Role, Shop, User
from portal.core.permissions import authorize


class SignInLinks(PasswordResetTokenGenerator):
    """One-time sign-in links: signed, void after PASSWORD_RESET_TIMEOUT or after the next sign-in."""

    key_salt = "portal.core.people.SignInLinks"


sign_in_links = SignInLinks()


# First segments of addresses that are not shops.
RESERVED_SLUGS = {
    "api",
    "static",
    "sign-in",
    "sign-out",
    "password",
    "theme",
    "csp-report",
    "healthz",
    "metrics",
    "gateway",
    "gallery",
    "v2",
}


def open_shop(*, slug: str, name: str) -> Shop:
    """Found a shop (an operator's command; nobody may do it over the web)."""
    if slug in RESERVED_SLUGS or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug) or len(slug) > 40:
        raise InvalidInput(
            f"{slug!r} cannot be a shop's short name: use a-z, 0-9 and single hyphens, 40 at most."
        )
    if Shop.objects.filter(slug=slug).exists():
        raise Conflict(f"There is a shop named {slug} already.")
    with transaction.atomic():
        shop = Shop.objects.create(slug=slug, name=name)
        record("shop.opened", shop, actor=system("setup"), shop=shop)
    return shop


def add_person(
    *, actor: Actor, shop: Shop, username: str, name: str, email: str, role: Role, password: str | None = None
) -> User:
    """Give a person a role in the shop; an unknown person gets an account first."""
    authorize(actor, "people.write", shop)
    if role not in Role.values:
        raise InvalidInput(f"Unknown role {role}. Known are: {', '.join(Role.values)}.")
    with transaction.atomic():
        user = User.objects.filter(email__iexact=email).first()
        if user is None:
            first, _, last = name.partition(" ")
            user = User(username=username, email=email.lower(), first_name=first, last_name=last)
            if password is not None:
                try:
                    validate_password(password, user)
                except ValidationError as error:
                    raise InvalidInput(" ".join(error.messages)) from error
                user.set_password(password)
            else:
                user.set_unusable_password()
            if User.objects.filter(username=username).exists():
                raise Conflict(f"Somebody else signs in as {username} already. Choose another name.")
            user.save()
        if Membership.objects.filter(shop=shop, user=user).exists():
            raise Conflict(f"{user.label} is a member of this shop already. Change the role instead.")
        membership = Membership.objects.create(shop=shop, user=user, role=role)
        record("membership.added", membership, actor=actor, shop=shop, person=user.label, role=str(role))
    return user


def change_role(*, actor: Actor, shop: Shop, membership_id: str, role: str) -> Membership:
    """Change what a person may do here."""
    authorize(actor, "people.write", shop)
    if role not in Role.values:
        raise InvalidInput(f"Unknown role {role}. Known are: {', '.join(Role.values)}.")
    with transaction.atomic():
        membership = _locked(shop, membership_id)
        before = membership.role
        _keep_an_admin(shop, membership, leaves=role != Role.ADMIN)
        if before != role:
            membership.role = role
            membership.save(update_fields=["role"])
            record("membership.changed", membership, actor=actor, shop=shop, before=before, after=role)
    return membership


def remove_person(*, actor: Actor, shop: Shop, membership_id: str) -> None:
    """Take a person out of the shop; the account stays, its tokens here stop working."""
    authorize(actor, "people.write", shop)
    with transaction.atomic():
        membership = _locked(shop, membership_id)
        _keep_an_admin(shop, membership, leaves=True)
        record("membership.removed", membership, actor=actor, shop=shop, person=membership.user.label)
        membership.delete()


def _locked(shop: Shop, membership_id: str) -> Membership:
    # The shop's row first: two admins who remove each other at once must not leave none.
    Shop.objects.select_for_update().get(pk=shop.pk)
    membership = Membership.objects.select_related("user").filter(shop=shop, pk=membership_id).first()
    if membership is None:
        raise NotFound("There is no such member in this shop.")
    return membership


def _keep_an_admin(shop: Shop, membership: Membership, *, leaves: bool) -> None:
    others = Membership.objects.filter(shop=shop, role=Role.ADMIN).exclude(pk=membership.pk)
    if leaves and membership.role == Role.ADMIN and not others.exists():
        raise Conflict("This is the shop's last admin. Make somebody else admin first.")
