"""API tokens: made, shown once, kept as a hash, narrowed by scopes, ended by date or by hand."""

import hashlib
import secrets
from datetime import timedelta

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from portal.core.actors import Actor
from portal.core.errors import InvalidInput, NotFound
from portal.core.events import record
from portal.core.models import ApiToken, Role, Shop
from portal.core.permissions import SCOPES, authorize

PREFIX = "aisle"
MAX_DAYS = 365
DEFAULT_DAYS = 90
_TOUCH_EVERY = timedelta(seconds=60)  # "last used" is written at most once a minute


def create_token(
    *, actor: Actor, shop: Shop, name: str, scopes: list[str], days: int = DEFAULT_DAYS
) -> tuple[ApiToken, str]:
    """Make a token; returns it and its text, which is not kept anywhere."""
    authorize(actor, "tokens.write", shop)
    assert actor.user is not None  # neither a token nor the system may write tokens
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown:
        raise InvalidInput(f"Unknown scope: {', '.join(unknown)}. Known are: {', '.join(SCOPES)}.")
    if not scopes:
        raise InvalidInput("Choose at least one scope: a token without one can do nothing.")
    if not name.strip():
        raise InvalidInput("Give the token a name, so that you know later what uses it.")
    if not 1 <= days <= MAX_DAYS:
        raise InvalidInput(f"A token lives 1 to {MAX_DAYS} days, not {days}.")
    if "admin" in scopes and actor.role_in(shop) != Role.ADMIN:
        raise InvalidInput("Only an admin can make a token with the scope admin.")
    secret = secrets.token_urlsafe(32)
    with transaction.atomic():
        token = ApiToken.objects.create(
            shop=shop,
            created_by_id=actor.user.pk,
            name=name.strip(),
            secret_sha256=_digest(secret),
            last_four=secret[-4:],
            scopes=sorted(set(scopes)),
            expires_at=timezone.now() + timedelta(days=days),
        )
        record(
            "token.created",
            token,
            actor=actor,
            shop=shop,
            scopes=token.scopes,
            expires_at=str(token.expires_at),
        )
    return token, f"{PREFIX}_{token.pk.removeprefix('tok_')}_{secret}"


def revoke_token(*, actor: Actor, shop: Shop, token_id: str) -> ApiToken:
    """End a token: one's own, or anybody's as an admin."""
    authorize(actor, "tokens.write", shop)
    with transaction.atomic():
        token = visible_tokens(actor, shop).select_for_update().filter(pk=token_id).first()
        if token is None:
            raise NotFound("There is no such token, or it is not yours.")
        if token.revoked_at is None:
            token.revoked_at = timezone.now()
            token.save(update_fields=["revoked_at"])
            record("token.revoked", token, actor=actor, shop=shop)
    return token


def visible_tokens(actor: Actor, shop: Shop) -> QuerySet[ApiToken]:
    """Tokens the actor may see: an admin all of the shop, others their own."""
    authorize(actor, "tokens.read", shop)
    tokens = ApiToken.objects.filter(shop=shop).order_by("-created_at")
    return tokens if actor.role_in(shop) == Role.ADMIN else tokens.filter(created_by=actor.user)


def find_token(text: str, *, ip: str | None) -> ApiToken | None:
    """Look a token up by the hash of its secret; None if unknown, expired, revoked or its person is gone."""
    parts = text.split("_", 2)
    if len(parts) != 3 or parts[0] != PREFIX:
        return None
    found = ApiToken.objects.select_related("created_by", "shop").filter(
        pk=f"tok_{parts[1]}",
        secret_sha256=_digest(parts[2]),
        revoked_at=None,
        expires_at__gt=Now(),
        created_by__is_active=True,
        created_by__memberships__shop=F("shop"),
    )
    token = found.first()
    if token is not None:
        due = Q(last_used_at=None) | Q(last_used_at__lt=Now() - _TOUCH_EVERY)
        ApiToken.objects.filter(due, pk=token.pk).update(last_used_at=Now(), last_used_ip=ip)
    return token


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
