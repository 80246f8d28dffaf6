"""Serving keys: made, shown once, checked in the gateway, revoked by taking their public half away."""

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from deployments_app.models import Deployment, ServingKey
from deployments_app.services.locks import lock_deployment
from deployments_app.serving_keys import issue_key
from portal.core.actors import Actor
from portal.core.errors import Conflict, InvalidInput, NotFound
from portal.core.events import record
from portal.core.models import Shop
from portal.core.permissions import authorize

MAX_DAYS = 365
DEFAULT_DAYS = 90
MAX_KEYS = 50  # of one deployment at a time: every gateway holds them all


def issue_serving_key(
    actor: Actor, shop: Shop, deployment: Deployment, name: str, days: int = DEFAULT_DAYS
) -> tuple[ServingKey, str]:
    """Make a key; returns it and its text, which is not kept anywhere."""
    authorize(actor, "keys.write", shop)
    if not 1 <= days <= MAX_DAYS:
        raise InvalidInput(f"A key lives 1 to {MAX_DAYS} days, not {days}.")
    if not name.strip() or len(name.strip()) > 80:
        raise InvalidInput("Give the key a name of 1 to 80 characters, so that you know later what uses it.")
    expires_at = timezone.now() + timedelta(days=days)
    kid, jwk, token = issue_key(f"{shop.slug}/{deployment.slug}", expires_at)
    with transaction.atomic():
        # The deployment's row first: many at once must not pass the limit together.
        lock_deployment(shop, deployment.pk)
        working = ServingKey.objects.filter(
            deployment=deployment, revoked_at=None, expires_at__gt=timezone.now()
        )
        if working.count() >= MAX_KEYS:
            raise Conflict(
                f"This placement has {MAX_KEYS} working keys, which is the limit. Revoke one first."
            )
        key = ServingKey.objects.create(
            deployment=deployment,
            name=name.strip(),
            kid=kid,
            public_jwk=jwk,
            created_by=actor.user,
            expires_at=expires_at,
        )
        record(
            "key.issued", key, actor=actor, shop=shop, deployment=deployment.pk, expires_at=str(expires_at)
        )
    return key, token


def revoke_serving_key(actor: Actor, shop: Shop, deployment: Deployment, key_id: str) -> ServingKey:
    """End a key: the gateways refuse it as soon as they have the next routes."""
    authorize(actor, "keys.write", shop)
    with transaction.atomic():
        key = (
            ServingKey.objects.select_for_update(no_key=True)
            .filter(deployment=deployment, deployment__shop=shop, pk=key_id)
            .first()
        )
        if key is None:
            raise NotFound("There is no such key at this placement.")
        if key.revoked_at is None:
            key.revoked_at = timezone.now()
            key.save(update_fields=["revoked_at"])
            record("key.revoked", key, actor=actor, shop=shop, deployment=deployment.pk)
    return key
